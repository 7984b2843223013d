//! Training: [`run()`] trains, [`trained::SavedRun`] trades with a model that was saved.
//!
//! ```text
//! run           a run from its settings and data to what was trained
//! setup         its parts: network, workers, server, desk
//! callbacks     what its caller is told, and may decide
//! modes         lockstep or asynchronous, with evaluations
//! lockstep      the training loop; read it first
//! asynchronous  the loop in which nobody waits
//! attempts      how the passes of a run are divided among settings to choose from
//! worker        a stock's lanes and replay
//! server        weights, and how gradients change them
//! dataset       from bars to a panel; warmup, what is read ahead
//! evaluation    the greedy policy over a period; trader, its account bar by bar
//! resume        checkpoints: keeper, checkpoint, snapshot
//! trained       a finished run on disk; model; dqn_strategy
//! ```

pub(crate) mod asynchronous;
pub mod attempts;
mod buffer;
pub mod callbacks;
pub(crate) mod checkpoint;
mod checkpoint_transfer;
pub(crate) mod checkpoint_writer;
pub(crate) mod compress;
pub mod dataset;
pub mod dqn_strategy;
pub mod evaluation;
mod expert_record;
pub mod explanation;
pub(crate) mod feature_sheet;
pub mod importance;
mod initial;
pub(crate) mod load_message;
pub(crate) mod loading;
pub(crate) mod lockstep;
pub mod model;
mod modes;
pub(crate) mod panel_cache;
pub mod peer_view;
pub(crate) mod policy_check;
mod quarters;
mod resume;
pub mod run;
mod run_data;
pub mod selection;
pub(crate) mod server;
pub mod setup;
pub mod snapshot;
pub(crate) mod trader;
pub mod trained;
pub(crate) mod warmup;
pub mod worker;

pub use run::run;

#[cfg(test)]
mod causality;
