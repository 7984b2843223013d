//! Imports the user's tables into day files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::day::{Basis, Comparison, DayBars, RowsByDay};
use crate::errors::Cause;
use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::parquet::{RawRows, Table, decode_table};
use crate::market::store::origin::{Origin, OriginKind};
use crate::market::store::{Store, day_key};

/// With more files than this, only those with bad rows are reported.
const FILES_REPORTED: usize = 20;

/// How files are read and who is told about it.
pub struct ImportOptions<'a> {
    /// The stock of all bars; None: taken from a column or the file name.
    pub symbol: Option<Symbol>,
    /// Treat a bad row as an error.
    pub strict: bool,
    /// Current time, UTC, as text.
    pub now: String,
    /// Receives lines for the user: what was found in which file.
    pub tell: &'a dyn Fn(&str),
}

/// Result of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportStats {
    /// Bars that were read.
    pub rows: usize,
    /// Rows that were rejected.
    pub bad_rows: usize,
    /// Number of day files written.
    pub written: usize,
    /// Number of day files that already had all bars.
    pub unchanged: usize,
}

/// Adds the bars of `files` to the store. Nothing is written until every file has been read once
/// and is consistent with the store and with the files before it.
pub fn import(
    store: &dyn Store,
    files: &[PathBuf],
    options: &ImportOptions,
) -> Result<ImportStats, MarketError> {
    let mut together = ImportedDays::default();
    for file in files {
        for (symbol, days) in read(file, options)? {
            fit(store, file, &symbol, &days)?;
            if files.len() > 1 {
                together.add(file, symbol, days)?;
            }
        }
    }
    let mut sum = ImportStats::default();
    for file in files {
        for (symbol, days) in read(file, options)? {
            let (interval, changed) = fit(store, file, &symbol, &days)?;
            let bars: usize = days.days.values().map(|day| day.0.len()).sum();
            if Origin::read(store, &symbol)?.is_none() {
                Origin::new(OriginKind::Import, interval, options.now.clone())
                    .write(store, &symbol)?;
            }
            for (key, day) in &changed {
                store.put(key, &day.encode(key)?)?;
            }
            sum.rows += bars;
            sum.bad_rows += days.bad_rows;
            sum.written += changed.len();
            sum.unchanged += days.days.len() - changed.len();
            if files.len() > FILES_REPORTED && days.bad_rows == 0 {
                continue;
            }
            let bad = days
                .first_bad
                .map(|first| format!("; {} bad rows left out, first {first}", days.bad_rows));
            (options.tell)(&format!(
                "{}: {bars} bars of {interval} min of {symbol}, {} day files written, {} as they \
                 were{}",
                file.display(),
                changed.len(),
                days.days.len() - changed.len(),
                bad.unwrap_or_default()
            ));
        }
    }
    Ok(sum)
}

/// A file's valid bars by stock and day.
fn read(path: &Path, options: &ImportOptions) -> Result<BTreeMap<Symbol, RowsByDay>, MarketError> {
    let file = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| MarketError::File {
        file: file.clone(),
        what: error.to_string(),
        hint: "give a readable CSV or Parquet file".into(),
        cause: Some(Cause::new(error)),
    })?;
    let table = decode_table(&bytes, &file)?;
    if let (Some(line), true) = (table.ragged_line, options.strict) {
        return Err(MarketError::File {
            file,
            what: format!("line {line} has fewer or more values than the header"),
            hint: "fix the file, or import without --strict to skip such rows".into(),
            cause: None,
        });
    }
    let mut all = BTreeMap::new();
    for (symbol, rows) in by_symbol(table, path, options)? {
        let days = RowsByDay::from_rows(&rows);
        let wrong = |what: String, hint: &str| MarketError::File {
            file: file.clone(),
            what,
            hint: hint.into(),
            cause: None,
        };
        if let (Some(first), true) = (&days.first_bad, options.strict) {
            let hint = "fix the file, or import without --strict to skip such rows";
            return Err(wrong(format!("bad row of {symbol}: {first}"), hint));
        }
        if days.interval_minutes().is_none() {
            let what = format!("has no two bars of {symbol} on one day");
            return Err(wrong(what, "intraday bars of whole minutes are needed"));
        }
        all.insert(symbol, days);
    }
    Ok(all)
}

/// Rows by stock, according to the flag, a column or the file name, in this order.
fn by_symbol(
    table: Table,
    path: &Path,
    options: &ImportOptions,
) -> Result<BTreeMap<Symbol, RawRows>, MarketError> {
    let Table { rows, symbols, .. } = table;
    let wrong = |what: String, hint: &str| MarketError::File {
        file: path.display().to_string(),
        what,
        hint: hint.into(),
        cause: None,
    };
    let Some(names) = symbols else {
        let symbol = match &options.symbol {
            Some(symbol) => symbol.clone(),
            None => named_by(path).ok_or_else(|| {
                let what = "neither a symbol column nor the file name gives the symbol".into();
                wrong(what, "give it with --symbol, or name the file like AAPL.csv")
            })?,
        };
        return Ok([(symbol, rows)].into());
    };
    let mut all: BTreeMap<Symbol, RawRows> = BTreeMap::new();
    let mut known: BTreeMap<String, Symbol> = BTreeMap::new();
    for (i, name) in names.into_iter().enumerate() {
        let name = name.unwrap_or_default();
        let symbol = match known.get(&name) {
            Some(symbol) => symbol.clone(),
            None => {
                let symbol: Symbol = name.parse().map_err(|_| {
                    let what = format!("row {}: {name:?} is not a stock symbol", i + 1);
                    wrong(what, "fix the column")
                })?;
                known.insert(name, symbol.clone());
                symbol
            }
        };
        if let Some(only) = options.symbol.as_ref().filter(|only| **only != symbol) {
            let what = format!("contains bars of {symbol}, but --symbol is {only}");
            return Err(wrong(what, "omit --symbol: the file has a symbol column"));
        }
        all.entry(symbol).or_default().push(rows.label_s[i], rows.values(i));
    }
    Ok(all)
}

