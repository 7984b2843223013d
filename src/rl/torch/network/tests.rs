use dqn_trader::config::NetworkConfig;
use dqn_trader::rl::libtorch::describe;
use dqn_trader::rl::network::NetworkShape;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const STOCKS: usize = 3;
const ACTIONS: usize = 3;

/// Each switch toggled, with attention over two peers or none.
fn shapes() -> Vec<Shape> {
    let config = NetworkConfig {
        embedding: 8,
        heads: 2,
        symbol_embedding: 3,
        trunk: 7,
        ..NetworkConfig::default()
    };
    let shape = |config: NetworkConfig, peers: &[&[usize]]| {
        let peers = peers.iter().map(|p| p.to_vec()).collect();
        let (stocks, features, actions) = (STOCKS, 5, ACTIONS);
        let shape = NetworkShape { stocks, features, actions, config, peers };
        Shape::from_json(describe(&shape).as_bytes()).unwrap()
    };
    let peers: &[&[usize]] = &[&[2, 1], &[0, 2], &[1, 0]];
    vec![
        shape(config.clone(), peers),
        shape(NetworkConfig { attention: false, ..config.clone() }, peers),
        shape(NetworkConfig { dueling: false, ..config.clone() }, peers),
        shape(NetworkConfig { layer_norm: false, ..config.clone() }, peers),
        shape(config, &[&[], &[], &[]]),
    ]
}

fn noise(len: usize, bound: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect()
}

/// Weights, none of which is 0 or 1, so that each of them matters.
fn weights(shape: &Shape) -> Vec<f32> {
    noise(shape.len, 0.6, 3)
}

/// A batch for one stock, as numbers, convertible to tensors.
struct Batch {
    rows: usize,
    market: Vec<f32>,
    slots: Vec<i64>,
}

impl Batch {
    fn new(shape: &Shape, stock: usize, rows: usize, seed: u64) -> Batch {
        let slots = shape.slots();
        Batch {
            rows,
            market: noise(rows * slots * shape.features, 2.0, seed),
            slots: shape.slot_table()[stock * slots..][..slots].to_vec(),
        }
    }

    fn market(&self) -> Tensor {
        let slots = self.slots.len() as i64;
        Tensor::from_slice(&self.market).reshape([self.rows as i64, slots, -1])
    }

    fn slots(&self) -> Tensor {
        Tensor::from_slice(&self.slots)
    }

    fn q(&self, network: &QNetwork) -> Tensor {
        network.values(&self.market(), &self.slots())
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}

/// The network written as loops in f64: Q-values and attention of a row.
struct Reference<'a> {
    shape: &'a Shape,
    weights: Vec<f64>,
}

