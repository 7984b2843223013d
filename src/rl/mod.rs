//! Deep Q-learning: replay, network, targets, optimizer.

pub mod agent;
pub mod device;
pub mod engine;
pub mod engines;
pub mod libtorch;
mod native;
pub mod network;
pub mod networks;
pub mod optimizer;
pub mod parameters;
mod pickle;
pub mod policy;
pub mod replay;
pub mod rng;
pub mod schedule;
pub mod state_dict;
pub mod sum_tree;
pub mod td;
