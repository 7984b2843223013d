//! Deep Q-learning: replay, network, targets, optimizer.

pub mod agent;
mod direct;
pub mod engine;
mod layers;
pub mod n_step;
pub mod network;
pub mod networks;
pub mod optimizer;
pub mod outcomes;
pub mod parameters;
mod pickle;
pub mod policy;
pub mod replay;
pub mod rng;
pub mod schedule;
mod shape;
pub mod state_dict;
pub mod sum_tree;
pub mod td;
pub mod transition;
