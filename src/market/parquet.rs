//! Day files: Parquet bytes to rows of bars and back.
//!
//! Files come from other programs, so what pandas, pyarrow, polars and DuckDB write is accepted:
//!
//! - time as a timestamp (ns, us, ms; with or without a zone), as ISO text, as a date and a time of
//!   day in two columns, or as integer seconds, milli-, micro- or nanoseconds since 1970. A time
//!   without a zone is America/New_York;
//! - prices and volume as floats, integers or text, with names in any case, also as `1. open` ...
//!   `5. volume`;
//! - further columns, where asked for, as floats, integers or booleans.

mod pages;
mod plain;
mod table;
mod time;

use std::cell::Cell;
use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use polars::prelude::*;

use super::bar::BarSeries;
use super::calendar;
use super::error::MarketError;
pub(crate) use table::{Table, decode_csv, decode_table};

/// The rows of one day file, in file order and unchecked. All columns have the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawRows {
    /// The bar's label, UTC seconds; None if the file has no usable time.
    pub label_s: Vec<Option<i64>>,
    /// Some times had no zone and were read as New York time.
    pub naive: bool,
    /// NaN for nulls and text that is not a number.
    pub open: Vec<f64>,
    /// As `open`.
    pub high: Vec<f64>,
    /// As `open`.
    pub low: Vec<f64>,
    /// As `open`.
    pub close: Vec<f64>,
    /// As `open`.
    pub volume: Vec<f64>,
    /// `[column][row]`: further columns that were asked for.
    pub extras: Vec<Vec<f64>>,
}

impl RawRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.label_s.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.label_s.is_empty()
    }

    /// Open, high, low, close and volume of a row.
    pub(crate) fn values(&self, i: usize) -> [f64; 5] {
        [self.open[i], self.high[i], self.low[i], self.close[i], self.volume[i]]
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, label_s: Option<i64>, values: [f64; 5]) {
        self.label_s.push(label_s);
        let columns =
            [&mut self.open, &mut self.high, &mut self.low, &mut self.close, &mut self.volume];
        for (column, value) in columns.into_iter().zip(values) {
            column.push(value);
        }
    }
}

/// Rows of one day file. `file` is the path or blob name for messages. Returns rows or a
/// [`MarketError::File`] for any bytes; never panics.
pub fn decode_day(bytes: &[u8], file: &str) -> Result<RawRows, MarketError> {
    decode_day_with(bytes, file, &[])
}

/// Like [`decode_day`], with further columns of the file, which it must have.
pub fn decode_day_with(
    bytes: &[u8],
    file: &str,
    columns: &[String],
) -> Result<RawRows, MarketError> {
    without_panic(|| decode(bytes, file, columns)).unwrap_or_else(|| {
        Err(file_error(file, "is damaged: its pages cannot be decoded".into(), WRITE_ANEW))
    })
}

/// The result of `decode`, or None if it panics, as polars does on some damaged files. Such a panic
/// is not printed.
fn without_panic<T>(decode: impl FnOnce() -> T) -> Option<T> {
    thread_local!(static SILENT: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SILENT.get() {
                report(info);
            }
        }));
    });
    SILENT.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decode));
    SILENT.set(false);
    result.ok()
}

/// Whether a day file's column of this name is a price, the volume, a time or a symbol.
pub fn is_bar_column(name: &str) -> bool {
    let name = plain_name(name);
    let known = [&NUMBER_NAMES[..], &TIME_NAMES, &LAST_TIME_NAMES, &SYMBOL_NAMES];
    known.iter().any(|names| names.contains(&name.as_str()))
}

