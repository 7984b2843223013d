//! Trading strategies: bars up to t in, a target position per stock out.
//!
//! A [`Strategy`] receives the bars of one time after another and never sees a later one. Most
//! consider one stock at a time: they implement [`Rule`], and [`PerStock`] keeps one per stock. The
//! [`Registry`] finds them by name, with their parameters. This module does not trade: the
//! back-test computes what a decision earns.

mod arbitrage;
pub(crate) mod autoregression;
mod bars;
mod bollinger_bands;
mod cancel;
mod constant;
mod defined;
pub mod ensemble;
mod error;
mod expression;
mod indicator;
mod kind;
mod macd;
mod mean_reversion;
mod momentum;
mod names;
mod pairs;
mod parameter;
mod per_stock;
mod registry;
mod rsi;
mod signals;
mod staged;
mod targets;

pub use bars::BarsAt;
pub(crate) use bars::PanelBars;
pub use cancel::Cancel;
pub use defined::StrategyFile;
pub use error::StrategyError;
pub use kind::{ParameterConflict, StrategyKind};
pub(crate) use names::nearest;
pub use parameter::{GivenParameters, Number, Parameter, Parameters, TextParameter};
pub use per_stock::{PerStock, Rule};
pub use registry::Registry;
pub use signals::Signals;
pub(crate) use staged::Staged;
pub use staged::{Measure, Readings, SignalRule};
pub use targets::{Change, Targets};

use serde::{Deserialize, Serialize};

/// The position that a strategy wants in one stock from the next bar's open on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Position as a fraction of the stock's capital: -1 fully short, 0 flat, 1 fully long.
    pub target: f64,
    /// From 0 to 1, by a measure of each strategy's own. 0 during its warm-up.
    pub confidence: f64,
}

impl Decision {
    /// Flat, without an opinion.
    pub const NONE: Decision = Decision { target: 0.0, confidence: 0.0 };

    /// Clamps both to their ranges.
    ///
    /// # Panics
    /// If one is NaN.
    pub fn new(target: f64, confidence: f64) -> Decision {
        assert!(!target.is_nan() && !confidence.is_nan(), "a decision is made of numbers");
        // Adding zero turns -0 into 0.
        Decision { target: target.clamp(-1.0, 1.0) + 0.0, confidence: confidence.clamp(0.0, 1.0) }
    }

    /// The sign of the target: -1, 0 or 1.
    pub fn direction(&self) -> i8 {
        i8::from(self.target > 0.0) - i8::from(self.target < 0.0)
    }
}

/// Decides at the end of every bar which positions to hold. Deterministic, with constant work per
/// bar: bar by bar it decides bit-identically to a run over the whole series.
pub trait Strategy: Send {
    /// Processes the bars that have just ended. `decisions`, one per stock, hold the previous
    /// decisions (initially [`Decision::NONE`]); a strategy overwrites those that change. A stock
    /// without a bar at this time keeps its decision.
    ///
    /// Work of more than a few milliseconds must check `cancel` regularly and return its error.
    /// Between bars the caller checks it.
    fn decide(
        &mut self,
        now: &BarsAt<'_>,
        cancel: &Cancel,
        decisions: &mut [Decision],
    ) -> Result<(), StrategyError>;
}

#[cfg(test)]
mod tests;
