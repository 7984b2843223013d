//! `dqn-trader study`: what is trained is spread over threads and ranks; rank 0 keeps what is done,
//! and puts it together.

mod runs;
mod store;

use anyhow::{Result, anyhow};
use chrono::Days;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::train::stop_on_signals;
use super::{CommandContext, in_sample_notice, is_in_sample, say};
use crate::cli::{GlobalArgs, StudyArgs};
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::config::{RunConfig, StudyConfig};
use crate::errors::message;
use crate::eval::metrics::BacktestRecord;
use crate::market::Period;
use crate::market::options::LoadOptions;
use crate::report::folder::ResultsFolder;
use crate::report::ledger::Ledger;
use crate::report::study::{StudyReport, closing};
use crate::report::{FolderLock, Progress};
use crate::rl::rng::{Purpose, stream};
use crate::source::fingerprint;
use crate::study::folds::folds;
use crate::study::outcome::StudyOutcome;
use crate::study::plan::{RunId, RunResult, StudyPlan};
use crate::study::settings::settings;
use crate::train::callbacks::Ending;
use crate::train::run::RunData;
use crate::wording::counted;
use runs::{RunChain, Runner};
use store::RunStore;

/// What rank 0 tells all ranks to do next.
#[derive(Serialize, Deserialize)]
enum Round {
    /// Make these runs: rank r of n every n-th chain, from the r-th on.
    Make(Vec<RunChain>),
    /// All runs are made, or the user wants no more.
    End(bool),
}

