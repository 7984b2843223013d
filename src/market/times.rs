//! Times as other programs write them: the one rule for tables, day files and streams.
//!
//! - Text is ISO 8601, with or without padding, `T`, seconds, fraction and offset; dates as
//!   `20200102`, `2020.01.02`, `01/02/2020`, `02.01.2020`, `02-Jan-2020` or `January 2, 2020`; times
//!   of day as `09:30`, `0930`, `093000` or `9:30 AM`; zones as an offset, `Z`, `UTC`, `GMT+0100` or
//!   an IANA name. `20200102-14:30:00`, as FIX and Interactive Brokers write it, is UTC.
//! - Numbers are seconds, milli-, micro- or nanoseconds since 1970, by their size; `20200102` and
//!   `20200102093000`; days since 1970 (as R has dates); or Excel's days since 1900.
//! - A time without a zone is of the zone that is given, by default that of the market: New York,
//!   or that of --calendar.
//! - Times that are all midnights of their own zone are dates: those of daily bars.

mod clock;
mod text;
mod zones;

use std::borrow::Cow;

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::calendar::{market_time_to_utc, market_zone};
pub(crate) use clock::joined;
use text::{DateOrder, TimeText, parse};
pub(crate) use zones::zones;

/// Times outside 1970 to 2199 are invalid.
const LAST_S: i64 = 7_258_118_400;
const DAY_S: i64 = 86_400;

/// How times are to be read.
#[derive(Clone, Debug)]
pub(crate) struct TimeOptions {
    /// The zone of times without one.
    pub(crate) zone: Tz,
    /// Format of a text, as in C's `strftime`; None: found out.
    pub(crate) format: Option<String>,
}

impl Default for TimeOptions {
    fn default() -> TimeOptions {
        TimeOptions { zone: market_zone(), format: None }
    }
}

/// The times of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Times {
    /// UTC seconds, rounded to the nearest (some programs write 09:34:59.999); None where there is
    /// no usable time. Dates are midnights in the market.
    pub(crate) label_s: Vec<Option<i64>>,
    /// Some had no zone and were read in the given one.
    pub(crate) naive: bool,
    /// Some had a zone of their own, or count from a moment.
    pub(crate) zoned: bool,
    /// All are dates.
    pub(crate) dates: bool,
    /// What they were read as, in words.
    pub(crate) read_as: Cow<'static, str>,
}

/// A time before it is decided whether all are dates.
#[derive(Clone, Copy)]
struct Moment {
    utc_s: i64,
    /// The wall clock that it was written with.
    local: NaiveDateTime,
}

/// What the integers of a column count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// This many per second since 1970.
    Epoch(i64),
    /// Days since 1970-01-01.
    Days,
    /// Days since 1899-12-30.
    Excel,
    /// Digits of a date, or of a date and a time of day.
    Digits,
}

impl Unit {
    /// The unit of numbers up to `largest`. For times between 1973 and 2199 it is unique.
    fn of(largest: i64) -> Option<Unit> {
        Some(match largest {
            7_000..30_000 => Unit::Days,
            30_000..80_000 => Unit::Excel,
            19_000_000..22_000_000 => Unit::Digits,
            100_000_000..100_000_000_000 => Unit::Epoch(1),
            190_000_000_000..220_000_000_000 => Unit::Digits,
            19_000_000_000_000..22_000_000_000_000 => Unit::Digits,
            100_000_000_000..100_000_000_000_000 => Unit::Epoch(1_000),
            100_000_000_000_000..100_000_000_000_000_000 => Unit::Epoch(1_000_000),
            100_000_000_000_000_000.. => Unit::Epoch(1_000_000_000),
            _ => return None,
        })
    }

    fn words(self) -> &'static str {
        match self {
            Unit::Epoch(1) => "seconds since 1970",
            Unit::Epoch(1_000) => "milliseconds since 1970",
            Unit::Epoch(1_000_000) => "microseconds since 1970",
            Unit::Epoch(_) => "nanoseconds since 1970",
            Unit::Days => "days since 1970",
            Unit::Excel => "Excel's days since 1900",
            Unit::Digits => "dates in digits",
        }
    }
}

