//! `dqn-trader strategies`: strategies without training.
//!
//! Over several ranks, each reads its share of the stocks and works on its share of the strategies
//! or sets of parameters; rank 0 puts the results together, which are the same for any number.

mod bars;
mod list;
mod optimize;
mod page;
mod run;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::cli::{GlobalArgs, StrategiesArgs, StrategiesCommand};
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::errors::message;
use crate::report::Progress;
use crate::runner::ParametersByStrategy;
use crate::strategy::{GivenParameters, Registry, StrategyFile, StrategyKind};
use crate::train::dqn_strategy;

pub(crate) fn strategies(
    comm: &dyn Comm,
    args: &StrategiesArgs,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<()> {
    match &args.command {
        StrategiesCommand::List(args) => list::list(args),
        StrategiesCommand::Run(args) => run::run(comm, args, global, progress),
        StrategiesCommand::Stream(args) => {
            // Whoever closed the pipe does not want the rest.
            let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
            stream::stream(args, input, output)
        }
        StrategiesCommand::Optimize(args) => optimize::optimize(comm, args, global, progress),
    }
}

/// The program's strategies and those of a file, with the file's parameters for any of them, all
/// checked. `model` is the run of the strategy DQN where nothing else is said.
fn registry(
    params: Option<&Path>,
    model: Option<&Path>,
) -> Result<(Registry, ParametersByStrategy)> {
    let mut registry = Registry::standard();
    registry.register(dqn_strategy::kind(model))?;
    let Some(path) = params else { return Ok((registry, ParametersByStrategy::new())) };
    let file = StrategyFile::read(path)?;
    file.register(&mut registry)?;
    for (name, given) in &file.parameters {
        registry.find(name)?.resolve(given)?;
    }
    Ok((registry, file.parameters))
}

/// The parameters of a kind, given under any of its names.
fn given(
    registry: &Registry,
    parameters: &ParametersByStrategy,
    kind: &StrategyKind,
) -> GivenParameters {
    let is_this = |name: &str| registry.find(name).is_ok_and(|known| known.name == kind.name);
    let given = parameters.iter().find(|(name, _)| is_this(name));
    given.map_or_else(GivenParameters::new, |(_, given)| given.clone())
}

/// The further columns of the day files that the strategies of these names need, each once.
fn columns<'a>(
    registry: &Registry,
    parameters: &ParametersByStrategy,
    names: impl Iterator<Item = &'a String>,
) -> Result<Vec<String>> {
    let mut columns: Vec<String> = Vec::new();
    for name in names {
        let kind = registry.find(name)?;
        columns.extend(kind.columns(&kind.resolve(&given(registry, parameters, kind))?));
    }
    let mut seen = BTreeSet::new();
    columns.retain(|name| seen.insert(name.clone()));
    Ok(columns)
}

/// What only rank 0 does; the others wait whether it succeeds.
fn on_root<T>(comm: &dyn Comm, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    agreed(comm, if comm.is_root() { work().map(Some) } else { Ok(None) })
}

/// All ranks fail when one does, with all that it says.
fn agreed<T>(comm: &dyn Comm, mine: Result<T>) -> Result<T> {
    Ok(agree(comm, mine.map_err(|error| message(&error)))?)
}
