//! Optimises a strategy's parameters, and evaluates them on bars that the search has not seen.
//!
//! ```text
//! rows   |----- 0 -----|-- 1 --|-- 2 --|-- 3 --|
//! fold 1 |   chosen    | traded|
//! fold 2 |       chosen        | traded|
//! fold 3 |           chosen            | traded|
//! ```
//!
//! In each fold the parameter set with the highest Sharpe ratio, after costs, over all earlier rows
//! is chosen, and trades the fold's rows. The folds together form one account, the walk-forward:
//! what this selection would have earned out of sample. The results also contain the set that is
//! best over all rows, with its Sharpe ratio deflated by the number of sets that were tried.

mod space;
mod sweep;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub use space::{ParameterRange, Search};
pub use sweep::{PlanShare, SetResult};

use super::RunnerError;
use super::results::PerformanceMetrics;
use super::work::backtest_signals;
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::eval::backtest::buy_and_hold;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::eval::metrics::{BacktestRecord, daily_metrics};
use crate::market::MarketData;
use crate::strategy::{Cancel, Parameters, Signals, StrategyError, StrategyKind};

/// The search space and the evaluation.
#[derive(Clone, Debug)]
pub struct Optimization {
    /// Parameters that vary, by name; the others keep their defaults.
    pub ranges: Vec<(String, ParameterRange)>,
    /// Every combination, or a sample.
    pub search: Search,
    /// Number of draws of a random search.
    pub trials: usize,
    /// Number of folds, each traded with the set that was chosen before it.
    pub folds: usize,
    /// Costs and initial cash of the back-tests.
    pub env: EnvConfig,
}

/// One parameter set over all rows.
#[derive(Clone, Debug, Serialize)]
pub struct TriedSet {
    /// The values of all parameters.
    pub parameters: Parameters,
    /// Annualised, after costs.
    pub sharpe_ratio: Option<f64>,
    /// Last equity over first, minus 1.
    pub total_return: f64,
    /// Number of fills.
    pub trades: u64,
}

/// A stretch of rows that is traded with the set that was best before it.
#[derive(Clone, Debug, Serialize)]
pub struct Fold {
    /// End of the first traded bar, UTC seconds.
    pub first_end_s: i64,
    /// End of the last traded bar, UTC seconds.
    pub last_end_s: i64,
    /// The set with the highest Sharpe ratio on the rows before the fold.
    pub chosen: Parameters,
    /// Over the rows before the fold.
    pub in_sample_sharpe: Option<f64>,
    /// Over the rows of the fold, annualised.
    pub out_of_sample_sharpe: Option<f64>,
    /// Over the rows of the fold.
    pub out_of_sample_return: f64,
}

/// What a search found, and how much of it is luck.
#[derive(Clone, Debug, Serialize)]
pub struct OptimizationResult {
    /// Name of the strategy.
    pub strategy: String,
    /// As it was asked for.
    pub search: Search,
    /// Number of combinations that violate the strategy's rules.
    pub left_out: usize,
    /// In order of time.
    pub folds: Vec<Fold>,
    /// The folds' trades as one back-test: what choosing anew would have earned.
    pub walk_forward: Assessment,
    /// The best over all rows, which is known only in hindsight.
    pub best: TriedSet,
    /// Its `deflated_sharpe` counts every set as a trial.
    pub best_in_hindsight: Assessment,
    /// All sets, in the order of the plan.
    pub sets: Vec<TriedSet>,
}

impl OptimizationResult {
    /// Takes the verdicts back if the strategy was fitted on the rows that it traded.
    pub fn in_sample_if(&mut self, in_sample: bool) {
        for assessment in [&mut self.walk_forward, &mut self.best_in_hindsight] {
            assessment.inference = assessment.inference.clone().in_sample_if(in_sample);
        }
    }
}

/// A back-test's figures, and what they prove.
#[derive(Clone, Debug, Serialize)]
pub struct Assessment {
    /// After costs.
    pub performance_metrics: PerformanceMetrics,
    /// Whether the figures could be luck.
    pub inference: Inference,
    /// Buy-and-hold over the same bars.
    #[serde(skip)]
    pub(crate) benchmark: BacktestRecord,
}

