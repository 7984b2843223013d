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
    pub slots: &'a [i64],
    /// `[row, slot, feature]`
    pub market: &'a [f32],
    /// Number of rows, the first ones, that are learned from.
    pub learned: usize,
}

/// Values of a minibatch, `[row, action]`.
#[derive(Default)]
pub(crate) struct MinibatchValues {
    pub online: Vec<f32>,
    pub target: Vec<f32>,
}

/// Receives the values of a minibatch, and writes d loss / d online value of the learned rows into
/// the second argument.
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

    /// `market` `[row, slot, feature]` into `values` `[row, action]`.
    pub(crate) fn values(&self, slots: &[i64], market: &[f32], values: &mut [f32]) {
        let (market, slots) = (self.market(market), self.slots(slots));
        copy_out(&no_grad(|| self.online.values(&market, &slots)), values);
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
        let slots = self.slots(minibatch.slots);
        let market = self.market(minibatch.market);
        let rows = market.size()[0];
        let learned = minibatch.learned as i64;
        let (seen, valued) =
            (market.narrow(0, 0, learned), market.narrow(0, learned, rows - learned));
        let values = self.online.values(&seen, &slots);
        let all = no_grad(|| {
            let mut online = numbers(&values);
            if rows > learned {
                online.extend(numbers(&self.online.values(&valued, &slots)));
            }
            MinibatchValues { online, target: numbers(&self.target.values(&market, &slots)) }
        });
        let mut of_values = vec![0.0; values.numel()];
        loss(&all, &mut of_values)?;
        self.online.gradient_through(&values, &of_values, gradient);
        Ok(())
    }

    fn slots(&self, slots: &[i64]) -> Tensor {
        Tensor::from_slice(slots).to_device(self.device)
    }

    fn market(&self, values: &[f32]) -> Tensor {
        let shape = self.online.shape();
        self.tensor(values, &[-1, shape.slots() as i64, shape.features as i64])
    }

    fn tensor(&self, values: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).reshape(shape).to_device(self.device)
    }
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
