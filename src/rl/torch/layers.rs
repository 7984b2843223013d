//! The layers of the Q-network, on parameters that are stored elsewhere.

use tch::{Kind, Tensor};

/// The epsilon of PyTorch's `nn.LayerNorm`.
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// The parameter tensors of a network by name.
pub(crate) type Leaves<'a> = &'a dyn Fn(&str) -> Tensor;

/// `y = x W^T + b`, with `W` `[out, in]`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(crate) fn new(leaves: Leaves, name: &str) -> Linear {
        let bias = Some(leaves(&format!("{name}.bias")));
        Linear { weight: leaves(&format!("{name}.weight")), bias }
    }

    pub(crate) fn without_bias(leaves: Leaves, name: &str) -> Linear {
        Linear { weight: leaves(&format!("{name}.weight")), bias: None }
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }
}

/// A linear layer with an optional layer normalization after it. Ba, Kiros and Hinton (2016).
#[derive(Debug)]
pub(crate) struct NormedLinear {
    linear: Linear,
    /// Scale and shift, `[out]`.
    norm: Option<(Tensor, Tensor)>,
}

impl NormedLinear {
    /// The linear layer `block.index` and its norm `block.{index + 1}`.
    pub(crate) fn new(leaves: Leaves, block: &str, index: usize, layer_norm: bool) -> NormedLinear {
        let norm = format!("{block}.{}", index + 1);
        let norm = || (leaves(&format!("{norm}.weight")), leaves(&format!("{norm}.bias")));
        NormedLinear {
            linear: Linear::new(leaves, &format!("{block}.{index}")),
            norm: layer_norm.then(norm),
        }
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.linear.forward(x);
        match &self.norm {
            Some((scale, shift)) => {
                y.layer_norm(scale.size(), Some(scale), Some(shift), LAYER_NORM_EPSILON, false)
            }
            None => y,
        }
    }
}

/// Multi-head attention of one query over a stock's peers. Vaswani et al. (2017), section 3.2.
///
/// Keys and values have no bias: a bias of the keys would shift all scores of a query equally,
/// which the softmax cancels, and one of the values would be a constant, which the output's bias
/// already contains.
#[derive(Debug)]
pub(crate) struct Attention {
    heads: i64,
    width: i64,
    /// Added to the scores, `[peers, heads]`. Peers are ordered by nearness, and the effect of
    /// nearness is shared by all stocks, so that all stocks contribute to learning it.
    nearness: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

impl Attention {
    pub(crate) fn new(leaves: Leaves, name: &str, heads: i64, width: i64) -> Attention {
        Attention {
            heads,
            width,
            nearness: leaves(&format!("{name}.nearness")),
            query: Linear::new(leaves, &format!("{name}.query")),
            key: Linear::without_bias(leaves, &format!("{name}.key")),
            value: Linear::without_bias(leaves, &format!("{name}.value")),
            output: Linear::new(leaves, &format!("{name}.output")),
        }
    }

    /// Attention weights: `own` `[batch, width]`, `peers` `[batch, peers, width]`, result `[batch,
    /// peers, heads]`, which sums to 1 over the peers.
    pub(crate) fn weights(&self, own: &Tensor, peers: &Tensor) -> Tensor {
        let count = peers.size()[1];
        let per_head = self.width / self.heads;
        let query = self.query.forward(own) * (per_head as f64).sqrt().recip();
        let query = query.reshape([-1, 1, self.heads, per_head]);
        let keys = self.key.forward(peers).reshape([-1, count, self.heads, per_head]);
        // With one query per row, a broadcast product is faster than many tiny matrix products.
        let scores = (query * keys).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        (scores + &self.nearness).softmax(1, Kind::Float)
    }

    /// The attention-weighted values of the peers: `own` `[batch, width]`, `peers` `[batch, peers,
    /// width]`, result `[batch, width]`.
    pub(crate) fn forward(&self, own: &Tensor, peers: &Tensor) -> Tensor {
        let count = peers.size()[1];
        let per_head = self.width / self.heads;
        let weights = self.weights(own, peers).unsqueeze(-1);
        let values = self.value.forward(peers).reshape([-1, count, self.heads, per_head]);
        let mixed = (weights * values).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        self.output.forward(&mixed.reshape([-1, self.width]))
    }
}
