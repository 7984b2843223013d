//! `dqn-trader strategies`: strategies without training.

mod bars;
mod list;
mod optimize;
mod run;
mod stream;

use std::path::Path;

use anyhow::Result;

use crate::cli::{StrategiesArgs, StrategiesCommand, Surroundings};
use crate::report::Progress;
use crate::runner::ParametersByStrategy;
use crate::strategy::{Registry, StrategyFile};

pub fn strategies(
    args: &StrategiesArgs,
    surroundings: &Surroundings,
    progress: Progress,
) -> Result<()> {
    match &args.command {
        StrategiesCommand::List(args) => list::list(args),
        StrategiesCommand::Run(args) => run::run(args, surroundings, progress),
        StrategiesCommand::Stream(args) => {
            // Whoever closed the pipe does not want the rest.
            let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
            stream::stream(args, input, output)
        }
        StrategiesCommand::Optimize(args) => optimize::optimize(args, surroundings, progress),
    }
}

/// The program's strategies and those of a file, with the file's parameters for any of them, all
/// checked.
fn registry(params: Option<&Path>) -> Result<(Registry, ParametersByStrategy)> {
    let mut registry = Registry::standard();
    let Some(path) = params else { return Ok((registry, ParametersByStrategy::new())) };
    let file = StrategyFile::read(path)?;
    file.register(&mut registry)?;
    for (name, given) in &file.parameters {
        registry.find(name)?.resolve(given)?;
    }
    Ok((registry, file.parameters))
}
