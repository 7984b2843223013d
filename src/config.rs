//! Everything that decides a run, as plain data: built once from flags and a file, validated once, saved beside the
//! results as `config.toml`.

use std::path::PathBuf;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::market::{Period, Symbol};

/// A setting that cannot be used: which one, why, and what to do. Exit code 2.
#[derive(Debug, Error, Clone, PartialEq)]
#[error("{field}: {what}; {todo}")]
pub struct ConfigError {
    pub field: String,
    pub what: String,
    pub todo: String,
}

impl ConfigError {
    pub fn new(field: &str, what: impl Into<String>, todo: impl Into<String>) -> ConfigError {
        ConfigError { field: field.into(), what: what.into(), todo: todo.into() }
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

/// Whether a bar's timestamp names its start or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BarLabel {
    /// Found from the first and last labels of the sessions.
    Auto,
    Start,
    End,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    pub mode: Mode,
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
    pub portfolio: PortfolioConfig,
    pub evaluation: EvaluationConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// `azure`, `synthetic:MARKET` or a folder; None: Azure where a connection string is set, else the sample market.
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
    /// Rolling window for correlation, beta and spread to peers, bars.
    pub relation_bars: u32,
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
    /// A position that is kept is resized when its weight has drifted by more than this fraction from what it should
    /// be, as that of a short position does when the price rises.
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
    /// Attend to at most this many peers, the nearest by the relationship graph of the training period.
    pub max_peers: usize,
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
    /// Adam. Kingma and Ba (2015), algorithm 1.
    pub learning_rate: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    /// Gradients are scaled down to this global norm.
    pub max_grad_norm: f64,
    /// Gradient steps between copies of the weights to the target network; 0: soft updates by `target_tau`.
    pub target_every: u64,
    /// Polyak factor of soft target updates.
    pub target_tau: f64,
    /// Ape-X exploration ladder over all actors: epsilon^(1 + alpha i / (actors - 1)). Horgan et al. (2018).
    pub epsilon: f64,
    pub epsilon_alpha: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortfolioConfig {
    /// Sum of absolute positions over equity.
    pub gross_limit: f64,
    /// Absolute sum of signed positions over equity.
    pub net_limit: f64,
    /// Absolute position of one stock over equity; None: twice an equal share of the gross limit.
    pub name_limit: Option<f64>,
    /// Past sessions from which risk per stock is estimated.
    pub risk_sessions: usize,
    /// Stocks whose past correlation is above this may not be held in opposite directions.
    pub identical_correlation: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Evaluate after every so many episodes; after the last one always.
    pub every_episodes: u32,
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a date written in the source")
}

impl Default for RunConfig {
    fn default() -> RunConfig {
        let stocks = ["AAPL", "MSFT", "GOOGL", "AMZN", "META"];
        RunConfig {
            mode: Mode::Single,
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
            portfolio: PortfolioConfig::default(),
            evaluation: EvaluationConfig::default(),
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
            relation_bars: 120,
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
            batch_size: 256,
            replay_ratio: 1.0,
            replay_capacity: 1 << 20,
            learning_starts: 2_048,
            prioritized: true,
            priority_alpha: 0.6,
            priority_beta: 0.4,
            learning_rate: 5e-4,
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
            risk_sessions: 20,
            identical_correlation: 0.98,
        }
    }
}

impl Default for EvaluationConfig {
    fn default() -> EvaluationConfig {
        EvaluationConfig { every_episodes: 10 }
    }
}

impl PortfolioConfig {
    /// The largest absolute position of one of `stocks` stocks over equity.
    pub fn name_limit_of(&self, stocks: usize) -> f64 {
        let twice_equal = 2.0 * self.gross_limit / stocks.max(1) as f64;
        self.name_limit.unwrap_or(twice_equal).min(self.gross_limit)
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

impl RunConfig {
    /// With one setting changed, as in `learner.gamma=0.95`.
    pub fn with(&self, assignment: &str) -> Result<RunConfig, ConfigError> {
        let wrong = |what: String| {
            ConfigError::new("--set", what, "write KEY=VALUE with a key of config.toml")
        };
        let (key, text) = assignment
            .split_once('=')
            .ok_or_else(|| wrong(format!("{assignment:?} has no '='")))?;
        let (key, text) = (key.trim(), text.trim());
        let parsed: Result<toml::Table, _> = toml::from_str(&format!("value = {text}"));
        let value = match parsed {
            Ok(mut table) => table.remove("value").unwrap_or_else(|| text.into()),
            // A word without quotes is meant as text.
            Err(_) => toml::Value::String(text.into()),
        };
        let unreadable = |e: String| {
            let message: Vec<&str> = e.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            wrong(format!("{key:?}: {}", message.join(" ")))
        };
        let mut root = toml::Table::try_from(self).map_err(|e| unreadable(e.to_string()))?;
        let mut table = &mut root;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_string(), value);
                break;
            }
            table = table
                .get_mut(part)
                .and_then(toml::Value::as_table_mut)
                .ok_or_else(|| wrong(format!("there is no section {part:?}")))?;
        }
        root.try_into().map_err(|e: toml::de::Error| unreadable(e.message().to_string()))
    }

    /// Everything that can be known to be wrong before any data is read.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_run()?;
        self.validate_market()?;
        self.validate_learning()
    }

