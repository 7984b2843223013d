//! Rows whose values have no names: `[[1577975400000, "210.5", ...], ...]`. The services that are
//! recognised have a known order; otherwise the numbers tell it ([`guess`]), or the user has to.

use serde_json::{Map, Value};

use super::{Records, cell};
use crate::ingest::table::layout::{self, NAME_THEM};
use crate::ingest::table::{TableOptions, file_error, guess};
use crate::market::columns::BarColumns;
use crate::market::error::MarketError;

/// A time and four prices.
const MIN_WIDTH: usize = 5;

/// Services that are recognised by what stands around their rows, or in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Twelve columns, of which the seventh is the time of the bar's end.
    Binance,
    /// Eight columns in `result`, beside `last`; a mean price before the volume.
    Kraken,
    /// In `data`, beside a `code`; the last column tells whether the bar is over. `volume`: prices
    /// of indices have none.
    Okx { volume: bool },
}

impl Service {
    pub(super) fn words(self) -> &'static str {
        match self {
            Service::Binance => "Binance",
            Service::Kraken => "Kraken",
            Service::Okx { .. } => "OKX",
        }
    }

    /// Told from the object that the rows stand in.
    pub(super) fn above(members: &Map<String, Value>, rows: &[Vec<String>]) -> Option<Service> {
        let width = rows.first()?.len();
        let is_flag = |row: &Vec<String>| matches!(row.last().map(String::as_str), Some("0" | "1"));
        let has_rows = |name: &str| members.get(name).is_some_and(Value::is_array);
        if members.contains_key("last") && width == 8 {
            return Some(Service::Kraken);
        }
        let is_okx = members.get("code").is_some_and(|code| code == "0") && has_rows("data");
        (is_okx && matches!(width, 6 | 9) && rows.iter().all(is_flag))
            .then_some(Service::Okx { volume: width == 9 })
    }

    fn volume(self) -> Option<usize> {
        match self {
            Service::Binance | Service::Okx { volume: true } => Some(5),
            Service::Kraken => Some(6),
            Service::Okx { volume: false } => None,
        }
    }
}

/// The rows of a list of lists; None if it is none.
pub(super) fn of_rows(items: &[Value]) -> Option<Records> {
    let width = items.first()?.as_array()?.len();
    let is_plain = |value: &Value| !value.is_array() && !value.is_object();
    let row = |item: &Value| {
        let values = item.as_array()?;
        (values.len() == width && values.iter().all(is_plain))
            .then(|| values.iter().map(|value| cell(Some(value))).collect())
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect::<Option<_>>()?;
    let known = is_binance(&rows).then_some(Service::Binance);
    (width >= MIN_WIDTH).then(|| Records { rows, known, ..Records::default() })
}

/// Whether every bar ends a moment before the next one could begin.
fn is_binance(rows: &[Vec<String>]) -> bool {
    let lasts = |row: &Vec<String>| {
        let [start, end] = [0, 6].map(|column| row.get(column).and_then(|cell| cell.parse().ok()));
        let (start, end): (i64, i64) = start.zip(end)?;
        end.checked_sub(start)?.checked_add(1)
    };
    let Some(length) = rows.first().and_then(lasts) else { return false };
    let is_minutes = length >= 60_000 && length % 60_000 == 0;
    is_minutes && rows.iter().all(|row| row.len() == 12 && lasts(row) == Some(length))
}

/// The columns of the rows.
///
/// # Errors
/// If neither the service, nor the numbers, nor the user tells.
pub(super) fn columns(
    rows: &[Vec<String>],
    known: Option<Service>,
    file: &str,
    options: &TableOptions,
) -> Result<BarColumns, MarketError> {
    let width = rows.first().map_or(0, Vec::len);
    if let Some(names) = &options.columns {
        if names.len() != width {
            let what = format!("--columns names {} columns of {width}", names.len());
            return Err(file_error(file, what, "name all in their order; - for the others"));
        }
        return Ok(layout::given(names, file)?.columns);
    }
    if let Some(service) = known {
        return Ok(BarColumns {
            time: vec![0],
            prices: [1, 2, 3, 4],
            volume: service.volume(),
            ..BarColumns::default()
        });
    }
    let filled: Vec<&Vec<String>> = rows.iter().filter(|row| !layout::is_missing(row)).collect();
    let time = filled.first().and_then(|row| row.iter().position(|cell| layout::is_time(cell)));
    let symbol = |time: usize| {
        let is_name = |cell: &String| cell.starts_with(|c: char| c.is_ascii_alphabetic());
        (0..time).find(|&column| filled.first().is_some_and(|row| is_name(&row[column])))
    };
    let found = time.and_then(|time| guess::columns(&filled, &[time], symbol(time)));
    found.ok_or_else(|| {
        let what =
            "has rows without names, and their numbers do not tell open, high, low and close";
        file_error(file, what.into(), NAME_THEM)
    })
}
