//! Search over a strategy's parameters, judged on bars that the search did not see.
//!
//! ```text
//! rows   |----- 0 -----|-- 1 --|-- 2 --|-- 3 --|
//! fold 1 |   chosen    | traded|
//! fold 2 |       chosen        | traded|
//! fold 3 |           chosen            | traded|
//! ```
//!
//! In each fold the set with the highest Sharpe ratio after costs over all rows before it is
//! chosen, and trades the next stretch. The stretches together are one account, the walk-forward:
//! what choosing in this way would have earned. Beside it stands the set that looks best on all
//! rows, with its Sharpe ratio deflated by the number of sets that were tried.

mod space;
mod sweep;

use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub use space::{MOST_SETS, Range, Search};
pub use sweep::{Share, Tried};

use super::RunnerError;
use super::results::PerformanceMetrics;
use super::work::positions_course;
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::eval::backtest::buy_and_hold;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::eval::metrics::{Course, of_daily_returns};
use crate::market::MarketData;
use crate::strategy::{Cancel, Kind, Parameters, Signals, StrategyError};

/// What is searched, and how it is judged.
#[derive(Clone, Debug)]
pub struct Optimization {
    pub ranges: Vec<(String, Range)>,
    pub search: Search,
    /// Of a random search.
    pub trials: usize,
    /// Stretches that are traded by what was chosen before them.
    pub folds: usize,
    pub env: EnvConfig,
}