/// The symbol in a file name such as `AAPL.csv`, `AAPL_2020-01.parquet`, `intraday_5min_IBM`: the
/// first part in capitals, or the whole name.
fn named_by(path: &Path) -> Option<Symbol> {
    let stem = path.file_stem()?.to_str()?;
    let parts: Vec<&str> = stem.split(['_', ' ']).collect();
    let is_symbol = |part: &&&str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && !part.contains(|c: char| c.is_ascii_lowercase())
    };
    match parts.iter().find(is_symbol) {
        Some(part) => part.parse().ok(),
        None if parts.len() == 1 && stem.chars().all(|c| c.is_ascii_alphabetic()) => {
            stem.parse().ok()
        }
        None => None,
    }
}

/// Bar length in minutes and the changed days, or an error if the bars are inconsistent with the
/// stored ones.
fn fit(
    store: &dyn Store,
    path: &Path,
    symbol: &Symbol,
    days: &RowsByDay,
) -> Result<(u32, Vec<(String, DayBars)>), MarketError> {
    let interval = days.interval_minutes().unwrap_or(1);
    let wrong = |what: String| MarketError::File {
        file: path.display().to_string(),
        what,
        hint: "import it into another folder with --data".into(),
        cause: None,
    };
    let place = store.place();
    match Origin::read(store, symbol)? {
        Some(origin) if origin.kind != OriginKind::Import => {
            let what = format!("{place} has {symbol} from Alpha Vantage ({origin})");
            return Err(wrong(what));
        }
        Some(origin) if origin.interval_minutes != interval => {
            let has = origin.interval_minutes;
            return Err(wrong(format!(
                "bars of {interval} min, but {place} has {symbol} in bars of {has} min"
            )));
        }
        _ => {}
    }
    let stored = days.stored(store, symbol)?;
    let mut comparison = Comparison::default();
    let mut changed = Vec::new();
    for (&date, new) in &days.days {
        let key = day_key(symbol, date);
        if !stored.contains(&date) {
            changed.push((key, new.clone()));
            continue;
        }
        // An unreadable file is not good data.
        let old = DayBars::decode(&store.get(&key)?, &key).unwrap_or_default();
        comparison.add(&old, new);
        // Stored bars take precedence; new ones are added.
        let both = new.updated(&old);
        if both != old {
            changed.push((key, both));
        }
    }
    match comparison.basis() {
        Basis::Moved(ratio) => Err(wrong(format!(
            "prices of {symbol} are {ratio:.6} times those stored in {place}: \
             adjusted differently, or of another stock"
        ))),
        Basis::Same | Basis::Unknown => Ok((interval, changed)),
    }
}

/// Bars of all files of one import so far, by stock.
#[derive(Default)]
struct ImportedDays(BTreeMap<Symbol, StockImport>);

struct StockImport {
    /// The first file with this stock.
    first: PathBuf,
    interval: u32,
    days: BTreeMap<NaiveDate, DayBars>,
}

impl ImportedDays {
    fn add(&mut self, path: &Path, symbol: Symbol, days: RowsByDay) -> Result<(), MarketError> {
        let interval = days.interval_minutes().unwrap_or(1);
        let brought = self.0.entry(symbol.clone()).or_insert_with(|| StockImport {
            first: path.into(),
            interval,
            days: BTreeMap::new(),
        });
        let first = brought.first.display();
        let wrong = |what: String| MarketError::File {
            file: path.display().to_string(),
            what,
            hint: "import it by itself into another folder with --data".into(),
            cause: None,
        };
        if brought.interval != interval {
            let has = brought.interval;
            return Err(wrong(format!(
                "bars of {interval} min of {symbol}, but those of {first} are of {has} min"
            )));
        }
        let mut comparison = Comparison::default();
        for (date, new) in days.days {
            let old = brought.days.entry(date).or_default();
            comparison.add(old, &new);
            *old = new.updated(old);
        }
        match comparison.basis() {
            Basis::Moved(ratio) => Err(wrong(format!(
                "prices of {symbol} are {ratio:.6} times those of the files before it (first \
                 {first}): adjusted in another way, or of another stock"
            ))),
            Basis::Same | Basis::Unknown => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_of_stocks() {
        for (name, symbol) in [
            ("AAPL.csv", Some("AAPL")),
            ("in/spy.csv", Some("SPY")),
            ("AAPL_2020-01-03.parquet", Some("AAPL")),
            ("intraday_5min_IBM.csv", Some("IBM")),
            ("BRK.B_1min.csv", Some("BRK.B")),
            ("2020_01.csv", None),
            ("my_bars.csv", None),
            ("bars-2020.csv", None),
        ] {
            let found = named_by(Path::new(name)).map(String::from);
            assert_eq!(found.as_deref(), symbol, "{name}");
        }
    }
}
