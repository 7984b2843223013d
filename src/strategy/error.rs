//! The error type of the strategy module.

use thiserror::Error;

#[derive(Debug, Error, Clone, PartialEq)]
pub enum StrategyError {
    /// A name that the registry does not know, or that is already taken.
    #[error("strategy {name:?} {what}; {todo}")]
    Name { name: String, what: String, todo: String },

    /// A parameter that the strategy does not have, or an invalid value.
    #[error("{strategy}: parameter {parameter}: {what}; {todo}")]
    Parameter { strategy: String, parameter: String, what: String, todo: String },

    /// Parameters and market are valid by themselves but not together, or the strategy failed.
    #[error("{strategy}: {what}; {todo}")]
    Failed { strategy: String, what: String, todo: String },

    /// An invalid strategy file.
    #[error("{path}: {what}; {todo}")]
    File { path: String, what: String, todo: String },

    /// The work was cancelled.
    #[error("stopped before the last bar")]
    Cancelled,
}
