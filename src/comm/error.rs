//! What can go wrong between ranks.

use thiserror::Error;

use crate::errors::Cause;

#[derive(Debug, Error, Clone, PartialEq)]
pub enum CommError {
    #[error(
        "rank {rank} is out of step: it sent {received} where {expected} was due; \
         this is a defect of the program, please report it with the run's config.toml"
    )]
    OutOfStep { rank: usize, expected: String, received: String },
    /// An error that one rank met and all now know of.
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
