//! Everything that decides a run, as plain data: built once from flags and a file, validated once,
//! saved beside the results as `config.toml`.

mod asynchronous;
mod engine;
pub mod machine;
mod meta_policy;
mod suggest;
mod text;
mod validate;

use std::path::PathBuf;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use asynchronous::{AsynchronousConfig, Compression, SyncMode};
pub use engine::EngineKind;
pub use meta_policy::MetaPolicyConfig;

use crate::market::options::{BarLabel, LoadOptions};
use crate::market::{Period, Symbol};
use machine::Machine;

/// A setting that cannot be used: which one, why, and what to do. Exit code 2.
#[derive(Debug, Error, Clone, PartialEq)]
#[error("{field}: {what}; {hint}")]
pub struct ConfigError {
    pub field: String,
    pub what: String,
    pub hint: String,
}

impl ConfigError {
    pub fn new(field: &str, what: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        ConfigError { field: field.into(), what: what.into(), hint: hint.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One process; as many threads as there are cores.
    Single,
    /// One MPI rank for the parameter server, the others for the stocks.
    Parallel,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    pub mode: Mode,
    pub sync: SyncMode,
    pub stocks: Vec<Symbol>,
    /// Training period, first and last day included, dates in New York.
    pub start_date: NaiveDate,
    pub end_date: NaiveDate,
    /// Evaluation period; must not overlap training unless `data.allow_overlap`.
    pub eval_start: NaiveDate,
    pub eval_end: NaiveDate,
    /// Passes over the training period.
    pub episodes: u32,
    pub output: PathBuf,
    /// The one seed from which every random stream is derived.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    pub data: DataConfig,
    pub features: FeatureConfig,
    pub env: EnvConfig,
    pub network: NetworkConfig,
    pub learner: LearnerConfig,
    pub asynchronous: AsynchronousConfig,
    pub portfolio: PortfolioConfig,
    pub evaluation: EvaluationConfig,
    pub checkpoint: CheckpointConfig,
    pub ranks: RanksConfig,
    /// Where the run that saved this file computed; no setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// `azure`, `synthetic:MARKET` or a folder; None: Azure where a connection string is set, else
    /// the sample market.
    pub source: Option<String>,
    /// Azure Blob container.
    pub container: String,
    /// Length of a bar in minutes; None: as the data has it.
    pub bar_minutes: Option<u32>,
    pub bar_label: BarLabel,
    /// Keep bars outside 09:30 to 16:00 New York time.
    pub extended_hours: bool,
    /// A bad row is an error instead of being counted and left out.
    pub strict: bool,
    /// Evaluate on days that were trained on. Such figures say nothing about the future.
    pub allow_overlap: bool,
}

impl DataConfig {
    /// `cache_dir` as in [`LoadOptions`].
    pub fn load_options(&self, cache_dir: Option<PathBuf>) -> LoadOptions {
        LoadOptions {
            bar_minutes: self.bar_minutes,
            bar_label: self.bar_label,
            extended_hours: self.extended_hours,
            strict: self.strict,
            cache_dir,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureConfig {
    /// Log returns over these many bars.
    pub return_bars: Vec<u32>,
    /// Realised volatility over these many bars.
    pub volatility_bars: Vec<u32>,
    /// RSI with Wilder's smoothing, bars. Wilder (1978).
    pub rsi_bars: u32,
    /// MACD: fast, slow and signal spans, bars. Appel (1979).
    pub macd_fast_bars: u32,
    pub macd_slow_bars: u32,
    pub macd_signal_bars: u32,
    /// Bollinger %b: window in bars and width in population standard deviations. Bollinger (2001).
    pub bollinger_bars: u32,
    pub bollinger_width: f64,
    /// Volume z-score window, bars.
    pub volume_bars: u32,
    /// Features that relate a stock to its peers.
    pub peers: bool,
    /// Rolling window for correlation, beta and spread to peers, bars.
    pub relation_bars: u32,
    /// Bars over which the closest pairs are tested for cointegration, block after block.
    pub arbitrage_bars: u32,
    /// In at most this share of the blocks is any pair that walks at random held to belong
    /// together.
    pub arbitrage_level: f64,
    /// Scaled features are cut off at this many standard deviations.
    pub clip_std: f32,
    /// Bars read ahead of a period so that indicators have settled when it begins.
    pub warmup_bars: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvConfig {
    /// Fee per trade, basis points of the traded value.
    pub fee_bps: f64,
    /// Distance of a fill from the open, against the trader, basis points.
    pub slippage_bps: f64,
    /// No short positions.
    pub long_only: bool,
    /// Cash at the start of an evaluation, in the currency of the prices.
    pub initial_cash: f64,
    /// A position that is kept is resized when its weight has drifted by more than this fraction
    /// from what it should be, as that of a short position does when the price rises.
    pub rebalance_band: f64,
    /// An account whose equity falls to this fraction of its positions' value is closed out: ruin.
    pub maintenance_margin: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Width of a stock's embedding and of the encoder's layers.
    pub embedding: usize,
    /// Attention heads; divides `embedding`.
    pub heads: usize,
    /// Width of the learned embedding per symbol.
    pub symbol_embedding: usize,
    /// Width of the layer after the private features are joined.
    pub trunk: usize,
    /// Width of the hidden layer of each head (value, advantage).
    pub head_hidden: usize,
    /// Attend to the other stocks. Off: a stock sees only itself.
    pub attention: bool,
    /// Separate value and advantage streams. Wang et al. (2016), eq. 9.
    pub dueling: bool,
    pub layer_norm: bool,
    /// Attend to at most this many peers, the nearest by the relationship graph of the training
    /// period.
    pub max_peers: usize,
    /// Who computes it on the CPU.
    #[serde(skip_serializing_if = "EngineKind::is_native")]
    pub engine: EngineKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Segments of the training period that step side by side. Fewer where the period is short.
    pub lanes: usize,
    /// Discount per bar.
    pub gamma: f64,
    /// Rewards summed before bootstrapping, bars. Sutton (1988); Hessel et al. (2018).
    pub n_step: usize,
    /// Double DQN. van Hasselt, Guez and Silver (2016), eq. 4.
    pub double: bool,
    /// Learn from what every action would have brought, not only from the one that was taken:
    /// prices do not react to us, so all of it is known a bar later.
    pub all_actions: bool,
    /// Learn values relative to holding nothing, which differ less and lead to the same choices.
    pub relative_values: bool,
    /// Sampled transitions per gradient step and stock.
    pub batch_size: usize,
    /// Sampled transitions per new transition. Ape-X used about 0.8.
    pub replay_ratio: f64,
    /// Transitions kept per stock.
    pub replay_capacity: usize,
    /// New transitions per stock before the first gradient step.
    pub learning_starts: usize,
    /// Prioritized replay. Schaul et al. (2016).
    pub prioritized: bool,
    pub priority_alpha: f64,
    /// Importance-sampling exponent at the start; it reaches 1 at the end of the run.
    pub priority_beta: f64,
    /// Step size of Adam (Kingma and Ba 2015, algorithm 1) at the start of the run; it falls
    /// linearly.
    pub learning_rate: f64,
    /// What is left of the step size at the end, as a fraction.
    pub learning_rate_end: f64,
    /// Every step takes this times the step size off each weight of a matrix. Loshchilov and
    /// Hutter (2019), algorithm 2.
    pub weight_decay: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    /// Gradients are scaled down to this global norm.
    pub max_grad_norm: f64,
    /// Gradient steps between copies of the weights to the target network; 0: soft updates by
    /// `target_tau`.
    pub target_every: u64,
    /// Polyak factor of soft target updates.
    pub target_tau: f64,
    /// Ape-X exploration ladder over all actors: epsilon^(1 + alpha i / (actors - 1)). Horgan et
    /// al. (2018).
    pub epsilon: f64,
    pub epsilon_alpha: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortfolioConfig {
    /// Sum of absolute positions over equity; inf: off, and all of the equity is dealt.
    pub gross_limit: f64,
    /// Absolute sum of signed positions over equity; inf: off.
    pub net_limit: f64,
    /// Absolute position of one stock over equity; None: twice an equal share of the gross limit;
    /// inf: off.
    pub name_limit: Option<f64>,
    /// Absolute sum of the signed positions of a cluster over equity; None: as for one stock; inf:
    /// off. A cluster are two or more stocks that move together.
    pub cluster_limit: Option<f64>,
    /// Stocks whose past correlation is above this are in one cluster, and so are those that a
    /// chain of such stocks connects.
    pub cluster_correlation: f64,
    /// Past sessions from which risk per stock is estimated.
    pub risk_sessions: usize,
    /// Stocks whose past correlation is above this may not be held in opposite directions; 1 and
    /// above: off.
    pub identical_correlation: f64,
    /// Couples of stocks that may be, however alike they are.
    pub pairs: Vec<[Symbol; 2]>,
    /// An account that falls by more than this fraction below its peak goes flat; inf: off.
    pub drawdown_limit: f64,
    /// For the rest of the session and so many sessions more; then it starts with a fresh peak.
    pub drawdown_pause_sessions: u32,
    pub meta_policy: MetaPolicyConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Seconds between checkpoints; inf: only when the run is told to stop.
    pub every_s: f64,
    /// Whole checkpoints that are kept.
    pub keep: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Evaluate after every so many episodes; after the last one always.
    pub every_episodes: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RanksConfig {
    /// A rank that dies, is stopped or cannot be reached any more ends the job within so many
    /// seconds; 0: it is waited for.
    pub timeout_s: f64,
    /// A rank that lives and is at one piece of work for so many seconds is taken for hung; 0:
    /// never. Reading a day of bars is such a piece, and so is making a panel.
    pub stuck_s: f64,
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a date written in the source")
}

impl Default for RunConfig {
    fn default() -> RunConfig {
        let stocks = ["AAPL", "MSFT", "GOOGL", "AMZN", "META"];
        RunConfig {
            mode: Mode::Single,
            sync: SyncMode::Lockstep,
            stocks: stocks.iter().map(|s| s.parse().expect("a symbol in the source")).collect(),
            start_date: date(2018, 1, 1),
            end_date: date(2019, 12, 31),
            eval_start: date(2020, 1, 1),
            eval_end: date(2020, 12, 31),
            episodes: 100,
            output: "results".into(),
            seed: 1,
            device: "cpu".into(),
            data: DataConfig::default(),
            features: FeatureConfig::default(),
            env: EnvConfig::default(),
            network: NetworkConfig::default(),
            learner: LearnerConfig::default(),
            asynchronous: AsynchronousConfig::default(),
            portfolio: PortfolioConfig::default(),
            evaluation: EvaluationConfig::default(),
            checkpoint: CheckpointConfig::default(),
            ranks: RanksConfig::default(),
            machine: None,
        }
    }
}

impl Default for DataConfig {
    fn default() -> DataConfig {
        DataConfig {
            source: None,
            container: "stock-data".into(),
            bar_minutes: None,
            bar_label: BarLabel::Auto,
            extended_hours: false,
            strict: false,
            allow_overlap: false,
        }
    }
}

impl Default for FeatureConfig {
    fn default() -> FeatureConfig {
        FeatureConfig {
            return_bars: vec![1, 2, 5, 15, 60],
            volatility_bars: vec![15, 60, 240],
            rsi_bars: 14,
            macd_fast_bars: 12,
            macd_slow_bars: 26,
            macd_signal_bars: 9,
            bollinger_bars: 20,
            bollinger_width: 2.0,
            volume_bars: 60,
            peers: true,
            relation_bars: 120,
            arbitrage_bars: 480,
            arbitrage_level: 0.01,
            clip_std: 5.0,
            warmup_bars: 480,
        }
    }
}

impl Default for EnvConfig {
    fn default() -> EnvConfig {
        EnvConfig {
            fee_bps: 1.0,
            slippage_bps: 1.0,
            long_only: false,
            initial_cash: 1_000_000.0,
            rebalance_band: 0.25,
            maintenance_margin: 0.05,
        }
    }
}

impl Default for NetworkConfig {
    fn default() -> NetworkConfig {
        NetworkConfig {
            embedding: 64,
            heads: 4,
            symbol_embedding: 8,
            trunk: 128,
            head_hidden: 64,
            attention: true,
            dueling: true,
            layer_norm: true,
            max_peers: 8,
            engine: EngineKind::default(),
        }
    }
}

impl Default for LearnerConfig {
    fn default() -> LearnerConfig {
        LearnerConfig {
            lanes: 64,
            gamma: 0.99,
            n_step: 3,
            double: true,
            all_actions: true,
            relative_values: true,
            batch_size: 64,
            replay_ratio: 1.0,
            replay_capacity: 1 << 20,
            learning_starts: 2_048,
            prioritized: true,
            priority_alpha: 0.6,
            priority_beta: 0.4,
            learning_rate: 2e-3,
            learning_rate_end: 0.0,
            weight_decay: 3.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 10.0,
            target_every: 200,
            target_tau: 0.005,
            epsilon: 0.4,
            epsilon_alpha: 7.0,
        }
    }
}

impl Default for PortfolioConfig {
    fn default() -> PortfolioConfig {
        PortfolioConfig {
            gross_limit: 1.0,
            net_limit: 1.0,
            name_limit: None,
            cluster_limit: None,
            cluster_correlation: 0.9,
            risk_sessions: 20,
            identical_correlation: 0.98,
            pairs: Vec::new(),
            drawdown_limit: f64::INFINITY,
            drawdown_pause_sessions: 5,
            meta_policy: MetaPolicyConfig::default(),
        }
    }
}

impl Default for CheckpointConfig {
    fn default() -> CheckpointConfig {
        CheckpointConfig { every_s: 300.0, keep: 3 }
    }
}

impl Default for RanksConfig {
    fn default() -> RanksConfig {
        RanksConfig { timeout_s: 10.0, stuck_s: 3_600.0 }
    }
}

impl Default for EvaluationConfig {
    fn default() -> EvaluationConfig {
        EvaluationConfig { every_episodes: 10 }
    }
}

impl FeatureConfig {
    /// Bars until every feature is defined.
    pub fn longest_window(&self) -> u32 {
        let windows = [
            self.rsi_bars,
            self.macd_slow_bars + self.macd_signal_bars,
            self.bollinger_bars,
            self.volume_bars,
            self.relation_bars,
        ];
        let listed = self.return_bars.iter().chain(&self.volatility_bars);
        listed.chain(&windows).copied().max().unwrap_or(0) + 1
    }
}

impl PortfolioConfig {
    /// How much capital is dealt, over equity.
    pub fn capital(&self) -> f64 {
        if self.gross_limit.is_finite() { self.gross_limit } else { 1.0 }
    }

    /// The most capital that one of `stocks` stocks is dealt, over equity.
    pub fn name_limit_of(&self, stocks: usize) -> f64 {
        let twice_equal = 2.0 * self.capital() / stocks.max(1) as f64;
        self.name_limit.unwrap_or(twice_equal).min(self.capital())
    }
}

impl RunConfig {
    pub fn train_period(&self) -> Period {
        Period { start: self.start_date, end: self.end_date }
    }

    pub fn eval_period(&self) -> Period {
        Period { start: self.eval_start, end: self.eval_end }
    }
}
