//! The two ways of training, as a run sees them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, anyhow};

use crate::comm::Comm;
use crate::config::{RunConfig, SyncMode};
use crate::market::Symbol;
use crate::portfolio::meta_policy::Standing;
use crate::portfolio::risk::Reason;
use crate::rl::device::Device;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::train::asynchronous::{Asynchronous, Done, Evaluations};
use crate::train::dataset::Prepared;
use crate::train::evaluation::{Policy, evaluate};
use crate::train::lockstep::Trainer;
use crate::train::outset::rules_after;
use crate::train::snapshot::{RootState, StockState};
use crate::train::watcher::{Ending, Watcher};
use crate::train::worker::{Lanes, Worker};

/// Names a stock and how many times as long its bars take, as in `AAPL:3`: to try what a slow
/// worker costs the others.
const SLOW: &str = "DQN_TRADER_SLOW_STOCK";

pub enum Training<'a> {
    Lockstep(Trainer<'a>),
    Async(Box<Asynchronous<'a>>, Box<Evaluations>),
}

/// What a run leaves.
pub struct Trained {
    pub ending: Ending,
    pub shape: NetworkShape,
    pub weights: Vec<f32>,
    /// This rank's.
    pub workers: Vec<Worker>,
    /// With the last weights.
    pub networks: Networks,
    /// The last evaluation, on rank 0.
    pub latest: Option<Done>,
    /// Of the meta-policy at the end of the training period, on rank 0.
    pub rules: Option<Standing>,
    pub env_steps: u64,
    /// Empty in lockstep.
    pub env_steps_by_stock: BTreeMap<Symbol, u64>,
    pub gradient_steps: u64,
    pub orders_changed: BTreeMap<Reason, u64>,
}

/// What happens around the evaluations of a run; on rank 0.
pub trait Around {
    /// What follows is no training.
    fn pause(&mut self);

    fn resume(&mut self);
}

impl<'a> Training<'a> {
    pub fn new(
        comm: &'a dyn Comm,
        config: &'a RunConfig,
        [train, eval]: [&Prepared; 2],
        lanes: Lanes,
        device: Device,
        stop: &'a AtomicBool,
    ) -> Result<Training<'a>> {
        if config.sync == SyncMode::Lockstep {
            return Ok(Training::Lockstep(Trainer::new(comm, config, train, lanes, device, stop)?));
        }
        let slow = slow_stock(config)?;
        let run = Asynchronous::new(comm, config, train, lanes, device, stop, slow)?;
        let rules = if comm.is_root() { rules_after(config, train)? } else { None };
        let evaluations = Evaluations::new(config, eval, run.shape(), rules, device);
        Ok(Training::Async(Box::new(run), Box::new(evaluations)))
    }

    /// This rank's stocks, in the order of its workers.
    pub fn stocks(&self) -> Vec<usize> {
        match self {
            Training::Lockstep(trainer) => trainer.stocks(),
            Training::Async(run, _) => run.stocks(),
        }
    }

    pub fn parameters(&self) -> usize {
        match self {
            Training::Lockstep(trainer) => trainer.weights().len(),
            Training::Async(run, _) => run.weights().len(),
        }
    }

    /// Goes back to a snapshot of the same run.
    pub fn restore(&mut self, root: RootState, stocks: Vec<StockState>) -> Result<()> {
        match self {
            Training::Lockstep(trainer) => trainer.restore(root, stocks),
            Training::Async(run, _) => run.restore(root, stocks)?,
        }
        Ok(())
    }

    /// All that is left of the run. `around` and `watcher` are one thing to the caller.
    pub fn run<W: Watcher + Around>(
        self,
        comm: &dyn Comm,
        config: &RunConfig,
        eval: &Prepared,
        watcher: &mut W,
    ) -> Result<Trained> {
        match self {
            Training::Lockstep(trainer) => lockstep(trainer, comm, config, eval, watcher),
            Training::Async(run, evaluations) => {
                asynchronous(*run, *evaluations, comm, config, eval, watcher)
            }
        }
    }
}

