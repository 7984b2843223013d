//! The trained policy as TorchScript: `policy.pt`, callable from Python or C++ without this
//! program.
//!
//! ```python
//! policy = torch.jit.load("policy.pt")
//! q = policy(market, stock, private)
//! ```
//!
//! with `market` `[batch, stocks, features]` f32, scaled as in training, `stock` `[batch]` int64,
//! `private` `[batch, privates]` f32 and the result `[batch, actions]`, for any batch.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tch::{CModule, Device, IndexOp, Kind, TchError, Tensor};
use thiserror::Error;

use super::network::QNetwork;
use crate::errors::Cause;
use crate::files::{Durability, write_whole};

/// More than a module takes besides its numbers.
const MODULE_BYTES: usize = 256 << 10;

#[derive(Debug, Error)]
pub enum PolicyError {
    #[error("{}: the policy cannot be traced: {cause}", path.display())]
    Trace {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("{}: {cause}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
}

/// Writes `network` as TorchScript, whole or not at all. The peers of each stock are part of it.
pub fn export(network: &QNetwork, path: &Path) -> Result<(), PolicyError> {
    let module = trace(network)
        .map_err(|e| PolicyError::Trace { path: path.into(), cause: Cause::new(e) })?;
    let bytes = 4 * network.shape().layout().len() + 8 * network.shape().slot_table().len();
    write_whole(path, Durability::Synced, |beside| {
        try_room(beside, bytes + MODULE_BYTES)?;
        // libtorch names the archive by the file's stem, which is that of `path`.
        module.save(beside).map_err(io::Error::other)
    })
    .map_err(|e| PolicyError::Io { path: path.into(), cause: Cause::new(e) })
}

/// Tries whether there is room for a file of so many bytes: libtorch ends the process where a disk
/// fills up under its own file.
fn try_room(path: &Path, bytes: usize) -> io::Result<()> {
    fs::write(path, vec![0; bytes])?;
    File::open(path)?.sync_all()?;
    File::options().write(true).truncate(true).open(path).map(drop)
}

fn trace(network: &QNetwork) -> Result<CModule, TchError> {
    let frozen = network.frozen_on_cpu();
    let shape = frozen.shape();
    let (stocks, slots) = (shape.stocks as i64, shape.slots() as i64);
    let table = Tensor::from_slice(&shape.slot_table()).reshape([stocks, slots]);
    let float = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let example = [
        float(&[2, stocks, shape.features as i64]),
        Tensor::zeros([2], (Kind::Int64, Device::Cpu)),
        float(&[2, shape.privates as i64]),
    ];
    let mut forward = |inputs: &[Tensor]| {
        vec![q_values_of_stock(&frozen, &table, &inputs[0], &inputs[1], &inputs[2])]
    };
    tch::no_grad(|| CModule::create_by_tracing("Policy", "forward", &example, &mut forward))
}

/// What is traced; a trace keeps sizes as constants, so that none here may be the batch's.
fn q_values_of_stock(
    network: &QNetwork,
    slot_table: &Tensor,
    market: &Tensor,
    stock: &Tensor,
    private: &Tensor,
) -> Tensor {
    let slots = slot_table.index_select(0, stock);
    let features = network.shape().features as i64;
    let rows = slots.unsqueeze(-1).expand([-1, -1, features], false);
    network.q_values(&market.gather(1, &rows, false), &slots, private)
}

/// A tensor of f32 in row-major order.
#[derive(Serialize)]
struct Array {
    shape: Vec<i64>,
    data: Vec<f32>,
}

impl Array {
    fn of(tensor: &Tensor) -> Array {
        let mut data = vec![0.0; tensor.numel()];
        tensor.copy_data(&mut data, tensor.numel());
        Array { shape: tensor.size(), data }
    }
}

/// Observations and the Q-values that the program gives them.
#[derive(Serialize)]
struct Check {
    market: Array,
    stock: Vec<i64>,
    private: Array,
    q: Array,
}

/// Writes `policy_check.json`: the Q-values that `network` itself gives these observations, for
/// `tests/python/check_model.py` to compare with those of `policy.pt`.
///
/// `market` `[batch, stocks, features]`, `stock` of `batch` indices, `private`
/// `[batch, privates]`, all on the CPU.
pub fn write_check(
    network: &QNetwork,
    (market, stock, private): (&Tensor, &[usize], &Tensor),
    path: &Path,
) -> Result<(), PolicyError> {
    let shape = network.shape();
    let batch = stock.len() as i64;
    let expected = [batch, shape.stocks as i64, shape.features as i64];
    assert_eq!(market.size(), expected, "market features");
    assert!(batch > 0, "a check needs observations");
    let table = shape.slot_table();
    let row = |(row, &stock): (i64, &usize)| {
        let slots = &table[stock * shape.slots()..][..shape.slots()];
        let slots = Tensor::from_slice(slots);
        let seen = market.i(row).index_select(0, &slots).unsqueeze(0).to_device(network.device());
        let private = private.i(row..row + 1).to_device(network.device());
        network.q_values(&seen, &slots.to_device(network.device()), &private)
    };
    let q: Vec<Tensor> = tch::no_grad(|| (0..).zip(stock).map(row).collect());
    let check = Check {
        market: Array::of(market),
        stock: stock.iter().map(|&s| s as i64).collect(),
        private: Array::of(private),
        q: Array::of(&Tensor::cat(&q, 0)),
    };
    let text = serde_json::to_vec(&check).map_err(io::Error::from);
    text.and_then(|text| write_whole(path, Durability::Synced, |beside| fs::write(beside, &text)))
        .map_err(|e| PolicyError::Io { path: path.into(), cause: Cause::new(e) })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::config::NetworkConfig;
    use crate::rl::network::{NetworkShape, single_thread};

    fn network(config: NetworkConfig, peers: Vec<Vec<usize>>) -> QNetwork {
        let stocks = peers.len();
        let shape = NetworkShape { stocks, features: 26, privates: 8, actions: 3, config, peers };
        let mut weights = QNetwork::initial(&shape, &mut ChaCha8Rng::seed_from_u64(1));
        // Last layers as large as the others, or differences would drown.
        for parameter in shape.layout().parameters().iter().filter(|p| p.name.contains(".2.")) {
            let part = &mut weights[parameter.offset..parameter.offset + parameter.len];
            part.iter_mut().for_each(|w| *w *= 100.0);
        }
        QNetwork::new(shape, &weights, Device::Cpu)
    }

    fn ring() -> Vec<Vec<usize>> {
        (0..5).map(|i| (1..4).map(|k| (i + k) % 5).collect()).collect()
    }

    fn observations(shape: &NetworkShape, batch: i64) -> (Tensor, Tensor) {
        let values = |size: &[i64], step: f64| {
            let count = size.iter().product::<i64>();
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * step).sin().reshape(size)
        };
        let market = values(&[batch, shape.stocks as i64, shape.features as i64], 0.7);
        (market, values(&[batch, shape.privates as i64], 1.3))
    }

    #[test]
    fn the_loaded_policy_gives_the_networks_q_values() {
        single_thread();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.pt");
        let off = NetworkConfig { attention: false, dueling: false, ..NetworkConfig::default() };
        for network in [
            network(NetworkConfig::default(), ring()),
            network(off, ring()),
            network(NetworkConfig::default(), vec![vec![]; 2]),
        ] {
            export(&network, &path).unwrap();
            let policy = CModule::load(&path).unwrap();
            let shape = network.shape();
            let table = shape.slot_table();
            for (batch, stock) in
                [1, 3, 7].into_iter().flat_map(|b| (0..shape.stocks).map(move |stock| (b, stock)))
            {
                let (market, private) = observations(shape, batch);
                let slots = Tensor::from_slice(&table[stock * shape.slots()..][..shape.slots()]);
                let expected = network.q_values(&market.index_select(1, &slots), &slots, &private);
                let stock = Tensor::full([batch], stock as i64, (Kind::Int64, Device::Cpu));
                let actual = policy.forward_ts(&[market, stock, private]).unwrap();
                assert_eq!(actual.size(), expected.size());
                let difference = (actual - expected).abs().max().double_value(&[]);
                assert!(difference <= 1e-6, "batch {batch}: {difference}");
            }
        }
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let network = network(NetworkConfig::default(), ring());
        let error = export(&network, Path::new("no-such-folder/policy.pt")).unwrap_err();
        assert!(error.to_string().starts_with("no-such-folder/policy.pt: "), "{error}");
    }

    #[test]
    fn a_check_holds_what_the_network_says_of_each_row() {
        single_thread();
        let folder = tempfile::tempdir().unwrap();
        let network = network(NetworkConfig::default(), ring());
        let (market, private) = observations(network.shape(), 10);
        let stock = [0, 1, 2, 3, 4, 4, 3, 2, 1, 0];
        let path = folder.path().join("policy_check.json");
        write_check(&network, (&market, &stock, &private), &path).unwrap();

        let check: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(check["q"]["shape"], serde_json::json!([10, 3]));
        let slots = Tensor::from_slice(&[3i64, 4, 0, 1]);
        let seen = market.i(6..7).index_select(1, &slots);
        let expected = Array::of(&network.q_values(&seen, &slots, &private.i(6..7)));
        let actual: Vec<f32> = serde_json::from_value(check["q"]["data"].clone()).unwrap();
        assert_eq!(actual[18..21], expected.data);
    }
}
