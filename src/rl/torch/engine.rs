//! The online and the target network on a device, with slices as inputs and outputs.

use tch::{Device, Tensor, no_grad};

use super::network::QNetwork;
use super::shape::Shape;

/// Both networks, used by one thread at a time.
pub(crate) struct Pair {
    online: QNetwork,
    target: QNetwork,
    device: Device,
}

/// A minibatch; see `MinibatchInputs` in the program's `src/rl/engine.rs`.
pub(crate) struct Minibatch<'a> {
    pub(crate) slots: &'a [i64],
    /// `[2 * row, slot, feature]`
    pub(crate) market: &'a [f32],
    /// `[row, private]`
    pub(crate) private_tm1: &'a [f32],
    /// `[row, state, private]`
    pub(crate) private_t: &'a [f32],
    pub(crate) double: bool,
}

/// Q-values of a minibatch.
#[derive(Default)]
pub(crate) struct MinibatchValues {
    /// `[row, action]`
    pub(crate) q_tm1: Vec<f32>,
    /// `[row, state, action]`; empty unless `double`.
    pub(crate) q_t_selector: Vec<f32>,
    pub(crate) q_t_value: Vec<f32>,
}

/// Receives the values of a minibatch, and writes d loss / d `q_tm1` into the second argument.
pub(crate) type Loss<'a> = dyn FnMut(&MinibatchValues, &mut [f32]) -> Result<(), String> + 'a;

impl Pair {
    pub(crate) fn new(shape: &Shape, weights: &[f32], device: Device) -> Pair {
        let network = || QNetwork::new(shape.clone(), weights, device);
        Pair { online: network(), target: network(), device }
    }

    pub(crate) fn load(&mut self, target: bool, weights: &[f32]) {
        let network = if target { &mut self.target } else { &mut self.online };
        network.load(weights);
    }

    /// `market` `[row, slot, feature]`, `private` `[row, private]`, into `q` `[row, action]`.
    pub(crate) fn q_values(&self, slots: &[i64], market: &[f32], private: &[f32], q: &mut [f32]) {
        let (market, private, slots) =
            (self.market(market), self.private(private), self.slots(slots));
        copy_out(&no_grad(|| self.online.q_values(&market, &slots, &private)), q);
    }

    /// `market` `[row, slot, feature]` into `out` `[row, 2 * embedding]`.
    pub(crate) fn context(&self, slots: &[i64], market: &[f32], out: &mut [f32]) {
        let (market, slots) = (self.market(market), self.slots(slots));
        copy_out(&no_grad(|| self.online.context(&market, &slots)), out);
    }

    /// `contexts` `[row, 2 * embedding]`, `private` `[row, private]`, into `q` `[row, action]`.
    pub(crate) fn heads(&self, contexts: &[f32], private: &[f32], q: &mut [f32]) {
        let width = 2 * self.online.shape().config.embedding as i64;
        let (contexts, private) = (self.tensor(contexts, &[-1, width]), self.private(private));
        copy_out(&no_grad(|| self.online.heads(&contexts, &private)), q);
    }

    /// `market` `[row, slot, feature]` into `out` `[row, peer]`.
    pub(crate) fn attention(&self, slots: &[i64], market: &[f32], out: &mut [f32]) {
        let (market, slots) = (self.market(market), self.slots(slots));
        let weights = no_grad(|| self.online.attention_weights(&market, &slots));
        copy_out(&weights.expect("a network that attends"), out);
    }

    /// Overwrites `gradient` with d loss / d parameters of the online network.
    pub(crate) fn learn(
        &self,
        minibatch: &Minibatch<'_>,
        loss: &mut Loss<'_>,
        gradient: &mut [f32],
    ) -> Result<(), String> {
        let (mut values, slots) = (MinibatchValues::default(), self.slots(minibatch.slots));
        let (market_tm1, market_t) = minibatch.market.split_at(minibatch.market.len() / 2);
        let (market_t, private_t) = (self.market(market_t), self.private(minibatch.private_t));
        no_grad(|| {
            let of = |network| values_of_states(network, &market_t, &slots, &private_t);
            values.q_t_value = numbers(&of(&self.target));
            if minibatch.double {
                values.q_t_selector = numbers(&of(&self.online));
            }
        });
        let (market, private) = (self.market(market_tm1), self.private(minibatch.private_tm1));
        let q = self.online.q_values(&market, &slots, &private);
        values.q_tm1 = numbers(&q.detach());
        let mut grad_q = vec![0.0; values.q_tm1.len()];
        loss(&values, &mut grad_q)?;
        self.online.gradient_through(&q, &grad_q, gradient);
        Ok(())
    }

    fn slots(&self, slots: &[i64]) -> Tensor {
        Tensor::from_slice(slots).to_device(self.device)
    }

    fn market(&self, values: &[f32]) -> Tensor {
        let shape = self.online.shape();
        self.tensor(values, &[-1, shape.slots() as i64, shape.features as i64])
    }

    fn private(&self, values: &[f32]) -> Tensor {
        self.tensor(values, &[-1, self.online.shape().privates as i64])
    }

    fn tensor(&self, values: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).reshape(shape).to_device(self.device)
    }
}

/// Values of all actions in the states that each row may lead to, `[row * state, action]`. The
/// market is the same for all states of a row, so its part of the network is computed once.
fn values_of_states(
    network: &QNetwork,
    market: &Tensor,
    slots: &Tensor,
    private: &Tensor,
) -> Tensor {
    let context = network.context(market, slots);
    let (rows, width) = (context.size()[0], context.size()[1]);
    let states = private.size()[0] / rows;
    let repeated = context.unsqueeze(1).expand([rows, states, width], false);
    network.heads(&repeated.reshape([-1, width]), private)
}

/// Copies all elements to `out` in row-major order.
fn copy_out(tensor: &Tensor, out: &mut [f32]) {
    assert_eq!(tensor.numel(), out.len(), "elements of a result");
    tensor.to_device(Device::Cpu).contiguous().copy_data(out, out.len());
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let mut values = vec![0.0; tensor.numel()];
    copy_out(tensor, &mut values);
    values
}
