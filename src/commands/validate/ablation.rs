//! What each part of the learner is worth: the same rows without it.

use serde::Serialize;

use super::outcome::{Estimate, Outcome};

/// A part of the learner, and the settings that switch it off.
pub struct Part {
    pub name: &'static str,
    pub set: &'static [&'static str],
}

pub const PARTS: [Part; 12] = [
    Part { name: "all actions", set: &["learner.all_actions=false"] },
    Part { name: "relative values", set: &["learner.relative_values=false"] },
    Part {
        name: "all actions and relative values",
        set: &["learner.all_actions=false", "learner.relative_values=false"],
    },
    Part { name: "double", set: &["learner.double=false"] },
    Part { name: "dueling", set: &["network.dueling=false"] },
    Part { name: "n-step", set: &["learner.n_step=1"] },
    Part { name: "prioritized", set: &["learner.prioritized=false"] },
    Part { name: "LayerNorm", set: &["network.layer_norm=false"] },
    Part { name: "attention", set: &["network.attention=false"] },
    Part { name: "target network", set: &["learner.target_every=1"] },
    Part { name: "weight decay", set: &["learner.weight_decay=0"] },
    Part { name: "falling step size", set: &["learner.learning_rate_end=1"] },
];

/// What is left without a part.
#[derive(Clone, Debug, Serialize)]
pub struct Ablated {
    pub without: &'static str,
    pub settings: Vec<&'static str>,
    pub rows: Vec<AblatedRow>,
}

#[derive(Clone, Debug, Serialize)]
pub struct AblatedRow {
    pub row: &'static str,
    /// Of the oracle's reward; None where there is nothing to earn.
    pub fraction: Option<Estimate>,
    /// Trained over random turnover.
    pub turnover: f64,
}

impl Ablated {
    pub fn of(part: &Part, without: &[Outcome]) -> Ablated {
        Ablated {
            without: part.name,
            settings: part.set.to_vec(),
            rows: without.iter().map(AblatedRow::of).collect(),
        }
    }
}

impl AblatedRow {
    pub fn of(outcome: &Outcome) -> AblatedRow {
        AblatedRow {
            row: outcome.row,
            fraction: outcome.fraction,
            turnover: outcome.trained_turnover / outcome.random_turnover,
        }
    }
}
