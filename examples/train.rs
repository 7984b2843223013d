//! Trains a DQN on a made-up market, evaluates it and saves it: `cargo run --release --example
//! train`

use std::path::Path;
use std::sync::atomic::AtomicBool;

use dqn_trader::comm::local::LocalComm;
use dqn_trader::config::{ConfigError, RunConfig};
use dqn_trader::source;
use dqn_trader::train::callbacks::{Callbacks, TrainingInterval};
use dqn_trader::train::run::{Checkpointing, RunData, run};

struct Print;

impl Callbacks for Print {
    fn on_interval(&mut self, at: TrainingInterval) -> anyhow::Result<()> {
        println!("{:>6} steps, {:+.2} bps per bar", at.env_steps, 1e4 * at.reward);
        Ok(())
    }
}

fn settings() -> Result<RunConfig, ConfigError> {
    let days =
        ["start_date=\"2017-01-03\"", "end_date=\"2018-12-31\"", "eval_start=\"2019-01-02\""];
    let others = ["eval_end=\"2019-12-31\"", "stocks=[\"AAA\", \"BBB\"]", "episodes=2"];
    let learner = ["data.bar_minutes=30", "learner.lanes=8", "learner.learning_starts=256"];
    let all = [days, others, learner].concat();
    all.into_iter().try_fold(RunConfig::default(), |config, setting| config.with_setting(setting))
}

fn main() -> anyhow::Result<()> {
    let (config, never) = (settings()?, AtomicBool::new(false));
    let (source, cache) = (source::open("synthetic:momentum", "")?, source::cache_folder(None));
    let data = RunData { source: &source, cache: &cache };
    let trained = run(&LocalComm, &config, data, Checkpointing::Off, &never, &mut Print)?;
    let evaluated = &trained.latest.as_ref().expect("one process is rank 0").evaluated;
    let [dqn, hold] = [&evaluated.metrics, &evaluated.benchmark_metrics].map(|m| m.sharpe);
    println!("Sharpe ratio {:.2}, of buy-and-hold {:.2}", dqn.unwrap_or(0.0), hold.unwrap_or(0.0));
    trained.save(Path::new("results/example"))
}