fn lockstep<W: Watcher + Around>(
    mut trainer: Trainer<'_>,
    comm: &dyn Comm,
    config: &RunConfig,
    eval: &Prepared,
    watcher: &mut W,
) -> Result<Trained> {
    let (mut latest, mut ending) = (None, Ending::EpisodeDone);
    while trainer.at().episode <= config.episodes {
        let episode = trainer.at().episode;
        ending = trainer.episode(watcher)?;
        if ending == Ending::Stopped {
            break;
        }
        if episode % config.evaluation.every_episodes == 0 || episode == config.episodes {
            watcher.pause();
            let (shape, weights) = (trainer.shape().clone(), trainer.weights().to_vec());
            let standing = trainer.standing().cloned();
            let (agents, networks) = trainer.agents();
            let standing = standing.as_ref();
            let policy = Policy { shape: &shape, weights: &weights, networks, standing };
            if let Some(evaluated) = evaluate(comm, config, eval, policy, agents)? {
                let done = (episode, trainer.at().env_steps, evaluated);
                watcher.evaluated(&done)?;
                latest = Some(done);
            }
            watcher.resume();
        }
    }
    let at = trainer.at();
    let (shape, weights) = (trainer.shape().clone(), trainer.weights().to_vec());
    let (rules, orders_changed) = (trainer.standing().cloned(), trainer.orders_changed());
    let (workers, networks) = trainer.into_workers();
    Ok(Trained {
        ending,
        shape,
        weights,
        workers,
        networks,
        latest,
        rules,
        env_steps: at.env_steps,
        env_steps_by_stock: BTreeMap::new(),
        gradient_steps: at.gradient_steps,
        orders_changed,
    })
}

fn asynchronous<W: Watcher + Around>(
    mut run: Asynchronous<'_>,
    mut evaluations: Evaluations,
    comm: &dyn Comm,
    config: &RunConfig,
    eval: &Prepared,
    watcher: &mut W,
) -> Result<Trained> {
    let ending = run.run(watcher, &mut evaluations)?;
    if let Some(done) = evaluations.finish()? {
        watcher.evaluated(done)?;
    }
    let (shape, weights) = (run.shape().clone(), run.weights().to_vec());
    let (mut env_steps, mut gradient_steps, mut by_stock) = (0, 0, BTreeMap::new());
    if let Some(standing) = run.standing() {
        (env_steps, gradient_steps) = (standing.env_steps, standing.version);
        let of = standing.env_steps_of.iter().copied();
        by_stock = config.stocks.iter().cloned().zip(of).collect();
    }
    let (mut workers, networks) = (run.into_workers(), evaluations.networks(&weights)?);
    let rules = evaluations.rules().cloned();
    let mut latest = evaluations.into_latest();
    if ending == Ending::EpisodeDone {
        watcher.pause();
        let (networks, standing) = (&networks, rules.as_ref());
        let policy = Policy { shape: &shape, weights: &weights, networks, standing };
        let agents = workers.iter_mut().map(Worker::agent).collect();
        if let Some(evaluated) = evaluate(comm, config, eval, policy, agents)? {
            let done = (config.episodes, env_steps, evaluated);
            watcher.evaluated(&done)?;
            latest = Some(done);
        }
        watcher.resume();
    }
    Ok(Trained {
        ending,
        shape,
        weights,
        workers,
        networks,
        latest,
        rules,
        env_steps,
        env_steps_by_stock: by_stock,
        gradient_steps,
        orders_changed: BTreeMap::new(),
    })
}

fn slow_stock(config: &RunConfig) -> Result<Option<(usize, f64)>> {
    let Ok(text) = std::env::var(SLOW) else { return Ok(None) };
    let wrong =
        || anyhow!("{SLOW}={text}: give a stock of the run and a number above 1, as in AAPL:3");
    let (symbol, times) = text.split_once(':').ok_or_else(wrong)?;
    let stock = config.stocks.iter().position(|stock| stock.as_str() == symbol);
    let times: f64 = times.parse().map_err(|_| wrong())?;
    match stock {
        Some(stock) if (1.0..=1_000.0).contains(&times) => Ok(Some((stock, times))),
        _ => Err(wrong()),
    }
}