/// A day file in the program's own format: `timestamp` (microseconds, New York time without a zone,
/// the bar's start, as Alpha Vantage has it), `open` to `close` and `volume` as f64, further columns
/// as f32, zstd.
/// `bar_minutes` is the length of every bar except a session's last one, which may be shorter.
pub fn encode_day(series: &BarSeries, bar_minutes: u32) -> Result<Vec<u8>, MarketError> {
    let length_s = 60 * i64::from(bar_minutes);
    let mut before_s = i64::MIN;
    let start_s = |&end_s: &i64| {
        let start_s = before_s.max(end_s - length_s);
        before_s = end_s;
        start_s
    };
    let BarSeries { symbol, end_s, open, high, low, close, volume, columns, extras } = series;
    let start_s = end_s.iter().map(start_s);
    let extra = |(i, name): (usize, &String)| {
        let values: Vec<f32> = extras.iter().skip(i).step_by(columns.len()).copied().collect();
        Column::new(name.as_str().into(), values)
    };
    let extras = columns.iter().enumerate().map(extra).collect();
    encode(symbol.as_str(), start_s, [open, high, low, close, volume], extras)
}

/// Like [`encode_day`], with the labels as given.
///
/// # Panics
/// If a row has no time.
pub(crate) fn encode_rows(rows: &RawRows, file: &str) -> Result<Vec<u8>, MarketError> {
    let label_s = rows.label_s.iter().map(|label_s| label_s.expect("every row has a time"));
    let values = [&rows.open, &rows.high, &rows.low, &rows.close, &rows.volume];
    encode(file, label_s, values, Vec::new())
}

/// `label_s`: UTC seconds.
fn encode(
    file: &str,
    label_s: impl Iterator<Item = i64>,
    values: [&Vec<f64>; 5],
    extras: Vec<Column>,
) -> Result<Vec<u8>, MarketError> {
    let local_us = |label_s| calendar::new_york_local(label_s).and_utc().timestamp() * 1_000_000;
    let label = Int64Chunked::from_vec("timestamp".into(), label_s.map(local_us).collect())
        .into_datetime(TimeUnit::Microseconds, None)
        .into_column();
    let mut columns = vec![label];
    for (name, values) in NUMBER_NAMES.iter().zip(values) {
        columns.push(Column::new((*name).into(), values));
    }
    columns.extend(extras);
    let mut bytes = Vec::new();
    DataFrame::new(values[0].len(), columns)
        .and_then(|mut frame| ParquetWriter::new(&mut bytes).set_parallel(false).finish(&mut frame))
        .map_err(|e| {
            file_error(file, format!("cannot be written: {e}"), "report this").caused_by(e)
        })?;
    Ok(bytes)
}

const WRITE_ANEW: &str = "fetch or write this file again, or delete it to skip that day";
/// Maximum length of a polars message that is passed on.
const CAUSE_CHARS: usize = 160;

fn file_error(file: &str, what: String, hint: &str) -> MarketError {
    MarketError::File { file: file.into(), what, hint: hint.into(), cause: None }
}

/// First line of a foreign message, truncated.
fn cause(error: &PolarsError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().chars().take(CAUSE_CHARS).collect()
}

fn decode(bytes: &[u8], file: &str, columns: &[String]) -> Result<RawRows, MarketError> {
    if let Some(rows) = plain::rows(bytes, columns) {
        return Ok(rows);
    }
    decode_any(bytes, file, columns)
}

fn decode_any(bytes: &[u8], file: &str, columns: &[String]) -> Result<RawRows, MarketError> {
    let (frame, plan) = read_frame(bytes, file, Wanted::Columns(columns))?;
    rows_of(&frame, &plan, file)
}

/// What is wanted of a file besides the bars.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// The symbol column, if there is one.
    Symbols,
    /// Further columns.
    Columns(&'a [String]),
}

