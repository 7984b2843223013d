//! Errors of communication between ranks.

use thiserror::Error;

use crate::errors::Cause;

#[derive(Debug, Error, Clone, PartialEq)]
pub enum CommError {
    #[error(
        "rank {rank} is out of sync: it sent {received} where {expected} was expected; \
         this is a bug, please report it with the run's config.toml"
    )]
    OutOfStep { rank: usize, expected: String, received: String },
    /// An error of one rank that was shared with all.
    #[error("{0}")]
    Shared(String),
    #[error("MPI: {what}; {hint}")]
    Mpi {
        what: String,
        hint: String,
        /// What the operating system said; `what` has it in words.
        #[source]
        cause: Option<Cause>,
    },
}
