//! What workers and the server say to each other: a head, and numbers after it.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::train::worker::LearnStats;

/// Of one stock, to the server; a packed gradient follows where something was learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GradientPush {
    pub(crate) stock: u32,
    /// Bars stepped since the last one, over all lanes.
    pub(crate) env_steps: u32,
    /// Sum of capital times reward over them.
    pub(crate) reward: f64,
    pub(crate) epsilon: f64,
    /// Gradient steps that the server had made when the weights of this gradient were its own.
    pub(crate) version: u64,
    pub(crate) learned: Option<LearnStats>,
}

/// To a worker; the server's weights follow where it sent a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerReply {
    pub(crate) next: NextStep,
    /// Gradient steps made so far.
    pub(crate) version: u64,
    /// Fraction of the run that is done.
    pub(crate) progress: f64,
    /// The gradient was used; not so if it was too old.
    pub(crate) is_used: bool,
}

/// What a worker does before its next bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NextStep {
    GoOn,
    /// Writes its part of the checkpoint of so many steps.
    Checkpoint(u64),
    /// Meets all others, who make a checkpoint count.
    Meet,
    Stop,
}

/// A head, its length before it, and what follows.
pub(crate) fn write(head: &impl Serialize, message: &mut Vec<u8>) -> Result<()> {
    let head = postcard::to_stdvec(head)?;
    message.clear();
    message.push(u8::try_from(head.len()).context("a header is too long")?);
    message.extend(head);
    Ok(())
}

/// The head, and the bytes after it.
pub(crate) fn read<T: DeserializeOwned>(message: &[u8]) -> Result<(T, &[u8])> {
    let (&len, rest) = message.split_first().context("an empty message")?;
    let head = rest.get(..usize::from(len)).context("a message ends within its header")?;
    Ok((postcard::from_bytes(head)?, &rest[usize::from(len)..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let push = GradientPush {
            stock: 499,
            env_steps: u32::MAX,
            reward: -0.125,
            epsilon: 0.4,
            version: u64::MAX,
            learned: Some(LearnStats { loss: 1.5, mean_q: f32::NEG_INFINITY }),
        };
        let mut message = vec![1, 2, 3];
        write(&push, &mut message).unwrap();
        message.extend([7, 8]);
        let (read_back, rest): (GradientPush, _) = read(&message).unwrap();
        assert_eq!((read_back, rest), (push, &[7u8, 8][..]));
        assert!(read::<GradientPush>(&message[..9]).is_err());
        assert!(read::<GradientPush>(&[]).is_err());
    }
}
