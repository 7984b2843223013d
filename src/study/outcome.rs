//! What a study found, as `study.json` has it.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::account::{mean_account, stitched};
use super::folds::Fold;
use super::plan::{RunId, RunResult, StudyPlan};
use super::statistics::RunsEstimate;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::eval::parts::DataPart;
use crate::market::Symbol;

/// Several runs of one setting, or of the ones that were chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunsSummary {
    /// What differs from the other settings; empty for the chosen ones, and where nothing varies.
    pub setting: Vec<String>,
    /// Runs that were made.
    pub runs: usize,
    /// Runs whose learned values validation believed.
    pub believed: usize,
    /// Return of the portfolio in a fold's test days.
    pub test_return: Option<RunsEstimate>,
    /// Sharpe ratio of the same; 0 where it is undefined.
    pub sharpe: Option<RunsEstimate>,
    /// Return of the DQN alone per day, in hundredths of a percent, in training, validation and
    /// test; None where a part has no days.
    pub dqn_bps_per_day: [Option<RunsEstimate>; 3],
}

/// One fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldSummary {
    /// Its periods.
    #[serde(flatten)]
    pub fold: Fold,
    /// Number of the setting that was chosen on its validation days.
    pub chosen: usize,
    /// Mean return of the chosen setting's portfolios over seeds, and that of buy-and-hold.
    pub test_return: f64,
    /// Of buy-and-hold.
    pub benchmark_return: f64,
    /// Smallest and largest return over seeds.
    pub range: [f64; 2],
}

/// Profit of an expert, or in a stock, over all folds; mean over seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfitPart {
    /// Expert or stock.
    pub name: String,
    /// In currency; every fold begins with the initial cash.
    pub profit: f64,
}

/// A whole study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyOutcome {
    /// Traded together.
    pub stocks: Vec<Symbol>,
    /// The settings that were chosen fold by fold.
    pub chosen: RunsSummary,
    /// Every setting by itself, in their order. Who picks one of these after seeing its figures has
    /// chosen among all.
    pub settings: Vec<RunsSummary>,
    /// In order of time.
    pub folds: Vec<FoldSummary>,
    /// The account that is divided equally among the seeds, through all folds.
    pub eval: Metrics,
    /// Buy-and-hold through all folds.
    pub benchmark: Metrics,
    /// Return of each seed's account through all folds.
    pub seed_returns: Vec<f64>,
    /// Whether `eval` is more than luck.
    pub inference: Inference,
    /// By expert.
    pub experts: Vec<ProfitPart>,
    /// By stock.
    pub by_stock: Vec<ProfitPart>,
    /// What a reader must know before believing a figure.
    pub notices: Vec<String>,
}

/// The accounts behind a [`StudyOutcome`].
#[derive(Clone, Debug)]
pub struct StudyAccounts {
    /// Of each seed, with the settings that were chosen.
    pub seeds: Vec<BacktestRecord>,
    /// Their mean.
    pub mean: BacktestRecord,
    /// Buy-and-hold.
    pub benchmark: BacktestRecord,
}

