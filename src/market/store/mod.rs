//! Stores of day files: Azure Blob Storage or a local folder, behind one trait.
//!
//! ```text
//! AzureStore ─┐                       ┌─ BlobCache (remote stores only)
//!             ├─ Store ─── fetch_days ┤
//! LocalStore ─┘                       └─ DayStream: the days in order, fetched ahead of use
//! ```
//!
//! The Azure crates are used only here. Calls block, errors are one line, and neither contains a
//! credential.

mod azure;
mod cache;
mod connection;
mod fetch;
mod local;
pub mod origin;
mod retry_policy;

use chrono::{Datelike, NaiveDate};
use sha2::{Digest, Sha256};

use super::bar::{Period, Symbol};
use super::error::MarketError;

pub use azure::AzureStore;
pub(crate) use azure::BlobDigest;
pub(crate) use cache::BlobCache;
pub(crate) use connection::is_exposed;
pub use fetch::{DayStream, fetch_days};
pub use local::LocalStore;

/// The first folder of every key.
const ROOT: &str = "stocks_intraday";

/// Largest day file that is read. A day of bars of a second is below 2 MB.
const MOST_FILE_BYTES: u64 = 128 << 20;

/// Connections to a remote store at once, of a process.
pub(crate) const MOST_CONNECTIONS: usize = 32;

/// One day of one stock, as listed by a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayFile {
    /// `stocks_intraday/{symbol}/{year}/{month}/{symbol}_{date}.parquet`
    pub key: String,
    /// The New York date of its bars.
    pub date: NaiveDate,
    /// Changes whenever the content does.
    pub etag: String,
    /// Length of the file.
    pub size_bytes: u64,
}

/// A store of day files. Calls block; several may run at once.
pub trait Store: Send + Sync {
    /// Name for messages: the folder, or account and container. Never a credential.
    fn place(&self) -> String;
    /// Day files of one stock in a period, by date; may be empty.
    fn list(&self, symbol: &Symbol, period: &Period) -> Result<Vec<DayFile>, MarketError>;
    /// The symbols in the store, sorted.
    fn symbols(&self) -> Result<Vec<Symbol>, MarketError>;
    /// The bytes of a file. Errors: there is none, or it cannot be read.
    fn get(&self, key: &str) -> Result<Vec<u8>, MarketError>;
    /// The bytes of a file as it was listed. Errors: those of [`Store::get`]; it has another length
    /// by now.
    fn get_listed(&self, file: &DayFile) -> Result<Vec<u8>, MarketError> {
        let bytes = self.get(&file.key)?;
        if bytes.len() as u64 == file.size_bytes {
            Ok(bytes)
        } else {
            Err(not_as_listed(file, &format!("read {}", bytes.len())))
        }
    }
    /// Like [`Store::get`]; None if there is no such file.
    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError>;
    /// Writes atomically: the whole file or nothing.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), MarketError>;
    /// Whether `get` is so expensive that [`fetch_days`] should cache on disk.
    fn is_remote(&self) -> bool {
        false
    }
}

fn not_as_listed(file: &DayFile, what: &str) -> MarketError {
    MarketError::File {
        file: file.key.clone(),
        what: format!("listed with {} bytes, {what}", file.size_bytes),
        hint: "another program is writing to it; run again when it is done".into(),
        cause: None,
    }
}

/// The key of one stock's day: `stocks_intraday/AAPL/2020/01/AAPL_2020-01-03.parquet`.
pub fn day_key(symbol: &Symbol, date: NaiveDate) -> String {
    format!("{ROOT}/{symbol}/{:04}/{:02}/{symbol}_{date}.parquet", date.year(), date.month())
}

/// The key of a stock's provenance record, see [`origin`].
pub(crate) fn origin_key(symbol: &Symbol) -> String {
    format!("{ROOT}/{symbol}/origin.json")
}

/// SHA-256 in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The date of a `key` of `symbol`; None if it belongs to another stock or is not spelled exactly
/// like [`day_key`], so that two spellings of a day cannot count twice.
fn key_date(symbol: &Symbol, key: &str) -> Option<NaiveDate> {
    let name = key.rsplit('/').next()?;
    let text = name.strip_prefix(symbol.as_str())?.strip_prefix('_')?.strip_suffix(".parquet")?;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (day_key(symbol, date) == key).then_some(date)
}

/// The symbol of a folder name. Symbols are upper case in keys.
fn folder_symbol(name: &str) -> Option<Symbol> {
    let symbol: Symbol = name.parse().ok()?;
    (symbol.as_str() == name).then_some(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Symbol {
        text.parse().unwrap()
    }

    #[test]
    fn keys_and_dates_are_each_others_inverse() {
        let date = NaiveDate::from_ymd_opt(2020, 1, 3).unwrap();
        let key = day_key(&symbol("AAPL"), date);
        assert_eq!(key, "stocks_intraday/AAPL/2020/01/AAPL_2020-01-03.parquet");
        assert_eq!(key_date(&symbol("AAPL"), &key), Some(date));
        assert_eq!(key_date(&symbol("AA"), &key), None);
    }

    #[test]
    fn other_files_are_no_days() {
        for key in [
            "stocks_intraday/AAPL/2020/01/AAPL_2020-01-03.parquet.tmp",
            "stocks_intraday/AAPL/2020/01/AAPL_2020-02-30.parquet",
            "stocks_intraday/AAPL/2020/1/AAPL_2020-01-03.parquet",
            "stocks_intraday/AAPL/2021/01/AAPL_2020-01-03.parquet",
            "stocks_intraday/AAPL/2020/01/MSFT_2020-01-03.parquet",
            "stocks_intraday/AAPL/AAPL_2020-01-03.parquet",
            "",
        ] {
            assert_eq!(key_date(&symbol("AAPL"), key), None, "{key}");
        }
    }

    #[test]
    fn folders_are_symbols_in_upper_case_only() {
        assert_eq!(folder_symbol("BRK.B"), Some(symbol("BRK.B")));
        assert_eq!(folder_symbol("aapl"), None);
        assert_eq!(folder_symbol("not a symbol"), None);
    }
}
