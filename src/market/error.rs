//! The one error type of the market layer. Every message says where, what, and what to do.

use thiserror::Error;

/// All of these are the user's to mend: the program prints one line and exits with code 2.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum MarketError {
    /// A value given by the user, such as a symbol or a market's name.
    #[error("{what}; {hint}")]
    Input { what: String, hint: String },

    /// A store that cannot be reached, opened or written. `place` never holds a secret.
    #[error("{place}: {what}; {hint}")]
    Store { place: String, what: String, hint: String },

    /// A day file that is truncated, foreign or lacks a column. `file` is the path or blob name.
    #[error("{file}: {what}; {hint}")]
    File { file: String, what: String, hint: String },

    /// What the data service answers, or does not. Never holds the key.
    #[error("Alpha Vantage: {what}; {hint}")]
    Service { what: String, hint: String },

    /// Nothing to work with for a symbol: unknown, or no bars in the period.
    #[error("{symbol}: {what}; {hint}")]
    NoData { symbol: String, what: String, hint: String },
}
