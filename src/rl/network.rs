//! Parameters of a Q-network: names, shapes and initial values.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::parameters::Layout;
use crate::config::NetworkConfig;

/// Bound of the initial symbol embeddings, the scale of scaled features: attention must distinguish
/// stocks before it can select the right one. With 0.1 a follower takes many times longer to find
/// its leader (docs/learning.md).
const SYMBOL_BOUND: f32 = 1.0;
/// Initial attention decreases with a peer's rank by this much in its scores: of 8 peers the
/// nearest gets a weight of 0.4. With equal weights the signal of a leader would be too weak to be
/// learned from.
const PER_PEER: f32 = 0.5;
/// Everything that determines a network's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkShape {
    /// Number of symbols, each with its own embedding.
    pub stocks: usize,
    /// Market features per stock and bar.
    pub features: usize,
    /// Number of values: one for each position.
    pub actions: usize,
    /// Widths and kinds of layers.
    pub config: NetworkConfig,
    /// Per stock, the stocks that it may attend to, nearest first; the same number for each.
    pub peers: Vec<Vec<usize>>,
}

/// Initial value of a parameter.
enum Initializer {
    /// Uniform on [-bound, bound].
    Uniform(f32),
    Constant(f32),
    /// Rows of this many elements, each row lower than the previous by [`PER_PEER`], starting at 0.
    Falling(usize),
}

/// Names, shapes and initial values of all parameters.
#[derive(Default)]
struct ParameterPlan {
    layout: Layout,
    starts: Vec<Initializer>,
}

impl ParameterPlan {
    fn push(&mut self, name: &str, shape: &[usize], start: Initializer) {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        self.layout.push(name, &shape);
        self.starts.push(start);
    }

    /// PyTorch's default for `nn.Linear`: Kaiming uniform with a = sqrt(5), i.e. uniform on [-b, b]
    /// with b = 1 / sqrt(inputs), for weights and biases. He et al. (2015), eq. 10.
    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        let bound = (inputs as f32).sqrt().recip();
        self.push(&format!("{name}.weight"), &[outputs, inputs], Initializer::Uniform(bound));
        self.push(&format!("{name}.bias"), &[outputs], Initializer::Uniform(bound));
    }

    fn linear_without_bias(&mut self, name: &str, inputs: usize, outputs: usize) {
        let bound = (inputs as f32).sqrt().recip();
        self.push(&format!("{name}.weight"), &[outputs, inputs], Initializer::Uniform(bound));
    }

    /// Names as in PyTorch's `nn.Sequential`, where an `nn.Identity` replaces a layer norm that is
    /// switched off.
    fn normed_linear(
        &mut self,
        (block, index): (&str, usize),
        inputs: usize,
        outputs: usize,
        layer_norm: bool,
    ) {
        self.linear(&format!("{block}.{index}"), inputs, outputs);
        if layer_norm {
            let name = format!("{block}.{}", index + 1);
            self.push(&format!("{name}.weight"), &[outputs], Initializer::Constant(1.0));
            self.push(&format!("{name}.bias"), &[outputs], Initializer::Constant(0.0));
        }
    }
}

impl NetworkShape {
    /// Number of observed stocks: the stock itself and its peers.
    pub fn slots(&self) -> usize {
        1 + self.peers.first().map_or(0, Vec::len)
    }

    /// Whether attention is switched on and there are peers.
    pub fn attends(&self) -> bool {
        self.config.attention && self.slots() > 1
    }

    /// The stock itself, then its peers.
    pub(crate) fn slots_of(&self, stock: usize) -> Vec<usize> {
        [&[stock][..], &self.peers[stock]].concat()
    }

    /// `[stocks, slots]`, row-major: each stock's own index, then its peers'.
    pub(crate) fn slot_table(&self) -> Vec<i64> {
        let slots = (0..self.stocks).flat_map(|stock| self.slots_of(stock));
        slots.map(|slot| slot as i64).collect()
    }

    /// Names, shapes and offsets of all parameters.
    pub fn layout(&self) -> Layout {
        self.plan().layout
    }

