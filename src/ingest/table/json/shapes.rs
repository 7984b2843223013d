//! The shapes of bars whose values have names.

use chrono::DateTime;
use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::{KEY, Records, cell, has_prices};
use crate::ingest::table::layout;

/// Objects within a bar that hold its values: Oanda's prices between bid and ask, and Databento's
/// time.
const INNER: [&str; 2] = ["mid", "hd"];

/// `[{"time": ..., "open": ...}, ...]`
pub(super) fn of_list(items: &[Value]) -> Option<Records> {
    let first = items.first()?.as_object()?;
    let inner = INNER.iter().filter_map(|name| first.get(*name)?.as_object());
    let plain = |(name, value): (&String, &Value)| (!value.is_object()).then(|| name.clone());
    let names: Vec<String> = first
        .iter()
        .filter_map(plain)
        .chain(inner.flat_map(|inner| inner.keys().cloned()))
        .collect();
    let value = |item: &Value, name: &String| {
        let inner = INNER.iter().filter_map(|inner| item.get(inner));
        let all = std::iter::once(item).chain(inner);
        all.into_iter().find_map(|object| object.get(name)).map_or(String::new(), |v| cell(Some(v)))
    };
    // Oanda's last bar may not be over.
    let is_whole = |item: &&Value| item.get("complete") != Some(&Value::Bool(false));
    let whole: Vec<&Value> = items.iter().filter(is_whole).collect();
    let rows = whole.iter().map(|item| names.iter().map(|name| value(item, name)).collect());
    let records = Records::new(names.clone(), rows)?;
    Some(Records { incomplete: items.len() - whole.len(), ..records })
}

/// `{"2020-01-02 09:30:00": {"1. open": ...}, ...}`
pub(super) fn of_times(members: &Map<String, Value>) -> Option<Records> {
    let (_, bar) = members.iter().next().filter(|(time, _)| layout::is_time(time))?;
    let fields: Vec<&String> = bar.as_object()?.keys().collect();
    let names = std::iter::once(KEY.into()).chain(fields.iter().map(|name| name.to_string()));
    let rows = members.iter().map(|(time, bar)| {
        let cells = fields.iter().map(|name| cell(bar.get(name)));
        std::iter::once(time.clone()).chain(cells).collect()
    });
    Records::new(names.collect(), rows)
}

/// `{"t": [...], "o": [...]}`, or by row, `{"open": {"0": ...}, ...}`, of which the keys are times
/// if there is no other column of them.
pub(super) fn of_columns(members: &Map<String, Value>) -> Option<Records> {
    let cells = |value: &Value| -> Option<Vec<String>> {
        let plain = |value: &Value| !value.is_array() && !value.is_object();
        let cells: Vec<&Value> = match value {
            Value::Array(cells) => cells.iter().collect(),
            Value::Object(cells) => cells.values().collect(),
            _ => return None,
        };
        (!cells.is_empty() && cells.iter().all(|cell| plain(cell)))
            .then(|| cells.into_iter().map(|value| cell(Some(value))).collect())
    };
    let mut columns: Vec<(String, Vec<String>)> =
        members.iter().filter_map(|(name, value)| Some((name.clone(), cells(value)?))).collect();
    let keys = members.values().find_map(Value::as_object);
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    if let (false, Some(keys)) = (has_prices(&names), keys) {
        columns.insert(0, (KEY.into(), keys.keys().cloned().collect()));
    }
    let rows = columns.iter().map(|(_, cells)| cells.len()).min()?;
    let names = columns.iter().map(|(name, _)| name.clone()).collect();
    let row = |row: usize| columns.iter().map(|(_, cells)| cells[row].clone()).collect();
    Records::new(names, (0..rows).map(row))
}

/// `{"columns": [...], "index": [...], "data": [[...], ...]}`
pub(super) fn of_split(members: &Map<String, Value>) -> Option<Records> {
    let names = members.get("columns")?.as_array()?;
    let mut names: Vec<String> = names.iter().map(|name| cell(Some(name))).collect();
    let data = members.get("data")?.as_array()?;
    let index = members.get("index").and_then(Value::as_array).filter(|_| !has_prices(&names));
    if index.is_some() {
        names.insert(0, KEY.into());
    }
    let rows = data.iter().enumerate().map(|(i, row)| {
        let key = index.map(|index| cell(index.get(i)));
        let cells = row.as_array().into_iter().flatten().map(|value| cell(Some(value)));
        key.into_iter().chain(cells).collect()
    });
    Records::new(names.clone(), rows)
}

/// Yahoo's chart: `timestamp` beside `indicators.quote[0]`. Of daily bars, the last may have the time
/// of day at which it was asked for.
pub(super) fn of_chart(members: &Map<String, Value>) -> Option<Records> {
    let times = members.get("timestamp")?.as_array()?;
    let indicators = members.get("indicators")?;
    let quote = indicators.get("quote")?.get(0)?.as_object()?;
    let adjusted = indicators.get("adjclose").and_then(|list| list.get(0)?.as_object());
    let columns = || quote.iter().chain(adjusted.into_iter().flatten());
    let names = std::iter::once(KEY.into()).chain(columns().map(|(name, _)| name.clone()));
    let meta = |name: &str| members.get("meta")?.get(name)?.as_str();
    let zone: Option<Tz> = meta("exchangeTimezoneName").and_then(|zone| zone.parse().ok());
    let zone = zone.filter(|_| meta("dataGranularity").is_some_and(|length| length == "1d"));
    let date = |time: &Value| {
        let time = DateTime::from_timestamp(time.as_i64()?, 0)?;
        Some(time.with_timezone(&zone?).date_naive().to_string())
    };
    let rows = times.iter().enumerate().map(|(i, time)| {
        let cells = columns().map(|(_, cells)| cell(cells.get(i)));
        std::iter::once(date(time).unwrap_or_else(|| cell(Some(time)))).chain(cells).collect()
    });
    Records::new(names.collect(), rows)
}
