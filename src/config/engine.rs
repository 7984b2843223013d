//! `network.engine`.

use serde::{Deserialize, Serialize};

/// The engine that computes the networks on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Hand-written forward and backward passes.
    #[default]
    Native,
    /// libtorch with automatic differentiation: slower, but supports layers without a hand-written
    /// backward pass.
    Torch,
}

impl EngineKind {
    /// The default, which is not written to files.
    pub(super) fn is_native(&self) -> bool {
        *self == EngineKind::Native
    }
}
