//! Overnight jumps that look like unadjusted splits.

use std::fmt;

use chrono::NaiveDate;
use serde::Serialize;

use crate::market::bar::BarSeries;
use crate::market::calendar::market_date;

/// Common splits, new shares per old one. Reverse splits are detected as well.
const FACTORS: [f64; 18] = [
    1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0,
    100.0,
];
/// Smaller overnight moves are not suspected.
const MIN_RATIO: f64 = 1.4;
/// Maximum log distance from a split factor, since the price also moves overnight.
const TOLERANCE: f64 = 0.04;

/// A move from one day's close to the next day's open that looks like a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Split {
    /// Date of the open.
    pub(crate) date: NaiveDate,
    pub(crate) close: f64,
    pub(crate) open: f64,
    /// This many new shares ...
    pub(crate) new: f64,
    /// ... for this many old ones.
    pub(crate) old: f64,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Split { date, close, open, new, old } = self;
        write!(
            f,
            "{date}: opens at {open} after a close of {close}: looks like an unadjusted \
             {new}:{old} split; adjust the prices before training on them"
        )
    }
}

/// Every close-to-open move between two days that is close to a split factor.
pub(super) fn suspected(series: &BarSeries) -> Vec<Split> {
    let pairs = series.close.iter().zip(&series.open[1.min(series.len())..]);
    let moves = pairs.enumerate().filter_map(|(i, (&close, &open))| {
        let factor = split_factor(close, open)?;
        let date = market_date(series.end_s[i + 1]);
        let (new, old) = if open < close { (factor, 1.0) } else { (1.0, factor) };
        let split = Split { date, close, open, new, old };
        (market_date(series.end_s[i]) != date).then_some(split)
    });
    moves.collect()
}

/// The common split closest to a move, if it is close enough.
fn split_factor(close: f64, open: f64) -> Option<f64> {
    // Skips nearly every move: a logarithm for each would dominate the cost of cleaning.
    if (0.75..1.33).contains(&(close / open)) {
        return None;
    }
    let size = (close / open).ln().abs();
    let distance = |factor: f64| (size - factor.ln()).abs();
    let nearest = FACTORS.into_iter().min_by(|a, b| distance(*a).total_cmp(&distance(*b)))?;
    (size > MIN_RATIO.ln() && distance(nearest) < TOLERANCE).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::bar::Bar;

    /// Bars given as (end, open, close).
    fn series(bars: &[(i64, f64, f64)]) -> BarSeries {
        let mut series = BarSeries::new("X".parse().unwrap());
        for &(end_s, open, close) in bars {
            let (high, low) = (open.max(close), open.min(close));
            series.push(Bar { end_s, open, high, low, close, volume: 1.0 });
        }
        series
    }

    #[test]
    fn a_split_is_named_with_its_date_and_factor() {
        // Apple on 2020-08-31: 499.24 to 127.58.
        let found =
            suspected(&series(&[(1_598_644_800, 504.05, 499.24), (1_598_882_400, 127.58, 126.0)]));
        let notes: Vec<String> = found.iter().map(Split::to_string).collect();
        assert_eq!(notes.len(), 1);
        assert!(notes[0].starts_with("2020-08-31: opens at 127.58"), "{}", notes[0]);
        assert!(notes[0].contains("unadjusted 4:1 split"), "{}", notes[0]);
    }

    #[test]
    fn factors_and_moves_that_are_none() {
        assert_eq!(split_factor(100.0, 51.0), Some(2.0));
        assert_eq!(split_factor(10.0, 99.0), Some(10.0));
        assert_eq!(split_factor(100.0, 66.0), Some(1.5));
        // Falls of 30 % and 42 % and no move: earnings can do that.
        for open in [70.0, 58.0, 100.0] {
            assert_eq!(split_factor(100.0, open), None, "{open}");
        }
    }

    #[test]
    fn a_jump_within_a_day_is_no_split() {
        let intraday = series(&[(1_598_644_800, 400.0, 400.0), (1_598_644_860, 100.0, 100.0)]);
        assert!(suspected(&intraday).is_empty());
        assert!(suspected(&series(&[])).is_empty());
        let reverse = series(&[(1_598_644_800, 2.0, 2.0), (1_598_882_400, 20.2, 20.0)]);
        assert!(suspected(&reverse)[0].to_string().contains("unadjusted 1:10 split"));
    }
}
