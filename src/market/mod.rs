//! Market data: bars, the exchange calendar, stores of day files, decoding and cleaning, quality
//! checks, and the aligned panel.

pub(crate) mod bar;
pub mod calendar;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod columns;
pub(crate) mod data;
pub(crate) mod error;
pub(crate) mod judge;
pub(crate) mod load;
pub(crate) mod month;
pub(crate) mod numbers;
pub mod options;
pub mod panel;
pub mod parquet;
pub(crate) mod runtime;
pub mod store;
pub(crate) mod times;

pub use bar::{Bar, BarSeries, Period, Symbol};
pub use data::{MarketData, MarketRow};
pub use error::MarketError;
pub use month::YearMonth;
