//! Communication between ranks: the [`Comm`] trait, its implementations (one process, MPI), the
//! launcher and the heartbeat. Knows nothing of learning or of markets.

#[expect(clippy::module_inception, reason = "the trait that the room is named after")]
pub mod comm;
mod error;
pub mod heartbeat;
pub mod launch;
pub mod local;
pub mod mailbox;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod ranks;
pub mod tree;

pub use comm::{Comm, MessageStamp, Tag};
pub use error::CommError;
pub use ranks::Ranks;
