//! Deep Q-learning: replay, network, targets, optimizer.

pub mod n_step;
pub mod network;
pub mod optimizer;
pub mod parameters;
pub mod replay;
pub mod schedule;
pub mod state_dict;
pub mod sum_tree;
pub mod td;
pub mod transition;