impl Reference<'_> {
    fn new<'a>(shape: &'a Shape, weights: &[f32]) -> Reference<'a> {
        let weights = weights.iter().map(|&w| f64::from(w)).collect();
        Reference { shape, weights }
    }

    fn parameter(&self, name: &str) -> Option<&[f64]> {
        let p = self.shape.parameters.iter().find(|p| p.name == name)?;
        Some(&self.weights[p.offset..p.offset + p.len])
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.parameter(&format!("{name}.weight")).expect("a weight");
        let bias = self.parameter(&format!("{name}.bias"));
        let row = |(i, row): (usize, &[f64])| {
            bias.map_or(0.0, |b| b[i]) + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
        };
        weight.chunks(x.len()).enumerate().map(row).collect()
    }

    fn norm(&self, name: &str, x: Vec<f64>) -> Vec<f64> {
        let Some(scale) = self.parameter(&format!("{name}.weight")) else { return x };
        let shift = self.parameter(&format!("{name}.bias")).expect("a shift");
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let one = |i: usize| scale[i] * (x[i] - mean) / (variance + 1e-5).sqrt() + shift[i];
        (0..x.len()).map(one).collect()
    }

    fn embedding(&self, features: &[f32], symbol: usize) -> Vec<f64> {
        let width = self.shape.config.symbol_embedding;
        let table = self.parameter("symbol.weight").expect("symbols");
        let mut x: Vec<f64> = features.iter().map(|&v| f64::from(v)).collect();
        x.extend(&table[symbol * width..(symbol + 1) * width]);
        let hidden = relu(self.norm("encoder.1", self.linear("encoder.0", &x)));
        self.norm("encoder.4", self.linear("encoder.3", &hidden))
    }

    /// The gathered vector, and each peer's attention as the mean over heads.
    fn attention(&self, own: &[f64], peers: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
        let heads = self.shape.config.heads;
        let per_head = own.len() / heads;
        let nearness = self.parameter("attention.nearness").expect("a score per peer and head");
        let query = self.linear("attention.query", own);
        let keys: Vec<_> = peers.iter().map(|p| self.linear("attention.key", p)).collect();
        let values: Vec<_> = peers.iter().map(|p| self.linear("attention.value", p)).collect();
        let mut mixed = vec![0.0; own.len()];
        let mut mean = vec![0.0; peers.len()];
        for head in 0..heads {
            let part = head * per_head..(head + 1) * per_head;
            let score = |(peer, key): (usize, &Vec<f64>)| {
                let dot: f64 = part.clone().map(|i| query[i] * key[i]).sum();
                (dot / (per_head as f64).sqrt() + nearness[peer * heads + head]).exp()
            };
            let scores: Vec<f64> = keys.iter().enumerate().map(score).collect();
            let total: f64 = scores.iter().sum();
            for (peer, score) in scores.iter().enumerate() {
                mean[peer] += score / total / heads as f64;
                part.clone().for_each(|i| mixed[i] += score / total * values[peer][i]);
            }
        }
        (self.linear("attention.output", &mixed), mean)
    }

    fn row(&self, batch: &Batch, row: usize) -> (Vec<f64>, Option<Vec<f64>>) {
        let features = self.shape.features;
        let slots = batch.slots.len();
        let market = &batch.market[row * slots * features..(row + 1) * slots * features];
        let embed = |(x, &symbol): (&[f32], &i64)| self.embedding(x, symbol as usize);
        let embeddings: Vec<_> = market.chunks(features).zip(&batch.slots).map(embed).collect();
        let own = &embeddings[0];
        let (gathered, attention) = if self.shape.attends() {
            let (gathered, attention) = self.attention(own, &embeddings[1..]);
            (gathered, Some(attention))
        } else {
            (vec![0.0; own.len()], None)
        };
        let joined: Vec<f64> = own.iter().copied().chain(gathered).collect();
        let hidden = relu(self.norm("trunk.1", self.linear("trunk.0", &joined)));
        if !self.shape.config.dueling {
            return (self.linear("q", &hidden), attention);
        }
        let value = self.linear("value", &hidden)[0];
        let advantage = self.linear("advantage", &hidden);
        let mean = advantage.iter().sum::<f64>() / advantage.len() as f64;
        (advantage.iter().map(|a| value + a - mean).collect(), attention)
    }
}

fn relu(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(|v| v.max(0.0)).collect()
}

#[track_caller]
fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!((f64::from(a) - e).abs() <= tolerance * (1.0 + e.abs()), "[{i}]: {a}, not {e}");
    }
}

#[test]
fn forward_equals_the_network_written_out() {
    single_thread();
    for shape in shapes() {
        let weights = weights(&shape);
        let network = QNetwork::new(shape.clone(), &weights, Device::Cpu);
        let reference = Reference::new(&shape, &weights);
        for stock in 0..STOCKS {
            let batch = Batch::new(&shape, stock, 4, 10 + stock as u64);
            let rows: Vec<_> = (0..batch.rows).map(|row| reference.row(&batch, row)).collect();
            let q: Vec<f64> = rows.iter().flat_map(|(q, _)| q.clone()).collect();
            assert_close(&numbers(&batch.q(&network)), &q, 1e-5);
            let seen = network.attention_weights(&batch.market(), &batch.slots());
            assert_eq!(seen.is_some(), shape.attends());
            if let Some(seen) = seen {
                let mean: Vec<f64> = rows.iter().flat_map(|(_, m)| m.clone().unwrap()).collect();
                assert_close(&numbers(&seen), &mean, 1e-5);
            }
        }
    }
}

