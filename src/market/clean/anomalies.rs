//! Checks that all rows of a symbol follow the same convention.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::CleanRow;
use super::convention::Convention;
use super::day::DateRows;
use crate::market::calendar::{self, Calendar, OPEN_TOD_S};
use crate::wording::counted;

const HOUR_S: i64 = 3_600;
/// Times of day in seconds from the open.
const NOON_S: i64 = 12 * HOUR_S - OPEN_TOD_S;
const AFTERNOON_S: i64 = 14 * HOUR_S - OPEN_TOD_S;
/// Minimum number of days to determine the usual time of the first bar.
const MIN_DAYS: usize = 3;

/// An inconsistency and the evidence for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Anomaly {
    /// `bar length`, `label` or `time zone`.
    pub(crate) about: &'static str,
    pub(crate) text: String,
}

pub(super) fn find_anomalies(
    rows: &[CleanRow],
    days: &[DateRows],
    convention: &Convention,
    mixed_zones: bool,
    calendar: Calendar,
) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    // Dates have neither a length nor a label nor a zone.
    if convention.daily {
        return anomalies;
    }
    let mut anomaly = |about, text: Option<String>| {
        anomalies.extend(text.map(|text| Anomaly { about, text }));
    };
    anomaly("bar length", other_length(rows, days, convention));
    anomaly("label", other_label(rows, days, convention.native_s));
    if mixed_zones {
        let text = format!(
            "some files have times with a zone, others without (read as {})",
            calendar.zone()
        );
        anomaly("time zone", Some(text));
    }
    if calendar == Calendar::Nyse {
        anomaly("time zone", super::convention::utc_suspicion(rows, days));
        anomaly("time zone", marked_as_utc(rows, days));
    } else {
        anomaly("time zone", off_by_the_zone(rows, days, convention));
    }
    anomaly("time zone", without_summer_time(rows, days));
    anomalies
}

/// The most frequent value and its count; the smallest value in a tie.
fn usual(values: impl Iterator<Item = i64>) -> Option<(i64, usize)> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|&(_, count)| count)
}

fn other_length(rows: &[CleanRow], days: &[DateRows], convention: &Convention) -> Option<String> {
    let length = |day: &&DateRows| {
        let gaps = rows[day.rows.clone()].windows(2).map(|w| w[1].label_s - w[0].label_s);
        usual(gaps).is_some_and(|(gap, _)| gap != convention.native_s)
    };
    let other: Vec<NaiveDate> = days.iter().filter(length).map(|day| day.date).collect();
    let first = other.first()?;
    let minutes = convention.native_minutes();
    Some(format!("{} without bars of {minutes} min (first {first})", counted(other.len(), "day")))
}

/// Counts days that look like either label: a bar at the open and none at the close, or vice versa.
/// Days with extended hours match neither.
fn other_label(rows: &[CleanRow], days: &[DateRows], native_s: i64) -> Option<String> {
    let in_style = |by_start: bool| {
        let is = |day: &&DateRows| {
            let ends = day.labels(rows).next().zip(day.labels(rows).next_back());
            let Some((first, last)) = ends.filter(|_| !day.closed) else { return false };
            let left_s = day.length_s() - last;
            if by_start {
                (1 - native_s..=0).contains(&first) && (1..=native_s).contains(&left_s)
            } else {
                (1..=native_s).contains(&first) && (1 - native_s..=0).contains(&left_s)
            }
        };
        days.iter().filter(is).map(|day| day.date).collect::<Vec<NaiveDate>>()
    };
    let (by_start, by_end) = (in_style(true), in_style(false));
    let ((fewer, name), more) = if by_start.len() < by_end.len() {
        ((by_start, "start"), by_end.len())
    } else {
        ((by_end, "end"), by_start.len())
    };
    let first = fewer.first()?;
    Some(format!(
        "on {} labels look like a bar's {name} (first {first}), on {more} like the other",
        counted(fewer.len(), "day")
    ))
}

