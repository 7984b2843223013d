//! The valid bars of a day: comparison and merging.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::market::bar::{Bar, BarSeries, Period, Symbol};
use crate::market::calendar;
use crate::market::clean::value_fault;
use crate::market::error::MarketError;
use crate::market::parquet::{RawRows, decode_day, encode_rows};
use crate::market::store::Store;

/// Prices have four decimals; a change in the last one is rounding.
const ROUNDING: f64 = 1.5e-4;
/// Standard errors of a median ratio up to which it is 1.
const ERRORS: f64 = 4.0;
/// Files with 32-bit floats have seven digits.
const RELATIVE_ROUNDING: f64 = 1e-6;

/// The length that daily bars are said to have, whatever the session's.
pub(crate) const DAY_MINUTES: u32 = 24 * 60;

/// One day's valid bars: open, high, low, close and volume by label, UTC seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DayBars(pub BTreeMap<i64, [f64; 5]>);

/// Rows by the market's date.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowsByDay {
    pub(crate) days: BTreeMap<NaiveDate, DayBars>,
    /// Number of rejected rows.
    pub(crate) bad_rows: usize,
    /// Description of the first of them.
    pub(crate) first_bad: Option<String>,
    /// Number of rows whose time occurs before with other values.
    pub(crate) repeated: usize,
}

impl RowsByDay {
    /// From rows in any order. Of several with the same time, the first is kept.
    pub(crate) fn from_rows(raw: &RawRows) -> RowsByDay {
        let mut cut = RowsByDay::default();
        for i in 0..raw.len() {
            let values = raw.values(i);
            let Some(label_s) = raw.label_s[i] else {
                cut.leave_out("a row without a time".into());
                continue;
            };
            let at = || calendar::iso_market_time(label_s);
            if let Some(why) = value_fault(values) {
                cut.leave_out(format!("{}: {why}", at()));
                continue;
            }
            let day = cut.days.entry(calendar::market_date(label_s)).or_default();
            match day.0.entry(label_s) {
                Entry::Vacant(free) => drop(free.insert(values)),
                Entry::Occupied(first) if *first.get() == values => {}
                Entry::Occupied(_) => {
                    cut.repeated += 1;
                    cut.leave_out(format!("{}: its time occurs twice", at()));
                }
            }
        }
        cut
    }

    /// The dates for which the store has files.
    pub(crate) fn stored(
        &self,
        store: &dyn Store,
        symbol: &Symbol,
    ) -> Result<BTreeSet<NaiveDate>, MarketError> {
        let ends = self.days.first_key_value().zip(self.days.last_key_value());
        let Some(((&start, _), (&end, _))) = ends else { return Ok(BTreeSet::new()) };
        let files = store.list(symbol, &Period { start, end })?;
        Ok(files.into_iter().map(|file| file.date).collect())
    }

    fn leave_out(&mut self, why: String) {
        self.bad_rows += 1;
        self.first_bad.get_or_insert(why);
    }

    /// The bars in order of time, with their labels in place of their ends.
    pub(crate) fn series(&self, symbol: &Symbol) -> BarSeries {
        let mut series = BarSeries::new(symbol.clone());
        for (&label_s, &[open, high, low, close, volume]) in self.days.values().flat_map(|d| &d.0) {
            series.push(Bar { end_s: label_s, open, high, low, close, volume });
        }
        series
    }

    /// Whether there is one bar a day, always at the same time, on the market's clock or in UTC.
    pub(crate) fn is_daily(&self) -> bool {
        let one_each = self.days.values().all(|day| day.0.len() == 1);
        let labels = || self.days.values().flat_map(|day| day.0.keys());
        let all_same = |time: &dyn Fn(i64) -> i64| {
            let mut times = labels().map(|&label_s| time(label_s));
            let first = times.next();
            times.all(|time| Some(time) == first)
        };
        let local = |label_s| calendar::time_of_day_s(label_s);
        let is_same = all_same(&local) || all_same(&|label_s| label_s.rem_euclid(86_400));
        one_each && self.days.len() > 1 && is_same
    }