impl StudyOutcome {
    /// Of a study whose runs are `done`: the results of every run that [`StudyPlan::due`] asked for.
    /// `earlier` knows what was judged on the bars of an account before.
    ///
    /// # Panics
    /// If one is missing.
    pub fn new(
        plan: &StudyPlan,
        done: &[&RunResult],
        notices: Vec<String>,
        earlier: &dyn Fn(&BacktestRecord) -> Vec<Trial>,
        rng: &mut ChaCha8Rng,
    ) -> (StudyOutcome, StudyAccounts) {
        let of = |id: RunId| -> &RunResult {
            done.iter().find(|result| result.id == id).expect("every due run is done")
        };
        let folds = 0..plan.folds.len();
        let chosen: Vec<usize> = folds.clone().map(|fold| plan.chosen(fold, done)).collect();
        let chosen_run = |fold: usize, seed: usize| of(RunId { fold, seed, setting: chosen[fold] });
        let account = |seed: usize, pick: fn(&RunResult) -> &BacktestRecord| {
            let records: Vec<_> = folds.clone().map(|fold| pick(chosen_run(fold, seed))).collect();
            stitched(&records)
        };
        let seeds: Vec<BacktestRecord> =
            (0..plan.seeds()).map(|seed| account(seed, |run| &run.record)).collect();
        let benchmark = account(0, |run| &run.benchmark);
        let mean = mean_account(&seeds);
        // Nobody chose among several: what was chosen was chosen on validation days.
        let trials = Trials { own: vec![Trial::new(None, &mean)], earlier: earlier(&mean) };
        let inference = Inference::new(&mean, &benchmark, &trials, rng);
        let of_fold = |fold: usize| -> Vec<&RunResult> {
            (0..plan.seeds()).map(|seed| chosen_run(fold, seed)).collect()
        };
        let of_chosen: Vec<Vec<&RunResult>> = folds.clone().map(of_fold).collect();
        let settings = plan.settings.iter().enumerate().map(|(setting, assignments)| {
            let of_fold = |fold: usize| {
                let is_its = |run: &&&RunResult| run.id.fold == fold && run.id.setting == setting;
                let mut made: Vec<&RunResult> = done.iter().filter(is_its).copied().collect();
                made.sort_by_key(|run| run.id);
                made
            };
            let its: Vec<Vec<&RunResult>> = folds.clone().map(of_fold).collect();
            summary(assignments.clone(), &its, rng)
        });
        let settings: Vec<RunsSummary> = settings.collect();
        let fold_summary = |(fold, runs): (usize, &Vec<&RunResult>)| {
            let returns: Vec<f64> = runs.iter().map(|run| run.metrics.portfolio_return).collect();
            FoldSummary {
                fold: plan.folds[fold],
                chosen: chosen[fold],
                test_return: returns.iter().sum::<f64>() / returns.len() as f64,
                benchmark_return: runs[0].benchmark_metrics.portfolio_return,
                range: [
                    returns.iter().copied().fold(f64::INFINITY, f64::min),
                    returns.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                ],
            }
        };
        let all: Vec<&RunResult> = of_chosen.concat();
        let outcome = StudyOutcome {
            stocks: mean.stocks.clone(),
            chosen: summary(Vec::new(), &of_chosen, rng),
            settings,
            folds: of_chosen.iter().enumerate().map(fold_summary).collect(),
            eval: Metrics::from_record(&mean),
            benchmark: Metrics::from_record(&benchmark),
            seed_returns: seeds
                .iter()
                .map(|one| Metrics::from_record(one).portfolio_return)
                .collect(),
            inference,
            experts: profits(&all, plan.seeds(), |run| {
                let experts = run.contributions.experts.iter();
                experts.map(|expert| (expert.name.clone(), expert.profit)).collect()
            }),
            by_stock: profits(&all, plan.seeds(), |run| {
                let stocks = run.contributions.stocks.iter();
                stocks.map(|stock| (stock.stock.to_string(), stock.profit)).collect()
            }),
            notices,
        };
        (outcome, StudyAccounts { seeds, mean, benchmark })
    }
}

/// `runs` `[fold][seed]`.
fn summary(setting: Vec<String>, runs: &[Vec<&RunResult>], rng: &mut ChaCha8Rng) -> RunsSummary {
    let mut estimate = |of: &dyn Fn(&RunResult) -> Option<f64>| {
        let strata: Vec<Vec<f64>> =
            runs.iter().map(|fold| fold.iter().filter_map(|run| of(run)).collect()).collect();
        RunsEstimate::of(&strata, rng)
    };
    let per_day = |part: DataPart| {
        move |run: &RunResult| {
            let found = run.parts.iter().find(|found| found.part == part)?;
            let days = (found.end - found.start).num_days() as f64 * 252.0 / 365.25;
            Some(1e4 * found.dqn.portfolio_return.max(-0.999_999).ln_1p() / days.max(1.0))
        }
    };
    let parts = [DataPart::Training, DataPart::Validation, DataPart::Evaluation];
    RunsSummary {
        setting,
        runs: runs.iter().map(Vec::len).sum(),
        believed: runs.iter().flatten().filter(|run| run.is_believed).count(),
        test_return: estimate(&|run| Some(run.metrics.portfolio_return)),
        sharpe: estimate(&|run| Some(run.metrics.sharpe.unwrap_or(0.0))),
        dqn_bps_per_day: parts.map(|part| estimate(&per_day(part))),
    }
}

/// Sums over folds, means over seeds, in the order in which names first appear.
fn profits(
    runs: &[&RunResult],
    seeds: usize,
    of: impl Fn(&RunResult) -> Vec<(String, f64)>,
) -> Vec<ProfitPart> {
    let mut parts: Vec<ProfitPart> = Vec::new();
    for (name, profit) in runs.iter().flat_map(|run| of(run)) {
        let share = profit / seeds as f64;
        match parts.iter_mut().find(|part| part.name == name) {
            Some(part) => part.profit += share,
            None => parts.push(ProfitPart { name, profit: share }),
        }
    }
    parts
}
