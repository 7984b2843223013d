//! Sessions in America/New_York: those of the exchange, or every day.
//!
//! Holidays follow NYSE Rule 7.2 and the exchange's published closures; the rules cover 1990 to
//! 2100. The data decides which days exist; the calendar gives each day's session hours.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Weekday};
use chrono_tz::America::New_York;
use serde::{Deserialize, Serialize};

use super::bar::Period;

/// Seconds after local midnight.
pub(crate) const OPEN_TOD_S: i64 = 9 * 3600 + 30 * 60;
pub(crate) const CLOSE_TOD_S: i64 = 16 * 3600;
const HALF_DAY_CLOSE_TOD_S: i64 = 13 * 3600;
/// Extended hours of the US consolidated tape.
pub(crate) const EXTENDED_OPEN_TOD_S: i64 = 4 * 3600;
pub(crate) const EXTENDED_CLOSE_TOD_S: i64 = 20 * 3600;

/// A trading session, UTC seconds since 1970: `open_s` inclusive, `close_s` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Opening, inclusive.
    pub open_s: i64,
    /// Close, exclusive.
    pub close_s: i64,
}

/// When a market is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    /// New York Stock Exchange: 09:30 to 16:00, its holidays and half days
    #[default]
    Nyse,
    /// Every day from midnight to midnight in New York, as coins are traded
    Always,
}

impl Calendar {
    /// Regular hours on a date; None if the market is closed.
    pub(crate) fn session(self, date: NaiveDate) -> Option<Session> {
        match self {
            Calendar::Nyse => session(date),
            Calendar::Always => Some(whole_day(date)),
        }
    }

    /// Regular hours if the market were open.
    pub(crate) fn usual_session(self, date: NaiveDate) -> Session {
        match self {
            Calendar::Nyse => usual_session(date),
            Calendar::Always => whole_day(date),
        }
    }

    /// Regular and extended hours.
    pub(crate) fn extended_session(self, date: NaiveDate) -> Session {
        match self {
            Calendar::Nyse => extended_session(date),
            Calendar::Always => whole_day(date),
        }
    }

    /// Dates and regular hours of all sessions of a period.
    pub(crate) fn sessions_in(
        self,
        period: &Period,
    ) -> impl Iterator<Item = (NaiveDate, Session)> + use<> {
        let end = period.end;
        let days = period.start.iter_days().take_while(move |&date| date <= end);
        days.filter_map(move |date| self.session(date).map(|session| (date, session)))
    }

    /// Length of a usual session, minutes.
    pub fn session_minutes(self) -> u32 {
        match self {
            Calendar::Nyse => ((CLOSE_TOD_S - OPEN_TOD_S) / 60) as u32,
            Calendar::Always => 24 * 60,
        }
    }
}

/// From midnight to a second before the next one, so that a day's last bar is of its date.
fn whole_day(date: NaiveDate) -> Session {
    Session { open_s: at(date, 0), close_s: at(date + Days::new(1), 0) - 1 }
}

/// Regular hours of the exchange on a date; None on weekends and full holidays.
pub fn session(date: NaiveDate) -> Option<Session> {
    (!is_weekend(date) && !is_holiday(date)).then(|| usual_session(date))
}

/// Regular hours if the exchange were open: used for bars on days that the calendar has as closed,
/// since data may come from other venues.
pub(crate) fn usual_session(date: NaiveDate) -> Session {
    let close = if is_half_day(date) { HALF_DAY_CLOSE_TOD_S } else { CLOSE_TOD_S };
    Session { open_s: at(date, OPEN_TOD_S), close_s: at(date, close) }
}

/// 04:00 to 20:00 New York time.
pub(crate) fn extended_session(date: NaiveDate) -> Session {
    Session { open_s: at(date, EXTENDED_OPEN_TOD_S), close_s: at(date, EXTENDED_CLOSE_TOD_S) }
}

/// Dates and regular hours of all sessions of a period.
pub fn sessions_in(period: &Period) -> impl Iterator<Item = (NaiveDate, Session)> + use<> {
    Calendar::Nyse.sessions_in(period)
}

/// The New York date. Panics outside chrono's range (a quarter of a million years).
pub fn new_york_date(utc_s: i64) -> NaiveDate {
    new_york_local(utc_s).date()
}

/// New York wall-clock time in seconds after midnight.
pub(crate) fn time_of_day_s(utc_s: i64) -> i64 {
    i64::from(chrono::Timelike::num_seconds_from_midnight(&new_york_local(utc_s).time()))
}

