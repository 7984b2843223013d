//! What a trained network earns in each part of the data: where it learned, where it was selected,
//! and where it saw nothing.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::metrics::Metrics;

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataPart {
    /// The days that were learned from.
    Training,
    /// The days on which weights were selected.
    Validation,
    /// The days of the evaluation.
    Evaluation,
}

/// The DQN alone, without a meta-policy, and buy-and-hold in one part of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartResult {
    /// Which part.
    pub part: DataPart,
    /// Its first day.
    pub start: NaiveDate,
    /// Its last day.
    pub end: NaiveDate,
    /// After costs.
    pub dqn: Metrics,
    /// Equal parts of all stocks, bought once.
    pub benchmark: Metrics,
}
