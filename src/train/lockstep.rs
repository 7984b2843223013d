//! The training loop. Every rank runs it: workers propose, rank 0 decides, workers step, store,
//! sample and push gradients, rank 0 applies them, workers pull. In one process rank 0 has all
//! workers and nothing else changes.

mod state;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::attempts::{Attempt, AttemptStart, Attempts, ChosenWeights};
use super::buffer::StockBuffer;
use super::callbacks::{Callbacks, Ending, INTERVALS_PER_EPISODE, TrainingInterval};
use super::expert_record::ExpertRecord;
use super::selection::{Selected, Selection};
use super::server::Server;
use super::setup::Setup;
use super::snapshot::RunPosition;
use super::worker::{Lanes, LearnStats, Proposal, Worker};
use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::compute::threads::run_parallel;
use crate::market::panel::Panel;
use crate::portfolio::desk::Desk;
use crate::portfolio::meta_policy::{DqnProposal, rule_names};
use crate::portfolio::risk::Reason;
use crate::rl::agent::Agent;
use crate::rl::networks::Networks;
use crate::rl::schedule::{UpdateCredit, linear};
use crate::rl::shared_values::SharedValues;

/// What rank 0 has besides: the parameter server and the desk.
struct LockstepRoot {
    server: Server,
    desk: Desk,
    /// None without a meta-policy.
    record: Option<ExpertRecord>,
    /// Means over stocks, of every gradient step since the last interval.
    learned: Vec<LearnStats>,
}

/// One rank's part of a training run.
pub(crate) struct LockstepTrainer<'a> {
    comm: &'a dyn Comm,
    panel: &'a Panel,
    plan: Lanes,
    ranks: Ranks,
    workers: Vec<Worker>,
    /// Of this rank's stocks, at the same bars.
    values: SharedValues,
    networks: Networks,
    /// None if no days are held back.
    selection: Option<Selection<'a>>,
    root: Option<LockstepRoot>,
    credit: UpdateCredit,
    weights: Vec<f32>,
    proposals: StockBuffer,
    orders: StockBuffer,
    /// `[own stock, parameters and LEARNED_LEN]`, and the sum over all stocks on rank 0.
    gradients: Vec<f32>,
    gradient_sum: Vec<f32>,
    sums: StockBuffer,
    /// Sum of capital times reward since the last interval, per own stock.
    reward_sums: Vec<f64>,
    /// How the passes over the training period are divided.
    attempts: Attempts,
    setup: Setup<'a>,
    /// Exponent of the importance weights at the start.
    priority_beta: f64,
    stop: &'a AtomicBool,
    at: RunPosition,
}

/// The first element of a stock's orders is what comes after this bar, one of these; then position
/// and capital per lane.
const GO_ON: f32 = 0.0;
const CHECKPOINT: f32 = 1.0;
const STOP: f32 = 2.0;
const ORDER_LEN: usize = 2;
/// After a gradient: loss and mean Q.
const LEARNED_LEN: usize = 2;

