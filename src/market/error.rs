//! The error type of the market layer. Every message says where, what, and what to do.

use std::error::Error;

use thiserror::Error as ThisError;

use crate::errors::Cause;

/// All of these can be fixed by the user: the program prints one line and exits with code 2.
///
/// `cause` is the error of the file system or file reader; `what` includes its message.
#[derive(Debug, ThisError, Clone, PartialEq)]
pub enum MarketError {
    /// A value given by the user, such as a symbol or a market's name.
    #[error("{what}; {hint}")]
    Input {
        /// What is wrong with it.
        what: String,
        /// What to give instead.
        hint: String,
    },

    /// A store that cannot be reached, opened or written. Neither `place` nor `cause` contains a
    /// secret: errors of the HTTP client, which repeat URLs with signatures, are not kept.
    #[error("{place}: {what}; {hint}")]
    Store {
        /// Folder, or account and container.
        place: String,
        /// What failed.
        what: String,
        /// What the user can do about it.
        hint: String,
        /// The error of the file system, where there is one.
        #[source]
        cause: Option<Cause>,
    },

    /// A day file that is truncated, foreign or lacks a column. `file` is the path or blob name.
    #[error("{file}: {what}; {hint}")]
    File {
        /// Path or blob name.
        file: String,
        /// What is wrong with it.
        what: String,
        /// What the user can do about it.
        hint: String,
        /// The error of the file system or the reader, where there is one.
        #[source]
        cause: Option<Cause>,
    },

    /// A refusal or failure of the data service. Never contains the key; since the HTTP client's
    /// errors repeat it in the URL, there is no cause.
    #[error("Alpha Vantage: {what}; {hint}")]
    Service {
        /// What the service refused, or how it failed.
        what: String,
        /// What the user can do about it.
        hint: String,
    },

    /// Bars whose prices are doubtful, where such are refused.
    #[error("{symbol}: {what}; {hint}")]
    Doubtful {
        /// The ticker.
        symbol: String,
        /// The first doubt, with its time.
        what: String,
        /// What the user can do about it.
        hint: String,
    },

    /// No data for a symbol: it is unknown, or has no bars in the period.
    #[error("{symbol}: {what}; {hint}")]
    NoData {
        /// The ticker.
        symbol: String,
        /// What is missing.
        what: String,
        /// What there is instead, or what to check.
        hint: String,
    },
}

impl MarketError {
    /// What is wrong, without where and what to do.
    pub(crate) fn what(&self) -> &str {
        match self {
            MarketError::Input { what, .. }
            | MarketError::Store { what, .. }
            | MarketError::File { what, .. }
            | MarketError::Service { what, .. }
            | MarketError::NoData { what, .. }
            | MarketError::Doubtful { what, .. } => what,
        }
    }

    /// Adds the cause whose message `what` already includes. Only the errors of a store or a file
    /// keep it.
    pub fn caused_by(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> MarketError {
        if let MarketError::Store { cause, .. } | MarketError::File { cause, .. } = &mut self {
            *cause = Some(Cause::new(error));
        }
        self
    }
}
