//! Communication between ranks. The training loop is written once against [`Comm`]: one process and
//! many make the same calls in the same order.

use super::error::CommError;
use super::mailbox::{Mailbox, ServerLink};
use super::ranks::Ranks;

/// The kind of a message. Every collective call carries one; a mismatch between ranks is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tag {
    /// What the DQNs want, one entry per stock and lane: gathered by rank 0.
    Proposals = 1,
    /// What the desk approved: scattered to the workers.
    Orders,
    /// Gradients of a step, summed over stocks on rank 0.
    Gradients,
    /// The network's weights: broadcast by rank 0.
    Parameters,
    /// Statistics of an interval, or whether the run was stopped.
    Interval,
    /// Values of all positions on bars that are not learned from: gathered on rank 0.
    Values,
    /// After training: attention to each peer, and its influence.
    Attention,
    /// After training: what each stock's decisions depend on.
    Importance,
}

/// The header of a collective call: its kind and its point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageStamp {
    /// What the call carries.
    pub tag: Tag,
    /// Bar time of the sender's first lane (UTC seconds), or a number of gradient steps.
    pub time: i64,
}

impl MessageStamp {
    /// Length of an encoded stamp in `f32` elements.
    pub const LEN: usize = 3;

    /// The tag and both halves of the time, as bits of floats.
    pub fn to_floats(self) -> [f32; MessageStamp::LEN] {
        let time = self.time as u64;
        [
            f32::from_bits(self.tag as u32),
            f32::from_bits((time >> 32) as u32),
            f32::from_bits(time as u32),
        ]
    }

    /// Checks the header received from `rank` against this stamp. Errors: they differ.
    pub fn check(self, head: &[f32], rank: usize) -> Result<(), CommError> {
        let expected = self.to_floats().map(f32::to_bits);
        let received = [head[0].to_bits(), head[1].to_bits(), head[2].to_bits()];
        if received == expected {
            return Ok(());
        }
        let time = (u64::from(received[1]) << 32 | u64::from(received[2])) as i64;
        Err(CommError::OutOfStep {
            rank,
            expected: format!("{:?} of time {}", self.tag, self.time),
            received: format!("message {} of time {time}", received[0]),
        })
    }
}

/// Called on rank 0 with the sender's rank and its message.
pub type OnMessage<'a> = dyn FnMut(usize, Vec<u8>) + 'a;

/// Called on rank 0 in [`Comm::scatter_bytes`]: the message for a rank.
pub type MessageFor<'a> = dyn FnMut(usize) -> Vec<u8> + 'a;

/// What a rank does in [`Comm::stream_to_root`], given a function that sends a message to rank 0.
pub type StreamWork<'a> = dyn FnMut(&mut dyn FnMut(&[u8])) + 'a;

/// Collective communication between rank 0 and the workers. All ranks make the same calls in the
/// same order, with buffer lengths that they all know.
pub trait Comm {
    /// Index of this process, from 0; rank 0 is the server, or the only process.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Name and version of the message-passing library; empty in a single process.
    fn library(&self) -> String;

    /// Whether this is rank 0.
    fn is_root(&self) -> bool {
        self.rank() == 0
    }

    /// Concatenates every rank's `mine` in rank order into `all` on rank 0. There `all.len()` must
    /// equal the sum of `counts`; on other ranks `all` is not touched. `mine.len() ==
    /// counts[rank]`.
    fn gather(
        &self,
        stamp: MessageStamp,
        mine: &[f32],
        counts: &[usize],
        all: &mut [f32],
    ) -> Result<(), CommError>;

    /// The reverse of [`Comm::gather`]: splits `all` on rank 0 into `counts[rank]` elements for
    /// each rank.
    fn scatter(
        &self,
        stamp: MessageStamp,
        all: &[f32],
        counts: &[usize],
        mine: &mut [f32],
    ) -> Result<(), CommError>;

    /// Copies rank 0's `values` to every rank. `values.len()` is the same on all ranks.
    fn broadcast(&self, stamp: MessageStamp, values: &mut [f32]) -> Result<(), CommError>;

