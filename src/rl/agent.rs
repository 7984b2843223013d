//! A double-DQN agent for one stock: Q-values, and the gradient of a minibatch.

use super::engine::{Engine, MinibatchInputs, MinibatchValues};
use super::network::NetworkShape;
use super::networks::Networks;
use super::outcomes::MinibatchOutcomes;
use super::replay::Sample;
use super::td::{TdBatch, TdOutcome, td_outcome};
use crate::config::LearnerConfig;
use crate::interface::PrivateState;
use crate::market::panel::Panel;

/// Number of [`private_features`].
pub(crate) const PRIVATE_FEATURES: usize = 3;

/// Rewards are in units of a stock's one-bar standard deviation, so errors of a few units are
/// usual.
const HUBER_DELTA: f64 = 5.0;
const CLIP_STD: f32 = 5.0;

/// The private features: position; unrealised return over the standard deviation of a random walk
/// of as many bars; logarithm of the bars held.
pub(crate) fn private_features(state: &PrivateState, return_std: f32) -> [f32; PRIVATE_FEATURES] {
    let bars = f32::from(state.bars_held);
    let usual_move = return_std * bars.max(1.0).sqrt();
    [
        f32::from(state.position),
        (state.unrealized_return / usual_move).clamp(-CLIP_STD, CLIP_STD),
        bars.ln_1p() / 5.0,
    ]
}

/// The DQN of one stock: its inputs from a panel, and its loss.
pub struct Agent {
    /// The stock itself, then its peers: the stocks whose features are inputs.
    slots: Vec<usize>,
    attends: bool,
    return_std: f32,
    double: bool,
    all_actions: bool,
    relative: bool,
    /// Reused buffers.
    features: Vec<f32>,
    rows: Vec<u32>,
    private_tm1: Vec<f32>,
    private_t: Vec<f32>,
    actions: Vec<u8>,
}

