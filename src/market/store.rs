//! Where day files live: Azure Blob Storage or a local folder, behind one trait.

use chrono::NaiveDate;

use super::bar::{Period, Symbol};
use super::error::MarketError;

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
    /// Writes whole or not at all.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), MarketError>;
}
