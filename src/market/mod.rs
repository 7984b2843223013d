//! What the market did: bars, where they are kept, how files become bars, and the aligned panel.

pub mod alpha_vantage;
pub mod bar;
pub mod calendar;
pub mod check;
pub mod clean;
pub mod data;
pub mod error;
pub mod ingest;
pub mod load;
pub mod month;
pub mod panel;
pub mod parquet;
mod runtime;
pub mod source;
pub mod store;
pub mod synthetic;

pub use bar::{Bar, BarSeries, Period, Symbol};
pub use data::MarketData;
pub use error::MarketError;
pub use month::YearMonth;
