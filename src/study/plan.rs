//! Every run of a study, numbered, and which of them are due.

use serde::{Deserialize, Serialize};

use super::folds::Fold;
use crate::config::{ConfigError, RunConfig, StudyConfig};
use crate::eval::contributions::Contributions;
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::eval::parts::PartResult;

/// One run of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId {
    /// Number of the fold, from 0 on.
    pub fold: usize,
    /// Number of the seed, from 0 on.
    pub seed: usize,
    /// Number of the setting, from 0 on.
    pub setting: usize,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Which.
    pub id: RunId,
    /// Sharpe ratio on the fold's validation days, of the DQN alone, or of the portfolio where its
    /// settings vary; None where it did not trade, or no days are held back. By it a setting is
    /// chosen.
    pub validation: Option<f64>,
    /// What the portfolio traded in the fold's test days.
    pub record: BacktestRecord,
    /// Buy-and-hold over the same bars.
    pub benchmark: BacktestRecord,
    /// Of `record`.
    pub metrics: Metrics,
    /// Of `benchmark`.
    pub benchmark_metrics: Metrics,
    /// The DQN alone in training, validation and test.
    pub parts: Vec<PartResult>,
    /// Profit by expert and stock.
    pub contributions: Contributions,
    /// Whether validation believed the learned values.
    pub is_believed: bool,
    /// Doubts about the bars, a line each.
    pub doubts: Vec<String>,
    /// The model's files by name, where the next fold begins with it.
    pub model: Vec<(String, Vec<u8>)>,
}

/// All runs of a study.
#[derive(Clone, Debug)]
pub struct StudyPlan {
    /// Settings of every run before those that vary.
    pub base: RunConfig,
    /// Of the study.
    pub study: StudyConfig,
    /// In order of time.
    pub folds: Vec<Fold>,
    /// As assignments.
    pub settings: Vec<Vec<String>>,
}

impl StudyPlan {
    /// The settings of a run; it is evaluated once, at its end.
    ///
    /// Errors: a varied setting cannot be used.
    pub fn config(&self, id: RunId) -> Result<RunConfig, ConfigError> {
        let mut config = RunConfig { study: None, ..self.base.clone() };
        for assignment in &self.settings[id.setting] {
            config = config.with_setting(assignment)?;
        }
        let Fold { train, test } = self.folds[id.fold];
        (config.start_date, config.end_date) = (train.start, train.end);
        (config.eval_start, config.eval_end) = (test.start, test.end);
        config.seed = self.base.seed.wrapping_add(id.seed as u64);
        config.evaluation.every_episodes = config.episodes;
        config.validate()?;
        Ok(config)
    }

    /// Whether settings of the portfolio vary, about which the DQN alone says nothing.
    pub fn varies_portfolio(&self) -> bool {
        self.settings.iter().flatten().any(|assignment| assignment.trim().starts_with("portfolio."))
    }

    /// Seeds per fold and setting.
    pub fn seeds(&self) -> usize {
        self.study.seeds as usize
    }

    /// The runs that are due, given those that are `done`, as chains of which each must be made in
    /// order; nothing when the study is complete.
    pub fn due(&self, done: &[&RunResult]) -> Vec<Vec<RunId>> {
        let is_done = |id: &RunId| done.iter().any(|result| result.id == *id);
        if self.study.warm_start {
            let chain = |(setting, seed): (usize, usize)| -> Vec<RunId> {
                let all = (0..self.folds.len()).map(|fold| RunId { fold, seed, setting });
                all.skip_while(is_done).collect()
            };
            let pairs = (0..self.settings.len())
                .flat_map(|setting| (0..self.seeds()).map(move |seed| (setting, seed)));
            return pairs.map(chain).filter(|chain| !chain.is_empty()).collect();
        }
        let mut due = Vec::new();
        for fold in 0..self.folds.len() {
            for (seeds, settings) in self.rungs(fold, done) {
                let ids = seeds.clone().flat_map(|seed| {
                    settings.iter().map(move |&setting| RunId { fold, seed, setting })
                });
                let missing: Vec<RunId> = ids.filter(|id| !is_done(id)).collect();
                if !missing.is_empty() {
                    due.extend(missing.into_iter().map(|id| vec![id]));
                    // What is next depends on these.
                    break;
                }
            }
        }
        due
    }

    /// The settings that are still in the running in a fold, and by which it is traded.
    pub fn survivors(&self, fold: usize, done: &[&RunResult]) -> Vec<usize> {
        let last = self.rungs(fold, done).pop();
        last.map_or_else(|| (0..self.settings.len()).collect(), |(_, settings)| settings)
    }

    /// The setting that did best on the validation days of a fold, by the mean over seeds: the first
    /// of equals.
    pub fn chosen(&self, fold: usize, done: &[&RunResult]) -> usize {
        let survivors = self.survivors(fold, done);
        let best = ranked(&survivors, fold, 0..self.seeds(), done);
        best[0]
    }

    /// Rung after rung: which seeds are run, with which settings. Without pruning there is one. With
    /// it, the first rung has one seed, each further one as many more as there were, and the better
    /// half of the settings; the list ends where results are missing.
    fn rungs(&self, fold: usize, done: &[&RunResult]) -> Vec<(std::ops::Range<usize>, Vec<usize>)> {
        let mut settings: Vec<usize> = (0..self.settings.len()).collect();
        if !self.study.prune {
            return vec![(0..self.seeds(), settings)];
        }
        let mut rungs = Vec::new();
        let mut first = 0;
        while first < self.seeds() {
            let next = (2 * first).max(1).min(self.seeds());
            rungs.push((first..next, settings.clone()));
            let complete = settings.iter().all(|&setting| {
                (0..next).all(|seed| {
                    done.iter().any(|result| result.id == RunId { fold, seed, setting })
                })
            });
            if !complete {
                break;
            }
            if next < self.seeds() {
                let mut better = ranked(&settings, fold, 0..next, done);
                better.truncate(settings.len().div_ceil(2));
                better.sort_unstable();
                settings = better;
            }
            first = next;
        }
        rungs
    }
}

/// The settings from the best to the worst by the mean over seeds of their validation score; one
/// that is not known counts as 0, and equals keep their order.
fn ranked(
    settings: &[usize],
    fold: usize,
    seeds: std::ops::Range<usize>,
    done: &[&RunResult],
) -> Vec<usize> {
    let score = |setting: usize| -> f64 {
        let of_seed = |seed: usize| {
            let id = RunId { fold, seed, setting };
            done.iter().find(|result| result.id == id).and_then(|result| result.validation)
        };
        let count = seeds.len().max(1) as f64;
        seeds.clone().map(|seed| of_seed(seed).unwrap_or(0.0)).sum::<f64>() / count
    };
    let mut scored: Vec<(f64, usize)> =
        settings.iter().map(|&setting| (score(setting), setting)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, setting)| setting).collect()
}
