//! Did the positions have the right timing? Compares them with the same positions on other days.
//!
//! A day's **timing gain** is what the positions earned beyond what each stock's average exposure
//! so far would have earned. A market's drift is in both and cancels. (The average over the whole
//! evaluation would be biased: contrarian positions lower it after a rise, so that earlier ones
//! would look high.) Costs are deducted. The **score** is the mean of the gains over its standard
//! error.
//!
//! Positions follow from earlier prices. So without skill the gains are martingale differences,
//! apart from the drift, and the score is close to standard normal (Brown 1971, "Martingale central
//! limit theorems", Annals of Mathematical Statistics 42(1)). **Placebos** tell what the drift adds
//! where exposures rise or fall over the evaluation: they hold the same positions a number of days
//! later or earlier, wrapping around the ends, and pay no costs. The p-value is that of the score
//! minus their mean, or minus nothing if that is below 0.
//!
//! The rank of the score among the placebos is not used, although it would be an exact test of
//! positions that do not depend on prices. Those of most policies do, and a placebo with the
//! positions of some days later has positions that reacted to the returns it is credited with. A
//! dip buyer's are high after falls, so such placebos lose, and any score ranks high beside them.
//! (Regressions of returns on what reacts to them are biased for the same reason: Stambaugh 1999,
//! "Predictive regressions", Journal of Financial Economics 54(3).) This pulls the mean of a
//! contrarian's placebos below 0, which is why a mean below 0 does not count. It pulls that of a
//! trend follower's above 0, which errs on the safe side.
//!
//! Whole days are shifted, all stocks together. This keeps the time of day, the order within a day,
//! the dependence between stocks and the persistence of positions. Positions that are the same
//! every day are their own placebo.
//!
//! Whether positions have the right **time of day** is a test of its own ([`ClockTest`]). The two
//! share the level ([`BY_DAYS`], [`BY_CLOCK`]; weighted Bonferroni: Genovese, Roeder and Wasserman
//! 2006).
//!
//! The statistic is studentised, because volatility clusters and may be related to the size of
//! positions; without that such a test is wrong even in large samples: Chung & Romano (2013),
//! "Exact and asymptotically robust permutation tests", Annals of Statistics 41(2), section 3.

mod table;

use chrono::{NaiveDate, NaiveTime};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::MIN_DAYS;
use super::sharpe::SampleMoments;
use crate::compute::simd_dispatch::wide;
use crate::eval::metrics::BacktestRecord;
use crate::market::calendar::{MarketClock, market_time_to_utc};
use crate::math::normal::normal_cdf;
pub(crate) use table::{HeldShares, TimingScratch, TimingTable};

/// If there are more placebos than this, a random sample is used.
const MAX_PLACEBOS: usize = 999;
/// Placebos that are computed side by side.
const ABREAST: usize = 4;
/// Shares of the level that the tests of days and of the time of day have: most edges are found by
/// the former, and one by the clock recurs so often that a small share is enough.
const BY_DAYS: f64 = 0.9;
const BY_CLOCK: f64 = 1.0 - BY_DAYS;
/// A standard deviation of daily gains (fractions of equity) below this is rounding error.
const MIN_STD: f64 = 1e-12;

/// Test of positions against returns, with circular shifts for the share of the drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimingTest {
    /// Mean over standard error of the daily timing gains, after costs.
    pub score: f64,
    /// One-sided p-value: probability of such a score without skill.
    pub p_value: f64,
    /// Number of shifts that tell what the drift gave.
    pub placebos: usize,
}

/// Exposures and price changes by day and time of day.
#[derive(Clone, Debug)]
pub(super) struct ExposureGrid {
    stocks: usize,
    /// Cells per day: times of day x stocks.
    width: usize,
    /// Position over equity minus the stock's mean so far, `[day, time of day, stock]`; carried
    /// forward where there was no bar.
    exposure: Vec<f64>,
    /// Relative price change from this bar's open to the next open, for the last bar to its close,
    /// `[day, time of day, stock]`; 0 where there was no bar.
    change: Vec<f64>,
    /// Costs over equity, `[day]`.
    cost: Vec<f64>,
}

impl TimingTest {
    /// `hurdle` is the score expected of the best trial by luck. None if there is no score.
    pub(super) fn run(
        days: &ExposureGrid,
        hurdle: f64,
        rng: &mut ChaCha8Rng,
    ) -> Option<TimingTest> {
        let score = days.score()?;
        let others = days.count() - 1;
        let shifts: Vec<usize> = if others <= MAX_PLACEBOS {
            (1..=others).collect()
        } else {
            let chosen = rand::seq::index::sample(rng, others, MAX_PLACEBOS);
            chosen.into_iter().map(|other| other + 1).collect()
        };
        let placebos: f64 = days.placebos(&shifts).iter().sum();
        let by_drift = (placebos / shifts.len() as f64).max(0.0);
        let p_value = 1.0 - normal_cdf(score - hurdle - by_drift);
        Some(TimingTest { score, p_value, placebos: shifts.len() })
    }
}