impl<'a> LockstepTrainer<'a> {
    /// Errors: a strategy of the meta-policy is unknown. The same on every rank.
    pub(crate) fn new(setup: Setup<'a>) -> Result<LockstepTrainer<'a>> {
        let Setup { comm, mandate, learner, train, lanes, .. } = setup;
        rule_names(&mandate.portfolio.meta_policy, mandate.stocks.len())?;
        let (ranks, weights, mut workers) = (setup.ranks(), setup.weights(), setup.workers());
        let slots = workers.iter_mut().map(|worker| worker.agent().slots().to_vec());
        let values = SharedValues::new(slots.collect());
        let attempts = setup.attempts();
        let root = match comm.is_root() {
            true => {
                let (desk, record) = setup.desk()?;
                let server = setup.server(weights.clone(), attempts.of(1).weight_decay);
                Some(LockstepRoot { server, desk, record, learned: Vec::new() })
            }
            false => None,
        };
        let networks = setup.networks_for(workers.len(), &weights)?;
        let buffer = |per_stock| StockBuffer::new(per_stock, ranks, comm.rank());
        Ok(LockstepTrainer {
            comm,
            panel: &train.panel,
            plan: lanes,
            ranks,
            root,
            credit: setup.credit(),
            proposals: buffer(lanes.count * Proposal::LEN),
            orders: buffer(1 + lanes.count * ORDER_LEN),
            gradients: vec![0.0; workers.len() * (weights.len() + LEARNED_LEN)],
            gradient_sum: vec![0.0; weights.len() + LEARNED_LEN],
            sums: buffer(2),
            reward_sums: vec![0.0; workers.len()],
            workers,
            values,
            networks,
            selection: setup.selection(),
            weights,
            attempts,
            setup,
            priority_beta: learner.priority_beta,
            stop: setup.stop,
            at: RunPosition { episode: 1, step: 0, since: 0, env_steps: 0, gradient_steps: 0 },
        })
    }

    /// What is left of the present pass over the training period, in lockstep.
    pub(crate) fn episode(&mut self, callbacks: &mut dyn Callbacks) -> Result<Ending> {
        let interval = self.plan.steps.div_ceil(INTERVALS_PER_EPISODE);
        if self.at.step == 0 {
            if self.at.episode > 1 && self.at.episode == self.attempt().first {
                self.begin_attempt();
            }
            self.reset();
        }
        while self.at.step < self.plan.steps {
            let step = self.at.step;
            self.propose(step)?;
            let next = self.decide(step, callbacks)?;
            let due = self.credit.steps_due(self.plan.count);
            self.step(step, due > 0);
            for nth in 0..due {
                if nth > 0 {
                    self.gradients();
                }
                self.learn()?;
            }
            callbacks.on_bar(&self.workers);
            self.at.step += 1;
            self.at.since += 1;
            if self.at.since == interval || self.at.step == self.plan.steps {
                self.interval(callbacks)?;
            }
            if next != GO_ON {
                let since = Instant::now();
                let snapshot = self.snapshot();
                let env_steps = snapshot.env_steps;
                callbacks.on_checkpoint(snapshot)?;
                let seconds = since.elapsed().as_secs_f64();
                tracing::info!(env_steps, seconds, "training paused for a checkpoint");
            }
            if next == STOP {
                // What it brought so far is told; the checkpoint is from before that.
                self.interval(callbacks)?;
                return Ok(Ending::Stopped);
            }
        }
        self.at.step = 0;
        self.at.episode += 1;
        Ok(Ending::EpisodeDone)
    }

    /// Scores the present weights on the validation days if it is time, and keeps the best. Called
    /// between episodes.
    pub(crate) fn validate(&mut self) -> Result<()> {
        let Some(selection) = &mut self.selection else { return Ok(()) };
        if !self.attempts.is_validated(self.at.episode - 1) {
            return Ok(());
        }
        let agents = self.workers.iter_mut().map(Worker::agent).collect();
        let now = (self.at.episode - 1, &self.weights[..]);
        selection.consider(self.comm, agents, &self.networks, now)
    }

    /// What was selected so far; None if nothing is.
    pub(crate) fn selected(&self) -> Option<&Selected> {
        self.selection.as_ref().and_then(Selection::selected)
    }

    /// Which weights were selected, if they are believed.
    pub(crate) fn chosen(&self) -> Option<ChosenWeights> {
        let believed = self.selected().filter(|selected| selected.is_believed);
        believed.map(|selected| self.attempts.chosen(selected.episode))
    }

    /// This rank's stocks, in the order of its workers.
    pub(crate) fn stocks(&self) -> Vec<usize> {
        self.workers.iter().map(Worker::stock).collect()
    }

    /// Where the run stands.
    pub(crate) fn at(&self) -> RunPosition {
        self.at
    }

    /// This rank's workers.
    pub(crate) fn into_workers(self) -> Vec<Worker> {
        self.workers
    }

    /// The shared weights as of the last gradient step; the same on every rank.
    pub(crate) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// This rank's agents, and the record of the meta-policy's experts, which rank 0 keeps.
    pub(crate) fn agents_and_record(&mut self) -> (Vec<&mut Agent>, Option<&ExpertRecord>) {
        let agents = self.workers.iter_mut().map(Worker::agent).collect();
        (agents, self.root.as_ref().and_then(|root| root.record.as_ref()))
    }

    /// How many orders the risk rules changed so far, by reason; known on rank 0.
    pub(crate) fn orders_changed(&self) -> BTreeMap<Reason, u64> {
        self.root.as_ref().map(|root| root.desk.changed()).unwrap_or_default()
    }

    fn is_last_episode(&self) -> bool {
        self.at.episode == self.attempts.episodes()
    }

    /// The attempt that is being made.
    fn attempt(&self) -> Attempt {
        self.attempts.of(self.at.episode)
    }

    /// The next attempt: its first weights, its weight decay, and nothing to learn from yet.
    fn begin_attempt(&mut self) {
        match (self.attempt().begins_with, self.selected()) {
            (AttemptStart::First, _) => self.weights = self.setup.weights(),
            (AttemptStart::Chosen, Some(Selected { weights, episode, .. })) => {
                let (weights, episode) = (weights.clone(), *episode);
                self.weights = weights;
                self.attempts.continue_from(episode);
            }
            (AttemptStart::Chosen, None) => {}
        }
        self.networks.reset(&self.weights);
        self.credit = self.setup.credit();
        self.workers.iter_mut().for_each(Worker::forget);
        let weight_decay = self.attempt().weight_decay;
        if let Some(root) = &mut self.root {
            root.server = self.setup.server(self.weights.clone(), weight_decay);
        }
    }

    fn reset(&mut self) {
        self.workers.iter_mut().for_each(Worker::reset);
        if let Some(root) = &mut self.root {
            root.desk.reset();
        }
    }

    /// Bar time of the first lane: all ranks must agree on it at every exchange of a bar.
    fn bar_time(&self, step: usize) -> i64 {
        self.panel.view(self.plan.row(0, step)).end_s()
    }

    fn propose(&mut self, step: usize) -> Result<()> {
        let rows: Vec<u32> = self.plan.rows(step).collect();
        let mut values: Vec<_> = self.workers.iter_mut().map(Worker::values).collect();
        self.values.compute(&self.networks, self.panel, &rows, &mut values);
        let per_stock = self.proposals.per_stock;
        each(&mut self.workers, &mut self.proposals.mine, per_stock, |worker, message| {
            worker.propose_by_values(message);
        });
        let stamp = MessageStamp { tag: Tag::Proposals, time: self.bar_time(step) };
        self.proposals.gather(self.comm, stamp)
    }

    /// Rank 0 turns proposals into orders, lane by lane. Returns what comes after this bar.
    fn decide(&mut self, step: usize, callbacks: &mut dyn Callbacks) -> Result<f32> {
        let mut next = GO_ON;
        if self.comm.is_root() {
            // From the last bar a finished run goes on.
            let is_last = step + 1 == self.plan.steps && self.is_last_episode();
            if callbacks.wants_checkpoint() || is_last && callbacks.keeps() {
                next = CHECKPOINT;
            }
            if self.stop.load(Ordering::Relaxed) {
                next = STOP;
            }
        }
        if let Some(root) = &mut self.root {
            let (panel, plan, wanted) = (self.panel, self.plan, &self.proposals);
            root.desk.decide_all(|lane| {
                let messages = wanted.all.chunks_exact(wanted.per_stock);
                let proposals =
                    messages.map(move |stock| Proposal::read(&stock[lane * Proposal::LEN..]));
                let gain = proposals.clone().map(|proposal| f64::from(proposal.gain)).sum();
                let wanted = proposals.map(|Proposal { position, conviction, greedy, .. }| {
                    let [position, greedy] = [position, greedy].map(f64::from);
                    DqnProposal { position, conviction, greedy }
                });
                (panel.view(plan.row(lane, step)), gain, wanted)
            });
            let messages = self.orders.all.chunks_exact_mut(self.orders.per_stock);
            for (stock, message) in messages.enumerate() {
                message[0] = next;
                for (lane, out) in message[1..].chunks_exact_mut(ORDER_LEN).enumerate() {
                    let order = root.desk.orders(lane)[stock];
                    let capital = root.desk.requests(lane)[stock].capital;
                    let position = f64::from(order.direction) * order.weight / capital;
                    out[0] = if capital > 0.0 { position as f32 } else { 0.0 };
                    out[1] = capital as f32;
                }
            }
        }
        let stamp = MessageStamp { tag: Tag::Orders, time: self.bar_time(step) };
        self.orders.scatter(self.comm, stamp)?;
        Ok(if self.comm.is_root() { next } else { self.orders.mine[0] })
    }

    /// Workers carry out their orders. Where a gradient step is due they continue with their gradients,
    /// without waiting for one another.
    fn step(&mut self, step: usize, learns: bool) {
        self.at.env_steps += (self.plan.count * self.ranks.stocks) as u64;
        let beta = learns.then(|| self.beta());
        let (networks, parameters) = (&self.networks, self.weights.len());
        let orders = self.orders.mine.chunks_exact(self.orders.per_stock);
        let gradients = self.gradients.chunks_exact_mut(self.gradient_sum.len());
        let own = self.workers.iter_mut().zip(&mut self.reward_sums);
        run_parallel(
            own.zip(orders.zip(gradients)).collect(),
            |((worker, sum), (orders, message))| {
                *sum += worker.step(step, &orders[1..]);
                if let Some(beta) = beta {
                    push(worker, networks, beta, message.split_at_mut(parameters));
                }
            },
        );
    }

    /// Workers sample, and work out their gradients.
    fn gradients(&mut self) {
        let (beta, networks, parameters) = (self.beta(), &self.networks, self.weights.len());
        let per_stock = self.gradient_sum.len();
        each(&mut self.workers, &mut self.gradients, per_stock, |worker, message| {
            push(worker, networks, beta, message.split_at_mut(parameters));
        });
    }

    /// The exponent of the importance weights.
    fn beta(&self) -> f64 {
        linear(self.priority_beta, 1.0, self.progress())
    }

    /// One gradient step: workers push their gradients, the server applies them, workers pull.
    fn learn(&mut self) -> Result<()> {
        let parameters = self.weights.len();
        let progress = self.progress();
        let time = self.at.gradient_steps as i64;
        let (mine, sum) = (&mut self.gradients, &mut self.gradient_sum);
        self.comm.sum(MessageStamp { tag: Tag::Gradients, time }, mine, self.ranks, sum)?;
        if let Some(root) = &mut self.root {
            let (gradient, said) = sum.split_at(parameters);
            root.server.apply(progress, gradient, self.ranks.stocks)?;
            let mean = |sum: f32| sum / self.ranks.stocks as f32;
            root.learned.push(LearnStats { loss: mean(said[0]), mean_q: mean(said[1]) });
            self.weights.copy_from_slice(root.server.weights());
        }
        self.comm.broadcast(MessageStamp { tag: Tag::Parameters, time }, &mut self.weights)?;
        self.networks.pull(&self.weights);
        self.at.gradient_steps += 1;
        Ok(())
    }

    /// Fraction of the present attempt that is done.
    fn progress(&self) -> f64 {
        let (attempt, bars) = (self.attempt(), self.plan.steps * self.plan.count);
        let episode = (bars * self.ranks.stocks) as u64;
        let done = self.at.env_steps - u64::from(attempt.first - 1) * episode;
        done as f64 / (episode as f64 * f64::from(attempt.passes()))
    }

    /// Collects what the bars since the last interval brought, and tells the callbacks.
    fn interval(&mut self, callbacks: &mut dyn Callbacks) -> Result<()> {
        let bars = std::mem::take(&mut self.at.since);
        let messages = self.sums.mine.chunks_exact_mut(2);
        for (message, (worker, sum)) in messages.zip(self.workers.iter().zip(&mut self.reward_sums))
        {
            message[0] = std::mem::take(sum) as f32;
            message[1] = worker.mean_epsilon() as f32;
        }
        let stamp = MessageStamp { tag: Tag::Interval, time: self.at.env_steps as i64 };
        self.sums.gather(self.comm, stamp)?;
        let Some(root) = &mut self.root else { return callbacks.on_barrier() };
        if bars == 0 {
            return callbacks.on_barrier();
        }
        let total = |at: usize| -> f64 {
            self.sums.all.chunks_exact(2).map(|sums| f64::from(sums[at])).sum()
        };
        let learned = std::mem::take(&mut root.learned);
        let mean = |of: fn(&LearnStats) -> f32| {
            let sum: f64 = learned.iter().map(|one| f64::from(of(one))).sum();
            (!learned.is_empty()).then(|| sum / learned.len() as f64)
        };
        callbacks.on_interval(TrainingInterval {
            episode: self.at.episode,
            env_steps: self.at.env_steps,
            gradient_steps: self.at.gradient_steps,
            loss: mean(|one| one.loss),
            mean_q: mean(|one| one.mean_q),
            epsilon: total(1) / self.ranks.stocks as f64,
            reward: total(0) / (bars * self.plan.count) as f64,
            asynchronous: None,
        })?;
        callbacks.on_barrier()
    }
}

/// A worker's gradient into its message, with what was learned behind it.
fn push(
    worker: &mut Worker,
    networks: &Networks,
    beta: f64,
    (gradient, said): (&mut [f32], &mut [f32]),
) {
    let learned = worker.learn(networks, beta, gradient);
    said.copy_from_slice(&[learned.loss, learned.mean_q]);
}

/// Does `work` for every worker and its part of `messages`.
fn each(
    workers: &mut [Worker],
    messages: &mut [f32],
    per_stock: usize,
    work: impl Fn(&mut Worker, &mut [f32]) + Sync + Send,
) {
    let tasks = workers.iter_mut().zip(messages.chunks_exact_mut(per_stock)).collect();
    run_parallel(tasks, |(worker, message)| work(worker, message));
}
