//! Simulated trading: accounts, costs, the environment.

pub mod costs;
pub mod portfolio;
pub mod trading_env;

pub use costs::Costs;
pub use portfolio::{Fill, Portfolio};
pub use trading_env::{EnvStep, TradingEnv};
