//! `dqn-trader validate`

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug, Clone)]
pub struct ValidateArgs {
    /// Fewer seeds and shorter periods
    #[arg(long)]
    pub quick: bool,
    /// Switch off one part of the learner at a time, and show what each is worth on the rows named,
    /// or on one for each kind of edge
    #[arg(long)]
    pub ablate: bool,
    /// Only these rows of the table
    #[arg(long, num_args = 1.., value_name = "ROW")]
    pub rows: Vec<String>,
    /// Seeds per row [default: 5, with --quick 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub seeds: Option<u64>,
    /// Any setting of config.toml but those of a row, such as learner.gamma=0.95; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder for validation.json
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub output: PathBuf,
    /// Trainings at a time [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Say nothing but errors and the closing table
    #[arg(long, short)]
    pub quiet: bool,
}
