//! Bars that are neither daily nor of one length within days.

use chrono::{DateTime, Timelike};
use chrono_tz::{Tz, UTC};

use crate::ingest::day::RowsByDay;
use crate::market::calendar::{self, market_zone};

/// Share of the distances that must fit.
const SHARE: f64 = 0.8;
/// Distances from which it is told what they are.
const FEWEST: usize = 2;
/// Days between two bars, at least and at most, in words. Holidays move a week's or a month's first
/// and last day.
const LENGTHS: [(i64, i64, &str); 4] =
    [(6, 8, "weekly"), (26, 35, "monthly"), (87, 95, "quarterly"), (360, 370, "yearly")];
/// A daily bar is this far from those of its day, and so many of their lengths.
const APART_S: i64 = 3 * 3_600;
const APART_BARS: i64 = 2;
/// Share of the days with such a bar, from which there are daily ones.
const SHARE_OF_DAYS: f64 = 0.05;

/// What is wrong with bars of which there is one a day, if they are a week's or longer ones.
pub(super) fn longer_than_days(days: &RowsByDay) -> Option<String> {
    let dates = days.days.keys();
    let gaps: Vec<i64> = dates
        .clone()
        .zip(dates.skip(1))
        .map(|(before, after)| (*after - *before).num_days())
        .collect();
    let is_mostly = |range: std::ops::RangeInclusive<i64>| {
        let fits = gaps.iter().filter(|days| range.contains(days)).count();
        gaps.len() >= FEWEST && fits as f64 >= SHARE * gaps.len() as f64
    };
    let (least, most, words) =
        LENGTHS.into_iter().find(|&(least, most, _)| is_mostly(least..=most))?;
    let bars = gaps.len() + 1;
    Some(format!("has {words} bars ({bars} bars, most of them {least} to {most} days apart)"))
}

/// What is wrong with bars of some minutes, if there are daily ones among them: at midnight, in the
/// market, in UTC or in `zone`, apart from all others.
pub(super) fn daily_among(days: &RowsByDay, minutes: u32, zone: Tz) -> Option<String> {
    let labels: Vec<i64> = days.days.values().flat_map(|day| day.0.keys().copied()).collect();
    let apart_s = APART_S.max(APART_BARS * 60 * i64::from(minutes) + 1);
    let is_midnight = |label_s: i64| {
        [market_zone(), UTC, zone].iter().any(|zone| {
            let local = DateTime::from_timestamp(label_s, 0).map(|time| time.with_timezone(zone));
            local.is_some_and(|local| local.num_seconds_from_midnight() == 0)
        })
    };
    let is_daily = |i: usize| {
        let is_far = |other: Option<&i64>| other.is_none_or(|s| (s - labels[i]).abs() >= apart_s);
        let before = i.checked_sub(1).and_then(|i| labels.get(i));
        is_midnight(labels[i]) && is_far(before) && is_far(labels.get(i + 1))
    };
    let daily: Vec<usize> = (0..labels.len()).filter(|&i| is_daily(i)).collect();
    let is_many = daily.len() as f64 >= SHARE_OF_DAYS * days.days.len() as f64;
    let first = daily.first().filter(|_| is_many)?;
    let (count, at) = (daily.len(), calendar::iso_market_time(labels[*first]));
    Some(format!("has bars of {minutes} min and, at midnight, {count} of whole days (first {at})"))
}

#[cfg(test)]
mod tests {
    use chrono_tz::America::New_York;

    use super::*;
    use crate::market::parquet::RawRows;

    /// 2020-01-02 00:00 in New York.
    const DAY: i64 = 1_577_941_200;

    fn days(labels: impl Iterator<Item = i64>) -> RowsByDay {
        let mut rows = RawRows::default();
        labels.for_each(|label_s| rows.push(Some(label_s), [5.0, 6.0, 4.0, 5.0, 1.0]));
        RowsByDay::from_rows(&rows)
    }

    #[test]
    fn weeks_and_months_are_no_days() {
        let every = |days: &[i64]| {
            let mut at = DAY;
            let after = days.iter().map(|days| {
                at += days * 86_400;
                at
            });
            std::iter::once(DAY).chain(after).collect::<Vec<i64>>()
        };
        let found = |gaps: &[i64]| longer_than_days(&days(every(gaps).into_iter()));
        assert!(found(&[7, 7, 6, 8, 7]).unwrap().starts_with("has weekly bars (6 bars"));
        assert!(found(&[31, 29, 31]).unwrap().starts_with("has monthly bars"));
        assert!(found(&[91, 91, 92]).unwrap().starts_with("has quarterly bars"));
        for gaps in [&[1, 1, 1, 3, 1][..], &[7], &[1, 7, 7, 1, 1], &[4, 1, 3, 10]] {
            assert_eq!(found(gaps), None, "{gaps:?}");
        }
    }

    #[test]
    fn daily_bars_among_others_are_found() {
        let session = |day: i64| (0..78).map(move |i| DAY + day * 86_400 + 34_200 + 300 * i);
        let whole = |day: i64| std::iter::once(DAY + day * 86_400).chain(session(day));
        let found = daily_among(&days((0..4).flat_map(whole)), 5, New_York).unwrap();
        assert!(
            found.starts_with("has bars of 5 min and, at midnight, 4 of whole days"),
            "{found}"
        );
        assert!(found.ends_with("(first 2020-01-02T00:00:00-05:00)"), "{found}");
        // Daily bars before those of minutes; and midnight in UTC.
        let earlier = (0..30).map(|day| DAY + day * 86_400).chain((30..34).flat_map(session));
        assert!(daily_among(&days(earlier), 5, New_York).is_some());
        let utc =
            (0..4).flat_map(|day| std::iter::once(DAY + day * 86_400 - 18_000).chain(session(day)));
        assert!(daily_among(&days(utc), 5, New_York).is_some());
        // Or in the zone that times are said to have: 23:00 in UTC.
        let berlin = (0..4)
            .flat_map(|day| std::iter::once(DAY + day * 86_400 - 6 * 3_600).chain(session(day)));
        let berlin = days(berlin);
        assert!(daily_among(&berlin, 5, chrono_tz::Europe::Berlin).is_some());
        assert_eq!(daily_among(&berlin, 5, New_York), None);
        // A market that never closes has bars at midnight, of any length.
        for minutes in [5, 60, 240, 720] {
            let all = (0..500).map(|i| DAY - 18_000 + 60 * i64::from(minutes) * i);
            assert_eq!(daily_among(&days(all), minutes, New_York), None, "{minutes}");
        }
        assert_eq!(daily_among(&days((0..4).flat_map(session)), 5, New_York), None);
    }
}