/// UTC seconds that `value` counts, rounded to the nearest; None outside 1970 to 2199.
fn epoch_s(value: i64, per_s: i64) -> Option<i64> {
    in_range(value.saturating_add(per_s / 2).div_euclid(per_s))
}

fn in_range(utc_s: i64) -> Option<i64> {
    (0..LAST_S).contains(&utc_s).then_some(utc_s)
}

/// UTC seconds of a wall-clock time in `zone`. One that occurs twice means the first; one that does
/// not exist is read with the offset before the change.
fn local_to_utc(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    let read = |local: &NaiveDateTime| match zone.from_local_datetime(local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.timestamp()),
        LocalResult::None => None,
    };
    let hour = TimeDelta::hours(1);
    in_range(read(&local).or_else(|| Some(read(&(local - hour))? + 3_600))?)
}

/// UTC seconds of a text alone, to the nearest; a time without a zone is the market's. A date is None:
/// among others midnights would be dates, but one alone does not tell.
pub(crate) fn read_text(text: &str) -> Option<i64> {
    match parse(text, DateOrder::Month)? {
        TimeText::Zoned { utc_ms, .. } => epoch_s(utc_ms, 1_000),
        TimeText::Local(local) => local_to_utc(rounded(local), market_zone()),
        TimeText::Date(_) => None,
    }
}

/// The date of a text that has no time of day.
pub(crate) fn read_date(text: &str) -> Option<NaiveDate> {
    match parse(text, DateOrder::Month)? {
        TimeText::Date(date) => Some(date),
        TimeText::Zoned { .. } | TimeText::Local(_) => None,
    }
}

/// UTC seconds of a number since 1970; None for one that counts or says days.
pub(crate) fn read_number(number: f64) -> Option<i64> {
    match Unit::of(number as i64)? {
        Unit::Epoch(per_s) => in_range((number / per_s as f64).round() as i64),
        Unit::Days | Unit::Excel | Unit::Digits => None,
    }
}

/// The nearest second.
fn rounded(local: NaiveDateTime) -> NaiveDateTime {
    let utc = local.and_utc();
    let s = utc.timestamp_millis().saturating_add(500).div_euclid(1_000);
    DateTime::from_timestamp(s, 0).map_or(local, |time| time.naive_utc())
}

/// Times of texts; None where one is empty or cannot be read.
///
/// # Errors
/// If day and month cannot be told apart, or nothing can be read.
pub(crate) fn from_texts<'a>(
    texts: impl Iterator<Item = Option<&'a str>> + Clone,
    options: &TimeOptions,
) -> Result<Times, String> {
    let given = || texts.clone().flatten().map(str::trim).filter(|text| !text.is_empty());
    let Some(first) = given().next() else { return Err("no time is given".into()) };
    if let Some(format) = &options.format {
        return formatted(texts, format, options.zone, first);
    }
    if given().all(|text| text.parse::<f64>().is_ok()) {
        return from_number_texts(texts, options);
    }
    let order = DateOrder::of(given())?;
    let (mut naive, mut zoned) = (false, false);
    let mut some_time = false;
    let mut moment = |text: &str| {
        let (utc_s, local) = match parse(text, order)? {
            TimeText::Zoned { utc_ms, local } => {
                zoned = true;
                (epoch_s(utc_ms, 1_000)?, local)
            }
            TimeText::Local(local) => {
                naive = true;
                let local = rounded(local);
                (local_to_utc(local, options.zone)?, local)
            }
            // Among times of day, a midnight.
            TimeText::Date(date) => {
                naive = true;
                let local = date.and_time(chrono::NaiveTime::MIN);
                (local_to_utc(local, options.zone)?, local)
            }
        };
        some_time = true;
        Some(Moment { utc_s, local })
    };
    let moments: Vec<Option<Moment>> =
        texts.clone().map(|text| text.and_then(&mut moment)).collect();
    if !some_time {
        return Err(format!("{:?} cannot be read as a time", shortened(first)));
    }
    decided(moments, [naive, zoned], order.words())
}

