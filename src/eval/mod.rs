//! What a policy is worth: the back-test over an evaluation period and its metrics.

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
