//! Skill or luck? Confidence intervals, hypothesis tests and one plain verdict about a back-test.
//! Pure functions: randomness is passed in.
//!
//! **Evidence of an edge** needs two things:
//!
//! 1. Profit after costs: the deflated Sharpe ratio is at least 96 %.
//! 2. Timing beyond holding, after costs: the p-value of [`TimingTest`] and [`ClockTest`] together
//!    is at most 4 %.
//!
//! Both hurdles rise with the number of trials. A portfolio without an edge lacks at least one of
//! the two and would have to pass that test by chance, so it gets "evidence" in at most 5 % of
//! cases: the intersection-union test of Berger (1982), Technometrics 24(4), theorem 1. The first
//! test alone would mistake a rising market for skill; the second alone would accept a loss that is
//! smaller than it might have been. (4 % rather than 5 %, because both tests are exact in long
//! evaluations only. Over one year they err somewhat more often for policies that bet more after
//! losses: the luckier these are, the less they vary.)
//!
//! **Worse than doing nothing**: the probability that the true Sharpe ratio is above 0 is at most
//! 2.5 %, one tail of the interval. Everything else is **no evidence**. What was trained on the days
//! that it trades, or on later ones, gets no verdict at all.

mod bootstrap;
mod sharpe;
mod timing;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::metrics::{BacktestRecord, DAYS_PER_YEAR, daily_metrics};
use sharpe::SampleMoments;
use timing::ExposureGrid;
pub use timing::{ClockTest, TimingTest};
pub(crate) use timing::{HeldShares, TimingScratch, TimingTable};

/// Minimum number of days for any test or interval.
pub(crate) const MIN_DAYS: usize = 20;
/// Maximum rate of "evidence" without an edge, to which the tests are calibrated.
#[cfg(test)]
const ERROR_RATE: f64 = 0.05;
/// Significance level of each of the two tests: a margin below the 5% of false evidence that the
/// calibration allows.
pub const THRESHOLD: f64 = 0.04;
/// Level of the two-sided intervals.
pub const CONFIDENCE: f64 = 0.95;

const TAIL: f64 = (1.0 - CONFIDENCE) / 2.0;
const RESAMPLES: usize = 4_999;

/// Whether an evaluation shows skill, given how many were tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Both tests reject luck.
    #[serde(rename = "evidence of an edge")]
    Evidence,
    /// Luck explains the result.
    #[serde(rename = "no evidence of an edge")]
    NoEvidence,
    /// The true Sharpe ratio is below 0, with a probability of at least 97.5%.
    #[serde(rename = "worse than doing nothing")]
    Worse,
    /// Nothing is said: what traded knows these days, or later ones.
    #[serde(rename = "in sample, no verdict")]
    InSample,
}

impl Verdict {
    /// As in `summary.json` and in the closing table.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Evidence => "evidence of an edge",
            Verdict::NoEvidence => "no evidence of an edge",
            Verdict::Worse => "worse than doing nothing",
            Verdict::InSample => "in sample, no verdict",
        }
    }
}

/// Statistical inference about an evaluation. Undefined values are None (null in JSON).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// What the tests say together.
    pub verdict: Verdict,
    /// The larger p-value of the verdict's two tests; evidence needs [`THRESHOLD`] or less.
    pub p_value: Option<f64>,
    /// Number of daily returns.
    pub days: usize,
    /// Sharpe ratio of the strategy, after costs.
    pub sharpe: SharpeEstimate,
    /// Sharpe ratio of its daily returns minus those of buy-and-hold.
    pub excess_sharpe: SharpeEstimate,
    /// Probability that the strategy's true Sharpe ratio is above 0.
    pub probabilistic_sharpe: Option<f64>,
    /// Probability that it is above the Sharpe ratio expected of the best trial by luck.
    pub deflated_sharpe: Option<f64>,
    /// Whether positions were right more often than on other days; None without a score.
    pub timing: Option<TimingTest>,
    /// Whether positions that recur at the same time of day were right; None without a score, or with
    /// one bar per day.
    #[serde(default)]
    pub clock: Option<ClockTest>,
    /// How many evaluations the best may have been selected from.
    pub trials: TrialsCounted,
}