/// Test of positions that recur at the same time of day.
///
/// A stock's **habit** at a time of day is what was held then on the days before, on average, less
/// the mean over the times of day. It depends on earlier days alone and sums to nothing over a day,
/// so that without an edge by the clock its daily gains have the mean 0, whatever the drift and
/// whatever positions do within a day, and are nearly independent: their score is close to standard
/// normal. All costs of the account are deducted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockTest {
    /// Mean over standard error of the habit's daily gains, after costs.
    pub score: f64,
    /// One-sided p-value: probability of such a score without skill.
    pub p_value: f64,
}

impl ClockTest {
    /// `hurdle` as for [`TimingTest::run`]. None for too few days, a single bar per day, or constant
    /// gains.
    pub(super) fn run(days: &ExposureGrid, hurdle: f64) -> Option<ClockTest> {
        if days.count() <= MIN_DAYS || days.width <= days.stocks {
            return None;
        }
        let score = score(&days.habit_gains())?;
        Some(ClockTest { score, p_value: 1.0 - normal_cdf(score - hurdle) })
    }
}

/// The p-value of both tests together.
pub(super) fn together(by_days: &TimingTest, by_clock: Option<&ClockTest>) -> f64 {
    let clock = by_clock.map_or(1.0, |test| test.p_value / BY_CLOCK);
    (by_days.p_value / BY_DAYS).min(clock).min(1.0)
}

impl ExposureGrid {
    /// # Panics
    /// If the columns of `record` differ in length.
    pub(super) fn from_record(record: &BacktestRecord) -> ExposureGrid {
        let stocks = record.stocks.len();
        let bars = 1..record.end_s.len();
        let (times, slots) = times_of_day(&record.end_s);
        let width = slots.len() * stocks;
        let mut days =
            ExposureGrid { stocks, width, exposure: vec![], change: vec![], cost: vec![] };
        let mut sums = vec![0.0; stocks];
        let mut held = vec![0.0; stocks];
        let mut date: Option<NaiveDate> = None;
        let mut next_slot = slots.len();
        for t in bars {
            let (today, tod_s) = times[t];
            if date != Some(today) {
                days.carry(&held, slots.len() - next_slot);
                next_slot = 0;
                date = Some(today);
                days.cost.push(0.0);
            }
            let slot = slots.partition_point(|&slot| slot < tod_s);
            days.carry(&held, slot - next_slot);
            next_slot = slot + 1;
            for stock in 0..stocks {
                let (exposure, change) = exposure_and_change(record, t, stock);
                sums[stock] += exposure;
                held[stock] = exposure - sums[stock] / t as f64;
                days.exposure.push(held[stock]);
                days.change.push(change);
            }
            if let Some(cost) = days.cost.last_mut() {
                *cost += cost_of(record, t);
            }
        }
        days.carry(&held, slots.len() - next_slot);
        days
    }

    /// Appends `slots` times of day without a bar.
    fn carry(&mut self, held: &[f64], slots: usize) {
        for _ in 0..slots {
            self.exposure.extend(held);
            self.change.extend(held.iter().map(|_| 0.0));
        }
    }

    fn count(&self) -> usize {
        self.cost.len()
    }

    /// Score of the actual positions after costs; None for fewer than [`MIN_DAYS`] days or constant
    /// gains.
    pub(super) fn score(&self) -> Option<f64> {
        if self.count() < MIN_DAYS {
            return None;
        }
        let gain = |day: usize| dot(self.exposure_of(day), self.change_of(day)) - self.cost[day];
        score(&(0..self.count()).map(gain).collect::<Vec<f64>>())
    }

    /// Scores of the positions shifted by so many days each, without costs; 0 if they gain nothing
    /// on any day.
    fn placebos(&self, shifts: &[usize]) -> Vec<f64> {
        let count = self.count();
        let mut scores = Vec::with_capacity(shifts.len());
        for shifts in shifts.chunks(ABREAST) {
            let mut gains: [Vec<f64>; ABREAST] = Default::default();
            for day in 0..count {
                // The rest of the last few are computed and not used.
                let held: [&[f64]; ABREAST] = std::array::from_fn(|i| {
                    self.exposure_of((day + shifts.get(i).unwrap_or(&0)) % count)
                });
                let found = dots(self.change_of(day), held);
                gains.iter_mut().zip(found).for_each(|(gains, found)| gains.push(found));
            }
            let of = gains.iter().take(shifts.len());
            scores.extend(of.map(|gains| score(gains).unwrap_or(0.0)));
        }
        scores
    }

