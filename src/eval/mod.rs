//! Back-tests over an evaluation period, performance metrics and statistical inference.

pub mod account;
pub mod attribution;
pub mod backtest;
pub mod everyone;
pub mod inference;
pub mod metrics;
pub mod oracle;
pub mod rules;
pub mod tape;
#[cfg(test)]
mod together;
pub mod trades;
