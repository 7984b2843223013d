//! Market data: bars, the exchange calendar, stores of day files, decoding and cleaning, quality
//! checks, and the aligned panel.

pub mod bar;
pub mod calendar;
pub mod check;
pub mod clean;
pub mod data;
pub mod error;
pub mod load;
pub mod month;
pub mod options;
pub mod panel;
pub mod parquet;
pub(crate) mod runtime;
pub mod store;

pub use bar::{Bar, BarSeries, Period, Symbol};
pub use data::MarketData;
pub use error::MarketError;
pub use month::YearMonth;
