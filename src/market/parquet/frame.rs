//! Columns of Parquet and Feather files that polars reads, as numbers, times and texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Cursor;

use polars::prelude::*;
use polars_parquet::parquet::schema::types::PhysicalType;

use super::feather::claims_are_plausible;
use super::{RawRows, WRITE_ANEW, cause, file_error, is_plausible, pages, without_panic};
use crate::market::columns::BarColumns;
use crate::market::error::MarketError;
use crate::market::numbers::NumberStyle;
use crate::market::times::{self, TimeOptions, Times};

const ADVICE: &str = "store full timestamps, as in 2020-01-02 09:30:00";

/// Some columns of a file.
pub(crate) struct FileColumns {
    rows: usize,
    /// By the column's place in the file.
    columns: BTreeMap<usize, Series>,
    /// Which of them are stored as INT96.
    int96: Vec<usize>,
    file: String,
}

/// Reads the columns that `choose` takes of the names that a Parquet file has. Never panics.
pub(crate) fn read_parquet(
    bytes: &[u8],
    file: &str,
    choose: impl FnOnce(&[&str]) -> Result<Vec<usize>, MarketError>,
) -> Result<FileColumns, MarketError> {
    let read = || {
        let damaged = |e: PolarsError| damaged(bytes, "Parquet", file, e);
        let mut reader =
            ParquetReader::new(Cursor::new(bytes)).read_parallel(ParallelStrategy::None);
        let schema = reader.schema().map_err(damaged)?;
        let rows = reader.num_rows().map_err(damaged)?;
        let names: Vec<&str> = schema.iter_names().map(|name| name.as_str()).collect();
        let places = chosen(rows, bytes, &names, file, choose)?;
        for &place in &places {
            check_type(names[place], schema.get(names[place]).map(|field| field.dtype()), file)?;
        }
        let metadata = reader.get_metadata().map_err(damaged)?;
        let taken: Vec<String> = places.iter().map(|&place| names[place].to_string()).collect();
        if !pages_are_sound(bytes, metadata, &taken) {
            let what = "is damaged: its page headers are invalid";
            return Err(file_error(file, what.into(), WRITE_ANEW));
        }
        let is_int96 = |place: &usize| {
            let columns = metadata.row_groups.iter().filter_map(|group| {
                group.columns_under_root_iter(names[*place]).and_then(|mut all| all.next())
            });
            let kinds = columns.map(|column| column.physical_type());
            kinds.into_iter().any(|kind| kind == PhysicalType::Int96)
        };
        let int96 = places.iter().copied().filter(is_int96).collect();
        let frame = reader.with_columns(Some(taken.clone())).finish().map_err(damaged)?;
        FileColumns::new(&frame, rows, places.into_iter().zip(taken), int96, file)
    };
    without_panic(read).unwrap_or_else(|| {
        Err(file_error(file, "is damaged: its pages cannot be decoded".into(), WRITE_ANEW))
    })
}

/// Like [`read_parquet`], for Feather (Arrow IPC) files.
pub(crate) fn read_feather(
    bytes: &[u8],
    file: &str,
    choose: impl FnOnce(&[&str]) -> Result<Vec<usize>, MarketError>,
) -> Result<FileColumns, MarketError> {
    let read = || {
        if !claims_are_plausible(bytes) {
            let what = "is damaged: it claims more than it can hold, or is not whole";
            return Err(file_error(file, what.into(), WRITE_ANEW));
        }
        let damaged = |e: PolarsError| damaged(bytes, "Feather", file, e);
        let mut reader = IpcReader::new(Cursor::new(bytes));
        let schema = reader.schema().map_err(damaged)?;
        let names: Vec<&str> = schema.iter_names().map(|name| name.as_str()).collect();
        let places = chosen(1, bytes, &names, file, choose)?;
        for &place in &places {
            check_type(names[place], schema.get(names[place]).map(|field| field.dtype()), file)?;
        }
        let taken: Vec<String> = places.iter().map(|&place| names[place].to_string()).collect();
        let frame = reader.with_columns(Some(taken.clone())).finish().map_err(damaged)?;
        FileColumns::new(&frame, frame.height(), places.into_iter().zip(taken), Vec::new(), file)
    };
    without_panic(read)
        .unwrap_or_else(|| Err(file_error(file, "cannot be decoded".into(), WRITE_ANEW)))
}

