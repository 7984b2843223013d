//! Parameters in the layout of the matrix products: the flat buffer as it is, and some matrices
//! transposed.

use std::cell::RefCell;

use super::product::SLACK;
use super::rows::Norm;
use super::simd::SimdLevel;
use super::transpose::transpose;
use crate::rl::network::NetworkShape;
use crate::rl::parameters::Layout;

/// Sizes of a network's parts.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// Slots of an observation, and the number of them that the network uses.
    pub(crate) slots: usize,
    pub(crate) used: usize,
    pub(crate) features: usize,
    pub(crate) symbol: usize,
    pub(crate) embedding: usize,
    pub(crate) heads: usize,
    /// Columns of the trunk's weights for the context, and in total.
    pub context: usize,
    pub joined: usize,
    pub trunk: usize,
    pub(crate) actions: usize,
    pub(crate) attends: bool,
    pub(crate) dueling: bool,
}

impl Sizes {
    fn new(shape: &NetworkShape) -> Sizes {
        let config = &shape.config;
        let attends = shape.attends();
        Sizes {
            slots: shape.slots(),
            used: if attends { shape.slots() } else { 1 },
            features: shape.features,
            symbol: config.symbol_embedding,
            embedding: config.embedding,
            heads: config.heads,
            // Without attention the gathered part is zero, so its columns are left out.
            context: config.embedding * if attends { 2 } else { 1 },
            joined: 2 * config.embedding,
            trunk: config.trunk,
            actions: shape.actions,
            attends,
            dueling: config.dueling,
        }
    }

    pub(crate) fn per_head(&self) -> usize {
        self.embedding / self.heads
    }

    pub(crate) fn peers(&self) -> usize {
        self.used - 1
    }

    /// Number of elements of an observation's market part.
    pub(crate) fn cells(&self) -> usize {
        self.slots * self.features
    }
}

/// A parameter's range in the flat buffer.
type Place = std::ops::Range<usize>;

/// A linear layer and, if switched on, the layer norm after it.
#[derive(Clone, Debug, Default)]
pub(super) struct NormedPlace {
    pub(crate) weight: Place,
    pub(crate) bias: Place,
    pub(crate) norm: Option<(Place, Place)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct AttentionPlace {
    pub(crate) nearness: Place,
    pub(crate) query: Place,
    pub(crate) query_bias: Place,
    pub(crate) key: Place,
    pub(crate) value: Place,
    pub(crate) output: Place,
    pub(crate) output_bias: Place,
}

/// A linear layer.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadPlace {
    pub(crate) weight: Place,
    pub(crate) bias: Place,
}

#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(crate) symbol: Place,
    pub(crate) encoder: [NormedPlace; 2],
    pub(crate) attention: AttentionPlace,
    pub(crate) trunk: NormedPlace,
    /// Value and advantage, or the single head.
    pub(crate) heads: Vec<HeadPlace>,
}

impl Places {
    /// The ranges of each layer's parameters. Errors: the names of parameters that no layer has.
    fn new(layout: &Layout, dueling: bool) -> Result<Places, String> {
        let names = layout.parameters().iter().map(|p| p.name.as_str());
        let unknown = RefCell::new(names.collect::<Vec<_>>());
        let found = |name: &str| {
            unknown.borrow_mut().retain(|&other| other != name);
            let parameter = layout.parameters().iter().find(|p| p.name == name);
            parameter.map(|p| p.offset..p.offset + p.len)
        };
        let place = |name: &str| found(name).unwrap_or_default();
        let normed = |block: &str, index: usize| {
            let norm = format!("{block}.{}", index + 1);
            let norm = found(&format!("{norm}.weight")).zip(found(&format!("{norm}.bias")));
            let weight = place(&format!("{block}.{index}.weight"));
            NormedPlace { weight, bias: place(&format!("{block}.{index}.bias")), norm }
        };
        let head = |name: &&str| HeadPlace {
            weight: place(&format!("{name}.weight")),
            bias: place(&format!("{name}.bias")),
        };
        let heads: &[&str] = if dueling { &["value", "advantage"] } else { &["q"] };
        let places = Places {
            symbol: place("symbol.weight"),
            encoder: [normed("encoder", 0), normed("encoder", 3)],
            attention: AttentionPlace {
                nearness: place("attention.nearness"),
                query: place("attention.query.weight"),
                query_bias: place("attention.query.bias"),
                key: place("attention.key.weight"),
                value: place("attention.value.weight"),
                output: place("attention.output.weight"),
                output_bias: place("attention.output.bias"),
            },
            trunk: normed("trunk", 0),
            heads: heads.iter().map(head).collect(),
        };
        let unknown = unknown.into_inner();
        if unknown.is_empty() { Ok(places) } else { Err(unknown.join(", ")) }
    }
}

/// A network's parameters, shared by all stocks. Names with `_t` are transposed, `[in, out]`.
#[derive(Clone, Debug)]
pub(super) struct NetworkWeights {
    pub(crate) sizes: Sizes,
    pub(crate) places: Places,
    pub(crate) len: usize,
    /// Ends with slack, like every matrix here.
    pub(crate) flat: Vec<f32>,
    /// Feature columns only, `[features, embedding]`.
    pub(crate) first_t: Vec<f32>,
    /// Contribution of each symbol to the first layer, including its bias: `[stock, embedding]`.
    pub symbol_bias: Vec<f32>,
    pub second_t: Vec<f32>,
    pub query_t: Vec<f32>,
    pub key_t: Vec<f32>,
    pub value_t: Vec<f32>,
    pub output_t: Vec<f32>,
    /// `[joined, trunk]`.
    pub trunk_t: Vec<f32>,
    pub heads: Heads,
}

