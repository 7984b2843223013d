//! Flags and subcommands, and how they become a [`RunConfig`](crate::config::RunConfig).

mod agents;
mod data;
mod evaluate;
mod settings;
mod shared;
mod strategies;
mod synth;
mod train;
mod validate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use agents::*;
pub use data::*;
pub use evaluate::*;
pub use shared::*;
pub use strategies::*;
pub use synth::*;
pub use train::*;
pub use validate::*;

/// Train trading agents by distributed deep Q-learning on intraday bars: one worker per stock,
/// shared weights, cross-stock attention, in one process or over MPI ranks with the same result.
#[derive(Parser, Debug)]
#[command(
    name = "dqn-trader",
    version,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = "EXAMPLES\n  \
        dqn-trader --mode single                                    the built-in sample market, on this machine\n  \
        dqn-trader --mode single --data bars/ --stocks AAPL SPY     day files below bars/stocks_intraday/\n  \
        ./run_with_env.sh mpirun -n 6 dqn-trader --mode parallel --data azure\n  \
        dqn-trader evaluate --model results --eval_start 2020-07-01\n  \
        dqn-trader synth momentum:7 --data made-up/ --stocks AAA BBB\n  \
        dqn-trader strategies run --data bars/ --stocks AAPL SPY    plain strategies, without training\n  \
        dqn-trader agents --config configs/default_config.json      agents side by side, a process each\n  \
        dqn-trader validate --quick                                 what it learns where the best is known\n  \
        dqn-trader fetch --stocks AAPL SPY --data bars/             bars from Alpha Vantage, then: data check --data bars/\n\n\
        FILES\n  \
        .cloudkeys/api_keys.env   AZURE_STORAGE_CONNECTION_STRING=..., ALPHAVANTAGE_API_KEY=..., read at the start where it exists\n\n\
        Exit code 0: done; 1: validate missed a bar, an agent failed, or data check found something wrong; \
        2: something in the flags, the data or the surroundings has to be mended; \
        3: a rank died or hung; 130: stopped by Ctrl-C."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub train: TrainArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Let a trained model trade a period, greedily and without learning
    Evaluate(EvaluateArgs),
    /// Write the bars of a made-up market as day files
    Synth(SynthArgs),
    /// Train on every planted market and compare with the best possible reward
    Validate(ValidateArgs),
    /// Plain trading strategies, without training
    Strategies(StrategiesArgs),
    /// Agents of a JSON configuration side by side: trained runs, strategies, language models
    Agents(AgentsArgs),
    /// Download intraday bars from Alpha Vantage into day files
    Fetch(FetchArgs),
    /// Turn CSV or Parquet tables into day files
    Import(ImportArgs),
    /// Check stored bars, or send them to Azure
    Data(DataCommandArgs),
}

/// What says nothing about the result: where the cache is, how much is said.
#[derive(Args, Debug, Clone)]
pub struct Surroundings {
    /// Folder for fetched files and feature panels [default: ~/.cache/dqn-trader]
    #[arg(long, value_name = "DIR", help_heading = "Surroundings")]
    pub cache: Option<PathBuf>,
    /// Threads of a rank [default: one per core; with several ranks, one for each worker]
    #[arg(long, value_name = "N", help_heading = "Surroundings")]
    pub threads: Option<usize>,
    /// Say nothing but errors and the closing table
    #[arg(long, short, help_heading = "Surroundings")]
    pub quiet: bool,
}

/// A message of several lines as one.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
