//! What a training loop tells of its way, to whoever keeps files and shows progress.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::asynchronous::Done;
use super::snapshot::Snapshot;
use crate::train::worker::Worker;

/// What happened since the last interval, on rank 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Counted from 1.
    pub episode: u32,
    /// Bars stepped, over all stocks and lanes, since the start of the run.
    pub env_steps: u64,
    pub gradient_steps: u64,
    /// Mean over gradient steps and stocks; None where none was made.
    pub loss: Option<f64>,
    pub mean_q: Option<f64>,
    /// Mean over stocks and lanes.
    pub epsilon: f64,
    /// Mean over bars and lanes of the portfolio's return per bar: each stock's by its capital.
    pub reward: f64,
    /// None in lockstep.
    pub asynchronous: Option<Pushes>,
}

/// The gradients of an interval of an asynchronous run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pushes {
    /// Gradients that were used between the fetching of a gradient's weights and its own coming;
    /// mean, and most.
    pub staleness: f64,
    pub most_stale: u64,
    /// Too old to be used.
    pub rejected: u64,
    /// Mean length of a gradient's message, bytes.
    pub push_bytes: f64,
}

/// What ended a stretch of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    EpisodeDone,
    /// The user asked to stop; every rank stopped after the same bar.
    Stopped,
}

/// What a training run does besides training: nothing, where it is not said.
pub trait Watcher {
    /// On rank 0: whether it is time for a checkpoint.
    fn wants_checkpoint(&mut self) -> bool {
        false
    }

    /// On every rank, after the same bar: a checkpoint was wanted, or the user wants no more.
    fn checkpoint(&mut self, _snapshot: Snapshot) -> Result<()> {
        Ok(())
    }

    /// On every rank, at the end of an interval; with what it brought on rank 0.
    fn interval(&mut self, _interval: Option<Interval>) -> Result<()> {
        Ok(())
    }

    /// On rank 0 without lockstep: an interval ended, and nobody else knows.
    fn interval_told(&mut self, interval: Interval) -> Result<()> {
        self.interval(Some(interval))
    }

    /// On rank 0: an evaluation was made.
    fn evaluated(&mut self, _done: &Done) -> Result<()> {
        Ok(())
    }

    /// A checkpoint is being written, and all ranks have to meet before it counts; the same on all.
    fn is_writing(&self) -> bool {
        false
    }

    /// On every rank, when its workers have stopped for good without lockstep: what follows may
    /// take long, and a checkpoint is to count before.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// On every rank, after each bar: this rank's workers as the bar left them.
    fn bar(&mut self, _workers: &[Worker]) {}
}