/// At most 40 characters of a text.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn formatted<'a>(
    texts: impl Iterator<Item = Option<&'a str>>,
    format: &str,
    zone: Tz,
    first: &str,
) -> Result<Times, String> {
    let (mut naive, mut zoned, mut read) = (false, false, 0_usize);
    let mut moment = |text: &str| {
        let text = text.trim();
        let moment = if let Ok(time) = DateTime::parse_from_str(text, format) {
            zoned = true;
            let utc_s = epoch_s(time.timestamp_millis(), 1_000)?;
            Moment { utc_s, local: time.naive_local() }
        } else if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
            naive = true;
            Moment { utc_s: local_to_utc(rounded(local), zone)?, local: rounded(local) }
        } else {
            let date = NaiveDate::parse_from_str(text, format).ok()?;
            let local = date.and_time(chrono::NaiveTime::MIN);
            naive = true;
            Moment { utc_s: local_to_utc(local, zone)?, local }
        };
        read += 1;
        Some(moment)
    };
    let moments: Vec<Option<Moment>> = texts.map(|text| text.and_then(&mut moment)).collect();
    if read == 0 {
        return Err(format!("{:?} is not as --time-format {format:?} says", shortened(first)));
    }
    decided(moments, [naive, zoned], Cow::Owned(format!("as {format}")))
}

fn from_number_texts<'a>(
    texts: impl Iterator<Item = Option<&'a str>> + Clone,
    options: &TimeOptions,
) -> Result<Times, String> {
    let integer = |text: Option<&str>| text.and_then(|text| text.trim().parse::<i64>().ok());
    let is_whole = |text: &str| text.trim().is_empty() || integer(Some(text)).is_some();
    if texts.clone().flatten().all(is_whole) {
        return from_integers(texts.map(integer), options);
    }
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
    from_floats(texts.map(number), options)
}

/// Times of integers; see [`Unit`].
pub(crate) fn from_integers(
    values: impl Iterator<Item = Option<i64>> + Clone,
    options: &TimeOptions,
) -> Result<Times, String> {
    let largest = values.clone().flatten().max().ok_or("no time is given")?;
    let unit = Unit::of(largest)
        .ok_or_else(|| format!("{largest} is not a time since 1970 nor a date"))?;
    let mut naive = false;
    let mut moment = |value: i64| match unit {
        Unit::Epoch(per_s) => of_utc(epoch_s(value, per_s)?),
        Unit::Days | Unit::Excel => {
            naive = true;
            of_day(value as f64, unit, options.zone)
        }
        Unit::Digits => match parse(&value.to_string(), DateOrder::Month)? {
            TimeText::Local(local) => {
                naive = true;
                Some(Moment { utc_s: local_to_utc(local, options.zone)?, local })
            }
            TimeText::Date(date) => of_day(days_since_1970(date), Unit::Days, options.zone),
            TimeText::Zoned { .. } => None,
        },
    };
    let moments: Vec<_> = values.map(|value| value.and_then(&mut moment)).collect();
    decided(moments, [naive, matches!(unit, Unit::Epoch(_))], unit.words().into())
}

