//! Excel workbooks: each sheet as a CSV would have it.

use std::borrow::Cow;
use std::io::Cursor;

use calamine::{DataRef, ExcelDateTime, Reader, Xlsx, XlsxError};

use super::text::TextTables;
use super::unpack::is_small_workbook;
use super::{TableOptions, csv, file_error};
use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::parquet::without_panic;

/// A workbook that unpacks to more is not one of bars that Excel can show.
const MAX_BYTES: u64 = 512 << 20;
/// Columns from this on are not read.
const MAX_COLUMNS: u32 = 512;
const ADVICE: &str = "open and save it again in Excel, or save it as CSV";

/// The bars of a workbook: those of its first sheet that has some, or of all sheets if they are
/// named by stocks.
pub(super) fn tables(
    bytes: &[u8],
    file: &str,
    options: &TableOptions,
) -> Result<TextTables, MarketError> {
    match is_small_workbook(bytes, MAX_BYTES) {
        Some(true) => {}
        Some(false) => {
            let what = "is neither an Excel workbook nor a table".to_string();
            return Err(file_error(file, what, "unpack archives that are in an archive"));
        }
        None => {
            let what = format!("unpacks to more than {} MiB", MAX_BYTES >> 20);
            return Err(file_error(file, what, "save its sheets as CSV"));
        }
    }
    let damaged = || file_error(file, "is a damaged Excel workbook".into(), ADVICE);
    let sheets = without_panic(|| sheets(bytes)).ok_or_else(damaged)?;
    let sheets = sheets.map_err(|error| damaged().caused_by(error))?;
    let mut wrong = None;
    let mut found: Vec<(String, TextTables)> = Vec::new();
    for (name, text) in sheets {
        match csv::read_separated(&text, b',', file, options) {
            Ok(read) if read.tables.iter().any(|table| table.rows() > 0) => {
                found.push((name, read))
            }
            Ok(_) => {}
            // A workbook often has a sheet of remarks.
            Err(error) => drop(wrong.get_or_insert((name, error))),
        }
    }
    if found.is_empty() {
        let empty = || file_error(file, "has no sheet with rows".into(), "give a table of bars");
        return Err(wrong.map_or_else(empty, |(name, error)| in_sheet(&name, error)));
    }
    Ok(one_or_all(found))
}

/// An error of a workbook that tells the sheet, too.
fn in_sheet(name: &str, error: MarketError) -> MarketError {
    match error {
        MarketError::File { file, what, hint, cause } => {
            let what = format!("sheet {name:?} {what}");
            MarketError::File { file, what, hint, cause }
        }
        other => other,
    }
}

/// All sheets, with their names as those of stocks, or the first one.
fn one_or_all(mut found: Vec<(String, TextTables)>) -> TextTables {
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    let is_stock = |(name, read): &(String, TextTables)| {
        let is_upper = name.chars().all(|c| c.is_ascii_uppercase() || ".-".contains(c));
        let says = read.tables.iter().any(|t| t.symbol.is_some() || t.columns.symbol.is_some());
        is_upper && !says && read.tables.len() == 1 && name.parse::<Symbol>().is_ok()
    };
    if found.len() > 1 && found.iter().all(is_stock) {
        let mut whole = TextTables {
            kind: format!("Excel, stocks from the sheets {names}"),
            ..TextTables::default()
        };
        for (name, read) in found {
            let named = read.tables.into_iter();
            whole.tables.extend(named.map(|mut table| {
                table.symbol = Some(name.clone());
                table
            }));
        }
        return whole;
    }
    let others: Vec<String> = found.drain(1..).map(|(name, _)| name).collect();
    let (name, mut read) = found.remove(0);
    read.kind = read.kind.replacen("CSV", &format!("Excel, sheet {name}"), 1);
    if !others.is_empty() {
        let others: String = others.join(", ").chars().take(60).collect();
        read.notes.push(format!("not read: sheet {others}, with bars, too"));
    }
    read
}

/// Names and cells of all sheets.
fn sheets(bytes: &[u8]) -> Result<Vec<(String, String)>, XlsxError> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes))?;
    let mut sheets = Vec::new();
    for name in book.sheet_names() {
        // A sheet of a diagram has no cells.
        match sheet(&mut book, &name) {
            Ok(text) => sheets.push((name, text)),
            Err(XlsxError::WorksheetNotFound(_) | XlsxError::NotAWorksheet(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sheets)
}

fn sheet(book: &mut Xlsx<Cursor<&[u8]>>, name: &str) -> Result<String, XlsxError> {
    let mut reader = book.worksheet_cells_reader(name)?;
    let (mut rows, mut width): (Vec<(u32, Vec<String>)>, usize) = (Vec::new(), 0);
    while let Some(cell) = reader.next_cell()? {
        let (row, column) = cell.get_position();
        let text = text(cell.get_value());
        if text.is_empty() || column >= MAX_COLUMNS {
            continue;
        }
        if rows.last().is_none_or(|(last, _)| *last != row) {
            rows.push((row, Vec::new()));
        }
        let Some((_, cells)) = rows.last_mut() else { continue };
        let column = column as usize;
        cells.resize(cells.len().max(column + 1), String::new());
        cells[column] = text.into_owned();
        width = width.max(column + 1);
    }
    Ok(as_csv(rows, width))
}

/// Rows in one width; cells with commas or quotes in quotes.
fn as_csv(rows: Vec<(u32, Vec<String>)>, width: usize) -> String {
    let mut text = String::new();
    for (_, mut cells) in rows {
        cells.resize(width, String::new());
        for (i, cell) in cells.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            match cell.contains([',', '"', '\n', '\r']) {
                true => text += &format!("\"{}\"", cell.replace('"', "\"\"")),
                false => text += cell,
            }
        }
        text.push('\n');
    }
    text
}

/// A cell as CSV has it. A mistake of a formula is an empty cell.
fn text<'a>(value: &'a DataRef<'_>) -> Cow<'a, str> {
    match value {
        DataRef::Int(number) => number.to_string().into(),
        DataRef::Float(number) => number.to_string().into(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.trim().into()
        }
        DataRef::SharedString(text) => text.trim().into(),
        DataRef::Bool(value) => value.to_string().into(),
        DataRef::DateTime(time) => time_text(time).into(),
        DataRef::Error(_) | DataRef::Empty => "".into(),
    }
}

/// `2020-01-02 09:30:00.000`, or the time of day alone.
fn time_text(time: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    let clock = format!("{hour:02}:{minute:02}:{second:02}.{milli:03}");
    let clock = clock.trim_end_matches(".000");
    match (0.0..1.0).contains(&time.as_f64()) {
        true => clock.into(),
        false => format!("{year:04}-{month:02}-{day:02} {clock}"),
    }
}

#[cfg(test)]
mod tests;
