//! A worker: one stock, its lanes and its replay. The networks are lent to it; it knows neither the
//! other workers nor how messages travel.

use std::sync::Arc;

use crate::config::{EnvConfig, LearnerConfig};
use crate::env::costs::Costs;
use crate::env::portfolio::Portfolio;
use crate::env::trading_env::TradingEnv;
use crate::interface::{ActionSet, TimeStep};
use crate::market::panel::Panel;
use crate::rl::agent::Agent;
use crate::rl::n_step::{NStep, StepDecision};
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::outcomes::{MinibatchOutcomes, RewardTerms};
use crate::rl::replay::{Replay, Sample};
use crate::rl::rng::{Purpose, stream};
use crate::rl::schedule::exploration_epsilon;
use crate::rl::td::{TdOutcome, argmax};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What a worker says for one lane: the position it wants (-1, 0 or 1) and how much better it
/// thinks that is than holding nothing, in bar standard deviations; what it would want without
/// exploring; and what the last bar brought to the portfolio, as a fraction of equity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Proposal {
    pub(crate) direction: i8,
    pub(crate) conviction: f32,
    pub(crate) greedy: i8,
    pub(crate) gain: f32,
}

impl Proposal {
    /// Elements of a message.
    pub(crate) const LEN: usize = 4;

    pub(crate) fn write(self, message: &mut [f32]) {
        message[0] = f32::from(self.direction);
        message[1] = self.conviction;
        message[2] = f32::from(self.greedy);
        message[3] = self.gain;
    }

    pub(crate) fn read(message: &[f32]) -> Proposal {
        Proposal {
            direction: message[0] as i8,
            conviction: message[1],
            greedy: message[2] as i8,
            gain: message[3],
        }
    }
}

/// The training period cut into segments of equal length that step side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// First panel row of the first segment.
    pub first_row: usize,
    /// Number of segments.
    pub count: usize,
    /// Steps of a segment; it spans one row more.
    pub steps: usize,
}

/// Shorter segments would be little more than their ends.
const MIN_SEGMENT_STEPS: usize = 48;

impl Lanes {
    /// As many of `wanted` lanes as leave segments of a useful length on the rows; None where there
    /// are not two rows.
    pub(crate) fn cut(rows: std::ops::Range<usize>, wanted: usize) -> Option<Lanes> {
        let steps = rows.len().checked_sub(1).filter(|&steps| steps > 0)?;
        let count = wanted.min(steps / MIN_SEGMENT_STEPS).max(1);
        Some(Lanes { first_row: rows.start, count, steps: steps / count })
    }

    /// Panel row of a lane after so many steps of its segment.
    pub(crate) fn row(&self, lane: usize, step: usize) -> usize {
        self.first_row + lane * self.steps + step
    }
}

/// What a minibatch said, besides its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LearnStats {
    pub(crate) loss: f32,
    pub(crate) mean_q: f32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Lane {
    env: TradingEnv,
    n_step: NStep,
    epsilon: f64,
    /// Capital times reward of the last bar.
    gain: f32,
}

/// What a worker has to remember to go on as if nothing had happened.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WorkerState {
    lanes: Vec<Lane>,
    replay: Replay,
    explore: ChaCha8Rng,
    sampling: ChaCha8Rng,
}

/// Trains the DQN of one stock: its lanes, replay and minibatches.
pub struct Worker {
    stock: usize,
    panel: Arc<Panel>,
    plan: Lanes,
    lanes: Vec<Lane>,
    agent: Agent,
    replay: Replay,
    actions: ActionSet,
    /// Rewards are learned in units of this: the stock's one-bar standard deviation.
    return_std: f64,
    batch_size: usize,
    explore: ChaCha8Rng,
    sampling: ChaCha8Rng,
    rows: Vec<u32>,
    q: Vec<f32>,
    sample: Sample,
    /// None: learn from the action taken alone.
    hindsight: Option<CounterfactualAccount>,
    outcomes: MinibatchOutcomes,
    outcome: TdOutcome,
}

/// An account in which the actions that were not taken are tried out.
struct CounterfactualAccount {
    env: TradingEnv,
    terms: RewardTerms,
}

/// Settings of a worker.
#[derive(Clone, Copy)]
pub(crate) struct WorkerSettings<'a> {
    pub(crate) env: &'a EnvConfig,
    pub(crate) learner: &'a LearnerConfig,
    /// Of the run.
    pub(crate) seed: u64,
}

