//! CSV and its kin: commas, semicolons, tabs or bars; with one header, several, or none.

use ::csv::{ReaderBuilder, StringRecord, Trim};

use super::layout::{self, StockColumns};
use super::text::{TextColumn, TextTable, number_style};
use super::{TableOptions, file_error};
use crate::market::columns::plain_name;
use crate::market::error::MarketError;
use crate::market::parquet::RawRows;

/// Possible separators; the one that cuts the first rows most often into equally many cells is
/// taken.
const SEPARATORS: [u8; 4] = *b",;\t|";
/// Rows from which the layout is told, and among which the first bar must be.
const FIRST_ROWS: usize = 60;

/// Tables of the stocks in a CSV, with how it was read.
pub(super) struct CsvTables {
    pub(super) tables: Vec<TextTable>,
    pub(super) ragged_line: Option<usize>,
    /// Such as `CSV`, `CSV with semicolons, no header`.
    pub(super) kind: String,
}

/// Reads a text into tables.
pub(super) fn read(
    text: &str,
    file: &str,
    options: &TableOptions,
) -> Result<CsvTables, MarketError> {
    let separator = separator(text);
    let first: Vec<Vec<String>> = rows(text, separator)
        .take(FIRST_ROWS)
        .map(|row| row.map(|(_, record)| record.iter().map(String::from).collect()))
        .collect::<Result<_, _>>()
        .map_err(|what| file_error(file, what, "give a CSV file"))?;
    if first.is_empty() {
        return Err(file_error(file, "is empty".into(), "give a table with a row for each bar"));
    }
    // Rows of numbers without a time that can be read are bad rows, not a header.
    let is_filled = |row: &Vec<String>| layout::is_data(row) || layout::is_numeric(row);
    let start = first.iter().position(is_filled);
    let (names, stocks, start) = match (&options.columns, start) {
        (Some(given), _) => {
            let stock = layout::given(given, file)?;
            let start = start.unwrap_or(0);
            let width = first.get(start).map_or(0, Vec::len);
            if given.len() != width {
                let what = format!("--columns names {} columns of {width}", given.len());
                return Err(file_error(file, what, "name all in their order; - for the others"));
            }
            (given.clone(), vec![stock], start)
        }
        (None, Some(0)) => {
            let stock = layout::without_header(&first, file)?;
            (numbered(first[0].len()), vec![stock], 0)
        }
        (None, start) => {
            let header = header(&first[..start.unwrap_or(first.len())]);
            let stocks = layout::stocks(&header, file)?;
            let names = header.iter().map(|levels| shown(levels)).collect();
            (names, stocks, start.unwrap_or(first.len()))
        }
    };
    let width = if start == 0 { first.first().map_or(0, Vec::len) } else { names.len() };
    let mut tables: Vec<TextTable> =
        stocks.into_iter().map(|stock| table(stock, &names, separator)).collect();
    let mut ragged_line = None;
    for row in rows(text, separator).skip(start) {
        let (line, cells) = row.map_err(|what| file_error(file, what, "give a CSV file"))?;
        if cells.len() != width {
            ragged_line = ragged_line.or(Some(line));
        }
        if is_open_quote(&cells) {
            let what = format!("line {line}: a quote is not closed");
            return Err(file_error(file, what, "fix this line"));
        }
        if is_other_header(&cells, &names) {
            let what = format!("line {line} begins a table with other columns");
            return Err(file_error(file, what, "give the tables as files of their own"));
        }
        for table in &mut tables {
            for column in table.columns.all() {
                table.cells[column].push(cells.get(column).unwrap_or_default());
            }
        }
    }
    let cut = match separator {
        b';' => " with semicolons",
        b'\t' => " with tabs",
        b'|' => " with bars",
        _ => "",
    };
    let bare = if options.columns.is_none() && start == 0 { ", no header" } else { "" };
    Ok(CsvTables { tables, ragged_line, kind: format!("CSV{cut}{bare}") })
}