    /// Initial weights, drawn from `rng` in the order of [`NetworkShape::layout`]: PyTorch's
    /// defaults for linear layers, layer norms with scale 1 and shift 0.
    pub fn initial_weights(&self, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let plan = self.plan();
        let mut weights = Vec::with_capacity(plan.layout.len());
        for (parameter, start) in plan.layout.parameters().iter().zip(&plan.starts) {
            weights.extend((0..parameter.len).map(|i| match *start {
                Initializer::Uniform(bound) => bound * (2.0 * rng.random::<f32>() - 1.0),
                Initializer::Constant(value) => value,
                Initializer::Falling(width) => -PER_PEER * (i / width) as f32,
            }));
        }
        weights
    }

    fn plan(&self) -> ParameterPlan {
        self.assert_valid();
        let NetworkConfig { embedding, trunk, symbol_embedding, layer_norm, .. } = self.config;
        let mut plan = ParameterPlan::default();
        plan.push(
            "symbol.weight",
            &[self.stocks, symbol_embedding],
            Initializer::Uniform(SYMBOL_BOUND),
        );
        plan.normed_linear(("encoder", 0), self.features + symbol_embedding, embedding, layer_norm);
        plan.normed_linear(("encoder", 3), embedding, embedding, layer_norm);
        if self.attends() {
            let (peers, heads) = (self.slots() - 1, self.config.heads);
            plan.push("attention.nearness", &[peers, heads], Initializer::Falling(heads));
            plan.linear("attention.query", embedding, embedding);
            plan.linear_without_bias("attention.key", embedding, embedding);
            plan.linear_without_bias("attention.value", embedding, embedding);
            plan.linear("attention.output", embedding, embedding);
        }
        plan.normed_linear(("trunk", 0), 2 * embedding, trunk, layer_norm);
        if self.config.dueling {
            plan.linear("value", trunk, 1);
            plan.linear("advantage", trunk, self.actions);
        } else {
            plan.linear("q", trunk, self.actions);
        }
        plan
    }

    fn assert_valid(&self) {
        let peers = self.slots() - 1;
        assert_eq!(self.peers.len(), self.stocks, "stocks with a list of peers");
        for (stock, of_stock) in self.peers.iter().enumerate() {
            assert_eq!(of_stock.len(), peers, "peers of stock {stock}");
            assert!(of_stock.iter().all(|&p| p < self.stocks && p != stock), "peers of {stock}");
        }
        let config = &self.config;
        assert!(
            config.heads > 0 && config.embedding.is_multiple_of(config.heads),
            "heads divide embedding"
        );
        assert!(self.features > 0 && self.actions > 0, "a network has inputs and outputs");
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn initial_weights_have_their_layers_bounds() {
        let shape = NetworkShape {
            stocks: 5,
            features: 26,
            actions: 3,
            config: NetworkConfig::default(),
            peers: (0..5).map(|i| (0..5).filter(|&p| p != i).collect()).collect(),
        };
        let weights = shape.initial_weights(&mut ChaCha8Rng::seed_from_u64(1));
        let layout = shape.layout();
        let largest = |name: &str| {
            let (_, part) = layout.split(&weights).find(|(p, _)| p.name == name).expect(name);
            part.iter().fold(0.0f32, |m, w| m.max(w.abs()))
        };
        // 1 / sqrt(26 + 8), 1 / sqrt(64), 1 / sqrt(128): the largest of many draws is near the
        // bound.
        for (name, bound) in [
            ("encoder.0.weight", 0.171_499),
            ("attention.key.weight", 0.125),
            ("advantage.weight", 0.088_388),
            ("symbol.weight", 1.0),
        ] {
            let largest = largest(name);
            assert!(largest <= bound && largest > 0.9 * bound, "{name}: {largest}");
        }
        assert_eq!((largest("trunk.1.bias"), largest("trunk.1.weight")), (0.0, 1.0));
        // Symbols 40, encoder 6,656, attention 16,528, trunk 16,768, value 129, advantage 387.
        assert_eq!(layout.len(), 40_508);
        assert_eq!(weights, shape.initial_weights(&mut ChaCha8Rng::seed_from_u64(1)));
    }
}