/// The required columns and their meaning, including what else is wanted.
fn read_frame(
    bytes: &[u8],
    file: &str,
    wanted: Wanted<'_>,
) -> Result<(DataFrame, ColumnPlan), MarketError> {
    let damaged = |e: PolarsError| {
        let what = format!("is not a whole Parquet file ({} bytes): {}", bytes.len(), cause(&e));
        file_error(file, what, WRITE_ANEW).caused_by(e)
    };
    let mut reader = ParquetReader::new(Cursor::new(bytes)).read_parallel(ParallelStrategy::None);
    let schema = reader.schema().map_err(damaged)?;
    let row_count = reader.num_rows().map_err(damaged)?;
    if row_count == 0 {
        return Err(file_error(file, "has no rows".into(), WRITE_ANEW));
    }
    let names: Vec<&str> = schema.iter_names().map(|name| name.as_str()).collect();
    let mut plan = ColumnPlan::new(&names, file)?;
    if let Wanted::Columns(columns) = wanted {
        plan.symbol = None;
        plan = plan.with_extras(columns, &names, file)?;
    }
    plan.check_types(&schema, file)?;
    if !pages_are_sound(bytes, reader.get_metadata().map_err(damaged)?, &plan) {
        return Err(file_error(
            file,
            "is damaged: its page headers are invalid".into(),
            WRITE_ANEW,
        ));
    }
    let frame = reader.with_columns(Some(plan.columns())).finish().map_err(damaged)?;
    // A damaged page may yield fewer values than its column has.
    if frame.columns().iter().any(|column| column.len() != row_count) {
        return Err(file_error(file, "is damaged: columns differ in length".into(), WRITE_ANEW));
    }
    Ok((frame, plan))
}

fn rows_of(frame: &DataFrame, plan: &ColumnPlan, file: &str) -> Result<RawRows, MarketError> {
    let text = |e: PolarsError| file_error(file, cause(&e), WRITE_ANEW).caused_by(e);
    let number = |name: &String| numbers(frame.column(name)?.as_materialized_series());
    let [open, high, low, close, volume] = &plan.numbers;
    let (label_s, naive) = time::labels(frame, &plan.time, file)?;
    let extras = plan.extras.iter().map(number).collect::<Result<_, _>>().map_err(text)?;
    let rows = RawRows {
        label_s,
        naive,
        open: number(open).map_err(text)?,
        high: number(high).map_err(text)?,
        low: number(low).map_err(text)?,
        close: number(close).map_err(text)?,
        volume: number(volume).map_err(text)?,
        extras,
    };
    let columns = [&rows.open, &rows.high, &rows.low, &rows.close, &rows.volume];
    if columns.into_iter().chain(&rows.extras).any(|column| column.len() != rows.len()) {
        return Err(file_error(file, "is damaged: columns differ in length".into(), WRITE_ANEW));
    }
    Ok(rows)
}

/// Whether the page headers of all columns to be read are plausible.
fn pages_are_sound(bytes: &[u8], metadata: &FileMetadata, plan: &ColumnPlan) -> bool {
    metadata.row_groups.iter().all(|group| {
        let columns = plan.columns();
        let chunks = columns.iter().filter_map(|name| group.columns_under_root_iter(name));
        let mut ranges = chunks.flatten().map(|chunk| chunk.byte_range());
        ranges.all(|range| pages::read_pages(bytes, range, group.num_rows()).is_some())
    })
}

/// Which columns of a file mean what.
struct ColumnPlan {
    /// One column, or date and time of day.
    time: Vec<String>,
    /// open, high, low, close, volume.
    numbers: [String; 5],
    /// Column with the stock's name, if any.
    symbol: Option<String>,
    /// Further columns that were asked for.
    extras: Vec<String>,
}

/// Names of a time column, best first. The column that pandas saves for an unnamed index comes
/// last, since it may be a mere counter.
const TIME_NAMES: [&str; 4] = ["timestamp", "datetime", "date_time", "ts"];
const LAST_TIME_NAMES: [&str; 4] = ["time", "date", "__index_level_0__", "index"];
const SYMBOL_NAMES: [&str; 4] = ["symbol", "ticker", "stock", "sym"];
const NUMBER_NAMES: [&str; 5] = ["open", "high", "low", "close", "volume"];