impl Worker {
    pub(crate) fn new(
        stock: usize,
        WorkerSettings { env, learner, seed }: WorkerSettings<'_>,
        shape: &NetworkShape,
        panel: Arc<Panel>,
        plan: Lanes,
        return_std: f32,
    ) -> Worker {
        let actors = shape.stocks * plan.count;
        let lane = |lane: usize| Lane {
            env: TradingEnv::new(env),
            n_step: NStep::new(lane, learner.n_step, learner.gamma),
            epsilon: exploration_epsilon(
                lane * shape.stocks + stock,
                actors,
                learner.epsilon,
                learner.epsilon_alpha,
            ),
            gain: 0.0,
        };
        let alpha = if learner.prioritized { learner.priority_alpha } else { 0.0 };
        Worker {
            stock,
            panel,
            plan,
            lanes: (0..plan.count).map(lane).collect(),
            agent: Agent::new(stock, shape, return_std, learner),
            replay: Replay::new(learner.replay_capacity, alpha),
            actions: ActionSet::new(env.long_only),
            return_std: f64::from(return_std),
            batch_size: learner.batch_size,
            explore: stream(seed, Purpose::Exploration, stock),
            sampling: stream(seed, Purpose::Replay, stock),
            rows: Vec::new(),
            q: Vec::new(),
            sample: Sample::default(),
            hindsight: learner.all_actions.then(|| CounterfactualAccount {
                env: TradingEnv::new(env),
                terms: RewardTerms {
                    gamma: learner.gamma,
                    return_std: f64::from(return_std),
                    cost: Costs::new(env).turnover_cost(),
                },
            }),
            outcomes: MinibatchOutcomes::default(),
            outcome: TdOutcome::default(),
        }
    }

    /// Index of the worker's stock.
    pub fn stock(&self) -> usize {
        self.stock
    }