impl Agent {
    /// `return_std` is the standard deviation of the stock's return over one bar, the unit of its
    /// rewards.
    pub fn new(
        stock: usize,
        shape: &NetworkShape,
        return_std: f32,
        config: &LearnerConfig,
    ) -> Agent {
        Agent {
            slots: shape.slots_of(stock),
            attends: shape.attends(),
            return_std,
            double: config.double,
            all_actions: config.all_actions,
            relative: config.relative_values,
            features: Vec::new(),
            rows: Vec::new(),
            private_tm1: Vec::new(),
            private_t: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Q-values of all actions, `[row, action]`, into `q`.
    pub(crate) fn q_values(
        &mut self,
        networks: &Networks,
        panel: &Panel,
        rows: &[u32],
        privates: impl Iterator<Item = PrivateState>,
        q: &mut Vec<f32>,
    ) {
        panel.gather_features(rows, &self.slots, &mut self.features);
        encode_private(privates, self.return_std, &mut self.private_tm1);
        networks.engine().q_values(&self.slots, &self.features, &self.private_tm1, q);
    }

    /// The part of the network that does not depend on the account, `[row, 2 * embedding]`, into
    /// `out`.
    pub(crate) fn context(
        &mut self,
        networks: &Networks,
        panel: &Panel,
        rows: &[u32],
        out: &mut [f32],
    ) {
        panel.gather_features(rows, &self.slots, &mut self.features);
        networks.engine().context(&self.slots, &self.features, out);
    }

    /// This stock's attention to each peer, as the mean over heads and `rows`; None without peers
    /// or attention.
    pub(crate) fn attention(
        &mut self,
        engine: &dyn Engine,
        panel: &Panel,
        rows: &[u32],
    ) -> Option<Vec<f32>> {
        if !self.attends {
            return None;
        }
        panel.gather_features(rows, &self.slots, &mut self.features);
        let mut weights = Vec::new();
        engine.attention(&self.slots, &self.features, &mut weights);
        let mut mean = vec![0.0; self.slots.len() - 1];
        for row in weights.chunks_exact(mean.len()) {
            mean.iter_mut().zip(row).for_each(|(mean, &weight)| *mean += f64::from(weight));
        }
        Some(mean.iter().map(|sum| (sum / rows.len() as f64) as f32).collect())
    }

    /// The influence of each peer on the decision, in units of `return_std`: the mean absolute
    /// change over `rows` of the last action's value minus the first one's (long minus short), for
    /// a flat account, when the peer's features are set to their mean. None without peers or
    /// attention.
    pub(crate) fn influence(
        &mut self,
        engine: &dyn Engine,
        panel: &Panel,
        rows: &[u32],
    ) -> Option<Vec<f32>> {
        if !self.attends {
            return None;
        }
        panel.gather_features(rows, &self.slots, &mut self.features);
        encode_private(
            rows.iter().map(|_| PrivateState::default()),
            self.return_std,
            &mut self.private_tm1,
        );
        let mut q = Vec::new();
        let mut differences = |features: &[f32]| -> Vec<f32> {
            engine.q_values(&self.slots, features, &self.private_tm1, &mut q);
            let actions = q.len() / rows.len();
            q.chunks_exact(actions).map(|q| q[actions - 1] - q[0]).collect()
        };
        let as_it_is = differences(&self.features);
        let (slots, features) = (self.slots.len(), self.features.len() / rows.len());
        let width = features / slots;
        let without = |slot: usize| {
            let mut changed = self.features.clone();
            // Features are scaled: 0 is the mean of the training period.
            for row in changed.chunks_exact_mut(features) {
                row[slot * width..][..width].fill(0.0);
            }
            let moved = differences(&changed);
            let moved = moved.iter().zip(&as_it_is).map(|(x, y)| f64::from((x - y).abs()));
            (moved.sum::<f64>() / rows.len() as f64) as f32
        };
        Some((1..slots).map(without).collect())
    }

    /// Writes the gradient of a minibatch's loss to `gradient`, in the order of the flat weights.
    pub fn learn(
        &mut self,
        networks: &Networks,
        panel: &Panel,
        sample: &Sample,
        outcomes: &MinibatchOutcomes,
        outcome: &mut TdOutcome,
        gradient: &mut [f32],
    ) {
        let transitions = &sample.transitions;
        self.rows.clear();
        self.rows.extend(transitions.iter().map(|x| x.t));
        self.rows.extend(transitions.iter().map(|x| x.t_end() as u32));
        panel.gather_features(&self.rows, &self.slots, &mut self.features);
        encode_private(
            transitions.iter().map(|x| x.private_t()),
            self.return_std,
            &mut self.private_tm1,
        );
        // Only the first states of a row may be reached.
        let room = outcomes.states.len() / transitions.len();
        let states = outcomes.state_of.iter().map(|&s| usize::from(s) + 1).max().unwrap_or(1);
        let ends = outcomes.states.chunks_exact(room).flat_map(|row| &row[..states]).copied();
        encode_private(ends, self.return_std, &mut self.private_t);
        let seen = MinibatchInputs {
            market: &self.features,
            private_tm1: &self.private_tm1,
            states,
            private_t: &self.private_t,
            double: self.double,
        };
        self.actions.clear();
        self.actions.extend(transitions.iter().map(|x| x.action));
        let mut on_values = |values: &MinibatchValues, grad_q: &mut Vec<f32>| {
            let MinibatchValues { q_tm1, q_t_selector, q_t_value } = values;
            let batch = TdBatch {
                q_tm1,
                actions_tm1: &self.actions,
                all_actions: self.all_actions,
                rewards_t: &outcomes.rewards,
                discounts_t: &outcomes.discounts,
                state_of: &outcomes.state_of,
                q_t_selector: if self.double { q_t_selector } else { q_t_value },
                q_t_value,
                relative: self.relative,
                weights: &sample.weights,
            };
            td_outcome(&batch, HUBER_DELTA, outcome);
            grad_q.clone_from(&outcome.grad_q);
        };
        networks.engine().learn(&self.slots, &seen, &mut on_values, gradient);
    }
}

/// Writes the private features, `[row, private]`, to `out`.
fn encode_private(states: impl Iterator<Item = PrivateState>, return_std: f32, out: &mut Vec<f32>) {
    out.clear();
    states.for_each(|state| out.extend(private_features(&state, return_std)));
}
