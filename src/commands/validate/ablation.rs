//! What each part of the learner is worth: the same rows without it.

use serde::Serialize;

use super::outcome::{RowOutcome, SeedEstimate};

/// A part of the learner, and the settings that switch it off.
pub(crate) struct AblationPart {
    pub(crate) name: &'static str,
    pub(crate) set: &'static [&'static str],
}

pub(crate) const PARTS: [AblationPart; 13] = [
    AblationPart { name: "all actions", set: &["learner.all_actions=false"] },
    AblationPart { name: "relative values", set: &["learner.relative_values=false"] },
    AblationPart {
        name: "all actions and relative values",
        set: &["learner.all_actions=false", "learner.relative_values=false"],
    },
    AblationPart { name: "double", set: &["learner.double=false"] },
    AblationPart { name: "dueling", set: &["network.dueling=false"] },
    AblationPart { name: "windows", set: &["learner.window_bars=1"] },
    AblationPart { name: "prioritized", set: &["learner.prioritized=false"] },
    AblationPart { name: "LayerNorm", set: &["network.layer_norm=false"] },
    AblationPart { name: "attention", set: &["network.attention=false"] },
    AblationPart { name: "target network", set: &["learner.target_every=1"] },
    AblationPart { name: "validation days", set: &["learner.validation_share=0"] },
    AblationPart { name: "weight decay", set: &["learner.weight_decay=0"] },
    AblationPart { name: "falling step size", set: &["learner.learning_rate_end=1"] },
];

/// The network of Mnih et al. (2015) and its learning, with the step size that is best of 0.0001,
/// 0.0005 and 0.002: every switch is off. What has no switch stays: positions are valued after the
/// decision, and costs are exact.
pub(crate) const DQN_2015: [&str; 13] = [
    "learner.all_actions=false",
    "learner.relative_values=false",
    "learner.double=false",
    "learner.window_bars=1",
    "learner.lambda=0",
    "learner.prioritized=false",
    "learner.weight_decay=0",
    "learner.learning_rate=0.0005",
    "learner.learning_rate_end=1",
    "learner.validation_share=0",
    "network.dueling=false",
    "network.layer_norm=false",
    "network.attention=false",
];

/// What is left without a part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AblationResult {
    pub(crate) without: &'static str,
    pub(crate) settings: Vec<&'static str>,
    pub(crate) rows: Vec<AblatedRow>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct AblatedRow {
    pub(crate) row: &'static str,
    /// Of the oracle's reward; None where there is nothing to earn.
    pub(crate) fraction: Option<SeedEstimate>,
    /// Trained over random turnover.
    pub(crate) turnover: f64,
}

impl AblationResult {
    pub(crate) fn new(part: &AblationPart, without: &[RowOutcome]) -> AblationResult {
        AblationResult {
            without: part.name,
            settings: part.set.to_vec(),
            rows: without.iter().map(AblatedRow::from_outcome).collect(),
        }
    }
}

impl AblatedRow {
    pub(crate) fn from_outcome(outcome: &RowOutcome) -> AblatedRow {
        AblatedRow {
            row: outcome.row,
            fraction: outcome.fraction,
            turnover: outcome.trained_turnover / outcome.random_turnover,
        }
    }
}
