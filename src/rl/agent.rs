//! A double-DQN agent for one stock: what it thinks of its choices, and how a minibatch would
//! change its weights.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::network::{NetworkShape, QNetwork};
use super::outcomes::Outcomes;
use super::replay::Sample;
use super::td::{TdBatch, TdOutcome, td_outcome};
use crate::config::LearnerConfig;
use crate::interface::PrivateState;
use crate::market::panel::Panel;

/// Numbers in which [`private_features`] tells an agent of its own account.
pub const PRIVATE_FEATURES: usize = 3;

/// Rewards are in units of a stock's one-bar standard deviation, so errors of a few of them are
/// ordinary.
const HUBER_DELTA: f64 = 5.0;
const CLIP_STD: f32 = 5.0;

/// Position; unrealised return over what a random walk of as many bars would give; logarithm of the
/// bars held.
pub fn private_features(state: &PrivateState, return_std: f32) -> [f32; PRIVATE_FEATURES] {
    let bars = f32::from(state.bars_held);
    let usual_move = return_std * bars.max(1.0).sqrt();
    [
        f32::from(state.position),
        (state.unrealized_return / usual_move).clamp(-CLIP_STD, CLIP_STD),
        bars.ln_1p() / 5.0,
    ]
}

/// What an agent keeps to itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    target_weights: Vec<f32>,
    gradient_steps: u64,
}

pub struct Agent {
    online: QNetwork,
    target: QNetwork,
    device: Device,
    /// The stock itself, then its peers: panel columns that the network is given.
    slots: Vec<usize>,
    slot_ids: Tensor,
    return_std: f32,
    double: bool,
    all_actions: bool,
    relative: bool,
    target_every: u64,
    target_tau: f64,
    gradient_steps: u64,
    target_weights: Vec<f32>,
    features: Vec<f32>,
    rows: Vec<u32>,
}

