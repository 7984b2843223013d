//! Sessions of the New York Stock Exchange, by its rules.
//!
//! Holidays follow NYSE Rule 7.2 and the exchange's published closures; the rules cover 1990 to
//! 2100.

use chrono::{Datelike, Days, NaiveDate, Weekday};

/// Opening and close, seconds after local midnight.
pub(crate) const OPEN_TOD_S: i64 = 9 * 3600 + 30 * 60;
pub(crate) const CLOSE_TOD_S: i64 = 16 * 3600;
const HALF_DAY_CLOSE_TOD_S: i64 = 13 * 3600;
/// Extended hours of the US consolidated tape.
pub(super) const EXTENDED_OPEN_TOD_S: i64 = 4 * 3600;
pub(super) const EXTENDED_CLOSE_TOD_S: i64 = 20 * 3600;

/// Close on a date if the exchange is open.
pub(super) fn close_tod_s(date: NaiveDate) -> i64 {
    if is_half_day(date) { HALF_DAY_CLOSE_TOD_S } else { CLOSE_TOD_S }
}

/// Whether the exchange has a session on a date.
pub(super) fn is_open(date: NaiveDate) -> bool {
    !is_weekend(date) && !is_holiday(date)
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
pub(super) fn easter(year: i32) -> NaiveDate {
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