    /// Sums one block per stock over all stocks into `total` on rank 0. `mine` is `[owned stock,
    /// block]` and is overwritten; `total` is `[block]` on every rank, but only rank 0's is
    /// written. The order of additions does not depend on the number of ranks: see [`super::tree`].
    fn sum(
        &self,
        stamp: MessageStamp,
        mine: &mut [f32],
        ranks: Ranks,
        total: &mut [f32],
    ) -> Result<(), CommError>;

    /// Copies rank 0's bytes, of any length, to every rank.
    fn broadcast_bytes(&self, bytes: &mut Vec<u8>);

    /// Each rank's bytes in rank order on rank 0; empty elsewhere.
    fn gather_bytes(&self, mine: &[u8]) -> Vec<Vec<u8>>;

    /// The reverse of [`Comm::gather_bytes`]: rank 0 makes a message for every rank, one after the
    /// other, so that it holds one at a time. Returns this rank's own.
    fn scatter_bytes(&self, message_for: &mut MessageFor<'_>) -> Vec<u8>;

    /// Runs `work` on each rank. It may send any number of messages to rank 0, where `on_message`
    /// receives them as they arrive. Returns when every rank's work is done. `on_message` is called
    /// on rank 0 only.
    fn stream_to_root(&self, work: &mut StreamWork<'_>, on_message: &mut OnMessage<'_>);

    /// Rank 0's end of the request channel; None on workers and in a single process.
    fn mailbox(&self) -> Option<&dyn Mailbox> {
        None
    }

    /// A worker's end of the request channel; None on rank 0 and in a single process.
    fn server_link(&self) -> Option<&dyn ServerLink> {
        None
    }

    /// Copies a file that rank 0 wrote to every node that does not share rank 0's memory. Returns
    /// the path under which this rank finds it. Errors: reading or writing failed on any node.
    fn share_file(&self, path: &std::path::Path) -> Result<std::path::PathBuf, CommError>;

    /// Turns an error of any rank into an error on all ranks: that of the lowest failing rank.
    fn agree<T, E: std::fmt::Display>(&self, mine: Result<T, E>) -> Result<T, CommError>
    where
        Self: Sized,
    {
        agree(self, mine)
    }
}

/// [`Comm::agree`] for a trait object.
pub(crate) fn agree<T, E: std::fmt::Display>(
    comm: &(impl Comm + ?Sized),
    mine: Result<T, E>,
) -> Result<T, CommError> {
    let message = mine.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let messages = comm.gather_bytes(message.as_bytes());
    let mut verdict = messages.into_iter().find(|m| !m.is_empty()).unwrap_or_default();
    comm.broadcast_bytes(&mut verdict);
    match (mine, verdict.is_empty()) {
        (Ok(value), true) => Ok(value),
        _ => Err(CommError::Shared(String::from_utf8_lossy(&verdict).into_owned())),
    }
}

/// Whether every rank has this error, as after [`agree`]. Of any other error, the other ranks may
/// not know.
#[cfg(any(test, feature = "mpi"))]
pub(crate) fn is_shared(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(CommError::Shared(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agreed_error_is_known_as_such_under_any_context() {
        use anyhow::Context;
        let shared = CommError::Shared("no such day".into());
        assert!(is_shared(&Err::<(), _>(shared).context("training data").unwrap_err()));
        assert!(!is_shared(&anyhow::anyhow!("the disk is full")));
    }

    #[test]
    fn a_stamp_that_differs_names_rank_and_both_times() {
        let ours = MessageStamp { tag: Tag::Proposals, time: 1_577_975_460 };
        assert_eq!(ours.check(&ours.to_floats(), 3), Ok(()));
        let theirs = MessageStamp { tag: Tag::Proposals, time: 1_577_975_520 };
        let error = ours.check(&theirs.to_floats(), 3).unwrap_err().to_string();
        for part in ["rank 3", "1577975460", "1577975520"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
