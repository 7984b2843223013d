//! Imports the user's tables into day files.

mod spacing;
mod symbols;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::day::{Basis, Comparison, DAY_MINUTES, DayBars, RowsByDay};
use super::run_concurrently;
use super::table::{Table, TableOptions, decode_table, on_one_basis, unpacked};
use crate::errors::Cause;
use crate::files::read_bounded;
use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::judge;
use crate::market::store::origin::{Origin, OriginKind};
use crate::market::store::{Store, day_key};
use crate::market::times::TimeOptions;
use crate::wording::counted;
use symbols::by_symbol;

/// With more files than this, only those with bad rows are reported.
const FILES_REPORTED: usize = 20;
/// Share of rows with a time that occurs before, from which they are not of one stock.
const REPEATED: f64 = 0.05;
/// Largest file that is read.
const MAX_BYTES: u64 = 4 << 30;
/// Day files written concurrently: a disk that confirms each takes its time.
const WRITES_AT_ONCE: usize = 16;

/// How files are read and who is told about it.
pub struct ImportOptions<'a> {
    /// The stock of all bars; None: taken from the file or its name.
    pub symbol: Option<Symbol>,
    /// Names of the columns in their order, `-` for one that is passed over; None: those of the
    /// header.
    pub columns: Option<Vec<String>>,
    /// How times are written, as in C's `strftime`; None: found out.
    pub time_format: Option<String>,
    /// Zone of times that are written without one.
    pub time_zone: chrono_tz::Tz,
    /// Scale prices to the adjusted close.
    pub adjusted: bool,
    /// How many parts of a unit prices count, from 1 on; None: found out.
    pub price_scale: Option<f64>,
    /// Treat a bad row as an error.
    pub strict: bool,
    /// Current time, UTC, as text.
    pub now: String,
    /// Receives lines for the user: what was found in which file.
    pub tell: &'a dyn Fn(&str),
}

impl<'a> ImportOptions<'a> {
    /// Everything is found out. `now`: UTC, as text.
    pub fn new(now: String, tell: &'a dyn Fn(&str)) -> ImportOptions<'a> {
        let TimeOptions { zone, format } = TimeOptions::default();
        ImportOptions {
            symbol: None,
            columns: None,
            time_format: format,
            time_zone: zone,
            adjusted: false,
            price_scale: None,
            strict: false,
            now,
            tell,
        }
    }
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
    let mut several = files.len() > 1;
    for file in files {
        for member in members(file)? {
            for (symbol, stock) in read(&member, options)?.stocks {
                fit(store, &member.name, &symbol, &stock)?;
                together.add(&member.name, symbol, stock)?;
            }
        }
    }
    let mut sum = ImportStats::default();
    for file in files {
        let members = members(file)?;
        several |= members.len() > 1;
        for member in members {
            let ReadFile { stocks, understood } = read(&member, options)?;
            let quiet = several && (files.len() > FILES_REPORTED || stocks.len() > FILES_REPORTED);
            if !quiet {
                (options.tell)(&format!("{}: {understood}", member.name));
            }
            for (symbol, stock) in stocks {
                put(store, &member.name, &symbol, &stock, quiet, options, &mut sum)?;
            }
        }
    }
    Ok(sum)
}

/// Adds one stock's bars to the store, and tells what was done.
fn put(
    store: &dyn Store,
    file: &str,
    symbol: &Symbol,
    stock: &StockBars,
    quiet: bool,
    options: &ImportOptions,
    sum: &mut ImportStats,
) -> Result<(), MarketError> {
    let changed = fit(store, file, symbol, stock)?;
    let StockBars { days, interval, rescaled, doubts } = stock;
    let bars: usize = days.days.values().map(|day| day.0.len()).sum();
    if Origin::read(store, symbol)?.is_none() {
        Origin::new(OriginKind::Import, *interval, options.now.clone()).write(store, symbol)?;
    }
    run_concurrently(&changed, WRITES_AT_ONCE, |(key, day)| store.put(key, &day.encode(key)?))?;
    for doubt in doubts {
        (options.tell)(&format!("{file}: {symbol}: {doubt}"));
    }
    sum.rows += bars;
    sum.bad_rows += days.bad_rows;
    sum.written += changed.len();
    sum.unchanged += days.days.len() - changed.len();
    if quiet && days.bad_rows == 0 && rescaled.is_none() {
        return Ok(());
    }
    let bad = days
        .first_bad
        .as_ref()
        .map(|first| format!("; {} left out, first {first}", counted(days.bad_rows, "bad row")));
    (options.tell)(&format!(
        "{file}: {bars} {} of {symbol}, {} written, {} as they were{}{}",
        in_words(*interval),
        counted(changed.len(), "day file"),
        days.days.len() - changed.len(),
        bad.unwrap_or_default(),
        rescaled.as_ref().map(|told| format!("; {told}")).unwrap_or_default()
    ));
    Ok(())
}

/// `daily bars`, `bars of 5 min`
fn in_words(interval: u32) -> String {
    if interval == DAY_MINUTES { "daily bars".into() } else { format!("bars of {interval} min") }
}

/// A file, or one in an archive.
struct Member {
    name: String,
    bytes: Vec<u8>,
}

fn members(path: &Path) -> Result<Vec<Member>, MarketError> {
    let file = path.display().to_string();
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| MarketError::File {
        file: file.clone(),
        what: error.to_string(),
        hint: "give a readable table: CSV, JSON, Excel, Parquet or Feather".into(),
        cause: Some(Cause::new(error)),
    })?;
    let files = unpacked(bytes, &file)?;
    Ok(files.into_iter().map(|(name, bytes)| Member { name, bytes }).collect())
}

