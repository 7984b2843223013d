//! An MPI-distributed reinforcement-learning trainer for trading.
//!
//! Each layer imports only from the layers on its left:
//!
//! ```text
//! market, config -> features -> env, rl, strategy -> portfolio -> dist, eval -> runner, train ->
//! report, agents -> cli -> main
//! ```
//!
//! `env`, `rl` and `strategy` know each other only through [`interface`]. The training loop is
//! [`train::lockstep`]; read that file first.

pub mod agents;
pub mod cli;
pub mod comm;
pub mod commands;
pub mod compute;
pub mod config;
pub mod env;
pub mod errors;
pub mod eval;
pub mod features;
pub mod files;
pub mod ingest;
pub mod interface;
pub mod market;
pub mod math;
pub mod portfolio;
pub mod report;
pub mod rl;
pub mod runner;
pub mod source;
pub mod strategy;
pub mod synthetic;
pub mod train;
