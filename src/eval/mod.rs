//! Back-tests over an evaluation period, performance metrics and statistical inference.

pub mod account;
pub mod attribution;
pub mod backtest;
pub mod comparison;
pub mod inference;
pub mod metrics;
pub mod oracle;
pub mod rules;
#[cfg(test)]
mod rules_combined;
pub mod tape;
pub mod trades;
