//! Bars of another length than the stored ones, and sessions.

use super::*;

#[test]
fn hourly_bars_from_full_hours_keep_the_opening_bar() {
    let by_start = [("2018-07-02", regular("2018-07-02", 540, 900, 60))];
    let (series, report) = clean(&by_start, &options()).unwrap();
    assert_eq!(ends(&series), ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00", "16:00"]);
    assert_eq!((report.bar_label, report.extended_rows), (BarLabel::Start, 0));
    let by_end = [("2018-07-02", regular("2018-07-02", 600, 960, 60))];
    assert_eq!(clean(&by_end, &options()).unwrap().0, series);
    // A half day, close at 13:00: four bars.
    let half = [("2018-07-03", regular("2018-07-03", 540, 720, 60))];
    assert_eq!(ends(&clean(&half, &options()).unwrap().0), ["10:00", "11:00", "12:00", "13:00"]);
    // 09:30, then full hours: the first bar ends with its hour.
    let labels =
        [("09:30", 5.0, 1.0), ("10:00", 5.0, 1.0), ("11:00", 5.0, 1.0), ("12:00", 5.0, 1.0)];
    let broken = [("2018-07-02", day("2018-07-02", &labels))];
    assert_eq!(ends(&clean(&broken, &options()).unwrap().0), ["10:00", "11:00", "12:00", "13:00"]);
    let hint = clean(&by_start, &LoadOptions { bar_minutes: Some(120), ..options() }).unwrap_err();
    assert!(hint.to_string().contains("do not start at 09:30"), "{hint}");
}

#[test]
fn hourly_bars_from_half_past_end_with_the_session() {
    let days = [("2018-07-02", regular("2018-07-02", OPEN, CLOSE - 30, 60))];
    let (series, _) = clean(&days, &options()).unwrap();
    assert_eq!(ends(&series).last().unwrap(), "16:00");
    // With trades after the close in the data, the last bar includes some of them.
    let days = [("2018-07-02", regular("2018-07-02", OPEN, CLOSE + 90, 60))];
    let flag = LoadOptions { bar_label: BarLabel::Start, ..options() };
    let (series, report) = clean(&days, &flag).unwrap();
    assert_eq!((ends(&series).last().unwrap().as_str(), report.extended_rows), ("15:30", 3));
    assert!(report.notes.iter().any(|n| n.starts_with("1 bar that began before the close")));
}

#[test]
fn bars_are_put_together_from_half_past_nine() {
    // Six one-minute bars with closes 100 to 105; 09:34 is missing.
    let mut rows = regular("2020-07-01", OPEN, OPEN + 6, 1);
    for column in [&mut rows.open, &mut rows.high, &mut rows.low, &mut rows.close, &mut rows.volume]
    {
        column.remove(4);
    }
    rows.label_s.remove(4);
    let days = [("2020-07-01", rows)];
    let (five, report) = clean(&days, &LoadOptions { bar_minutes: Some(5), ..options() }).unwrap();
    assert_eq!((report.native_minutes, report.bar_minutes, report.bars), (1, 5, 2));
    let end_s = 1_593_610_500; // 09:35 EDT
    let first = Bar { end_s, open: 99.5, high: 104.0, low: 99.0, close: 103.0, volume: 40.0 };
    let second = Bar {
        end_s: end_s + 300,
        open: 104.5,
        high: 107.0,
        low: 104.0,
        close: 106.0,
        volume: 20.0,
    };
    assert_eq!(five.bars().collect::<Vec<_>>(), [first, second]);
}

/// Closes count minutes, so a value says which row it is from.
#[test]
fn a_bar_has_its_last_known_value_of_a_further_column() {
    let columns = ["vix".to_string(), "mood".to_string()];
    let nan = f64::NAN;
    let cleaned = |rows: RawRows, options: &LoadOptions| {
        let mut cleaner = Cleaner::new("X".parse().unwrap(), false).with_columns(&columns);
        cleaner.add_day("X_2020-07-01", date("2020-07-01"), &rows).unwrap();
        cleaner.finish(&period("2020-07-01", "2020-07-01"), options, None).unwrap().0
    };
    // 09:25 to 09:45, of which five are before the open and 09:33 is bad.
    let mut rows = regular("2020-07-01", OPEN - 5, OPEN + 14, 1);
    rows.low[8] = nan;
    let vix = |i: usize| if [6, 7, 9, 14].contains(&i) { nan } else { i as f64 };
    let mood = |i: usize| {
        if i == 12 {
            -1.0
        } else if i == 13 {
            f64::INFINITY
        } else {
            nan
        }
    };
    rows.extras = vec![(0..20).map(vix).collect(), (0..20).map(mood).collect()];
    let ones = cleaned(rows.clone(), &options());
    let column = |series: &BarSeries, i: usize| -> Vec<Option<f32>> {
        let values = (0..series.len()).map(|bar| series.extra(bar)[i]);
        values.map(|value| (!value.is_nan()).then_some(value)).collect()
    };
    let known = |values: &[f32]| values.iter().map(|&value| Some(value)).collect::<Vec<_>>();
    assert_eq!(ones.columns, columns);
    let vix = [5.0, 5.0, 5.0, 5.0, 10.0, 11.0, 12.0, 13.0, 13.0, 15.0, 16.0, 17.0, 18.0, 19.0];
    assert_eq!(column(&ones, 0), known(&vix));
    assert_eq!(column(&ones, 1)[..6], [None; 6]);
    assert_eq!(column(&ones, 1)[6..], known(&[-1.0; 8]));
    // 09:30 to 09:34 have the values 5 to 9, of which 5 alone is known.
    let fives = cleaned(rows.clone(), &LoadOptions { bar_minutes: Some(5), ..options() });
    assert_eq!(column(&fives, 0), known(&[5.0, 13.0, 19.0]));
    assert_eq!(column(&fives, 1), [None, Some(-1.0), Some(-1.0)]);
    let extended = LoadOptions { extended_hours: true, ..options() };
    assert_eq!(
        column(&cleaned(rows, &extended), 0)[..7],
        known(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0])
    );
}

