//! All settings of a run.

use std::path::PathBuf;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::{
    AsynchronousConfig, CheckpointConfig, DataConfig, EnvConfig, EvaluationConfig, FeatureConfig,
    LearnerConfig, NetworkConfig, PortfolioConfig, RanksConfig, StudyConfig, SyncMode,
};
use crate::market::{Period, Symbol};

/// How many processes train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One process; as many threads as there are cores.
    Single,
    /// One MPI rank for the parameter server, the others for the stocks.
    Parallel,
}

/// The whole of `config.toml`. [`RunConfig::validate`] says whether it can be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// One process, or MPI ranks.
    pub mode: Mode,
    /// Whether workers wait for each other at every bar.
    pub sync: SyncMode,
    /// Symbols to train on and to trade.
    pub stocks: Vec<Symbol>,
    /// First day of the training period, a date in New York.
    pub start_date: NaiveDate,
    /// Last day of the training period, which is trained on as well.
    pub end_date: NaiveDate,
    /// First day of the evaluation period, which must not overlap training unless
    /// `data.allow_overlap`.
    pub eval_start: NaiveDate,
    /// Last day of the evaluation period, which is evaluated as well.
    pub eval_end: NaiveDate,
    /// Passes over the training period.
    pub episodes: u32,
    /// Results folder of a finished run with whose weights this one begins; saved only if there is
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Folder for the results.
    pub output: PathBuf,
    /// The one seed from which every random stream is derived.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Which bars are read, and how.
    pub data: DataConfig,
    /// Indicators and their windows.
    pub features: FeatureConfig,
    /// Costs, position sizes and initial cash.
    pub env: EnvConfig,
    /// Layers and their widths.
    pub network: NetworkConfig,
    /// Targets, replay, optimizer and exploration.
    pub learner: LearnerConfig,
    /// Settings of a run without lockstep.
    pub asynchronous: AsynchronousConfig,
    /// Capital, limits, and the meta-policy.
    pub portfolio: PortfolioConfig,
    /// When the policy is evaluated.
    pub evaluation: EvaluationConfig,
    /// When the state of the run is saved.
    pub checkpoint: CheckpointConfig,
    /// When a rank counts as lost.
    pub ranks: RanksConfig,
    /// Seeds, folds and settings of a study; saved by one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub study: Option<StudyConfig>,
    /// Where the run that saved this file computed; no setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
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
            init_from: None,
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
            study: None,
            machine: None,
        }
    }
}

impl RunConfig {
    /// With standard values for all that changes no result: one process or many, where it is written
    /// and how often saved, the machine. Equal for runs whose results are equal.
    pub(crate) fn deciding_results(&self) -> RunConfig {
        let standard = RunConfig::default();
        RunConfig {
            mode: standard.mode,
            output: standard.output,
            checkpoint: standard.checkpoint,
            ranks: standard.ranks,
            study: None,
            machine: None,
            ..self.clone()
        }
    }

    /// `start_date` to `end_date`.
    pub fn train_period(&self) -> Period {
        Period { start: self.start_date, end: self.end_date }
    }

    /// `eval_start` to `eval_end`.
    pub fn eval_period(&self) -> Period {
        Period { start: self.eval_start, end: self.eval_end }
    }
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a date written in the source")
}
