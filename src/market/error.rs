//! The one error type of the market layer. Every message says where, what, and what to do.

use std::error::Error;

use thiserror::Error as ThisError;

use crate::errors::Cause;

/// All of these are the user's to fix: the program prints one line and exits with code 2.
///
/// A `cause` is what the file system or a reader of files said; `what` has it in words.
#[derive(Debug, ThisError, Clone, PartialEq)]
pub enum MarketError {
    /// A value given by the user, such as a symbol or a market's name.
    #[error("{what}; {hint}")]
    Input { what: String, hint: String },

    /// A store that cannot be reached, opened or written. Neither `place` nor `cause` holds a
    /// secret: errors of the HTTP client, which repeat addresses with signatures, are not kept.
    #[error("{place}: {what}; {hint}")]
    Store {
        place: String,
        what: String,
        hint: String,
        #[source]
        cause: Option<Cause>,
    },

    /// A day file that is truncated, foreign or lacks a column. `file` is the path or blob name.
    #[error("{file}: {what}; {hint}")]
    File {
        file: String,
        what: String,
        hint: String,
        #[source]
        cause: Option<Cause>,
    },

    /// What the data service answers, or does not. Never holds the key, which the HTTP client's
    /// errors repeat in the address; so there is no cause.
    #[error("Alpha Vantage: {what}; {hint}")]
    Service { what: String, hint: String },

    /// Nothing to work with for a symbol: unknown, or no bars in the period.
    #[error("{symbol}: {what}; {hint}")]
    NoData { symbol: String, what: String, hint: String },
}

impl MarketError {
    /// Adds the cause that `what` already has in words. Only a store's and a file's errors hold it.
    pub fn caused_by(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> MarketError {
        if let MarketError::Store { cause, .. } | MarketError::File { cause, .. } = &mut self {
            *cause = Some(Cause::new(error));
        }
        self
    }
}
