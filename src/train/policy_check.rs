//! Observations with the Q-values that the program gives them, so that whoever loads `policy.pt` elsewhere can check
//! that it gives the same.

use serde::Serialize;
use tch::{Device, Tensor, no_grad};

use super::dataset::Prepared;
use super::model::Model;
use crate::config::RunConfig;
use crate::interface::{ActionSet, PrivateState};
use crate::rl::agent::private_features;
use crate::rl::network::QNetwork;

/// Observations written out.
const COUNT: usize = 64;

/// A tensor as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Array {
    pub shape: Vec<i64>,
    /// Row-major.
    pub data: Vec<f32>,
}

/// Inputs of the policy, and what came out. `policy(market, stock, private)` must give `q`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyCheck {
    /// `[observation, stock, feature]`, scaled.
    pub market: Array,
    /// `[observation]`: which stock it is for.
    pub stock: Vec<i64>,
    /// `[observation, private]`
    pub private: Array,
    /// `[observation, action]`
    pub q: Array,
    /// Direction that each column of `q` stands for.
    pub actions: Vec<i8>,
    pub stocks: Vec<String>,
    pub features: Vec<String>,
}

/// Observations spread over the evaluation period and the stocks, in all three positions.
pub fn observations(
    network: &QNetwork,
    config: &RunConfig,
    model: &Model,
    eval: &Prepared,
) -> PolicyCheck {
    let stocks = config.stocks.len();
    let rows = eval.note.rows.clone();
    let action_set = ActionSet::new(config.env.long_only);
    let actions: Vec<i8> =
        (0..action_set.len()).map(|index| action_set.action(index).direction()).collect();
    let (mut market, mut stock, mut private, mut q) = (vec![], vec![], vec![], vec![]);
    let mut shape_private = 0;
    for i in 0..COUNT {
        let row = rows.start + (rows.len() - 1) * i / COUNT;
        let own = i % stocks;
        let position = actions[i / stocks % actions.len()];
        let state = PrivateState {
            position,
            bars_held: if position == 0 { 0 } else { i as u16 + 1 },
            unrealized_return: f32::from(position) * 0.001 * i as f32,
        };
        let features = private_features(&state, model.fit.scaler.return_std[own]);
        shape_private = features.len() as i64;
        let mut slots = vec![own];
        slots.extend(&model.shape.peers[own]);
        let mut seen = Vec::new();
        eval.panel.gather_features(&[row as u32], &slots, &mut seen);
        let ids: Vec<i64> = slots.iter().map(|&slot| slot as i64).collect();
        let values = no_grad(|| {
            network.q_values(
                &Tensor::from_slice(&seen).reshape([1, slots.len() as i64, -1]),
                &Tensor::from_slice(&ids),
                &Tensor::from_slice(&features).reshape([1, -1]),
            )
        });
        let values = values.to_device(Device::Cpu);
        market.extend_from_slice(eval.panel.view(row).all_features());
        stock.push(own as i64);
        private.extend(features);
        q.extend((0..actions.len()).map(|a| values.double_value(&[0, a as i64]) as f32));
    }
    let count = COUNT as i64;
    PolicyCheck {
        market: Array { shape: vec![count, stocks as i64, -1], data: market }.sized(),
        stock,
        private: Array { shape: vec![count, shape_private], data: private },
        q: Array { shape: vec![count, actions.len() as i64], data: q },
        actions,
        stocks: config.stocks.iter().map(ToString::to_string).collect(),
        features: eval.panel.feature_names().to_vec(),
    }
}

impl Array {
    /// The one length that was left open (-1), from the number of elements.
    fn sized(mut self) -> Array {
        let known: i64 = self.shape.iter().filter(|&&n| n >= 0).product();
        for length in self.shape.iter_mut().filter(|n| **n < 0) {
            *length = self.data.len() as i64 / known;
        }
        self
    }
}