#[test]
fn longer_bars_are_capped_at_the_close_and_stay_within_a_session() {
    let dates = ["2018-07-02", "2018-07-03"]; // the second closes at 13:00
    let quarter = |last| move |d| (d, regular(d, OPEN, last, 15));
    let days = [quarter(CLOSE - 15)(dates[0]), quarter(13 * 60 - 15)(dates[1])];
    let (half_hours, _) =
        clean(&days, &LoadOptions { bar_minutes: Some(30), ..options() }).unwrap();
    assert_eq!(half_hours.len(), 13 + 7);
    assert_eq!(ends(&half_hours)[..2], ["10:00", "10:30"]);
    let (hours, _) = clean(&days, &LoadOptions { bar_minutes: Some(60), ..options() }).unwrap();
    let first = ["10:30", "11:30", "12:30", "13:30", "14:30", "15:30", "16:00"];
    assert_eq!(ends(&hours)[..7], first);
    assert_eq!(ends(&hours)[7..], ["10:30", "11:30", "12:30", "13:00"]);
    assert_eq!(hours.volume[5..7], [40.0, 20.0]);
    // From 5 to 15 minutes: 390 minutes are 26 bars of equal volume.
    let fives = [(dates[0], regular(dates[0], OPEN, CLOSE - 5, 5))];
    let (quarters, _) = clean(&fives, &LoadOptions { bar_minutes: Some(15), ..options() }).unwrap();
    assert_eq!((quarters.len(), quarters.volume[25]), (26, 30.0));
    assert_eq!((quarters.open[1], quarters.close[1]), (102.5, 105.0));
}

#[test]
fn lengths_that_cannot_be_made_are_refused() {
    let days = [("2020-07-01", regular("2020-07-01", OPEN, CLOSE - 5, 5))];
    for (minutes, says) in [(1, "shorter ones cannot be made"), (12, "12 is not a multiple")] {
        let error =
            clean(&days, &LoadOptions { bar_minutes: Some(minutes), ..options() }).unwrap_err();
        assert!(matches!(error, MarketError::Input { .. }));
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn extended_hours_are_left_out_unless_asked_for() {
    let days = [("2020-07-01", regular("2020-07-01", 4 * 60, 20 * 60 - 5, 5))];
    let (series, report) = clean(&days, &options()).unwrap();
    assert_eq!((series.len(), report.extended_rows), (78, 66 + 48));
    assert_eq!(report.bar_label, BarLabel::Start);
    assert!(report.bar_label_reason.contains("04:00"), "{}", report.bar_label_reason);
    assert_eq!((ends(&series)[0].as_str(), ends(&series)[77].as_str()), ("09:35", "16:00"));
    let extended = LoadOptions { extended_hours: true, bar_minutes: Some(60), ..options() };
    let (series, report) = clean(&days, &extended).unwrap();
    assert_eq!((series.len(), report.extended_rows), (16, 0));
    assert_eq!((ends(&series)[0].as_str(), ends(&series)[15].as_str()), ("05:00", "20:00"));
    let by_end = [("2020-07-01", regular("2020-07-01", 4 * 60 + 5, 20 * 60, 5))];
    let (_, report) = clean(&by_end, &options()).unwrap();
    assert_eq!(report.bar_label, BarLabel::End);
}
