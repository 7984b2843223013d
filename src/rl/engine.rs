//! What computes the networks: by hand on the CPU ([`super::direct`]), by libtorch on other
//! devices.

use std::sync::{Mutex, MutexGuard};

use tch::{Device, Tensor, no_grad};

use super::direct::Direct;
use super::network::{NetworkShape, QNetwork};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Online,
    Target,
}

/// A minibatch as the networks see it. Matrices are row-major.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// `[2 * row, slot, feature]`: where the transitions start, then where they end.
    pub market: &'a [f32],
    /// `[row, private]`
    pub private_tm1: &'a [f32],
    /// States that each row may lead to.
    pub states: usize,
    /// `[row, state, private]`
    pub private_t: &'a [f32],
    /// The online network's values at the end are asked for as well.
    pub double: bool,
}

/// Q-values of a minibatch.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// `[row, action]`
    pub q_tm1: Vec<f32>,
    /// `[row, state, action]`; empty unless asked for.
    pub q_t_selector: Vec<f32>,
    pub q_t_value: Vec<f32>,
}

/// Is told the values of a minibatch, and puts d loss / d `q_tm1`, `[row, action]`, into the
/// second.
pub type OnValues<'a> = dyn FnMut(&Values, &mut Vec<f32>) + 'a;

/// The online and the target network, for every stock. `slots`: the stock itself, then its peers.
pub trait Engine: Send + Sync {
    fn load(&mut self, which: Which, weights: &[f32]);

    /// `market` `[row, slot, feature]`, `private` `[row, private]`, into `q` `[row, action]`.
    fn q_values(&self, slots: &[usize], market: &[f32], private: &[f32], q: &mut Vec<f32>);

    /// `market` `[row, slot, feature]` into `out` `[row, 2 * embedding]`.
    fn context(&self, slots: &[usize], market: &[f32], out: &mut [f32]);

    /// d loss / d parameters of the online network, over `gradient`.
    fn learn(
        &self,
        slots: &[usize],
        seen: &Seen<'_>,
        on_values: &mut OnValues<'_>,
        gradient: &mut [f32],
    );
}

/// Both networks with `weights`, computed by hand on the CPU.
pub fn by_hand(shape: &NetworkShape, weights: &[f32]) -> Box<dyn Engine> {
    Box::new(Direct::new(shape, weights))
}

/// Both networks by libtorch: one user at a time.
pub struct Torch(Mutex<Pair>);

struct Pair {
    online: QNetwork,
    target: QNetwork,
    device: Device,
}

impl Torch {
    pub fn new(shape: &NetworkShape, weights: &[f32], device: Device) -> Torch {
        Torch(Mutex::new(Pair {
            online: QNetwork::new(shape.clone(), weights, device),
            target: QNetwork::new(shape.clone(), weights, device),
            device,
        }))
    }

    fn pair(&self) -> MutexGuard<'_, Pair> {
        self.0.lock().expect("another worker's network failed")
    }
}

impl Pair {
    fn slots(&self, slots: &[usize]) -> Tensor {
        let ids: Vec<i64> = slots.iter().map(|&slot| slot as i64).collect();
        Tensor::from_slice(&ids).to_device(self.device)
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

/// Values of all actions in the states that each row may lead to, `[row * state, action]`: the
/// market is the same for a row's states, so its part of the network is computed once.
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

impl Engine for Torch {
    fn load(&mut self, which: Which, weights: &[f32]) {
        let mut pair = self.pair();
        match which {
            Which::Online => pair.online.load(weights),
            Which::Target => pair.target.load(weights),
        }
    }

    fn q_values(&self, slots: &[usize], market: &[f32], private: &[f32], q: &mut Vec<f32>) {
        let pair = self.pair();
        let (market, private, slots) =
            (pair.market(market), pair.private(private), pair.slots(slots));
        copy_out(&no_grad(|| pair.online.q_values(&market, &slots, &private)), q);
    }

    fn context(&self, slots: &[usize], market: &[f32], out: &mut [f32]) {
        let pair = self.pair();
        let (market, slots) = (pair.market(market), pair.slots(slots));
        let context = no_grad(|| pair.online.context(&market, &slots));
        context.to_device(Device::Cpu).contiguous().copy_data(out, out.len());
    }

    fn learn(
        &self,
        slots: &[usize],
        seen: &Seen<'_>,
        on_values: &mut OnValues<'_>,
        gradient: &mut [f32],
    ) {
        let pair = self.pair();
        let (mut values, slots) = (Values::default(), pair.slots(slots));
        let (market_tm1, market_t) = seen.market.split_at(seen.market.len() / 2);
        let (market_t, private_t) = (pair.market(market_t), pair.private(seen.private_t));
        no_grad(|| {
            let of = |network| values_of_states(network, &market_t, &slots, &private_t);
            copy_out(&of(&pair.target), &mut values.q_t_value);
            if seen.double {
                copy_out(&of(&pair.online), &mut values.q_t_selector);
            }
        });
        let (market, private) = (pair.market(market_tm1), pair.private(seen.private_tm1));
        let q = pair.online.q_values(&market, &slots, &private);
        copy_out(&q.detach(), &mut values.q_tm1);
        let mut grad_q = Vec::new();
        on_values(&values, &mut grad_q);
        pair.online.gradient_through(&q, &grad_q, gradient);
    }
}

/// All elements in row-major order, in place of what `out` held.
pub fn copy_out(tensor: &Tensor, out: &mut Vec<f32>) {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let len = tensor.numel();
    out.resize(len, 0.0);
    tensor.copy_data(out, len);
}
