//! What ranks can do together. The training loop is written once against [`Comm`]; one process and
//! many run the same calls in the same order.

use super::error::CommError;
use super::mailbox::{Line, Mailbox};
use super::ranks::Ranks;

/// What a message is about. Every exchange carries one, and ranks that disagree stop the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tag {
    Proposals = 1,
    Orders,
    Gradients,
    Parameters,
    Interval,
    Contexts,
    Attention,
}

/// What an exchange is about and which moment it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub tag: Tag,
    /// Bar time of the sender's first lane (UTC seconds), or a count of gradient steps.
    pub time: i64,
}

impl Stamp {
    /// Elements that a stamp takes at the head of a message.
    pub const LEN: usize = 3;

    pub fn to_floats(self) -> [f32; Stamp::LEN] {
        let time = self.time as u64;
        [
            f32::from_bits(self.tag as u32),
            f32::from_bits((time >> 32) as u32),
            f32::from_bits(time as u32),
        ]
    }

    /// Compares a received head with what this rank expects from `rank`.
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

/// Called for every piece of work sent to rank 0: the sender's rank and its bytes.
pub type OnMessage<'a> = dyn FnMut(usize, Vec<u8>) + 'a;

/// Rank 0 and the others. Lengths are agreed beforehand; all ranks make the same calls in the same
/// order.
pub trait Comm {
    fn rank(&self) -> usize;

    fn size(&self) -> usize;

    /// Name and version of what carries the messages; empty where none are.
    fn library(&self) -> String;

    fn is_root(&self) -> bool {
        self.rank() == 0
    }

    /// Every rank's `mine` one after the other in rank order into `all` on rank 0, which must be as
    /// long as all `counts` together; `all` is left alone elsewhere. `mine.len() == counts[rank]`.
    fn gather(
        &self,
        stamp: Stamp,
        mine: &[f32],
        counts: &[usize],
        all: &mut [f32],
    ) -> Result<(), CommError>;

    /// The reverse of [`Comm::gather`]: `all` on rank 0 is dealt out.
    fn scatter(
        &self,
        stamp: Stamp,
        all: &[f32],
        counts: &[usize],
        mine: &mut [f32],
    ) -> Result<(), CommError>;

    /// Rank 0's values on every rank.
    fn broadcast(&self, stamp: Stamp, values: &mut [f32]) -> Result<(), CommError>;

    /// The sum of one block of numbers per stock into `total` on rank 0, which is as long as a block
    /// on every rank and left alone elsewhere. `mine` holds the blocks of this rank's stocks, and
    /// is used up. The order of additions does not depend on the ranks: see [`super::tree`].
    fn sum(
        &self,
        stamp: Stamp,
        mine: &mut [f32],
        ranks: Ranks,
        total: &mut [f32],
    ) -> Result<(), CommError>;

    /// Rank 0's bytes, of any length, on every rank.
    fn broadcast_bytes(&self, bytes: &mut Vec<u8>);

    /// Each rank's bytes on rank 0 in rank order; empty elsewhere.
    fn gather_bytes(&self, mine: &[u8]) -> Vec<Vec<u8>>;

    /// Each rank does `work`, which may send any number of messages to rank 0; they are handed to
    /// `on_message` there as they come. Returns when every rank's work is done. `on_message` is
    /// called on rank 0 only.
    fn stream_to_root(
        &self,
        work: &mut dyn FnMut(&mut dyn FnMut(&[u8])),
        on_message: &mut OnMessage<'_>,
    );

    /// Rank 0's end of questions that are answered one by one; None where this is one process.
    fn mailbox(&self) -> Option<&dyn Mailbox> {
        None
    }

    /// The other ranks' end.
    fn line(&self) -> Option<&dyn Line> {
        None
    }

    /// Copies a file that rank 0 wrote to the same path on every machine that does not share rank
    /// 0's memory. Returns the path under which this rank finds it.
    fn share_file(&self, path: &std::path::Path) -> Result<std::path::PathBuf, CommError>;

    /// All ranks fail when one does, with the first failing rank's error.
    fn agree<T, E: std::fmt::Display>(&self, mine: Result<T, E>) -> Result<T, CommError>
    where
        Self: Sized,
    {
        agree(self, mine)
    }
}

/// See [`Comm::agree`]; this form works on a trait object.
pub fn agree<T, E: std::fmt::Display>(
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

/// Whether every rank has this error, as after [`agree`]; of any other the rest may know nothing.
pub fn is_shared(error: &anyhow::Error) -> bool {
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
        let ours = Stamp { tag: Tag::Proposals, time: 1_577_975_460 };
        assert_eq!(ours.check(&ours.to_floats(), 3), Ok(()));
        let theirs = Stamp { tag: Tag::Proposals, time: 1_577_975_520 };
        let error = ours.check(&theirs.to_floats(), 3).unwrap_err().to_string();
        for part in ["rank 3", "1577975460", "1577975520"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
