//! The error type of the strategy module.

use thiserror::Error;

use crate::errors::Cause;

#[derive(Debug, Error, Clone, PartialEq)]
pub enum StrategyError {
    /// A name that the registry does not know, or that is already taken.
    #[error("strategy {name:?} {what}; {hint}")]
    Name { name: String, what: String, hint: String },

    /// A parameter that the strategy does not have, or an invalid value.
    #[error("{strategy}: parameter {parameter}: {what}; {hint}")]
    Parameter { strategy: String, parameter: String, what: String, hint: String },

    /// Parameters and market are valid by themselves but not together, or the strategy failed.
    #[error("{strategy}: {what}; {hint}")]
    Failed { strategy: String, what: String, hint: String },

    /// An invalid strategy file.
    #[error("{path}: {what}; {hint}")]
    File {
        path: String,
        what: String,
        hint: String,
        /// What the file system or the reader of TOML said; `what` has it in words.
        #[source]
        cause: Option<Cause>,
    },

    /// The work was cancelled.
    #[error("stopped before the last bar")]
    Cancelled,
}
