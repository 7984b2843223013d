//! Observations: indicators, relations between stocks, and the pipeline from bars to scaled
//! features.

pub mod columns;
pub mod indicators;
pub mod own;
pub mod peers;
pub mod pipeline;
pub mod relations;
pub mod rolling;
pub mod scaler;
pub mod stream;
mod stretch;

#[cfg(test)]
pub(crate) mod fixtures;
