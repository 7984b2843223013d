//! Simulated trading: accounts, costs, the environment.

pub mod costs;
pub(crate) mod portfolio;
pub(crate) mod trading_env;

pub use portfolio::Portfolio;
pub use trading_env::{EnvStep, TradingEnv};
