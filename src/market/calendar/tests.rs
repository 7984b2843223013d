use super::nyse::easter;
use super::*;
use chrono::{Datelike, Weekday};

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn year(year: i32) -> Period {
    Period {
        start: NaiveDate::from_ymd_opt(year, 1, 1).unwrap(),
        end: NaiveDate::from_ymd_opt(year, 12, 31).unwrap(),
    }
}

/// Weekdays of a year without a session, as month-day.
fn closed(y: i32) -> Vec<String> {
    let weekdays = year(y).start.iter_days().take_while(|d| d.year() == y);
    weekdays
        .filter(|&d| !matches!(d.weekday(), Weekday::Sat | Weekday::Sun) && session(d).is_none())
        .map(|d| d.format("%m-%d").to_string())
        .collect()
}

fn half_days(y: i32) -> Vec<String> {
    sessions_in(&year(y))
        .filter(|(_, s)| s.close_s - s.open_s == 3 * 3600 + 1800)
        .map(|(d, _)| d.format("%m-%d").to_string())
        .collect()
}

/// As published by the exchange.
#[test]
fn holidays_and_half_days_are_those_of_the_exchange() {
    let cases: [(i32, &[&str], &[&str], usize); 6] = [
        (
            2018,
            &[
                "01-01", "01-15", "02-19", "03-30", "05-28", "07-04", "09-03", "11-22", "12-05",
                "12-25",
            ],
            &["07-03", "11-23", "12-24"],
            251,
        ),
        (
            2019,
            &["01-01", "01-21", "02-18", "04-19", "05-27", "07-04", "09-02", "11-28", "12-25"],
            &["07-03", "11-29", "12-24"],
            252,
        ),
        (
            2020,
            &["01-01", "01-20", "02-17", "04-10", "05-25", "07-03", "09-07", "11-26", "12-25"],
            &["11-27", "12-24"],
            253,
        ),
        (
            2021,
            &["01-01", "01-18", "02-15", "04-02", "05-31", "07-05", "09-06", "11-25", "12-24"],
            &["11-26"],
            252,
        ),
        (
            2022,
            &["01-17", "02-21", "04-15", "05-30", "06-20", "07-04", "09-05", "11-24", "12-26"],
            &["11-25"],
            251,
        ),
        (
            2024,
            &[
                "01-01", "01-15", "02-19", "03-29", "05-27", "06-19", "07-04", "09-02", "11-28",
                "12-25",
            ],
            &["07-03", "11-29", "12-24"],
            252,
        ),
    ];
    for (y, holidays, halves, sessions) in cases {
        assert_eq!(closed(y), holidays, "{y}");
        assert_eq!(half_days(y), halves, "{y}");
        assert_eq!(sessions_in(&year(y)).count(), sessions, "{y}");
    }
}

#[test]
fn closures_outside_the_rules_are_known() {
    for closed in
        ["2001-09-11", "2001-09-14", "2004-06-11", "2007-01-02", "2012-10-30", "2025-01-09"]
    {
        assert_eq!(session(date(closed)), None, "{closed}");
    }
    for open in ["2001-09-10", "2001-09-17", "1997-01-20", "2021-06-18", "2010-12-31", "2021-12-31"]
    {
        assert!(session(date(open)).is_some(), "{open}");
    }
}

#[test]
fn sessions_follow_daylight_saving() {
    // 2020-01-02 09:30 EST is 14:30 UTC; 2020-07-01 09:30 EDT is 13:30 UTC.
    let winter = session(date("2020-01-02")).unwrap();
    assert_eq!(winter, Session { open_s: 1_577_975_400, close_s: 1_577_998_800 });
    let summer = session(date("2020-07-01")).unwrap();
    assert_eq!(summer, Session { open_s: 1_593_610_200, close_s: 1_593_633_600 });
    // Daylight saving time began on Sunday 2020-03-08 and ended on Sunday 2020-11-01: from
    // Friday's to Monday's open it is three days less an hour and three days plus an hour.
    let open = |text| session(date(text)).unwrap().open_s;
    assert_eq!(open("2020-03-09") - open("2020-03-06"), 3 * 86_400 - 3_600);
    assert_eq!(open("2020-11-02") - open("2020-10-30"), 3 * 86_400 + 3_600);
}

#[test]
fn times_are_written_with_the_offset_of_their_day() {
    assert_eq!(iso_market_time(1_577_975_460), "2020-01-02T09:31:00-05:00");
    assert_eq!(iso_market_time(1_593_610_260), "2020-07-01T09:31:00-04:00");
    assert_eq!(time_of_day_s(1_593_610_260), 9 * 3600 + 31 * 60);
    // 02:00 UTC is the previous evening in New York.
    assert_eq!(market_date(1_577_930_400), date("2020-01-01"));
}