/// New York wall-clock times that were marked as UTC end in New York's late morning.
fn marked_as_utc(rows: &[CleanRow], days: &[DateRows]) -> Option<String> {
    let open: Vec<&DateRows> = days.iter().filter(|day| !day.closed).collect();
    let early = |day: &&&DateRows| {
        let ends = day.labels(rows).next().zip(day.labels(rows).next_back());
        ends.is_some_and(|(first, last)| first < -2 * HOUR_S && last <= NOON_S + HOUR_S)
    };
    let count = open.iter().filter(early).count();
    (count >= MIN_DAYS && 10 * count >= 9 * open.len()).then(|| {
        "bars begin before 07:30 and none comes after 13:00: times look like New York's, marked as \
         UTC"
        .to_string()
    })
}

/// Whether days begin before or after their session by what the market's clock differs from UTC.
pub(super) fn off_by_the_zone(
    rows: &[CleanRow],
    days: &[DateRows],
    convention: &Convention,
) -> Option<String> {
    let apart = days.iter().filter(|day| !day.closed && ahead_s(day) != 0);
    let firsts: Vec<(i64, i64)> =
        apart.filter_map(|day| Some((day.labels(rows).next()?, ahead_s(day)))).collect();
    let share = |sign: i64| {
        let is_off = |&&(first_s, ahead_s): &&(i64, i64)| {
            (first_s - sign * ahead_s).abs() <= convention.native_s.min(HOUR_S / 2)
        };
        let count = firsts.iter().filter(is_off).count();
        count >= MIN_DAYS && 10 * count >= 9 * firsts.len()
    };
    let zone = calendar::market_zone();
    if share(-1) {
        return Some(format!(
            "times look like UTC, and are read as {zone}: store them with their zone"
        ));
    }
    share(1).then(|| format!("times look like those of {zone}, marked as UTC"))
}

/// What the market's clock shows more than UTC when a day's session opens, seconds.
fn ahead_s(day: &DateRows) -> i64 {
    let open_s = day.regular.open_s;
    calendar::market_time(open_s).and_utc().timestamp() - open_s
}

