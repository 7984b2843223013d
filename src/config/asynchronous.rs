//! Settings of runs whose workers do not wait for each other.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How workers keep step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Bar by bar together, with the same result however many processes there are.
    #[default]
    Lockstep,
    /// Each at its own pace; gradients are used as they come. No two runs are the same.
    Async,
}

/// How a worker packs its gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// 4 bytes a number.
    #[default]
    None,
    /// 2 bytes a number: the upper half of a float, rounded to nearest, ties to even.
    Bf16,
    /// 8 bytes for each of the largest numbers, nothing for the others.
    TopK,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsynchronousConfig {
    /// A gradient is dropped where more than so many others were used since its weights were
    /// fetched; None: eight for every stock.
    pub max_staleness: Option<u64>,
    pub compression: Compression,
    /// Part of a gradient that `top_k` sends at a time.
    pub top_k: f64,
}

impl AsynchronousConfig {
    pub fn max_staleness_of(&self, stocks: usize) -> u64 {
        self.max_staleness.unwrap_or(8 * stocks as u64)
    }
}

impl Default for AsynchronousConfig {
    fn default() -> AsynchronousConfig {
        AsynchronousConfig { max_staleness: None, compression: Compression::None, top_k: 0.01 }
    }
}
