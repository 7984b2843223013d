//! Times of gradients and of replay alone.

use dqn_trader::interface::{ActionSet, PrivateState};
use dqn_trader::rl::agent::Agent;
use dqn_trader::rl::device::Device;
use dqn_trader::rl::network::NetworkShape;
use dqn_trader::rl::networks::Networks;
use dqn_trader::rl::outcomes::MinibatchOutcomes;
use dqn_trader::rl::replay::{Replay, Sample};
use dqn_trader::rl::rng::{Purpose, stream};
use dqn_trader::rl::td::TdOutcome;
use dqn_trader::rl::transition::Transition;
use rand::Rng;
use serde_json::{Value, json};

use super::setup::{Stopwatch, cache, config, pool, prepared, shape};

/// Multiply-adds of one forward pass as the network is defined: every matrix product for every
/// slot, and every peer's key and value. Operations that an implementation saves by reordering
/// count as speed.
fn multiply_adds(shape: &NetworkShape) -> (f64, f64) {
    let config = &shape.config;
    let (width, trunk, hidden) = (config.embedding, config.trunk, config.head_hidden);
    let slots = shape.slots();
    let inputs = shape.features + config.symbol_embedding;
    let mut market = slots * width * (inputs + width);
    if shape.attends() {
        market += 2 * width * width + 2 * (slots - 1) * width * (width + 1);
    }
    let joined = 2 * width + shape.privates;
    let heads = trunk * joined + 2 * trunk * hidden + hidden * (shape.actions + 1);
    (market as f64, heads as f64)
}

/// Of one minibatch of recorded transitions: double DQN bootstraps from the two states that each
/// has room
/// for, a flat account and the one that was led to, whose market part is one forward; backward
/// is twice the forward.
fn flop(shape: &NetworkShape, batch: usize, double: bool) -> f64 {
    let (market, heads) = multiply_adds(shape);
    let networks = if double { 2.0 } else { 1.0 };
    let bootstrap = networks * (market + 2.0 * heads);
    2.0 * batch as f64 * (bootstrap + 3.0 * (market + heads))
}

pub(crate) fn learn(seconds: f64, flags: &[&str]) -> Option<Value> {
    let (config, threads) = config(flags);
    pool(threads);
    let prepared = prepared(&config, &cache());
    let shape = shape(&config, &prepared);
    let weights = shape.initial_weights(&mut stream(1, Purpose::Weights, 0));
    let std = prepared.note.fit.scaler.return_std[0];
    let networks = Networks::new(&shape, &weights, &config.learner, Some(Device::Cpu))
        .expect("a native engine");
    let mut agent = Agent::new(0, &shape, std, &config.learner);
    let (rows, batch) = (prepared.note.rows.clone(), config.learner.batch_size);
    let mut rng = stream(1, Purpose::Replay, 0);
    let state = |position: i8| PrivateState { position, bars_held: 3, unrealized_return: 0.001 };
    let mut samples = Vec::new();
    for _ in 0..16 {
        let one = |_| {
            let t = rng.random_range(rows.start..rows.end - 4);
            let position = rng.random_range(-1..=1);
            let end = (t + 3, state(position));
            Transition::new((t, state(1)), rng.random_range(0..3), 0, 0.1, 0.97, end)
        };
        let transitions: Vec<Transition> = (0..batch).map(one).collect();
        let mut sample = Sample::default();
        sample.transitions = transitions;
        sample.weights = vec![1.0; batch];
        samples.push(sample);
    }
    let (mut outcomes, mut outcome) = (MinibatchOutcomes::default(), TdOutcome::default());
    let mut gradient = vec![0.0; weights.len()];
    let actions = ActionSet::new(config.env.long_only);
    let mut once = |sample: &Sample| {
        outcomes.fill_recorded(&sample.transitions, actions);
        agent.learn(&networks, &prepared.panel, sample, &outcomes, &mut outcome, &mut gradient);
    };
    samples.iter().for_each(&mut once);
    let (start, mut rounds) = (Stopwatch::start(), 0);
    while start.seconds() < seconds {
        once(&samples[rounds % samples.len()]);
        rounds += 1;
    }
    let each = start.seconds() / rounds as f64;
    Some(json!({
        "value": flop(&shape, batch, config.learner.double) / each * 1e-9,
        "microseconds": each * 1e6,
    }))
}

pub(crate) fn replay(seconds: f64, capacity: usize) -> Option<Value> {
    let mut replay = Replay::new(capacity, 0.6);
    let (mut rng, mut sample) = (stream(1, Purpose::Replay, 0), Sample::default());
    let flat = PrivateState::default();
    for t in 0..capacity {
        replay.push(Transition::new((t, flat), 0, 0, 0.0, 0.9, (t + 1, flat)));
    }
    const BATCH: usize = 256;
    let errors: Vec<f32> = (0..64 * BATCH).map(|_| rng.random()).collect();
    let slots: Vec<u32> = (0..capacity as u32).collect();
    for chunk in slots.chunks(BATCH) {
        let at = rng.random_range(0..63 * BATCH);
        replay.update_priorities(chunk, &errors[at..at + chunk.len()]);
    }
    let (start, mut rounds) = (Stopwatch::start(), 0);
    while start.seconds() < seconds {
        replay.sample(BATCH, 0.4, &mut rng, &mut sample);
        replay.update_priorities(&sample.slots, &errors[rounds % 64 * BATCH..][..BATCH]);
        rounds += 1;
    }
    Some(json!({
        "value": start.seconds() / rounds as f64 * 1e6,
        "bytes": size_of::<Transition>(),
    }))
}