/// The rows of a CSV with one header as a data service sends it, and the first line that has fewer
/// or more values than it.
pub(crate) fn plain_csv(text: &str, file: &str) -> Result<(RawRows, Option<usize>), MarketError> {
    let options = TableOptions::default();
    let CsvTables { tables, ragged_line, .. } = read(text, file, &options)?;
    let style = number_style(&tables);
    let table = tables.first().ok_or_else(|| file_error(file, "is empty".into(), "try again"))?;
    Ok((table.part(style, file, &options)?.0.rows, ragged_line))
}

fn table(stock: StockColumns, names: &[String], separator: u8) -> TextTable {
    let StockColumns { symbol, columns } = stock;
    let cells = vec![TextColumn::default(); names.len()];
    TextTable { symbol, names: names.to_vec(), columns, cells, comma_if_open: separator != b',' }
}

fn numbered(width: usize) -> Vec<String> {
    (1..=width).map(|column| format!("column {column}")).collect()
}

fn shown(levels: &[String]) -> String {
    levels.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default()
}

/// The names above each column, `[column][row]`: the last row alone if it says enough, and rows of
/// remarks before it are left out.
fn header(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let Some(last) = rows.last() else { return Vec::new() };
    let alone: Vec<Vec<String>> = last.iter().map(|name| vec![name.clone()]).collect();
    let is_enough = layout::stocks(&alone, "").is_ok();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let named: Vec<&Vec<String>> = rows.iter().filter(|row| row.len() == width).collect();
    if is_enough || named.len() < 2 {
        return alone;
    }
    // Some files have the header, and a line under it.
    let best = named.iter().find(|row| {
        let alone: Vec<Vec<String>> = row.iter().map(|name| vec![name.clone()]).collect();
        layout::stocks(&alone, "").is_ok()
    });
    match best {
        Some(row) => row.iter().map(|name| vec![name.clone()]).collect(),
        None => (0..width)
            .map(|column| named.iter().map(|row| row[column].trim().to_string()).collect())
            .collect(),
    }
}

/// Whether a cell reaches over so many lines that its quote must have been forgotten.
fn is_open_quote(cells: &StringRecord) -> bool {
    const LINES: usize = 5;
    cells.iter().any(|cell| cell.len() > LINES && cell.matches('\n').count() > LINES)
}

/// Whether a row has names of prices, in another order than the header.
fn is_other_header(cells: &StringRecord, names: &[String]) -> bool {
    let is_header = |cell: &str| matches!(plain_name(cell).as_str(), "open" | "high" | "close");
    let Some(first) = cells.iter().position(is_header) else { return false };
    names.get(first).is_none_or(|name| plain_name(name) != plain_name(&cells[first]))
        || !cells.iter().zip(names).all(|(cell, name)| plain_name(cell) == plain_name(name))
}

/// Non-empty rows of trimmed cells, with the line number counted from 1.
fn rows(
    text: &str,
    separator: u8,
) -> impl Iterator<Item = Result<(usize, StringRecord), String>> + '_ {
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let row = |record: Result<StringRecord, ::csv::Error>| match record {
        Err(error) => Some(Err(format!("cannot be read as CSV: {error}"))),
        Ok(record) => {
            let line = record.position().map_or(0, |at| at.line() as usize);
            let blank = record.iter().all(str::is_empty);
            (!blank).then_some(Ok((line, record)))
        }
    };
    reader.into_records().filter_map(row)
}

/// The separator of the first rows.
fn separator(text: &str) -> u8 {
    let cells = |separator: u8| {
        let first = rows(text, separator).take(FIRST_ROWS).flatten();
        let widths: Vec<usize> = first.map(|(_, cells)| cells.len()).collect();
        let usual = *widths.last().unwrap_or(&1);
        let same = widths.iter().filter(|&&width| width == usual).count();
        if usual < 2 { 0 } else { same * 1_000 + usual }
    };
    SEPARATORS.into_iter().rev().max_by_key(|&separator| cells(separator)).unwrap_or(b',')
}
