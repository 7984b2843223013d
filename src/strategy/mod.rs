//! Trading strategies: bars up to t in, a target position per stock out.
//!
//! A [`Strategy`] takes in the bars of one time after the other and never sees a later one. Most
//! look at one stock at a time: they are a [`Rule`], of which [`PerStock`] keeps one per stock. The
//! [`Registry`] knows them by name, with their parameters. This layer trades nothing: what a
//! decision earns is the back-test's to say.

mod arbitrage;
pub mod autoregression;
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

pub use bars::{BarsAt, PanelBars};
pub use cancel::Cancel;
pub use defined::StrategyFile;
pub use error::StrategyError;
pub use kind::Kind;
pub use parameter::{Given, Number, Parameter, Parameters, TextParameter};
pub use per_stock::{PerStock, Rule};
pub use registry::Registry;
pub use signals::Signals;
pub use staged::{Gauge, Judge, Readings, Staged};
pub use targets::{Change, Targets};

use serde::{Deserialize, Serialize};

/// What a strategy wants of one stock from the next bar's open on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Position as a fraction of the capital that the stock may be traded with: -1 short with all
    /// of it, 0 flat, 1 long with all of it.
    pub target: f64,
    /// From 0 to 1; how it is measured is each strategy's own. 0 while it cannot judge yet.
    pub confidence: f64,
}

impl Decision {
    /// Hold nothing, for want of an opinion.
    pub const NONE: Decision = Decision { target: 0.0, confidence: 0.0 };

    /// Both are cut to their ranges.
    ///
    /// # Panics
    /// If one is not a number.
    pub fn new(target: f64, confidence: f64) -> Decision {
        assert!(!target.is_nan() && !confidence.is_nan(), "a decision is made of numbers");
        // Adding zero turns -0 into 0.
        Decision { target: target.clamp(-1.0, 1.0) + 0.0, confidence: confidence.clamp(0.0, 1.0) }
    }

    /// -1, 0 or 1.
    pub fn direction(&self) -> i8 {
        i8::from(self.target > 0.0) - i8::from(self.target < 0.0)
    }
}

/// Decides at the end of every bar what to hold. Deterministic, and constant work per bar: fed one
/// bar at a time it decides the same, to the last bit, as over the whole series.
pub trait Strategy: Send {
    /// Takes in the bars that have just ended. `decisions`, one per stock, come in as they were
    /// left at the time before, all [`Decision::NONE`] at first; those that change are overwritten.
    /// A stock without a bar at this time keeps what it has.
    ///
    /// Work of more than a few milliseconds looks at `cancel` every so often and ends with its
    /// error. Between bars the caller does so.
    fn decide(
        &mut self,
        now: &BarsAt<'_>,
        cancel: &Cancel,
        decisions: &mut [Decision],
    ) -> Result<(), StrategyError>;
}

#[cfg(test)]
mod tests;
