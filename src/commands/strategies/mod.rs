//! `dqn-trader strategies`: strategies without training.

mod list;

use anyhow::Result;

use crate::cli::{StrategiesArgs, StrategiesCommand};

pub fn strategies(args: &StrategiesArgs) -> Result<()> {
    match &args.command {
        StrategiesCommand::List(args) => list::list(args),
    }
}
