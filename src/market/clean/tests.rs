mod labels;
mod lengths;

use super::*;
use crate::market::bar::Bar;
use crate::market::calendar;
use crate::market::calendar::Calendar;
use crate::market::options::{BarLabel, LabelOrigin, OutlierRule};

const MINUTE: i64 = 60;

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn period(start: &str, end: &str) -> Period {
    Period { start: date(start), end: date(end) }
}

fn options() -> LoadOptions {
    LoadOptions {
        bar_minutes: None,
        bar_label: BarLabel::Auto,
        label_origin: LabelOrigin::default(),
        calendar: Calendar::Nyse,
        extended_hours: false,
        strict: false,
        clean: OutlierRule::Off,
        columns: Vec::new(),
        cache_dir: None,
    }
}

/// Rows of a day from (label as `HH:MM` in New York, close, volume). The open is 0.5 below the
/// close; high and low lie 1 beyond.
fn day(day: &str, bars: &[(&str, f64, f64)]) -> RawRows {
    let mut rows = RawRows::default();
    for &(time, close, volume) in bars {
        let label = format!("{day}T{time}:00").parse().unwrap();
        rows.label_s.push(Some(calendar::market_time_to_utc(label)));
        rows.open.push(close - 0.5);
        rows.high.push(close + 1.0);
        rows.low.push(close - 1.0);
        rows.close.push(close);
        rows.volume.push(volume);
    }
    rows
}

