//! Settings of the network.

use serde::{Deserialize, Serialize};

use super::EngineKind;

/// Section `[network]`: layers and their widths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Width of a stock's embedding and of the encoder's layers.
    pub embedding: usize,
    /// Attention heads; divides `embedding`.
    pub heads: usize,
    /// Width of the learned embedding per symbol.
    pub symbol_embedding: usize,
    /// Width of the layer after the private features are joined.
    pub trunk: usize,
    /// Attend to the other stocks. Off: a stock sees only itself.
    pub attention: bool,
    /// Separate value and advantage streams. Wang et al. (2016), eq. 9.
    pub dueling: bool,
    /// Layer normalisation in the encoder and the trunk. Ba, Kiros and Hinton (2016).
    pub layer_norm: bool,
    /// Attend to at most this many peers, the nearest by the relationship graph of the training
    /// period.
    pub max_peers: usize,
    /// Who computes it on the CPU.
    #[serde(skip_serializing_if = "EngineKind::is_native")]
    pub engine: EngineKind,
}

impl Default for NetworkConfig {
    fn default() -> NetworkConfig {
        NetworkConfig {
            embedding: 64,
            heads: 4,
            symbol_embedding: 8,
            trunk: 128,
            attention: true,
            dueling: true,
            layer_norm: true,
            max_peers: 8,
            engine: EngineKind::default(),
        }
    }
}
