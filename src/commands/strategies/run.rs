//! Strategies side by side.

use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow};
use chrono::NaiveDate;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::bars::StrategyMarket;
use super::{agreed, bars, columns, given, on_root, page, registry};
use crate::cli::{Format, GlobalArgs, RunArgs};
use crate::comm::Comm;
use crate::comm::heartbeat::PULSE;
use crate::commands::say;
use crate::env::costs::Costs;
use crate::eval::backtest::buy_and_hold;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::eval::metrics::BacktestRecord;
use crate::eval::rules::RULES;
use crate::market::calendar::market_date;
use crate::report::strategies::{StrategyRow, signals_csv, table};
use crate::report::{FolderLock, Progress, ResultsFolder};
use crate::rl::rng::{Purpose, stream};
use crate::runner::{
    EnsembleConfig, Execution, ParametersByStrategy, PerformanceMetrics, RunResults, RunnerConfig,
    StrategyResult, StrategyRunner,
};
use crate::strategy::Registry;

/// The name of the ensemble among the strategies.
const ENSEMBLE: &str = "ensemble";

pub(crate) fn run(
    comm: &dyn Comm,
    args: &RunArgs,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<()> {
    let RunRequest { registry, parameters, names, ensemble, mut config, fitted } =
        agreed(comm, asked(args))?;
    let lock = || args.output.as_deref().map(FolderLock::take).transpose().map_err(Into::into);
    let _lock = on_root(comm, lock)?;
    let columns = agreed(comm, columns(&registry, &parameters, names.iter()))?;
    let market = bars::read(comm, &args.market, columns, global, progress)?;
    config.env = market.env.clone();
    let slots = slots(&config, names.len(), comm.size());
    let told = ProgressReporter::new(&market.progress, names.len());
    let told_by_runner = Arc::clone(&told);
    let runner = StrategyRunner::new(config)?
        .with_registry(registry)
        .on_done(move |result| told_by_runner.ended(result));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_time().build()?;
    let execution = Execution { started: Instant::now(), slots };
    let mine = share(names.len(), comm.rank(), comm.size());
    let strategies = mine.map(|i| names[i].as_str().into()).collect();
    let mine = runtime.block_on(runner.run_each(strategies, &market.data, &parameters));
    let all = gathered(comm, mine, names.len(), &told)?;
    on_root(comm, || {
        let data = &market.data;
        let results = runtime.block_on(runner.combine(all, data, &ensemble, execution))?;
        market.progress.finish();
        finish(args, &market, &results, &fitted)
    })?;
    // A strategy that did not stop in time is not waited for.
    runtime.shutdown_background();
    Ok(())
}

/// What is known, and checked, before any data are read.
struct RunRequest {
    registry: Registry,
    parameters: ParametersByStrategy,
    names: Vec<String>,
    ensemble: EnsembleConfig,
    config: RunnerConfig,
    /// Strategies that were fitted on data, with the last day of these.
    fitted: Vec<(String, NaiveDate)>,
}

fn asked(args: &RunArgs) -> Result<RunRequest> {
    let (registry, parameters) = registry(args.params.as_deref(), args.model.as_deref())?;
    let mut names: Vec<String> = args.strategies.clone();
    if names.is_empty() {
        names = RULES.map(String::from).into();
    }
    let mut fitted = Vec::new();
    for name in &names {
        let kind = registry.find(name)?;
        let resolved = kind.resolve(&given(&registry, &parameters, kind))?;
        fitted.extend(kind.fitted_until(&resolved).map(|until| (name.clone(), until)));
    }
    let ensemble = EnsembleConfig {
        method: Some(args.ensemble),
        weights: (!args.weights.is_empty()).then(|| args.weights.clone()),
        window_bars: args.window_bars,
    };
    ensemble.weights_for(names.len())?;
    let config = RunnerConfig {
        max_concurrent_strategies: args.max_concurrent,
        strategy_timeout: args.strategy_timeout,
        enable_ensemble: !args.no_ensemble,
        ensemble_method: args.ensemble,
        ..RunnerConfig::default()
    };
    config.validate()?;
    Ok(RunRequest { registry, parameters, names, ensemble, config, fitted })
}

/// The strategies of one of so many ranks, round robin.
fn share(strategies: usize, rank: usize, ranks: usize) -> impl Iterator<Item = usize> {
    (rank..strategies).step_by(ranks)
}

/// Strategies that can work at the same time on all ranks together.
fn slots(config: &RunnerConfig, strategies: usize, ranks: usize) -> usize {
    let of = |rank| share(strategies, rank, ranks).count().min(config.max_concurrent_strategies);
    (0..ranks).map(of).sum()
}

/// On rank 0: the results of all ranks, in the order of the strategies.
fn gathered(
    comm: &dyn Comm,
    mine: Vec<StrategyResult>,
    strategies: usize,
    told: &ProgressReporter,
) -> Result<Vec<StrategyResult>> {
    if comm.size() == 1 {
        return Ok(mine);
    }
    let mut by_rank: Vec<Vec<StrategyResult>> = vec![Vec::new(); comm.size()];
    let (mut kept, mut torn) = (Some(mine), None);
    comm.stream_to_root(
        &mut |send| {
            // Rank 0 has its own.
            let sent = kept.take_if(|_| !comm.is_root()).unwrap_or_default();
            sent.iter().for_each(|result| send(&result.to_bytes()));
        },
        &mut |rank, bytes| match StrategyResult::from_bytes(&bytes) {
            Some(result) => {
                told.ended(&result);
                by_rank[rank].push(result);
            }
            None => torn = Some(rank),
        },
    );
    by_rank[0] = kept.unwrap_or_default();
    let whole = torn.map_or(Ok(()), |rank| Err(anyhow!("rank {rank} sent a damaged message")));
    agreed(comm, whole)?;
    let mut by_rank: Vec<_> = by_rank.into_iter().map(Vec::into_iter).collect();
    Ok((0..strategies).filter_map(|i| by_rank[i % comm.size()].next()).collect())
}

/// Shows how far the strategies are.
struct ProgressReporter {
    progress: Arc<Progress>,
    done: AtomicUsize,
    total: usize,
}

impl ProgressReporter {
    fn new(progress: &Arc<Progress>, total: usize) -> Arc<ProgressReporter> {
        progress.strategies(0, total);
        Arc::new(ProgressReporter {
            progress: Arc::clone(progress),
            done: AtomicUsize::new(0),
            total,
        })
    }

    fn ended(&self, result: &StrategyResult) {
        // A rank whose watch sees it move is not taken for hung.
        PULSE.work();
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.progress.line(&result_line(result));
        self.progress.strategies(done, self.total);
    }
}

/// Judges, writes and prints.
fn finish(
    args: &RunArgs,
    market: &StrategyMarket,
    results: &RunResults,
    fitted: &[(String, NaiveDate)],
) -> Result<()> {
    if !results.success {
        let why = results.individual_results.iter().find_map(|(_, result)| result.error.clone());
        return Err(anyhow!("no strategy succeeded: {}", why.unwrap_or_default()));
    }
    let data = &market.data;
    let rows = (0..data.rows()).map(|t| data.row(t));
    let benchmark = buy_and_hold(data.stocks(), rows, &market.env)
        .ok_or_else(|| anyhow!("there are no bars to trade"))?;
    let mut records: Vec<(String, &BacktestRecord)> = Vec::new();
    for (name, result) in results.individual_results.iter() {
        records.extend(result.record.as_ref().map(|record| (name.to_string(), record.as_ref())));
    }
    if let Some(ensemble) = &results.ensemble_result {
        records.push((ENSEMBLE.into(), &ensemble.record));
    }
    let earlier = market.ledger.trials(&benchmark);
    let mut judged = judge(&records, &benchmark, &earlier, args.seed);
    let tried = records.iter().map(|(name, record)| (*record, Trial::new(None, record), name));
    let tried: Vec<_> = tried.collect();
    let noted = tried
        .iter()
        .map(|(record, trial, name)| (*record, from_ref(trial), format!("strategies run {name}")));
    market.ledger.note(noted)?;
    let in_sample = in_sample(fitted, market);
    for (name, inference) in &mut judged {
        let is_in_sample = in_sample.iter().any(|(fitted, _)| fitted == name)
            || name == ENSEMBLE && !in_sample.is_empty();
        *inference = inference.clone().in_sample_if(is_in_sample);
    }
    let mut notices = market.notices.clone();
    notices.extend(in_sample.iter().map(|(name, until)| {
        format!("{name} was fitted on days up to {until}: its figures here are in sample.")
    }));
    let mut table_rows = Vec::new();
    for (name, result) in results.individual_results.iter() {
        let metrics = result.performance_metrics.clone().ok_or(result.error.clone());
        table_rows.push(row(name, metrics, &judged));
    }
    if let Some(ensemble) = &results.ensemble_result {
        table_rows.push(row(ENSEMBLE, Ok(ensemble.performance_metrics.clone()), &judged));
    }
    let held = PerformanceMetrics::from_backtest(&benchmark, &Costs::new(&market.env));
    // Not looked up among the judged: a strategy of the user may have this name.
    table_rows.push(row("benchmark", Ok(held.clone()), &[]));
    let json = in_json(results, market, &judged, (&held, &notices))?;
    let mut written = Vec::new();
    if let Some(output) = &args.output {
        let folder = ResultsFolder::create(output)?;
        let text = serde_json::to_string_pretty(&json)?;
        written.push(folder.write_whole("strategies.json", text.as_bytes())?);
        let mut signals = Vec::new();
        for (name, result) in results.individual_results.iter() {
            signals.extend(result.signals.as_deref().map(|signals| (name, signals)));
        }
        if let Some(ensemble) = &results.ensemble_result {
            signals.push((ENSEMBLE, &ensemble.combined_signals));
        }
        written.push(folder.fill_whole("signals.csv", |path| signals_csv(path, data, &signals))?);
        let beside = (&benchmark, &notices[..]);
        written.extend(page::write(&folder, market, &table_rows, &records, beside, results)?);
    }
    say(&match args.format {
        Format::Table => table(&table_rows, &results.execution_stats, &written),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&json)?),
    });
    if args.format == Format::Table {
        // The others were told at the start.
        let new = &notices[market.told..];
        new.iter().for_each(|notice| say(&format!("\n{notice}\n")));
    }
    Ok(())
}

