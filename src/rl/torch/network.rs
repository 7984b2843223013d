//! The Q-network: a shared encoder, attention over peers, a dueling head.
//!
//! ```text
//! per slot   features, symbol embedding -> linear, norm, ReLU, linear, norm -> embedding
//! own slot   attends to the embeddings of its peers                         -> context
//! embedding, context -> linear, norm, ReLU -> value and advantages          -> values
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Once;

use tch::{Device, Kind, Tensor};

use super::layers::{Attention, Linear, NormedLinear};
use super::shape::{ParameterTensor, Shape};

/// Runs libtorch's operations on the calling thread only, so that results do not depend on the
/// number of cores, and ranks or worker threads that share a machine do not compete for them. Every
/// entry point to libtorch calls it first.
pub(crate) fn single_thread() {
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    static INTER_OP: Once = Once::new();
    if !DONE.replace(true) {
        INTER_OP.call_once(|| tch::set_num_interop_threads(1));
        tch::set_num_threads(1);
    }
}

#[derive(Debug)]
enum Output {
    Dueling { value: Linear, advantage: Linear },
    Plain(Linear),
}

/// The network with its parameters in one flat buffer, used by one thread at a time.
#[derive(Debug)]
pub(crate) struct QNetwork {
    shape: Shape,
    device: Device,
    /// All parameters, `[shape.len]`.
    flat: Tensor,
    /// Views into `flat` in the order of the parameters, each a leaf of the gradient graph.
    leaves: Vec<Tensor>,
    /// `[stocks, symbol_embedding]`.
    symbol: Tensor,
    encoder: [NormedLinear; 2],
    attention: Option<Attention>,
    trunk: NormedLinear,
    output: Output,
}

impl QNetwork {
    /// A network with `weights` in the order of the shape's parameters.
    pub(crate) fn new(shape: Shape, weights: &[f32], device: Device) -> QNetwork {
        QNetwork::build(shape, weights, device, true)
    }

    /// The same without gradients, on the CPU.
    pub(crate) fn frozen(shape: Shape, weights: &[f32]) -> QNetwork {
        QNetwork::build(shape, weights, Device::Cpu, false)
    }

