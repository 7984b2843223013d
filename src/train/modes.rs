//! The two ways of training, in lockstep and asynchronously, from the first bar to the last
//! evaluation.

use std::collections::BTreeMap;

use anyhow::Result;

use super::asynchronous::{Asynchronous, Evaluator};
use super::callbacks::{Callbacks, Ending};
use super::dataset::PreparedData;
use super::evaluation::{Evaluation, Policy, evaluate};
use super::lockstep::LockstepTrainer;
use super::setup::Setup;
use super::snapshot::{RootState, StockState};
use super::worker::Worker;
use crate::config::{AsynchronousConfig, SyncMode};
use crate::market::Symbol;
use crate::portfolio::meta_policy::ExpertWeights;
use crate::portfolio::risk::Reason;
use crate::rl::agent::Agent;
use crate::rl::networks::Networks;

pub(super) enum Training<'a> {
    Lockstep(Box<LockstepTrainer<'a>>),
    Asynchronous(Box<Asynchronous<'a>>, Box<Evaluator>),
}

/// What a loop leaves.
pub(super) struct Outcome {
    pub(crate) ending: Ending,
    pub(crate) weights: Vec<f32>,
    /// This rank's.
    pub(crate) workers: Vec<Worker>,
    /// With the last weights.
    pub(crate) networks: Networks,
    /// On rank 0.
    pub(crate) latest: Option<Evaluation>,
    /// Expert weights of the meta-policy's rules at the end of the training period, on rank 0.
    pub(crate) rules: Option<ExpertWeights>,
    pub(crate) env_steps: u64,
    /// Empty in lockstep.
    pub(crate) env_steps_by_stock: BTreeMap<Symbol, u64>,
    pub(crate) gradient_steps: u64,
    pub(crate) orders_changed: BTreeMap<Reason, u64>,
}

impl<'a> Training<'a> {
    pub(crate) fn new(
        setup: Setup<'a>,
        sync: SyncMode,
        config: &'a AsynchronousConfig,
        eval: &PreparedData,
    ) -> Result<Training<'a>> {
        if sync == SyncMode::Lockstep {
            return Ok(Training::Lockstep(Box::new(LockstepTrainer::new(setup)?)));
        }
        let run = Asynchronous::new(setup, config)?;
        let rules = if setup.comm.is_root() { setup.rules()? } else { None };
        let evaluations = Evaluator::new(&setup, eval, rules);
        Ok(Training::Asynchronous(Box::new(run), Box::new(evaluations)))
    }

    /// This rank's stocks, in the order of its workers.
    pub(crate) fn stocks(&self) -> Vec<usize> {
        match self {
            Training::Lockstep(trainer) => trainer.stocks(),
            Training::Asynchronous(run, _) => run.stocks(),
        }
    }

    /// Restores a snapshot of the same run.
    pub(crate) fn restore(&mut self, root: RootState, stocks: Vec<StockState>) -> Result<()> {
        match self {
            Training::Lockstep(trainer) => trainer.restore(root, stocks),
            Training::Asynchronous(run, _) => run.restore(root, stocks),
        }
    }

    /// All that is left of the run.
    pub(crate) fn run(
        self,
        setup: &Setup<'_>,
        eval: &PreparedData,
        callbacks: &mut dyn Callbacks,
    ) -> Result<Outcome> {
        match self {
            Training::Lockstep(trainer) => lockstep(*trainer, setup, eval, callbacks),
            Training::Asynchronous(run, evaluations) => {
                asynchronous(*run, *evaluations, setup, eval, callbacks)
            }
        }
    }
}

fn lockstep(
    mut trainer: LockstepTrainer<'_>,
    setup: &Setup<'_>,
    eval: &PreparedData,
    callbacks: &mut dyn Callbacks,
) -> Result<Outcome> {
    let (mut latest, mut ending) = (None, Ending::EpisodeDone);
    while trainer.at().episode <= setup.episodes {
        let episode = trainer.at().episode;
        ending = trainer.episode(callbacks)?;
        if ending == Ending::Stopped {
            break;
        }
        if episode.is_multiple_of(setup.every_episodes) || episode == setup.episodes {
            let when = (episode, trainer.at().env_steps);
            let (weights, rules) = (trainer.weights().to_vec(), trainer.expert_weights().cloned());
            let (agents, networks) = trainer.agents();
            let (shape, weights, expert_weights) = (setup.shape, &weights[..], rules.as_ref());
            let policy = Policy { shape, weights, networks, expert_weights };
            latest = pause_and_evaluate(setup, eval, policy, agents, when, callbacks)?;
        }
    }
    let at = trainer.at();
    let (weights, rules) = (trainer.weights().to_vec(), trainer.expert_weights().cloned());
    let orders_changed = trainer.orders_changed();
    let (workers, networks) = trainer.into_workers();
    Ok(Outcome {
        ending,
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

fn asynchronous(
    mut run: Asynchronous<'_>,
    mut evaluations: Evaluator,
    setup: &Setup<'_>,
    eval: &PreparedData,
    callbacks: &mut dyn Callbacks,
) -> Result<Outcome> {
    let ending = run.run(callbacks, &mut evaluations)?;
    if let Some(done) = evaluations.finish()? {
        callbacks.on_evaluation(done)?;
    }
    let weights = run.weights().to_vec();
    let (mut env_steps, mut gradient_steps, mut by_stock) = (0, 0, BTreeMap::new());
    if let Some(server) = run.server() {
        (env_steps, gradient_steps) = (server.env_steps, server.version);
        let of = server.env_steps_of.iter().copied();
        by_stock = setup.mandate.stocks.iter().cloned().zip(of).collect();
    }
    let (mut workers, networks) = (run.into_workers(), setup.networks(&weights)?);
    let rules = evaluations.rules().cloned();
    let mut latest = evaluations.into_latest();
    if ending == Ending::EpisodeDone {
        let (shape, networks, expert_weights) = (setup.shape, &networks, rules.as_ref());
        let policy = Policy { shape, weights: &weights, networks, expert_weights };
        let agents = workers.iter_mut().map(Worker::agent).collect();
        let when = (setup.episodes, env_steps);
        latest = pause_and_evaluate(setup, eval, policy, agents, when, callbacks)?.or(latest);
    }
    Ok(Outcome {
        ending,
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

/// An evaluation after so many episodes and steps, for which training pauses. Some on rank 0.
fn pause_and_evaluate(
    setup: &Setup<'_>,
    eval: &PreparedData,
    policy: Policy<'_>,
    agents: Vec<&mut Agent>,
    (episode, env_steps): (u32, u64),
    callbacks: &mut dyn Callbacks,
) -> Result<Option<Evaluation>> {
    callbacks.on_evaluation_start();
    let evaluated = evaluate(setup.comm, setup.mandate, eval, policy, agents)?;
    let done = evaluated.map(|evaluated| Evaluation { episode, env_steps, evaluated });
    if let Some(done) = &done {
        callbacks.on_evaluation(done)?;
    }
    callbacks.on_evaluation_end();
    Ok(done)
}
