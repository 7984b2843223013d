//! Does the learner find an edge where there is one, and none where there is none? It is trained
//! on every planted market and compared with the optimal reward.

mod ablation;
mod meta;
mod outcome;
mod rows;
mod table;
mod trial;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use chrono::NaiveDate;
use serde::Serialize;

use super::say;
use super::train::stop_on_signals;
use crate::cli::ValidateArgs;
use crate::compute::threads::pool;
use crate::config::{ConfigError, RunConfig, SyncMode};
use crate::market::Symbol;
use crate::report::folder::ResultsFolder;
use crate::report::{FolderLock, Progress};
use ablation::{AblationResult, DQN_2015, PARTS};
use outcome::RowOutcome;
use rows::{ROWS, ValidationRow};
use trial::ValidationTrial;

/// Written below `--output`.
const FILE: &str = "validation.json";
/// Seeds per row, in full and with `--quick`.
const SEEDS: [u64; 2] = [5, 2];
/// Of the DQN of 2015, at most.
const SEEDS_DQN_2015: u64 = 2;
/// Length of the planted bars.
const BAR_MINUTES: u32 = 30;
/// How often each bar of the single pass is learned from.
const REPLAY_RATIO: f64 = 4.0;

#[derive(Serialize)]
struct Validation<'a> {
    /// All bars were reached.
    reached: bool,
    rows: &'a [RowOutcome],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ablation: Vec<AblationResult>,
    cores: usize,
    wall_s: f64,
}

/// Settings that a row decides.
const OF_A_ROW: [&str; 4] = ["stocks", "seed", "data.source", "mode"];

/// Returns whether every threshold was met; None if the user stopped it.
pub(crate) fn validate(args: &ValidateArgs, progress: &Progress) -> Result<Option<bool>> {
    let start = Instant::now();
    let chosen = chosen(&args.rows, args.quick)?;
    let _lock = FolderLock::take(&args.output)?;
    let seeds = args.seeds.unwrap_or(SEEDS[usize::from(args.quick)]);
    check_settings(&args.set)?;
    let stop = stop_on_signals(false)?;
    let run = |rows: &[&ValidationRow], without: &[&str], seeds: u64| {
        outcomes(rows, without, seeds, args, progress, &stop)
    };
    let Some(mut outcomes) = run(&chosen, &[], seeds)? else { return Ok(stopped(progress)) };
    let compared: Vec<&ValidationRow> =
        chosen.iter().copied().filter(|row| row.is_tried_with_dqn_2015() && !args.quick).collect();
    if !compared.is_empty() {
        progress.line("the DQN of 2015");
        let seeds = seeds.min(SEEDS_DQN_2015);
        let Some(others) = run(&compared, &DQN_2015, seeds)? else { return Ok(stopped(progress)) };
        for other in others {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.row == other.row) {
                outcome.fraction_dqn_2015 = other.fraction;
            }
        }
    }
    let mut ablation = Vec::new();
    if args.ablate {
        let named = !args.rows.is_empty();
        let compared: Vec<&ValidationRow> =
            chosen.into_iter().filter(|row| named || row.is_ablated()).collect();
        for part in &PARTS {
            progress.line(&format!("without {}", part.name));
            let Some(without) = run(&compared, part.set, seeds)? else {
                return Ok(stopped(progress));
            };
            ablation.push(AblationResult::new(part, &without));
        }
    }
    let reached = outcomes.iter().all(|outcome| outcome.reached);
    let wall_s = start.elapsed().as_secs_f64();
    let cores = rayon::current_num_threads();
    let mut text = table::rows(&outcomes);
    if !ablation.is_empty() {
        text += &table::ablation(&outcomes, &ablation);
    }
    let validation = Validation { reached, rows: &outcomes, ablation, cores, wall_s };
    let json = serde_json::to_string_pretty(&validation)?;
    let folder = ResultsFolder::open(&args.output)?;
    let path = folder.write_whole(FILE, json.as_bytes())?;
    say(&format!("{text}\n{}", table::closing(&outcomes, seeds, cores, wall_s, &path)));
    Ok(Some(reached))
}

fn stopped(progress: &Progress) -> Option<bool> {
    progress.line("stopped; nothing was written");
    None
}

