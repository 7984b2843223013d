//! CSV and its kin: commas, semicolons, tabs, bars or blanks; with one header, several, or none.

use ::csv::{ReaderBuilder, StringRecord, Trim};

use super::layout::{self, StockColumns};
use super::lean::{self, LeanFile};
use super::scale::PriceScale;
use super::text::{TextColumn, TextTable, TextTables, number_style};
use super::{TableOptions, blanks, file_error};
use crate::market::columns::{BarColumns, plain_name};
use crate::market::error::MarketError;
use crate::market::parquet::RawRows;

/// Possible separators; the one that cuts the first rows most often into equally many cells is
/// taken.
const SEPARATORS: [u8; 4] = *b",;\t|";
/// Rows from which the layout is told, and among which the first bar must be.
const FIRST_ROWS: usize = 60;

/// Reads a text into tables.
pub(super) fn read(
    text: &str,
    file: &str,
    options: &TableOptions,
) -> Result<TextTables, MarketError> {
    let (separator, is_even) = separator(text);
    match if is_even { None } else { blanks::with_tabs(text) } {
        Some(text) => {
            let read = read_separated(&text, b'\t', file, options)?;
            let kind = read.kind.replace("CSV with tabs", "table with blanks");
            Ok(TextTables { kind, ..read })
        }
        None => read_separated(text, separator, file, options),
    }
}

/// Reads a text with a known separator into tables.
pub(super) fn read_separated(
    text: &str,
    separator: u8,
    file: &str,
    options: &TableOptions,
) -> Result<TextTables, MarketError> {
    let first = first_rows(text, separator, file)?;
    if first.is_empty() {
        return Err(file_error(file, "is empty".into(), "give a table with a row for each bar"));
    }
    let mut start = first_data(&first);
    if options.columns.is_some() && start == first.len() {
        start = 0;
    }
    if options.columns.is_none()
        && start == 0
        && let Some(lean) = lean::recognised(file, &first, options)?
    {
        return read_lean(text, separator, &lean, file);
    }
    let mut scale = PriceScale::None;
    let (names, stocks) = match &options.columns {
        Some(given) => {
            let stock = layout::given(given, file)?;
            let width = first.get(start).map_or(0, Vec::len);
            if given.len() != width {
                let what = format!("--columns names {} columns of {width}", given.len());
                return Err(file_error(file, what, "name all in their order; - for the others"));
            }
            (given.clone(), vec![stock])
        }
        None if start == 0 => {
            scale = lean::doubt(&first);
            let stock = layout::without_header(&first, file)?;
            (layout::numbered(first[0].len()), vec![stock])
        }
        None => {
            let header = header(&first[..start]);
            let stocks = layout::stocks(&header, file)?;
            (header.iter().map(|levels| shown(levels)).collect(), stocks)
        }
    };
    let width = if start == 0 { first[0].len() } else { names.len() };
    let mut tables: Vec<TextTable> =
        stocks.into_iter().map(|stock| table(stock, &names, separator)).collect();
    let ragged_line = fill(&mut tables, text, separator, start, width, file)?;
    let cut = match separator {
        b';' => " with semicolons",
        b'\t' => " with tabs",
        b'|' => " with bars",
        _ => "",
    };
    let bare = if options.columns.is_none() && start == 0 { ", no header" } else { "" };
    let kind = format!("CSV{cut}{bare}");
    Ok(TextTables { tables, ragged_line, kind, scale, notes: Vec::new() })
}

/// The first rows, from which the layout is told.
fn first_rows(text: &str, separator: u8, file: &str) -> Result<Vec<Vec<String>>, MarketError> {
    rows(text, separator)
        .take(FIRST_ROWS)
        .map(|row| row.map(|(_, record)| record.iter().map(String::from).collect()))
        .collect::<Result<_, _>>()
        .map_err(|what| file_error(file, what, "give a CSV file"))
}

