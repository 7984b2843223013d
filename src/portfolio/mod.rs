//! Allocation of strategies and capital, and arbitration of orders.

pub mod allocation;
mod cluster;
pub mod desk;
pub mod drawdown;
pub mod limits;
pub mod mandate;
pub mod meta_policy;
pub mod risk;
