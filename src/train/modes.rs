//! The two ways of training, in lockstep and asynchronously, from the first bar to the last
//! evaluation.

use std::collections::BTreeMap;

use anyhow::Result;

use super::asynchronous::{Asynchronous, Evaluator};
use super::attempts::ChosenWeights;
use super::callbacks::{Callbacks, Ending};
use super::dataset::PreparedData;
use super::evaluation::{Evaluation, Policy, evaluate};
use super::expert_record::ExpertRecord;
use super::lockstep::LockstepTrainer;
use super::selection::{Selected, Selection, ValidationScore};
use super::setup::{Setup, agent_terms};
use super::snapshot::{RootState, StockState};
use super::worker::Worker;
use crate::config::{AsynchronousConfig, SyncMode};
use crate::market::Symbol;
use crate::portfolio::meta_policy::ExpertWeights;
use crate::portfolio::risk::Reason;
use crate::rl::agent::Agent;
use crate::rl::belief::Belief;
use crate::rl::networks::Networks;

pub(super) enum Training<'a> {
    Lockstep(Box<LockstepTrainer<'a>>),
    Asynchronous(Box<Asynchronous<'a>>, Box<Evaluator>, Option<Box<ExpertRecord>>),
}

/// What a loop leaves.
pub(super) struct Outcome {
    pub(crate) ending: Ending,
    pub(crate) weights: Vec<f32>,
    pub(crate) belief: Belief,
    /// How weights did on the validation days.
    pub(crate) validation: Vec<ValidationScore>,
    /// None where they are not believed, or the run is not in lockstep.
    pub(crate) chosen: Option<ChosenWeights>,
    /// This rank's.
    pub(crate) workers: Vec<Worker>,
    /// With these weights.
    pub(crate) networks: Networks,
    /// On rank 0.
    pub(crate) latest: Option<Evaluation>,
    /// Expert weights of the meta-policy at the end of the training period, on rank 0.
    pub(crate) expert_weights: Option<ExpertWeights>,
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
        let record = if setup.comm.is_root() { setup.expert_record()? } else { None };
        let expert_weights = record.as_ref().map(|record| record.without_dqn().clone());
        let evaluations = Evaluator::new(&setup, eval, expert_weights);
        Ok(Training::Asynchronous(Box::new(run), Box::new(evaluations), record.map(Box::new)))
    }

    /// Restores a snapshot of the same run.
    pub(crate) fn restore(&mut self, root: RootState, stocks: Vec<StockState>) -> Result<()> {
        match self {
            Training::Lockstep(trainer) => trainer.restore(root, stocks),
            Training::Asynchronous(run, ..) => run.restore(root, stocks),
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
            Training::Asynchronous(run, evaluations, record) => {
                asynchronous(*run, (*evaluations, record), setup, eval, callbacks)
            }
        }
    }
}

/// Weights, and how far they are believed.
struct Candidate {
    weights: Vec<f32>,
    belief: Belief,
}

impl Candidate {
    /// What was selected; the `latest` weights, believed, if nothing is.
    fn new(setup: &Setup<'_>, selected: Option<&Selected>, latest: &[f32]) -> Candidate {
        match selected {
            Some(selected) => Candidate {
                weights: selected.weights.clone(),
                belief: setup.belief(selected.is_believed),
            },
            None => Candidate {
                weights: latest.to_vec(),
                belief: Belief::in_network(setup.mandate.stocks.len()),
            },
        }
    }

    /// Expert weights at the end of the training period, with the record of these weights on the
    /// validation days; Some on rank 0 with a meta-policy. Called on every rank; `record` is rank
    /// 0's.
    fn expert_weights(
        &self,
        setup: &Setup<'_>,
        networks: &Networks,
        agents: &mut [&mut Agent],
        record: Option<&ExpertRecord>,
    ) -> Result<Option<ExpertWeights>> {
        let selection = setup.selection();
        let selection = selection.filter(|_| setup.mandate.portfolio.meta_policy.enabled);
        let Some(selection) = selection else {
            return Ok(record.map(|record| record.without_dqn().clone()));
        };
        let agents = agents.iter_mut().map(|agent| &mut **agent).collect();
        let believed = (setup.episodes, self.belief.share > 0.0);
        let wanted = selection.positions(setup.comm, agents, networks, believed)?;
        let panel = &setup.train.panel;
        Ok(record.map(|record| record.weights(panel, believed.1, &wanted)))
    }
}