/// The rows are what they are called, whatever else is tried on them.
fn check_settings(set: &[String]) -> Result<()> {
    let key = |assignment: &str| assignment.split('=').next().unwrap_or("").trim().to_string();
    match set.iter().map(|assignment| key(assignment)).find(|key| OF_A_ROW.contains(&&**key)) {
        None => Ok(()),
        Some(key) => {
            let what = format!("each row sets {key} itself");
            Err(anyhow!(ConfigError::new("--set", what, "omit it; --rows chooses rows")))
        }
    }
}

/// The rows that are asked for; where none is named, all, or those of `--quick`.
fn chosen(names: &[String], quick: bool) -> Result<Vec<&'static ValidationRow>> {
    if names.is_empty() {
        return Ok(ROWS.iter().filter(|row| row.quick || !quick).collect());
    }
    let named = |name: &String| {
        ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
            let all: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            let what = format!("there is no row {name:?}");
            anyhow!(ConfigError::new("--rows", what, format!("use one of: {}", all.join(", "))))
        })
    };
    names.iter().map(named).collect()
}

/// Trains and evaluates every row with every seed, as many at a time as there are cores, each on a
/// thread of its own; without lockstep on one for every stock.
fn outcomes(
    rows: &[&ValidationRow],
    without: &[&str],
    seeds: u64,
    args: &ValidateArgs,
    progress: &Progress,
    stop: &AtomicBool,
) -> Result<Option<Vec<RowOutcome>>> {
    let mut jobs = VecDeque::new();
    let mut settings = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let asked = args.set.iter().map(String::as_str);
        let set: Vec<&str> = row.set.iter().chain(without).copied().chain(asked).collect();
        for seed in 1..=seeds {
            jobs.push_back((index, config(row, seed, &set, args.quick)?));
        }
        settings.push(set.into_iter().map(String::from).collect());
    }
    // The longest first, so that none is left over at the end for one core alone.
    jobs.make_contiguous().sort_by_key(|(index, config)| {
        let bars = 390 / config.data.bar_minutes.unwrap_or(BAR_MINUTES) as usize;
        std::cmp::Reverse(bars * rows[*index].stocks)
    });
    let count = jobs.len();
    let cache = tempfile::tempdir().context("cannot create a temporary folder")?;
    let (jobs, done) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| -> Result<()> {
        let work = || {
            let worked = work(rows, &jobs, &done, cache.path(), (count, progress), stop);
            // What one cannot do, the others need not finish.
            worked.inspect_err(|_| stop.store(true, Ordering::Relaxed))
        };
        let threads = (0..rayon::current_num_threads()).map(|_| scope.spawn(work));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow!("a training run of the validation panicked"))?
        })
    })?;
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let mut done = done.into_inner().map_err(|_| anyhow!("a training run panicked"))?;
    done.sort_by_key(|(index, trial): &(usize, ValidationTrial)| (*index, trial.seed));
    let of = |(index, settings): (usize, Vec<String>)| {
        let trials = done.iter().filter(|(i, _)| *i == index).map(|(_, trial)| trial.clone());
        RowOutcome::new(rows[index], settings, trials.collect())
    };
    Ok(Some(settings.into_iter().enumerate().map(of).collect()))
}

/// Takes jobs until none is left, or all are to stop.
fn work(
    rows: &[&ValidationRow],
    jobs: &Mutex<VecDeque<(usize, RunConfig)>>,
    done: &Mutex<Vec<(usize, ValidationTrial)>>,
    cache: &Path,
    (count, progress): (usize, &Progress),
    stop: &AtomicBool,
) -> Result<()> {
    let poisoned = || anyhow!("another training run panicked");
    loop {
        let Some((index, config)) = jobs.lock().map_err(|_| poisoned())?.pop_front() else {
            return Ok(());
        };
        let row = rows[index];
        let pool = pool(match config.sync {
            SyncMode::Lockstep => 1,
            // What is tried out there is that workers do not wait for each other.
            SyncMode::Async => row.stocks,
        });
        let trial = pool.build()?.install(|| trial::run(row, &config, cache, stop));
        let trial = trial.with_context(|| format!("{}, seed {}", row.name, config.seed))?;
        let Some(trial) = trial else { return Ok(()) };
        let mut done = done.lock().map_err(|_| poisoned())?;
        progress.line(&format!(
            "{:>3} of {count}  {}, seed {}: {:.2} bps per bar, oracle {:.2} ({:.0} s)",
            done.len() + 1,
            row.name,
            trial.seed,
            trial.trained_bps,
            trial.oracle_bps,
            trial.all_s
        ));
        done.push((index, trial));
    }
}