/// New York date and time of day for many times, mostly in ascending order: the time zone is looked
/// up once per day.
#[derive(Clone, Debug)]
pub(crate) struct NewYorkClock {
    /// UTC seconds of a day without a clock change; empty before the first call.
    day: std::ops::Range<i64>,
    date: NaiveDate,
}

impl NewYorkClock {
    pub(crate) fn new() -> NewYorkClock {
        NewYorkClock { day: 0..0, date: NaiveDate::MIN }
    }

    /// [`new_york_date`] and [`time_of_day_s`].
    pub(crate) fn at(&mut self, utc_s: i64) -> (NaiveDate, i64) {
        if self.day.contains(&utc_s) {
            return (self.date, utc_s - self.day.start);
        }
        let (date, tod_s) = (new_york_date(utc_s), time_of_day_s(utc_s));
        let first = utc_s - tod_s;
        let last = first + 86_399;
        let is_plain = [(first, 0), (last, 86_399)]
            .iter()
            .all(|&(at, tod_s)| (new_york_date(at), time_of_day_s(at)) == (date, tod_s));
        (self.day, self.date) = (if is_plain { first..last + 1 } else { 0..0 }, date);
        (date, tod_s)
    }
}

/// `2020-01-02T09:31:00-05:00`
pub fn iso_new_york(utc_s: i64) -> String {
    utc(utc_s).with_timezone(&New_York).to_rfc3339()
}

/// UTC seconds of a New York wall-clock time. A time that occurs twice (end of daylight saving)
/// means the first; one that does not exist (start of daylight saving) is read with the offset
/// before the change, so 02:30 is 03:30. Both occur on Sunday nights.
pub(crate) fn new_york_to_utc(local: NaiveDateTime) -> i64 {
    match New_York.from_local_datetime(&local) {
        LocalResult::Single(time) => time.timestamp(),
        LocalResult::Ambiguous(first, _) => first.timestamp(),
        LocalResult::None => match New_York
            .from_local_datetime(&(local - chrono::TimeDelta::hours(1)))
        {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.timestamp() + 3600,
            LocalResult::None => unreachable!("New York never skips two hours"),
        },
    }
}

/// Whether the clock of New York is put forward or back on this date.
pub(crate) fn changes_clock(date: NaiveDate) -> bool {
    let next = date + Days::new(1);
    at(next, 0) - at(date, 0) != 86_400
}

fn utc(utc_s: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(utc_s, 0).expect("bar times lie in chrono's range")
}

/// New York wall-clock time.
pub(crate) fn new_york_local(utc_s: i64) -> NaiveDateTime {
    utc(utc_s).with_timezone(&New_York).naive_local()
}