fn damaged(bytes: &[u8], kind: &str, file: &str, error: PolarsError) -> MarketError {
    let length = bytes.len();
    let what = format!("is not a whole {kind} file ({length} bytes): {}", cause(&error));
    file_error(file, what, WRITE_ANEW).caused_by(error)
}

fn chosen(
    rows: usize,
    bytes: &[u8],
    names: &[&str],
    file: &str,
    choose: impl FnOnce(&[&str]) -> Result<Vec<usize>, MarketError>,
) -> Result<Vec<usize>, MarketError> {
    if rows == 0 {
        return Err(file_error(file, "has no rows".into(), WRITE_ANEW));
    }
    if !is_plausible(rows, bytes.len()) {
        let what = format!("is damaged: it claims {rows} rows in {} bytes", bytes.len());
        return Err(file_error(file, what, WRITE_ANEW));
    }
    choose(names)
}

/// Whether the page headers of all columns to be read are plausible.
fn pages_are_sound(bytes: &[u8], metadata: &FileMetadata, columns: &[String]) -> bool {
    metadata.row_groups.iter().all(|group| {
        let chunks = columns.iter().filter_map(|name| group.columns_under_root_iter(name));
        let mut ranges = chunks.flatten().map(|chunk| chunk.byte_range());
        ranges.all(|range| pages::read_pages(bytes, range, group.num_rows()).is_some())
    })
}

