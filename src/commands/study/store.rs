//! The runs of a study that are made, on disk: a killed study goes on where it was.

use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::config::StudyConfig;
use crate::files::{Durability, write_whole};
use crate::report::Progress;
use crate::report::folder::ResultsFolder;
use crate::report::format::{growth, short_duration};
use crate::study::plan::{RunId, RunResult, StudyPlan};

/// Below the study's folder.
const RUNS: &str = "runs";
/// Raised when the results of an older program cannot be read any more, or would differ.
const VERSION: u32 = 3;

/// On rank 0.
pub(crate) struct RunStore {
    folder: ResultsFolder,
    plan: StudyPlan,
    /// What tells the bars of the study from others.
    bars: String,
    results: Vec<RunResult>,
    /// How many were there that are of other settings or bars.
    stale: usize,
    started: std::time::Instant,
    made: usize,
}

impl RunStore {
    /// With the results of an earlier start of the same study; what belongs to other settings or
    /// bars is passed over.
    pub(crate) fn open(folder: ResultsFolder, plan: &StudyPlan, bars: String) -> Result<RunStore> {
        let place = folder.path(RUNS);
        std::fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
        let started = std::time::Instant::now();
        let (plan_of_store, results) = (plan.clone(), Vec::new());
        let mut store =
            RunStore { folder, plan: plan_of_store, bars, results, stale: 0, started, made: 0 };
        for entry in std::fs::read_dir(&place).with_context(|| place.display().to_string())? {
            let Ok(bytes) = std::fs::read(entry?.path()) else { continue };
            let Ok((digest, result)) = postcard::from_bytes::<(String, RunResult)>(&bytes) else {
                continue;
            };
            let RunId { fold, seed, setting } = result.id;
            let known =
                fold < plan.folds.len() && seed < plan.seeds() && setting < plan.settings.len();
            if known && digest == store.digest(result.id)? {
                store.results.push(result);
            } else {
                store.stale += 1;
            }
        }
        store.results.sort_by_key(|result| result.id);
        Ok(store)
    }

    pub(crate) fn folder(&self) -> &ResultsFolder {
        &self.folder
    }

    pub(crate) fn stale(&self) -> usize {
        self.stale
    }

    pub(crate) fn done(&self) -> Vec<&RunResult> {
        self.results.iter().collect()
    }

    /// The model with which a run begins: that of the fold before, if folds follow one another.
    pub(crate) fn model_before(&self, id: RunId) -> Vec<(String, Vec<u8>)> {
        let before = id.fold.checked_sub(1).filter(|_| self.plan.study.warm_start);
        let before = before.map(|fold| RunId { fold, ..id });
        let found = self.results.iter().find(|result| Some(result.id) == before);
        found.map(|result| result.model.clone()).unwrap_or_default()
    }

    /// Writes a result, and tells how far the study is.
    pub(crate) fn keep(&mut self, result: RunResult, progress: &Progress) -> Result<()> {
        let path = self.path(result.id);
        let bytes = postcard::to_stdvec(&(self.digest(result.id)?, &result))?;
        write_whole(&path, Durability::Synced, |beside| std::fs::write(beside, &bytes))
            .with_context(|| path.display().to_string())?;
        self.made += 1;
        let (RunId { fold, seed, setting }, total) = (result.id, self.total());
        self.results.push(result);
        self.results.sort_by_key(|result| result.id);
        let found = self.results.iter().find(|one| one.id == RunId { fold, seed, setting });
        let Some(found) = found else { return Ok(()) };
        let left = total.saturating_sub(self.results.len());
        let per_run = self.started.elapsed() / self.made as u32;
        progress.line(&format!(
            "{:>3} of {total}  fold {}, seed {}{}: {}, buy and hold {}; about {} left",
            self.results.len(),
            fold + 1,
            self.plan.base.seed.wrapping_add(seed as u64),
            if self.plan.settings.len() > 1 {
                format!(", setting {}", setting + 1)
            } else {
                String::new()
            },
            growth(found.metrics.portfolio_return),
            growth(found.benchmark_metrics.portfolio_return),
            short_duration(per_run * left as u32),
        ));
        Ok(())
    }

    /// Runs of the study; with pruning as many at most.
    fn total(&self) -> usize {
        self.plan.folds.len() * self.plan.settings.len() * self.plan.seeds()
    }

    fn path(&self, id: RunId) -> PathBuf {
        let RunId { fold, seed, setting } = id;
        self.folder.path(RUNS).join(format!("fold{fold}-seed{seed}-setting{setting}"))
    }

    /// Of all that decides a run.
    fn digest(&self, id: RunId) -> Result<String> {
        let config = self.plan.config(id)?.deciding_results();
        let chain = StudyConfig { seeds: 1, ..self.plan.study.clone() };
        let chain = chain.warm_start.then_some((chain, self.plan.base.start_date));
        let text = serde_json::to_vec(&(VERSION, &config, chain, &self.bars))?;
        Ok(Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}
