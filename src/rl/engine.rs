//! What computes an agent's networks: by hand on the CPU ([`super::direct`]), by libtorch on other
//! devices.

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
    /// `[row, state, action]`; not changed unless asked for.
    pub q_t_selector: Vec<f32>,
    pub q_t_value: Vec<f32>,
}

/// The online and the target network of one stock.
pub trait Engine: Send {
    fn load(&mut self, which: Which, weights: &[f32]);

    /// Of the online network.
    fn weights(&self) -> Vec<f32>;

    /// `market` `[row, slot, feature]`, `private` `[row, private]`, into `q` `[row, action]`.
    fn q_values(&mut self, market: &[f32], private: &[f32], q: &mut Vec<f32>);

    /// `market` `[row, slot, feature]` into `out` `[row, 2 * embedding]`.
    fn context(&mut self, market: &[f32], out: &mut [f32]);

    fn forward(&mut self, seen: &Seen<'_>, values: &mut Values);

    /// d loss / d parameters of the online network, over `gradient`: `grad_q` is d loss / d `q_tm1`
    /// of the last [`Engine::forward`].
    fn backward(&mut self, grad_q: &[f32], gradient: &mut [f32]);
}

/// Both networks with `weights`, computed by hand on the CPU. `slots`: the stock itself, then its
/// peers.
pub fn by_hand(shape: &NetworkShape, slots: &[usize], weights: &[f32]) -> Box<dyn Engine> {
    Box::new(Direct::new(shape, slots, weights))
}

/// Both networks by libtorch.
pub struct Torch {
    online: QNetwork,
    target: QNetwork,
    device: Device,
    slot_ids: Tensor,
    /// The values of the last forward, with their graph.
    values: Option<Tensor>,
}

impl Torch {
    pub fn new(shape: &NetworkShape, slots: &[usize], weights: &[f32], device: Device) -> Torch {
        let ids: Vec<i64> = slots.iter().map(|&slot| slot as i64).collect();
        Torch {
            online: QNetwork::new(shape.clone(), weights, device),
            target: QNetwork::new(shape.clone(), weights, device),
            device,
            slot_ids: Tensor::from_slice(&ids).to_device(device),
            values: None,
        }
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

    /// Values of all actions in the states that each row may lead to, `[row * state, action]`: the
    /// market is the same for a row's states, so its part of the network is computed once.
    fn values_of_states(&self, network: &QNetwork, market: &Tensor, private: &Tensor) -> Tensor {
        let context = network.context(market, &self.slot_ids);
        let (rows, width) = (context.size()[0], context.size()[1]);
        let states = private.size()[0] / rows;
        let repeated = context.unsqueeze(1).expand([rows, states, width], false);
        network.heads(&repeated.reshape([-1, width]), private)
    }
}

impl Engine for Torch {
    fn load(&mut self, which: Which, weights: &[f32]) {
        match which {
            Which::Online => self.online.load(weights),
            Which::Target => self.target.load(weights),
        }
    }

    fn weights(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.online.layout().len()];
        self.online.store(&mut weights);
        weights
    }

    fn q_values(&mut self, market: &[f32], private: &[f32], q: &mut Vec<f32>) {
        let (market, private) = (self.market(market), self.private(private));
        copy_out(&no_grad(|| self.online.q_values(&market, &self.slot_ids, &private)), q);
    }

    fn context(&mut self, market: &[f32], out: &mut [f32]) {
        let market = self.market(market);
        let context = no_grad(|| self.online.context(&market, &self.slot_ids));
        context.to_device(Device::Cpu).contiguous().copy_data(out, out.len());
    }

    fn forward(&mut self, seen: &Seen<'_>, values: &mut Values) {
        let (market_tm1, market_t) = seen.market.split_at(seen.market.len() / 2);
        let (market_t, private_t) = (self.market(market_t), self.private(seen.private_t));
        no_grad(|| {
            let of = |network| self.values_of_states(network, &market_t, &private_t);
            copy_out(&of(&self.target), &mut values.q_t_value);
            if seen.double {
                copy_out(&of(&self.online), &mut values.q_t_selector);
            }
        });
        let (market, private) = (self.market(market_tm1), self.private(seen.private_tm1));
        let q = self.online.q_values(&market, &self.slot_ids, &private);
        copy_out(&q.detach(), &mut values.q_tm1);
        self.values = Some(q);
    }

    fn backward(&mut self, grad_q: &[f32], gradient: &mut [f32]) {
        let q = self.values.take().expect("a forward comes before");
        self.online.gradient_through(&q, grad_q, gradient);
    }
}

/// All elements in row-major order, in place of what `out` held.
pub fn copy_out(tensor: &Tensor, out: &mut Vec<f32>) {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let len = tensor.numel();
    out.resize(len, 0.0);
    tensor.copy_data(out, len);
}
