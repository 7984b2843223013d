//! What the market did: bars, where they are kept, how files become bars, and the aligned panel.

pub mod bar;
pub mod calendar;
pub mod clean;
pub mod data;
pub mod error;
pub mod load;
pub mod panel;
pub mod parquet;
pub mod source;
pub mod store;
pub mod synthetic;

pub use bar::{Bar, BarSeries, Period, Symbol};
pub use data::MarketData;
pub use error::MarketError;