    /// The most frequent distance between two bars of a day, minutes; None if no day has two bars.
    pub(crate) fn interval_minutes(&self) -> Option<u32> {
        let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
        for day in self.days.values() {
            for (before, after) in day.0.keys().zip(day.0.keys().skip(1)) {
                *counts.entry(after - before).or_default() += 1;
            }
        }
        let usual = counts.into_iter().rev().max_by_key(|&(_, count)| count)?.0;
        u32::try_from(usual / 60).ok().filter(|&minutes| minutes > 0)
    }
}

impl DayBars {
    /// All valid rows of a day file, of any date: files cut at UTC midnight contain two.
    pub fn decode(bytes: &[u8], key: &str) -> Result<DayBars, MarketError> {
        let cut = RowsByDay::from_rows(&decode_day(bytes, key)?);
        Ok(DayBars(cut.days.into_values().flat_map(|day| day.0).collect()))
    }

    /// A day file with these bars. `key` is its name for messages.
    pub fn encode(&self, key: &str) -> Result<Vec<u8>, MarketError> {
        let mut rows = RawRows::default();
        for (&label_s, &values) in &self.0 {
            rows.push(Some(label_s), values);
        }
        encode_rows(&rows, key)
    }

    /// The union of both; where both have a bar, the newer one.
    pub(crate) fn updated(&self, newer: &DayBars) -> DayBars {
        let mut bars = self.0.clone();
        bars.extend(&newer.0);
        DayBars(bars)
    }

    /// Minutes of the regular session covered by the bars, whether labels name their start or end.
    pub(crate) fn session_minutes(&self, date: NaiveDate) -> u32 {
        let session = calendar::market().usual_session(date);
        let one = RowsByDay { days: [(date, self.clone())].into(), ..RowsByDay::default() };
        let interval = one.interval_minutes().unwrap_or(1);
        let first_s = session.open_s - 60 * i64::from(interval) + 1;
        let bars = self.0.range(first_s..=session.close_s).count() as u32;
        (bars * interval).min(((session.close_s - session.open_s) / 60) as u32)
    }
}

/// Median of some values, at least one, and its standard error, from their median deviation: both as
/// of a normal distribution.
fn median_and_error(values: &mut [f64]) -> (f64, f64) {
    let middle = |values: &mut [f64]| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let median = middle(values);
    let mut apart: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    let deviation = 1.4826 * middle(&mut apart);
    (median, 1.2533 * deviation / (values.len() as f64).sqrt())
}

/// Relation of new prices to stored ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Basis {
    /// No bar in common.
    Unknown,
    Same,
    /// On some day most of them differ: there was a split or a dividend, or one side is unadjusted.
    /// The median of new over stored closes.
    Moved(f64),
}

/// Compares the days that new and stored bars have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    common_bars: usize,
    /// Median price ratio of the first day that moved.
    moved: Option<f64>,
}

impl Comparison {
    /// Adds one day. A few corrected bars do not change the basis; most of a day's bars do.
    pub(crate) fn add(&mut self, stored: &DayBars, new: &DayBars) {
        let (mut ratios, mut differing) = (Vec::new(), 0);
        for (label_s, old) in &stored.0 {
            let Some(new) = new.0.get(label_s) else { continue };
            let (old, new) = (old[3], new[3]);
            let difference = (new - old).abs();
            differing += usize::from(difference > ROUNDING && difference > RELATIVE_ROUNDING * old);
            ratios.push(new / old);
        }
        self.common_bars += ratios.len();
        if 2 * differing > ratios.len() {
            let (median, error) = median_and_error(&mut ratios);
            // Prices rounded to cents, or of another venue, differ by as much to either side.
            if (median - 1.0).abs() > ERRORS * error {
                self.moved.get_or_insert(median);
            }
        }
    }

