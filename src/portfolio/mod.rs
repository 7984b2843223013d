//! Allocation of strategies and capital, and arbitration of orders.

mod cluster;
pub mod desk;
mod drawdown;
pub mod limits;
pub mod meta_policy;
pub mod risk;
