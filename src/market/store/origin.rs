//! Provenance of a stock's files: `origin.json`, next to the folders of its years.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::errors::Cause;
use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::month::YearMonth;
use crate::market::store::{Store, origin_key};

const VERSION: u32 = 1;

/// Provenance of a stock's files. Files that other programs wrote have none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Of the record's format.
    pub version: u32,
    /// Where the bars are from.
    pub kind: OriginKind,
    /// Bar length, minutes.
    pub interval_minutes: u32,
    /// When the stock's history was started, UTC. Two stores with the same value are compatible:
    /// everything added later was compared with what was there.
    pub begun: String,
    /// The files are being replaced: some are old and some new.
    pub rewriting: bool,
    /// Months fetched so far.
    pub months: BTreeMap<YearMonth, FetchedMonth>,
}

/// Source of the bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum OriginKind {
    /// Fetched from Alpha Vantage.
    AlphaVantage {
        /// Adjusted for splits and dividends, as of the time they were fetched.
        adjusted: bool,
        /// 04:00 to 20:00 rather than 09:30 to 16:00.
        extended_hours: bool,
    },
    /// Imported from the user's tables.
    Import,
}

/// What a store has of a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchedMonth {
    /// The last complete day.
    pub through: NaiveDate,
    /// Days with bars.
    pub days: usize,
    /// Bars of all days.
    pub bars: usize,
    /// When the month was fetched, UTC.
    pub fetched: String,
}

impl Origin {
    /// Provenance of a new history without any files yet. `begun`: the current time, UTC.
    pub fn new(kind: OriginKind, interval_minutes: u32, begun: String) -> Origin {
        let months = BTreeMap::new();
        Origin { version: VERSION, kind, interval_minutes, begun, rewriting: false, months }
    }

    /// None if there is no record.
    pub fn read(store: &dyn Store, symbol: &Symbol) -> Result<Option<Origin>, MarketError> {
        let key = origin_key(symbol);
        let Some(bytes) = store.find(&key)? else { return Ok(None) };
        let wrong = |what: String| MarketError::File {
            file: format!("{}, {key}", store.place()),
            what,
            hint: format!(
                "delete it; then fetch {symbol} with --rewrite to replace its files by ones of a \
                 known kind"
            ),
            cause: None,
        };
        let origin: Origin =
            serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()).caused_by(e))?;
        if origin.version != VERSION {
            return Err(wrong(format!("has version {}, not {VERSION}", origin.version)));
        }
        Ok(Some(origin))
    }

    /// Writes `origin.json`, or replaces it.
    pub fn write(&self, store: &dyn Store, symbol: &Symbol) -> Result<(), MarketError> {
        let key = origin_key(symbol);
        let text = serde_json::to_vec_pretty(self).map_err(|error| MarketError::File {
            file: key.clone(),
            what: error.to_string(),
            hint: "report this".into(),
            cause: Some(Cause::new(error)),
        })?;
        store.put(&key, &text)
    }

    /// Errors if a stock's files are being replaced, and so are partly old and partly new.
    pub(crate) fn check_whole(store: &dyn Store, symbol: &Symbol) -> Result<(), MarketError> {
        match Origin::read(store, symbol)? {
            Some(Origin { rewriting: true, .. }) => Err(MarketError::NoData {
                symbol: symbol.to_string(),
                what: format!(
                    "its files below {} are being replaced, and are incomplete until that is \
                     done",
                    store.place()
                ),
                hint: "run the interrupted fetch or upload again".into(),
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} min", self.kind, self.interval_minutes)
    }
}

impl fmt::Display for OriginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OriginKind::Import => f.write_str("imported"),
            OriginKind::AlphaVantage { adjusted, extended_hours } => write!(
                f,
                "{}, {} hours",
                if *adjusted { "adjusted" } else { "raw" },
                if *extended_hours { "extended" } else { "regular" },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::store::LocalStore;

    #[test]
    fn it_comes_back_as_it_was_and_a_wrong_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        let symbol: Symbol = "AAPL".parse().unwrap();
        assert_eq!(Origin::read(&store, &symbol), Ok(None));
        let kind = OriginKind::AlphaVantage { adjusted: true, extended_hours: false };
        let mut origin = Origin::new(kind, 5, "2020-02-01T00:00:00Z".into());
        let through = "2020-01-31".parse().unwrap();
        let month = FetchedMonth { through, days: 21, bars: 1_638, fetched: origin.begun.clone() };
        origin.months.insert("2020-01".parse().unwrap(), month);
        origin.write(&store, &symbol).unwrap();
        assert_eq!(Origin::read(&store, &symbol), Ok(Some(origin.clone())));
        assert_eq!(origin.to_string(), "adjusted, regular hours, 5 min");
        assert_eq!(Origin::check_whole(&store, &symbol), Ok(()));
        origin.rewriting = true;
        origin.write(&store, &symbol).unwrap();
        let error = Origin::check_whole(&store, &symbol).unwrap_err().to_string();
        assert!(error.starts_with("AAPL: ") && error.contains("being replaced"), "{error}");

        store.put(&origin_key(&symbol), b"{}").unwrap();
        let error = Origin::read(&store, &symbol).unwrap_err().to_string();
        assert!(error.contains("AAPL/origin.json") && error.contains("--rewrite"), "{error}");
    }
}