    fn validate_run(&self) -> Result<(), ConfigError> {
        if self.stocks.is_empty() {
            return Err(ConfigError::new("--stocks", "none is given", "name at least one symbol"));
        }
        let mut sorted = self.stocks.clone();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let what = format!("{} is given twice", pair[0]);
            return Err(ConfigError::new("--stocks", what, "name every symbol once"));
        }
        for (period, flags) in
            [(self.train_period(), "--end_date"), (self.eval_period(), "--eval_end")]
        {
            if period.end < period.start {
                let what = format!("{} is before {}", period.end, period.start);
                return Err(ConfigError::new(flags, what, "give the last day after the first"));
            }
        }
        // Stock markets are younger, and the calendar's rules are those of today.
        let years = [self.start_date, self.end_date, self.eval_start, self.eval_end]
            .map(|date| (1_900..=2_199).contains(&date.year()));
        check("--start_date to --eval_end", years == [true; 4], "must be from 1900 to 2199")?;
        let overlap = self.eval_start <= self.end_date && self.start_date <= self.eval_end;
        if overlap && !self.data.allow_overlap {
            return Err(ConfigError::new(
                "--eval_start",
                format!("evaluation ({}) overlaps training ({})", self.eval_period(), self.train_period()),
                "move one of the periods, or add --allow-overlap to see figures that say nothing about the future",
            ));
        }
        check("--episodes", self.episodes >= 1, "must be at least 1")?;
        check("--eval-every", self.evaluation.every_episodes >= 1, "must be at least 1")?;
        let device = self.device == "cpu"
            || self.device.strip_prefix("cuda:").is_some_and(|n| n.parse::<u32>().is_ok());
        check("--device", device, "must be cpu or cuda:N")
    }

    fn validate_market(&self) -> Result<(), ConfigError> {
        let minutes = self.data.bar_minutes.unwrap_or(1);
        check("--bar-minutes", (1..=390).contains(&minutes), "must be from 1 to 390")?;
        let costs = |bps: f64| (0.0..1_000.0).contains(&bps);
        check("--fee-bps", costs(self.env.fee_bps), "must be from 0 to below 1000")?;
        check("--slippage-bps", costs(self.env.slippage_bps), "must be from 0 to below 1000")?;
        let cash = self.env.initial_cash;
        check("env.initial_cash", (0.01..=1e15).contains(&cash), "must be from 0.01 to 1e15")?;
        let band = self.env.rebalance_band;
        check("env.rebalance_band", band > 0.0, "must be above 0; inf never resizes")?;
        let margin = self.env.maintenance_margin;
        check("env.maintenance_margin", (0.0..1.0).contains(&margin), "must be from 0 to below 1")?;
        let portfolio = &self.portfolio;
        let limit = |value: f64| value.is_finite() && value > 0.0;
        check("portfolio.gross_limit", limit(portfolio.gross_limit), "must be above 0")?;
        check("portfolio.net_limit", limit(portfolio.net_limit), "must be above 0")?;
        check("portfolio.name_limit", portfolio.name_limit.is_none_or(limit), "must be above 0")?;
        let correlation = portfolio.identical_correlation;
        check("portfolio.identical_correlation", !correlation.is_nan(), "must be a number")?;
        check("portfolio.risk_sessions", portfolio.risk_sessions >= 1, "must be at least 1")?;
        self.validate_features()
    }

    fn validate_features(&self) -> Result<(), ConfigError> {
        let features = &self.features;
        let width = features.bollinger_width;
        check("features.bollinger_width", width.is_finite() && width > 0.0, "must be above 0")?;
        let mut windows = vec![
            ("features.bollinger_bars", features.bollinger_bars),
            ("features.volume_bars", features.volume_bars),
            ("features.relation_bars", features.relation_bars),
            ("features.rsi_bars", features.rsi_bars),
            ("features.macd_fast_bars", features.macd_fast_bars),
            ("features.macd_slow_bars", features.macd_slow_bars),
        ];
        windows.extend(features.volatility_bars.iter().map(|&n| ("features.volatility_bars", n)));
        for (name, bars) in windows {
            check(name, bars >= 2, "must be at least 2")?;
        }
        check("features.macd_signal_bars", features.macd_signal_bars >= 1, "must be at least 1")?;
        let macd = features.macd_fast_bars < features.macd_slow_bars;
        check("features.macd_fast_bars", macd, "must be below features.macd_slow_bars")?;
        let returns = !features.return_bars.is_empty() && !features.return_bars.contains(&0);
        check("features.return_bars", returns, "must be one or more lengths of at least 1")?;
        check("features.clip_std", features.clip_std > 0.0, "must be above 0")
    }

    fn validate_learning(&self) -> Result<(), ConfigError> {
        let learner = &self.learner;
        check("--lanes", (1..=65_536).contains(&learner.lanes), "must be from 1 to 65536")?;
        check("learner.gamma", (0.0..1.0).contains(&learner.gamma), "must be from 0 to below 1")?;
        check("learner.n_step", (1..=255).contains(&learner.n_step), "must be from 1 to 255")?;
        check("--batch-size", learner.batch_size >= 1, "must be at least 1")?;
        let ratio = learner.replay_ratio;
        check("--replay-ratio", (0.0..1e6).contains(&ratio), "must be from 0 to below 1e6")?;
        let capacity = learner.replay_capacity >= learner.batch_size;
        check("learner.replay_capacity", capacity, "must be at least the batch size")?;
        let slots = u32::try_from(learner.replay_capacity).is_ok();
        check("learner.replay_capacity", slots, "must be below 2^32")?;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        check("--learning-rate", positive(learner.learning_rate), "must be above 0")?;
        let decay = |value: f64| (0.0..1.0).contains(&value);
        check("learner.adam_beta1", decay(learner.adam_beta1), "must be from 0 to below 1")?;
        check("learner.adam_beta2", decay(learner.adam_beta2), "must be from 0 to below 1")?;
        check("learner.adam_epsilon", positive(learner.adam_epsilon), "must be above 0")?;
        let fraction = |value: f64| (0.0..=1.0).contains(&value);
        check("learner.priority_alpha", fraction(learner.priority_alpha), "must be from 0 to 1")?;
        check("learner.priority_beta", fraction(learner.priority_beta), "must be from 0 to 1")?;
        check("learner.target_tau", fraction(learner.target_tau), "must be from 0 to 1")?;
        check("learner.epsilon", fraction(learner.epsilon), "must be from 0 to 1")?;
        let ladder = learner.epsilon_alpha;
        check("learner.epsilon_alpha", ladder.is_finite() && ladder >= 0.0, "must be 0 or above")?;
        check("learner.max_grad_norm", learner.max_grad_norm > 0.0, "must be above 0")?;
        self.validate_network()
    }

    fn validate_network(&self) -> Result<(), ConfigError> {
        let network = &self.network;
        // Wider layers than this would take the memory of the machine, and libtorch's own message.
        let widths = [
            ("network.embedding", network.embedding),
            ("network.trunk", network.trunk),
            ("network.head_hidden", network.head_hidden),
            ("network.symbol_embedding", network.symbol_embedding),
        ];
        for (name, width) in widths {
            check(name, (1..=8_192).contains(&width), "must be from 1 to 8192")?;
        }
        let divides = network.heads >= 1 && network.embedding.is_multiple_of(network.heads);
        check("network.heads", divides, "must divide network.embedding")
    }
}

fn check(field: &str, holds: bool, rule: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(field, rule, "see --help or docs/results.md")) }
}
