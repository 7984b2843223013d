//! Settings of what happens around the loop: evaluations, checkpoints, and watching over ranks.

use serde::{Deserialize, Serialize};

/// Section `[checkpoint]`: how often a run is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Seconds between checkpoints; inf: only when the run is told to stop.
    pub every_s: f64,
    /// Whole checkpoints that are kept.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> CheckpointConfig {
        CheckpointConfig { every_s: 300.0, keep: 3 }
    }
}

/// Section `[evaluation]`: how often the policy is tried on the evaluation period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Evaluate after every so many episodes; after the last one always.
    pub every_episodes: u32,
}

impl Default for EvaluationConfig {
    fn default() -> EvaluationConfig {
        EvaluationConfig { every_episodes: 10 }
    }
}

/// Section `[ranks]`: when a rank of a parallel run counts as lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RanksConfig {
    /// A rank that dies, is stopped or cannot be reached any more ends the job within so many
    /// seconds; 0: it is waited for.
    pub timeout_s: f64,
    /// A rank that lives and is at one piece of work for so many seconds is taken for hung; 0:
    /// never. Reading a day of bars is such a piece, and so is making a panel.
    pub stuck_s: f64,
    /// TCP port on rank 0's machine to which the other ranks connect for that; 0: a free one.
    pub port: u16,
}

impl Default for RanksConfig {
    fn default() -> RanksConfig {
        RanksConfig { timeout_s: 10.0, stuck_s: 3_600.0, port: 0 }
    }
}
