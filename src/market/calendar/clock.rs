//! Dates and times of day in the zone of the market.

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone};
use chrono_tz::Tz;

use super::{DAY_S, market_zone};

/// The market's date. Panics outside chrono's range (a quarter of a million years).
pub fn market_date(utc_s: i64) -> NaiveDate {
    market_time(utc_s).date()
}

/// The market's wall-clock time in seconds after midnight.
pub(crate) fn time_of_day_s(utc_s: i64) -> i64 {
    i64::from(chrono::Timelike::num_seconds_from_midnight(&market_time(utc_s).time()))
}

/// The market's date and time of day for many times, mostly in ascending order: the time zone is
/// looked up once per day.
#[derive(Clone, Debug)]
pub(crate) struct MarketClock {
    /// UTC seconds of a day without a clock change; empty before the first call.
    day: std::ops::Range<i64>,
    date: NaiveDate,
}

impl MarketClock {
    pub(crate) fn new() -> MarketClock {
        MarketClock { day: 0..0, date: NaiveDate::MIN }
    }

    /// [`market_date`] and [`time_of_day_s`].
    pub(crate) fn at(&mut self, utc_s: i64) -> (NaiveDate, i64) {
        if self.day.contains(&utc_s) {
            return (self.date, utc_s - self.day.start);
        }
        let (date, tod_s) = (market_date(utc_s), time_of_day_s(utc_s));
        let first = utc_s - tod_s;
        let last = first + DAY_S - 1;
        let is_plain = [(first, 0), (last, DAY_S - 1)]
            .iter()
            .all(|&(at, tod_s)| (market_date(at), time_of_day_s(at)) == (date, tod_s));
        (self.day, self.date) = (if is_plain { first..last + 1 } else { 0..0 }, date);
        (date, tod_s)
    }
}

/// `2020-01-02T09:31:00-05:00`, the market's time with its offset
pub fn iso_market_time(utc_s: i64) -> String {
    utc(utc_s).with_timezone(&market_zone()).to_rfc3339()
}

/// `2020-01-02T14:31:00Z`: of one offset all year, as tables for other programs need it.
pub(crate) fn iso_utc(utc_s: i64) -> String {
    utc(utc_s).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// UTC seconds of a wall-clock time of the market, as [`zone_time_to_utc`].
pub(crate) fn market_time_to_utc(local: NaiveDateTime) -> i64 {
    zone_time_to_utc(local, market_zone())
}

/// UTC seconds of a wall-clock time. A time that occurs twice (end of daylight saving) means the
/// first; one that does not exist (start of daylight saving) is read with the offset before the
/// change, so 02:30 is 03:30.
pub(crate) fn zone_time_to_utc(local: NaiveDateTime, zone: Tz) -> i64 {
    let read = |local: NaiveDateTime| match zone.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.timestamp()),
        LocalResult::None => None,
    };
    // Nearly always an hour is skipped; on islands at the date line it was a day.
    let skipped = |hours: i64| {
        read(local - chrono::TimeDelta::hours(hours)).map(|utc_s| utc_s + hours * 3_600)
    };
    read(local).or_else(|| (1..=24).find_map(skipped)).expect("no zone skips more than a day")
}

/// Whether the market's clock is put forward or back on this date.
pub(crate) fn changes_clock(date: NaiveDate) -> bool {
    let midnight = |date: NaiveDate| market_time_to_utc(date.and_time(chrono::NaiveTime::MIN));
    midnight(date + Days::new(1)) - midnight(date) != DAY_S
}

/// The market's wall-clock time.
pub(crate) fn market_time(utc_s: i64) -> NaiveDateTime {
    utc(utc_s).with_timezone(&market_zone()).naive_local()
}

fn utc(utc_s: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(utc_s, 0).expect("bar times lie in chrono's range")
}
