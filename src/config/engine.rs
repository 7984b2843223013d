//! `network.engine`.

use serde::{Deserialize, Serialize};

/// Who computes a network on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Forward and backward passes of this program.
    #[default]
    Native,
    /// libtorch and its automatic differentiation: slower, and open to layers that have no backward
    /// pass yet.
    Torch,
}

impl EngineKind {
    /// The usual one, which no file names.
    pub(super) fn is_native(&self) -> bool {
        *self == EngineKind::Native
    }
}
