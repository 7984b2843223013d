//! Is it luck? Intervals, tests and one plain verdict about the course of a portfolio. Pure: values
//! in, values out; randomness is passed in.
//!
//! **Evidence of an edge** needs two things:
//!
//! 1. it earned more than nothing after costs: the deflated Sharpe ratio is at least 96 %;
//! 2. beyond holding: its positions stood at the right times, after costs: the p-value of
//!    [`timing`] is at most 4 %.
//!
//! Both hurdles rise with the trials that were made. A portfolio that lacks one of the two has
//! "evidence" in at most 5 % of cases, since it would have to pass the test of what it lacks: the
//! intersection-union test of Berger (1982), Technometrics 24(4), theorem 1. The first alone would
//! take a rising market for skill, the second alone a loss that is smaller than it might have been.
//! (4 %, because both tests are exact in long evaluations only. In a year they err somewhat more
//! often for policies that bet more after losses: the luckier these are, the less they vary.)
//!
//! **Worse than doing nothing**: the probability that its true Sharpe ratio is above 0 is at most
//! 2.5 %, one tail of the interval. All else is **no evidence**.

mod bootstrap;
mod sharpe;
mod timing;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::metrics::{Course, DAYS_PER_YEAR, of_daily_returns};
use sharpe::Moments;
use timing::Days;
pub use timing::{Held, TimeTable, TimingScratch, TimingTest};

/// Nothing is said about fewer days.
pub const MIN_DAYS: usize = 20;
/// How often "evidence" is said where there is no edge, at most.
pub const ERROR_RATE: f64 = 0.05;
/// The p-value up to which each of the two tests is passed; [`ERROR_RATE`] less a margin.
pub const THRESHOLD: f64 = 0.04;
/// Of the intervals, two-sided.
pub const CONFIDENCE: f64 = 0.95;

const TAIL: f64 = (1.0 - CONFIDENCE) / 2.0;
const RESAMPLES: usize = 4_999;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    #[serde(rename = "evidence of an edge")]
    Evidence,
    #[serde(rename = "no evidence of an edge")]
    NoEvidence,
    #[serde(rename = "worse than doing nothing")]
    Worse,
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Evidence => "evidence of an edge",
            Verdict::NoEvidence => "no evidence of an edge",
            Verdict::Worse => "worse than doing nothing",
        }
    }
}

/// What may be said of an evaluation. An undefined value is None (null in JSON).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    pub verdict: Verdict,
    /// Of the verdict's two tests, the larger: evidence is [`THRESHOLD`] or less.
    pub p_value: Option<f64>,
    /// Daily returns that all this is about.
    pub days: usize,
    /// Of the strategy, after costs.
    pub sharpe: Estimate,
    /// Of its daily returns less those of buy-and-hold.
    pub excess_sharpe: Estimate,
    /// Probability that the strategy's true Sharpe ratio is above 0.
    pub probabilistic_sharpe: Option<f64>,
    /// Probability that it is above what luck gives to the best of the trials.
    pub deflated_sharpe: Option<f64>,
    pub timing: Option<TimingTest>,
    pub trials: TrialsCounted,
}

/// A Sharpe ratio with its interval, annualised by sqrt(252).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: Option<f64>,
    /// The ends of the [`CONFIDENCE`] interval.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Mean length of the bootstrap's blocks, days.
    pub block_days: Option<f64>,
}

/// One evaluation whose result someone may have chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The training episode that it followed; None where a finished model was evaluated.
    pub episode: Option<u32>,
    /// Annualised, after costs.
    pub sharpe: Option<f64>,
    /// [`TimingTest::score`]
    pub timing_score: Option<f64>,
}

/// All evaluations that were made, the one that is judged among `own`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trials {
    /// Of this run, in their order.
    pub own: Vec<Trial>,
    /// Of other runs, as far as they are known.
    pub earlier: Vec<Trial>,
}

