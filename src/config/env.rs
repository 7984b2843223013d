//! Settings of an account: costs, positions and cash.

use serde::{Deserialize, Serialize};

use crate::interface::ActionSet;

/// Section `[env]`: costs, position sizes and initial cash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvConfig {
    /// Fee per trade, basis points of the traded value.
    pub fee_bps: f64,
    /// Distance of a fill from the open, against the trader, basis points.
    pub slippage_bps: f64,
    /// Positions that the DQN may hold, as fractions of a stock's capital: ascending, with 0.
    pub positions: Vec<f32>,
    /// No short positions.
    pub long_only: bool,
    /// Cash at the start of an evaluation, in the currency of the prices.
    pub initial_cash: f64,
    /// A position that is kept is resized when its weight has drifted by more than this fraction
    /// from what it should be, as that of a short position does when the price rises.
    pub rebalance_band: f64,
    /// An account whose equity falls to this fraction of its positions' value is closed out: ruin.
    pub maintenance_margin: f64,
}

impl EnvConfig {
    /// The positions that the DQN may hold, those below 0 left out where none may be.
    pub fn action_set(&self) -> ActionSet {
        ActionSet::new(&self.positions, self.long_only)
    }
}

impl Default for EnvConfig {
    fn default() -> EnvConfig {
        EnvConfig {
            fee_bps: 1.0,
            slippage_bps: 1.0,
            positions: vec![-1.0, 0.0, 1.0],
            long_only: false,
            initial_cash: 1_000_000.0,
            rebalance_band: 0.25,
            maintenance_margin: 0.05,
        }
    }
}