/// One set of parameters over all rows.
#[derive(Clone, Debug, Serialize)]
pub struct TriedSet {
    pub parameters: Parameters,
    pub sharpe_ratio: Option<f64>,
    pub total_return: f64,
    pub trades: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Fold {
    /// Bar ends of the first and last rows that were traded, UTC seconds.
    pub first_end_s: i64,
    pub last_end_s: i64,
    pub chosen: Parameters,
    /// Over the rows before.
    pub in_sample_sharpe: Option<f64>,
    pub out_of_sample_sharpe: Option<f64>,
    pub out_of_sample_return: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Optimized {
    pub strategy: String,
    pub search: Search,
    /// Combinations that the strategy's own rules forbid.
    pub left_out: usize,
    pub folds: Vec<Fold>,
    pub walk_forward: Judged,
    /// Best on all rows, and so known only afterwards.
    pub best: TriedSet,
    /// Its `deflated_sharpe` counts every set as a trial.
    pub best_in_hindsight: Judged,
    pub sets: Vec<TriedSet>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    pub performance_metrics: PerformanceMetrics,
    pub inference: Inference,
}

/// What is to be tried, the same on every rank.
#[derive(Clone, Debug)]
pub struct Plan {
    pub sets: Vec<Parameters>,
    /// Combinations that the strategy's own rules forbid.
    pub left_out: usize,
    /// Where each fold starts.
    starts: Vec<usize>,
}

impl Optimization {
    /// [`Optimization::plan`], all sets tried, [`Optimization::judged`].
    pub fn run(
        &self,
        kind: &Kind,
        data: &MarketData,
        rng: &mut ChaCha8Rng,
        on_tried: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Optimized, RunnerError> {
        let plan = self.plan(kind, data, rng)?;
        let tried = self.try_share(kind, data, &plan, Share::ALL, on_tried)?;
        self.judged(kind, data, plan, tried, rng)
    }

    pub fn plan(
        &self,
        kind: &Kind,
        data: &MarketData,
        rng: &mut ChaCha8Rng,
    ) -> Result<Plan, RunnerError> {
        let starts = fold_starts(data.rows(), self.folds)?;
        let (sets, left_out) = self.sets(kind, rng)?;
        Ok(Plan { sets, left_out, starts })
    }

    /// What all sets came to, however many ranks tried them. `rng` is as [`Optimization::plan`]
    /// left
    /// it.
    ///
    /// # Panics
    /// If not every set was tried once.
    pub fn judged(
        &self,
        kind: &Kind,
        data: &MarketData,
        plan: Plan,
        mut tried: Vec<Tried>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Optimized, RunnerError> {
        let Plan { sets, left_out, starts } = plan;
        tried.sort_by_key(|one| one.set);
        assert!(tried.iter().map(|one| one.set).eq(0..sets.len()), "every set is tried once");
        let chosen: Vec<usize> = (0..starts.len())
            .map(|fold| best(tried.iter().map(|one| one.outcome.before[fold])))
            .collect();
        let walked = self.walk(kind, &sets, &chosen, data, &starts).map_err(failed)?;
        let best = best(tried.iter().map(|one| one.outcome.trial.sharpe));
        let hindsight = self.course(kind, &sets[best], data).map_err(failed)?;
        let folds = folds(&sets, &tried, &chosen, &walked, data, &starts);
        // What is judged comes last among its trials.
        let mut own: Vec<Trial> = tried.iter().map(|one| one.outcome.trial.clone()).collect();
        own[best..].rotate_left(1);
        let best_in_hindsight = self.judge(&hindsight, 0, own, data, rng);
        let alone = vec![Trial::of(None, &walked)];
        let walk_forward = self.judge(&walked, starts[0], alone, data, rng);
        let in_full = |(parameters, one): (Parameters, &Tried)| TriedSet {
            parameters,
            sharpe_ratio: one.outcome.trial.sharpe,
            total_return: one.outcome.total_return,
            trades: one.outcome.trades,
        };
        let sets: Vec<TriedSet> = sets.into_iter().zip(&tried).map(in_full).collect();
        Ok(Optimized {
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

    fn course(
        &self,
        kind: &Kind,
        set: &Parameters,
        data: &MarketData,
    ) -> Result<Course, StrategyError> {
        let cancel = Cancel::new();
        let mut strategy = kind.build_for(set, data.stocks())?;
        let signals = Signals::of(strategy.as_mut(), data, &cancel)?;
        positions_course(&signals, data, 0..data.rows(), &self.env, &cancel)
    }

    /// One account through all stretches, each by the set that was chosen before it.
    fn walk(
        &self,
        kind: &Kind,
        sets: &[Parameters],
        chosen: &[usize],
        data: &MarketData,
        starts: &[usize],
    ) -> Result<Course, StrategyError> {
        let (cancel, stocks) = (Cancel::new(), data.stocks().len());
        let mut decisions = Vec::with_capacity(data.rows() * stocks);
        for (fold, &set) in chosen.iter().enumerate() {
            let mut strategy = kind.build_for(&sets[set], data.stocks())?;
            let signals = Signals::of(strategy.as_mut(), data, &cancel)?;
            let until = starts.get(fold + 1).copied().unwrap_or(data.rows());
            // Rows before the first stretch are not traded; any decisions will do.
            let from = if fold == 0 { 0 } else { starts[fold] };
            (from..until).for_each(|t| decisions.extend_from_slice(signals.at(t)));
        }
        let signals = Signals::new(stocks, decisions);
        positions_course(&signals, data, starts[0]..data.rows(), &self.env, &cancel)
    }

    fn judge(
        &self,
        course: &Course,
        start: usize,
        own: Vec<Trial>,
        data: &MarketData,
        rng: &mut ChaCha8Rng,
    ) -> Judged {
        let rows = (start..data.rows()).map(|t| data.row(t));
        let benchmark = buy_and_hold(data.stocks(), rows, &self.env).expect("rows to trade");
        let trials = Trials { own, earlier: Vec::new() };
        Judged {
            performance_metrics: PerformanceMetrics::of(course, &Costs::of(&self.env)),
            inference: Inference::of(course, &benchmark, &trials, rng),
        }
    }
}

fn folds(
    sets: &[Parameters],
    tried: &[Tried],
    chosen: &[usize],
    walked: &Course,
    data: &MarketData,
    starts: &[usize],
) -> Vec<Fold> {
    let one = |(fold, &set): (usize, &usize)| {
        let until = starts.get(fold + 1).copied().unwrap_or(data.rows());
        // The walk-forward's first row is that of the first stretch.
        let rows = starts[fold] - starts[0]..until - starts[0];
        Fold {
            first_end_s: data.end_s()[starts[fold]],
            last_end_s: data.end_s()[until - 1],
            chosen: sets[set].clone(),
            in_sample_sharpe: tried[set].outcome.before[fold],
            out_of_sample_sharpe: sharpe_of(walked, rows.clone()),
            out_of_sample_return: walked.equity[rows.end - 1] / walked.equity[rows.start] - 1.0,
        }
    };
    chosen.iter().enumerate().map(one).collect()
}

fn failed(error: StrategyError) -> RunnerError {
    RunnerError::new("--strategy", error.to_string(), "").caused_by(error)
}

/// The first rows of the stretches; as many rows come before the first as are in each.
fn fold_starts(rows: usize, folds: usize) -> Result<Vec<usize>, RunnerError> {
    if folds == 0 || rows / (folds + 1) < 2 {
        let what = format!("{folds} folds of {rows} rows");
        return Err(RunnerError::new("--folds", what, "take at least 1, and a longer period"));
    }
    Ok((1..=folds).map(|fold| fold * rows / (folds + 1)).collect())
}

/// The first of the highest; a ratio that is not defined is below all.
fn best(sharpes: impl Iterator<Item = Option<f64>>) -> usize {
    let mut found = (0, f64::NEG_INFINITY);
    for (i, sharpe) in sharpes.enumerate() {
        if sharpe.is_some_and(|sharpe| sharpe > found.1) {
            found = (i, sharpe.unwrap_or(found.1));
        }
    }
    found.0
}

/// Of some rows of a course.
fn sharpe_of(course: &Course, rows: std::ops::Range<usize>) -> Option<f64> {
    let part = Course {
        end_s: course.end_s[rows.clone()].to_vec(),
        equity: course.equity[rows].to_vec(),
        ..Course::new(Vec::new())
    };
    of_daily_returns(&part.daily_returns()).sharpe
}

#[cfg(test)]
mod tests;