    fn build(shape: Shape, weights: &[f32], device: Device, gradients: bool) -> QNetwork {
        assert_eq!(weights.len(), shape.len, "weights of the network");
        let flat = Tensor::from_slice(weights).to_device(device);
        let leaf = |p: &ParameterTensor| {
            let view = flat.narrow(0, p.offset as i64, p.len as i64).view(p.shape.as_slice());
            view.detach().set_requires_grad(gradients)
        };
        let leaves: Vec<Tensor> = shape.parameters.iter().map(leaf).collect();
        let names = || shape.parameters.iter().map(|p| p.name.as_str());
        let unused = RefCell::new(names().collect::<BTreeSet<&str>>());
        let by_name = |name: &str| {
            unused.borrow_mut().remove(name);
            let index = names().position(|known| known == name);
            leaves[index.unwrap_or_else(|| panic!("no parameter {name}"))].shallow_clone()
        };
        let config = &shape.config;
        let attention =
            || Attention::new(&by_name, "attention", config.heads as i64, config.embedding as i64);
        let normed = |block, index| NormedLinear::new(&by_name, block, index, config.layer_norm);
        let head = |name| Linear::new(&by_name, name);
        let symbol = by_name("symbol.weight");
        let encoder = [normed("encoder", 0), normed("encoder", 3)];
        let attention = shape.attends().then(attention);
        let trunk = normed("trunk", 0);
        let output = match config.dueling {
            true => Output::Dueling { value: head("value"), advantage: head("advantage") },
            false => Output::Plain(head("q")),
        };
        let unused = unused.into_inner();
        assert!(unused.is_empty(), "no layer has the parameters {unused:?}");
        QNetwork { symbol, encoder, attention, trunk, output, shape, device, flat, leaves }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Replaces all weights. A graph recorded before must not be differentiated after.
    pub(crate) fn load(&mut self, weights: &[f32]) {
        assert_eq!(weights.len(), self.shape.len, "weights of the network");
        tch::no_grad(|| self.flat.copy_(&Tensor::from_slice(weights)));
    }

    /// A stock's own embedding and the vector gathered from its peers (zeros without attention),
    /// `[batch, 2 * embedding]`; arguments as for [`QNetwork::values`].
    fn context(&self, market: &Tensor, slots: &Tensor) -> Tensor {
        match &self.attention {
            Some(attention) => {
                let (own, peers) = self.own_and_peers(market, slots);
                let gathered = attention.forward(&own, &peers);
                Tensor::cat(&[own, gathered], 1)
            }
            None => {
                let own = self.encode(market, slots, 1).squeeze_dim(1);
                let nothing = own.zeros_like();
                Tensor::cat(&[own, nothing], 1)
            }
        }
    }

    /// Values of the positions after the decision, `[batch, actions]`.
    ///
    /// `market` `[batch, slots, features]` f32: the stock itself, then its peers in order. `slots`
    /// int64, the symbols' indices: `[slots]` where all rows are of one stock, or `[batch, slots]`.
    pub(crate) fn values(&self, market: &Tensor, slots: &Tensor) -> Tensor {
        let hidden = self.trunk.forward(&self.context(market, slots)).relu();
        match &self.output {
            // Wang et al. (2016), eq. 9.
            Output::Dueling { value, advantage } => {
                let advantage = advantage.forward(&hidden);
                let mean = advantage.mean_dim([-1i64].as_slice(), true, Kind::Float);
                value.forward(&hidden) + advantage - mean
            }
            Output::Plain(q) => q.forward(&hidden),
        }
    }

    /// The attention to each peer, as the mean over heads: `[batch, peers]`; each row sums to 1.
    /// None without attention. Arguments as for [`QNetwork::values`].
    pub(crate) fn attention_weights(&self, market: &Tensor, slots: &Tensor) -> Option<Tensor> {
        let attention = self.attention.as_ref()?;
        let (own, peers) = self.own_and_peers(market, slots);
        let weights = attention.weights(&own, &peers);
        Some(weights.mean_dim([-1i64].as_slice(), false, Kind::Float))
    }

    /// Overwrites `gradient` with d `loss` / d parameters, in the order of the parameters; zeros
    /// for parameters that `loss`, a scalar, does not depend on. Nothing is accumulated.
    pub(crate) fn gradient(&self, loss: &Tensor, gradient: &mut [f32]) {
        assert_eq!(gradient.len(), self.shape.len, "elements of the gradient");
        assert!(loss.size().is_empty(), "a loss is a scalar");
        let parts = Tensor::run_backward(&[loss], &self.leaves, false, false);
        let flatten = |(part, leaf): (&Tensor, &Tensor)| {
            // libtorch returns an undefined tensor for a leaf outside the graph.
            if part.defined() { part.reshape([-1]) } else { leaf.detach().zeros_like().view([-1]) }
        };
        let parts: Vec<Tensor> = parts.iter().zip(&self.leaves).map(flatten).collect();
        Tensor::cat(&parts, 0).copy_data(gradient, self.shape.len);
    }

    /// [`QNetwork::gradient`] of a loss given by d loss / d `values` = `slopes` (`[batch, actions]`,
    /// row-major).
    pub(crate) fn gradient_through(&self, values: &Tensor, slopes: &[f32], gradient: &mut [f32]) {
        assert_eq!(slopes.len(), values.numel(), "elements of d loss / d values");
        let slopes = Tensor::from_slice(slopes).to_device(self.device).view_as(values);
        self.gradient(&(values * slopes).sum(Kind::Float), gradient);
    }

    /// Embeddings of the stock itself, `[batch, embedding]`, and of its peers, `[batch, peers,
    /// embedding]`.
    fn own_and_peers(&self, market: &Tensor, slots: &Tensor) -> (Tensor, Tensor) {
        let count = self.shape.slots() as i64;
        let embeddings = self.encode(market, slots, count);
        // One split rather than two slices: its gradient is one concatenation.
        let mut parts = embeddings.split_with_sizes([1, count - 1], 1).into_iter();
        match (parts.next(), parts.next()) {
            (Some(own), Some(peers)) => (own.squeeze_dim(1), peers),
            _ => unreachable!("a split in two has two parts"),
        }
    }

    /// The embeddings of the first `count` slots, `[batch, count, embedding]`, in one matrix
    /// product. With `slots` of shape `[batch, slots]` no size depends on the batch, as `policy`
    /// requires.
    fn encode(&self, market: &Tensor, slots: &Tensor, count: i64) -> Tensor {
        let (all, features) = (self.shape.slots() as i64, self.shape.features as i64);
        let batch = market.size()[0];
        assert_eq!(market.size(), [batch, all, features], "market features");
        let shared = slots.dim() == 1;
        let expected = if shared { vec![all] } else { vec![batch, all] };
        assert_eq!((slots.size(), slots.kind()), (expected, Kind::Int64), "slots");

        let width = self.shape.config.symbol_embedding as i64;
        let (market, slots) = (market.narrow(1, 0, count), slots.narrow(-1, 0, count));
        let symbols = self.symbol.index_select(0, &slots.reshape([-1]));
        let symbols = if shared {
            symbols.expand([batch, count, width], false)
        } else {
            symbols.reshape([-1, count, width])
        };
        let inputs = Tensor::cat(&[market, symbols], 2).reshape([-1, features + width]);
        let hidden = self.encoder[0].forward(&inputs).relu();
        let embeddings = self.encoder[1].forward(&hidden);
        embeddings.reshape([-1, count, self.shape.config.embedding as i64])
    }
}

#[cfg(test)]
mod tests;
