//! Times of the parts of a training step.

use std::hint::black_box;

use dqn_trader::config::{LearnerConfig, NetworkConfig};
use dqn_trader::rl::engine::{MinibatchInputs, MinibatchValues, NetworkRole};
use dqn_trader::rl::engines::native;
use dqn_trader::rl::network::NetworkShape;
use dqn_trader::rl::optimizer::{Adam, AdamConfig, clipped_scale};
use dqn_trader::rl::replay::{Replay, Sample};
use dqn_trader::rl::rng::{Purpose, stream};
use rand::Rng;

use super::setup::fastest;

const BATCH: usize = 64;

pub(crate) fn parts() {
    network();
    optimizer();
    replay();
}

/// The network of a default job: five stocks.
fn shape() -> NetworkShape {
    NetworkShape {
        stocks: 5,
        features: 21,
        actions: 3,
        config: NetworkConfig::default(),
        peers: (0..5).map(|i| (1..5).map(|k| (i + k) % 5).collect()).collect(),
    }
}

fn noise(len: usize) -> Vec<f32> {
    let mut rng = stream(1, Purpose::Weights, 0);
    (0..len).map(|_| 0.2 * rng.random::<f32>() - 0.1).collect()
}

fn network() {
    let shape = shape();
    let weights = noise(shape.layout().len());
    let (mut engine, slots) = (native(&shape, &weights).expect("its layers"), [0, 1, 2, 3, 4]);
    let cells = shape.slots() * shape.features;
    // Four windows of 16 bars, and the bar after each.
    let market = noise((BATCH + 4) * cells);
    let seen = MinibatchInputs { market: &market, learned: BATCH };
    let (mut values, slopes) = (Vec::new(), noise(BATCH * 3));
    let mut gradient = vec![0.0; weights.len()];
    let acted = &market[..BATCH * cells];
    part("act, 64 rows", || engine.values(&slots, acted, &mut values));
    let mut on_values = |_: &MinibatchValues, out: &mut Vec<f32>| out.clone_from(&slopes);
    part("a minibatch of 64 bars, there and back", || {
        engine.learn(&slots, &seen, &mut on_values, &mut gradient);
    });
    part("weights taken over", || engine.load(NetworkRole::Online, black_box(&weights)));
}

fn optimizer() {
    let layout = shape().layout();
    let (mut weights, gradient) = (noise(layout.len()), noise(layout.len()));
    let LearnerConfig { adam_beta1, adam_beta2, adam_epsilon, .. } = LearnerConfig::default();
    let config = AdamConfig { beta1: adam_beta1, beta2: adam_beta2, epsilon: adam_epsilon };
    let mut adam = Adam::new(layout.len(), config);
    part("a step of Adam", || adam.step(1e-3, &mut weights, &gradient, 0.5));
    part("a gradient's norm", || {
        black_box(clipped_scale(&gradient, 0.2, 10.0, &layout).expect("finite"));
    });
}

fn replay() {
    const CAPACITY: usize = 1 << 20;
    let mut replay = Replay::new(CAPACITY, 0.6);
    (0..CAPACITY as u32).for_each(|start| replay.push(start));
    let (mut rng, mut sample) = (stream(1, Purpose::Replay, 0), Sample::default());
    let errors: Vec<f32> = (0..BATCH).map(|_| rng.random()).collect();
    part("sample and update 64 of 2^20", || {
        replay.sample(BATCH, 0.4, &mut rng, &mut sample);
        replay.update_priorities(&sample.slots, &errors);
    });
    part("a new window", || replay.push(7));
}

fn part(name: &str, work: impl FnMut()) {
    println!("{name:<35} {:>8.2} us", fastest(work) * 1e6);
}
