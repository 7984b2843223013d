//! Flags and subcommands, and how they become a [`RunConfig`](crate::config::RunConfig).

mod agents;
mod compare;
mod data;
mod evaluate;
mod numbers;
mod settings;
mod shared;
mod shell;
mod strategies;
mod study;
mod synth;
mod trade;
mod train;
mod usage;
mod validate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use numbers::{MOST_THREADS, between};

pub(crate) use agents::*;
pub(crate) use compare::*;
pub(crate) use data::*;
pub(crate) use evaluate::*;
pub(crate) use shared::*;
pub(crate) use shell::*;
pub(crate) use strategies::*;
pub(crate) use study::*;
pub(crate) use synth::*;
pub(crate) use trade::*;
pub(crate) use train::*;
pub(crate) use usage::usage_error;
pub(crate) use validate::*;

/// Train trading agents with distributed deep Q-learning on intraday bars: one worker per stock,
/// shared weights and cross-stock attention, in one process or over MPI with identical results.
#[derive(Parser, Debug)]
#[command(
    name = "dqn-trader",
    version,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = "EXAMPLES\n  \
        # train on the built-in sample market, then on your own day files\n  \
        dqn-trader --mode single\n  \
        dqn-trader --mode single --data bars/ --stocks AAPL SPY\n  \
        ./run_with_env.sh mpirun -n 6 dqn-trader --mode parallel --data azure\n\n  \
        # evaluate a trained model on another period\n  \
        dqn-trader evaluate --model results --eval_start 2020-07-01\n\n  \
        # what to order at the next open, on paper\n  \
        dqn-trader trade --model results --data bars/ --once\n\n  \
        # does an idea hold, over time and seeds?\n  \
        dqn-trader study --data bars/ --stocks AAPL SPY --train-months 12\n\n  \
        # classical strategies, and several agents in one table\n  \
        dqn-trader strategies run --data bars/ --stocks AAPL SPY\n  \
        dqn-trader agents --config configs/default_config.json\n\n  \
        # get bars from Alpha Vantage and check them; generate synthetic ones\n  \
        dqn-trader fetch --stocks AAPL SPY --data bars/\n  \
        dqn-trader data check --data bars/\n  \
        dqn-trader synth momentum:7 --data synthetic/ --stocks AAA BBB\n\n  \
        # does it learn, where the best possible policy is known?\n  \
        dqn-trader validate --quick\n\n\
        FILES\n  \
        .cloudkeys/api_keys.env  read at startup if it exists: \
        AZURE_STORAGE_CONNECTION_STRING=..., ALPHAVANTAGE_API_KEY=...\n\n\
        EXIT CODES\n  \
        0    success\n  \
        1    validate missed a threshold, an agent failed, or data check found a problem\n  \
        2    a flag, the data or the environment must be fixed; one line says what\n  \
        3    a rank died or hung\n  \
        130  stopped with Ctrl-C or by another signal"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) train: TrainArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Evaluate a trained model on a period, with its greedy policy
    Evaluate(EvaluateArgs),
    /// Let a trained model trade on paper: bars as they come, orders for the next open
    Trade(TradeArgs),
    /// Generate a synthetic market and write its bars as day files
    Synth(SynthArgs),
    /// Train on synthetic markets with a known optimum, and compare with it
    Validate(ValidateArgs),
    /// Train over many seeds, walk-forward folds and settings, and judge them together
    Study(Box<StudyArgs>),
    /// Put finished runs or studies side by side: settings, figures, differences
    Compare(CompareArgs),
    /// Back-test, optimize and stream classical strategies, without training
    Strategies(StrategiesArgs),
    /// Run agents over the same bars: trained runs, strategies, language models
    Agents(AgentsArgs),
    /// Download intraday bars from Alpha Vantage into day files
    Fetch(FetchArgs),
    /// Convert CSV or Parquet tables into day files
    Import(ImportArgs),
    /// Check stored bars, or upload them to Azure
    Data(DataCommandArgs),
    /// Write shell completions on standard output
    Completions(CompletionsArgs),
    /// Write the manual page
    Man(ManArgs),
}

/// Options that do not change what is traded: the cache, the ledger, threads and verbosity.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct GlobalArgs {
    /// Folder for downloaded files and feature panels [default: ~/.cache/dqn-trader]
    #[arg(long, value_name = "DIR", help_heading = "Global options")]
    pub(crate) cache: Option<PathBuf>,
    /// File in which everything judged on the same bars is counted as a trial; none: do not count
    /// [default: trials.jsonl in the cache]
    #[arg(long, value_name = "FILE", help_heading = "Global options")]
    pub(crate) ledger: Option<PathBuf>,
    /// Threads per rank [default: one per core; with several ranks, one per worker]
    #[arg(long, value_name = "N", help_heading = "Global options")]
    #[arg(value_parser = between::<usize>(0, MOST_THREADS))]
    pub(crate) threads: Option<usize>,
    /// Print only errors and the closing table
    #[arg(long, short, help_heading = "Global options")]
    pub(crate) quiet: bool,
}

/// Joins the lines of a message.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
