//! Where day files live: Azure Blob Storage or a local folder, behind one trait.
//!
//! ```text
//! AzureStore ─┐                       ┌─ BlobCache (remote stores only)
//!             ├─ Store ─── fetch_days ┤
//! LocalStore ─┘                       └─ DayStream: the days in order, fetched ahead of use
//! ```
//!
//! This is the seam of the Azure crates and of tokio's part in it: calls block, errors are one
//! line, and neither carries a credential.

mod azure;
mod cache;
mod connection;
mod fetch;
mod local;
pub mod origin;
mod patience;

use chrono::{Datelike, NaiveDate};
use sha2::{Digest, Sha256};

use super::bar::{Period, Symbol};
use super::error::MarketError;

pub use azure::{AzureStore, BlobDigest};
pub use cache::BlobCache;
pub use fetch::{DayStream, fetch_days};
pub use local::LocalStore;

/// The first folder of every key.
const ROOT: &str = "stocks_intraday";

/// One day of one stock, as a store lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayFile {
    /// `stocks_intraday/{symbol}/{year}/{month}/{symbol}_{date}.parquet`
    pub key: String,
    pub date: NaiveDate,
    /// Changes whenever the content does.
    pub etag: String,
    pub size_bytes: u64,
}

/// A place that holds day files. Calls block; several may run at once.
pub trait Store: Send + Sync {
    /// For messages: the folder, or account and container. Never a key.
    fn place(&self) -> String;
    /// Day files of one stock in a period, by date. Empty where there are none.
    fn list(&self, symbol: &Symbol, period: &Period) -> Result<Vec<DayFile>, MarketError>;
    /// The symbols that the store has anything of, sorted.
    fn symbols(&self) -> Result<Vec<Symbol>, MarketError>;
    fn get(&self, key: &str) -> Result<Vec<u8>, MarketError>;
    /// As [`Store::get`]; None where there is no such file.
    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError>;
    /// Writes whole or not at all.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), MarketError>;
    /// Whether a `get` is costly enough for [`fetch_days`] to keep what it fetched on disk.
    fn is_remote(&self) -> bool {
        false
    }
}

/// The key of one stock's day: `stocks_intraday/AAPL/2020/01/AAPL_2020-01-03.parquet`.
pub fn day_key(symbol: &Symbol, date: NaiveDate) -> String {
    format!("{ROOT}/{symbol}/{:04}/{:02}/{symbol}_{date}.parquet", date.year(), date.month())
}

/// The key of what is known of how a stock's files came to be.
pub fn origin_key(symbol: &Symbol) -> String {
    format!("{ROOT}/{symbol}/origin.json")
}

/// SHA-256 in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The day that `key` holds of `symbol`; None where it is not that stock's or not spelled as
/// [`day_key`] spells it. Being strict keeps two spellings of a day from counting twice.
fn key_date(symbol: &Symbol, key: &str) -> Option<NaiveDate> {
    let name = key.rsplit('/').next()?;
    let text = name.strip_prefix(symbol.as_str())?.strip_prefix('_')?.strip_suffix(".parquet")?;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (day_key(symbol, date) == key).then_some(date)
}

/// The symbol that a folder of this name holds. Symbols are upper case in keys.
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
