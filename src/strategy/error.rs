//! The one error type of the strategy layer.

use thiserror::Error;

#[derive(Debug, Error, Clone, PartialEq)]
pub enum StrategyError {
    /// A name that the registry does not know, or that is taken.
    #[error("strategy {name:?} {what}; {todo}")]
    Name { name: String, what: String, todo: String },

    /// A parameter that the strategy does not have, or a value that it cannot have.
    #[error("{strategy}: parameter {parameter}: {what}; {todo}")]
    Parameter { strategy: String, parameter: String, what: String, todo: String },

    /// Parameters and market are sound by themselves, but not together, or the strategy itself gave
    /// up.
    #[error("{strategy}: {what}; {todo}")]
    Failed { strategy: String, what: String, todo: String },

    /// A file of strategies that cannot be used.
    #[error("{path}: {what}; {todo}")]
    File { path: String, what: String, todo: String },

    /// It was told to stop.
    #[error("stopped before the last bar")]
    Cancelled,
}