/// Times of numbers with a fraction: seconds since 1970, or Excel's days.
pub(crate) fn from_floats(
    values: impl Iterator<Item = Option<f64>> + Clone,
    options: &TimeOptions,
) -> Result<Times, String> {
    let known = |value: Option<f64>| value.filter(|value| value.is_finite());
    let largest = values.clone().filter_map(known).fold(f64::NEG_INFINITY, f64::max);
    if values.clone().filter_map(known).all(|value| value.fract() == 0.0) {
        return from_integers(values.map(|value| known(value).map(|value| value as i64)), options);
    }
    let unit = Unit::of(largest as i64).filter(|unit| *unit != Unit::Digits);
    let unit = unit.ok_or_else(|| format!("{largest} is not a time since 1970 nor a date"))?;
    let moment = |value: f64| match unit {
        Unit::Epoch(per_s) => of_utc(in_range((value / per_s as f64).round() as i64)?),
        unit => of_day(value, unit, options.zone),
    };
    let naive = !matches!(unit, Unit::Epoch(_));
    let moments: Vec<_> = values.map(|value| known(value).and_then(moment)).collect();
    decided(moments, [naive, !naive], unit.words().into())
}

fn days_since_1970(date: NaiveDate) -> f64 {
    (date - NaiveDate::default()).num_days() as f64
}

fn of_utc(utc_s: i64) -> Option<Moment> {
    let local = DateTime::from_timestamp(utc_s, 0)?.naive_utc();
    Some(Moment { utc_s, local })
}

/// A number of days and its fraction, in local time.
fn of_day(days: f64, unit: Unit, zone: Tz) -> Option<Moment> {
    const EXCEL_DAYS: f64 = 25_569.0;
    let days = if unit == Unit::Excel { days - EXCEL_DAYS } else { days };
    let local_s = in_range((days * DAY_S as f64).round() as i64)?;
    let local = DateTime::from_timestamp(local_s, 0)?.naive_utc();
    Some(Moment { utc_s: local_to_utc(local, zone)?, local })
}

/// The labels; dates if every time is a midnight of its own zone. `naive` and `zoned` as in
/// [`Times`].
fn decided(
    moments: Vec<Option<Moment>>,
    [naive, zoned]: [bool; 2],
    read_as: Cow<'static, str>,
) -> Result<Times, String> {
    if moments.iter().all(Option::is_none) {
        return Err("none is a time from 1970 to 2199".into());
    }
    let midnight = |moment: &Moment| moment.local.time() == chrono::NaiveTime::MIN;
    let dates = moments.iter().flatten().all(midnight);
    let label = |moment: Moment| {
        if dates { in_range(market_time_to_utc(moment.local)) } else { Some(moment.utc_s) }
    };
    let label_s = moments.into_iter().map(|moment| moment.and_then(label)).collect();
    Ok(Times { label_s, naive: naive && !dates, zoned, dates, read_as })
}

/// Times since 1970 in units of 1 / `per_s` seconds: in UTC, or on the clock of `local`.
pub(crate) fn from_instants(
    values: impl Iterator<Item = Option<i64>> + Clone,
    per_s: i64,
    local: Option<Tz>,
) -> Result<Times, String> {
    let day = DAY_S.saturating_mul(per_s);
    // Nearly always the first time tells.
    let dates = values.clone().flatten().all(|value| value % day == 0);
    let zone = if dates { Some(market_zone()) } else { local };
    // Offsets change by whole hours at full hours, so all times within an hour share one offset.
    let (mut hour_s, mut offset_s) = (i64::MIN, None);
    let mut read = |value: i64| {
        let s = epoch_s(value, per_s)?;
        let Some(zone) = zone else { return Some(s) };
        let this_hour_s = s - s.rem_euclid(3_600);
        if hour_s != this_hour_s {
            hour_s = this_hour_s;
            let hour = DateTime::from_timestamp(hour_s, 0)?.naive_utc();
            offset_s = local_to_utc(hour, zone).map(|utc_s| utc_s - hour_s);
        }
        in_range(s + offset_s?)
    };
    let label_s: Vec<_> = values.map(|value| value.and_then(&mut read)).collect();
    if label_s.iter().all(Option::is_none) {
        return Err("none is a time from 1970 to 2199".into());
    }
    let naive = local.is_some() && !dates;
    Ok(Times { label_s, naive, zoned: local.is_none(), dates, read_as: "timestamps".into() })
}

#[cfg(test)]
mod tests;
