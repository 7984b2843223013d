//! The journal of an account: the rows of bars as they were decided. All other files follow from it
//! and the model, so nothing else has to survive a kill.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::rows::{Belated, Row};
use crate::market::options::BarLabel;
use crate::market::{Bar, Symbol};

/// File of the journal.
pub(crate) const NAME: &str = "journal.jsonl";
const VERSION: u32 = 1;

/// What an account is from its first row to its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opening {
    version: u32,
    /// SHA-256 of the model file and of all settings that decide.
    pub(crate) desk: String,
    /// First day of the account.
    pub(crate) start: NaiveDate,
    /// In the order of the desk.
    pub(crate) stocks: Vec<Symbol>,
    /// Further columns of the bars.
    pub(crate) columns: Vec<String>,
    /// `[stock]`: what timestamps of day files mean, as found when they were read first; empty for
    /// bars that are no files.
    pub(crate) labels: Vec<BarLabel>,
}

impl Opening {
    pub(crate) fn new(
        desk: String,
        start: NaiveDate,
        stocks: &[Symbol],
        columns: &[String],
        labels: Vec<BarLabel>,
    ) -> Opening {
        let (stocks, columns) = (stocks.to_vec(), columns.to_vec());
        Opening { version: VERSION, desk, start, stocks, columns, labels }
    }
}

/// A line after the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// A row: end in UTC seconds, then by stock open, high, low, close, volume and further columns,
    /// null where unknown.
    Row(i64, BTreeMap<Symbol, Vec<Option<f64>>>),
    /// A bar that came late: end in UTC seconds, stock.
    Late(i64, Symbol),
    /// A bar that came again with other numbers: end in UTC seconds, stock.
    Corrected(i64, Symbol),
}

/// What a journal holds.
pub(crate) struct Kept {
    pub(crate) opening: Opening,
    /// In the order of time.
    pub(crate) rows: Vec<Row>,
    pub(crate) belated: Vec<Belated>,
    /// Of its whole lines.
    bytes: u64,
}

/// A journal that is appended to.
pub(crate) struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
    stocks: Vec<Symbol>,
    columns: usize,
}

impl Journal {
    /// What the journal of `folder` holds; None if there is none, or not even its first line. A last
    /// line that was being written when the process was killed does not count.
    ///
    /// Errors: it cannot be read, or a line is damaged.
    pub(crate) fn read(folder: &Path) -> Result<Option<Kept>> {
        read_whole(&folder.join(NAME))
    }

    /// Removes a journal whose first line was being written when the process was killed, where the
    /// account's file `other` was not made yet: [`Journal::read`] takes it for none.
    ///
    /// Errors: it cannot be removed.
    pub(crate) fn remove_begun(folder: &Path, other: &str) -> Result<()> {
        let path = folder.join(NAME);
        if !path.exists() || folder.join(other).exists() {
            return Ok(());
        }
        std::fs::remove_file(&path).with_context(|| path.display().to_string())
    }

    /// Begins the journal of `folder`, or goes on with it where `kept` is what was read of it.
    ///
    /// Errors: it cannot be written.
    pub(crate) fn open(folder: &Path, opening: &Opening, kept: Option<&Kept>) -> Result<Journal> {
        let path = folder.join(NAME);
        let failed = || format!("{}: cannot be written", path.display());
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&path);
        let mut file = file.with_context(failed)?;
        // Without the line that was cut short.
        file.set_len(kept.map_or(0, |kept| kept.bytes)).with_context(failed)?;
        file.seek(SeekFrom::End(0)).with_context(failed)?;
        let (columns, stocks) = (opening.columns.len(), opening.stocks.clone());
        let mut journal = Journal { path, file: BufWriter::new(file), stocks, columns };
        if kept.is_none() {
            journal.append(opening)?;
        }
        Ok(journal)
    }

    /// Adds a row that is about to be decided.
    pub(crate) fn row(&mut self, row: &Row) -> Result<()> {
        let columns = self.columns;
        let of_stock = |(stock, bar): (usize, &Option<Bar>)| {
            let Bar { open, high, low, close, volume, .. } = (*bar)?;
            let extras = &row.extras[stock * columns..][..columns];
            let extras = extras.iter().map(|&value| f64::from(value));
            let numbers = [open, high, low, close, volume].into_iter().chain(extras);
            let numbers = numbers.map(|number| number.is_finite().then_some(number)).collect();
            Some((self.stocks[stock].clone(), numbers))
        };
        let bars = row.bars.iter().enumerate().filter_map(of_stock).collect();
        self.append(&Line::Row(row.end_s, bars))
    }

    /// Adds a bar that came too late.
    pub(crate) fn belated(&mut self, belated: &Belated) -> Result<()> {
        let (end_s, stock) = (belated.end_s, self.stocks[belated.stock].clone());
        self.append(&match belated.is_corrected {
            true => Line::Corrected(end_s, stock),
            false => Line::Late(end_s, stock),
        })
    }

    /// Makes what was added last through a failure of the machine.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        synced.with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        written.with_context(|| format!("{}: cannot be written", self.path.display()))
    }
}

