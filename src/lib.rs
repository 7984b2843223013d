//! A reinforcement-learning trainer for trading, in one process or over MPI ranks.
//!
//! ```no_run
//! use std::{path::Path, sync::atomic::AtomicBool};
//!
//! use dqn_trader::train::run::{Checkpointing, RunData, run};
//! use dqn_trader::{comm::local::LocalComm, config::RunConfig, source};
//!
//! fn main() -> anyhow::Result<()> {
//!     let config = RunConfig::default().with_setting("episodes=2")?;
//!     let (source, cache) = (source::open("synthetic:sample", "")?, source::cache_folder(None));
//!     let (data, stop) = (RunData { source: &source, cache: &cache }, AtomicBool::new(false));
//!     let trained = run(&LocalComm, &config, data, Checkpointing::Off, &stop, &mut ())?;
//!     trained.save(Path::new("results"))
//! }
//! ```
//!
//! More in `examples/`: training with callbacks, evaluating a saved model, a strategy of one's own.
//!
//! The rooms, from the bottom up; those without a page here are private. Each imports only from
//! those above it in this list, and none from another of its own line; `tests/it/layers.rs` holds
//! the code to it.
//!
//! ```text
//! errors, files, math,       causes of errors; files written whole; pure functions;
//! compute, interface         threads and SIMD; what env, rl and strategy know of one another
//! market, comm               bars, calendar, files, panels; messages between ranks
//! synthetic, ingest          made-up markets; bars fetched and imported
//! source                     what --data names, opened
//! config                     all settings, a section a file
//! features                   bars to numbers that a network sees
//! env, rl, strategy          accounts and costs; the DQN; plain trading strategies
//! portfolio                  the meta-policy, capital, limits, arbitration
//! eval                       back-tests, metrics, inference, oracles
//! train, runner              a DQN is trained; strategies are run
//! report                     result files and the terminal
//! agents, trade              accounts that agents trade, a process each; paper trading
//! cli                        flags
//! commands                   what the program can be told to do
//! ```
//!
//! [`train::run()`] assembles a training run. The loop itself is `train/lockstep.rs`; read that file
//! first, then `rl/agent.rs`.

pub mod agents;
mod cli;
pub mod comm;
mod commands;
pub mod compute;
pub mod config;
pub mod env;
mod errors;
pub mod eval;
pub mod features;
mod files;
#[cfg(test)]
#[path = "fuzz/tests.rs"]
mod fuzz;
pub mod ingest;
pub mod interface;
pub mod market;
mod math;
pub mod portfolio;
mod report;
pub mod rl;
pub mod runner;
pub mod source;
pub mod strategy;
pub mod study;
pub mod synthetic;
pub(crate) mod trade;
pub mod train;
mod wording;

pub use commands::program::main;
pub use errors::Cause;
