//! Flags of `dqn-trader strategies`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Args, Debug)]
pub struct StrategiesArgs {
    #[command(subcommand)]
    pub command: StrategiesCommand,
}

#[derive(Subcommand, Debug)]
pub enum StrategiesCommand {
    /// Name the strategies there are, and what can be set
    List(ListArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Args, Debug, Clone)]
pub struct ListArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}