/// Those of the `fitted` strategies that know the market's first day, or later ones.
fn in_sample<'a>(
    fitted: &'a [(String, NaiveDate)],
    market: &StrategyMarket,
) -> Vec<&'a (String, NaiveDate)> {
    let first = market_date(market.data.row(0).end_s());
    fitted.iter().filter(|(_, until)| first <= *until).collect()
}

/// Every strategy that was run counts as a trial: whoever reads the table picks the best.
fn judge(
    records: &[(String, &BacktestRecord)],
    benchmark: &BacktestRecord,
    earlier: &[Trial],
    seed: u64,
) -> Vec<(String, Inference)> {
    let own: Vec<Trial> = records.iter().map(|(_, record)| Trial::new(None, record)).collect();
    let one = |(i, (name, record)): (usize, &(String, &BacktestRecord))| {
        // The one that is judged comes last.
        let mut own = own.clone();
        own[i..].rotate_left(1);
        let trials = Trials { own, earlier: earlier.to_vec() };
        let mut rng = stream(seed, Purpose::Inference, i);
        (name.clone(), Inference::new(record, benchmark, &trials, &mut rng))
    };
    records.par_iter().enumerate().map(one).collect()
}

fn row(
    name: &str,
    outcome: Result<PerformanceMetrics, Option<String>>,
    judged: &[(String, Inference)],
) -> StrategyRow {
    let inference = judged.iter().find(|(judged, _)| judged == name);
    StrategyRow {
        name: name.into(),
        outcome: outcome.map_err(Option::unwrap_or_default),
        inference: inference.map(|(_, inference)| inference.clone()),
    }
}

/// The results with what was judged, and what they were found on.
fn in_json(
    results: &RunResults,
    market: &StrategyMarket,
    judged: &[(String, Inference)],
    (held, notices): (&PerformanceMetrics, &[String]),
) -> Result<Value> {
    let mut json = serde_json::to_value(results)?;
    for (name, inference) in judged {
        let place = match name.as_str() {
            ENSEMBLE => &mut json["ensemble_result"],
            name => &mut json["individual_results"][name],
        };
        place["inference"] = serde_json::to_value(inference)?;
    }
    json["benchmark"] = json!({ "name": "buy-and-hold", "performance_metrics": held });
    json["data"] = market.described.clone();
    json["notices"] = json!(notices);
    Ok(json)
}

fn result_line(result: &StrategyResult) -> String {
    let name = &result.strategy_name;
    match &result.error {
        Some(error) => format!("{name}: failed, {error}"),
        None => format!("{name}: done in {:.2} s", result.execution_time),
    }
}