impl Agent {
    /// An agent for `stock`, with the given weights in both networks.
    pub fn new(
        stock: usize,
        shape: &NetworkShape,
        weights: &[f32],
        return_std: f32,
        config: &LearnerConfig,
        device: Device,
    ) -> Agent {
        let online = QNetwork::new(shape.clone(), weights, device);
        let target = QNetwork::new(shape.clone(), weights, device);
        let mut slots = vec![stock];
        slots.extend(&shape.peers[stock]);
        let ids: Vec<i64> = slots.iter().map(|&slot| slot as i64).collect();
        Agent {
            online,
            target,
            device,
            slots,
            slot_ids: Tensor::from_slice(&ids).to_device(device),
            return_std,
            double: config.double,
            all_actions: config.all_actions,
            relative: config.relative_values,
            target_every: config.target_every,
            target_tau: config.target_tau,
            gradient_steps: 0,
            target_weights: weights.to_vec(),
            features: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Values of all actions, `[row, action]`, into `q`.
    pub fn q_values(
        &mut self,
        panel: &Panel,
        rows: &[u32],
        privates: impl Iterator<Item = PrivateState>,
        q: &mut Vec<f32>,
    ) {
        let market = self.market(panel, rows);
        let private = self.private(privates);
        let values = no_grad(|| self.online.q_values(&market, &self.slot_ids, &private));
        copy_out(&values, q);
    }

    /// What the network makes of the market for this stock, `[row, 2 * embedding]` into `out`: its
    /// part that does not depend on the account.
    pub fn context(&mut self, panel: &Panel, rows: &[u32], out: &mut [f32]) {
        let market = self.market(panel, rows);
        let context = no_grad(|| self.online.context(&market, &self.slot_ids));
        context.to_device(Device::Cpu).contiguous().copy_data(out, out.len());
    }

    /// Mean attention to each peer over `rows`; None without peers or attention.
    pub fn attention(&mut self, panel: &Panel, rows: &[u32]) -> Option<Vec<f32>> {
        let market = self.market(panel, rows);
        let weights = no_grad(|| self.online.attention_weights(&market, &self.slot_ids))?;
        let mut mean = Vec::new();
        copy_out(&weights.mean_dim(0, false, Kind::Float), &mut mean);
        Some(mean)
    }

    /// How much each peer moves what is decided, in units of `return_std`: by how much, in the mean
    /// over `rows`, the value of the last action less that of the first (of long less short)
    /// changes for a flat account when the peer's features are put to their mean. None without
    /// peers or attention.
    pub fn influence(&mut self, panel: &Panel, rows: &[u32]) -> Option<Vec<f32>> {
        let market = self.market(panel, rows);
        let private = self.private(rows.iter().map(|_| PrivateState::default()));
        let difference = |market: &Tensor| {
            let q = self.online.q_values(market, &self.slot_ids, &private);
            q.select(1, -1) - q.select(1, 0)
        };
        if !self.online.shape().attends() {
            return None;
        }
        Some(no_grad(|| {
            let as_it_is = difference(&market);
            let without = |slot: usize| {
                let changed = market.copy();
                // Features are scaled: 0 is the mean of the training period.
                let _ = changed.select(1, slot as i64).fill_(0.0);
                let moved = (difference(&changed) - &as_it_is).abs().mean(Kind::Float);
                moved.double_value(&[]) as f32
            };
            (1..self.slots.len()).map(without).collect()
        }))
    }

    /// The gradient of the loss of a minibatch, into `gradient`, in the order of the flat weights.
    pub fn learn(
        &mut self,
        panel: &Panel,
        sample: &Sample,
        outcomes: &Outcomes,
        outcome: &mut TdOutcome,
        gradient: &mut [f32],
    ) {
        let transitions = &sample.transitions;
        let market_t = self.market_at(panel, transitions.iter().map(|x| x.t_end() as u32));
        let private_t = self.private(outcomes.states.iter().copied());
        let mut q_t_target = Vec::new();
        let mut q_t_selector = Vec::new();
        no_grad(|| {
            copy_out(&self.values_of_states(&self.target, &market_t, &private_t), &mut q_t_target);
            if self.double {
                let values = self.values_of_states(&self.online, &market_t, &private_t);
                copy_out(&values, &mut q_t_selector);
            }
        });

        let market_tm1 = self.market_at(panel, transitions.iter().map(|x| x.t));
        let private_tm1 = self.private(transitions.iter().map(|x| x.private_t()));
        let values = self.online.q_values(&market_tm1, &self.slot_ids, &private_tm1);
        let mut q_tm1 = Vec::new();
        copy_out(&values.detach(), &mut q_tm1);

        let actions: Vec<u8> = transitions.iter().map(|x| x.action).collect();
        let batch = TdBatch {
            q_tm1: &q_tm1,
            actions_tm1: &actions,
            all_actions: self.all_actions,
            rewards_t: &outcomes.rewards,
            discounts_t: &outcomes.discounts,
            state_of: &outcomes.state_of,
            q_t_selector: if self.double { &q_t_selector } else { &q_t_target },
            q_t_value: &q_t_target,
            relative: self.relative,
            weights: &sample.weights,
        };
        td_outcome(&batch, HUBER_DELTA, outcome);
        self.online.gradient_through(&values, &outcome.grad_q, gradient);
    }

    /// Values of all actions in the states that each row may lead to, `[row * state, action]`: the
    /// market is the same for a row's states, so its part of the network is computed once.
    fn values_of_states(&self, network: &QNetwork, market: &Tensor, private: &Tensor) -> Tensor {
        let context = network.context(market, &self.slot_ids);
        let (rows, width) = (context.size()[0], context.size()[1]);
        let states = private.size()[0] / rows;
        let repeated = context.unsqueeze(1).expand([rows, states, width], false);
        network.heads(&repeated.reshape([-1, width]), private)
    }

    /// Takes over the server's weights after a gradient step, and moves the target network when
    /// that is due.
    pub fn pull(&mut self, weights: &[f32]) {
        self.online.load(weights);
        self.gradient_steps += 1;
        if self.target_every == 0 {
            let tau = self.target_tau as f32;
            for (target, &online) in self.target_weights.iter_mut().zip(weights) {
                *target += tau * (online - *target);
            }
        } else if self.gradient_steps.is_multiple_of(self.target_every) {
            self.target_weights.copy_from_slice(weights);
        } else {
            return;
        }
        self.target.load(&self.target_weights);
    }

    /// What [`Agent::restore`] needs besides the shared weights.
    pub fn state(&self) -> AgentState {
        AgentState {
            target_weights: self.target_weights.clone(),
            gradient_steps: self.gradient_steps,
        }
    }

    pub fn restore(&mut self, weights: &[f32], state: AgentState) {
        self.online.load(weights);
        self.target.load(&state.target_weights);
        self.target_weights = state.target_weights;
        self.gradient_steps = state.gradient_steps;
    }

    /// As [`Agent::market`], of these rows.
    fn market_at(&mut self, panel: &Panel, rows: impl Iterator<Item = u32>) -> Tensor {
        self.rows.clear();
        self.rows.extend(rows);
        let rows = std::mem::take(&mut self.rows);
        let market = self.market(panel, &rows);
        self.rows = rows;
        market
    }

    /// `[row, slot, feature]`
    fn market(&mut self, panel: &Panel, rows: &[u32]) -> Tensor {
        panel.gather_features(rows, &self.slots, &mut self.features);
        let shape = [rows.len() as i64, self.slots.len() as i64, -1];
        self.tensor(&self.features, &shape)
    }

    /// `[row, private]`
    fn private(&self, states: impl Iterator<Item = PrivateState>) -> Tensor {
        let values: Vec<f32> =
            states.flat_map(|state| private_features(&state, self.return_std)).collect();
        self.tensor(&values, &[-1, PRIVATE_FEATURES as i64])
    }

    fn tensor(&self, values: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).reshape(shape).to_device(self.device)
    }
}

/// All elements in row-major order, in place of what `out` held.
pub fn copy_out(tensor: &Tensor, out: &mut Vec<f32>) {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let len = tensor.numel();
    out.resize(len, 0.0);
    tensor.copy_data(out, len);
}

/// Initial weights of a run, the same on every rank.
pub fn initial_weights(shape: &NetworkShape, rng: &mut ChaCha8Rng) -> Vec<f32> {
    QNetwork::initial(shape, rng)
}
