//! The trained policy as TorchScript: `policy.pt`, callable from Python or C++ without this
//! program.
//!
//! ```python
//! policy = torch.jit.load("policy.pt")
//! values = policy(market, stock)
//! ```
//!
//! with `market` `[batch, stocks, features]` f32, scaled as in training, `stock` `[batch]` int64,
//! and the result `[batch, actions]`, for any batch: the values of the positions after the
//! decision, in units of the stock's `scaler.return_std`. The Q-values of an account that holds
//! `held` are `values - cost / return_std[stock] * abs(positions - held)`, where `cost` is that of
//! trading the whole account once, as a fraction of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::engine::Engine;
use super::libtorch::{self, TorchError};
use super::network::NetworkShape;
use crate::errors::Cause;
use crate::files::{Durability, write_whole};

/// An upper bound for the size of a module besides its numbers.
const MODULE_BYTES: usize = 256 << 10;

#[derive(Debug, Error)]
#[error("{}: {cause}", path.display())]
pub(crate) struct PolicyError {
    path: PathBuf,
    #[source]
    cause: Cause,
}

/// Whether policies can be written; false in a build without libtorch.
///
/// # Errors
///
/// If the library that writes them is missing.
pub(crate) fn can_export() -> Result<bool, TorchError> {
    if cfg!(feature = "torch") { libtorch::open().map(|()| true) } else { Ok(false) }
}

/// Writes a network with `weights` as TorchScript, completely or not at all. The peers of each
/// stock are part of it.
pub(crate) fn export(
    shape: &NetworkShape,
    weights: &[f32],
    path: &Path,
) -> Result<(), PolicyError> {
    let bytes = 4 * weights.len() + 8 * shape.slot_table().len();
    write_whole(path, Durability::Synced, |beside| {
        try_room(beside, bytes + MODULE_BYTES)?;
        // libtorch names the archive after the file's stem, which is that of `path`.
        libtorch::write_policy(shape, weights, beside).map_err(io::Error::other)
    })
    .map_err(|e| PolicyError { path: path.into(), cause: Cause::new(e) })
}

/// Checks that there is space for a file of this size: libtorch ends the process if the disk is
/// full while it writes.
fn try_room(path: &Path, bytes: usize) -> io::Result<()> {
    fs::write(path, vec![0; bytes])?;
    File::open(path)?.sync_all()?;
    File::options().write(true).truncate(true).open(path).map(drop)
}

/// A matrix in row-major order.
#[derive(Serialize)]
struct Array<'a> {
    shape: [usize; 2],
    data: &'a [f32],
}

#[derive(Serialize)]
struct Market<'a> {
    shape: [usize; 3],
    data: &'a [f32],
}

/// Observations and the values computed by the program.
#[derive(Serialize)]
struct Check<'a> {
    market: Market<'a>,
    stock: &'a [usize],
    timestamp: &'a [String],
    begins: &'a str,
    values: Array<'a>,
}

/// Inputs of a policy: `market` `[batch, stocks, features]`, `batch` indices of `stock`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observations<'a> {
    pub market: &'a [f32],
    pub stock: &'a [usize],
    /// `batch` ends of bars, as text.
    pub times: &'a [String],
    /// End of the first bar from which features were computed.
    pub begins: &'a str,
}

/// Writes `policy_check.json`: the values of these observations computed by `engine`, which
/// `tests/python/check_model.py` compares with those of `policy.pt`.
pub(crate) fn write_check(
    shape: &NetworkShape,
    engine: &dyn Engine,
    observations: Observations<'_>,
    path: &Path,
) -> Result<(), PolicyError> {
    let Observations { market, stock, times, begins } = observations;
    let (batch, row) = (stock.len(), shape.stocks * shape.features);
    assert!(batch > 0, "a check needs observations");
    assert_eq!(market.len(), batch * row, "market features");
    let (mut values, mut of_row, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for (market, &stock) in market.chunks_exact(row).zip(stock) {
        let slots = shape.slots_of(stock);
        seen.clear();
        for &slot in &slots {
            seen.extend_from_slice(&market[slot * shape.features..][..shape.features]);
        }
        engine.values(&slots, &seen, &mut of_row);
        values.extend_from_slice(&of_row);
    }
    let check = Check {
        market: Market { shape: [batch, shape.stocks, shape.features], data: market },
        stock,
        timestamp: times,
        begins,
        values: Array { shape: [batch, shape.actions], data: &values },
    };
    let text = serde_json::to_vec(&check).map_err(io::Error::from);
    text.and_then(|text| write_whole(path, Durability::Synced, |beside| fs::write(beside, &text)))
        .map_err(|e| PolicyError { path: path.into(), cause: Cause::new(e) })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::config::NetworkConfig;
    use crate::rl::engines::native;

    fn shape() -> NetworkShape {
        let peers = (0..5).map(|i| (1..4).map(|k| (i + k) % 5).collect()).collect();
        let config = NetworkConfig::default();
        NetworkShape { stocks: 5, features: 26, actions: 3, config, peers }
    }

    fn weights(shape: &NetworkShape) -> Vec<f32> {
        shape.initial_weights(&mut ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let path = Path::new("no-such-folder/policy.pt");
        let error = export(&shape(), &weights(&shape()), path).unwrap_err();
        assert!(error.to_string().starts_with("no-such-folder/policy.pt: "), "{error}");
    }

    #[test]
    fn a_check_holds_what_the_network_says_of_each_row() {
        let folder = tempfile::tempdir().unwrap();
        let (shape, values) = (shape(), |count: usize| (0..count).map(|i| (0.7 * i as f32).sin()));
        let engine = native(&shape, &weights(&shape)).unwrap();
        let market: Vec<f32> = values(10 * 5 * 26).collect();
        let stock = [0, 1, 2, 3, 4, 4, 3, 2, 1, 0];
        let times = vec![String::new(); 10];
        let observations =
            Observations { market: &market, stock: &stock, times: &times, begins: "" };
        let path = folder.path().join("policy_check.json");
        write_check(&shape, &*engine, observations, &path).unwrap();

        let check: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(check["values"]["shape"], serde_json::json!([10, 3]));
        // Row 6 is of stock 3, whose peers are 4, 0 and 1.
        let of = |slot: usize| market[(6 * 5 + slot) * 26..][..26].iter().copied();
        let seen: Vec<f32> = [3, 4, 0, 1].into_iter().flat_map(of).collect();
        let mut expected = Vec::new();
        engine.values(&[3, 4, 0, 1], &seen, &mut expected);
        let actual: Vec<f32> = serde_json::from_value(check["values"]["data"].clone()).unwrap();
        assert_eq!(actual[18..21], expected);
    }
}
