//! Search over a strategy's parameters, judged on bars that the search did not see.
//!
//! ```text
//! rows   |----- 0 -----|-- 1 --|-- 2 --|-- 3 --|
//! fold 1 |   chosen    | traded|
//! fold 2 |       chosen        | traded|
//! fold 3 |           chosen            | traded|
//! ```
//!
//! In each fold the set with the highest Sharpe ratio after costs over all rows before it is chosen,
//! and trades the next stretch. The stretches together are one account, the walk-forward: what
//! choosing in this way would have earned. Beside it stands the set that looks best on all rows, with
//! its Sharpe ratio deflated by the number of sets that were tried.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::RunnerError;
use super::results::PerformanceMetrics;
use super::work::positions_course;
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::eval::backtest::buy_and_hold;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::eval::metrics::{Course, of_daily_returns};
use crate::market::MarketData;
use crate::strategy::{Cancel, Given, Kind, Number, Parameters, Signals, StrategyError};

/// Sets that one search tries, at most.
pub const MOST_SETS: usize = 100_000;

/// Values of one parameter that are tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// These.
    Values(Vec<Value>),
    /// From low to high, both included, in steps; None: of 1 for whole numbers, and any value in a
    /// random search over others.
    Span { low: f64, high: f64, step: Option<f64> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Every combination
    Grid,
    /// So many combinations, drawn uniformly
    Random,
}

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

/// What is known of a set after its back-test.
struct Tried {
    set: TriedSet,
    trial: Trial,
    /// Sharpe ratio up to the start of each fold.
    before: Vec<Option<f64>>,
}

impl Optimization {
    pub fn run(
        &self,
        kind: &Kind,
        data: &MarketData,
        rng: &mut ChaCha8Rng,
        on_tried: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Optimized, RunnerError> {
        let failed = |error: StrategyError| RunnerError::new("--strategy", error.to_string(), "");
        let starts = fold_starts(data.rows(), self.folds)?;
        let (sets, left_out) = self.sets(kind, rng)?;
        let done = std::sync::atomic::AtomicUsize::new(0);
        let one = |set: &Parameters| {
            let tried = self.try_set(kind, set, data, &starts);
            on_tried(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, sets.len());
            tried
        };
        let tried: Vec<Tried> =
            sets.par_iter().map(one).collect::<Result<_, _>>().map_err(failed)?;
        let chosen: Vec<usize> =
            (0..starts.len()).map(|fold| best(tried.iter().map(|one| one.before[fold]))).collect();
        let walked = self.walk(kind, &sets, &chosen, data, &starts).map_err(failed)?;
        let best = best(tried.iter().map(|one| one.set.sharpe_ratio));
        let hindsight = self.course(kind, &sets[best], data).map_err(failed)?;
        let folds = self.folds(&tried, &chosen, &walked, data, &starts);
        // What is judged comes last among its trials.
        let mut own: Vec<Trial> = tried.iter().map(|one| one.trial.clone()).collect();
        own[best..].rotate_left(1);
        let best_in_hindsight = self.judge(&hindsight, 0, own, data, rng);
        let alone = vec![Trial::of(None, &walked)];
        let walk_forward = self.judge(&walked, starts[0], alone, data, rng);
        Ok(Optimized {
            strategy: kind.name.to_string(),
            search: self.search,
            left_out,
            folds,
            walk_forward,
            best: tried[best].set.clone(),
            best_in_hindsight,
            sets: tried.into_iter().map(|one| one.set).collect(),
        })
    }

    /// All combinations, or so many of them, and how many were left out because parameters clash.
    fn sets(
        &self,
        kind: &Kind,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Vec<Parameters>, usize), RunnerError> {
        let combinations = match self.search {
            Search::Grid => self.grid(kind)?,
            Search::Random => self.draw(kind, rng)?,
        };
        let count = combinations.len();
        let mut sets: Vec<Parameters> = Vec::new();
        let mut last = None;
        for given in combinations {
            match kind.resolve(&given) {
                Ok(set) => sets.push(set),
                Err(error) => last = Some(error),
            }
        }
        match (sets.is_empty(), last) {
            (true, error) => {
                let why = error.map_or("there is no combination".into(), |e| e.to_string());
                Err(RunnerError::new("--range", why, "change the ranges"))
            }
            (false, _) => Ok((sets.clone(), count - sets.len())),
        }
    }

    fn grid(&self, kind: &Kind) -> Result<Vec<Given>, RunnerError> {
        let mut all = vec![Given::new()];
        for (name, range) in &self.ranges {
            let values = range.values(name, kind)?;
            if all.len() * values.len() > MOST_SETS {
                let what = format!("more than {MOST_SETS} combinations");
                return Err(RunnerError::new(
                    "--range",
                    what,
                    "take larger steps, or --search random",
                ));
            }
            all = all
                .iter()
                .flat_map(|given| {
                    values.iter().map(|value| {
                        let mut given = given.clone();
                        given.insert(name.clone(), value.clone());
                        given
                    })
                })
                .collect();
        }
        Ok(all)
    }

    fn draw(&self, kind: &Kind, rng: &mut ChaCha8Rng) -> Result<Vec<Given>, RunnerError> {
        if !(1..=MOST_SETS).contains(&self.trials) {
            let what = format!("{} is out of range", self.trials);
            return Err(RunnerError::new("--trials", what, format!("take 1 to {MOST_SETS}")));
        }
        let mut all = Vec::new();
        for _ in 0..self.trials {
            let mut given = Given::new();
            for (name, range) in &self.ranges {
                let value = match range {
                    Range::Span { low, high, step: None } if !is_whole(name, kind)? => {
                        in_order(name, *low, *high)?;
                        rng.random_range(*low..=*high).into()
                    }
                    _ => {
                        let values = range.values(name, kind)?;
                        values[rng.random_range(0..values.len())].clone()
                    }
                };
                given.insert(name.clone(), value);
            }
            all.push(given);
        }
        Ok(all)
    }

    fn try_set(
        &self,
        kind: &Kind,
        set: &Parameters,
        data: &MarketData,
        starts: &[usize],
    ) -> Result<Tried, StrategyError> {
        let course = self.course(kind, set, data)?;
        let metrics = PerformanceMetrics::of(&course, &Costs::of(&self.env));
        Ok(Tried {
            set: TriedSet {
                parameters: set.clone(),
                sharpe_ratio: metrics.sharpe_ratio,
                total_return: metrics.total_return,
                trades: metrics.trades,
            },
            trial: Trial::of(None, &course),
            before: starts.iter().map(|&start| sharpe_of(&course, 0..start)).collect(),
        })
    }

    fn course(
        &self,
        kind: &Kind,
        set: &Parameters,
        data: &MarketData,
    ) -> Result<Course, StrategyError> {
        let cancel = Cancel::new();
        let mut strategy = kind.build(set, data.stocks().len())?;
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
            let mut strategy = kind.build(&sets[set], stocks)?;
            let signals = Signals::of(strategy.as_mut(), data, &cancel)?;
            let until = starts.get(fold + 1).copied().unwrap_or(data.rows());
            // Rows before the first stretch are not traded; any decisions will do.
            let from = if fold == 0 { 0 } else { starts[fold] };
            (from..until).for_each(|t| decisions.extend_from_slice(signals.at(t)));
        }
        let signals = Signals::new(stocks, decisions);
        positions_course(&signals, data, starts[0]..data.rows(), &self.env, &cancel)
    }

