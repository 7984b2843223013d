//! The one error type of the strategy layer.

use thiserror::Error;

use crate::errors::Cause;

#[derive(Debug, Error, Clone, PartialEq)]
pub enum StrategyError {
    /// A name that the registry does not know, or that is taken.
    #[error("strategy {name:?} {what}; {hint}")]
    Name { name: String, what: String, hint: String },

    /// A parameter that the strategy does not have, or a value that it cannot have.
    #[error("{strategy}: parameter {parameter}: {what}; {hint}")]
    Parameter { strategy: String, parameter: String, what: String, hint: String },

    /// Parameters and market are sound by themselves, but not together, or the strategy itself gave
    /// up.
    #[error("{strategy}: {what}; {hint}")]
    Failed { strategy: String, what: String, hint: String },

    /// A file of strategies that cannot be used.
    #[error("{path}: {what}; {hint}")]
    File {
        path: String,
        what: String,
        hint: String,
        /// What the file system or the reader of TOML said; `what` has it in words.
        #[source]
        cause: Option<Cause>,
    },

    /// It was told to stop.
    #[error("stopped before the last bar")]
    Cancelled,
}
