//! The training loop as `--mode single` runs it, for a given time after learning has started.

use dqn_trader::comm::local::LocalComm;
use dqn_trader::rl::device::Device;
use dqn_trader::train::lockstep::Trainer;
use dqn_trader::train::watcher::Watcher;
use dqn_trader::train::worker::{Lanes, Worker};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

use super::setup::{Stopwatch, cache, config, pool, prepared};

/// Bars between the start of learning and the start of the clock.
const WARM_BARS: u64 = 50;

struct Clock<'a> {
    stop: &'a AtomicBool,
    seconds: f64,
    /// Remaining bars before the clock starts.
    warmup: u64,
    bars: u64,
    start: Stopwatch,
    elapsed: f64,
}

impl Watcher for Clock<'_> {
    fn bar(&mut self, _: &[Worker]) {
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        self.bars += 1;
        if self.bars == self.warmup {
            self.start = Stopwatch::start();
        } else if self.bars > self.warmup && self.bars.is_multiple_of(16) {
            self.elapsed = self.start.seconds();
            self.stop.store(self.elapsed >= self.seconds, Ordering::Relaxed);
        }
    }
}

pub fn train(seconds: f64, flags: &[&str]) -> Option<Value> {
    let (config, threads) = config(flags);
    pool(threads);
    let prepared = prepared(&config, &cache());
    let lanes = Lanes::cut(prepared.note.rows.clone(), config.learner.lanes).expect("lanes");
    let stop = AtomicBool::new(false);
    let mut trainer =
        Trainer::new(&LocalComm, &config, &prepared, lanes, Device::Cpu, &stop).unwrap();
    let starts = match config.learner.replay_ratio {
        0.0 => 0,
        _ => config.learner.learning_starts.max(lanes.count * config.learner.n_step) / lanes.count,
    };
    let mut clock = Clock {
        stop: &stop,
        seconds,
        warmup: starts as u64 + WARM_BARS,
        bars: 0,
        start: Stopwatch::start(),
        elapsed: 0.0,
    };
    while !stop.load(Ordering::Relaxed) {
        trainer.episode(&mut clock).expect("training goes on");
    }
    let steps = (clock.bars - clock.warmup) * (lanes.count * config.stocks.len()) as u64;
    let at = trainer.at();
    Some(json!({
        "value": steps as f64 / clock.elapsed,
        "parameters": trainer.weights().len(),
        "gradient_steps": at.gradient_steps,
    }))
}

/// Proposals, orders, accounts and replay, without gradients.
pub fn act(seconds: f64, flags: &[&str]) -> Option<Value> {
    let flags: Vec<&str> = flags.iter().copied().chain(["--replay-ratio", "0"]).collect();
    train(seconds, &flags)
}
