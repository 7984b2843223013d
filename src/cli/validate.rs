//! `dqn-trader validate`

use std::path::PathBuf;

use clap::Args;

use super::numbers::{MOST_THREADS, between};

#[derive(Args, Debug, Clone)]
pub(crate) struct ValidateArgs {
    /// Use fewer seeds, shorter periods and not all rows
    #[arg(long)]
    pub(crate) quick: bool,
    /// Ablation: switch off one component of the learner at a time, on --rows or on one row per
    /// kind of edge
    #[arg(long)]
    pub(crate) ablate: bool,
    /// Run only these rows of the table
    #[arg(long, num_args = 1.., value_name = "ROW")]
    pub(crate) rows: Vec<String>,
    /// Seeds per row [default: 5, with --quick 2]
    #[arg(long, value_name = "N", value_parser = between::<u64>(1, 1_000))]
    pub(crate) seeds: Option<u64>,
    /// Any setting of config.toml except those of a row, such as learner.gamma=0.95; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Folder for validation.json
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(crate) output: PathBuf,
    /// Concurrent training runs [default: one per core]
    #[arg(long, value_name = "N", value_parser = between::<usize>(0, MOST_THREADS))]
    pub(crate) threads: Option<usize>,
    /// Print only errors and the closing table
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
