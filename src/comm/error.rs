//! Errors of communication between ranks.

use thiserror::Error;

use crate::errors::Cause;

/// Why ranks could not communicate.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum CommError {
    /// Two ranks made different calls, or the same call at different times.
    #[error(
        "rank {rank} is out of sync: it sent {received} where {expected} was expected; \
         this is a bug, please report it with the run's config.toml"
    )]
    OutOfStep {
        /// The rank whose message was received.
        rank: usize,
        /// Kind and time of this rank's own call.
        expected: String,
        /// Kind and time in the message.
        received: String,
    },
    /// An error of one rank that was shared with all.
    #[error("{0}")]
    Shared(String),
    /// MPI cannot be used, or the ranks could not be started.
    #[error("MPI: {what}; {hint}")]
    Mpi {
        /// What failed.
        what: String,
        /// What the user can do about it.
        hint: String,
        /// What the operating system said; `what` has it in words.
        #[source]
        cause: Option<Cause>,
    },
}
