//! Observations: indicators, relations between stocks, and the pipeline from bars to scaled
//! features.

mod bar_slice;
pub mod columns;
pub mod extra_columns;
pub mod indicators;
pub mod own_features;
pub mod peers;
pub mod pipeline;
pub mod relations;
pub(crate) mod rolling;
pub mod scaler;
pub mod session_features;
mod session_returns;
pub mod stream;

#[cfg(test)]
pub(crate) mod fixtures;
