//! Tables of texts: the cells of one stock's or one file's columns.

use std::borrow::Cow;

use super::scale::PriceScale;
use super::{TableOptions, TablePart, file_error};
use crate::market::columns::BarColumns;
use crate::market::error::MarketError;
use crate::market::numbers::NumberStyle;
use crate::market::parquet::RawRows;
use crate::market::times::{self, TimeOptions, Times};

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

/// The tables of a file, and how it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TextTables {
    pub(super) tables: Vec<TextTable>,
    /// The first line with another number of values than the first one.
    pub(super) ragged_line: Option<usize>,
    /// Such as `CSV`, `CSV with semicolons, no header`.
    pub(super) kind: String,
    pub(super) scale: PriceScale,
    /// What else the user should know.
    pub(super) notes: Vec<String>,
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

    /// Decides on the volume: the number of quotes where the volume is 0 throughout.
    pub(super) fn settle(&mut self, style: NumberStyle) {
        if let (Some(column), Some(ticks)) = (self.columns.volume, self.columns.tick_volume)
            && self.cells[column].iter().all(|text| volume(text, style) == 0.0)
        {
            self.columns.volume = Some(ticks);
        }
    }

    /// Whether all prices are integers as they are written.
    pub(super) fn has_whole_prices(&self) -> bool {
        let columns = self.columns.prices.iter().map(|&column| &self.cells[column]);
        let mut texts = columns.flat_map(TextColumn::iter).filter(|text| !text.is_empty());
        texts.all(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Times, with the zone that each row names for them.
    fn row_times(&self, options: &TableOptions) -> Result<Times, String> {
        let zone = self.columns.zone.filter(|_| !self.is_utc());
        let Some(zone) = zone else { return self.times(&options.times) };
        let names = self.cells[zone].iter().map(Some);
        let wrong = |what: String| format!("{what} (column {})", self.names[zone]);
        times::zones(names, &options.times, |options| self.times(options), wrong)
    }

    /// Whether the name of the times says their zone.
    fn is_utc(&self) -> bool {
        let name = self.names[self.columns.time[0]].to_lowercase();
        self.columns.time.len() == 1 && (name.contains("gmt") || name.contains("utc"))
    }

    fn times(&self, options: &TimeOptions) -> Result<Times, String> {
        match self.columns.time[..] {
            [date, clock] => {
                let (dates, clocks) = (self.cells[date].iter(), self.cells[clock].iter());
                let texts = times::joined(dates.map(Some), clocks.map(Some));
                times::from_texts(texts.iter().map(|text| text.as_deref()), options)
            }
            _ => {
                let mut options = options.clone();
                if self.is_utc() {
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
        let times = self.row_times(options).map_err(|what| {
            let names: Vec<&str> =
                self.columns.time.iter().map(|&column| self.names[column].as_str()).collect();
            let is_zone = self.columns.zone.is_some() && what.contains("zone");
            let hint = match is_zone {
                true => "correct the zones, or pass their column over with --columns",
                false => "say how times are written with --time-format",
            };
            file_error(file, format!("column {}: {what}", names.join(" and ")), hint)
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
    // What Office wrote until 2007, and writes where there is a password.
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        let what = "is an old Excel workbook, or one with a password";
        return Err(file_error(file, what.into(), "save it as .xlsx without a password"));
    }
    let start = &bytes[..bytes.len().min(4_096)];
    let control = |byte: &&u8| **byte < 32 && !matches!(**byte, b'\t' | b'\n' | b'\r');
    if start.iter().filter(control).count() > 0 {
        let hint = "name CSV, JSON, Excel, Parquet or Feather files, or such files in .gz or .zip";
        return Err(file_error(file, "is neither a table nor text".into(), hint));
    }
    Ok(encoding_rs::WINDOWS_1252.decode(bytes).0)
}
