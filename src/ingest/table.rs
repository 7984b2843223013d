//! Reads the tables of other programs: which columns they have, and how times and numbers are
//! written, is found out.
//!
//! Text (CSV and its kin, JSON), Parquet and Feather, also in `.gz` and `.zip`. The way is the same
//! for all: the columns of each stock by their names ([`columns`](crate::market::columns)), or in a
//! file without a header by what they hold ([`layout`]); then times and numbers by the rules for
//! all files ([`times`], [`numbers`](crate::market::numbers)); then one basis for the four prices
//! ([`adjustment`]).

mod adjustment;
mod csv;
mod json;
mod layout;
mod text;
mod unpack;

use std::fmt::Write;

use crate::files::parsing::Parsing;
use crate::market::columns::BarColumns;
use crate::market::error::MarketError;
use crate::market::parquet::{FileColumns, RawRows, read_feather, read_parquet};
use crate::market::times::{TimeOptions, Times};
pub(crate) use adjustment::on_one_basis;
pub(crate) use csv::plain_csv;
use layout::StockColumns;
use text::TextTable;
pub(crate) use unpack::unpacked;

/// What the user says about a table; all else is found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableOptions {
    /// Names of the columns in their order; `-` for one that is not read.
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) times: TimeOptions,
    /// Prices are scaled to the adjusted close.
    pub(crate) adjusted: bool,
}

/// The bars of a table in file order, unchecked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) parts: Vec<TablePart>,
    /// The first line, counted from 1, with a different number of values than the first one. Short
    /// lines are filled up, and surplus values ignored.
    pub(crate) ragged_line: Option<usize>,
    /// How the table was read, for the user.
    pub(crate) understood: String,
}

/// Rows of one stock, or of several if there is a column of symbols.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TablePart {
    /// The stock, where the file names it.
    pub(crate) symbol: Option<String>,
    /// `[row]`: symbols; None for an empty value.
    pub(crate) symbols: Option<Vec<Option<String>>>,
    pub(crate) rows: RawRows,
    /// The times are dates: the bars are daily.
    pub(crate) dates: bool,
}

const PARQUET: &[u8] = b"PAR1";
const FEATHER: &[u8] = b"ARROW1";

/// The bars of a file, told by its first bytes. Returns them or a [`MarketError::File`] for any
/// bytes; never panics.
pub(crate) fn decode_table(
    bytes: &[u8],
    file: &str,
    options: &TableOptions,
) -> Result<Table, MarketError> {
    let _parsing = Parsing::begin(file, bytes.len());
    if bytes.starts_with(PARQUET) || bytes.starts_with(FEATHER) {
        return from_frame(bytes, file, options);
    }
    let text = text::decoded(bytes, file)?;
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[']) {
        if options.columns.is_some() {
            let what = "is JSON, whose values have names: --columns is for tables without";
            return Err(file_error(file, what.into(), "leave it out"));
        }
        let tables = json::tables(&text, file)?;
        return from_texts(&tables, None, "JSON", file, options);
    }
    let read = csv::read(&text, file, options)?;
    from_texts(&read.tables, read.ragged_line, &read.kind, file, options)
}

fn file_error(file: &str, what: String, hint: &str) -> MarketError {
    MarketError::File { file: file.into(), what, hint: hint.into(), cause: None }
}

fn from_frame(bytes: &[u8], file: &str, options: &TableOptions) -> Result<Table, MarketError> {
    let (mut stocks, mut names) = (Vec::new(), Vec::new());
    let choose = |found: &[&str]| {
        names = found.iter().map(|name| name.to_string()).collect();
        let named: Vec<Vec<String>> = match &options.columns {
            Some(given) => given.iter().map(|name| vec![name.clone()]).collect(),
            None => found.iter().map(|name| layout::levels_of(name)).collect(),
        };
        if named.len() != found.len() {
            let what = format!("--columns names {} columns of {}", named.len(), found.len());
            return Err(file_error(file, what, "name all in their order; - for the others"));
        }
        stocks = layout::stocks(&named, file)?;
        let mut all: Vec<usize> = stocks.iter().flat_map(|stock| stock.columns.all()).collect();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    };
    let kind = if bytes.starts_with(PARQUET) { "Parquet" } else { "Feather" };
    let frame = match kind {
        "Parquet" => read_parquet(bytes, file, choose)?,
        _ => read_feather(bytes, file, choose)?,
    };
    let mut told = None;
    let mut parts = Vec::with_capacity(stocks.len());
    for stock in &stocks {
        let (mut part, times) = frame_part(&frame, stock, options)?;
        if options.adjusted {
            let column = adjusted_close(&stock.columns, file)?;
            adjustment::scale_to(&mut part.rows, &frame.numbers(column)?);
        }
        told.get_or_insert_with(|| {
            let name = |column: usize| names[column].as_str();
            understood(kind, &stock.columns, name, &times, options)
        });
        parts.push(part);
    }
    Ok(Table { parts, ragged_line: None, understood: told.unwrap_or_default() })
}