/// The sets to try, the same on every rank.
#[derive(Clone, Debug)]
pub struct SearchPlan {
    /// In the order in which they are numbered.
    pub sets: Vec<Parameters>,
    /// Number of combinations that violate the strategy's rules.
    pub left_out: usize,
    /// First row of each fold.
    starts: Vec<usize>,
}

impl Optimization {
    /// Runs [`Optimization::plan`], tries all sets, and evaluates them with
    /// [`Optimization::assess`].
    pub fn run(
        &self,
        kind: &StrategyKind,
        data: &MarketData,
        rng: &mut ChaCha8Rng,
        on_tried: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<OptimizationResult, RunnerError> {
        let plan = self.plan(kind, data, rng)?;
        let tried = self.run_share(kind, data, &plan, PlanShare::ALL, on_tried)?;
        self.assess(kind, data, plan, tried, &|_| Vec::new(), rng)
    }

    /// Draws the sets and cuts the rows into folds. Errors: a range is invalid, no set is left, or
    /// there are too few rows.
    pub fn plan(
        &self,
        kind: &StrategyKind,
        data: &MarketData,
        rng: &mut ChaCha8Rng,
    ) -> Result<SearchPlan, RunnerError> {
        let starts = fold_starts(data.rows(), self.folds)?;
        let (sets, left_out) = self.sets(kind, rng)?;
        Ok(SearchPlan { sets, left_out, starts })
    }

    /// Evaluates the tried sets, from any number of ranks. `earlier` has the trials of other commands
    /// on the bars of a benchmark. `rng` must be in the state in which [`Optimization::plan`] left it.
    ///
    /// # Panics
    /// If not every set was tried exactly once.
    pub fn assess(
        &self,
        kind: &StrategyKind,
        data: &MarketData,
        plan: SearchPlan,
        mut tried: Vec<SetResult>,
        earlier: &dyn Fn(&BacktestRecord) -> Vec<Trial>,
        rng: &mut ChaCha8Rng,
    ) -> Result<OptimizationResult, RunnerError> {
        let SearchPlan { sets, left_out, starts } = plan;
        tried.sort_by_key(|one| one.set);
        assert!(tried.iter().map(|one| one.set).eq(0..sets.len()), "every set is tried once");
        let chosen: Vec<usize> = (0..starts.len())
            .map(|fold| best(tried.iter().map(|one| one.outcome.before[fold])))
            .collect();
        let walk_forward_course = self.walk(kind, &sets, &chosen, data, &starts).map_err(failed)?;
        let best = best(tried.iter().map(|one| one.outcome.trial.sharpe));
        let hindsight = self.record(kind, &sets[best], data).map_err(failed)?;
        let folds = folds(&sets, &tried, &chosen, &walk_forward_course, data, &starts);
        // The selected set comes last among its trials.
        let mut own: Vec<Trial> = tried.iter().map(|one| one.outcome.trial.clone()).collect();
        own[best..].rotate_left(1);
        let best_in_hindsight = self.judge(&hindsight, 0, own, data, earlier, rng);
        let single_trial = vec![Trial::new(None, &walk_forward_course)];
        let walk_forward =
            self.judge(&walk_forward_course, starts[0], single_trial, data, earlier, rng);
        let with_outcome = |(parameters, one): (Parameters, &SetResult)| TriedSet {
            parameters,
            sharpe_ratio: one.outcome.trial.sharpe,
            total_return: one.outcome.total_return,
            trades: one.outcome.trades,
        };
        let sets: Vec<TriedSet> = sets.into_iter().zip(&tried).map(with_outcome).collect();
        Ok(OptimizationResult {
            strategy: kind.name.to_string(),
            search: self.search,
            left_out,
            folds,
            walk_forward,
            best: sets[best].clone(),
            best_in_hindsight,
            sets,
        })
    }

    fn record(
        &self,
        kind: &StrategyKind,
        set: &Parameters,
        data: &MarketData,
    ) -> Result<BacktestRecord, StrategyError> {
        let cancel = Cancel::new();
        let mut strategy = kind.build_for(set, data.stocks())?;
        let signals = Signals::from_strategy(strategy.as_mut(), data, &cancel)?;
        backtest_signals(&signals, data, 0..data.rows(), &self.env, &cancel)
    }

    /// A single account through all folds, each traded with the set that was chosen for it.
    fn walk(
        &self,
        kind: &StrategyKind,
        sets: &[Parameters],
        chosen: &[usize],
        data: &MarketData,
        starts: &[usize],
    ) -> Result<BacktestRecord, StrategyError> {
        let (cancel, stocks) = (Cancel::new(), data.stocks().len());
        let mut decisions = Vec::with_capacity(data.rows() * stocks);
        for (fold, &set) in chosen.iter().enumerate() {
            let mut strategy = kind.build_for(&sets[set], data.stocks())?;
            let signals = Signals::from_strategy(strategy.as_mut(), data, &cancel)?;
            let until = starts.get(fold + 1).copied().unwrap_or(data.rows());
            // Rows before the first fold are not traded; their decisions do not matter.
            let from = if fold == 0 { 0 } else { starts[fold] };
            (from..until).for_each(|t| decisions.extend_from_slice(signals.at(t)));
        }
        let signals = Signals::new(stocks, decisions);
        backtest_signals(&signals, data, starts[0]..data.rows(), &self.env, &cancel)
    }

    fn judge(
        &self,
        record: &BacktestRecord,
        start: usize,
        own: Vec<Trial>,
        data: &MarketData,
        earlier: &dyn Fn(&BacktestRecord) -> Vec<Trial>,
        rng: &mut ChaCha8Rng,
    ) -> Assessment {
        let rows = (start..data.rows()).map(|t| data.row(t));
        let benchmark = buy_and_hold(data.stocks(), rows, &self.env).expect("rows to trade");
        let trials = Trials { own, earlier: earlier(&benchmark) };
        Assessment {
            performance_metrics: PerformanceMetrics::from_backtest(record, &Costs::new(&self.env)),
            inference: Inference::new(record, &benchmark, &trials, rng),
            benchmark,
        }
    }
}

fn folds(
    sets: &[Parameters],
    tried: &[SetResult],
    chosen: &[usize],
    walk_forward_course: &BacktestRecord,
    data: &MarketData,
    starts: &[usize],
) -> Vec<Fold> {
    let one = |(fold, &set): (usize, &usize)| {
        let until = starts.get(fold + 1).copied().unwrap_or(data.rows());
        // The walk-forward starts at the first row of the first fold.
        let rows = starts[fold] - starts[0]..until - starts[0];
        Fold {
            first_end_s: data.end_s()[starts[fold]],
            last_end_s: data.end_s()[until - 1],
            chosen: sets[set].clone(),
            in_sample_sharpe: tried[set].outcome.before[fold],
            out_of_sample_sharpe: sharpe_of(walk_forward_course, rows.clone()),
            out_of_sample_return: walk_forward_course.equity[rows.end - 1]
                / walk_forward_course.equity[rows.start]
                - 1.0,
        }
    };
    chosen.iter().enumerate().map(one).collect()
}

fn failed(error: StrategyError) -> RunnerError {
    RunnerError::new("--strategy", error.to_string(), "").caused_by(error)
}

/// The first row of each fold. The rows before the first fold are as many as in a fold.
fn fold_starts(rows: usize, folds: usize) -> Result<Vec<usize>, RunnerError> {
    if folds == 0 || rows / folds.saturating_add(1) < 2 {
        let what = format!("{folds} folds of {rows} rows");
        return Err(RunnerError::new("--folds", what, "use at least 1, and a longer period"));
    }
    Ok((1..=folds).map(|fold| fold * rows / (folds + 1)).collect())
}

/// Index of the first of the highest; an undefined ratio is below all others.
fn best(sharpes: impl Iterator<Item = Option<f64>>) -> usize {
    let mut found = (0, f64::NEG_INFINITY);
    for (i, sharpe) in sharpes.enumerate() {
        if sharpe.is_some_and(|sharpe| sharpe > found.1) {
            found = (i, sharpe.unwrap_or(found.1));
        }
    }
    found.0
}

/// The Sharpe ratio over a range of rows.
fn sharpe_of(record: &BacktestRecord, rows: std::ops::Range<usize>) -> Option<f64> {
    let part = BacktestRecord {
        end_s: record.end_s[rows.clone()].to_vec(),
        equity: record.equity[rows].to_vec(),
        ..BacktestRecord::new(Vec::new())
    };
    daily_metrics(&part.daily_returns(), record.days_per_year()).sharpe
}

#[cfg(test)]
mod tests;
