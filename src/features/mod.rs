//! Observations: indicators, relations between stocks, and the pipeline from bars to scaled
//! features.

mod bar_slice;
pub(crate) mod columns;
pub(crate) mod indicators;
pub(crate) mod own_features;
pub(crate) mod peers;
pub(crate) mod pipeline;
pub mod relations;
pub(crate) mod rolling;
pub mod scaler;
pub(crate) mod stream;

#[cfg(test)]
pub(crate) mod fixtures;