/// Types are checked before reading, since polars panics on some others.
fn check_type(name: &str, stored: Option<&ArrowDataType>, file: &str) -> Result<(), MarketError> {
    use ArrowDataType as T;
    let is_text = |t: &T| matches!(t, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let usable = |t: &T| match t {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => true,
        T::UInt64 | T::Float16 | T::Float32 | T::Float64 | T::Boolean | T::Decimal(..) => true,
        T::Decimal32(..) | T::Decimal64(..) => true,
        T::Date32 | T::Timestamp(..) | T::Time32(_) | T::Time64(_) => true,
        T::Dictionary(_, values, _) => is_text(values),
        other => is_text(other),
    };
    match stored {
        Some(stored) if usable(stored) => Ok(()),
        stored => {
            let what = match stored {
                Some(stored) => format!("column {name:?} is stored as {stored:?}"),
                None => format!("has no column {name:?}"),
            };
            let what = what.chars().take(120).collect();
            let hint = "store times as timestamps, prices and volume as float64, names as text";
            Err(file_error(file, what, hint))
        }
    }
}

impl FileColumns {
    fn new(
        frame: &DataFrame,
        rows: usize,
        taken: impl Iterator<Item = (usize, String)>,
        int96: Vec<usize>,
        file: &str,
    ) -> Result<FileColumns, MarketError> {
        let mut columns = BTreeMap::new();
        for (place, name) in taken {
            let column = frame
                .column(&name)
                .map_err(|e| file_error(file, cause(&e), WRITE_ANEW).caused_by(e))?;
            // A damaged page may yield fewer values than its column has.
            if column.len() != rows {
                let what = "is damaged: columns differ in length";
                return Err(file_error(file, what.into(), WRITE_ANEW));
            }
            columns.insert(place, column.as_materialized_series().clone());
        }
        Ok(FileColumns { rows, columns, int96, file: file.into() })
    }

    pub(crate) fn is_int96(&self, column: usize) -> bool {
        self.int96.contains(&column)
    }

    fn wrong(&self, what: String, hint: &str) -> MarketError {
        file_error(&self.file, what, hint)
    }

    fn failed(&self, error: PolarsError) -> MarketError {
        self.wrong(cause(&error), WRITE_ANEW).caused_by(error)
    }

    /// A column of prices; NaN for nulls and text that is not a number.
    pub(crate) fn numbers(&self, column: usize) -> Result<Vec<f64>, MarketError> {
        let series = &self.columns[&column];
        let (name, dtype) = (series.name(), series.dtype());
        if dtype == &DataType::Boolean || dtype.is_temporal() {
            let what = format!("column {name:?} is stored as {dtype}");
            return Err(self.wrong(what, "store prices and volume as float64 or int64"));
        }
        numbers(series).map_err(|e| self.failed(e))
    }

    /// Like [`FileColumns::numbers`], with 0 for nulls, not-a-numbers and empty texts.
    fn volumes(&self, column: usize) -> Result<Vec<f64>, MarketError> {
        let mut values = self.numbers(column)?;
        let series = &self.columns[&column];
        let is_text = !series.dtype().is_primitive_numeric();
        let texts = if is_text { Some(self.texts(column)?) } else { None };
        for (i, value) in values.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
            let unreadable = texts.as_ref().and_then(|texts| texts[i].as_deref());
            if unreadable.is_none_or(|text| text.trim().is_empty()) {
                *value = 0.0;
            }
        }
        Ok(values)
    }

    /// A further column: a number, or 0 and 1.
    pub(crate) fn feature(&self, column: usize) -> Result<Vec<f64>, MarketError> {
        let series = &self.columns[&column];
        let (name, dtype) = (series.name(), series.dtype());
        if !dtype.is_primitive_numeric() && !dtype.is_decimal() && dtype != &DataType::Boolean {
            let what = format!("column {name:?} is stored as {dtype}");
            return Err(self.wrong(what, "a feature is a number: float64, int64 or bool"));
        }
        numbers(series).map_err(|e| self.failed(e))
    }

    /// Whether a column is of integers.
    fn is_integer(&self, column: usize) -> bool {
        self.columns[&column].dtype().is_integer()
    }

    /// The columns with the volume decided on: the number of quotes where the volume is 0
    /// throughout.
    pub(crate) fn settled(&self, columns: &BarColumns) -> Result<BarColumns, MarketError> {
        let mut settled = columns.clone();
        if let (Some(volume), Some(ticks)) = (columns.volume, columns.tick_volume)
            && self.volumes(volume)?.iter().all(|volume| *volume == 0.0)
        {
            settled.volume = Some(ticks);
        }
        Ok(settled)
    }

    /// The bars of columns that are [settled](FileColumns::settled), and how their times were read.
    pub(crate) fn bars(
        &self,
        columns: &BarColumns,
        options: &TimeOptions,
    ) -> Result<(RawRows, Times), MarketError> {
        let times = self.row_times(columns, options)?;
        let [open, high, low, close] = columns.prices.map(|column| self.numbers(column));
        let volume = match columns.volume {
            Some(column) => self.volumes(column)?,
            None => vec![0.0; self.rows],
        };
        let rows = RawRows {
            label_s: times.label_s.clone(),
            naive: times.naive,
            open: open?,
            high: high?,
            low: low?,
            close: close?,
            volume,
            ..RawRows::default()
        };
        Ok((rows, times))
    }

    /// Whether prices are billionths: Databento's, as integers.
    pub(crate) fn is_in_billionths(&self, columns: &BarColumns) -> bool {
        columns.billionths && columns.prices.iter().all(|&column| self.is_integer(column))
    }

    /// Times, with the zone that each row names for them.
    fn row_times(&self, columns: &BarColumns, options: &TimeOptions) -> Result<Times, MarketError> {
        let Some(zone) = columns.zone else { return self.times(&columns.time, options) };
        let names = self.texts(zone)?;
        times::zones(
            names.iter().map(Option::as_deref),
            options,
            |options| self.times(&columns.time, options),
            |what| {
                let name = self.columns[&zone].name();
                self.wrong(format!("column {name}: {what}"), "write zones as America/New_York")
            },
        )
    }

    /// Texts of a column of text, dictionary, number or date; None for nulls.
    pub(crate) fn texts(&self, column: usize) -> Result<Vec<Option<String>>, MarketError> {
        let texts = self.columns[&column].cast(&DataType::String).map_err(|e| self.failed(e))?;
        let texts = texts.str().map_err(|e| self.failed(e))?;
        Ok(texts.iter().map(|text| text.map(String::from)).collect())
    }

    /// Times of one column, or of a date and a time of day.
    fn times(&self, columns: &[usize], options: &TimeOptions) -> Result<Times, MarketError> {
        let names = || {
            let names = columns.iter().map(|column| self.columns[column].name().as_str());
            names.collect::<Vec<_>>().join(" and ")
        };
        let wrong = |what: String| self.wrong(format!("column {}: {what}", names()), ADVICE);
        let is_stamp = |column: &&usize| {
            let series = &self.columns[column];
            matches!(series.dtype(), DataType::Datetime(..)) && !is_all_midnights(series)
        };
        // A column named `time` next to `date` may hold whole timestamps.
        let column = match columns {
            [_, _] => columns.iter().rev().find(is_stamp),
            _ => columns.first(),
        };
        let Some(column) = column else {
            let dates = self.day_texts(columns[0])?;
            let clocks = self.texts(columns[1])?;
            let joined = times::joined(
                dates.iter().map(|text| text.as_deref()),
                clocks.iter().map(|text| text.as_deref()),
            );
            let joined = joined.iter().map(|text| text.as_deref());
            return times::from_texts(joined, options).map_err(wrong);
        };
        let series = &self.columns[column];
        let read = match series.dtype() {
            DataType::Datetime(unit, zone) => {
                let per_s = match unit {
                    TimeUnit::Nanoseconds => 1_000_000_000,
                    TimeUnit::Microseconds => 1_000_000,
                    TimeUnit::Milliseconds => 1_000,
                };
                let naive = zone.is_none() && !self.is_int96(*column);
                let values = series.datetime().map_err(|e| self.failed(e))?;
                let values: Vec<Option<i64>> = values.physical().iter().collect();
                times::from_instants(values.into_iter(), per_s, naive.then_some(options.zone))
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Decimal(..) => {
                let values = series.cast(&DataType::Float64).map_err(|e| self.failed(e))?;
                let values: Vec<Option<f64>> =
                    values.f64().map_err(|e| self.failed(e))?.iter().collect();
                times::from_floats(values.into_iter(), options)
            }
            kind if kind.is_integer() => {
                let values = series.cast(&DataType::Int64).map_err(|e| self.failed(e))?;
                let values: Vec<Option<i64>> =
                    values.i64().map_err(|e| self.failed(e))?.iter().collect();
                times::from_integers(values.into_iter(), options)
            }
            DataType::Time | DataType::Boolean => Err("holds times of day without a date".into()),
            _ => {
                let texts = self.texts(*column)?;
                times::from_texts(texts.iter().map(|text| text.as_deref()), options)
            }
        };
        read.map_err(wrong)
    }

    /// The dates of a column of dates, timestamps, integers or text.
    fn day_texts(&self, column: usize) -> Result<Vec<Option<String>>, MarketError> {
        let series = &self.columns[&column];
        if !matches!(series.dtype(), DataType::Datetime(..)) {
            return self.texts(column);
        }
        let dates = series.cast(&DataType::Date).map_err(|e| self.failed(e))?;
        let dates = dates.cast(&DataType::String).map_err(|e| self.failed(e))?;
        let dates = dates.str().map_err(|e| self.failed(e))?;
        Ok(dates.iter().map(|text| text.map(String::from)).collect())
    }
}

/// Whether every time is a midnight of its zone.
fn is_all_midnights(series: &Series) -> bool {
    let Ok(dates) = series.cast(&DataType::Date) else { return false };
    let Ok(back) = dates.cast(series.dtype()) else { return false };
    back.equals_missing(series)
}

fn numbers(series: &Series) -> PolarsResult<Vec<f64>> {
    let dtype = series.dtype();
    if dtype.is_primitive_numeric() || dtype.is_decimal() || dtype == &DataType::Boolean {
        let floats = series.cast(&DataType::Float64)?;
        return Ok(floats.f64()?.iter().map(|v| v.unwrap_or(f64::NAN)).collect());
    }
    let texts: Cow<'_, Series> = match dtype {
        DataType::String => Cow::Borrowed(series),
        _ => Cow::Owned(series.cast(&DataType::String)?),
    };
    let texts = texts.str()?;
    let style = NumberStyle::of(texts.iter().flatten(), false);
    Ok(texts.iter().map(|text| text.map_or(f64::NAN, |text| style.parse(text))).collect())
}
