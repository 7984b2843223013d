//! Ranks: what they say to each other and who does what.

pub mod comm;
pub mod compress;
pub mod heartbeat;
pub mod launch;
pub mod local;
pub mod mailbox;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod ranks;
pub mod server;
pub mod tree;
pub mod worker;

pub use comm::{Comm, CommError, Stamp, Tag};
pub use ranks::Ranks;
