//! Export of the policy as TorchScript.

use std::path::Path;

use tch::{CModule, Device, Kind, TchError, Tensor};

use super::network::QNetwork;
use super::shape::Shape;

/// Writes the policy of a network with `weights`. The peers of each stock are part of it.
pub(crate) fn write(shape: Shape, weights: &[f32], path: &Path) -> Result<(), TchError> {
    trace(&QNetwork::frozen(shape, weights))?.save(path)
}

/// `network` must have no gradients, as tracing requires, and be on the CPU, so that any reader can
/// load it.
fn trace(network: &QNetwork) -> Result<CModule, TchError> {
    let shape = network.shape();
    let (stocks, slots) = (shape.stocks as i64, shape.slots() as i64);
    let table = Tensor::from_slice(&shape.slot_table()).reshape([stocks, slots]);
    let float = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let example = [
        float(&[2, stocks, shape.features as i64]),
        Tensor::zeros([2], (Kind::Int64, Device::Cpu)),
    ];
    let mut forward =
        |inputs: &[Tensor]| vec![values_of_stock(network, &table, &inputs[0], &inputs[1])];
    tch::no_grad(|| CModule::create_by_tracing("Policy", "forward", &example, &mut forward))
}

/// The traced function. A trace stores sizes as constants, so none of them may depend on the batch.
fn values_of_stock(
    network: &QNetwork,
    slot_table: &Tensor,
    market: &Tensor,
    stock: &Tensor,
) -> Tensor {
    let slots = slot_table.index_select(0, stock);
    let features = network.shape().features as i64;
    let rows = slots.unsqueeze(-1).expand([-1, -1, features], false);
    network.values(&market.gather(1, &rows, false), &slots)
}

#[cfg(test)]
mod tests {
    use dqn_trader::config::NetworkConfig;
    use dqn_trader::rl::libtorch::describe;
    use dqn_trader::rl::network::NetworkShape;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::network::single_thread;
    use super::*;

    fn network(config: NetworkConfig, peers: Vec<Vec<usize>>) -> (Shape, Vec<f32>) {
        let stocks = peers.len();
        let shape = NetworkShape { stocks, features: 26, actions: 3, config, peers };
        let weights = shape.initial_weights(&mut ChaCha8Rng::seed_from_u64(1));
        (Shape::from_json(describe(&shape).as_bytes()).unwrap(), weights)
    }

    fn ring() -> Vec<Vec<usize>> {
        (0..5).map(|i| (1..4).map(|k| (i + k) % 5).collect()).collect()
    }

    fn observations(shape: &Shape, batch: i64) -> Tensor {
        let values = |size: &[i64], step: f64| {
            let count = size.iter().product::<i64>();
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * step).sin().reshape(size)
        };
        values(&[batch, shape.stocks as i64, shape.features as i64], 0.7)
    }

    #[test]
    fn the_loaded_policy_gives_the_networks_values() {
        single_thread();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.pt");
        let off = NetworkConfig { attention: false, dueling: false, ..NetworkConfig::default() };
        for (shape, weights) in [
            network(NetworkConfig::default(), ring()),
            network(off, ring()),
            network(NetworkConfig::default(), vec![vec![]; 2]),
        ] {
            write(shape.clone(), &weights, &path).unwrap();
            let network = QNetwork::new(shape.clone(), &weights, Device::Cpu);
            let policy = CModule::load(&path).unwrap();
            let table = shape.slot_table();
            for (batch, stock) in
                [1, 3, 7].into_iter().flat_map(|b| (0..shape.stocks).map(move |stock| (b, stock)))
            {
                let market = observations(&shape, batch);
                let slots = Tensor::from_slice(&table[stock * shape.slots()..][..shape.slots()]);
                let expected = network.values(&market.index_select(1, &slots), &slots);
                let stock = Tensor::full([batch], stock as i64, (Kind::Int64, Device::Cpu));
                let actual = policy.forward_ts(&[market, stock]).unwrap();
                assert_eq!(actual.size(), expected.size());
                let difference = (actual - expected).abs().max().double_value(&[]);
                assert!(difference <= 1e-6, "batch {batch}: {difference}");
            }
        }
    }
}
