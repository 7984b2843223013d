//! Communication between ranks: the [`Comm`] trait, its implementations (one process, MPI), the
//! launcher, the supervisor of ranks that it starts, and the heartbeat. Knows nothing of learning or of markets.

#[expect(clippy::module_inception, reason = "the trait that the room is named after")]
pub(crate) mod comm;
mod error;
#[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "one process only moves the pulse"))]
pub(crate) mod heartbeat;
#[cfg(feature = "mpi")]
pub(crate) mod hosts;
#[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "one process starts no ranks"))]
pub(crate) mod launch;
pub mod local;
pub mod mailbox;
#[cfg(feature = "mpi")]
pub mod mpi;
pub(crate) mod ranks;
#[cfg(feature = "mpi")]
pub(crate) mod supervisor;
pub mod tree;

pub use comm::{Comm, MessageFor, MessageStamp, OnMessage, StreamWork, Tag};
pub use error::CommError;
pub use ranks::Ranks;