/// The valid bars of one stock in a file.
struct StockBars {
    days: RowsByDay,
    /// Bar length in minutes; [`DAY_MINUTES`] for daily bars.
    interval: u32,
    /// What was done to have its prices on one basis.
    rescaled: Option<String>,
    /// Prices and volumes that are most likely errors, a line for each kind.
    doubts: Vec<String>,
}

struct ReadFile {
    stocks: BTreeMap<Symbol, StockBars>,
    /// How the file was read, for the user.
    understood: String,
}

/// A file's valid bars by stock and day.
fn read(member: &Member, options: &ImportOptions) -> Result<ReadFile, MarketError> {
    let file = &member.name;
    let table_options = TableOptions {
        columns: options.columns.clone(),
        times: TimeOptions { zone: options.time_zone, format: options.time_format.clone() },
        adjusted: options.adjusted,
        price_scale: options.price_scale,
    };
    let Table { parts, ragged_line, understood } =
        decode_table(&member.bytes, file, &table_options)?;
    let wrong = |what: String, hint: &str| MarketError::File {
        file: file.clone(),
        what,
        hint: hint.into(),
        cause: None,
    };
    if let (Some(line), true) = (ragged_line, options.strict) {
        let what = format!("line {line} has fewer or more values than the first one");
        return Err(wrong(what, "fix the file, or import without --strict to skip such rows"));
    }
    let dates = parts.iter().all(|part| part.dates);
    let mut stocks = BTreeMap::new();
    for (symbol, mut rows) in by_symbol(parts, file, options)? {
        let rescaled = if dates { on_one_basis(&mut rows) } else { None };
        let days = RowsByDay::from_rows(&rows);
        if days.repeated > 2 && days.repeated as f64 > REPEATED * rows.len() as f64 {
            let what = format!(
                "{} of {} rows of {symbol} have a time that occurs before with other prices: of \
                 several stocks, or with the time of day in a column that is not known",
                days.repeated,
                rows.len()
            );
            return Err(wrong(what, "name the columns with --columns, symbol, date and time too"));
        }
        if let (Some(first), true) = (&days.first_bad, options.strict) {
            let hint = "fix the file, or import without --strict to skip such rows";
            return Err(wrong(format!("bad row of {symbol}: {first}"), hint));
        }
        if days.days.is_empty() {
            let first = days.first_bad.unwrap_or_default();
            let what = format!("none of its {} rows of {symbol} is a bar: {first}", rows.len());
            return Err(wrong(what, "check which columns it has, and see --columns"));
        }
        let interval = if dates { Some(DAY_MINUTES) } else { days.interval_minutes() };
        let Some(interval) = interval.or_else(|| days.is_daily().then_some(DAY_MINUTES)) else {
            let what = format!("has no two bars of {symbol} on one day, at other times each day");
            return Err(wrong(what, "give bars of whole minutes, or daily ones"));
        };
        let misfit = match interval {
            DAY_MINUTES => spacing::longer_than_days(&days),
            minutes => spacing::daily_among(&days, minutes, options.time_zone),
        };
        if let Some(what) = misfit {
            return Err(wrong(
                format!("{symbol} {what}"),
                "give daily bars alone, or shorter ones",
            ));
        }
        let findings = judge::judge(&days.series(&symbol));
        if options.strict {
            judge::refuse(&symbol, &findings)?;
        }
        let doubts = judge::lines(&findings);
        stocks.insert(symbol, StockBars { days, interval, rescaled, doubts });
    }
    Ok(ReadFile { stocks, understood })
}

/// The changed days, or an error if the bars are inconsistent with the stored ones.
fn fit(
    store: &dyn Store,
    file: &str,
    symbol: &Symbol,
    stock: &StockBars,
) -> Result<Vec<(String, DayBars)>, MarketError> {
    let StockBars { days, interval, .. } = stock;
    let wrong = |what: String| MarketError::File {
        file: file.into(),
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
        Some(origin) if origin.interval_minutes != *interval => {
            let (new, has) = (in_words(*interval), in_words(origin.interval_minutes));
            return Err(wrong(format!("{new}, but {place} has {symbol} in {has}")));
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
        Basis::Same | Basis::Unknown => Ok(changed),
    }
}

/// Bars of all files of one import so far, by stock.
#[derive(Default)]
struct ImportedDays(BTreeMap<Symbol, StockImport>);

struct StockImport {
    /// The first file with this stock.
    first: String,
    interval: u32,
    days: BTreeMap<NaiveDate, DayBars>,
}

impl ImportedDays {
    fn add(&mut self, file: &str, symbol: Symbol, stock: StockBars) -> Result<(), MarketError> {
        let StockBars { days, interval, .. } = stock;
        let brought = self.0.entry(symbol.clone()).or_insert_with(|| StockImport {
            first: file.into(),
            interval,
            days: BTreeMap::new(),
        });
        let first = &brought.first;
        let wrong = |what: String| MarketError::File {
            file: file.into(),
            what,
            hint: "import it by itself into another folder with --data".into(),
            cause: None,
        };
        if brought.interval != interval {
            let (new, has) = (in_words(interval), in_words(brought.interval));
            return Err(wrong(format!("{new} of {symbol}, but {first} has {has}")));
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
