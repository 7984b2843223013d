//! Allocation of strategies and capital, and arbitration of orders.

pub mod allocation;
pub mod desk;
pub mod meta_policy;
pub mod risk;