/// The trials as `summary.json` keeps them, for later runs to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialsCounted {
    /// Different ones, own and earlier. A repetition that found the same is no new one.
    pub count: usize,
    /// Of those of other runs.
    pub earlier: usize,
    /// The Sharpe ratio, annualised, that luck gives to the best of so many.
    pub sharpe_hurdle: f64,
    /// The timing score that luck gives to the best of so many.
    pub timing_hurdle: f64,
    pub own: Vec<Trial>,
}

impl Trial {
    pub fn of(episode: Option<u32>, course: &Course) -> Trial {
        Trial {
            episode,
            sharpe: of_daily_returns(&course.daily_returns()).sharpe,
            timing_score: Days::of(course).score(),
        }
    }

    /// An evaluation that was made, and whose result is not known.
    pub fn unknown() -> Trial {
        Trial { episode: None, sharpe: None, timing_score: None }
    }

    /// Whether both found the same, but for the rounding of a number that was written and read.
    /// Evaluations without a Sharpe ratio, as of policies that never trade, cannot have been chosen
    /// for their luck, and are as one.
    fn repeats(&self, other: &Trial) -> bool {
        let same = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-12 * one.abs(),
            (one, other) => one.is_none() && other.is_none(),
        };
        same(self.sharpe, other.sharpe) && same(self.timing_score, other.timing_score)
    }
}

impl Trials {
    /// The hurdles are eq. 1 of Bailey & López de Prado (2014) with the variance of the trials'
    /// scores. Trials differ by luck and by merit; a learner's first episodes are much worse than
    /// its last. So the variance is taken to be at most that of luck alone, which for independent
    /// returns without skill is 1 over the number of days less 1 (a day's Sharpe ratio) and 1 (the
    /// timing score). Trials that resemble each other have less.
    fn counted(&self, days: usize) -> TrialsCounted {
        let mut distinct: Vec<&Trial> = Vec::new();
        let mut earlier = 0;
        for (i, trial) in self.own.iter().chain(&self.earlier).enumerate() {
            if !distinct.iter().any(|known| trial.repeats(known)) {
                distinct.push(trial);
                earlier += usize::from(i >= self.own.len());
            }
        }
        let count = distinct.len();
        let hurdle = |score: fn(&Trial) -> Option<f64>, by_luck: f64| {
            let scores: Vec<f64> = distinct.iter().filter_map(|trial| score(trial)).collect();
            let variance = Moments::of(&scores).map_or(0.0, |moments| moments.std.powi(2));
            sharpe::luckiest(count, variance.min(by_luck))
        };
        let year_over_days = DAYS_PER_YEAR / (days as f64 - 1.0).max(1.0);
        TrialsCounted {
            count,
            earlier,
            sharpe_hurdle: hurdle(|trial| trial.sharpe, year_over_days),
            timing_hurdle: hurdle(|trial| trial.timing_score, 1.0),
            own: self.own.clone(),
        }
    }
}

impl Inference {
    /// Of `course`, the last of `trials.own`, beside `benchmark` over the same bars.
    ///
    /// # Panics
    /// If the columns of a course differ in length or a number is not finite.
    pub fn of(
        course: &Course,
        benchmark: &Course,
        trials: &Trials,
        rng: &mut ChaCha8Rng,
    ) -> Inference {
        let found = Inference::without_intervals(course, trials, rng);
        let ours = course.daily_returns();
        let theirs = benchmark.daily_returns();
        let excess: Vec<f64> = ours.iter().zip(&theirs).map(|(our, their)| our - their).collect();
        let sharpe = Estimate::of(&ours, rng);
        let excess_sharpe = Estimate::of(&excess, rng);
        Inference { sharpe, excess_sharpe, ..found }
    }