/// The first row that is no header. Rows of numbers without a time that can be read are bad rows,
/// and so are those above the first bar that have a time and nothing beside it.
fn first_data(first: &[Vec<String>]) -> usize {
    let is_filled = |row: &Vec<String>| layout::is_data(row) || layout::is_numeric(row);
    let mut start = first.iter().position(is_filled).unwrap_or(first.len());
    while start > 0 && layout::is_missing(&first[start - 1]) {
        start -= 1;
    }
    start
}

/// Fills the tables with the rows from `start` on. Returns the first line that has fewer or more than
/// `width` values.
fn fill(
    tables: &mut [TextTable],
    text: &str,
    separator: u8,
    start: usize,
    width: usize,
    file: &str,
) -> Result<Option<usize>, MarketError> {
    let names = tables.first().map_or(Vec::new(), |table| table.names.clone());
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
        for table in &mut *tables {
            for column in table.columns.all() {
                table.cells[column].push(cells.get(column).unwrap_or_default());
            }
        }
    }
    Ok(ragged_line)
}

/// Rows of QuantConnect Lean's, with the date of the file's name before each.
fn read_lean(
    text: &str,
    separator: u8,
    lean: &LeanFile<'_>,
    file: &str,
) -> Result<TextTables, MarketError> {
    let zone = if lean.utc { "UTC" } else { "" };
    let comma = char::from(separator);
    let dated = |line: &str| match line.trim().is_empty() {
        true => "\n".into(),
        false => format!("{}{comma}{line}{comma}{zone}\n", lean.date),
    };
    let text: String = text.lines().map(dated).collect();
    let names = ["the file's name", "column 1", "open", "high", "low", "close", "volume", "zone"];
    let names = names.map(String::from);
    let columns = BarColumns {
        time: vec![0, 1],
        prices: [2, 3, 4, 5],
        volume: Some(6),
        zone: lean.utc.then_some(7),
        ..BarColumns::default()
    };
    let symbol = lean.symbol.as_ref().map(|symbol| symbol.to_string());
    let mut tables = vec![table(StockColumns { symbol, columns }, &names, separator)];
    let ragged_line = fill(&mut tables, &text, separator, 0, names.len(), file)?;
    let kind = "QuantConnect Lean".to_string();
    let notes = if lean.utc { vec!["times are UTC's".into()] } else { Vec::new() };
    Ok(TextTables { tables, ragged_line, kind, scale: lean.scale, notes })
}

/// The rows of a CSV with one header as a data service sends it, and the first line that has fewer
/// or more values than it.
pub(crate) fn plain_csv(text: &str, file: &str) -> Result<(RawRows, Option<usize>), MarketError> {
    let options = TableOptions::default();
    let TextTables { tables, ragged_line, .. } = read(text, file, &options)?;
    let style = number_style(&tables);
    let table = tables.first().ok_or_else(|| file_error(file, "is empty".into(), "try again"))?;
    Ok((table.part(style, file, &options)?.0.rows, ragged_line))
}

fn table(stock: StockColumns, names: &[String], separator: u8) -> TextTable {
    let StockColumns { symbol, columns } = stock;
    let cells = vec![TextColumn::default(); names.len()];
    TextTable { symbol, names: names.to_vec(), columns, cells, comma_if_open: separator != b',' }
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

/// The separator of the first rows, and whether it cuts all of them into equally many cells, enough
/// for a bar.
fn separator(text: &str) -> (u8, bool) {
    let cells = |separator: u8| {
        let first = rows(text, separator).take(FIRST_ROWS).flatten();
        let widths: Vec<usize> = first.map(|(_, cells)| cells.len()).collect();
        let usual = *widths.last().unwrap_or(&1);
        let same = widths.iter().filter(|&&width| width == usual).count();
        let is_even = same == widths.len() && usual > 4;
        (if usual < 2 { 0 } else { same * 1_000 + usual }, is_even)
    };
    let best = SEPARATORS.into_iter().rev().max_by_key(|&separator| cells(separator).0);
    let best = best.unwrap_or(b',');
    (best, cells(best).1)
}