fn lockstep(
    mut trainer: LockstepTrainer<'_>,
    setup: &Setup<'_>,
    eval: &PreparedData,
    callbacks: &mut dyn Callbacks,
) -> Result<Outcome> {
    let (mut latest, mut ending, mut expert_weights) = (None, Ending::EpisodeDone, None);
    while trainer.at().episode <= setup.episodes {
        let episode = trainer.at().episode;
        ending = trainer.episode(callbacks)?;
        if ending == Ending::Stopped {
            break;
        }
        let is_last = episode == setup.episodes;
        trainer.validate()?;
        if is_last || episode.is_multiple_of(setup.every_episodes) {
            let when = (episode, trainer.at().env_steps);
            let chosen = Candidate::new(setup, trainer.selected(), trainer.weights());
            let networks = setup.networks_for(trainer.stocks().len(), &chosen.weights)?;
            let (mut agents, record) = trainer.agents_and_record();
            expert_weights = chosen.expert_weights(setup, &networks, &mut agents, record)?;
            let candidate = (&chosen, &networks, expert_weights.as_ref());
            latest = pause_and_evaluate(setup, eval, candidate, agents, when, callbacks)?;
        }
    }
    let at = trainer.at();
    let Candidate { weights, belief } =
        Candidate::new(setup, trainer.selected(), trainer.weights());
    let validation = trainer.selected().map(|selected| selected.scores.clone());
    let chosen = trainer.chosen();
    if expert_weights.is_none() {
        let (_, record) = trainer.agents_and_record();
        expert_weights = record.map(|record| record.without_dqn().clone());
    }
    let orders_changed = trainer.orders_changed();
    let workers = trainer.into_workers();
    Ok(Outcome {
        ending,
        networks: setup.networks_for(workers.len(), &weights)?,
        weights,
        belief,
        validation: validation.unwrap_or_default(),
        chosen,
        workers,
        latest,
        expert_weights,
        env_steps: at.env_steps,
        env_steps_by_stock: BTreeMap::new(),
        gradient_steps: at.gradient_steps,
        orders_changed,
    })
}

fn asynchronous(
    mut run: Asynchronous<'_>,
    (mut evaluations, record): (Evaluator, Option<Box<ExpertRecord>>),
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
    let mut workers = run.into_workers();
    let networks = setup.networks_for(workers.len(), &weights)?;
    let mut expert_weights = record.as_ref().map(|record| record.without_dqn().clone());
    let mut latest = evaluations.into_latest();
    let mut selection = setup.selection();
    if ending == Ending::EpisodeDone {
        // Workers are at no common bar before: only the last weights can be scored.
        if let Some(selection) = &mut selection {
            let agents = workers.iter_mut().map(Worker::agent).collect();
            selection.consider(setup.comm, agents, &networks, (setup.episodes, &weights))?;
        }
        let chosen =
            Candidate::new(setup, selection.as_ref().and_then(Selection::selected), &weights);
        let mut agents: Vec<&mut Agent> = workers.iter_mut().map(Worker::agent).collect();
        expert_weights = chosen.expert_weights(setup, &networks, &mut agents, record.as_deref())?;
        let when = (setup.episodes, env_steps);
        let candidate = (&chosen, &networks, expert_weights.as_ref());
        latest = pause_and_evaluate(setup, eval, candidate, agents, when, callbacks)?.or(latest);
    }
    let selected = selection.and_then(Selection::into_selected);
    let Candidate { belief, .. } = Candidate::new(setup, selected.as_ref(), &weights);
    Ok(Outcome {
        ending,
        weights,
        belief,
        validation: selected.map(|selected| selected.scores).unwrap_or_default(),
        chosen: None,
        workers,
        networks,
        latest,
        expert_weights,
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
    (chosen, networks, expert_weights): (&Candidate, &Networks, Option<&ExpertWeights>),
    agents: Vec<&mut Agent>,
    (episode, env_steps): (u32, u64),
    callbacks: &mut dyn Callbacks,
) -> Result<Option<Evaluation>> {
    callbacks.on_evaluation_start();
    let returns = &eval.note.fit.scaler.return_std;
    let terms = &agent_terms(&setup.mandate.env, returns, &chosen.belief, setup.learner);
    let policy = Policy { shape: setup.shape, networks, terms, expert_weights };
    let evaluated = evaluate(setup.comm, setup.mandate, eval, policy, agents)?;
    let done = evaluated.map(|evaluated| Evaluation { episode, env_steps, evaluated });
    if let Some(done) = &done {
        callbacks.on_evaluation(done)?;
    }
    callbacks.on_evaluation_end();
    Ok(done)
}