    fn without_intervals(course: &Course, trials: &Trials, rng: &mut ChaCha8Rng) -> Inference {
        let returns = course.daily_returns();
        let days = returns.len();
        let trials = trials.counted(days);
        let enough = if days < MIN_DAYS { &[][..] } else { &returns };
        let probability = |hurdle: f64| sharpe::probabilistic(enough, hurdle);
        let probabilistic_sharpe = probability(0.0);
        let deflated_sharpe = probability(trials.sharpe_hurdle / DAYS_PER_YEAR.sqrt());
        let timing = TimingTest::of(&Days::of(course), trials.timing_hurdle, rng);
        let p_value = match (deflated_sharpe, &timing) {
            (Some(deflated), Some(timing)) => Some(timing.p_value.max(1.0 - deflated)),
            _ => None,
        };
        let verdict = if p_value.is_some_and(|p| p <= THRESHOLD) {
            Verdict::Evidence
        } else if probabilistic_sharpe.is_some_and(|probability| probability <= TAIL) {
            Verdict::Worse
        } else {
            Verdict::NoEvidence
        };
        Inference {
            verdict,
            p_value,
            days,
            sharpe: Estimate::default(),
            excess_sharpe: Estimate::default(),
            probabilistic_sharpe,
            deflated_sharpe,
            timing,
            trials,
        }
    }
}

impl Estimate {
    /// Of daily returns.
    pub fn of(returns: &[f64], rng: &mut ChaCha8Rng) -> Estimate {
        let value = of_daily_returns(returns).sharpe;
        let enough = value.is_some() && returns.len() >= MIN_DAYS;
        let block_days = bootstrap::block_length(returns).filter(|_| enough);
        let interval = block_days.and_then(|block| {
            bootstrap::interval(returns, annual_sharpe, block, TAIL, RESAMPLES, rng)
        });
        let (low, high) = interval.unzip();
        Estimate { value, low, high, block_days }
    }

    /// Of several series of daily returns of the same days, from the same draws; undefined for an
    /// empty one.
    ///
    /// # Panics
    /// If their days differ, or a return is not finite.
    pub fn of_each(series: &[Vec<f64>], rng: &mut ChaCha8Rng) -> Vec<Estimate> {
        let without_interval = |returns: &Vec<f64>| {
            let value = of_daily_returns(returns).sharpe;
            let enough = value.is_some() && returns.len() >= MIN_DAYS;
            let block_days = bootstrap::block_length(returns).filter(|_| enough);
            Estimate { value, block_days, ..Estimate::default() }
        };
        let mut estimates: Vec<Estimate> = series.iter().map(without_interval).collect();
        let drawn: Vec<(&[f64], f64)> = series
            .iter()
            .zip(&estimates)
            .filter_map(|(returns, estimate)| Some((&returns[..], estimate.block_days?)))
            .collect();
        let intervals = bootstrap::intervals(&drawn, quick_sharpe, TAIL, RESAMPLES, rng);
        let defined = estimates.iter_mut().filter(|estimate| estimate.block_days.is_some());
        for (estimate, interval) in defined.zip(intervals) {
            (estimate.low, estimate.high) = interval.unzip();
        }
        estimates
    }
}

/// The same as [`of_daily_returns`]' in one pass without drawdowns, for thousands of resamples.
fn annual_sharpe(returns: &[f64]) -> Option<f64> {
    Moments::of(returns).map(|moments| moments.sharpe() * DAYS_PER_YEAR.sqrt())
}

/// [`annual_sharpe`] without higher moments.
fn quick_sharpe(returns: &[f64]) -> Option<f64> {
    let (&first, days) = (returns.first()?, returns.len() as f64);
    if returns.iter().all(|&value| value == first) {
        return None;
    }
    let mean = returns.iter().sum::<f64>() / days;
    let squares = returns.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    let std = (squares / (days - 1.0)).sqrt();
    (std > 0.0).then(|| mean / std * DAYS_PER_YEAR.sqrt())
}

#[cfg(test)]
mod calibration;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
