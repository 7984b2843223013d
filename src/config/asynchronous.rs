//! Settings of runs whose workers do not wait for each other.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How workers synchronize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Bar by bar, with the same result for any number of processes.
    #[default]
    Lockstep,
    /// Each worker at its own pace; results differ from run to run.
    Async,
}

/// How a worker compresses its gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// None: 4 bytes per number.
    #[default]
    None,
    /// bfloat16: 2 bytes per number, rounded to nearest, ties to even.
    Bf16,
    /// Only the largest numbers, 8 bytes each.
    TopK,
}

/// Section `[asynchronous]`; lockstep runs ignore it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsynchronousConfig {
    /// A gradient is dropped where more than so many others were used since its weights were
    /// fetched; None: eight for every stock.
    pub max_staleness: Option<u64>,
    /// How gradients are sent to the server.
    pub compression: Compression,
    /// Part of a gradient that `top_k` sends at a time.
    pub top_k: f64,
}

impl AsynchronousConfig {
    pub(crate) fn max_staleness_for(&self, stocks: usize) -> u64 {
        self.max_staleness.unwrap_or(8 * stocks as u64)
    }
}

impl Default for AsynchronousConfig {
    fn default() -> AsynchronousConfig {
        AsynchronousConfig { max_staleness: None, compression: Compression::None, top_k: 0.01 }
    }
}
