//! Loads one stock's bars for a period from its day files.

use std::sync::Arc;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use super::bar::{BarSeries, Period, Symbol};
use super::clean::{Cleaner, Convention, SeriesTail};
use super::error::MarketError;
use super::options::{LoadOptions, LoadProgress, LoadReport};
use super::parquet::decode_day_with;
use super::store::origin::Origin;
use super::store::{DayFile, Store, fetch_days};
use crate::wording::counted;

/// Concurrent fetches per stock; more than a few, because each opens its own connection.
const FETCHES_AT_ONCE: usize = 16;
/// Maximum bytes fetched but not yet decoded.
const FETCH_AHEAD_BYTES: u64 = 32 << 20;

/// Part of every fingerprint; to be raised whenever the same files give different bars than before,
/// as with a new table of exchanges.
const LOADER_VERSION: u32 = 3;
/// Maximum number of symbols listed in an error message.
const MAX_SYMBOLS_LISTED: usize = 8;
/// Jaro-Winkler similarity from which a symbol counts as similar.
const NEAR: f64 = 0.7;

/// SHA-256 over everything that the bars of `symbol` in `period` depend on: the options, and
/// `origin`, which identifies their source.
pub(crate) fn digest(
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
    origin: impl IntoIterator<Item = String>,
) -> String {
    let LoadOptions {
        bar_minutes,
        bar_label,
        calendar,
        extended_hours,
        strict,
        clean,
        columns,
        cache_dir: _,
        label_origin: _,
    } = options;
    let mut parts = vec![
        format!("loader {LOADER_VERSION}"),
        format!("{symbol} {period}"),
        format!("{bar_minutes:?} {bar_label:?} {calendar:?} {extended_hours} {strict} {clean:?}"),
    ];
    parts.extend(columns.iter().map(|name| format!("column {name}")));
    parts.extend(origin);
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// [`digest`] over names, ETags and sizes of the day files, without reading them.
pub(crate) fn fingerprint_files(
    store: &dyn Store,
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
) -> Result<String, MarketError> {
    let files = list(store, symbol, period)?;
    let named = files.into_iter().map(|f| format!("{} {} {}", f.key, f.etag, f.size_bytes));
    Ok(digest(symbol, period, options, named))
}

/// All bars of `symbol` in `period`: clean, within session hours, of one length.
pub(crate) fn load_files(
    store: &Arc<dyn Store>,
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<(BarSeries, LoadReport), MarketError> {
    options.calendar.adopt()?;
    let files = list(store.as_ref(), symbol, period)?;
    read(store, symbol, files, options, progress)?.finish(period, options, None)
}

/// Like [`load_files`], of files to which bars are still added. `known`: how to read them, if that
/// is known.
pub(crate) fn load_tail(
    store: &Arc<dyn Store>,
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
    known: Option<Convention>,
) -> Result<SeriesTail, MarketError> {
    options.calendar.adopt()?;
    let files = list(store.as_ref(), symbol, period)?;
    read(store, symbol, files, options, &mut |_| {})?.finish_tail(period, options, known)
}

/// Reads the rows of day files.
fn read(
    store: &Arc<dyn Store>,
    symbol: &Symbol,
    files: Vec<DayFile>,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Cleaner, MarketError> {
    let columns = &options.columns;
    let mut cleaner = Cleaner::new(symbol.clone(), options.strict).with_columns(columns);
    Origin::check_whole(store.as_ref(), symbol)?;
    let days_total = files.len();
    cleaner.expect_days(days_total);
    progress(LoadProgress { days_done: 0, days_total });
    let cache = options.cache_dir.as_deref();
    let days = fetch_days(Arc::clone(store), files, cache, FETCHES_AT_ONCE, FETCH_AHEAD_BYTES);
    for (done, day) in days.enumerate() {
        let (file, bytes) = day?;
        let rows = decode_day_with(&bytes, &file.key, columns)?;
        cleaner.add_day(&file.key, file.date, &rows)?;
        progress(LoadProgress { days_done: done + 1, days_total });
    }
    Ok(cleaner)
}

/// The day files of a period, or an error that says what the store has instead.
fn list(store: &dyn Store, symbol: &Symbol, period: &Period) -> Result<Vec<DayFile>, MarketError> {
    if period.start > period.end {
        return Err(MarketError::Input {
            what: format!("the period {period} ends before it begins"),
            hint: "swap the dates".into(),
        });
    }
    let files = store.list(symbol, period)?;
    if files.is_empty() { Err(nothing_there(store, symbol, period)) } else { Ok(files) }
}

/// The error for no files: the symbol is unknown, or the period is empty.
fn nothing_there(store: &dyn Store, symbol: &Symbol, period: &Period) -> MarketError {
    let always = Period { start: NaiveDate::MIN, end: NaiveDate::MAX };
    let known = match store.symbols() {
        Ok(known) => known,
        Err(error) => return error,
    };
    let place = store.place();
    let (what, hint) = if !known.contains(symbol) {
        let what = format!("{place} has no day files of this stock");
        (what, format!("check --stocks and --data; {}", what_it_has(symbol, &known)))
    } else {
        let days = match store.list(symbol, &always) {
            Ok(days) => days,
            Err(error) => return error,
        };
        let hint = match (days.first(), days.last()) {
            (Some(first), Some(last)) => {
                format!("it has {}, {} to {}", counted(days.len(), "day"), first.date, last.date)
            }
            _ => "it has no day files of this stock at all".into(),
        };
        (format!("{place} has no day files from {period}"), hint)
    };
    MarketError::NoData { symbol: symbol.to_string(), what, hint }
}

/// Similar symbols, or else the first of all symbols.
fn what_it_has(symbol: &Symbol, known: &[Symbol]) -> String {
    let similarity = |other: &Symbol| strsim::jaro_winkler(symbol.as_str(), other.as_str());
    let mut near: Vec<&Symbol> = known.iter().filter(|s| similarity(s) >= NEAR).collect();
    near.sort_by(|a, b| similarity(b).total_cmp(&similarity(a)).then(a.cmp(b)));
    let names = |symbols: &[&Symbol]| {
        symbols.iter().take(MAX_SYMBOLS_LISTED).map(|s| s.as_str()).collect::<Vec<_>>().join(", ")
    };
    match (near.is_empty(), known.len()) {
        (_, 0) => "it has no stocks at all".into(),
        (false, _) => format!("near names that it has: {}", names(&near)),
        (true, count) => {
            let all: Vec<&Symbol> = known.iter().collect();
            format!(
                "it has {}: {}{}",
                counted(count, "stock"),
                names(&all),
                if count > MAX_SYMBOLS_LISTED { ", ..." } else { "" }
            )
        }
    }
}
