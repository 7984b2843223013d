//! A worker: one stock, its lanes and its replay. The networks are lent to it; it knows neither the
//! other workers nor how messages travel.

use std::sync::Arc;

use crate::config::{EnvConfig, LearnerConfig};
use crate::env::costs::Costs;
use crate::env::portfolio::Portfolio;
use crate::env::trading_env::TradingEnv;
use crate::interface::ActionSet;
use crate::market::panel::Panel;
use crate::rl::agent::{Agent, AgentTerms, q_values};
use crate::rl::belief::StockBelief;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::replay::{Replay, Sample};
use crate::rl::rng::{Purpose, stream};
use crate::rl::schedule::exploration_epsilon;
use crate::rl::td::{TdOutcome, argmax};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What a worker says for one lane: the position it wants, from -1 to 1, and how much better it
/// thinks that is than holding nothing, in bar standard deviations; what it would want without
/// exploring; and what the last bar brought to the portfolio, as a fraction of equity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Proposal {
    pub(crate) position: f32,
    pub(crate) conviction: f32,
    pub(crate) greedy: f32,
    pub(crate) gain: f32,
}

impl Proposal {
    /// Elements of a message.
    pub(crate) const LEN: usize = 4;

    pub(crate) fn write(self, message: &mut [f32]) {
        message[0] = self.position;
        message[1] = self.conviction;
        message[2] = self.greedy;
        message[3] = self.gain;
    }

