//! Tables of texts: the cells of one stock's or one file's columns.

use std::borrow::Cow;

use super::{TableOptions, TablePart, file_error};
use crate::market::columns::BarColumns;
use crate::market::error::MarketError;
use crate::market::numbers::NumberStyle;
use crate::market::parquet::RawRows;
use crate::market::times::{self, Times};

/// The texts of a column, one after another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TextColumn {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl TextColumn {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }
}

/// Columns of texts, and what they mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TextTable {
    /// The stock, where the file names it.
    pub(super) symbol: Option<String>,
    /// `[column]`: names for the user.
    pub(super) names: Vec<String>,
    /// Places among `cells`.
    pub(super) columns: BarColumns,
    /// `[column]`, all of one length; those that are not read are empty.
    pub(super) cells: Vec<TextColumn>,
    /// A comma before three digits is a decimal comma, where nothing else tells.
    pub(super) comma_if_open: bool,
}

/// How the prices of all tables of a file are written.
pub(super) fn number_style(tables: &[TextTable]) -> NumberStyle {
    let texts = tables.iter().flat_map(|table| {
        let numbers = table.columns.prices.iter().copied().chain(table.columns.volume);
        numbers.flat_map(|column| table.cells[column].iter())
    });
    NumberStyle::of(texts, tables.iter().any(|table| table.comma_if_open))
}

impl TextTable {
    pub(super) fn rows(&self) -> usize {
        self.cells[self.columns.prices[0]].len()
    }

    /// NaN for what is no number.
    pub(super) fn numbers(&self, column: usize, style: NumberStyle) -> Vec<f64> {
        self.cells[column].iter().map(|text| style.parse(text)).collect()
    }

    fn times(&self, options: &TableOptions) -> Result<Times, String> {
        match self.columns.time[..] {
            [date, clock] => {
                let (dates, clocks) = (self.cells[date].iter(), self.cells[clock].iter());
                let texts = times::joined(dates.map(Some), clocks.map(Some));
                times::from_texts(texts.iter().map(|text| text.as_deref()), &options.times)
            }
            _ => {
                let mut options = options.times.clone();
                let name = self.names[self.columns.time[0]].to_lowercase();
                if name.contains("gmt") || name.contains("utc") {
                    options.zone = chrono_tz::UTC;
                }
                times::from_texts(self.cells[self.columns.time[0]].iter().map(Some), &options)
            }
        }
    }

    /// The rows, and how their times were read.
    pub(super) fn part(
        &self,
        style: NumberStyle,
        file: &str,
        options: &TableOptions,
    ) -> Result<(TablePart, Times), MarketError> {
        let times = self.times(options).map_err(|what| {
            let names: Vec<&str> =
                self.columns.time.iter().map(|&column| self.names[column].as_str()).collect();
            let what = format!("column {}: {what}", names.join(" and "));
            file_error(file, what, "say how times are written with --time-format")
        })?;
        let [open, high, low, close] =
            self.columns.prices.map(|column| self.numbers(column, style));
        let volume = match self.columns.volume {
            None => vec![0.0; self.rows()],
            Some(column) => self.cells[column].iter().map(|text| volume(text, style)).collect(),
        };
        let rows = RawRows {
            label_s: times.label_s.clone(),
            naive: times.naive,
            open,
            high,
            low,
            close,
            volume,
            ..RawRows::default()
        };
        let known = |text: &str| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_string())
        };
        let symbols = self.columns.symbol.map(|column| self.cells[column].iter().map(known));
        let part = TablePart {
            symbol: self.symbol.clone(),
            symbols: symbols.map(Iterator::collect),
            rows,
            dates: times.dates,
        };
        Ok((part, times))
    }
}

/// A volume; 0 if it is missing.
fn volume(text: &str, style: NumberStyle) -> f64 {
    let value = style.parse(text);
    let missing = ["", "-", "null", "none", "nan", "n/a", "na"];
    match value.is_nan() && missing.contains(&text.trim().to_lowercase().as_str()) {
        true => 0.0,
        false => value,
    }
}

/// The text of a file in UTF-8, UTF-16 or Windows-1252.
pub(super) fn decoded<'a>(bytes: &'a [u8], file: &str) -> Result<Cow<'a, str>, MarketError> {
    if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(bytes) {
        return Ok(encoding.decode(bytes).0);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Cow::Borrowed(text));
    }
    let start = &bytes[..bytes.len().min(4_096)];
    let control = |byte: &&u8| **byte < 32 && !matches!(**byte, b'\t' | b'\n' | b'\r');
    if start.iter().filter(control).count() > 0 {
        let hint = "name CSV, JSON, Parquet or Feather files, or such files in .gz or .zip";
        return Err(file_error(file, "is neither a table nor text".into(), hint));
    }
    Ok(encoding_rs::WINDOWS_1252.decode(bytes).0)
}
