use super::text::{DateOrder, TimeText, parse};
use super::*;

/// 2020-01-02 09:30 in New York.
const OPEN_S: i64 = 1_577_975_400;
/// Midnight of that day.
const DAY: i64 = 1_577_941_200;

fn read(texts: &[&str]) -> Times {
    let texts = texts.iter().map(|text| Some(*text));
    from_texts(texts, &TimeOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn one_time_in_many_spellings() {
    for text in [
        "2020-01-02 09:30:00",
        "2020-01-02T09:30",
        "2020-1-2 9:30",
        "2020-01-02 09:30:00.000",
        "2020/01/02 09:30",
        "2020.01.02 09:30",
        "20200102 09:30:00",
        "20200102  09:30:00",
        "20200102 093000",
        "202001020930",
        "20200102093000",
        "20200102T093000",
        "20200102T143000Z",
        "20200102-14:30:00",
        "20200102 09:30:00 US/Eastern",
        "20200102 09:30:00 EST",
        "2020-01-02 09:30:00 America/New_York",
        "2020-01-02 09:30:00-05:00",
        "2020-01-02T09:30:00-05:00[America/New_York]",
        "2020-01-02 14:30:00+00:00",
        "2020-01-02T14:30:00.000000000Z",
        "2020-01-02 14:30:00 UTC",
        "01/02/2020 09:30:00 AM",
        "1/2/2020 9:30",
        "01/02/20 09:30",
        "Jan 2, 2020 9:30 AM",
        "January 02 2020, 9:30am",
        "02-Jan-2020 09:30",
        "2 Jan 2020 09:30",
        "2020-Jan-02 09:30:00",
        "Thu Jan 02 2020 09:30:00 GMT-0500 (Eastern Standard Time)",
        "Thursday, January 2, 2020 9:30:00 AM",
        "1577975400",
        "1577975400.0",
        "1577975400000",
        "1577975400000000",
        "1577975400000000000",
        "43832.395833333",
    ] {
        // Another day, which tells the month from the day.
        let other = if text.contains("/20") { Some("12/31/2020 09:30") } else { None };
        let texts: Vec<&str> = std::iter::once(text).chain(other).collect();
        assert_eq!(read(&texts).label_s[0], Some(OPEN_S), "{text}");
    }
    assert_eq!(read(&["01/02/2020 02:30:00 PM", "12/31/2020 12:00:00 AM"]).label_s[0], {
        Some(OPEN_S + 5 * 3_600)
    });
    assert_eq!(parse("12/31/2020 12:15 pm", DateOrder::Month), {
        Some(TimeText::Local("2020-12-31T12:15:00".parse().unwrap()))
    });
}

#[test]
fn day_and_month_are_told_apart_by_the_whole_column() {
    let first = |texts: &[&str]| read(texts).label_s[0];
    // The second of January, by a 31st.
    assert_eq!(first(&["01/02/2020", "01/31/2020"]), Some(DAY));
    assert_eq!(first(&["02/01/2020", "31/01/2020"]), Some(DAY));
    // By dots, and by 2020-02-01, a Saturday.
    assert_eq!(first(&["02.01.2020 09:30"]), Some(OPEN_S));
    assert_eq!(first(&["01/02/2020", "01/03/2020"]), Some(DAY));
    // Both Monday, 2 March, and Monday, 3 February.
    let both = from_texts([Some("02/03/2020")].into_iter(), &TimeOptions::default());
    assert!(both.unwrap_err().contains("give --time-format"));
    let format = Some("%d/%m/%Y".to_string());
    let options = TimeOptions { format, ..TimeOptions::default() };
    let dates = from_texts([Some("02/01/2020")].into_iter(), &options).unwrap();
    assert!(dates.dates && dates.label_s == [Some(DAY)]);
}

#[test]
fn dates_are_of_no_zone() {
    for texts in [
        &["2020-01-02", "2020-01-03"][..],
        &["2020-01-02 00:00:00"],
        &["2020-01-02 00:00:00-05:00", "2020-07-01 00:00:00-04:00"],
        &["2020-01-02T00:00:00Z"],
        &["2020-01-02 00:00:00+01:00"],
        &["20200102"],
        &["43832"],
        &["18263"],
        &["1577923200"],
        &["1577923200000"],
        &["Jan 2, 2020"],
    ] {
        let times = read(texts);
        assert!(times.dates && !times.naive, "{texts:?}");
        assert_eq!(times.label_s[0], Some(DAY), "{texts:?}");
    }
    // One bar within a day, and midnight is a time like any other.
    assert!(!read(&["2020-01-02 00:00:00", "2020-01-02 00:05:00"]).dates);
}

#[test]
fn a_zone_is_used_where_none_is_written() {
    let options = TimeOptions { zone: Tz::UTC, ..TimeOptions::default() };
    let texts = [Some("2020-01-02 14:30"), Some("2020-01-02 09:35:00-05:00"), Some(""), None];
    let times = from_texts(texts.into_iter(), &options).unwrap();
    assert_eq!(times.label_s, [Some(OPEN_S), Some(OPEN_S + 300), None, None]);
    assert!(times.naive && !times.dates);
    // Clocks in Germany went forward at 02:00 on 2020-03-29: 02:30 is 03:30 CEST, 01:30 UTC.
    let berlin = TimeOptions { zone: chrono_tz::Europe::Berlin, ..TimeOptions::default() };
    let skipped = from_texts([Some("29.03.2020 02:30")].into_iter(), &berlin).unwrap();
    assert_eq!(skipped.label_s, [Some(1_585_445_400)]);
}

/// Digits, minutes, seconds and milliseconds of the day.
#[test]
fn a_time_of_day_in_a_column_of_its_own() {
    for (clocks, open) in [
        (["09:30", "09:35"], true),
        (["930", "935"], true),
        (["93000", "160000"], true),
        (["570", "575"], true),
        (["34200", "34260"], true),
        (["34200000", "34500000"], true),
        (["950", "955"], false),
    ] {
        let dates = [Some("2020-01-02"); 2];
        let texts = joined(dates.into_iter(), clocks.map(Some).into_iter());
        let texts = texts.iter().map(|text| text.as_deref());
        let times = from_texts(texts, &TimeOptions::default()).unwrap();
        assert_eq!(times.label_s[0] == Some(OPEN_S), open, "{clocks:?}");
    }
}

#[test]
fn what_is_no_time_is_none() {
    for text in [
        "",
        "x",
        "2020-13-01",
        "2020-01-02 25:00",
        "2020-01-02 9:30 Nowhere/Else",
        "1.5e300",
        "12:30",
        "99999999999999999999999",
        "2020-01-02 13:00 PM",
        "-5",
        "2300-01-01 00:01",
    ] {
        let times =
            from_texts([Some(text), Some("2020-01-02 09:30")].into_iter(), &TimeOptions::default());
        assert!(times.is_ok_and(|times| times.label_s[0].is_none()), "{text}");
        assert!(from_texts([Some(text)].into_iter(), &TimeOptions::default()).is_err(), "{text}");
    }
    assert!(from_integers([Some(5)].into_iter(), &TimeOptions::default()).is_err());
    assert!(from_integers([None].into_iter(), &TimeOptions::default()).is_err());
}

#[test]
fn times_are_rounded_to_the_second() {
    let times = read(&["2020-01-02 09:29:59.999", "2020-01-02 09:30:00.4"]);
    assert_eq!(times.label_s, [Some(OPEN_S); 2]);
}

/// A midnight alone is a time, as the bars of coins have it; a date is none.
#[test]
fn a_time_alone_is_read_as_it_stands() {
    assert_eq!(read_text("2020-01-02T09:30:00-05:00"), Some(OPEN_S));
    assert_eq!(read_text("2020-01-02 09:30"), Some(OPEN_S));
    assert_eq!(read_text("2020-01-02T05:00:00Z"), Some(DAY));
    assert_eq!(read_text("2020-01-02T00:00:00Z"), Some(DAY - 5 * 3_600));
    assert_eq!(read_text("2020-01-02"), None);
    assert_eq!(read_date("2020-01-02"), NaiveDate::from_ymd_opt(2020, 1, 2));
    assert_eq!(read_date("2020-01-02T00:00:00Z"), None);
    for number in [1_577_923_200.0, 1_577_923_200_000.0, 1_577_923_200e9] {
        assert_eq!(read_number(number), Some(DAY - 5 * 3_600), "{number}");
    }
    assert_eq!([20_200_102.0, 43_832.0, 60.0, f64::NAN].map(read_number), [None; 4]);
}

/// Each row by its own zone: the same moment on three clocks.
#[test]
fn times_beside_a_column_of_zones() {
    let read = |texts: &[&str], names: &[&str]| {
        let texts = texts.iter().map(|text| Some(*text));
        let names = names.iter().map(|name| Some(*name));
        let options = TimeOptions::default();
        zones(names, &options, |options| from_texts(texts, options), |what| what)
    };
    let three = ["2020-01-02 09:30", "2020-01-02 14:30", "2020-01-02 15:30", "2020-01-02 09:30"];
    let times = read(&three, &["US/Eastern", "UTC", "+01:00", ""]).unwrap();
    assert_eq!(times.label_s, [Some(OPEN_S), Some(OPEN_S), Some(OPEN_S), None]);
    assert!(!times.naive && !times.dates);
    // In digits, too. July has another offset.
    let times = read(&["20200102093000", "20200702093000"], &["EST5EDT"; 2]).unwrap();
    assert_eq!(times.label_s, [Some(OPEN_S), Some(1_593_696_600)]);
    // Dates and times since 1970 are the same anywhere.
    let times = read(&["2020-01-02"], &["Asia/Tokyo"]).unwrap();
    assert_eq!((times.label_s, times.dates), (vec![Some(DAY)], true));
    assert_eq!(read(&["1577975400"], &["nowhere"]).unwrap().label_s, [Some(OPEN_S)]);
    let error = read(&["2020-01-02 09:30"], &["Eastern Time"]).unwrap_err();
    assert!(error.contains("\"Eastern Time\" is not a time zone"), "{error}");
    let mixed = ["2020-01-02 09:30", "2020-01-02 14:30Z"];
    assert!(read(&mixed, &["UTC"; 2]).unwrap_err().contains("others do not"));
}

/// A market that never closes: some programs write its midnights as dates.
#[test]
fn a_date_among_times_is_a_midnight_of_their_zone() {
    let options = TimeOptions { zone: chrono_tz::UTC, format: None };
    for texts in [["2020-01-02", "2020-01-02 14:30"], ["43832.0", "43832.604166667"]] {
        let times = from_texts(texts.iter().map(|text| Some(*text)), &options).unwrap();
        // 2020-01-02 00:00 in UTC.
        assert_eq!(times.label_s, [Some(1_577_923_200), Some(OPEN_S)], "{texts:?}");
        assert!(times.naive && !times.dates);
    }
}
