//! A trained run as an agent: it decides as in `dqn-trader evaluate`, with the capital and the
//! limits of its run, from the start of the account on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::config::{AgentKind, StrategyChoice};
use super::registry::registry;
use super::target_weights::{DecisionContext, TargetWeights};
use crate::config::{DataConfig, Mode, RunConfig};
use crate::market::Symbol;
use crate::source;
use crate::train::dqn_strategy;
use crate::train::evaluation::BarDecision;
use crate::train::model::MODEL_FILE;
use crate::train::run::RunData;
use crate::train::trained::{SavedRun, saved_settings};

/// The target weights of the run in `results` at every bar. Its stocks must be among the
/// configuration's; the others get weight 0.
pub(crate) fn target_weights(
    results: &Path,
    setting: &DecisionContext<'_>,
) -> Result<TargetWeights> {
    let (config, bars) = (setting.config, setting.bars);
    let mut wanted = TargetWeights::nothing(config.stocks.len(), bars.rows());
    let steps = bars.steps(config.sessions, &setting.since, &config.end);
    let Some(first) = steps.first() else { return Ok(wanted) };
    let run = settings(results, setting, first.rows.start)?;
    let indices = stock_indices(&run.stocks, setting, results)?;
    let run = SavedRun::with_settings(run, &results.join(MODEL_FILE))?;
    let name = source::resolve(config.data.as_deref());
    let source = source::open(&name, &config.container)?;
    let rows: HashMap<i64, usize> = (0..bars.rows()).map(|t| (bars.view(t).end_s(), t)).collect();
    let mut watch = |decided: &BarDecision<'_>| {
        let Some(&t) = rows.get(&decided.end_s) else { return };
        for (&stock, order) in indices.iter().zip(decided.desk.orders(0)) {
            let long = if order.direction > 0 { order.weight } else { 0.0 };
            wanted.set(t, stock, long);
        }
    };
    run.evaluate(RunData { source: &source, cache: setting.cache }, &mut (), &mut watch)?;
    Ok(wanted)
}

/// Warnings about trained runs that take part and whose training days overlap the account's period.
pub(crate) fn training_overlap(
    kind: &AgentKind,
    setting: &DecisionContext<'_>,
) -> Result<Vec<String>> {
    let runs: Vec<PathBuf> = match kind {
        AgentKind::Llm(_) => Vec::new(),
        AgentKind::Dqn { results } => vec![results.clone()],
        AgentKind::Strategy(choice) => run_of(choice)?.into_iter().collect(),
        AgentKind::Ensemble(ensemble) => {
            let runs = ensemble.members.iter().map(run_of).collect::<Result<Vec<_>>>()?;
            runs.into_iter().flatten().collect()
        }
    };
    let mut warnings = Vec::new();
    for results in runs {
        let run = saved_settings(&results)?;
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
fn run_of(choice: &StrategyChoice) -> Result<Option<PathBuf>> {
    let registry = registry()?;
    let kind = registry.find(&choice.strategy)?;
    let is_trained = kind.name == dqn_strategy::NAME;
    Ok(match is_trained {
        true => Some(kind.resolve(&choice.parameters)?.text(dqn_strategy::MODEL).into()),
        false => None,
    })
}

/// The run's own settings, over the agents' period. `first` is the first row that is traded.
fn settings(results: &Path, setting: &DecisionContext<'_>, first: usize) -> Result<RunConfig> {
    let mut run = saved_settings(results)?;
    let minutes = setting.bars.bar_minutes();
    if run.data.bar_minutes != Some(minutes) {
        let trained = run.data.bar_minutes.unwrap_or_default();
        bail!(
            "{} was trained on {trained}-minute bars, and these are {minutes}-minute bars; \
             set bar_minutes to {trained}",
            results.display()
        );
    }
    // The run decides at the bar before the first that is traded, like the other kinds.
    let before = setting.bars.view(first.saturating_sub(1)).end_s();
    (run.mode, run.device) = (Mode::Single, "cpu".into());
    // Read as all agents' bars are.
    let calendar = setting.config.calendar;
    if run.data.calendar != calendar {
        bail!(
            "{} was trained by the calendar {}, and these bars go by {calendar}; set calendar to {}",
            results.display(),
            run.data.calendar,
            run.data.calendar
        );
    }
    let bar_minutes = Some(minutes);
    run.data = DataConfig { bar_minutes, calendar, allow_overlap: true, ..DataConfig::default() };
    run.eval_start = crate::market::calendar::market_date(before);
    run.eval_end = setting.config.end.date;
    run.validate()?;
    Ok(run)
}

/// The index of each stock of the run in the configuration.
fn stock_indices(
    stocks: &[Symbol],
    setting: &DecisionContext<'_>,
    results: &Path,
) -> Result<Vec<usize>> {
    let index_of = |symbol| setting.config.stocks.iter().position(|known| known == symbol);
    let one = |symbol| {
        index_of(symbol).with_context(|| {
            format!("{} was trained on {symbol}; add it to `stocks`", results.display())
        })
    };
    stocks.iter().map(one).collect()
}
