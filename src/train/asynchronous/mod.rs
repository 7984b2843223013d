//! Training without lockstep: every worker goes at its own pace, pushes gradients and goes on with
//! the weights that the server answers with; none waits for another. After Dean et al. (2012),
//! with gradients that are too old left out.
//!
//! What needs all stocks at one bar is left to the evaluation: here a stock is traded by the DQN
//! alone, with its capital. Runs are not repeatable; what a checkpoint holds is whole, but
//! a resumed run is another one than it would have been.

mod evaluator;
mod message;
mod server;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, anyhow};
use tch::Device;

use super::dataset::Prepared;
use super::lockstep::network_shape;
use super::snapshot::{RootState, Snapshot, StockState};
use super::watcher::{Ending, Watcher};
use crate::config::{PortfolioConfig, RunConfig};
use crate::dist::mailbox::{SERVER_GONE, local};
use crate::dist::server::Server;
use crate::dist::worker::{Lanes, Worker};
use crate::dist::{Comm, CommError, Ranks, Stamp, Tag};
use crate::market::panel::Panel;
use crate::portfolio::meta_policy::CapitalPlan;
use crate::rl::agent::initial_weights;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::rng::{Purpose, stream};
pub use evaluator::Evaluations;
pub use server::Evaluator;
use server::Means;
pub use server::{Done, Standing};
pub use worker::Cursor;
use worker::{Host, Lone, Surroundings};

/// What hands over the parts of a checkpoint that threads of this process wrote.
type Collected<'a> = dyn FnMut() -> Result<Vec<(usize, StockState)>> + 'a;