/// The settings of one training: the defaults, but for one pass over a long past, each bar of which
/// is learned from four times, and without a meta-policy, because it is the learner that is tried
/// out; and what the row or `set` says.
fn config(row: &ValidationRow, seed: u64, set: &[&str], quick: bool) -> Result<RunConfig> {
    let stocks: Result<Vec<Symbol>, _> =
        STOCKS[..row.stocks].iter().map(|name| name.parse()).collect();
    let first = |year| NaiveDate::from_ymd_opt(year, 1, 1).context("a year of the calendar");
    let [learn_from, learn_to, trade_to] =
        if quick { [1993, 2005, 2009] } else { [1990, 2005, 2013] };
    let last_before = |year| anyhow::Ok(first(year)?.pred_opt().context("a day before")?);
    let mut config = RunConfig {
        stocks: stocks.map_err(|e| anyhow!("{e}"))?,
        seed,
        start_date: first(learn_from)?,
        end_date: last_before(learn_to)?,
        eval_start: first(learn_to)?,
        eval_end: last_before(trade_to)?,
        episodes: 1,
        ..RunConfig::default()
    };
    // The defaults' prices were drawn while they were chosen; these were not looked at.
    config.data.source = Some(format!("synthetic:{}:{}", row.market, 2_000 + seed));
    config.data.bar_minutes = Some(BAR_MINUTES);
    config.learner.replay_ratio = REPLAY_RATIO;
    config.portfolio.meta_policy.enabled = false;
    for assignment in set {
        config = config.with_setting(assignment)?;
    }
    config.validate()?;
    Ok(config)
}

/// Names for as many stocks as a row may have.
const STOCKS: [&str; 10] = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH", "III", "JJJ"];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> &'static ValidationRow {
        chosen(&[name.into()], false).unwrap()[0]
    }

    fn settings(name: &str, quick: bool) -> RunConfig {
        let row = row(name);
        config(row, 3, row.set, quick).unwrap()
    }

    #[test]
    fn every_row_has_its_own_name_and_settings_that_hold() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..i].iter().all(|other| other.name != row.name), "{}", row.name);
            for quick in [false, true] {
                let config = settings(row.name, quick);
                assert_eq!(config.stocks.len(), row.stocks);
                assert!(row.measured(row.stocks).iter().all(|&stock| stock < row.stocks));
            }
        }
    }

    /// A row that is called after a number charges as many basis points per unit traded.
    #[test]
    fn a_row_charges_what_its_name_says() {
        let mut named = 0;
        for row in &ROWS {
            let bps = row.name.rsplit('_').next().and_then(|bps| bps.parse::<f64>().ok());
            let env = settings(row.name, false).env;
            assert_eq!(env.fee_bps + env.slippage_bps, bps.unwrap_or(2.0), "{}", row.name);
            named += usize::from(bps.is_some());
        }
        assert_eq!(named, 7);
    }

    #[test]
    fn a_row_may_have_a_period_of_its_own() {
        let config = settings("random_walk_passes", true);
        assert_eq!(config.train_period().to_string(), "2003-01-01 to 2004-12-31");
        assert_eq!((config.data.bar_minutes, config.episodes), (Some(60), 30));
        assert_eq!(settings("weak", true).train_period().to_string(), "1993-01-01 to 2004-12-31");
    }

    #[test]
    fn quick_leaves_rows_out_unless_they_are_named() {
        let names = |rows: Vec<&ValidationRow>| rows.iter().map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(names(chosen(&[], false).unwrap()), ROWS.map(|row| row.name));
        let quick = names(chosen(&[], true).unwrap());
        assert_eq!(quick.len(), 14);
        assert!(quick.contains(&"clock_8") && !quick.contains(&"weak"));
        assert_eq!(names(chosen(&["clock_5".into()], true).unwrap()), ["clock_5"]);
    }
}