    fn folds(
        &self,
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
                chosen: tried[set].set.parameters.clone(),
                in_sample_sharpe: tried[set].before[fold],
                out_of_sample_sharpe: sharpe_of(walked, rows.clone()),
                out_of_sample_return: walked.equity[rows.end - 1] / walked.equity[rows.start] - 1.0,
            }
        };
        chosen.iter().enumerate().map(one).collect()
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

impl Range {
    fn values(&self, name: &str, kind: &Kind) -> Result<Vec<Value>, RunnerError> {
        let wrong = |what: String, todo: &str| Err(RunnerError::new("--range", what, todo));
        let whole = is_whole(name, kind)?;
        match self {
            Range::Values(values) => Ok(values.clone()),
            Range::Span { step: None, .. } if !whole => {
                wrong(format!("{name}: a grid needs steps"), "write LOW:HIGH:STEP")
            }
            Range::Span { low, high, step } => {
                in_order(name, *low, *high)?;
                let step = step.unwrap_or(1.0);
                let count = ((high - low) / step + 1e-9).floor();
                if step.is_nan() || step <= 0.0 || count >= MOST_SETS as f64 {
                    return wrong(
                        format!("{name}: a step of {step} will not do"),
                        "take a larger one",
                    );
                }
                // Decimals such as 0.1 are meant, not their sums' rounding.
                let at = |i: usize| ((low + step * i as f64) * 1e9).round() / 1e9;
                Ok((0..=count as usize).map(|i| at(i).into()).collect())
            }
        }
    }
}

fn in_order(name: &str, low: f64, high: f64) -> Result<(), RunnerError> {
    if low <= high && (high - low).is_finite() {
        return Ok(());
    }
    let what = format!("{name}: {low} to {high} is no range");
    Err(RunnerError::new("--range", what, "write LOW:HIGH"))
}

