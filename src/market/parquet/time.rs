//! Converts the time column of a day file to UTC seconds.

use chrono::{DateTime, NaiveDateTime, NaiveTime};
use polars::prelude::*;

use super::{cause, file_error};
use crate::market::calendar::new_york_to_utc;
use crate::market::error::MarketError;

/// Times outside 1970 to 2199 are invalid.
const LAST_S: i64 = 7_258_118_400;
const ADVICE: &str = "store full timestamps, as in 2020-01-02 09:30:00";

/// Labels in UTC seconds, rounded to the nearest second (some programs write 09:34:59.999), and
/// whether any of them had no zone. `columns` is one column, or a date and a time of day.
pub(super) fn labels(
    frame: &DataFrame,
    columns: &[String],
    file: &str,
) -> Result<(Vec<Option<i64>>, bool), MarketError> {
    let wrong =
        |e: PolarsError| file_error(file, format!("time: {}", cause(&e)), ADVICE).caused_by(e);
    let column = |name: &String| {
        frame.column(name).map(|c| c.as_materialized_series().clone()).map_err(wrong)
    };
    let read = match columns {
        [date, time] => match (column(date)?, column(time)?) {
            // A column named `time` next to `date` may hold whole timestamps.
            (_, time) if matches!(time.dtype(), DataType::Datetime(..)) => timestamps(&time),
            (date, _) if matches!(date.dtype(), DataType::Datetime(..)) => timestamps(&date),
            (date, time) => date_and_time(&date, &time),
        },
        [name] => {
            let series = column(name)?;
            match series.dtype() {
                DataType::Datetime(..) => timestamps(&series),
                DataType::String => texts(&series),
                DataType::Int64 => epochs(&series, name, file)?,
                _ => {
                    let what = format!("column {name:?} holds dates without a time of day");
                    return Err(file_error(file, what, ADVICE));
                }
            }
        }
        _ => unreachable!("a plan names one or two time columns"),
    };
    let (labels, naive) = read.map_err(wrong)?;
    if labels.iter().all(Option::is_none) {
        let what = format!("no time in column {} can be read", columns.join(" and "));
        return Err(file_error(file, what, ADVICE));
    }
    Ok((labels, naive))
}

type Labels = (Vec<Option<i64>>, bool);

fn in_range(utc_s: i64) -> Option<i64> {
    (0..LAST_S).contains(&utc_s).then_some(utc_s)
}

/// `value` in units of 1 / `per_s` seconds, rounded to seconds.
fn seconds(value: i64, per_s: i64) -> i64 {
    value.saturating_add(per_s / 2).div_euclid(per_s)
}

fn from_local_s(local_s: i64) -> Option<i64> {
    let local = DateTime::from_timestamp(in_range(local_s)?, 0)?.naive_utc();
    in_range(new_york_to_utc(local))
}

fn timestamps(series: &Series) -> PolarsResult<Labels> {
    let column = series.datetime()?;
    let per_s = match column.time_unit() {
        TimeUnit::Nanoseconds => 1_000_000_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Milliseconds => 1_000,
    };
    let naive = column.time_zone().is_none();
    Ok((instants(column.physical().iter(), per_s, naive), naive))
}

/// UTC seconds of times since 1970 in units of 1 / `per_s` seconds, in UTC or, if `naive`, in New
/// York local time.
pub(super) fn instants(
    values: impl Iterator<Item = Option<i64>>,
    per_s: i64,
    naive: bool,
) -> Vec<Option<i64>> {
    // Offsets change by whole hours at full hours, so all times within an hour share one offset.
    let (mut hour_s, mut offset_s) = (i64::MIN, None);
    let mut read = |value: i64| {
        let s = seconds(value, per_s);
        if !naive {
            return in_range(s);
        }
        let this_hour_s = s - s.rem_euclid(3_600);
        if hour_s != this_hour_s {
            hour_s = this_hour_s;
            offset_s = from_local_s(hour_s).map(|utc_s| utc_s - hour_s);
        }
        in_range(in_range(s)? + offset_s?)
    };
    values.map(|value| value.and_then(&mut read)).collect()
}

/// Integers since 1970. The unit follows from their size: for times between 1973 and 5138 it is
/// unique.
fn epochs(series: &Series, name: &str, file: &str) -> Result<PolarsResult<Labels>, MarketError> {
    let column = match series.i64() {
        Ok(column) => column,
        Err(e) => return Ok(Err(e)),
    };
    let per_s = match column.iter().flatten().max().unwrap_or(0) {
        100_000_000..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        100_000_000_000_000_000.. => 1_000_000_000,
        _ => {
            let what = format!("column {name:?} has integers that are not times since 1970");
            return Err(file_error(file, what, ADVICE));
        }
    };
    let read = |value: i64| in_range(seconds(value, per_s));
    Ok(Ok((column.iter().map(|v| v.and_then(read)).collect(), false)))
}

fn texts(series: &Series) -> PolarsResult<Labels> {
    let mut naive = false;
    let labels = series.str()?.iter().map(|text| parse(text?, &mut naive)).collect();
    Ok((labels, naive))
}

/// A date (text or date column) and a time of day (text).
fn date_and_time(date: &Series, time: &Series) -> PolarsResult<Labels> {
    let dates = date.cast(&DataType::String)?;
    let times = time.cast(&DataType::String)?;
    let mut naive = false;
    let pairs = dates.str()?.iter().zip(times.str()?.iter());
    let labels = pairs
        .map(|(date, time)| {
            let day = date?.trim().split([' ', 'T']).next()?;
            parse(&format!("{day} {}", time?.trim()), &mut naive)
        })
        .collect();
    Ok((labels, naive))
}

/// ISO 8601 with `T` or a space, with or without seconds, fraction and offset.
fn parse(text: &str, naive: &mut bool) -> Option<i64> {
    let text = text.trim().replacen('T', " ", 1);
    let zoned = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z"];
    if let Some(time) = zoned.iter().find_map(|f| DateTime::parse_from_str(&text, f).ok()) {
        return in_range(seconds(time.timestamp_millis(), 1_000));
    }
    let (day, clock) = text.split_once(' ')?;
    let clock = clock.trim();
    let clocks = ["%H:%M:%S%.f", "%H:%M"];
    let clock = clocks.iter().find_map(|f| NaiveTime::parse_from_str(clock, f).ok())?;
    let local = NaiveDateTime::new(day.parse().ok()?, clock);
    *naive = true;
    from_local_s(seconds(local.and_utc().timestamp_millis(), 1_000))
}