    pub(crate) fn read(message: &[f32]) -> Proposal {
        Proposal {
            position: message[0],
            conviction: message[1],
            greedy: message[2],
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

/// Shorter segments would be little more than their ends; and each holds several windows.
const MIN_SEGMENT_STEPS: usize = 48;
const MIN_SEGMENT_WINDOWS: usize = 3;

impl Lanes {
    /// As many of `wanted` lanes as leave segments of a useful length for windows of `window_bars` on
    /// the rows; None where there are not three rows: one to decide at, one to hold, and one that
    /// ends it.
    pub fn cut(rows: std::ops::Range<usize>, wanted: usize, window_bars: usize) -> Option<Lanes> {
        let steps = rows.len().checked_sub(1).filter(|&steps| steps > 1)?;
        let least = MIN_SEGMENT_STEPS.max(MIN_SEGMENT_WINDOWS * window_bars);
        let count = wanted.min(steps / least).max(1);
        Some(Lanes { first_row: rows.start, count, steps: steps / count })
    }

    /// Panel row of a lane after so many steps of its segment.
    pub(crate) fn row(&self, lane: usize, step: usize) -> usize {
        self.first_row + lane * self.steps + step
    }

    /// Panel rows of all lanes after so many steps of their segments.
    pub(crate) fn rows(&self, step: usize) -> impl Iterator<Item = u32> {
        let lanes = *self;
        (0..lanes.count).map(move |lane| lanes.row(lane, step) as u32)
    }

    /// The length of windows of `wanted` bars, or less where a segment is too short for one.
    pub fn window_bars(&self, wanted: usize) -> usize {
        wanted.min(self.steps - 1)
    }

    /// First rows of the windows of `bars` that a lane knows after a step and did not know before.
    /// The return after a window's last bar ends at the second open after it, so a window needs
    /// `bars` + 1 more rows than its first. After its last step a lane adds the windows that reach
    /// into the next segment, whose bars have been seen by then.
    pub fn windows(&self, lane: usize, bars: usize, step: usize) -> std::ops::Range<usize> {
        let known = self.row(lane, step + 1);
        let first = self.row(lane, 0);
        let start = (known.saturating_sub(bars + 1)).max(first);
        let end = match step + 1 == self.steps && lane + 1 < self.count {
            true => known,
            false => (known + 1).saturating_sub(bars + 1),
        };
        start..end.max(start)
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
    epsilon: f64,
    /// Capital times reward of the last bar.
    gain: f32,
}

/// A worker's state in a checkpoint, from which it resumes bit for bit.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WorkerState {
    lanes: Vec<Lane>,
    replay: Replay,
    actions_taken: Option<Vec<u8>>,
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
    /// Index of the action taken at each row of the segments, from the first segment's first row
    /// on, if only that is learned from.
    actions_taken: Option<Vec<u8>>,
    actions: ActionSet,
    /// Bars of a window, and windows of a minibatch.
    window_bars: usize,
    windows: usize,
    explore: ChaCha8Rng,
    sampling: ChaCha8Rng,
    rows: Vec<u32>,
    values: Vec<f32>,
    q: Vec<f32>,
    sample: Sample,
    taken: Vec<u8>,
    outcome: TdOutcome,
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
            epsilon: exploration_epsilon(
                lane * shape.stocks + stock,
                actors,
                learner.epsilon,
                learner.epsilon_alpha,
            ),
            gain: 0.0,
        };
        let alpha = if learner.prioritized { learner.priority_alpha } else { 0.0 };
        let actions = env.action_set();
        let terms = AgentTerms {
            return_std,
            turnover_cost: Costs::new(env).turnover_cost(),
            actions,
            risk_aversion: learner.risk_aversion,
            belief: StockBelief::IN_NETWORK,
        };
        let window_bars = plan.window_bars(learner.window_bars);
        let rows = plan.count * plan.steps;
        Worker {
            stock,
            panel,
            plan,
            lanes: (0..plan.count).map(lane).collect(),
            agent: Agent::new(stock, shape, terms, window_bars, learner),
            replay: Replay::new(learner.replay_capacity, alpha),
            actions_taken: (!learner.all_actions).then(|| vec![0; rows]),
            actions,
            window_bars,
            windows: (learner.batch_size / window_bars).max(1),
            explore: stream(seed, Purpose::Exploration, stock),
            sampling: stream(seed, Purpose::Replay, stock),
            rows: Vec::new(),
            values: Vec::new(),
            q: Vec::new(),
            sample: Sample::default(),
            taken: Vec::new(),
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

    /// Q-values at the last proposal, `[lane, action]`.
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

    /// Nothing is left to sample.
    pub(crate) fn forget(&mut self) {
        self.replay = self.replay.emptied();
    }

    /// What every lane wants at a step of its segment, knowing nothing after that bar;
    /// [`Proposal`]s into `message`.
    pub(crate) fn propose(&mut self, networks: &Networks, step: usize, message: &mut [f32]) {
        self.rows.clear();
        self.rows.extend(self.plan.rows(step));
        self.agent.values(networks, &self.panel, &self.rows, &mut self.values);
        self.propose_by_values(message);
    }

    /// Where [`Worker::propose_by_values`] expects the values of all lanes, `[lane, action]`.
    pub(crate) fn values(&mut self) -> &mut Vec<f32> {
        &mut self.values
    }

    /// As [`Worker::propose`], by values that are there already.
    pub(crate) fn propose_by_values(&mut self, message: &mut [f32]) {
        self.q.clear();
        let terms = self.agent.terms();
        let values = self.values.chunks_exact(self.actions.len());
        for (lane, values) in self.lanes.iter().zip(values) {
            let held = lane.env.held() as f32;
            q_values(values, held, &terms, &mut self.q);
        }
        let choices = self.q.chunks_exact(self.actions.len());
        for ((lane, q), out) in
            self.lanes.iter().zip(choices).zip(message.chunks_exact_mut(Proposal::LEN))
        {
            let mut choice = argmax(q);
            if self.explore.random::<f64>() < lane.epsilon {
                choice = self.explore.random_range(0..q.len());
            }
            Proposal { gain: lane.gain, ..propose(&self.actions, q, choice) }.write(out);
        }
    }

    /// Carries out the orders (a position and a capital per lane) at the next bar's open, and keeps
    /// the windows that are known by then. Returns the sum over lanes of capital times reward.
    pub fn step(&mut self, step_index: usize, orders: &[f32]) -> f64 {
        let mut portfolio_reward = 0.0;
        for (index, (lane, order)) in self.lanes.iter_mut().zip(orders.chunks_exact(2)).enumerate()
        {
            let t = self.plan.row(index, step_index);
            let now = self.panel.view(t).bar(self.stock);
            let next = self.panel.view(t + 1).bar(self.stock);
            let step = lane.env.step(f64::from(order[0]), &now, &next);
            let gain = f64::from(order[1]) * step.reward;
            lane.gain = gain as f32;
            portfolio_reward += gain;
            if let Some(taken) = &mut self.actions_taken {
                taken[t - self.plan.first_row] = self.actions.index(step.held as f32) as u8;
            }
            for start in self.plan.windows(index, self.window_bars, step_index) {
                self.replay.push(start as u32);
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
        self.replay.sample(self.windows, beta, &mut self.sampling, &mut self.sample);
        let (sample, outcome) = (&self.sample, &mut self.outcome);
        let taken = self.actions_taken.as_ref().map(|taken| {
            let windows = sample.starts.iter().map(|&start| start as usize - self.plan.first_row);
            self.taken.clear();
            self.taken.extend(windows.flat_map(|start| &taken[start..start + self.window_bars]));
            &self.taken[..]
        });
        self.agent.learn(networks, &self.panel, sample, taken, outcome, gradient);
        self.replay.update_priorities(&self.sample.slots, &self.outcome.td_errors);
        LearnStats { loss: self.outcome.loss as f32, mean_q: self.outcome.mean_q as f32 }
    }

    pub(crate) fn state(&self) -> WorkerState {
        WorkerState {
            lanes: self.lanes.clone(),
            replay: self.replay.clone(),
            actions_taken: self.actions_taken.clone(),
            explore: self.explore.clone(),
            sampling: self.sampling.clone(),
        }
    }

    /// Goes back to a state of the same run.
    pub(crate) fn restore(&mut self, state: WorkerState) {
        assert_eq!(self.lanes.len(), state.lanes.len(), "lanes of another run");
        self.lanes = state.lanes;
        self.replay = state.replay;
        self.actions_taken = state.actions_taken;
        self.explore = state.explore;
        self.sampling = state.sampling;
    }

    /// Mean of the lanes' exploration rates.
    pub fn mean_epsilon(&self) -> f64 {
        self.lanes.iter().map(|lane| lane.epsilon).sum::<f64>() / self.lanes.len() as f64
    }
}

/// The proposal that stands for a choice of action.
pub(crate) fn propose(actions: &ActionSet, q: &[f32], choice: usize) -> Proposal {
    let flat = q[actions.index(0.0)];
    Proposal {
        position: actions.positions()[choice],
        conviction: q[choice] - flat,
        greedy: actions.positions()[argmax(q)],
        gain: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_share_their_border_rows_and_stay_inside_the_period() {
        let lanes = Lanes::cut(100..1_062, 8, 16).unwrap();
        assert_eq!(lanes, Lanes { first_row: 100, count: 8, steps: 120 });
        assert_eq!(lanes.row(0, 120), lanes.row(1, 0));
        assert_eq!(lanes.row(7, 120), 1_060);
    }

    #[test]
    fn a_short_period_gets_fewer_lanes() {
        assert_eq!(Lanes::cut(0..101, 64, 16).unwrap().count, 2);
        assert_eq!(Lanes::cut(0..1_001, 64, 96).unwrap().count, 3);
        assert_eq!(Lanes::cut(0..10, 64, 16), Some(Lanes { first_row: 0, count: 1, steps: 9 }));
        assert_eq!(Lanes::cut(5..7, 64, 1), None);
        assert_eq!(Lanes::cut(5..8, 64, 1), Some(Lanes { first_row: 5, count: 1, steps: 2 }));
    }

    /// Segments of 6 steps from rows 100, 106 and 112 on, windows of 3 bars.
    #[test]
    fn a_window_is_stored_once_and_when_it_is_known() {
        let lanes = Lanes { first_row: 100, count: 3, steps: 6 };
        let windows = |lane: usize, step: usize| lanes.windows(lane, 3, step);
        assert!(windows(0, 2).is_empty(), "of bars 100 to 102 the last return ends at 104's open");
        assert_eq!(windows(0, 3), 100..101);
        assert_eq!(windows(2, 5), 114..115);
        for lane in 0..3 {
            let stored: Vec<usize> = (0..6).flat_map(|step| windows(lane, step)).collect();
            let end = if lane == 2 { 115 } else { lanes.row(lane + 1, 0) };
            assert_eq!(stored, (lanes.row(lane, 0)..end).collect::<Vec<_>>(), "lane {lane}");
        }
        // Every bar that a window needs has been seen by the end of an episode.
        assert_eq!(lanes.row(2, 6), 114 + 3 + 1);
        assert_eq!(Lanes { first_row: 0, count: 1, steps: 2 }.windows(0, 1, 1), 0..1);
    }

    #[test]
    fn conviction_is_measured_against_holding_nothing() {
        let q = [0.5, 0.2, 1.0];
        let env = EnvConfig::default();
        let all = env.action_set();
        let proposal = propose(&all, &q, argmax(&q));
        assert_eq!((proposal.position, proposal.greedy), (1.0, 1.0));
        assert!((proposal.conviction - 0.8).abs() < 1e-6);
        let long_only = EnvConfig { long_only: true, ..env }.action_set();
        let flat = propose(&long_only, &[0.3, 0.1], 0);
        assert_eq!(flat, Proposal { position: 0.0, conviction: 0.0, greedy: 0.0, gain: 0.0 });
        let exploring = propose(&all, &q, 0);
        assert_eq!((exploring.position, exploring.greedy), (-1.0, 1.0));
    }
}
