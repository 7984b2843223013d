//! The error type of the strategy module.

use thiserror::Error;

use crate::errors::Cause;

/// Why a strategy cannot be used, or stopped.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum StrategyError {
    /// A name that the registry does not know, or that is already taken.
    #[error("strategy {name:?} {what}; {hint}")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        what: String,
        /// Which names there are.
        hint: String,
    },

    /// A parameter that the strategy does not have, or an invalid value.
    #[error("{strategy}: parameter {parameter}: {what}; {hint}")]
    Parameter {
        /// Name of the strategy.
        strategy: String,
        /// Name of the parameter.
        parameter: String,
        /// What is wrong with it.
        what: String,
        /// What to give instead.
        hint: String,
    },

    /// Parameters and market are valid by themselves but not together, or the strategy failed.
    #[error("{strategy}: {what}; {hint}")]
    Failed {
        /// Name of the strategy.
        strategy: String,
        /// What failed.
        what: String,
        /// What the user can do about it.
        hint: String,
    },

    /// An invalid strategy file.
    #[error("{path}: {what}; {hint}")]
    File {
        /// Where the file is.
        path: String,
        /// What is wrong with it.
        what: String,
        /// What the user can do about it.
        hint: String,
        /// What the file system or the reader of TOML said; `what` has it in words.
        #[source]
        cause: Option<Cause>,
    },

    /// The work was cancelled.
    #[error("stopped before the last bar")]
    Cancelled,
}
