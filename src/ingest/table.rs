//! Reads the tables of other programs: which columns they have, and how times and numbers are
//! written, is found out.
//!
//! Text (CSV and its kin, JSON), Excel workbooks, Parquet and Feather, also in `.gz` and `.zip`. The way is the same
//! for all: the columns of each stock by their names ([`columns`](crate::market::columns)), or in a
//! file without a header by what they hold ([`layout`], [`guess`]); then times and numbers by the
//! rules for all files ([`times`](crate::market::times), [`numbers`](crate::market::numbers)); then
//! whole numbers that count parts of a unit become prices ([`scale`]), and the four prices get one
//! basis ([`adjustment`]).

mod adjustment;
mod blanks;
mod csv;
mod guess;
mod json;
mod layout;
mod lean;
mod scale;
mod summary;
mod text;
mod unpack;
mod workbook;

use crate::files::parsing::Parsing;
use crate::market::columns::BarColumns;
use crate::market::error::MarketError;
use crate::market::parquet::{BILLION, RawRows, read_feather, read_parquet, without_panic};
use crate::market::times::TimeOptions;
pub(crate) use adjustment::on_one_basis;
pub(crate) use csv::plain_csv;
use scale::PriceScale;
use summary::understood;
use text::TextTables;
pub(crate) use unpack::unpacked;

/// What the user says about a table; all else is found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableOptions {
    /// Names of the columns in their order; `-` for one that is not read.
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) times: TimeOptions,
    /// Prices are scaled to the adjusted close.
    pub(crate) adjusted: bool,
    /// How many parts of a unit prices count; None: found out.
    pub(crate) price_scale: Option<f64>,
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
        // What can be decoded can still be out of the range of what polars converts.
        let read = without_panic(|| from_frame(bytes, file, options));
        return read.unwrap_or_else(|| {
            let what = "is damaged: its values cannot be read".to_string();
            Err(file_error(file, what, "write this file again"))
        });
    }
    if bytes.starts_with(unpack::ZIP) {
        return from_texts(workbook::tables(bytes, file, options)?, file, options);
    }
    let text = text::decoded(bytes, file)?;
    let read = match text.trim_start().starts_with(['{', '[']) {
        true => json::tables(&text, file, options)?,
        false => csv::read(&text, file, options)?,
    };
    from_texts(read, file, options)
}

/// What a damaged file quotes may be long.
const MOST_WORDS_BYTES: usize = 220;

fn file_error(file: &str, mut what: String, hint: &str) -> MarketError {
    if what.len() > MOST_WORDS_BYTES {
        what.truncate(what.floor_char_boundary(MOST_WORDS_BYTES));
        what += " ...";
    }
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
    let mut scale = PriceScale::None;
    for stock in &stocks {
        let columns = frame.settled(&stock.columns)?;
        let (mut rows, times) = frame.bars(&columns, &options.times)?;
        let symbols = columns.symbol.map(|column| frame.texts(column)).transpose()?;
        let symbols = symbols.map(|texts| texts.into_iter().map(known_text).collect());
        if options.adjusted {
            let column = adjusted_close(&columns, file)?;
            adjustment::scale_to(&mut rows, &frame.numbers(column)?);
        }
        if frame.is_in_billionths(&columns) {
            scale = PriceScale::Certain(BILLION, "billionths, as Databento's are");
        }
        told.get_or_insert_with(|| {
            let name = |column: usize| names[column].as_str();
            understood(kind, &columns, name, &times, options)
        });
        let symbol = stock.symbol.clone();
        parts.push(TablePart { symbol, symbols, rows, dates: times.dates });
    }
    let mut understood = told.unwrap_or_default();
    understood += &scale.apply(&mut parts, file, options)?;
    Ok(Table { parts, ragged_line: None, understood })
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

fn from_texts(read: TextTables, file: &str, options: &TableOptions) -> Result<Table, MarketError> {
    let TextTables { mut tables, ragged_line, kind, mut scale, notes } = read;
    if tables.iter().all(|table| table.rows() == 0) {
        let hint = "give a table of bars: a time, open, high, low, close and volume in each row";
        return Err(file_error(file, "has no rows".into(), hint));
    }
    let style = text::number_style(&tables);
    let mut told = None;
    let mut parts = Vec::with_capacity(tables.len());
    for table in &mut tables {
        table.settle(style);
        let (mut part, times) = table.part(style, file, options)?;
        if options.adjusted {
            let column = adjusted_close(&table.columns, file)?;
            adjustment::scale_to(&mut part.rows, &table.numbers(column, style));
        }
        if table.columns.billionths && table.has_whole_prices() {
            scale = PriceScale::Certain(BILLION, "billionths, as Databento's are");
        }
        told.get_or_insert_with(|| {
            let name = |column: usize| table.names[column].as_str();
            understood(&kind, &table.columns, name, &times, options)
        });
        parts.push(part);
    }
    let mut understood = told.unwrap_or_default();
    understood += &scale.apply(&mut parts, file, options)?;
    notes.iter().for_each(|note| understood += &format!("; {note}"));
    Ok(Table { parts, ragged_line, understood })
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
