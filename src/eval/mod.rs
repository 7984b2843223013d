//! Back-tests over an evaluation period, performance metrics and statistical inference.

pub(crate) mod account;
pub(crate) mod attribution;
pub mod backtest;
pub(crate) mod comparison;
pub mod contributions;
#[cfg(test)]
mod desk_promises;
pub(crate) mod drawdowns;
pub mod inference;
pub mod metrics;
pub(crate) mod months;
pub mod oracle;
pub mod paired;
pub mod parts;
pub(crate) mod rules;
#[cfg(test)]
mod rules_combined;
pub mod tape;
pub(crate) mod trades;