/// A Sharpe ratio and its interval, annualised by the trading days of a year.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SharpeEstimate {
    /// None if all returns are equal, or there are fewer than two.
    pub value: Option<f64>,
    /// Lower end of the [`CONFIDENCE`] interval; `high` is the upper one.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Mean length of the bootstrap's blocks in days.
    pub block_days: Option<f64>,
}

/// One evaluation among which the best may have been selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The training episode before it; None if a finished model was evaluated.
    pub episode: Option<u32>,
    /// Annualised, after costs.
    pub sharpe: Option<f64>,
    /// See [`TimingTest::score`].
    pub timing_score: Option<f64>,
}

/// All evaluations so far; the judged one is among `own`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trials {
    /// Trials of this run, in order.
    pub(crate) own: Vec<Trial>,
    /// Trials of other runs, as far as they are known.
    pub(crate) earlier: Vec<Trial>,
}

/// The trials as saved in `summary.json`, for later runs to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialsCounted {
    /// Number of distinct trials, own and earlier. A repetition with the same result does not
    /// count.
    pub count: usize,
    /// Number of distinct trials of other runs.
    pub earlier: usize,
    /// Annualised Sharpe ratio expected of the best of `count` trials by luck.
    pub sharpe_hurdle: f64,
    /// Timing score expected of the best of `count` trials by luck.
    pub timing_hurdle: f64,
    /// Evaluations of this run, in order.
    pub own: Vec<Trial>,
}

impl Trial {
    /// The trial that a back-test's record amounts to.
    pub fn new(episode: Option<u32>, record: &BacktestRecord) -> Trial {
        Trial {
            episode,
            sharpe: daily_metrics(&record.daily_returns(), record.days_per_year()).sharpe,
            timing_score: ExposureGrid::from_record(record).score(),
        }
    }

    /// A trial whose result is not known.
    pub(crate) fn unknown() -> Trial {
        Trial { episode: None, sharpe: None, timing_score: None }
    }

    /// Whether both have the same result, up to the rounding of a number that was written and read.
    /// Trials without a Sharpe ratio, as from policies that never trade, cannot have been selected
    /// for their luck and count as one.
    pub(crate) fn repeats(&self, other: &Trial) -> bool {
        let same = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-12 * one.abs(),
            (one, other) => one.is_none() && other.is_none(),
        };
        same(self.sharpe, other.sharpe) && same(self.timing_score, other.timing_score)
    }
}

impl Trials {
    /// Hurdles by eq. 1 of Bailey & López de Prado (2014) with the variance of the trials' scores.
    /// Trials differ by luck and by merit: a learner's first episodes are much worse than its last.
    /// So the variance is capped at that of luck alone, which for independent returns without skill
    /// is 1 / (number of days - 1) for a daily Sharpe ratio and 1 for the timing score. Correlated
    /// trials have less.
    fn counted(&self, days: usize, year: f64) -> TrialsCounted {
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
            let variance =
                SampleMoments::from_values(&scores).map_or(0.0, |moments| moments.std.powi(2));
            sharpe::expected_maximum(count, variance.min(by_luck))
        };
        let year_over_days = year / (days as f64 - 1.0).max(1.0);
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
    /// The p-value of the two timing tests together.
    pub(crate) fn timing_p_value(&self) -> Option<f64> {
        self.timing.as_ref().map(|days| timing::together(days, self.clock.as_ref()))
    }

    /// Judges `record`, the last of `trials.own`, against `benchmark` over the same bars.
    ///
    /// # Panics
    /// If the columns of a record differ in length or a number is not finite.
    pub(crate) fn new(
        record: &BacktestRecord,
        benchmark: &BacktestRecord,
        trials: &Trials,
        rng: &mut ChaCha8Rng,
    ) -> Inference {
        let found = Inference::without_intervals(record, trials, rng);
        let ours = record.daily_returns();
        let theirs = benchmark.daily_returns();
        let excess: Vec<f64> = ours.iter().zip(&theirs).map(|(our, their)| our - their).collect();
        let year = record.days_per_year();
        let sharpe = SharpeEstimate::from_returns(&ours, year, rng);
        let excess_sharpe = SharpeEstimate::from_returns(&excess, year, rng);
        Inference { sharpe, excess_sharpe, ..found }
    }