/// The heads, combined into one linear layer. For a dueling head the mean of the advantages is
/// already subtracted (Wang et al. 2016, eq. 9, is linear).
#[derive(Clone, Debug, Default)]
pub(super) struct Heads {
    /// `[trunk, actions]`
    pub(crate) weight_t: Vec<f32>,
    /// Its transpose.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl NetworkWeights {
    pub(crate) fn new(shape: &NetworkShape) -> Result<NetworkWeights, String> {
        let (sizes, layout) = (Sizes::new(shape), shape.layout());
        let none = Vec::new;
        Ok(NetworkWeights {
            places: Places::new(&layout, sizes.dueling)?,
            len: layout.len(),
            flat: none(),
            first_t: none(),
            symbol_bias: none(),
            second_t: none(),
            query_t: none(),
            key_t: none(),
            value_t: none(),
            output_t: none(),
            trunk_t: none(),
            heads: Heads::default(),
            sizes,
        })
    }

    /// Copies all weights.
    pub(crate) fn load(&mut self, level: SimdLevel, weights: &[f32]) {
        assert_eq!(weights.len(), self.len, "weights of the network");
        let (sizes, places) = (&self.sizes, &self.places);
        let width = sizes.embedding;
        let of = |place: &Place| &weights[place.clone()];
        let turned =
            |place: &Place, (rows, columns, row): (usize, usize, usize), out: &mut Vec<f32>| {
                out.resize(columns * rows + SLACK, 0.0);
                transpose(level, of(place), (rows, columns, row), out, rows);
            };
        let square = |place: &Place, out: &mut Vec<f32>| turned(place, (width, width, width), out);
        let inputs = sizes.features + sizes.symbol;
        let first = &places.encoder[0];
        turned(&first.weight, (width, sizes.features, inputs), &mut self.first_t);
        let (weight, bias) = (of(&first.weight), of(&first.bias));
        self.symbol_bias.clear();
        for symbol in of(&places.symbol).chunks_exact(sizes.symbol) {
            for (row, &bias) in weight.chunks_exact(inputs).zip(bias) {
                let of_symbol = row[sizes.features..].iter().zip(symbol);
                let sum = of_symbol.fold(bias, |sum, (w, x)| w.mul_add(*x, sum));
                self.symbol_bias.push(sum);
            }
        }
        square(&places.encoder[1].weight, &mut self.second_t);
        if sizes.attends {
            let attention = &places.attention;
            square(&attention.query, &mut self.query_t);
            square(&attention.key, &mut self.key_t);
            square(&attention.value, &mut self.value_t);
            square(&attention.output, &mut self.output_t);
        }
        let trunk = (sizes.trunk, sizes.joined, sizes.joined);
        turned(&places.trunk.weight, trunk, &mut self.trunk_t);
        self.heads.load(level, (sizes, &places.heads), weights);
        self.flat.clear();
        self.flat.extend_from_slice(weights);
        self.flat.resize(weights.len() + SLACK, 0.0);
    }

    pub(crate) fn part(&self, place: &Place) -> &[f32] {
        &self.flat[place.clone()]
    }

    /// A right-hand matrix of a product, from the given element on.
    pub(crate) fn right(&self, place: &Place, from: usize) -> &[f32] {
        &self.flat[place.start + from..]
    }

    pub(crate) fn norm(&self, place: &NormedPlace) -> Norm<'_> {
        let (scale, shift) = place.norm.as_ref()?;
        Some((self.part(scale), self.part(shift)))
    }
}

impl Heads {
    fn load(&mut self, level: SimdLevel, (sizes, places): (&Sizes, &[HeadPlace]), weights: &[f32]) {
        let Sizes { trunk, actions, .. } = *sizes;
        let of = |place: &Place| &weights[place.clone()];
        self.weight.clear();
        self.bias.clear();
        match places {
            [value, advantage] => {
                let (of_value, bias) = (of(&value.weight), of(&value.bias)[0]);
                let (rows, biases) = (of(&advantage.weight), of(&advantage.bias));
                let share = 1.0 / actions as f32;
                let mean = |at: usize| rows.iter().skip(at).step_by(trunk).sum::<f32>() * share;
                let means: Vec<f32> = (0..trunk).map(mean).collect();
                for row in rows.chunks_exact(trunk) {
                    let combined = of_value.iter().zip(row.iter().zip(&means));
                    self.weight.extend(combined.map(|(v, (a, mean))| v + a - mean));
                }
                let mean = biases.iter().sum::<f32>() * share;
                self.bias.extend(biases.iter().map(|b| bias + b - mean));
            }
            heads => {
                self.weight.extend_from_slice(of(&heads[0].weight));
                self.bias.extend_from_slice(of(&heads[0].bias));
            }
        }
        self.weight_t.resize(actions * trunk + SLACK, 0.0);
        transpose(level, &self.weight, (actions, trunk, trunk), &mut self.weight_t, actions);
        self.weight.resize(actions * trunk + SLACK, 0.0);
    }
}