/// One rank's part of an asynchronous run.
pub struct Asynchronous<'a> {
    comm: &'a dyn Comm,
    config: &'a RunConfig,
    panel: Arc<Panel>,
    shape: NetworkShape,
    plan: Lanes,
    capital: Arc<CapitalPlan>,
    lones: Vec<Lone>,
    /// On rank 0.
    server: Option<Server>,
    standing: Standing,
    max_staleness: u64,
    gradient: Vec<f32>,
    weights: Vec<f32>,
    slow: Option<(usize, f64)>,
    stop: &'a AtomicBool,
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
        let weights = initial_weights(&shape, &mut stream(config.seed, Purpose::Weights, 0));
        let capital = shared_plan(comm, &train.panel, stocks, &config.portfolio)?;
        let around = Surroundings {
            config,
            panel: &train.panel,
            plan,
            capital: &capital,
            parameters: weights.len(),
            slow,
        };
        let lone = |stock: usize| {
            let return_std = train.note.fit.scaler.return_std[stock];
            let panel = train.panel.clone();
            let worker = Worker::new(stock, config, &shape, panel, plan, return_std);
            let networks = Networks::new(&shape, &weights, &config.learner, Some(device));
            Lone::new(worker, networks, &around)
        };
        let own = Ranks { stocks, size: comm.size() }.owned(comm.rank());
        let lones = own.into_iter().map(lone).collect();
        let server = || Server::new(shape.layout(), weights.clone(), &config.learner);
        Ok(Asynchronous {
            comm,
            config,
            panel: train.panel.clone(),
            plan,
            lones,
            server: comm.is_root().then(server),
            standing: Standing::new(stocks),
            max_staleness: config.asynchronous.max_staleness_of(stocks),
            gradient: vec![0.0; weights.len()],
            capital,
            shape,
            weights,
            slow,
            stop,
        })
    }

    /// Lets the workers go until all is done or the user wants no more; returns with every rank's
    /// workers stopped. `evaluations` make those that come due meanwhile.
    pub fn run(
        &mut self,
        watcher: &mut dyn Watcher,
        evaluations: &mut dyn Evaluator,
    ) -> Result<Ending> {
        match (self.comm.size(), self.comm.mailbox(), self.comm.line()) {
            (1, ..) => self.run_threads(watcher, evaluations)?,
            (_, Some(mailbox), _) if self.comm.is_root() => self.serve(&mut Means {
                mailbox,
                watcher,
                evaluator: evaluations,
                collect: &mut || Ok(Vec::new()),
            })?,
            (_, _, Some(line)) => {
                let mut lones = std::mem::take(&mut self.lones);
                let mut host = RankHost { watcher };
                worker::work(&mut lones, &self.surroundings(), line, &mut host)?;
                self.lones = lones;
            }
            _ => return Err(anyhow!("this kind of communication has no mailbox")),
        }
        let was_stopped = self.stop.load(Ordering::Relaxed) && self.comm.is_root();
        let mut was_stopped = [f32::from(u8::from(was_stopped))];
        let stamp = Stamp { tag: Tag::Interval, time: 0 };
        self.comm.broadcast(stamp, &mut was_stopped)?;
        if let Some(server) = &self.server {
            self.weights.copy_from_slice(server.weights());
        }
        self.comm.broadcast(Stamp { tag: Tag::Parameters, time: 0 }, &mut self.weights)?;
        Ok(if was_stopped == [0.0] { Ending::EpisodeDone } else { Ending::Stopped })
    }

    /// In one process: the server here, the workers in threads of their own.
    fn run_threads(
        &mut self,
        watcher: &mut dyn Watcher,
        evaluations: &mut dyn Evaluator,
    ) -> Result<()> {
        let threads = rayon::current_num_threads().clamp(1, self.lones.len());
        let mut groups: Vec<Vec<Lone>> = (0..threads).map(|_| Vec::new()).collect();
        for (i, lone) in std::mem::take(&mut self.lones).into_iter().enumerate() {
            groups[i % threads].push(lone);
        }
        let (mailbox, lines) = local(threads);
        let (states, written) = channel();
        let panel = self.panel.clone();
        let capital = self.capital.clone();
        let around = Surroundings {
            config: self.config,
            panel: &panel,
            plan: self.plan,
            capital: &capital,
            parameters: self.weights.len(),
            slow: self.slow,
        };
        let served = std::thread::scope(|scope| {
            let spawned: Vec<_> = groups
                .iter_mut()
                .zip(lines)
                .map(|(group, line)| {
                    let mut host = ThreadHost { states: states.clone() };
                    // The line belongs to the thread: should that break off, the server hears it.
                    scope.spawn(move || worker::work(group, &around, &line, &mut host))
                })
                .collect();
            drop(states);
            let served = self.serve(&mut Means {
                mailbox: &mailbox,
                watcher,
                evaluator: evaluations,
                collect: &mut || collect(&written, threads),
            });
            // Should it have failed, the workers hear it.
            drop(mailbox);
            let joined = spawned.into_iter().map(|thread| match thread.join() {
                Ok(worked) => worked,
                Err(_) => Err(anyhow!("a worker broke off")),
            });
            let is_cause = |error: &anyhow::Error| !matches!(error.downcast_ref(), Some(CommError::Shared(what)) if what == SERVER_GONE);
            let causes: Vec<_> = joined.filter_map(Result::err).filter(is_cause).collect();
            causes.into_iter().next().map_or(served, Err)
        });
        let mut lones: Vec<Lone> = groups.into_iter().flatten().collect();
        lones.sort_by_key(|lone| lone.worker.stock());
        self.lones = lones;
        served
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            config: self.config,
            panel: &self.panel,
            plan: self.plan,
            capital: &self.capital,
            parameters: self.weights.len(),
            slow: self.slow,
        }
    }

    fn env_steps_per_episode(&self) -> u64 {
        (self.plan.steps * self.plan.count * self.config.stocks.len()) as u64
    }

    fn all_env_steps(&self) -> u64 {
        self.env_steps_per_episode() * u64::from(self.config.episodes)
    }

    /// Goes back to a snapshot of the same run, taken with any number of ranks.
    pub fn restore(&mut self, root: RootState, stocks: Vec<StockState>) -> Result<()> {
        let standing = root.asynchronous.context("the checkpoint is of a run in lockstep")?;
        self.weights = root.weights;
        for (lone, state) in self.lones.iter_mut().zip(stocks) {
            lone.restore(&self.weights, standing.version, state)?;
        }
        if let Some(server) = &mut self.server {
            server.restore(&self.weights, root.optimizer);
        }
        self.standing = standing;
        Ok(())
    }

    /// This rank's stocks, in the order of its workers.
    pub fn stocks(&self) -> Vec<usize> {
        self.lones.iter().map(|lone| lone.worker.stock()).collect()
    }

    /// Where the run stands; known on rank 0.
    pub fn standing(&self) -> &Standing {
        &self.standing
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

/// A thread's: the server's thread writes for all.
struct ThreadHost {
    states: Sender<Vec<(usize, StockState)>>,
}

impl Host for ThreadHost {
    fn checkpoint(&mut self, _env_steps: u64, stocks: Vec<(usize, StockState)>) -> Result<()> {
        self.states.send(stocks).map_err(|_| anyhow!(SERVER_GONE))
    }

    fn meet(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The states that `threads` threads send, in the order of the stocks.
fn collect(
    written: &Receiver<Vec<(usize, StockState)>>,
    threads: usize,
) -> Result<Vec<(usize, StockState)>> {
    let mut all = Vec::new();
    for _ in 0..threads {
        all.extend(written.recv().context("a worker broke off")?);
    }
    all.sort_by_key(|(stock, _)| *stock);
    Ok(all)
}
