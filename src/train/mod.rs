//! Training: the data set, the loops in lockstep and without, the evaluation.

pub mod asynchronous;
mod buffer;
pub mod checkpoint;
pub mod dataset;
pub mod dqn_strategy;
pub mod evaluation;
pub mod keeper;
pub mod lockstep;
pub mod model;
pub mod outset;
pub(crate) mod panel_cache;
pub mod parcel;
pub mod peer_view;
pub mod policy_check;
pub mod server;
pub mod snapshot;
pub mod watcher;
pub mod worker;

#[cfg(test)]
mod causality;
