use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::NetworkConfig;
use crate::rl::device::Device;
use crate::rl::libtorch::TorchEngine;

/// The default shape, and each switch toggled, with widths that are not multiples of a vector.
fn shapes() -> Vec<NetworkShape> {
    let odd = NetworkConfig {
        embedding: 18,
        heads: 3,
        symbol_embedding: 3,
        trunk: 21,
        ..NetworkConfig::default()
    };
    let ring = |peers: usize| (0..5).map(|i| (1..=peers).map(|k| (i + k) % 5).collect()).collect();
    let shape = |config: NetworkConfig, peers: Vec<Vec<usize>>| NetworkShape {
        stocks: 5,
        features: 22,
        actions: 3,
        config,
        peers,
    };
    vec![
        shape(NetworkConfig::default(), ring(4)),
        shape(odd.clone(), ring(2)),
        shape(NetworkConfig { attention: false, ..odd.clone() }, ring(2)),
        shape(NetworkConfig { dueling: false, ..odd.clone() }, ring(1)),
        shape(NetworkConfig { layer_norm: false, ..odd.clone() }, ring(3)),
        shape(odd, ring(0)),
    ]
}

fn noise(rng: &mut ChaCha8Rng, len: usize, bound: f32) -> Vec<f32> {
    (0..len).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect()
}

struct Batch {
    market: Vec<f32>,
    learned: usize,
    grad_values: Vec<f32>,
}

impl Batch {
    /// With `learned` rows to learn from, and half as many that are only valued.
    fn new(shape: &NetworkShape, learned: usize, seed: u64) -> Batch {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Batch {
            market: noise(&mut rng, (learned + learned / 2) * shape.slots() * shape.features, 2.0),
            learned,
            grad_values: noise(&mut rng, learned * shape.actions, 1.0),
        }
    }

    fn seen(&self) -> MinibatchInputs<'_> {
        MinibatchInputs { market: &self.market, learned: self.learned }
    }
}

/// Online and target weights, none of which is 0 or 1.
fn weights(shape: &NetworkShape) -> [Vec<f32>; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let len = shape.layout().len();
    [0, 1].map(|_| {
        let mut weights = shape.initial_weights(&mut rng);
        weights.iter_mut().for_each(|w| *w += 0.1 * (2.0 * rng.random::<f32>() - 1.0));
        assert_eq!(weights.len(), len);
        weights
    })
}

fn slots(shape: &NetworkShape, stock: usize) -> Vec<usize> {
    shape.slots_of(stock)
}

fn trained(
    engine: &mut dyn Engine,
    target: &[f32],
    slots: &[usize],
    batch: &Batch,
    len: usize,
) -> (MinibatchValues, Vec<f32>) {
    engine.load(NetworkRole::Target, target);
    let (mut values, mut gradient) = (MinibatchValues::default(), vec![f32::NAN; len]);
    let mut on_values = |said: &MinibatchValues, grad_values: &mut Vec<f32>| {
        values = said.clone();
        grad_values.clone_from(&batch.grad_values);
    };
    engine.learn(slots, &batch.seen(), &mut on_values, &mut gradient);
    (values, gradient)
}

/// To a relative error of 1e-6 of the largest: both sides round.
#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= 1e-6 * (1.0 + 4.0 * largest), "{what} [{i}]: {f}, not {e}");
    }
}

