//! Fetches all months of a stock again and replaces the stored files.
//!
//! They are fetched into a staging folder, which may take days if requests are limited; then the
//! files are replaced in one pass. The store's [`Origin`] records that this is in progress, so that
//! readers notice a mixture of old and new files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chrono::NaiveDate;

use super::day::DayBars;
use super::fetch::{ALWAYS, AddOutcome, FetchRequest, FetchStats, Fetcher, PUTS_AT_ONCE};
use super::run_concurrently;
use crate::errors::Cause;
use crate::ingest::alpha_vantage::FetchError;
use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::month::YearMonth;
use crate::market::store::origin::Origin;
use crate::market::store::{DayFile, LocalStore, Store};
use crate::wording::counted;

impl Fetcher<'_> {
    /// Whether the staging folder has part of a series of the requested kind.
    pub(super) fn is_begun(&self, symbol: &Symbol, aside: &Path) -> bool {
        let origin = LocalStore::open(aside).ok().and_then(|s| Origin::read(&s, symbol).ok());
        origin.flatten().is_some_and(|origin| self.request.series.matches(&origin))
    }

    /// Fetches all months into the staging folder, then replaces the stored files.
    pub(super) fn rewrite(
        &self,
        symbol: &Symbol,
        months: &[YearMonth],
        stored: &[DayFile],
        aside: &Path,
    ) -> Result<FetchStats, FetchError> {
        let all: BTreeSet<YearMonth> = months
            .iter()
            .copied()
            .chain(stored.iter().map(|f| YearMonth::from_date(f.date)))
            .collect();
        let all: Vec<YearMonth> = all.into_iter().collect();
        if !self.is_begun(symbol, aside) {
            clear(aside)?;
        }
        make(aside)?;
        let whole = LocalStore::open(aside)?;
        // Stored months may lie outside the period on either side.
        let mut period = self.request.period;
        for file in stored {
            (period.start, period.end) = (period.start.min(file.date), period.end.max(file.date));
        }
        let request = FetchRequest { period, ..*self.request };
        let fetcher = Fetcher { request: &request, ..*self };
        let mut stats = match fetcher.add(&whole, symbol, &all)? {
            AddOutcome::Done(stats) => stats,
            AddOutcome::Moved(_) => {
                (self.tell)(&format!("{symbol}: prices were adjusted meanwhile; starts over"));
                clear(aside)?;
                make(aside)?;
                match fetcher.add(&whole, symbol, &all)? {
                    AddOutcome::Done(stats) => stats,
                    AddOutcome::Moved(_) => return Err(keeps_changing(symbol)),
                }
            }
        };
        stats.files = self.replace(symbol, stored, &whole, aside)?;
        stats.rewritten = true;
        clear(aside)?;
        Ok(stats)
    }

    /// Copies the files of `whole` into the store, unless they are worse than the stored ones.
    fn replace(
        &self,
        symbol: &Symbol,
        stored: &[DayFile],
        whole: &LocalStore,
        aside: &Path,
    ) -> Result<usize, FetchError> {
        let new = whole.list(symbol, &ALWAYS)?;
        let mut origin = Origin::read(whole, symbol)?.unwrap_or_else(|| self.kind());
        // A run that was interrupted while replacing has passed this check already.
        let is_judged = Origin::read(self.store, symbol)?
            .is_some_and(|stored| stored.rewriting && stored.begun == origin.begun);
        if !is_judged {
            self.judge(symbol, stored, whole, &new, aside)?;
        }
        origin.rewriting = true;
        origin.write(self.store, symbol)?;
        run_concurrently(&new, PUTS_AT_ONCE, |file| {
            self.store.put(&file.key, &whole.get(&file.key)?)
        })?;
        origin.rewriting = false;
        origin.write(self.store, symbol)?;
        Ok(new.len())
    }

    fn judge(
        &self,
        symbol: &Symbol,
        stored: &[DayFile],
        whole: &LocalStore,
        new: &[DayFile],
        aside: &Path,
    ) -> Result<(), FetchError> {
        let keys: BTreeMap<NaiveDate, &str> =
            new.iter().map(|file| (file.date, file.key.as_str())).collect();
        let mut worse = Vec::new();
        for file in stored {
            // An unreadable file is not good data.
            let Ok(old) = DayBars::decode(&self.store.get(&file.key)?, &file.key) else { continue };
            let has = match keys.get(&file.date) {
                Some(key) => DayBars::decode(&whole.get(key)?, key)?.session_minutes(file.date),
                None => 0,
            };
            let had = old.session_minutes(file.date);
            if has < had {
                worse.push(format!("{}: {has} minutes, stored {had}", file.date));
            }
        }
        let Some(first) = worse.first() else { return Ok(()) };
        Err(FetchError::Stock(MarketError::NoData {
            symbol: symbol.to_string(),
            what: format!(
                "the new download has fewer bars than the stored files on {} (first \
                 {first}); nothing was replaced",
                counted(worse.len(), "day")
            ),
            hint: format!(
                "use the new download from its own folder (--data {}), or delete that folder to \
                 keep the stored files",
                aside.display()
            ),
        }))
    }
}

fn make(folder: &Path) -> Result<(), MarketError> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))
}

fn clear(folder: &Path) -> Result<(), MarketError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(folder, error)),
        _ => Ok(()),
    }
}

fn failed(folder: &Path, error: std::io::Error) -> MarketError {
    MarketError::Store {
        place: folder.display().to_string(),
        what: error.to_string(),
        hint: "check the folder, or name another with --cache".into(),
        cause: Some(Cause::new(error)),
    }
}

fn keeps_changing(symbol: &Symbol) -> FetchError {
    FetchError::Stock(MarketError::Service {
        what: format!("sends other prices of {symbol} each time"),
        hint: "run again later".into(),
    })
}
