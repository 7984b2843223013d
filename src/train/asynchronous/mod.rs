//! Training without lockstep: every worker goes at its own pace, pushes gradients and goes on with
//! the weights that the server answers with; none waits for another. After Dean et al. (2012),
//! with gradients that are too old left out.
//!
//! What needs all stocks at one bar is left to the evaluation: here a stock is traded by the DQN
//! alone, with its capital. Runs are not repeatable; what a checkpoint holds is whole, but
//! a resumed run is another one than it would have been.
//!
//! ```text
//! server      rank 0: gradients in, weights out, and what all workers are told
//! worker      a stock's worker on its way
//! message     what the two say to each other
//! threads     both in one process
//! evaluator   evaluations beside a run that goes on
//! ```

pub mod compress;
mod evaluator;
mod message;
mod server;
#[cfg(test)]
mod tests;
mod threads;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow};

use super::dataset::Prepared;
use super::outset::network_shape;
use super::snapshot::{RootState, Snapshot, StockState};
use super::watcher::{Ending, Watcher};
use crate::comm::{Comm, Ranks, Stamp, Tag};
use crate::config::{PortfolioConfig, RunConfig};
use crate::market::panel::Panel;
use crate::portfolio::meta_policy::CapitalPlan;
use crate::rl::device::Device;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::rng::{Purpose, stream};
use crate::train::worker::{Lanes, Worker};
pub use evaluator::{Done, Evaluations};
pub use server::Standing;
use server::{Means, Root};
pub use worker::Cursor;
use worker::{Host, Lone, Surroundings};

/// One rank's part of an asynchronous run.
pub struct Asynchronous<'a> {
    comm: &'a dyn Comm,
    shape: NetworkShape,
    around: Surroundings<'a>,
    lones: Vec<Lone>,
    /// On rank 0.
    root: Option<Root<'a>>,
    weights: Vec<f32>,
}

impl<'a> Asynchronous<'a> {
    /// `slow`: a stock whose bars all take so many times as long.
    pub fn new(
        comm: &'a dyn Comm,
        config: &'a RunConfig,
        train: &Prepared,
        plan: Lanes,
        device: Device,
        stop: &'a AtomicBool,
        slow: Option<(usize, f64)>,
    ) -> Result<Asynchronous<'a>> {
        let stocks = config.stocks.len();
        let shape = network_shape(config, train);
        let weights = shape.initial_weights(&mut stream(config.seed, Purpose::Weights, 0));
        let capital = shared_plan(comm, &train.panel, stocks, &config.portfolio)?;
        let panel = train.panel.clone();
        let around = Surroundings { config, panel, plan, capital, slow };
        let lone = |stock: usize| -> Result<Lone> {
            let return_std = train.note.fit.scaler.return_std[stock];
            let panel = train.panel.clone();
            let worker = Worker::new(stock, config, &shape, panel, plan, return_std);
            let networks = Networks::new(&shape, &weights, &config.learner, Some(device))?;
            Ok(Lone::new(worker, networks, weights.len(), &around))
        };
        let own = Ranks { stocks, size: comm.size() }.owned(comm.rank());
        let lones = own.into_iter().map(lone).collect::<Result<Vec<_>>>()?;
        let root = || Root::new(config, plan, shape.layout(), weights.clone(), stop);
        let root = comm.is_root().then(root);
        Ok(Asynchronous { comm, shape, around, lones, root, weights })
    }

    /// Lets the workers go until all is done or the user wants no more; returns with every rank's
    /// workers stopped, and with the last checkpoint whole. `evaluations` make those that come due
    /// meanwhile.
    pub fn run(
        &mut self,
        watcher: &mut dyn Watcher,
        evaluations: &mut Evaluations,
    ) -> Result<Ending> {
        let (comm, around) = (self.comm, &self.around);
        match (&mut self.root, comm.mailbox(), comm.line()) {
            (Some(root), ..) if comm.size() == 1 => {
                threads::run(root, &mut self.lones, around, watcher, evaluations)?;
            }
            (Some(root), Some(mailbox), _) => {
                let collect = &mut || Ok(Vec::new());
                root.serve(&mut Means { mailbox, watcher, evaluations, collect })?;
            }
            (None, _, Some(line)) => {
                worker::work(&mut self.lones, around, line, &mut RankHost { watcher })?;
            }
            _ => return Err(anyhow!("this kind of communication has no mailbox")),
        }
        let is_stopped = self.root.as_ref().is_some_and(|root| root.ending() == Ending::Stopped);
        let mut is_stopped = [f32::from(u8::from(is_stopped))];
        comm.broadcast(Stamp { tag: Tag::Interval, time: 0 }, &mut is_stopped)?;
        watcher.settle()?;
        if let Some(root) = &self.root {
            self.weights.copy_from_slice(root.weights());
        }
        comm.broadcast(Stamp { tag: Tag::Parameters, time: 0 }, &mut self.weights)?;
        Ok(if is_stopped == [0.0] { Ending::EpisodeDone } else { Ending::Stopped })
    }

    /// Goes back to a snapshot of the same run, taken with any number of ranks.
    pub fn restore(&mut self, state: RootState, stocks: Vec<StockState>) -> Result<()> {
        let standing = state.asynchronous.context("the checkpoint is from a lockstep run")?;
        self.weights = state.weights;
        for (lone, state) in self.lones.iter_mut().zip(stocks) {
            lone.restore(&self.weights, standing.version, state)?;
        }
        if let Some(root) = &mut self.root {
            root.restore(&self.weights, state.optimizer, standing);
        }
        Ok(())
    }

    /// This rank's stocks, in the order of its workers.
    pub fn stocks(&self) -> Vec<usize> {
        self.lones.iter().map(|lone| lone.worker.stock()).collect()
    }

    /// Where the run stands; on rank 0.
    pub fn standing(&self) -> Option<&Standing> {
        self.root.as_ref().map(Root::standing)
    }

    pub fn shape(&self) -> &NetworkShape {
        &self.shape
    }

    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// This rank's workers.
    pub fn into_workers(self) -> Vec<Worker> {
        self.lones.into_iter().map(|lone| lone.worker).collect()
    }
}

/// Worked out on rank 0, for all: it takes time where there are many stocks.
fn shared_plan(
    comm: &dyn Comm,
    panel: &Panel,
    stocks: usize,
    config: &PortfolioConfig,
) -> Result<Arc<CapitalPlan>> {
    let mut bytes = match comm.is_root() {
        true => postcard::to_stdvec(&CapitalPlan::of(panel, stocks, config))?,
        false => Vec::new(),
    };
    comm.broadcast_bytes(&mut bytes);
    Ok(Arc::new(postcard::from_bytes(&bytes)?))
}

/// A rank's own: it has its own part of the checkpoint's folder.
struct RankHost<'a> {
    watcher: &'a mut dyn Watcher,
}

impl Host for RankHost<'_> {
    fn checkpoint(&mut self, env_steps: u64, stocks: Vec<(usize, StockState)>) -> Result<()> {
        self.watcher.checkpoint(Snapshot { env_steps, root: None, stocks })
    }

    fn meet(&mut self) -> Result<()> {
        self.watcher.interval(None)
    }
}
