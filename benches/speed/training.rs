//! The training loop as `--mode single` runs it, for a given time after learning has started.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use dqn_trader::comm::local::LocalComm;
use dqn_trader::train::callbacks::{Callbacks, TrainingStart};
use dqn_trader::train::run;
use dqn_trader::train::run::{Checkpointing, RunData};
use dqn_trader::train::worker::Worker;
use serde_json::{Value, json};

use super::setup::{Stopwatch, cache, config, pool, source};

/// Bars between the start of learning and the start of the clock.
const WARM_BARS: u64 = 50;

struct Clock<'a> {
    stop: &'a AtomicBool,
    seconds: f64,
    /// Remaining bars before the clock starts.
    warmup: u64,
    /// Of all stocks and lanes.
    steps_per_bar: u64,
    bars: u64,
    start: Stopwatch,
    elapsed: f64,
}

impl Callbacks for Clock<'_> {
    fn on_bar(&mut self, _: &[Worker]) {
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

    fn on_training_start(&mut self, start: &TrainingStart<'_>) -> Result<()> {
        let minutes = start.train.note.bar_minutes;
        let (learner, lanes) = (start.config.learner.in_bars(minutes), start.lanes);
        let learning =
            learner.learning_starts.max(lanes.count * (learner.window_bars + 1)) / lanes.count;
        let learning = if learner.replay_ratio == 0.0 { 0 } else { learning };
        self.warmup = learning as u64 + WARM_BARS;
        self.steps_per_bar = (lanes.count * start.config.stocks.len()) as u64;
        Ok(())
    }
}

pub(crate) fn train(seconds: f64, flags: &[&str]) -> Option<Value> {
    let (mut config, threads) = config(flags);
    pool(threads);
    // The clock ends it, and nothing is evaluated before.
    config.episodes = u32::MAX;
    config.evaluation.every_episodes = u32::MAX;
    let stop = AtomicBool::new(false);
    let mut clock = Clock {
        stop: &stop,
        seconds,
        warmup: 0,
        steps_per_bar: 0,
        bars: 0,
        start: Stopwatch::start(),
        elapsed: 0.0,
    };
    let (source, cache) = (source(&config), cache());
    let data = RunData { source: &source, cache: &cache };
    let trained = run(&LocalComm, &config, data, Checkpointing::Off, &stop, &mut clock);
    let trained = trained.unwrap_or_else(|e| panic!("{e:#}"));
    let steps = (clock.bars - clock.warmup) * clock.steps_per_bar;
    Some(json!({
        "value": steps as f64 / clock.elapsed,
        "parameters": trained.model.weights.len(),
        "gradient_steps": trained.gradient_steps,
    }))
}

/// Proposals, orders, accounts and replay, without gradients.
pub(crate) fn act(seconds: f64, flags: &[&str]) -> Option<Value> {
    let flags: Vec<&str> = flags.iter().copied().chain(["--replay-ratio", "0"]).collect();
    train(seconds, &flags)
}
