//! Times of gradients and of replay alone.

use dqn_trader::rl::agent::{Agent, AgentTerms};
use dqn_trader::rl::belief::StockBelief;
use dqn_trader::rl::device::Device;
use dqn_trader::rl::network::NetworkShape;
use dqn_trader::rl::networks::Networks;
use dqn_trader::rl::replay::{Replay, Sample};
use dqn_trader::rl::rng::{Purpose, stream};
use dqn_trader::rl::td::TdOutcome;
use rand::Rng;
use serde_json::{Value, json};

use super::setup::{Stopwatch, cache, config, pool, prepared, shape};

/// Multiply-adds of one forward pass as the network is defined: every matrix product for every
/// slot, and every peer's key and value. Operations that an implementation saves by reordering
/// count as speed.
fn multiply_adds(shape: &NetworkShape) -> (f64, f64) {
    let config = &shape.config;
    let (width, trunk) = (config.embedding, config.trunk);
    let slots = shape.slots();
    let inputs = shape.features + config.symbol_embedding;
    let mut market = slots * width * (inputs + width);
    if shape.attends() {
        market += 2 * width * width + 2 * (slots - 1) * width * (width + 1);
    }
    let joined = 2 * width;
    let heads = trunk * joined + trunk * (shape.actions + 1);
    (market as f64, heads as f64)
}

/// Of one minibatch of `windows` of `bars`: both networks value every bar and the one after each
/// window; a backward pass is twice a forward one.
fn flop(shape: &NetworkShape, windows: usize, bars: usize) -> f64 {
    let (market, heads) = multiply_adds(shape);
    let forward = 2.0 * (windows * (bars + 1)) as f64;
    let backward = 2.0 * (windows * bars) as f64;
    2.0 * (forward + backward) * (market + heads)
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
    let bars = config.learner.window_bars;
    let terms = AgentTerms {
        return_std: std,
        turnover_cost: 2e-4,
        actions: config.env.action_set(),
        risk_aversion: 0.0,
        belief: StockBelief::IN_NETWORK,
    };
    let mut agent = Agent::new(0, &shape, terms, bars, &config.learner);
    let (rows, windows) = (prepared.note.rows.clone(), config.learner.batch_size / bars);
    let mut rng = stream(1, Purpose::Replay, 0);
    let mut samples = Vec::new();
    for _ in 0..16 {
        let start = |_| rng.random_range(rows.start..rows.end - bars - 1) as u32;
        let mut sample = Sample::default();
        sample.starts = (0..windows).map(start).collect();
        sample.weights = vec![1.0; windows];
        samples.push(sample);
    }
    let mut outcome = TdOutcome::default();
    let mut gradient = vec![0.0; weights.len()];
    let mut once = |sample: &Sample| {
        agent.learn(&networks, &prepared.panel, sample, None, &mut outcome, &mut gradient);
    };
    samples.iter().for_each(&mut once);
    let (start, mut rounds) = (Stopwatch::start(), 0);
    while start.seconds() < seconds {
        once(&samples[rounds % samples.len()]);
        rounds += 1;
    }
    let each = start.seconds() / rounds as f64;
    Some(json!({
        "value": flop(&shape, windows, bars) / each * 1e-9,
        "microseconds": each * 1e6,
    }))
}

pub(crate) fn replay(seconds: f64, capacity: usize) -> Option<Value> {
    let mut replay = Replay::new(capacity, 0.6);
    let (mut rng, mut sample) = (stream(1, Purpose::Replay, 0), Sample::default());
    (0..capacity as u32).for_each(|start| replay.push(start));
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
        "bytes": size_of::<u32>(),
    }))
}
