//! A trained run as an agent: it decides as in `dqn-trader evaluate`, with the capital and the
//! limits of its run, from the start of the account on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tch::Device;

use super::bars::load_options;
use super::config::{Choice, ModelKind};
use super::registry::registry;
use super::wanted::{Setting, Wanted};
use crate::comm::local::LocalComm;
use crate::config::{Mode, RunConfig};
use crate::rl::agent::Agent;
use crate::rl::network::single_thread;
use crate::rl::networks::Networks;
use crate::source;
use crate::train::dataset::DataPlan;
use crate::train::dqn_strategy;
use crate::train::evaluation::{Decided, Policy, evaluate_watched};
use crate::train::model::{Model, untrained_shape};

/// The target weights of the run in `results` at every bar. Its stocks must be among the
/// configuration's; the others get weight 0.
pub fn wanted(results: &Path, setting: &Setting<'_>) -> Result<Wanted> {
    single_thread();
    let (config, bars) = (setting.config, setting.bars);
    let mut wanted = Wanted::nothing(config.stocks.len(), bars.rows());
    let steps = bars.steps(config.by_bar, &setting.since, &config.end);
    let Some(first) = steps.first() else { return Ok(wanted) };
    let run = settings(results, setting, first.rows.start)?;
    let index_of = stock_indices(&run, setting, results)?;
    let model = Model::read(&results.join("trained_model.pth"), untrained_shape(&run))?;
    let name = source::resolve(config.data.as_deref());
    let source = source::open(&name, &config.container)?;
    let options = load_options(config, setting.cache);
    let comm = LocalComm;
    let plan =
        DataPlan { comm: &comm, config: &run, source: &source, options, cache: setting.cache };
    let eval = plan.eval(&model.fit, bars.bar_minutes(), &mut |_, _, _| {})?;
    let one = |stock: usize| {
        let return_std = model.fit.scaler.return_std[stock];
        Agent::new(stock, &model.shape, return_std, &run.learner)
    };
    let mut agents: Vec<Agent> = (0..run.stocks.len()).map(one).collect();
    let rows: HashMap<i64, usize> = (0..bars.rows()).map(|t| (bars.view(t).end_s(), t)).collect();
    let (shape, weights) = (&model.shape, &model.weights[..]);
    let networks = Networks::new(shape, weights, &run.learner, Some(Device::Cpu));
    let standing = model.standing.as_ref();
    let policy = Policy { shape, weights, networks: &networks, standing };
    let mut watch = |decided: &Decided<'_>| {
        let Some(&t) = rows.get(&decided.end_s) else { return };
        for (&stock, order) in index_of.iter().zip(decided.desk.orders(0)) {
            let long = if order.direction > 0 { order.weight } else { 0.0 };
            wanted.set(t, stock, long);
        }
    };
    evaluate_watched(&comm, &run, &eval, policy, agents.iter_mut().collect(), &mut watch)?;
    Ok(wanted)
}

/// Warnings about trained runs that take part and whose training days overlap the account's period.
pub fn seen(kind: &ModelKind, setting: &Setting<'_>) -> Result<Vec<String>> {
    let runs: Vec<PathBuf> = match kind {
        ModelKind::Llm(_) => Vec::new(),
        ModelKind::Dqn { results } => vec![results.clone()],
        ModelKind::Strategy(choice) => run_of(choice)?.into_iter().collect(),
        ModelKind::Ensemble(ensemble) => {
            let runs = ensemble.members.iter().map(run_of).collect::<Result<Vec<_>>>()?;
            runs.into_iter().flatten().collect()
        }
    };
    let mut warnings = Vec::new();
    for results in runs {
        let run = read_run(&results)?;
        let (start, end) = (setting.since.date, setting.config.end.date);
        if start <= run.end_date && run.start_date <= end {
            warnings.push(format!(
                "{} was trained on days of this period ({} to {}): its figures say nothing about \
                 the future",
                results.display(),
                run.start_date,
                run.end_date
            ));
        }
    }
    Ok(warnings)
}

/// The results folder of a strategy that is a trained run; None for other strategies.
fn run_of(choice: &Choice) -> Result<Option<PathBuf>> {
    let registry = registry()?;
    let kind = registry.find(&choice.strategy)?;
    let is_trained = kind.name == dqn_strategy::NAME;
    Ok(match is_trained {
        true => Some(kind.resolve(&choice.parameters)?.text(dqn_strategy::MODEL).into()),
        false => None,
    })
}

fn read_run(results: &Path) -> Result<RunConfig> {
    let path = results.join("config.toml");
    let place = || format!("{}: give the folder of a finished run", path.display());
    let text = std::fs::read_to_string(&path).with_context(place)?;
    toml::from_str(&text).with_context(place)
}

/// The run's own settings, over the agents' period. `first` is the first row that is traded.
fn settings(results: &Path, setting: &Setting<'_>, first: usize) -> Result<RunConfig> {
    let mut run = read_run(results)?;
    let minutes = setting.bars.bar_minutes();
    if run.data.bar_minutes != Some(minutes) {
        let trained = run.data.bar_minutes.unwrap_or_default();
        bail!(
            "{} was trained on bars of {trained} minutes, and these bars are of {minutes}; \
             set bar_minutes to {trained}",
            results.display()
        );
    }
    // The run decides at the bar before the first that is traded, like the other kinds.
    let before = setting.bars.view(first.saturating_sub(1)).end_s();
    run.mode = Mode::Single;
    run.data.allow_overlap = true;
    run.eval_start = crate::market::calendar::new_york_date(before);
    run.eval_end = setting.config.end.date;
    run.validate()?;
    Ok(run)
}

/// The index of each stock of the run in the configuration.
fn stock_indices(run: &RunConfig, setting: &Setting<'_>, results: &Path) -> Result<Vec<usize>> {
    let stocks = &setting.config.stocks;
    let index_of = |symbol| stocks.iter().position(|known| known == symbol);
    let one = |symbol| {
        index_of(symbol).with_context(|| {
            format!("{} was trained on {symbol}; add it to `stocks`", results.display())
        })
    };
    run.stocks.iter().map(one).collect()
}
