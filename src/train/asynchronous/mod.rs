//! Training without lockstep: every worker goes at its own pace, pushes gradients and continues with
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
//! evaluator   evaluations beside a run that continues
//! ```

mod evaluator;
mod message;
mod server;
#[cfg(test)]
mod tests;
mod threads;
mod worker;

use anyhow::{Result, anyhow, bail};

use super::callbacks::{Callbacks, Ending};
use super::setup::Setup;
use super::snapshot::{ModeState, RootState, ServerState, Snapshot, StockState};
use super::worker::Worker;
use crate::comm::{MessageStamp, Tag};
use crate::config::AsynchronousConfig;
use crate::market::Symbol;
use crate::portfolio::meta_policy::CapitalPlan;
pub(crate) use evaluator::Evaluator;
use server::{AsyncServer, ServerIo};
use worker::{AsyncWorker, Host, WorkerContext};

/// Names a stock and how many times as long its bars take, as in `AAPL:3`: to try what a slow
/// worker costs the others.
const SLOW: &str = "DQN_TRADER_SLOW_STOCK";
const LOCKSTEP: &str = "the checkpoint is from a lockstep run; resume it with --sync lockstep";

/// One rank's part of an asynchronous run.
pub(crate) struct Asynchronous<'a> {
    setup: Setup<'a>,
    context: WorkerContext<'a>,
    async_workers: Vec<AsyncWorker>,
    /// On rank 0.
    root: Option<AsyncServer<'a>>,
    weights: Vec<f32>,
}

impl<'a> Asynchronous<'a> {
    /// Errors: the stock that is to be slow is none of the run's.
    pub(crate) fn new(
        setup: Setup<'a>,
        config: &'a AsynchronousConfig,
    ) -> Result<Asynchronous<'a>> {
        let (weights, capital) = (setup.weights(), shared_capital(&setup)?);
        let slow = slow_stock(&setup.mandate.stocks)?;
        let Setup { train, lanes, learner, .. } = setup;
        let (panel, priority_beta) = (&*train.panel, learner.priority_beta);
        let context = WorkerContext { panel, lanes, config, priority_beta, capital, slow };
        let async_worker = |worker| -> Result<AsyncWorker> {
            let networks = setup.networks(&weights)?;
            Ok(AsyncWorker::new(worker, networks, weights.len(), setup.credit(), &context))
        };
        let async_workers = setup.workers().into_iter().map(async_worker).collect::<Result<_>>()?;
        let root = || AsyncServer::new(&setup, config, weights.clone());
        let root = setup.comm.is_root().then(root);
        Ok(Asynchronous { setup, context, async_workers, root, weights })
    }

    /// Lets the workers go until all is done or the user wants no more; returns with every rank's
    /// workers stopped, and with the last checkpoint whole. `evaluations` make those that come due
    /// meanwhile.
    pub(crate) fn run(
        &mut self,
        callbacks: &mut dyn Callbacks,
        evaluations: &mut Evaluator,
    ) -> Result<Ending> {
        let (comm, context) = (self.setup.comm, &self.context);
        match (&mut self.root, comm.mailbox(), comm.server_link()) {
            (Some(root), ..) if comm.size() == 1 => {
                threads::run(root, &mut self.async_workers, context, callbacks, evaluations)?;
            }
            (Some(root), Some(mailbox), _) => {
                let collect = &mut || Ok(Vec::new());
                root.serve(&mut ServerIo { mailbox, callbacks, evaluations, collect })?;
            }
            (None, _, Some(line)) => {
                worker::work(&mut self.async_workers, context, line, &mut RankHost { callbacks })?;
            }
            _ => return Err(anyhow!("this kind of communication has no mailbox")),
        }
        let is_stopped = self.root.as_ref().is_some_and(|root| root.ending() == Ending::Stopped);
        let mut is_stopped = [f32::from(u8::from(is_stopped))];
        comm.broadcast(MessageStamp { tag: Tag::Interval, time: 0 }, &mut is_stopped)?;
        callbacks.on_workers_stopped()?;
        if let Some(root) = &self.root {
            self.weights.copy_from_slice(root.weights());
        }
        comm.broadcast(MessageStamp { tag: Tag::Parameters, time: 0 }, &mut self.weights)?;
        Ok(if is_stopped == [0.0] { Ending::EpisodeDone } else { Ending::Stopped })
    }

    /// Restores a snapshot of the same run, taken with any number of ranks.
    ///
    /// Errors: it is of a run in lockstep.
    pub(crate) fn restore(&mut self, root: RootState, stocks: Vec<StockState>) -> Result<()> {
        let RootState { weights, optimizer, mode: ModeState::Asynchronous(state) } = root else {
            bail!(LOCKSTEP)
        };
        self.weights = weights;
        for (async_worker, stock) in self.async_workers.iter_mut().zip(stocks) {
            async_worker.restore(&self.weights, state.version, stock)?;
        }
        if let Some(root) = &mut self.root {
            root.restore(&self.weights, optimizer, state);
        }
        Ok(())
    }

    /// Where the run is; on rank 0.
    pub(crate) fn server(&self) -> Option<&ServerState> {
        self.root.as_ref().map(AsyncServer::state)
    }

    pub(crate) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// This rank's workers.
    pub(crate) fn into_workers(self) -> Vec<Worker> {
        self.async_workers.into_iter().map(|async_worker| async_worker.worker).collect()
    }
}

/// Worked out on rank 0, for all: it takes time where there are many stocks.
fn shared_capital(setup: &Setup<'_>) -> Result<CapitalPlan> {
    let mut bytes = match setup.comm.is_root() {
        true => postcard::to_stdvec(&setup.capital())?,
        false => Vec::new(),
    };
    setup.comm.broadcast_bytes(&mut bytes);
    Ok(postcard::from_bytes(&bytes)?)
}

/// The stock that [`SLOW`] names, and how many times as long its bars take.
fn slow_stock(stocks: &[Symbol]) -> Result<Option<(usize, f64)>> {
    let Ok(text) = std::env::var(SLOW) else { return Ok(None) };
    let wrong =
        || anyhow!("{SLOW}={text}: give a stock of the run and a number above 1, as in AAPL:3");
    let (symbol, times) = text.split_once(':').ok_or_else(wrong)?;
    let stock = stocks.iter().position(|stock| stock.as_str() == symbol);
    let times: f64 = times.parse().map_err(|_| wrong())?;
    match stock {
        Some(stock) if (1.0..=1_000.0).contains(&times) => Ok(Some((stock, times))),
        _ => Err(wrong()),
    }
}

/// A rank's own: it has its own part of the checkpoint's folder.
struct RankHost<'a> {
    callbacks: &'a mut dyn Callbacks,
}

impl Host for RankHost<'_> {
    fn checkpoint(&mut self, env_steps: u64, stocks: Vec<(usize, StockState)>) -> Result<()> {
        self.callbacks.on_checkpoint(Snapshot { env_steps, root: None, stocks })
    }

    fn synchronize(&mut self) -> Result<()> {
        self.callbacks.on_barrier()
    }
}