fn read_whole(path: &Path) -> Result<Option<Kept>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| path.display().to_string()),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut kept: Option<Kept> = None;
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        read.with_context(|| path.display().to_string())?;
        // The last one may have been cut short.
        if line.last() != Some(&b'\n') {
            break;
        }
        number += 1;
        let damaged = |what: String| {
            anyhow!(
                "{}: line {number} is damaged ({what}); restore the file, or begin a new account \
                 with another --output",
                path.display()
            )
        };
        match &mut kept {
            None => {
                let opening: Opening =
                    serde_json::from_slice(&line).map_err(|e| damaged(e.to_string()))?;
                if opening.version != VERSION {
                    return Err(damaged(format!("version {}, not {VERSION}", opening.version)));
                }
                let (rows, belated) = (Vec::new(), Vec::new());
                kept = Some(Kept { opening, rows, belated, bytes: line.len() as u64 });
            }
            Some(kept) => {
                let read = serde_json::from_slice(&line).map_err(|e| damaged(e.to_string()))?;
                kept.add(read).map_err(damaged)?;
                kept.bytes += line.len() as u64;
            }
        }
    }
    Ok(kept)
}

impl Kept {
    /// The error says what is wrong.
    fn add(&mut self, line: Line) -> Result<(), String> {
        let place = |symbol: &Symbol| {
            let found = self.opening.stocks.iter().position(|known| known == symbol);
            found.ok_or_else(|| format!("{symbol} is not among its stocks"))
        };
        match line {
            Line::Late(end_s, symbol) => {
                let stock = place(&symbol)?;
                self.belated.push(Belated { end_s, stock, is_corrected: false });
            }
            Line::Corrected(end_s, symbol) => {
                let stock = place(&symbol)?;
                self.belated.push(Belated { end_s, stock, is_corrected: true });
            }
            Line::Row(end_s, bars) => {
                if self.rows.last().is_some_and(|last| last.end_s >= end_s) {
                    return Err("its time does not come after the one before".into());
                }
                let (stocks, columns) = (self.opening.stocks.len(), self.opening.columns.len());
                let extras = vec![f32::NAN; stocks * columns];
                let mut row = Row { end_s, bars: vec![None; stocks], extras };
                for (symbol, numbers) in bars {
                    let stock = place(&symbol)?;
                    let [Some(open), Some(high), Some(low), Some(close), Some(volume), ..] =
                        numbers[..]
                    else {
                        return Err(format!("{symbol} lacks a price or the volume"));
                    };
                    if numbers.len() != 5 + columns {
                        return Err(format!("{symbol} has not {} numbers", 5 + columns));
                    }
                    row.bars[stock] = Some(Bar { end_s, open, high, low, close, volume });
                    let extras = &mut row.extras[stock * columns..][..columns];
                    for (slot, value) in extras.iter_mut().zip(&numbers[5..]) {
                        *slot = value.map_or(f32::NAN, |value| value as f32);
                    }
                }
                self.rows.push(row);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Opening {
        let stocks = ["A", "B"].map(|name| name.parse().unwrap());
        let (start, labels) = ("2020-01-02".parse().unwrap(), vec![BarLabel::End; 2]);
        Opening::new("digest".into(), start, &stocks, &["vix".into()], labels)
    }

    fn row(end_s: i64, price: f64) -> Row {
        let bar = Bar { end_s, open: price, high: price, low: price, close: price, volume: 0.1 };
        Row { end_s, bars: vec![Some(bar), None], extras: vec![17.25, f32::NAN] }
    }

    #[test]
    fn rows_come_back_to_the_last_bit_and_a_line_cut_short_is_written_again() {
        let place = tempfile::tempdir().unwrap();
        assert!(Journal::read(place.path()).unwrap().is_none());
        let rows = [row(60, 0.1 + 0.2), row(120, 1.0 / 3.0)];
        let late = Belated { end_s: 60, stock: 1, is_corrected: false };
        let mut journal = Journal::open(place.path(), &opening(), None).unwrap();
        journal.row(&rows[0]).unwrap();
        journal.belated(&late).unwrap();
        journal.row(&rows[1]).unwrap();
        journal.sync().unwrap();
        let path = place.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        // Killed at any byte, it goes on to the same file.
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let kept = Journal::read(place.path()).unwrap();
            let done = kept.as_ref().map_or(0, |kept| kept.rows.len());
            let said = kept.as_ref().is_some_and(|kept| kept.belated == [late]);
            let mut journal = Journal::open(place.path(), &opening(), kept.as_ref()).unwrap();
            for (i, row) in rows.iter().enumerate().skip(done) {
                if i == 1 && !said {
                    journal.belated(&late).unwrap();
                }
                journal.row(row).unwrap();
            }
            journal.sync().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{length} bytes");
        }
        let kept = Journal::read(place.path()).unwrap().unwrap();
        assert_eq!((kept.opening, &kept.belated[..]), (opening(), &[late][..]));
        for (kept, row) in kept.rows.iter().zip(&rows) {
            assert_eq!((kept.end_s, &kept.bars), (row.end_s, &row.bars));
            assert_eq!(kept.extras[0], 17.25);
            assert!(kept.extras[1].is_nan());
        }
    }

    #[test]
    fn a_damaged_line_is_named() {
        let place = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(place.path(), &opening(), None).unwrap();
        [row(60, 1.0), row(120, 1.0)].iter().for_each(|row| journal.row(row).unwrap());
        journal.sync().unwrap();
        let path = place.path().join(NAME);
        let whole = std::fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            ("[60,", "[121,", "line 3 is damaged (its time does not come after"),
            ("{\"A\":[", "{\"C\":[", "line 2 is damaged (C is not among its stocks"),
            (",17.25]", "]", "line 2 is damaged (A has not 6 numbers"),
            ("{\"row\"", "{\"column\"", "line 2 is damaged (unknown variant"),
            ("\"version\":1", "\"version\":9", "line 1 is damaged (version 9, not 1"),
        ] {
            std::fs::write(&path, whole.replacen(from, to, 1)).unwrap();
            let error = Journal::read(place.path()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("another --output"), "{error}");
        }
    }
}