    pub(crate) fn basis(&self) -> Basis {
        match self.moved {
            Some(ratio) => Basis::Moved(ratio),
            None if self.common_bars == 0 => Basis::Unknown,
            None => Basis::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(close: f64) -> [f64; 5] {
        [close, close + 1.0, close - 1.0, close, 10.0]
    }

    /// Five-minute bars from 09:30 EST on 2020-01-02.
    fn day(closes: &[f64]) -> DayBars {
        let labels = (0..).map(|i| 1_577_975_400 + 300 * i);
        DayBars(labels.zip(closes.iter().map(|&close| bar(close))).collect())
    }

    fn basis(stored: &[f64], new: &[f64]) -> Basis {
        let mut comparison = Comparison::default();
        comparison.add(&day(stored), &day(new));
        comparison.basis()
    }

    #[test]
    fn a_split_and_a_dividend_are_seen_and_a_correction_is_none() {
        let closes = [100.0, 101.0, 102.0, 103.0];
        assert_eq!(basis(&closes, &closes), Basis::Same);
        assert_eq!(basis(&closes, &[100.0, 101.5, 102.0, 103.0]), Basis::Same);
        assert_eq!(basis(&closes, &closes.map(|c| c + 0.0001)), Basis::Same);
        assert_eq!(basis(&closes, &closes.map(|c| c / 4.0)), Basis::Moved(0.25));
        // A dividend of one cent.
        let Basis::Moved(ratio) = basis(&closes, &closes.map(|c| c * (1.0 - 0.01 / 103.0))) else {
            panic!("a dividend went unseen")
        };
        assert!((ratio - 0.999_902_912_6).abs() < 1e-9, "{ratio}");
        assert_eq!(basis(&closes, &[]), Basis::Unknown);
    }

    /// Four decimals and two of the same prices; the same with a dividend of a tenth of a percent.
    #[test]
    fn rounding_to_cents_is_no_dividend() {
        let closes: Vec<f64> = (0..78).map(|i| 10.0 + (f64::from(i) * 0.7).sin()).collect();
        let cents = |scale: f64| -> Vec<f64> {
            closes.iter().map(|close| (close * scale * 100.0).round() / 100.0).collect()
        };
        assert_eq!(basis(&closes, &cents(1.0)), Basis::Same);
        let Basis::Moved(ratio) = basis(&closes, &cents(0.999)) else {
            panic!("a dividend went unseen")
        };
        assert!((ratio - 0.999).abs() < 2e-4, "{ratio}");
    }

    #[test]
    fn what_is_stored_stays_and_what_is_newer_is_taken() {
        let both = day(&[100.0, 101.0, 102.0]).updated(&day(&[100.0, 101.5]));
        assert_eq!(both, day(&[100.0, 101.5, 102.0]));
        let key = "stocks_intraday/X/2020/01/X_2020-01-02.parquet";
        assert_eq!(DayBars::decode(&both.encode(key).unwrap(), key).unwrap(), both);
    }

    #[test]
    fn rows_are_cut_at_midnight_in_new_york_and_bad_ones_left_out() {
        let mut raw = RawRows::default();
        // 2020-01-03 00:00 EST, 2020-01-02 23:55 EST, the same again, the same with other values.
        for (label_s, close) in [(1_578_027_600, 5.0), (1_578_027_300, 6.0), (1_578_027_300, 6.0)] {
            raw.push(Some(label_s), bar(close));
        }
        raw.push(Some(1_578_027_300), bar(7.0));
        raw.push(None, bar(5.0));
        raw.push(Some(1_578_028_200), [5.0, 4.0, 6.0, 5.0, 1.0]);
        let cut = RowsByDay::from_rows(&raw);
        let dates: Vec<String> = cut.days.keys().map(|date| date.to_string()).collect();
        assert_eq!(dates, ["2020-01-02", "2020-01-03"]);
        assert_eq!((cut.bad_rows, cut.days.values().map(|day| day.0.len()).sum()), (3, 2));
        assert!(cut.first_bad.unwrap().ends_with("its time occurs twice"));
    }

    #[test]
    fn the_session_is_covered_alike_by_either_label() {
        let date: NaiveDate = "2020-01-02".parse().unwrap();
        let shifted = |by_s: i64| {
            DayBars(day(&[100.0; 78]).0.into_iter().map(|(s, bar)| (s + by_s, bar)).collect())
        };
        assert_eq!(shifted(0).session_minutes(date), 390);
        assert_eq!(shifted(300).session_minutes(date), 390);
        assert_eq!(day(&[100.0; 20]).session_minutes(date), 100);
        // Hourly bars that begin at full hours.
        let hourly = (9..16).map(|h| (1_577_975_400 - 1_800 + 3_600 * (h - 9), bar(9.0)));
        assert_eq!(DayBars(hourly.collect()).session_minutes(date), 390);
    }
}
