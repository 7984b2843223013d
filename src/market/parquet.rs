//! Day files: Parquet bytes to rows of bars and back.
//!
//! Files come from other programs, so what pandas, pyarrow, polars, DuckDB and Spark write is
//! accepted:
//!
//! - time as a timestamp (with or without a zone; Spark's INT96 is UTC), a date, a date and a time of
//!   day in two columns, text or a number, as `times` reads them. A time without a zone is
//!   the market's: America/New_York, or that of --calendar;
//! - prices and volume as floats, integers, decimals or text, by the names in `columns`. A missing
//!   volume is 0;
//! - further columns, where asked for, as floats, integers or booleans.

mod feather;
mod frame;
mod pages;
mod plain;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use polars::prelude::*;

use super::bar::BarSeries;
use super::calendar;
use super::columns::{BarColumns, listed, plain_name};
use super::error::MarketError;
use super::times::TimeOptions;
use crate::files::parsing::Parsing;
pub(crate) use frame::{read_feather, read_parquet};

/// What Databento's integers count in a unit of price.
pub(crate) const BILLION: f64 = 1e9;

/// The rows of one day file, in file order and unchecked. All columns have the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawRows {
    /// The bar's label, UTC seconds; None if the file has no usable time.
    pub label_s: Vec<Option<i64>>,
    /// Some times had no zone and were read as New York time.
    pub naive: bool,
    /// Something about how the file was read that its user should know.
    pub remark: Option<&'static str>,
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

    /// Prices that count parts of a unit, `parts` of one, become prices. What Databento stores for
    /// none, the largest integer, is none.
    pub(crate) fn divide_prices(&mut self, parts: f64) {
        const NONE: f64 = i64::MAX as f64;
        for column in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            for price in column {
                *price = if *price == NONE { f64::NAN } else { *price / parts };
            }
        }
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
    if bytes.is_empty() {
        let what = "is empty: a download that broke off, or a folder of several files";
        return Err(file_error(file, what.into(), WRITE_ANEW));
    }
    let _parsing = Parsing::begin(file, bytes.len());
    without_panic(|| decode(bytes, file, columns)).unwrap_or_else(|| {
        Err(file_error(file, "is damaged: its pages cannot be decoded".into(), WRITE_ANEW))
    })
}

/// The result of `decode`, or None if it panics, as polars does on some damaged files. Such a panic
/// is not printed.
pub(crate) fn without_panic<T>(decode: impl FnOnce() -> T) -> Option<T> {
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
    let before = SILENT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decode));
    SILENT.set(before);
    result.ok()
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
    let start_s: Vec<i64> = end_s.iter().map(start_s).collect();
    let start_s = start_s.into_iter();
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

/// `label_s`: UTC seconds. Where the wall clock of New York does not tell them apart, in the hour
/// that November has twice, the file has times in UTC instead; so have files of other exchanges.
fn encode(
    file: &str,
    label_s: impl Iterator<Item = i64> + Clone,
    values: [&Vec<f64>; 5],
    extras: Vec<Column>,
) -> Result<Vec<u8>, MarketError> {
    let local_s = |label_s| calendar::market_time(label_s).and_utc().timestamp();
    let is_exact = |s| calendar::market_time_to_utc(calendar::market_time(s)) == s;
    let in_new_york = calendar::market_zone() == chrono_tz::America::New_York;
    let label = if in_new_york && label_s.clone().all(is_exact) {
        Int64Chunked::from_vec(
            "timestamp".into(),
            label_s.map(|s| local_s(s) * 1_000_000).collect(),
        )
        .into_datetime(TimeUnit::Microseconds, None)
    } else {
        Int64Chunked::from_vec("timestamp".into(), label_s.map(|s| s * 1_000_000).collect())
            .into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
    };
    let label = label.into_column();
    let mut columns = vec![label];
    for (name, values) in ["open", "high", "low", "close", "volume"].iter().zip(values) {
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
    let mut plan = DayPlan::default();
    let frame = read_parquet(bytes, file, |names| {
        plan = DayPlan::new(names, columns, file)?;
        Ok(plan.all())
    })?;
    let bars = frame.settled(&plan.bars)?;
    let (mut rows, times) = frame.bars(&bars, &TimeOptions::default())?;
    if times.dates && is_repeated(&times.label_s) {
        let what = "holds dates without a time of day, and one of them twice".into();
        return Err(file_error(file, what, "store full timestamps, as in 2020-01-02 09:30:00"));
    }
    if frame.is_in_billionths(&bars) {
        rows.divide_prices(BILLION);
    }
    rows.remark = frame.is_int96(bars.time[0]).then_some(INT96);
    let extras = plan.extras.iter().map(|&column| frame.feature(column));
    rows.extras = extras.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The remark about files with such times.
pub(crate) const INT96: &str = "times are stored as INT96, as Spark and Impala do: read as UTC";

fn is_repeated(label_s: &[Option<i64>]) -> bool {
    let mut known: Vec<i64> = label_s.iter().flatten().copied().collect();
    known.sort_unstable();
    known.windows(2).any(|pair| pair[0] == pair[1])
}

/// Whether a file of this size may have so many rows. Bars of one price, in runs, take a byte for
/// some ten rows; a footer that claims more would have memory reserved that there is not.
fn is_plausible(rows: usize, bytes: usize) -> bool {
    rows <= 100_000 + 64 * bytes
}

/// The columns of a day file that are read.
#[derive(Clone, Debug, Default)]
struct DayPlan {
    bars: BarColumns,
    /// Further columns that were asked for.
    extras: Vec<usize>,
}

impl DayPlan {
    /// From the file's columns, of which `asked` are further ones, in any case.
    fn new(names: &[&str], asked: &[String], file: &str) -> Result<DayPlan, MarketError> {
        let bars = BarColumns { symbol: None, ..BarColumns::new(names, file)? };
        let place = |wanted: &String| {
            let found = names.iter().position(|name| plain_name(name) == plain_name(wanted));
            found.ok_or_else(|| {
                let what = format!("has no column {wanted} (it has: {})", listed(names));
                let hint = "write it into every day file, or leave it out of features.columns";
                file_error(file, what, hint)
            })
        };
        Ok(DayPlan { bars, extras: asked.iter().map(place).collect::<Result<_, _>>()? })
    }

    fn all(&self) -> Vec<usize> {
        let mut all = self.bars.all();
        all.extend(&self.extras);
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests;