    /// The same figures without a verdict if `in_sample`: what traded was fitted on these days, or
    /// on later ones.
    pub(crate) fn in_sample_if(self, in_sample: bool) -> Inference {
        if in_sample {
            Inference { verdict: Verdict::InSample, p_value: None, ..self }
        } else {
            self
        }
    }

    fn without_intervals(
        record: &BacktestRecord,
        trials: &Trials,
        rng: &mut ChaCha8Rng,
    ) -> Inference {
        let returns = record.daily_returns();
        let days = returns.len();
        let year = record.days_per_year();
        let trials = trials.counted(days, year);
        let enough = if days < MIN_DAYS { &[][..] } else { &returns };
        let probability = |hurdle: f64| sharpe::probabilistic(enough, hurdle);
        let probabilistic_sharpe = probability(0.0);
        let deflated_sharpe = probability(trials.sharpe_hurdle / year.sqrt());
        let grid = ExposureGrid::from_record(record);
        let clock = ClockTest::run(&grid, trials.timing_hurdle);
        let timing = TimingTest::run(&grid, trials.timing_hurdle, rng);
        let timing_p_value = timing.as_ref().map(|days| timing::together(days, clock.as_ref()));
        let p_value = match (deflated_sharpe, timing_p_value) {
            (Some(deflated), Some(timing)) => Some(timing.max(1.0 - deflated)),
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
            sharpe: SharpeEstimate::default(),
            excess_sharpe: SharpeEstimate::default(),
            probabilistic_sharpe,
            deflated_sharpe,
            timing,
            clock,
            trials,
        }
    }
}

impl SharpeEstimate {
    /// From daily returns, `year` of them per year.
    pub(crate) fn from_returns(returns: &[f64], year: f64, rng: &mut ChaCha8Rng) -> SharpeEstimate {
        let value = daily_metrics(returns, DAYS_PER_YEAR).sharpe;
        let enough = value.is_some() && returns.len() >= MIN_DAYS;
        let block_days = bootstrap::block_length(returns).filter(|_| enough);
        let interval = block_days.and_then(|block| {
            bootstrap::interval(returns, annual_sharpe, block, TAIL, RESAMPLES, rng)
        });
        let (low, high) = interval.unzip();
        SharpeEstimate { value, low, high, block_days }.of_year(year)
    }

    /// From a year of [`DAYS_PER_YEAR`] to one of `year` days.
    fn of_year(self, year: f64) -> SharpeEstimate {
        let scale = |ratio: f64| ratio * (year / DAYS_PER_YEAR).sqrt();
        let SharpeEstimate { value, low, high, block_days } = self;
        let (value, low, high) = (value.map(scale), low.map(scale), high.map(scale));
        SharpeEstimate { value, low, high, block_days }
    }

    /// From several series of daily returns over the same days, `year` of them per year, with shared
    /// bootstrap draws; undefined for an empty series.
    ///
    /// # Panics
    /// If their days differ, or a return is not finite.
    pub(crate) fn from_each_series(
        series: &[Vec<f64>],
        year: f64,
        rng: &mut ChaCha8Rng,
    ) -> Vec<SharpeEstimate> {
        let without_interval = |returns: &Vec<f64>| {
            let value = daily_metrics(returns, DAYS_PER_YEAR).sharpe;
            let enough = value.is_some() && returns.len() >= MIN_DAYS;
            let block_days = bootstrap::block_length(returns).filter(|_| enough);
            SharpeEstimate { value, block_days, ..SharpeEstimate::default() }
        };
        let mut estimates: Vec<SharpeEstimate> = series.iter().map(without_interval).collect();
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
        estimates.into_iter().map(|estimate| estimate.of_year(year)).collect()
    }
}

/// Probability that the true Sharpe ratio of these daily returns is above 0: the probabilistic Sharpe
/// ratio (Bailey and López de Prado 2012). None if they are all equal.
pub(crate) fn probability_above_zero(returns: &[f64]) -> Option<f64> {
    sharpe::probabilistic(returns, 0.0)
}

/// Equal to that of [`daily_metrics`], in one pass and without drawdowns, for thousands of
/// resamples.
fn annual_sharpe(returns: &[f64]) -> Option<f64> {
    SampleMoments::from_values(returns).map(|moments| moments.sharpe() * DAYS_PER_YEAR.sqrt())
}

/// [`annual_sharpe`] without the higher moments.
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
