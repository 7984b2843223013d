//! Makes runs of a study, several at a time, each on a thread of its own.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::comm::heartbeat::PULSE;
use crate::comm::local::LocalComm;
use crate::compute::threads::pool;
use crate::config::{RunConfig, SyncMode};
use crate::eval::parts::DataPart;
use crate::market::options::doubts;
use crate::study::plan::{RunId, RunResult, StudyPlan};
use crate::train;
use crate::train::callbacks::{Callbacks, Ending};
use crate::train::run::{Checkpointing, RunData, Trained};
use crate::train::worker::Worker;

/// The files of a model, by name.
pub(super) type ModelFiles = Vec<(String, Vec<u8>)>;

/// Runs that are made one after another.
#[derive(Serialize, Deserialize)]
pub(super) struct RunChain {
    /// Not empty.
    pub(super) runs: Vec<RunId>,
    /// The model of the run before the first; empty where runs begin anew.
    pub(super) begins_with: ModelFiles,
}

/// Makes runs of one rank.
#[derive(Clone, Copy)]
pub(super) struct Runner<'a> {
    pub(super) plan: &'a StudyPlan,
    pub(super) data: RunData<'a>,
    /// Runs at a time.
    pub(super) jobs: usize,
    pub(super) stop: &'a AtomicBool,
}

/// A rank whose watch sees it move is not taken for hung.
struct Moving;

impl Callbacks for Moving {
    fn on_bar(&mut self, _workers: &[Worker]) {
        PULSE.work();
    }
}

impl Runner<'_> {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Makes the runs of these chains. `keep` is told of each run as soon as it is made; fewer are
    /// made if the user wants no more.
    pub(super) fn make(
        &self,
        chains: Vec<RunChain>,
        keep: &mut dyn FnMut(RunResult) -> Result<()>,
    ) -> Result<()> {
        let threads = self.jobs.min(chains.len());
        let queue = Mutex::new(VecDeque::from(chains));
        let failed = AtomicBool::new(false);
        let (sender, results) = mpsc::channel::<Result<RunResult>>();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let sender = sender.clone();
                let (queue, failed) = (&queue, &failed);
                scope.spawn(move || self.work(queue, failed, &sender));
            }
            drop(sender);
            let mut outcome = Ok(());
            for result in results {
                let kept = result.and_then(&mut *keep);
                if kept.is_err() {
                    failed.store(true, Ordering::Relaxed);
                }
                outcome = outcome.and(kept);
            }
            outcome
        })
    }

    /// Takes chains until none is left, one fails, or the user wants no more.
    fn work(
        &self,
        queue: &Mutex<VecDeque<RunChain>>,
        failed: &AtomicBool,
        results: &mpsc::Sender<Result<RunResult>>,
    ) {
        let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
        while let Some(RunChain { runs, begins_with: mut model }) = next() {
            for id in runs {
                if self.is_stopped() || failed.load(Ordering::Relaxed) {
                    return;
                }
                let made = self.on_a_pool(id, &model);
                let Some(made) = made.transpose() else { return };
                model = made.as_ref().map(|made| made.model.clone()).unwrap_or_default();
                if results.send(made).is_err() {
                    return;
                }
            }
        }
    }

    /// On threads of its own: one in lockstep, else one for every stock, for stocks do not wait for
    /// each other. None where the user stopped it.
    fn on_a_pool(&self, id: RunId, begins_with: &ModelFiles) -> Result<Option<RunResult>> {
        let config = self.plan.config(id)?;
        let threads = match config.sync {
            SyncMode::Lockstep => 1,
            SyncMode::Async => config.stocks.len(),
        };
        pool(threads).build()?.install(|| self.one(id, config, begins_with))
    }

    fn one(
        &self,
        id: RunId,
        mut config: RunConfig,
        begins_with: &ModelFiles,
    ) -> Result<Option<RunResult>> {
        let place = tempfile::tempdir().context("cannot create a temporary folder")?;
        if !begins_with.is_empty() {
            for (name, bytes) in begins_with {
                std::fs::write(place.path().join(name), bytes)?;
            }
            config.init_from = Some(place.path().into());
        }
        let what = || format!("fold {}, seed {}", id.fold + 1, config.seed);
        let stop = self.stop;
        let trained =
            train::run(&LocalComm, &config, self.data, Checkpointing::Off, stop, &mut Moving)
                .with_context(what)?;
        if trained.ending == Ending::Stopped {
            return Ok(None);
        }
        let keeps_model = self.plan.study.warm_start;
        let by_portfolio = self.plan.varies_portfolio();
        result(id, trained, by_portfolio, keeps_model.then(|| place.path())).map(Some)
    }
}

/// What is kept of a run. `by_portfolio`: whether the portfolio's Sharpe ratio on validation days is
/// the one that counts. `place`: where its model can be written, if it is needed.
fn result(
    id: RunId,
    mut trained: Trained,
    by_portfolio: bool,
    place: Option<&Path>,
) -> Result<RunResult> {
    let parts = trained.parts(&LocalComm)?;
    let validation = if by_portfolio {
        trained.portfolio_on_validation(&LocalComm)?.and_then(|found| found.sharpe)
    } else {
        let found = parts.iter().find(|part| part.part == DataPart::Validation);
        found.and_then(|part| part.dqn.sharpe)
    };
    let model = match place {
        None => Vec::new(),
        Some(place) => {
            // What it began with was of other days.
            trained.config = RunConfig { init_from: None, ..trained.config.clone() };
            trained.save(place)?;
            files(place)?
        }
    };
    let doubts = doubts(trained.train.note.reports.iter().chain(&trained.eval.note.reports));
    let evaluated = trained.latest.ok_or_else(|| anyhow!("rank 0 evaluates"))?.evaluated;
    Ok(RunResult {
        id,
        validation,
        record: evaluated.record,
        benchmark: evaluated.benchmark,
        metrics: evaluated.metrics,
        benchmark_metrics: evaluated.benchmark_metrics,
        parts,
        contributions: evaluated.contributions,
        is_believed: trained.model.belief.share > 0.0,
        doubts,
        model,
    })
}

fn files(place: &Path) -> Result<ModelFiles> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push((name, std::fs::read(entry.path())?));
    }
    found.sort();
    Ok(found)
}