    fn exposure_of(&self, day: usize) -> &[f64] {
        &self.exposure[day * self.width..(day + 1) * self.width]
    }

    fn change_of(&self, day: usize) -> &[f64] {
        &self.change[day * self.width..(day + 1) * self.width]
    }

    /// After costs, of the days after the first; see [`ClockTest`].
    fn habit_gains(&self) -> Vec<f64> {
        let (width, stocks) = (self.width, self.stocks);
        let slots = (width / stocks) as f64;
        let mut sums = vec![0.0; width];
        let mut habit = vec![0.0; width];
        let mut gains = Vec::with_capacity(self.count());
        for day in 1..self.count() {
            let before = &self.exposure[(day - 1) * width..][..width];
            sums.iter_mut().zip(before).for_each(|(sum, held)| *sum += held);
            for stock in 0..stocks {
                let mean = sums[stock..].iter().step_by(stocks).sum::<f64>() / slots;
                for cell in (stock..width).step_by(stocks) {
                    habit[cell] = (sums[cell] - mean) / day as f64;
                }
            }
            gains.push(dot(&habit, self.change_of(day)) - self.cost[day]);
        }
        gains
    }
}

/// Date and time of day of each bar, and the distinct times of day of all bars after the first. Times
/// are seconds since midnight: those of the clock, but that no hour occurs twice in November.
fn times_of_day(end_s: &[i64]) -> (Vec<(NaiveDate, i64)>, Vec<i64>) {
    let mut clock = MarketClock::new();
    let mut midnight_s = 0;
    let mut today = None;
    let time = |&end_s: &i64| {
        let (date, _) = clock.at(end_s);
        if today.replace(date) != Some(date) {
            midnight_s = market_time_to_utc(date.and_time(NaiveTime::MIN));
        }
        (date, end_s - midnight_s)
    };
    let times: Vec<(NaiveDate, i64)> = end_s.iter().map(time).collect();
    let mut slots: Vec<i64> = times.iter().skip(1).map(|&(_, tod_s)| tod_s).collect();
    slots.sort_unstable();
    slots.dedup();
    (times, slots)
}

/// Mean over standard error.
fn score(gains: &[f64]) -> Option<f64> {
    let moments = SampleMoments::from_values(gains)?;
    (moments.std > MIN_STD).then(|| moments.sharpe() * (moments.count as f64).sqrt())
}

/// Position over the equity before the bar, and the relative price change from this open to the
/// next.
fn exposure_and_change(record: &BacktestRecord, t: usize, stock: usize) -> (f64, f64) {
    let stocks = record.stocks.len();
    let (cell, equity) = (t * stocks + stock, record.equity[t - 1]);
    let (position, open) = (record.position[cell], record.open[cell]);
    if equity <= 0.0 || open <= 0.0 {
        return (0.0, 0.0);
    }
    let until = record.open.get(cell + stocks).unwrap_or(&record.price[cell]);
    (position * open / equity, until / open - 1.0)
}

/// Loss of equity not explained by price changes, over the equity before the bar.
fn cost_of(record: &BacktestRecord, t: usize) -> f64 {
    let stocks = record.stocks.len();
    let before = record.equity[t - 1];
    if before <= 0.0 {
        return 0.0;
    }
    let mut earned = 0.0;
    for stock in 0..stocks {
        let (cell, last) = (t * stocks + stock, (t - 1) * stocks + stock);
        let (open, position) = (record.open[cell], record.position[cell]);
        // A stock that is not held may have no price yet.
        if record.position[last] != 0.0 {
            earned += record.position[last] * (open - record.price[last]);
        }
        if position != 0.0 {
            earned += position * (record.price[cell] - open);
        }
    }
    (before + earned - record.equity[t]) / before
}

/// Dot product with eight partial sums, so that it vectorises with a fixed order of addition.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let [found] = dots(left, [right]);
    found
}

wide! {
/// Dot products of `left` with each of `rights`. Several at once keep the processor busy: one alone
/// waits for each addition to end.
fn dots[const N: usize](left: &[f64], rights: [&[f64]; N]) -> [f64; N] {
    let mut sums = [[0.0; 8]; N];
    let (lefts, rest) = left.as_chunks::<8>();
    let parts = rights.map(|right| right.as_chunks::<8>().0);
    for (at, left) in lefts.iter().enumerate() {
        for (sums, part) in sums.iter_mut().zip(&parts) {
            for ((sum, left), right) in sums.iter_mut().zip(left).zip(&part[at]) {
                *sum += left * right;
            }
        }
    }
    std::array::from_fn(|i| {
        let last = &rights[i][8 * lefts.len()..];
        let rest: f64 = rest.iter().zip(last).map(|(left, right)| left * right).sum();
        sums[i].iter().sum::<f64>() + rest
    })
}
}

#[cfg(test)]
mod tests;