fn at(date: NaiveDate, tod_s: i64) -> i64 {
    let midnight = date.and_time(chrono::NaiveTime::MIN);
    new_york_to_utc(midnight + chrono::TimeDelta::seconds(tod_s))
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// Unscheduled full-day closures: days of mourning, 11 September 2001, hurricane Sandy.
const SPECIAL_CLOSURES: [(i32, u32, u32); 11] = [
    (1994, 4, 27),
    (2001, 9, 11),
    (2001, 9, 12),
    (2001, 9, 13),
    (2001, 9, 14),
    (2004, 6, 11),
    (2007, 1, 2),
    (2012, 10, 29),
    (2012, 10, 30),
    (2018, 12, 5),
    (2025, 1, 9),
];

/// Early closes outside the rules.
const SPECIAL_HALF_DAYS: [(i32, u32, u32); 3] = [(1997, 12, 26), (1999, 12, 31), (2003, 12, 26)];

fn ymd(date: NaiveDate) -> (i32, u32, u32) {
    (date.year(), date.month(), date.day())
}

/// A weekday on which the exchange is closed.
fn is_holiday(date: NaiveDate) -> bool {
    use Weekday::{Fri, Mon, Thu};
    let (year, month, day) = ymd(date);
    let weekday = date.weekday();
    let nth = (day - 1) / 7 + 1;
    // A holiday on Saturday is observed on Friday, one on Sunday on Monday.
    let observed = |m: u32, d: u32| {
        month == m
            && (day == d || (day + 1 == d && weekday == Fri) || (day == d + 1 && weekday == Mon))
    };
    // New Year's Day on a Saturday is not observed, since the Friday belongs to the old year.
    let new_year = month == 1 && (day == 1 || (day == 2 && weekday == Mon));
    new_year
        || (year >= 1998 && month == 1 && weekday == Mon && nth == 3)
        || (month == 2 && weekday == Mon && nth == 3)
        || date.checked_add_days(Days::new(2)) == Some(easter(year))
        || (month == 5 && weekday == Mon && day > 24)
        || (year >= 2022 && observed(6, 19))
        || observed(7, 4)
        || (month == 9 && weekday == Mon && nth == 1)
        || (month == 11 && weekday == Thu && nth == 4)
        || observed(12, 25)
        || SPECIAL_CLOSURES.contains(&(year, month, day))
}

/// A trading day that closes at 13:00. Rules since 1993; earlier early closes (at 14:00) are not
/// covered.
fn is_half_day(date: NaiveDate) -> bool {
    use Weekday::{Fri, Mon, Thu, Tue, Wed};
    let (year, month, day) = ymd(date);
    let weekday = date.weekday();
    if year < 1993 || is_weekend(date) || is_holiday(date) {
        return false;
    }
    let after_thanksgiving = month == 11 && weekday == Fri && (23..=29).contains(&day);
    let christmas_eve = month == 12 && day == 24;
    // If 4 July is a Thursday, the early close was on the day after until 2012 and on the day
    // before since.
    let before_independence = year >= 1995
        && (month, day) == (7, 3)
        && (matches!(weekday, Mon | Tue | Thu) || (weekday == Wed && year >= 2013));
    let after_independence =
        (1995..=2012).contains(&year) && (month, day) == (7, 5) && weekday == Fri;
    after_thanksgiving
        || christmas_eve
        || before_independence
        || after_independence
        || SPECIAL_HALF_DAYS.contains(&(year, month, day))
}

/// Easter Sunday in the Gregorian calendar: the anonymous algorithm (Meeus, Astronomical
/// Algorithms, 1991, chapter 8).
fn easter(year: i32) -> NaiveDate {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let f = (b + 8) / 25;
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    NaiveDate::from_ymd_opt(year, (n / 31) as u32, (n % 31 + 1) as u32)
        .expect("Easter lies in March or April")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            .filter(|&d| !is_weekend(d) && session(d).is_none())
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
                    "01-01", "01-15", "02-19", "03-30", "05-28", "07-04", "09-03", "11-22",
                    "12-05", "12-25",
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
                    "01-01", "01-15", "02-19", "03-29", "05-27", "06-19", "07-04", "09-02",
                    "11-28", "12-25",
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
        for open in
            ["2001-09-10", "2001-09-17", "1997-01-20", "2021-06-18", "2010-12-31", "2021-12-31"]
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
        assert_eq!(iso_new_york(1_577_975_460), "2020-01-02T09:31:00-05:00");
        assert_eq!(iso_new_york(1_593_610_260), "2020-07-01T09:31:00-04:00");
        assert_eq!(time_of_day_s(1_593_610_260), 9 * 3600 + 31 * 60);
        // 02:00 UTC is the previous evening in New York.
        assert_eq!(new_york_date(1_577_930_400), date("2020-01-01"));
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
        for (text, changes) in [
            ("2020-03-08", true),
            ("2020-11-01", true),
            ("2020-10-31", false),
            ("2020-11-02", false),
        ] {
            assert_eq!(changes_clock(date(text)), changes, "{text}");
        }
    }

    #[test]
    fn clock_changes_have_a_stated_reading() {
        let read = |text: &str| new_york_to_utc(text.parse().unwrap());
        // 2020-11-01 01:30 occurs at 05:30 UTC (EDT) and at 06:30 UTC (EST): the first is taken.
        assert_eq!(read("2020-11-01T01:30:00"), 1_604_208_600);
        // 2020-03-08 02:30 does not exist: 03:30 EDT is 07:30 UTC.
        assert_eq!(read("2020-03-08T02:30:00"), 1_583_652_600);
        assert_eq!(read("2020-03-08T03:30:00"), 1_583_652_600);
    }

    #[test]
    fn easter_falls_where_the_tables_have_it() {
        for text in
            ["1990-04-15", "2000-04-23", "2019-04-21", "2024-03-31", "2038-04-25", "2100-03-28"]
        {
            assert_eq!(easter(date(text).year()), date(text));
        }
    }
}
