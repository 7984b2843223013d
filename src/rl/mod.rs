//! Deep Q-learning: replay, network, targets, optimizer.

pub mod agent;
pub mod belief;
pub mod device;
pub mod engine;
pub mod engines;
pub mod libtorch;
mod native;
pub mod network;
pub mod networks;
pub mod optimizer;
pub mod parameters;
pub(crate) mod permuted;
mod pickle;
pub(crate) mod policy;
pub mod replay;
pub mod rng;
pub(crate) mod schedule;
pub mod shared_values;
pub(crate) mod state_dict;
pub(crate) mod sum_tree;
pub mod td;