fn frame_part(
    frame: &FileColumns,
    stock: &StockColumns,
    options: &TableOptions,
) -> Result<(TablePart, Times), MarketError> {
    let BarColumns { time, prices, volume, symbol, .. } = &stock.columns;
    let times = frame.times(time, &options.times)?;
    let [open, high, low, close] = prices.map(|column| frame.numbers(column));
    let volume = match volume {
        Some(column) => frame.volumes(*column)?,
        None => vec![0.0; frame.rows()],
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
    let symbols = symbol.map(|column| frame.texts(column)).transpose()?;
    let symbols = symbols.map(|texts| texts.into_iter().map(known_text).collect());
    Ok((TablePart { symbol: stock.symbol.clone(), symbols, rows, dates: times.dates }, times))
}

fn adjusted_close(columns: &BarColumns, file: &str) -> Result<usize, MarketError> {
    columns.adjusted_close.ok_or_else(|| {
        let hint = "leave out --adjusted, or name the column \"adj close\" with --columns";
        file_error(file, "has no column of the adjusted close".into(), hint)
    })
}

fn known_text(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty())
}

fn from_texts(
    tables: &[TextTable],
    ragged_line: Option<usize>,
    kind: &str,
    file: &str,
    options: &TableOptions,
) -> Result<Table, MarketError> {
    if tables.iter().all(|table| table.rows() == 0) {
        let hint = "give a table of bars: a time, open, high, low, close and volume in each row";
        return Err(file_error(file, "has no rows".into(), hint));
    }
    let style = text::number_style(tables);
    let mut told = None;
    let mut parts = Vec::with_capacity(tables.len());
    for table in tables {
        let (mut part, times) = table.part(style, file, options)?;
        if options.adjusted {
            let column = adjusted_close(&table.columns, file)?;
            adjustment::scale_to(&mut part.rows, &table.numbers(column, style));
        }
        told.get_or_insert_with(|| {
            let name = |column: usize| table.names[column].as_str();
            understood(kind, &table.columns, name, &times, options)
        });
        parts.push(part);
    }
    Ok(Table { parts, ragged_line, understood: told.unwrap_or_default() })
}

/// One line: what the columns were taken for.
fn understood<'a>(
    kind: &str,
    columns: &BarColumns,
    name: impl Fn(usize) -> &'a str,
    times: &Times,
    options: &TableOptions,
) -> String {
    let time: Vec<&str> = columns.time.iter().map(|&column| name(column)).collect();
    let what = if times.dates { "dates" } else { "times" };
    let zone = if times.naive { ", without a zone" } else { "" };
    let mut line = format!("{kind}; {what} from {} ({}{zone})", time.join(" and "), times.read_as);
    let prices: Vec<&str> = columns.prices.iter().map(|&column| name(column)).collect();
    let _ = write!(line, "; prices from {}", prices.join(", "));
    let volume = columns
        .volume
        .map_or("no volume, read as 0".into(), |column| format!("volume from {}", name(column)));
    let _ = write!(line, "; {volume}");
    if let Some(column) = columns.symbol {
        let _ = write!(line, "; stocks from {}", name(column));
    }
    match columns.adjusted_close {
        Some(column) if options.adjusted => {
            let _ = write!(line, "; scaled to {}", name(column));
        }
        Some(column) => {
            let _ = write!(line, "; {} is not used (see --adjusted)", name(column));
        }
        None => {}
    }
    line
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