/// Times with a fixed UTC offset begin an hour earlier or later for half of the year.
fn without_summer_time(rows: &[CleanRow], days: &[DateRows]) -> Option<String> {
    let most_s = days.iter().map(ahead_s).max()?;
    let is_summer = |day: &DateRows| ahead_s(day) == most_s;
    let first = |summer: bool| {
        let in_season = days.iter().filter(|day| !day.closed && is_summer(day) == summer);
        let usual = usual(in_season.filter_map(|day| day.labels(rows).next()));
        usual.filter(|&(_, count)| count >= MIN_DAYS).map(|(first, _)| first)
    };
    let (summer, winter) = (first(true)?, first(false)?);
    let off_s = (summer - winter).abs();
    (off_s == HOUR_S && summer < AFTERNOON_S).then(|| {
        format!(
            "the first bar comes an hour {} in summer: times look like those of one offset all \
             year",
            if summer > winter { "later" } else { "earlier" }
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::market::calendar::Calendar;
    use crate::market::clean::Cleaner;
    use crate::market::options::LoadOptions;
    use crate::market::options::{BarLabel, LabelOrigin, OutlierRule};
    use crate::market::parquet::RawRows;
    use crate::market::{Period, calendar};

    /// Inconsistencies of days of bars. A day is (date, first and last label in minutes after New
    /// York midnight, step in minutes, seconds added to each label).
    fn doubted(days: &[(&str, i64, i64, i64, i64)]) -> Vec<(&'static str, String)> {
        let mut cleaner = Cleaner::new("X".parse().unwrap(), false);
        for &(date, first, last, step, shift_s) in days {
            let date = date.parse().unwrap();
            let midnight = calendar::usual_session(date).open_s - calendar::OPEN_TOD_S;
            let mut rows = RawRows::default();
            for minute in (first..=last).step_by(step as usize) {
                rows.push(Some(midnight + 60 * minute + shift_s), [9.0, 9.1, 8.9, 9.0, 5.0]);
            }
            cleaner.add_day(&format!("X_{date}"), date, &rows).unwrap();
        }
        let options = LoadOptions {
            bar_minutes: None,
            bar_label: BarLabel::Auto,
            label_origin: LabelOrigin::default(),
            calendar: Calendar::Nyse,
            extended_hours: false,
            strict: false,
            clean: OutlierRule::Off,
            columns: Vec::new(),
            cache_dir: None,
        };
        let period =
            Period { start: "2000-01-01".parse().unwrap(), end: "2030-12-31".parse().unwrap() };
        let (_, _, inspection) = cleaner.inspect(&period, &options).unwrap();
        inspection.anomalies.into_iter().map(|anomaly| (anomaly.about, anomaly.text)).collect()
    }

    const WINTER: [&str; 3] = ["2020-01-06", "2020-01-07", "2020-01-08"];
    const SUMMER: [&str; 3] = ["2020-07-06", "2020-07-07", "2020-07-08"];
    /// 09:30, 15:55 and 16:00 in minutes after midnight.
    const OPEN: i64 = 570;
    const LAST: i64 = 955;
    const CLOSE: i64 = 960;

    /// Days for [`doubted`], winter and summer.
    fn year(first: i64, last: i64, step: i64) -> Vec<(&'static str, i64, i64, i64, i64)> {
        [WINTER, SUMMER].concat().into_iter().map(|date| (date, first, last, step, 0)).collect()
    }

    #[test]
    fn plain_days_raise_no_doubt() {
        assert_eq!(doubted(&year(OPEN, LAST, 5)), []);
        assert_eq!(doubted(&year(OPEN + 5, CLOSE, 5)), []);
        // With extended hours, and hourly from 09:00.
        assert_eq!(doubted(&year(4 * 60, 20 * 60 - 5, 5)), []);
        assert_eq!(doubted(&year(9 * 60, 15 * 60, 60)), []);
    }

    #[test]
    fn another_length_and_another_label_are_seen() {
        let mut days = year(OPEN, LAST, 5);
        days[5].3 = 35;
        let anomalies = doubted(&days);
        assert_eq!(anomalies.len(), 1, "{anomalies:?}");
        assert_eq!(anomalies[0].1, "1 day without bars of 5 min (first 2020-07-08)");
        days[5] = (SUMMER[2], OPEN + 5, CLOSE, 5, 0);
        let anomalies = doubted(&days);
        assert_eq!((anomalies.len(), anomalies[0].0), (1, "label"), "{anomalies:?}");
        let text = "on 1 day labels look like a bar's end (first 2020-07-08), on 5 like the other";
        assert_eq!(anomalies[0].1, text);
    }

    #[test]
    fn doubtful_clocks_are_seen() {
        let says = |days: &[(&str, i64, i64, i64, i64)], words: &str| {
            let anomalies = doubted(days);
            let is_it =
                |(about, text): &(&str, String)| *about == "time zone" && text.contains(words);
            assert!(anomalies.iter().any(is_it), "{words}: {anomalies:?}");
        };
        // Eastern standard time all year: an hour late in summer.
        let mut days = year(OPEN, LAST, 5);
        days[3..].iter_mut().for_each(|day| day.4 = 3_600);
        says(&days, "an hour later in summer");
        // New York times marked as UTC: 09:30 becomes 04:30, or 05:30 in summer.
        let mut days = year(OPEN, LAST, 5);
        days[..3].iter_mut().for_each(|day| day.4 = -5 * 3_600);
        days[3..].iter_mut().for_each(|day| day.4 = -4 * 3_600);
        says(&days, "marked as UTC");
    }
}