/// Whether a parameter takes whole numbers; an error that names it where there is none.
fn is_whole(name: &str, kind: &Kind) -> Result<bool, RunnerError> {
    match kind.parameter(name) {
        Ok(parameter) => Ok(matches!(parameter.default, Number::Whole(_))),
        Err(error) => Err(RunnerError::new("--range", error.to_string(), "name a parameter of it")),
    }
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
        stocks: Vec::new(),
        end_s: course.end_s[rows.clone()].to_vec(),
        equity: course.equity[rows].to_vec(),
        cash: Vec::new(),
        reward: Vec::new(),
        turnover: Vec::new(),
        trades: Vec::new(),
        drawdown: Vec::new(),
        position: Vec::new(),
        price: Vec::new(),
        open: Vec::new(),
    };
    of_daily_returns(&part.daily_returns()).sharpe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::random_market;
    use crate::strategy::Registry;
    use rand::SeedableRng;

    fn kind() -> Kind {
        Registry::standard().find("macd").unwrap().clone()
    }

    fn span(low: f64, high: f64, step: Option<f64>) -> Range {
        Range::Span { low, high, step }
    }

    fn search(search: Search, ranges: Vec<(&str, Range)>) -> Optimization {
        let ranges = ranges.into_iter().map(|(name, range)| (name.to_string(), range)).collect();
        Optimization { ranges, search, trials: 30, folds: 3, env: EnvConfig::default() }
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(3)
    }

    #[test]
    fn a_grid_has_every_combination_that_does_not_clash() {
        let values = Range::Values(vec![4.into(), 30.into()]);
        let of = search(
            Search::Grid,
            vec![("fast-period", values), ("slow_period", span(10.0, 20.0, Some(5.0)))],
        );
        let (sets, left_out) = of.sets(&kind(), &mut rng()).unwrap();
        let slow: Vec<usize> = sets.iter().map(|set| set.whole("slow_period")).collect();
        assert_eq!((slow, left_out), (vec![10, 15, 20], 3));
        let tenths =
            span(0.1, 0.3, Some(0.1)).values("threshold", Registry::standard().find("mr").unwrap());
        assert_eq!(tenths.unwrap(), [Value::from(0.1), 0.2.into(), 0.3.into()]);
        let drawn = search(Search::Random, vec![("slow_period", span(13.0, 15.0, None))]);
        let (sets, _) = drawn.sets(&kind(), &mut rng()).unwrap();
        assert_eq!(sets.len(), 30);
        assert!((13..=15).all(|slow| sets.iter().any(|set| set.whole("slow_period") == slow)));
    }

    #[test]
    fn what_cannot_be_searched_is_said() {
        let error = |ranges| {
            let of = search(Search::Grid, ranges);
            of.sets(&kind(), &mut rng()).unwrap_err().to_string()
        };
        assert!(
            error(vec![("fsat_period", span(1.0, 2.0, None))])
                .contains("did you mean fast_period?")
        );
        assert!(error(vec![("fast_period", span(3.0, 2.0, None))]).contains("3 to 2 is no range"));
        assert!(error(vec![("fast_period", span(0.0, 1.0, None))]).contains("from 2 to 100000"));
        let wide = || span(2.0, 2_000.0, None);
        assert!(error(vec![("fast_period", wide()), ("slow_period", wide())]).contains("100000"));
        assert!(fold_starts(100, 0).is_err() && fold_starts(7, 3).is_err());
        assert_eq!(fold_starts(100, 3).unwrap(), [25, 50, 75]);
        assert_eq!(best([None, Some(1.0), Some(2.0), Some(2.0), None].into_iter()), 2);
    }

    /// The choice of a fold is the best of its past, and later bars do not change it.
    #[test]
    fn a_fold_is_chosen_by_what_came_before_it() {
        let market = random_market(9, 1, 1_200, 13, 0.0);
        let data = MarketData::new(market.clone()).unwrap();
        let of = search(Search::Grid, vec![("fast_period", span(3.0, 9.0, None))]);
        let found = of.run(&kind(), &data, &mut rng(), &|_, _| ()).unwrap();
        assert_eq!((found.sets.len(), found.folds.len()), (7, 3));
        for (fold, start) in found.folds.iter().zip([300, 600, 900]) {
            let mut known = market.clone();
            for column in [&mut known[0].open, &mut known[0].close] {
                column[start..].iter_mut().for_each(|price| *price *= 2.0);
            }
            let known = MarketData::new(known).unwrap();
            let sharpe = |set: &TriedSet| {
                let course = of.course(&kind(), &set.parameters, &known).unwrap();
                sharpe_of(&course, 0..start).unwrap()
            };
            let sharpes: Vec<f64> = found.sets.iter().map(sharpe).collect();
            let highest = sharpes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(fold.in_sample_sharpe, Some(highest));
            let chosen = found.sets.iter().position(|set| set.parameters == fold.chosen);
            assert_eq!(sharpes[chosen.unwrap()], highest);
        }
        let walked = &found.walk_forward.performance_metrics;
        let product: f64 = found.folds.iter().map(|fold| 1.0 + fold.out_of_sample_return).product();
        // Between the stretches lies one bar each, whose return is of neither.
        assert!((product - 1.0 - walked.total_return).abs() < 0.02, "{product} {walked:?}");
        assert_eq!(found.best_in_hindsight.inference.trials.own.len(), 7);
        let deflated = &found.best_in_hindsight.inference;
        assert!(deflated.deflated_sharpe < deflated.probabilistic_sharpe);
    }
}
