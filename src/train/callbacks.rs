//! What a training run tells its caller on the way: the one place where files, progress and early
//! ends come in.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::dataset::PreparedData;
use super::evaluation::Evaluation;
use super::snapshot::Snapshot;
use super::worker::{Lanes, Worker};
use crate::config::RunConfig;
use crate::market::{Period, Symbol};

/// Lines of metrics per episode.
pub(super) const INTERVALS_PER_EPISODE: usize = 10;

/// What happened since the last interval, on rank 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingInterval {
    /// Counted from 1.
    pub episode: u32,
    /// Bars stepped, over all stocks and lanes, since the start of the run.
    pub env_steps: u64,
    /// Updates of the weights since the start of the run.
    pub gradient_steps: u64,
    /// Mean over gradient steps and stocks; None where none was made.
    pub loss: Option<f64>,
    /// Mean over gradient steps and stocks of the chosen actions' values; None where none was made.
    pub mean_q: Option<f64>,
    /// Mean over stocks and lanes.
    pub epsilon: f64,
    /// Mean over bars and lanes of the portfolio's return per bar: each stock's by its capital.
    pub reward: f64,
    /// None in lockstep.
    pub asynchronous: Option<PushStats>,
}

/// The gradients of an interval of an asynchronous run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushStats {
    /// Gradients that were used between the fetching of a gradient's weights and its own arrival;
    /// mean, and maximum.
    pub staleness: f64,
    /// Maximum, as `staleness` is the mean.
    pub most_stale: u64,
    /// Too old to be used.
    pub rejected: u64,
    /// Mean length of a gradient's message, bytes.
    pub push_bytes: f64,
}

/// What ended a stretch of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its last bar was reached.
    EpisodeDone,
    /// The user asked to stop; every rank stopped after the same bar.
    Stopped,
}

/// A run between its data and its first bar.
#[derive(Clone, Copy)]
pub struct TrainingStart<'a> {
    /// The settings as the data completed them: length and label of the bars are known by now.
    pub config: &'a RunConfig,
    /// Panel and fit of the training period.
    pub train: &'a PreparedData,
    /// Panel of the evaluation period.
    pub eval: &'a PreparedData,
    /// How the training period is cut.
    pub lanes: Lanes,
    /// Length of the network's weights.
    pub parameters: usize,
    /// What [`Callbacks::state`] returned at the checkpoint from which the run resumes.
    pub resumed: Option<&'a [u8]>,
    /// Whether that run was finished, and goes on for more episodes.
    pub goes_on: bool,
}

/// What a training run does besides training. Every method does nothing unless it is overridden;
/// an error ends the run.
pub trait Callbacks {
    /// On rank 0, while bars are read: so many days of a stock are done.
    fn on_days(&mut self, _symbol: &Symbol, _done: usize, _total: usize) {}

    /// On every rank: the data of a period are ready.
    fn on_data(&mut self, _period: Period, _data: &PreparedData) {}

    /// On rank 0: a line for the user, such as that a checkpoint was passed over.
    fn on_message(&mut self, _line: &str) {}

    /// On every rank, before the first bar.
    fn on_training_start(&mut self, _start: &TrainingStart<'_>) -> Result<()> {
        Ok(())
    }

    /// On every rank, after each bar: this rank's workers as the bar left them. In lockstep only.
    fn on_bar(&mut self, _workers: &[Worker]) {}

    /// On rank 0, at the end of an interval.
    fn on_interval(&mut self, _interval: TrainingInterval) -> Result<()> {
        Ok(())
    }

    /// On every rank, at the same point of the run: the place for work that all ranks share.
    fn on_barrier(&mut self) -> Result<()> {
        Ok(())
    }

    /// On every rank, before an evaluation for which training pauses.
    fn on_evaluation_start(&mut self) {}

    /// On rank 0: an evaluation was made.
    fn on_evaluation(&mut self, _done: &Evaluation) -> Result<()> {
        Ok(())
    }

    /// On every rank: training continues after an evaluation.
    fn on_evaluation_end(&mut self) {}

    /// Whether checkpoints are kept, and the last bar of the run is to have one.
    fn keeps(&self) -> bool {
        false
    }

    /// On rank 0: whether it is time for a checkpoint.
    fn wants_checkpoint(&mut self) -> bool {
        false
    }

    /// On every rank, after the same bar: a checkpoint was wanted, or the run is stopped.
    fn on_checkpoint(&mut self, _snapshot: Snapshot) -> Result<()> {
        Ok(())
    }

    /// Whether a checkpoint is being written, for which all ranks have to meet before it counts;
    /// the same on all.
    fn is_writing(&self) -> bool {
        false
    }

    /// On rank 0, at a checkpoint: what the caller needs to resume its own work, as
    /// [`TrainingStart::resumed`] returns it.
    fn state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// On every rank, when its workers have stopped for good in an asynchronous run: what follows
    /// may take long, and a checkpoint is to count before.
    fn on_workers_stopped(&mut self) -> Result<()> {
        Ok(())
    }

    /// On every rank, after the last bar and the last evaluation.
    fn on_training_end(&mut self, _ending: Ending) -> Result<()> {
        Ok(())
    }
}

/// For a run that nobody watches.
impl Callbacks for () {}