/// What each stock sees of bars that all see is valued as if it were encoded for that stock alone.
#[test]
fn shared_bars_have_the_same_values_to_the_last_bit() {
    for shape in shapes() {
        let [online, _] = weights(&shape);
        let engine = NativeEngine::new(&shape, &online).unwrap();
        for (rows, stocks) in [(1, 0..5), (7, 1..3), (CHUNK, 0..5), (2 * CHUNK + 3, 2..3)] {
            let market = noise(&mut ChaCha8Rng::seed_from_u64(3), rows * 5 * shape.features, 2.0);
            let slots: Vec<Vec<usize>> = stocks.map(|stock| slots(&shape, stock)).collect();
            let of_row = |row: &[f32], symbol: usize| {
                row[symbol * shape.features..][..shape.features].to_vec()
            };
            let seen_of = |symbols: &[usize]| -> Vec<f32> {
                let rows = market.chunks_exact(5 * shape.features);
                rows.flat_map(|row| symbols.iter().flat_map(move |&s| of_row(row, s))).collect()
            };
            let mut symbols = slots.concat();
            symbols.sort_unstable();
            symbols.dedup();
            let market = seen_of(&symbols);
            let mut bars = SharedBars { symbols, rows, market, ..SharedBars::default() };
            let mut shared = vec![Vec::new(); slots.len()];
            let mut out: Vec<&mut Vec<f32>> = shared.iter_mut().collect();
            engine.values_of_all(&slots, &mut bars, &mut out);
            for (slots, shared) in slots.iter().zip(&shared) {
                let mut alone = Vec::new();
                engine.values(slots, &seen_of(slots), &mut alone);
                assert_eq!(*shared, alone, "{rows} rows, {slots:?}");
            }
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_automatic_differentiation() {
    for (number, shape) in shapes().iter().enumerate() {
        let [online, target] = weights(shape);
        let slots = slots(shape, 3);
        for rows in [1, 7, CHUNK, 2 * CHUNK + 3] {
            let batch = Batch::new(shape, rows, rows as u64);
            let mut torch = TorchEngine::new(shape, &online, Device::Cpu).unwrap();
            let mut direct = NativeEngine::new(shape, &online).unwrap();
            let (expected, gradient) = trained(&mut torch, &target, &slots, &batch, online.len());
            let (found, by_hand) = trained(&mut direct, &target, &slots, &batch, online.len());
            assert_close(&found.online, &expected.online, "online");
            assert_close(&found.target, &expected.target, "target");
            for (parameter, part) in shape.layout().split(&gradient) {
                let found = &by_hand[parameter.offset..][..parameter.len];
                assert_close(found, part, &format!("shape {number}, {}", parameter.name));
            }
        }
    }
}

#[test]
fn acting_equals_learning_and_attention_is_that_of_libtorch() {
    for shape in &shapes() {
        let [online, _] = weights(shape);
        let slots = slots(shape, 1);
        let batch = Batch::new(shape, 6, 5);
        let mut direct = NativeEngine::new(shape, &online).unwrap();
        let (values, _) = trained(&mut direct, &online, &slots, &batch, online.len());
        let mut acted = Vec::new();
        direct.values(&slots, &batch.market, &mut acted);
        assert_eq!(acted, values.online);
        assert_eq!(values.target, values.online, "the same weights");
        let torch = TorchEngine::new(shape, &online, Device::Cpu).unwrap();
        if shape.attends() {
            let mut weights = [(); 2].map(|_| Vec::new());
            direct.attention(&slots, &batch.market, &mut weights[0]);
            torch.attention(&slots, &batch.market, &mut weights[1]);
            assert_close(&weights[0], &weights[1], "attention");
            let peers = shape.slots() - 1;
            let sums = weights[0].chunks_exact(peers).map(|row| row.iter().sum::<f32>());
            assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-6));
        }
    }
}

/// A row's values depend neither on the rest of the batch nor on the instruction set.
#[test]
fn a_row_alone_and_every_processor_give_the_same_bits() {
    for shape in &shapes() {
        let [online, target] = weights(shape);
        let slots = slots(shape, 2);
        let batch = Batch::new(shape, 9, 6);
        let mut results = Vec::new();
        for level in SimdLevel::available() {
            let mut direct = NativeEngine::new(shape, &online).unwrap();
            direct.level = level;
            let (values, gradient) = trained(&mut direct, &target, &slots, &batch, online.len());
            let cells = shape.slots() * shape.features;
            for row in 0..13 {
                let (seen, mut alone) = (&batch.market[row * cells..][..cells], Vec::new());
                direct.values(&slots, seen, &mut alone);
                assert_eq!(alone, values.online[row * 3..][..3]);
            }
            results.push((values, gradient));
        }
        assert!(results.iter().all(|result| *result == results[0]));
    }
}

/// Several stocks in parallel on several threads give the same bits as sequentially on one, for
/// minibatches of one row, of two halves and of many chunks.
#[test]
fn threads_change_no_bit() {
    let shape = &shapes()[1];
    let [online, target] = weights(shape);
    let mut direct = NativeEngine::new(shape, &online).unwrap();
    direct.load(NetworkRole::Target, &target);
    for rows in [1, 9, 3 * CHUNK + 1] {
        let batches: Vec<Batch> = (0..5).map(|stock| Batch::new(shape, rows, stock)).collect();
        let learned = |threads: usize| {
            let mut learned = vec![(MinibatchValues::default(), vec![f32::NAN; online.len()]); 5];
            let tasks: Vec<_> = learned.iter_mut().zip(&batches).enumerate().collect();
            let learn =
                |(stock, (learned, batch)): (usize, (&mut (MinibatchValues, Vec<f32>), &Batch))| {
                    let (values, gradient) = learned;
                    let mut on_values = |said: &MinibatchValues, grad_values: &mut Vec<f32>| {
                        *values = said.clone();
                        grad_values.clone_from(&batch.grad_values);
                    };
                    direct.learn(&slots(shape, stock), &batch.seen(), &mut on_values, gradient);
                };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run_parallel(tasks, learn));
            learned
        };
        let alone = learned(1);
        assert!(alone.iter().all(|(_, gradient)| gradient.iter().all(|g| g.is_finite())));
        assert!(learned(3) == alone, "{rows} rows");
    }
}