#[test]
fn gradient_equals_finite_differences() {
    single_thread();
    for shape in shapes() {
        let weights = weights(&shape);
        let network = QNetwork::new(shape.clone(), &weights, Device::Cpu);
        let batch = Batch::new(&shape, 1, 3, 20);
        let grad_q = noise(3 * ACTIONS, 1.0, 30);
        let mut gradient = vec![f32::NAN; weights.len()];
        network.gradient_through(&batch.q(&network), &grad_q, &mut gradient);

        // Differences of the reference in f64: in f32 they would be mostly rounding errors.
        let mut reference = Reference::new(&shape, &weights);
        let loss = |reference: &Reference| -> f64 {
            let q = (0..3).flat_map(|row| reference.row(&batch, row).0);
            q.zip(&grad_q).map(|(q, &g)| q * f64::from(g)).sum()
        };
        let mut difference = |i: usize| {
            const STEP: f64 = 1e-6;
            let weight = reference.weights[i];
            reference.weights[i] = weight + STEP;
            let above = loss(&reference);
            reference.weights[i] = weight - STEP;
            let below = loss(&reference);
            reference.weights[i] = weight;
            (above - below) / (2.0 * STEP)
        };
        let expected: Vec<f64> = (0..weights.len()).map(&mut difference).collect();
        assert!(expected.iter().filter(|g| g.abs() > 1e-3).count() > weights.len() / 4);
        assert_close(&gradient, &expected, 1e-4);
    }
}

#[test]
fn a_parameter_outside_the_graph_has_no_gradient() {
    single_thread();
    let shape = &shapes()[0];
    let network = QNetwork::new(shape.clone(), &weights(shape), Device::Cpu);
    let batch = Batch::new(shape, 0, 2, 40);
    let context = network.context(&batch.market(), &batch.slots());
    let mut gradient = vec![f32::NAN; shape.len];
    network.gradient(&context.square().sum(Kind::Float), &mut gradient);
    for parameter in &shape.parameters {
        let part = &gradient[parameter.offset..][..parameter.len];
        let behind = ["trunk", "value", "advantage"].iter().any(|n| parameter.name.starts_with(n));
        assert_eq!(part.iter().all(|&g| g == 0.0), behind, "{}", parameter.name);
    }
    network.gradient(&context.detach().sum(Kind::Float).set_requires_grad(true), &mut gradient);
    assert!(gradient.iter().all(|&g| g == 0.0));
}

#[test]
fn loaded_weights_replace_all_others() {
    single_thread();
    for shape in shapes() {
        let (first, second) = (weights(&shape), noise(shape.len, 0.3, 2));
        let mut network = QNetwork::new(shape.clone(), &first, Device::Cpu);
        let batch = Batch::new(&shape, 2, 4, 50);
        let before = numbers(&batch.q(&network));
        network.load(&second);
        let expected = numbers(&batch.q(&QNetwork::new(shape.clone(), &second, Device::Cpu)));
        assert_eq!(numbers(&batch.q(&network)), expected);
        assert_ne!(before, expected);
    }
}

#[test]
fn rows_of_different_stocks_make_one_batch() {
    single_thread();
    let shape = &shapes()[0];
    let network = QNetwork::new(shape.clone(), &weights(shape), Device::Cpu);
    let batches: Vec<_> = (0..STOCKS).map(|i| Batch::new(shape, i, 1, 60 + i as u64)).collect();
    let join =
        |part: fn(&Batch) -> Tensor| Tensor::cat(&batches.iter().map(part).collect::<Vec<_>>(), 0);
    let slots = join(|b| b.slots().unsqueeze(0));
    let joined = network.values(&join(Batch::market), &slots);
    let apart = Tensor::cat(&batches.iter().map(|b| b.q(&network)).collect::<Vec<_>>(), 0);
    assert!((joined - apart).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn repeats_are_equal_bit_for_bit_on_any_thread() {
    let train = || {
        single_thread();
        let shape = shapes().swap_remove(0);
        let mut weights = weights(&shape);
        let mut network = QNetwork::new(shape.clone(), &weights, Device::Cpu);
        let mut gradient = vec![0.0; weights.len()];
        for step in 0..5 {
            let batch = Batch::new(&shape, 1, 64, step);
            let grad_q = noise(64 * ACTIONS, 0.1, step);
            network.gradient_through(&batch.q(&network), &grad_q, &mut gradient);
            weights.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= 0.1 * g);
            network.load(&weights);
        }
        weights.iter().map(|w| w.to_bits()).collect::<Vec<_>>()
    };
    let expected = train();
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..2).map(|_| scope.spawn(train)).collect();
        for other in others {
            assert_eq!(other.join().expect("the thread ends"), expected);
        }
    });
}

#[test]
#[should_panic(expected = "market features")]
fn a_batch_of_another_shape_is_refused() {
    let shape = &shapes()[0];
    let network = QNetwork::new(shape.clone(), &weights(shape), Device::Cpu);
    let batch = Batch::new(shape, 0, 2, 70);
    let _refused = network.context(&batch.market().narrow(2, 0, 4), &batch.slots());
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<QNetwork>();
};