/// Makes the runs of a study that are not made yet, and judges them together.
pub(crate) fn study(
    comm: &dyn Comm,
    args: &StudyArgs,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<Ending> {
    let config = agreed(comm, args.resolve().map_err(Into::into))?;
    let output = config.output.clone();
    let study = config.study.clone().unwrap_or_default();
    let setting = CommandContext::new(comm, RunConfig { study: None, ..config }, global, progress)?;
    let locked = match comm.is_root() {
        true => FolderLock::take(&output).map(Some),
        false => Ok(None),
    };
    let _lock = agree(comm, locked)?;
    let plan = agreed(comm, plan(&setting.config, study))?;
    let stop = stop_on_signals(comm.size() > 1)?;
    let opened = match comm.is_root() {
        true => bars_digest(&plan.base, setting.data())
            .and_then(|bars| open(&plan, bars, args.train.resume, &setting.progress))
            .map(Some),
        false => Ok(None),
    };
    let mut store = agreed(comm, opened)?;
    let jobs = args.jobs.unwrap_or_else(rayon::current_num_threads);
    let runner = Runner { plan: &plan, data: setting.data(), jobs, stop: &stop };
    let ending = make_all(comm, &runner, store.as_mut(), &setting.progress)?;
    setting.progress.finish();
    let Some(store) = store else { return Ok(ending) };
    if ending == Ending::Stopped {
        let output = plan.base.output.display();
        say(&format!("stopped; to go on: dqn-trader study --output {output} --resume\n"));
        return Ok(ending);
    }
    finish(&plan, &store, setting.notices.clone(), &setting.ledger)?;
    Ok(ending)
}

/// All ranks fail when one does, with all that it says.
fn agreed<T>(comm: &dyn Comm, mine: Result<T>) -> Result<T> {
    Ok(agree(comm, mine.map_err(|error| message(&error)))?)
}

/// The runs that are asked for; every setting is tried on the first fold, so that one that cannot be
/// used is named before anything is trained.
fn plan(base: &RunConfig, study: StudyConfig) -> Result<StudyPlan> {
    let whole = Period { start: base.start_date, end: base.eval_end };
    let mut rng = stream(base.seed, Purpose::Inference, 2);
    let (folds, settings) = (folds(&study, whole)?, settings(&study, &mut rng)?);
    let plan = StudyPlan { base: base.clone(), study, folds, settings };
    for setting in 0..plan.settings.len() {
        plan.config(RunId { fold: 0, seed: 0, setting })?;
    }
    Ok(plan)
}

/// Of names, sizes and versions of all files of the study's bars, with a year before for warm-ups.
fn bars_digest(config: &RunConfig, data: RunData<'_>) -> Result<String> {
    const YEAR: Days = Days::new(366);
    let start = config.start_date.checked_sub_days(YEAR).unwrap_or(config.start_date);
    let period = Period { start, end: config.eval_end };
    let columns = config.features.columns.clone();
    let options = LoadOptions { columns, ..config.data.load_options(None) };
    let one = |stock| fingerprint(data.source, stock, &period, &options);
    let all = config.stocks.par_iter().map(one).collect::<Result<Vec<String>, _>>()?;
    Ok(all.join(" "))
}

fn open(plan: &StudyPlan, bars: String, resume: bool, progress: &Progress) -> Result<RunStore> {
    let output = &plan.base.output;
    let folder = match resume {
        true => ResultsFolder::open(output)?,
        false => ResultsFolder::create(output)?,
    };
    if let Some(notice) = folder.notice() {
        progress.line(notice);
    }
    let saved = RunConfig { study: Some(plan.study.clone()), ..plan.base.clone() };
    folder.write_whole("config.toml", toml::to_string(&saved)?.as_bytes())?;
    let store = RunStore::open(folder, plan, bars)?;
    let (folds, settings, seeds) = (plan.folds.len(), plan.settings.len(), plan.seeds());
    progress.line(&format!(
        "study: folds {folds}, settings {settings}, seeds {seeds}; runs there already: {}",
        store.done().len()
    ));
    if store.stale() > 0 {
        let stale = counted(store.stale(), "run");
        progress.line(&format!("{stale} there of other settings or bars: made again"));
    }
    Ok(store)
}

/// Round after round, until no run is due. In one process a round is all that is due, and each run
/// is kept as soon as it is made; over ranks every rank makes as many as it can at a time.
fn make_all(
    comm: &dyn Comm,
    runner: &Runner<'_>,
    mut store: Option<&mut RunStore>,
    progress: &Progress,
) -> Result<Ending> {
    let is_alone = comm.size() == 1;
    loop {
        let mut message = Vec::new();
        if let Some(store) = &store {
            let due = runner.plan.due(&store.done());
            let round = if runner.is_stopped() {
                Round::End(true)
            } else if due.is_empty() {
                Round::End(false)
            } else {
                let most = if is_alone { due.len() } else { comm.size() * runner.jobs };
                let with_model = |runs: Vec<RunId>| {
                    let begins_with = store.model_before(runs[0]);
                    RunChain { runs, begins_with }
                };
                Round::Make(due.into_iter().take(most).map(with_model).collect())
            };
            message = postcard::to_stdvec(&round)?;
        }
        comm.broadcast_bytes(&mut message);
        let chains = match postcard::from_bytes(&message)? {
            Round::End(true) => return Ok(Ending::Stopped),
            Round::End(false) => return Ok(Ending::EpisodeDone),
            Round::Make(chains) => chains,
        };
        let mine: Vec<_> = chains.into_iter().skip(comm.rank()).step_by(comm.size()).collect();
        if is_alone {
            let store = store.as_mut().expect("rank 0 has it");
            runner.make(mine, &mut |result| store.keep(result, progress))?;
            continue;
        }
        let mut made = Vec::new();
        let outcome = runner.make(mine, &mut |result| {
            made.push(result);
            Ok(())
        });
        agreed(comm, outcome)?;
        let gathered = comm.gather_bytes(&postcard::to_stdvec(&made)?);
        let kept = match &mut store {
            Some(store) => keep_all(store, &gathered, progress),
            None => Ok(()),
        };
        agreed(comm, kept)?;
    }
}

fn keep_all(store: &mut RunStore, gathered: &[Vec<u8>], progress: &Progress) -> Result<()> {
    for bytes in gathered {
        let results: Vec<RunResult> =
            postcard::from_bytes(bytes).map_err(|_| anyhow!("a rank sent a damaged message"))?;
        for result in results {
            store.keep(result, progress)?;
        }
    }
    Ok(())
}

/// Judges, writes and prints.
fn finish(plan: &StudyPlan, store: &RunStore, notices: Vec<String>, ledger: &Ledger) -> Result<()> {
    let mut rng = stream(plan.base.seed, Purpose::Inference, 0);
    let earlier = |record: &BacktestRecord| ledger.trials(record);
    // The first fold trades the earliest days; a model to begin with may know them.
    let first = plan.config(RunId { fold: 0, seed: 0, setting: 0 })?;
    let mut notices = notices;
    for doubt in store.done().iter().flat_map(|run| &run.doubts) {
        if !notices.contains(doubt) {
            notices.push(doubt.clone());
        }
    }
    notices.extend(in_sample_notice(&first));
    let (mut outcome, accounts) =
        StudyOutcome::new(plan, &store.done(), notices, &earlier, &mut rng);
    outcome.inference = outcome.inference.in_sample_if(is_in_sample(&first));
    let what = format!("study {}", plan.base.output.display());
    ledger.note([(&accounts.mean, &outcome.inference.trials.own[..], what)])?;
    let report = StudyReport { plan, outcome: &outcome, accounts: &accounts, runs: &store.done() };
    let written = report.write(store.folder())?;
    say(&closing(&outcome, &written));
    outcome.notices.iter().for_each(|notice| say(&format!("\n{notice}\n")));
    Ok(())
}
