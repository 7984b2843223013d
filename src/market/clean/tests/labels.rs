//! What timestamps mark.

use super::*;

#[test]
fn start_and_end_labels_give_the_same_bars() {
    let dates = ["2020-03-06", "2020-03-09", "2020-10-30", "2020-11-02"];
    let by_start = dates.map(|d| (d, regular(d, OPEN, CLOSE - 5, 5)));
    let by_end = dates.map(|d| (d, regular(d, OPEN + 5, CLOSE, 5)));
    let (a, found_a) = clean(&by_start, &options()).unwrap();
    let (b, found_b) = clean(&by_end, &options()).unwrap();
    assert_eq!(a, b);
    assert_eq!(a.len(), 4 * 78);
    assert_eq!((found_a.bar_label, found_b.bar_label), (BarLabel::Start, BarLabel::End));
    assert_eq!((found_a.native_minutes, found_a.bar_minutes), (5, 5));
    let reason =
        "there is a label at the open (09:30) or before on 4 of 4 days, at the close or after on 0";
    assert_eq!(found_a.bar_label_reason, reason);
    // 09:35 EST on 2020-03-06 is 14:35 UTC, 09:35 EDT on 2020-03-09 is 13:35 UTC.
    assert_eq!((a.end_s[0], a.end_s[78]), (1_583_505_300, 1_583_760_900));
}

#[test]
fn a_flag_against_the_data_is_obeyed_and_noted() {
    let days = [("2020-03-06", regular("2020-03-06", OPEN, CLOSE - 5, 5))];
    let (series, report) = clean(
        &days,
        &LoadOptions { bar_label: BarLabel::End, label_origin: LabelOrigin::Flag, ..options() },
    )
    .unwrap();
    // Under the forced label the first bar ends at 09:30 and is not part of the session.
    assert_eq!((series.len(), report.extended_rows, report.bar_label), (77, 1, BarLabel::End));
    assert!(report.notes[0].starts_with(
        "timestamps are read as a bar's end (set by --bar-label), but there is a label at the open \
         (09:30) or before on 1 of 1 day, at"
    ));
}

#[test]
fn who_set_the_label_is_said_also_of_bars_that_were_read_for_somebody_else() {
    let days = [("2020-03-06", regular("2020-03-06", OPEN, CLOSE - 5, 5))];
    let read = |bar_label, label_origin| {
        clean(&days, &LoadOptions { bar_label, label_origin, ..options() }).unwrap().1
    };
    let mut report = read(BarLabel::Start, LabelOrigin::Settings);
    assert_eq!(report.bar_label_reason, "set in config.toml");
    report.set_by(LabelOrigin::Training);
    assert_eq!(report, read(BarLabel::Start, LabelOrigin::Training));
    let mut against = read(BarLabel::End, LabelOrigin::Flag);
    against.set_by(LabelOrigin::Journal);
    assert_eq!(against, read(BarLabel::End, LabelOrigin::Journal));
    assert!(against.notes[0].contains("(as when the account began)"), "{:?}", against.notes);
}

#[test]
fn labels_that_tell_nothing_are_starts_and_it_is_said() {
    let days = [("2020-03-06", regular("2020-03-06", 600, 900, 5))];
    let (series, report) = clean(&days, &options()).unwrap();
    assert_eq!(report.bar_label, BarLabel::Start);
    assert!(report.bar_label_reason.starts_with("undetermined"), "{}", report.bar_label_reason);
    assert_eq!(ends(&series)[0], "10:05");
}

#[test]
fn volume_tells_labels_where_extended_hours_are_ragged() {
    let labelled = |opening: &str, closing: &str| {
        let times: Vec<String> = (8 * 60..=17 * 60 - 5).step_by(5).map(clock).collect();
        let volume = |t: &str| match t {
            t if t == opening || t == closing => 900.0,
            t if opening < t && t < closing => 300.0,
            _ => 20.0,
        };
        let bars: Vec<_> = times.iter().map(|t| (t.as_str(), 50.0, volume(t))).collect();
        [("2020-07-01", day("2020-07-01", &bars))]
    };
    let (_, report) = clean(&labelled("09:30", "15:55"), &options()).unwrap();
    assert_eq!(report.bar_label, BarLabel::Start);
    assert!(report.bar_label_reason.starts_with("volume rises"), "{}", report.bar_label_reason);
    let (series, report) = clean(&labelled("09:35", "16:00"), &options()).unwrap();
    assert_eq!(
        (report.bar_label, series.volume[0], series.volume[77]),
        (BarLabel::End, 900.0, 900.0)
    );
}