impl ColumnPlan {
    /// `names`: the columns of the file.
    fn new(names: &[&str], file: &str) -> Result<ColumnPlan, MarketError> {
        let find = |wanted: &str| {
            names.iter().find(|name| plain_name(name) == wanted).map(|name| name.to_string())
        };
        let has = || names.join(", ");
        let numbers = NUMBER_NAMES.map(&find);
        let missing: Vec<&str> = NUMBER_NAMES
            .iter()
            .zip(&numbers)
            .filter(|(_, n)| n.is_none())
            .map(|(w, _)| *w)
            .collect();
        if !missing.is_empty() {
            let what = format!("has no column {} (it has: {})", missing.join(", "), has());
            return Err(file_error(
                file,
                what,
                "name the columns open, high, low, close and volume",
            ));
        }
        let pair = || Some(vec![find("date")?, find("time")?]);
        let one = |names: &[&str]| names.iter().find_map(|n| find(n)).map(|n| vec![n]);
        let time =
            one(&TIME_NAMES).or_else(pair).or_else(|| one(&LAST_TIME_NAMES)).ok_or_else(|| {
                let what = format!("has no time column (it has: {})", has());
                file_error(file, what, "name it timestamp, datetime, date or time")
            })?;
        let symbol = one(&SYMBOL_NAMES).and_then(|mut names| names.pop());
        let numbers = numbers.map(Option::unwrap_or_default);
        Ok(ColumnPlan { time, numbers, symbol, extras: Vec::new() })
    }

    /// The plan with further columns among `names`, found in any case.
    fn with_extras(
        mut self,
        columns: &[String],
        names: &[&str],
        file: &str,
    ) -> Result<ColumnPlan, MarketError> {
        for column in columns {
            let found = names.iter().find(|name| plain_name(name) == plain_name(column));
            let found = found.ok_or_else(|| {
                let what = format!("has no column {column} (it has: {})", names.join(", "));
                file_error(
                    file,
                    what,
                    "write it into every day file, or leave it out of features.columns",
                )
            })?;
            self.extras.push(found.to_string());
        }
        Ok(self)
    }

    fn columns(&self) -> Vec<String> {
        let bars = self.time.iter().chain(&self.numbers).chain(&self.symbol);
        bars.chain(&self.extras).cloned().collect()
    }

    /// Types are checked before reading, since polars panics on some others.
    fn check_types(&self, schema: &ArrowSchema, file: &str) -> Result<(), MarketError> {
        use ArrowDataType as T;
        let text = [T::Utf8, T::LargeUtf8, T::Utf8View];
        let check = |name: &String, usable: &dyn Fn(&T) -> bool, hint: &str| {
            let stored = schema.get(name).map(|field| field.dtype());
            match stored {
                Some(dtype) if usable(dtype) || text.contains(dtype) => Ok(()),
                Some(dtype) => {
                    let what = format!("column {name:?} is stored as {dtype:?}");
                    Err(file_error(file, what, hint))
                }
                None => Err(file_error(file, format!("has no column {name:?}"), hint)),
            }
        };
        let whole = [T::Int64, T::Date32];
        let time = |t: &T| whole.contains(t) || matches!(t, T::Timestamp(..));
        for name in &self.time {
            check(name, &time, "store times as timestamps, text or int64")?;
        }
        let numeric = [T::Float64, T::Float32, T::Int64, T::Int32, T::UInt64, T::UInt32];
        for name in &self.numbers {
            check(name, &|t| numeric.contains(t), "store prices and volume as float64 or int64")?;
        }
        if let Some(name) = &self.symbol {
            check(name, &|_| false, "store the stocks' names as text")?;
        }
        for name in &self.extras {
            let stored = schema.get(name).map(|field| field.dtype());
            if !stored.is_some_and(|t| numeric.contains(t) || *t == T::Boolean) {
                let what = format!("column {name:?} is stored as {stored:?}");
                return Err(file_error(
                    file,
                    what,
                    "a feature is a number: float64, int64 or bool",
                ));
            }
        }
        Ok(())
    }
}

/// `4. Close` becomes `close`.
fn plain_name(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    match lower.split_once(". ") {
        Some((number, rest)) if number.parse::<u8>().is_ok() => rest.trim().to_string(),
        _ => lower,
    }
}

/// A column's values; NaN for nulls and text that is not a number.
fn numbers(series: &Series) -> PolarsResult<Vec<f64>> {
    if series.dtype() == &DataType::String {
        let value =
            |text: Option<&str>| text.and_then(|t| t.trim().parse().ok()).unwrap_or(f64::NAN);
        return Ok(series.str()?.iter().map(value).collect());
    }
    let floats = series.cast(&DataType::Float64)?;
    Ok(floats.f64()?.iter().map(|v| v.unwrap_or(f64::NAN)).collect())
}

#[cfg(test)]
mod tests;
