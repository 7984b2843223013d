//! Everything that decides a run, as plain data: built once from flags and a file, validated once,
//! saved beside the results as `config.toml`. Each section has a file of its own, and a room takes
//! only its section.

mod asynchronous;
mod by_key;
mod choices;
mod data;
mod engine;
mod env;
mod features;
mod learner;
pub mod machine;
mod meta_policy;
mod network;
mod operation;
mod portfolio;
mod run;
mod study;
mod suggest;
mod text;
mod validate;

use thiserror::Error;

use crate::errors::Cause;

pub use asynchronous::{AsynchronousConfig, Compression, SyncMode};
pub(crate) use by_key::settings_by_key;
pub use choices::Choices;
pub use data::DataConfig;
pub use engine::EngineKind;
pub use env::EnvConfig;
pub use features::FeatureConfig;
pub use learner::{LearnerConfig, bars_per_stretch};
pub use meta_policy::MetaPolicyConfig;
pub use network::NetworkConfig;
pub use operation::{CheckpointConfig, EvaluationConfig, RanksConfig};
pub use portfolio::PortfolioConfig;
pub use run::Mode;
pub use run::RunConfig;
pub use study::{StudyConfig, StudySearch, StudyWindow};

/// A setting that cannot be used: which one, why, and what to do. Exit code 2.
#[derive(Debug, Error, Clone, PartialEq)]
#[error("{field}: {what}; {hint}")]
pub struct ConfigError {
    /// The flag or the key in `config.toml`.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub hint: String,
    /// The error of the file system or of a parser; `what` says it in words.
    #[source]
    pub cause: Option<Cause>,
}

impl ConfigError {
    pub(crate) fn new(
        field: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        ConfigError { field: field.into(), what: what.into(), hint: hint.into(), cause: None }
    }

    /// Adds the cause that `what` already has in words.
    pub(crate) fn caused_by(
        self,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> ConfigError {
        ConfigError { cause: Some(Cause::new(error)), ..self }
    }
}