fn clock(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Labels every `step` minutes from `first` to `last`, both inclusive; closes count up from 100.
fn regular(text: &str, first: i64, last: i64, step: i64) -> RawRows {
    let times: Vec<String> = (first..=last).step_by(step as usize).map(clock).collect();
    let bars: Vec<(&str, f64, f64)> =
        times.iter().enumerate().map(|(i, t)| (t.as_str(), 100.0 + i as f64, 10.0)).collect();
    day(text, &bars)
}

type Cleaned = Result<(BarSeries, LoadReport), MarketError>;

fn clean(days: &[(&str, RawRows)], options: &LoadOptions) -> Cleaned {
    let mut cleaner = Cleaner::new("X".parse().unwrap(), options.strict);
    for (text, rows) in days {
        cleaner.add_day(&format!("X_{text}"), date(text), rows)?;
    }
    cleaner.finish(&period("2000-01-01", "2030-12-31"), options, None)
}

/// Bar ends as `HH:MM`.
fn ends(series: &BarSeries) -> Vec<String> {
    series.end_s.iter().map(|&s| calendar::iso_market_time(s)[11..16].to_string()).collect()
}

const OPEN: i64 = 9 * 60 + 30;
const CLOSE: i64 = 16 * 60;

#[test]
fn bad_rows_are_left_out_counted_and_named() {
    let mut rows = regular("2020-07-01", OPEN, OPEN + 50, 5);
    rows.high[1] = f64::NAN;
    rows.low[2] = 0.0;
    rows.high[3] = rows.low[3] - 1.0;
    rows.close[4] = rows.high[4] * 1.001;
    rows.volume[5] = -1.0;
    rows.label_s[6] = rows.label_s[0];
    rows.label_s[7] = rows.label_s[0].map(|s| s + 30 * 86_400);
    rows.label_s[8] = None;
    // Within rounding: kept and widened.
    rows.close[9] = rows.high[9] * 1.000_05;
    let days = [("2020-07-01", rows)];
    let (series, report) = clean(&days, &options()).unwrap();
    assert_eq!((series.len(), report.bad_rows), (3, 8));
    assert_eq!(series.high[1], series.close[1]);
    let note = report.doubts.iter().find(|n| n.starts_with("8 bad rows left out")).unwrap();
    let first = "left out: X_2020-07-01: a row without a time: its time cannot be read; \
                 2020-07-01T09:30:00-04:00: its time occurs twice; \
                 2020-07-01T09:35:00-04:00: high is not a number; ";
    assert!(note.contains(first) && note.ends_with(" more"), "{note}");
    let error = clean(&days, &LoadOptions { strict: true, ..options() }).unwrap_err();
    assert!(matches!(&error, MarketError::File { file, .. } if file == "X_2020-07-01"));
    assert!(error.to_string().contains("its time cannot be read"), "{error}");
}

#[test]
fn no_bar_depends_on_a_later_one() {
    let dates = ["2020-07-01", "2020-07-02"];
    let whole = dates.map(|d| (d, regular(d, OPEN, CLOSE - 1, 1)));
    let five = LoadOptions { bar_minutes: Some(5), ..options() };
    let (before, _) = clean(&whole, &five).unwrap();
    // Rows from 100 on of the second day change, some to bad ones.
    let mut changed = whole.clone();
    let rows = &mut changed[1].1;
    for i in 100..rows.len() {
        rows.close[i] = if i % 3 == 0 { f64::NAN } else { rows.close[i] + 0.7 };
        rows.volume[i] *= 50.0;
    }
    let (after, _) = clean(&changed, &five).unwrap();
    let known = 78 + 100 / 5;
    let head = |s: &BarSeries| s.bars().take(known).collect::<Vec<_>>();
    assert_eq!(head(&before), head(&after));
    assert_ne!(before.bar(known), after.bar(known));
}

#[test]
fn days_the_calendar_calls_closed_are_kept_and_noted() {
    let days = ["2020-07-02", "2020-07-03"].map(|d| (d, regular(d, OPEN, CLOSE - 5, 5)));
    let (series, report) = clean(&days, &options()).unwrap();
    assert_eq!(series.len(), 156);
    let note = "1 day with bars on which the NYSE was closed (first 2020-07-03): kept, with normal hours; \
         --calendar always keeps all hours";
    assert_eq!(report.notes, [note]);
}

#[test]
fn rows_outside_the_period_are_left_out() {
    let mut cleaner = Cleaner::new("X".parse().unwrap(), false);
    for text in ["2020-07-01", "2020-07-02"] {
        cleaner.add_day(text, date(text), &regular(text, OPEN, CLOSE - 5, 5)).unwrap();
    }
    let (series, report) =
        cleaner.finish(&period("2020-07-02", "2020-07-02"), &options(), None).unwrap();
    assert_eq!(series.len(), 78);
    assert_eq!(report.notes, ["78 rows dated outside the period left out"]);
}

/// The Friday after Thanksgiving closes at 13:00.
#[test]
fn a_daily_bar_is_its_day_s_session() {
    let dates = ["2020-11-25", "2020-11-27", "2020-11-30"];
    for label in ["00:00", "09:30", "16:00"] {
        let daily = dates.map(|d| (d, day(d, &[(label, 100.0, 1.0)])));
        let (series, report) = clean(&daily, &options()).unwrap();
        let closes = dates.map(|d| calendar::session(date(d)).unwrap().close_s);
        assert_eq!(series.end_s, closes, "{label}");
        assert_eq!((report.native_minutes, report.bar_minutes), (390, 390));
        assert_eq!(report.bar_label_reason, "daily bars: each is the session of its date");
        assert_eq!(report.notes, [""; 0]);
        let shorter = LoadOptions { bar_minutes: Some(60), ..options() };
        let error = clean(&daily, &shorter).unwrap_err().to_string();
        assert!(error.contains("bars of 390 minutes, from which shorter ones"), "{error}");
    }
    // Any bars make one of the session, on half days, too.
    let hours = dates.map(|d| (d, regular(d, OPEN, CLOSE - 60, 60)));
    let whole = LoadOptions { bar_minutes: Some(390), ..options() };
    let (series, _) = clean(&hours, &whole).unwrap();
    assert_eq!(series.end_s, dates.map(|d| calendar::session(date(d)).unwrap().close_s));
}

/// Friday to Monday, every hour from midnight.
#[test]
fn a_market_that_never_closes_keeps_every_bar() {
    let dates = ["2020-07-10", "2020-07-11", "2020-07-12", "2020-07-13"];
    let hours = dates.map(|d| (d, regular(d, 0, 23 * 60, 60)));
    let always = LoadOptions { calendar: Calendar::Always, ..options() };
    let (series, report) = clean(&hours, &always).unwrap();
    assert_eq!((series.len(), report.extended_rows, report.native_minutes), (96, 0, 60));
    assert_eq!(report.notes, [""; 0]);
    let mut per_date = BTreeMap::new();
    for &end_s in &series.end_s {
        *per_date.entry(calendar::market_date(end_s).to_string()).or_insert(0) += 1;
    }
    assert_eq!(per_date, dates.map(|d| (d.to_string(), 24)).into(), "a bar is of its date");
    let daily = LoadOptions { bar_minutes: Some(1_440), ..always };
    assert_eq!(clean(&hours, &daily).unwrap().0.len(), 4);
    // The exchange's hours are 09:30 to 16:00, and the weekend is noted.
    let (series, report) = clean(&hours, &options()).unwrap();
    assert_eq!(series.len(), 4 * 7);
    assert!(report.notes[0].contains("2 days with bars on which the NYSE was closed"));
}

#[test]
fn data_that_is_neither_intraday_nor_daily_is_refused() {
    let times = [("2020-07-01", "10:00"), ("2020-07-02", "11:05"), ("2020-07-06", "12:10")];
    let scattered = times.map(|(d, time)| (d, day(d, &[(time, 100.0, 1.0)])));
    let error = clean(&scattered, &options()).unwrap_err();
    assert!(error.to_string().contains("give bars of whole minutes, or one bar a day"), "{error}");
    let night = [("2020-07-01", regular("2020-07-01", 4 * 60, 8 * 60, 5))];
    let error = clean(&night, &options()).unwrap_err();
    assert!(error.to_string().contains("no bars in regular hours"), "{error}");
}

#[test]
fn utc_times_without_a_zone_are_pointed_out() {
    let dates = ["2020-01-06", "2020-01-07", "2020-01-08"];
    let days =
        dates.map(|d| (d, RawRows { naive: true, ..regular(d, 14 * 60 + 30, 21 * 60 - 5, 5) }));
    let (_, report) = clean(&days, &options()).unwrap();
    assert_eq!(report.notes[0], "times have no zone: read as America/New_York");
    assert!(report.notes[1].starts_with("no bars before noon"), "{:?}", report.notes);
}

#[test]
fn made_up_bars_take_the_same_path() {
    let mut bars = BarSeries::new("X".parse().unwrap());
    let open_s = calendar::session(date("2020-07-01")).unwrap().open_s;
    for i in 1..=390 {
        let end_s = open_s + i * MINUTE;
        bars.push(Bar { end_s, open: 10.0, high: 11.0, low: 9.0, close: 10.0, volume: 1.0 });
    }
    let mut cleaner = Cleaner::new("X".parse().unwrap(), false);
    cleaner.add_bars(&bars);
    let year = period("2020-01-01", "2020-12-31");
    let options = LoadOptions { bar_minutes: Some(30), ..options() };
    let known = Some(Convention::for_synthetic(1));
    let (series, report) = cleaner.finish(&year, &options, known).unwrap();
    assert_eq!((series.len(), series.volume[0], report.native_minutes), (13, 30.0, 1));
    assert_eq!(series.end_s[0], open_s + 30 * MINUTE);
}

/// The rows in another order: those of `order` one after the other.
fn reordered(rows: &RawRows, order: impl IntoIterator<Item = usize>) -> RawRows {
    let mut other = RawRows { naive: rows.naive, ..RawRows::default() };
    order.into_iter().for_each(|i| other.push(rows.label_s[i], rows.values(i)));
    other
}

#[test]
fn rows_in_any_order_within_a_day_give_the_same_bars() {
    let dates = ["2020-07-01", "2020-07-02"];
    let sorted = dates.map(|d| (d, regular(d, OPEN, CLOSE - 5, 5)));
    let (series, report) = clean(&sorted, &options()).unwrap();
    assert_eq!(report.notes, [""; 0]);
    let count = 78;
    let newest_first = (0..count).rev().collect::<Vec<_>>();
    // 29 and 78 have no common factor, so this is every row once.
    let shuffled = (0..count).map(|i| 29 * i % count).collect();
    for order in [newest_first, shuffled] {
        let days = [&sorted[0], &sorted[1]].map(|(d, rows)| (*d, reordered(rows, order.clone())));
        let (same, report) = clean(&days, &options()).unwrap();
        assert_eq!((same, report.bad_rows), (series.clone(), 0));
        assert_eq!(report.notes, ["rows of 2 files were not in order of time: sorted"]);
    }
    // Of rows of the same time the first in the file counts.
    let mut twice = reordered(&sorted[0].1, (0..count).rev());
    twice.push(twice.label_s[3], [1.0; 5]);
    let days = [("2020-07-01", twice), sorted[1].clone()];
    let (same, report) = clean(&days, &options()).unwrap();
    assert_eq!((same, report.bad_rows), (series, 1));
    assert!(report.doubts[0].contains("its time occurs twice"), "{:?}", report.doubts);
}

/// Fifteen days of five-minute bars that hardly move; at 12:00 of the last one, prices of ten times.
fn with_a_spike() -> Vec<(&'static str, RawRows)> {
    let mut days: Vec<(&str, RawRows)> = [
        "2020-07-01",
        "2020-07-02",
        "2020-07-06",
        "2020-07-07",
        "2020-07-08",
        "2020-07-09",
        "2020-07-10",
        "2020-07-13",
        "2020-07-14",
        "2020-07-15",
        "2020-07-16",
        "2020-07-17",
    ]
    .into_iter()
    .map(|d| {
        let mut rows = regular(d, OPEN, CLOSE - 5, 5);
        for i in 0..rows.len() {
            let close = 100.0 + (i % 2) as f64;
            (rows.open[i], rows.high[i], rows.low[i], rows.close[i]) =
                (100.5, close + 0.6, close - 0.6, close);
        }
        (d, rows)
    })
    .collect();
    let rows = &mut days[11].1;
    for prices in [&mut rows.open, &mut rows.high, &mut rows.low, &mut rows.close] {
        prices[30] *= 10.0;
    }
    days
}

#[test]
fn a_spike_is_told_refused_or_left_out() {
    let days = with_a_spike();
    let told = "spike: 2020-07-17T12:05:00-04:00: close 1000 between 101 and 101";
    let (series, report) = clean(&days, &options()).unwrap();
    assert_eq!(report.doubts, [told]);
    // Also where longer bars are asked for: with the time of the stored bar.
    let hours = LoadOptions { bar_minutes: Some(30), ..options() };
    assert_eq!(clean(&days, &hours).unwrap().1.doubts, [told]);
    let strict = LoadOptions { strict: true, ..options() };
    let error = clean(&days, &strict).unwrap_err();
    assert!(matches!(&error, MarketError::Doubtful { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("X: {told}")), "{error}");

    // What is left out or clipped is not used, and told.
    let drop = LoadOptions { clean: OutlierRule::Drop, ..strict.clone() };
    let (dropped, report) = clean(&days, &drop).unwrap();
    assert_eq!(dropped.len(), series.len() - 1);
    let done = "--clean drop: 1 bar left out: 2020-07-17T12:05:00-04:00: 994 to 1006 after 101";
    assert_eq!(report.doubts, [done]);
    let winsorize = LoadOptions { clean: OutlierRule::Winsorize, ..strict };
    let (clipped, _) = clean(&days, &winsorize).unwrap();
    let at = series.close.iter().position(|&close| close == 1000.0).unwrap();
    assert_eq!((clipped.len(), clipped.close[at]), (series.len(), 101.0 * (1.0 + bound())));
}

/// Ten usual moves: from a close of 100 to a high of 101.6.
fn bound() -> f64 {
    10.0 * (101.6 / 100.0 - 1.0)
}

#[test]
fn further_columns_stay_with_their_bars_where_bars_are_left_out() {
    let mut cleaner = Cleaner::new("X".parse().unwrap(), false).with_columns(&["mood".to_string()]);
    for (text, mut rows) in with_a_spike() {
        rows.extras = vec![rows.label_s.iter().map(|s| s.unwrap() as f64 % 1e5).collect()];
        cleaner.add_day(text, date(text), &rows).unwrap();
    }
    let drop = LoadOptions { clean: OutlierRule::Drop, ..options() };
    let (series, _) = cleaner.finish(&period("2020-07-01", "2020-07-17"), &drop, None).unwrap();
    assert_eq!(series.len(), 12 * 78 - 1);
    for i in 0..series.len() {
        assert_eq!(series.extra(i), [((series.end_s[i] - 300) as f64 % 1e5) as f32]);
    }
}