    pub(crate) fn agent(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// Values of all actions at the last proposal, `[lane, action]`.
    pub fn q(&self) -> &[f32] {
        &self.q
    }

    /// A lane's account as the last step left it.
    pub fn account(&self, lane: usize) -> &Portfolio {
        self.lanes[lane].env.portfolio()
    }

    /// Every lane back to the start of its segment, with a fresh account.
    pub(crate) fn reset(&mut self) {
        for lane in &mut self.lanes {
            lane.env.reset();
            lane.gain = 0.0;
        }
    }

    /// What every lane wants at a step of its segment, knowing nothing after that bar;
    /// [`Proposal`]s into `message`.
    pub(crate) fn propose(&mut self, networks: &Networks, step: usize, message: &mut [f32]) {
        self.rows.clear();
        self.rows.extend((0..self.lanes.len()).map(|lane| self.plan.row(lane, step) as u32));
        let privates = self.lanes.iter().map(|lane| lane.env.private_state());
        self.agent.q_values(networks, &self.panel, &self.rows, privates, &mut self.q);
        let choices = self.q.chunks_exact(self.actions.len());
        for ((lane, q), out) in
            self.lanes.iter().zip(choices).zip(message.chunks_exact_mut(Proposal::LEN))
        {
            let mut choice = argmax(q);
            if self.explore.random::<f64>() < lane.epsilon {
                choice = self.explore.random_range(0..q.len());
            }
            Proposal { gain: lane.gain, ..propose(self.actions, q, choice) }.write(out);
        }
    }

    /// Carries out the orders (a direction and a capital per lane) at the next bar's open and keeps
    /// what came of it. Returns the sum over lanes of capital times reward.
    pub(crate) fn step(&mut self, step: usize, orders: &[f32]) -> f64 {
        let last = step + 1 == self.plan.steps;
        let mut portfolio_reward = 0.0;
        for (index, (lane, order)) in self.lanes.iter_mut().zip(orders.chunks_exact(2)).enumerate()
        {
            let t = self.plan.row(index, step);
            let now = self.panel.view(t).bar(self.stock);
            let next = self.panel.view(t + 1).bar(self.stock);
            let private_t = lane.env.private_state();
            let step = lane.env.step(order[0] as i8, &now, &next, t + 1);
            let TimeStep { reward_t, .. } = step.time_step;
            let gain = f64::from(order[1]) * reward_t;
            lane.gain = gain as f32;
            portfolio_reward += gain;
            let decision = StepDecision { t, private_t, action_t: self.actions.index(step.held) };
            let learned = TimeStep { reward_t: reward_t / self.return_std, ..step.time_step };
            lane.n_step.push(decision, &learned, |transition| self.replay.push(transition));
            if last {
                lane.n_step.truncate(|transition| self.replay.push(transition));
            }
        }
        portfolio_reward
    }

    /// Samples a minibatch and leaves its gradient in `gradient`.
    pub(crate) fn learn(
        &mut self,
        networks: &Networks,
        beta: f64,
        gradient: &mut [f32],
    ) -> LearnStats {
        self.replay.sample(self.batch_size, beta, &mut self.sampling, &mut self.sample);
        self.compute_counterfactuals();
        let (sample, outcomes) = (&self.sample, &self.outcomes);
        let outcome = &mut self.outcome;
        self.agent.learn(networks, &self.panel, sample, outcomes, outcome, gradient);
        self.replay.update_priorities(&self.sample.slots, &self.outcome.td_errors);
        LearnStats { loss: self.outcome.loss as f32, mean_q: self.outcome.mean_q as f32 }
    }

    /// What the actions of the sampled transitions led to.
    fn compute_counterfactuals(&mut self) {
        let (transitions, actions) = (&self.sample.transitions, self.actions);
        let Some(CounterfactualAccount { env, terms }) = &mut self.hindsight else {
            return self.outcomes.fill_recorded(transitions, actions);
        };
        let (panel, stock) = (&self.panel, self.stock);
        self.outcomes.fill_all_actions(transitions, actions, *terms, |transition, direction| {
            let t = transition.t as usize;
            let (now, next) = (panel.view(t).bar(stock), panel.view(t + 1).bar(stock));
            env.set(&transition.private_t(), now.close);
            env.step(direction, &now, &next, t + 1).time_step
        });
    }

    pub(crate) fn state(&self) -> WorkerState {
        WorkerState {
            lanes: self.lanes.clone(),
            replay: self.replay.clone(),
            explore: self.explore.clone(),
            sampling: self.sampling.clone(),
        }
    }

    /// Goes back to a state of the same run.
    pub(crate) fn restore(&mut self, state: WorkerState) {
        assert_eq!(self.lanes.len(), state.lanes.len(), "lanes of another run");
        self.lanes = state.lanes;
        self.replay = state.replay;
        self.explore = state.explore;
        self.sampling = state.sampling;
    }

    /// Mean of the lanes' exploration rates.
    pub fn mean_epsilon(&self) -> f64 {
        self.lanes.iter().map(|lane| lane.epsilon).sum::<f64>() / self.lanes.len() as f64
    }
}

/// The proposal that stands for a choice of action.
pub(crate) fn propose(actions: ActionSet, q: &[f32], choice: usize) -> Proposal {
    let flat = q[actions.index(0)];
    Proposal {
        direction: actions.action(choice).direction(),
        conviction: q[choice] - flat,
        greedy: actions.action(argmax(q)).direction(),
        gain: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_share_their_border_rows_and_stay_inside_the_period() {
        let lanes = Lanes::cut(100..1_062, 8).unwrap();
        assert_eq!(lanes, Lanes { first_row: 100, count: 8, steps: 120 });
        assert_eq!(lanes.row(0, 120), lanes.row(1, 0));
        assert_eq!(lanes.row(7, 120), 1_060);
    }

    #[test]
    fn a_short_period_gets_fewer_lanes() {
        assert_eq!(Lanes::cut(0..101, 64).unwrap().count, 2);
        assert_eq!(Lanes::cut(0..10, 64), Some(Lanes { first_row: 0, count: 1, steps: 9 }));
        assert_eq!(Lanes::cut(5..6, 64), None);
    }

    #[test]
    fn conviction_is_measured_against_holding_nothing() {
        let q = [0.5, 0.2, 1.0];
        let proposal = propose(ActionSet::new(false), &q, argmax(&q));
        assert_eq!((proposal.direction, proposal.greedy), (1, 1));
        assert!((proposal.conviction - 0.8).abs() < 1e-6);
        let flat = propose(ActionSet::new(true), &[0.3, 0.1], 0);
        assert_eq!(flat, Proposal { direction: 0, conviction: 0.0, greedy: 0, gain: 0.0 });
        let exploring = propose(ActionSet::new(false), &q, 0);
        assert_eq!((exploring.direction, exploring.greedy), (-1, 1));
    }
}
