//! A network's description by the program: see `describe` in its `src/rl/libtorch.rs`.

use serde::Deserialize;

/// `NetworkShape` in `src/rl/network.rs`, with the parameters that follow from it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Shape {
    pub stocks: usize,
    pub features: usize,
    pub config: Settings,
    /// Per stock, the stocks that it may attend to; the same number for each.
    pub(crate) peers: Vec<Vec<usize>>,
    /// Total number of elements of all parameters.
    pub(crate) len: usize,
    /// In the order of the flat buffer.
    pub(crate) parameters: Vec<ParameterTensor>,
}

/// The settings of `[network]` that determine the computation.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Settings {
    pub(crate) embedding: usize,
    pub(crate) heads: usize,
    pub(crate) symbol_embedding: usize,
    pub(crate) attention: bool,
    pub(crate) dueling: bool,
    pub(crate) layer_norm: bool,
}

/// One parameter tensor.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ParameterTensor {
    /// As in a PyTorch state dict: `encoder.0.weight`.
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    /// Index of the first element in the flat buffer.
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Shape {
    pub(crate) fn from_json(text: &[u8]) -> Result<Shape, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// Number of observed stocks: the stock itself and its peers.
    pub(crate) fn slots(&self) -> usize {
        1 + self.peers.first().map_or(0, Vec::len)
    }

    /// Whether attention is switched on and there are peers.
    pub(crate) fn attends(&self) -> bool {
        self.config.attention && self.slots() > 1
    }

    /// `[stocks, slots]`, row-major: each stock's own index, then its peers'.
    pub(crate) fn slot_table(&self) -> Vec<i64> {
        let slots = |(stock, peers): (usize, &Vec<usize>)| {
            [&[stock][..], peers].concat().into_iter().map(|slot| slot as i64)
        };
        self.peers.iter().enumerate().flat_map(slots).collect()
    }
}
