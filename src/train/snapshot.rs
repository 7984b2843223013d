//! The state of a run in a checkpoint, from which it resumes bit for bit.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::attempts::Attempts;
use super::compress::Compressor;
use super::selection::Selected;
use super::worker::{LearnStats, WorkerState};
use crate::portfolio::desk::DeskState;
use crate::rl::networks::NetworksState;
use crate::rl::optimizer::Adam;
use crate::rl::schedule::UpdateCredit;

/// Where a run is: between two bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunPosition {
    /// The present episode, counted from 1.
    pub(crate) episode: u32,
    /// Steps of its segments that are done.
    pub(crate) step: usize,
    /// Bars since the last interval.
    pub(super) since: usize,
    pub(crate) env_steps: u64,
    pub(crate) gradient_steps: u64,
}

/// Rank 0's state of the loop.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RootState {
    pub(super) weights: Vec<f32>,
    pub(super) optimizer: Adam,
    pub(super) mode: ModeState,
}

/// What is particular to the way in which workers are synchronised.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum ModeState {
    Lockstep(LockstepState),
    Asynchronous(ServerState),
}

/// Where a run in lockstep is, beside the weights and their optimizer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct LockstepState {
    pub(super) at: RunPosition,
    pub(super) attempts: Attempts,
    pub(super) networks: NetworksState,
    pub(super) credit: UpdateCredit,
    pub(super) desk: DeskState,
    pub(super) selected: Option<Selected>,
    /// Since the last interval.
    pub(super) learned: Vec<LearnStats>,
}

/// Where the server of an asynchronous run is, beside the weights and their optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerState {
    pub(crate) env_steps: u64,
    /// Gradients used so far.
    pub(crate) version: u64,
    pub(super) since: SinceInterval,
    /// Exploration rate of each stock.
    pub(super) epsilon: Vec<f64>,
    /// Bars of each stock.
    pub(crate) env_steps_of: Vec<u64>,
    /// Episodes whose evaluations are due and were not reported yet; the first may be running.
    pub(super) due: VecDeque<u32>,
}

/// What happened since the last interval; in a checkpoint, so that nothing is reported twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SinceInterval {
    pub(crate) learned: Vec<LearnStats>,
    pub(crate) env_steps: u64,
    pub(crate) reward: f64,
    pub(crate) pushes: u64,
    pub(crate) bytes: u64,
    pub(crate) staleness: u64,
    pub(crate) most_stale: u64,
    pub(crate) rejected: u64,
}

/// A worker's state, and its sum of rewards since the last interval.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StockState {
    pub(super) worker: WorkerState,
    pub(super) reward_sum: f64,
    /// None in lockstep, where all workers share networks and pace.
    pub(super) own_pace: Option<AsyncWorkerState>,
}

/// What the worker of an asynchronous run has for itself.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct AsyncWorkerState {
    pub(crate) networks: NetworksState,
    pub(crate) cursor: Cursor,
}

/// Where the worker of an asynchronous run is, beside what the worker itself knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Steps of the present pass over the training period.
    pub(crate) step: usize,
    pub(crate) credit: UpdateCredit,
    /// Gradients that are due.
    pub(crate) owed: u64,
    /// Since the last message.
    pub(crate) silent_bars: u32,
    pub(crate) compressor: Compressor,
}

/// A rank's state, taken after the same bar on all ranks.
pub struct Snapshot {
    /// Bars stepped so far, over all stocks and lanes.
    pub env_steps: u64,
    /// On rank 0 only.
    pub(crate) root: Option<RootState>,
    /// This rank's stocks.
    pub(crate) stocks: Vec<(usize, StockState)>,
}

#[cfg(test)]
mod tests;