#[test]
fn a_market_that_never_closes_has_a_session_every_day() {
    let always = Calendar::Always;
    assert_eq!(always.sessions_in(&year(2020)).count(), 366);
    let saturday = always.session(date("2020-01-04")).unwrap();
    // 00:00 EST is 05:00 UTC.
    assert_eq!(saturday, Session { open_s: 1_578_114_000, close_s: 1_578_200_399 });
    let hours = |text| {
        let Session { open_s, close_s } = always.usual_session(date(text));
        (close_s + 1 - open_s) / 3_600
    };
    let days = ["2020-03-07", "2020-03-08", "2020-11-01"];
    assert_eq!(days.map(hours), [24, 23, 25], "clocks are put forward and back");
    assert_eq!(Calendar::Nyse.session(date("2020-01-04")), None);
    assert_eq!([Calendar::Nyse, always].map(Calendar::session_minutes), [390, 1_440]);
}

#[test]
fn days_with_a_clock_change_are_known() {
    for (text, changes) in
        [("2020-03-08", true), ("2020-11-01", true), ("2020-10-31", false), ("2020-11-02", false)]
    {
        assert_eq!(changes_clock(date(text)), changes, "{text}");
    }
}

#[test]
fn clock_changes_have_a_stated_reading() {
    let read = |text: &str| market_time_to_utc(text.parse().unwrap());
    // 2020-11-01 01:30 occurs at 05:30 UTC (EDT) and at 06:30 UTC (EST): the first is taken.
    assert_eq!(read("2020-11-01T01:30:00"), 1_604_208_600);
    // 2020-03-08 02:30 does not exist: 03:30 EDT is 07:30 UTC.
    assert_eq!(read("2020-03-08T02:30:00"), 1_583_652_600);
    assert_eq!(read("2020-03-08T03:30:00"), 1_583_652_600);
}

#[test]
fn easter_falls_where_the_tables_have_it() {
    for text in ["1990-04-15", "2000-04-23", "2019-04-21", "2024-03-31", "2038-04-25", "2100-03-28"]
    {
        assert_eq!(easter(date(text).year()), date(text));
    }
}

/// The rules of the exchange and the table of the package exchange_calendars, made independently of
/// each other.
#[test]
fn the_rules_of_new_york_agree_with_the_table() {
    let table = Calendar::Exchange(Mic::known("XNYS").unwrap());
    assert_eq!(table.zone(), New_York);
    for y in 2000..=2035 {
        let differ = |(ours, theirs): &((NaiveDate, Session), (NaiveDate, Session))| ours != theirs;
        let found =
            Calendar::Nyse.sessions_in(&year(y)).zip(table.sessions_in(&year(y))).find(differ);
        assert_eq!(found, None, "{y}");
    }
}

/// As published: Deutsche Börse closed on Whit Monday until 2021, Tokyo half an hour later since
/// November 2024 and at noon, London half a day on Christmas Eve, Bombay once on a Saturday.
#[test]
fn other_exchanges_have_their_own_days_and_hours() {
    let local = |calendar: Calendar, text: &str| {
        calendar.session(date(text)).map(|session| {
            [session.open_s, session.close_s].map(|s| {
                let time = chrono::DateTime::from_timestamp(s, 0).unwrap();
                time.with_timezone(&calendar.zone()).format("%Y-%m-%d %H:%M").to_string()[11..]
                    .to_string()
            })
        })
    };
    let hours = |open: &str, close: &str| Some([open.to_string(), close.to_string()]);
    let named = |name: &str| name.parse::<Calendar>().unwrap();
    let (xetra, tokyo, london) = (named("XETR"), named("JPX"), named("lse"));
    assert_eq!(xetra.to_string(), "XETR");
    assert_eq!(local(xetra, "2021-05-24"), None, "Whit Monday");
    assert_eq!(local(xetra, "2022-06-06"), hours("09:00", "17:30"), "Whit Monday is traded now");
    assert_eq!(local(xetra, "2020-12-30"), hours("09:00", "14:00"));
    assert_eq!(local(tokyo, "2020-01-06"), hours("09:00", "15:00"));
    assert_eq!(local(tokyo, "2024-11-05"), hours("09:00", "15:30"));
    assert_eq!(local(tokyo, "2019-05-01"), None, "ten holidays when the emperor changed");
    let Session { open_s, close_s } = tokyo.pause(date("2020-01-06")).unwrap();
    // 11:30 and 12:30 in Tokyo.
    assert_eq!((open_s, close_s), (1_578_277_800, 1_578_281_400));
    assert_eq!(xetra.pause(date("2020-01-06")), None);
    assert_eq!(local(london, "2020-12-24"), hours("08:00", "12:30"));
    assert_eq!(local(london, "2022-09-19"), None, "the queen's funeral");
    assert_eq!([xetra, tokyo].map(Calendar::session_minutes), [510, 390]);
    assert_eq!([xetra, tokyo].map(Calendar::trading_minutes), [510, 330]);
    // Before the table begins there are weeks without holidays.
    assert_eq!(local(xetra, "1990-12-25"), hours("09:00", "17:30"));
}

#[test]
fn calendars_have_names() {
    for name in ["nyse", "always", "XETR", "XSHG"] {
        assert_eq!(name.parse::<Calendar>().unwrap().to_string(), name);
    }
    for name in ["NYSE", "XNYS", "NASDAQ"] {
        assert_eq!(name.parse(), Ok(Calendar::Nyse), "{name}");
    }
    let error = "moon".parse::<Calendar>().unwrap_err();
    assert!(error.contains("docs/data.md"), "{error}");
}
