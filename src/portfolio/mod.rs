//! Selection of strategies, capital allocation and order arbitration.

pub mod allocation;
mod cluster;
pub mod desk;
pub(crate) mod drawdown;
pub(crate) mod limits;
pub mod mandate;
pub mod meta_policy;
pub mod risk;
