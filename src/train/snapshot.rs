//! What a run has to remember to go on as if nothing had happened.

use serde::{Deserialize, Serialize};

use super::asynchronous;
use crate::portfolio::desk::DeskState;
use crate::rl::networks::NetworksState;
use crate::rl::optimizer::Adam;
use crate::rl::schedule::UpdateCredit;
use crate::train::worker::{Learned, WorkerState};

/// Where a run stands: between two bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// The episode that goes on, counted from 1.
    pub episode: u32,
    /// Steps of its segments that are done.
    pub step: usize,
    /// Bars since the last interval.
    pub(super) since: usize,
    pub env_steps: u64,
    pub gradient_steps: u64,
}

/// Rank 0's state of the loop.
#[derive(Clone, Serialize, Deserialize)]
pub struct RootState {
    pub(super) at: At,
    pub(super) weights: Vec<f32>,
    /// None where every worker has its own.
    pub(super) networks: Option<NetworksState>,
    /// None where every worker keeps its own.
    pub(super) credit: Option<UpdateCredit>,
    pub(super) optimizer: Adam,
    /// None where there is none.
    pub(super) desk: Option<DeskState>,
    pub(super) learned: Vec<Learned>,
    /// None in lockstep.
    pub(super) asynchronous: Option<asynchronous::Standing>,
}

/// A worker's state, and its sum of rewards since the last interval.
#[derive(Clone, Serialize, Deserialize)]
pub struct StockState {
    pub(super) worker: WorkerState,
    /// None in lockstep.
    pub(super) networks: Option<NetworksState>,
    pub(super) reward_sum: f64,
    /// None in lockstep.
    pub(super) cursor: Option<asynchronous::Cursor>,
}

/// All that a rank has to remember, taken after one and the same bar on all of them.
pub struct Snapshot {
    pub env_steps: u64,
    /// On rank 0 only.
    pub root: Option<RootState>,
    /// This rank's stocks.
    pub stocks: Vec<(usize, StockState)>,
}
