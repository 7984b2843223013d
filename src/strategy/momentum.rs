//! What has risen goes on rising.

use super::{Decision, Kind, Parameter, Parameters, Rule};
use crate::features::indicators::{Roc, Sma};
use crate::market::Bar;

/// Long while the close is more than `threshold` per cent above that of `period` bars ago, short
/// while it is as much below, else flat. Jegadeesh and Titman (1993) across stocks; Moskowitz, Ooi
/// and Pedersen (2012) along time. Confidence is the efficiency ratio of Kaufman (1995): the change
/// over `period` bars over the sum of the bars' changes.
#[derive(Clone, Debug)]
struct MomentumRule {
    period: f64,
    threshold: f64,
    change: Roc,
    /// Of the magnitudes of one-bar changes of the close.
    steps: Sma,
    last_close: Option<f64>,
}

pub fn kind() -> Kind {
    let parameters = vec![
        Parameter::whole("period", 20, 1..=100_000, "bars", "time over which change is measured"),
        Parameter::real("threshold", 0.0, 0.0..=100.0, "%", "smaller changes are no trend"),
    ];
    let description = "long after a rise over the period, short after a fall";
    Kind::per_stock("Momentum", description, parameters, rule).also(&["mom", "trend"])
}

fn rule(parameters: &Parameters) -> MomentumRule {
    let period = parameters.whole("period");
    MomentumRule {
        period: period as f64,
        threshold: parameters.real("threshold"),
        change: Roc::new(period),
        steps: Sma::new(period),
        last_close: None,
    }
}

impl Rule for MomentumRule {
    fn update(&mut self, bar: &Bar) -> Decision {
        let step = self.last_close.replace(bar.close).map(|last| (bar.close - last).abs());
        let steps = step.and_then(|step| self.steps.update(step));
        let (Some(change), Some(step)) = (self.change.update(bar.close), steps) else {
            return Decision::NONE;
        };
        if step == 0.0 || change.abs() <= self.threshold {
            return Decision::NONE;
        }
        let moved = bar.close - bar.close / (1.0 + change / 100.0);
        Decision::new(change.signum(), moved.abs() / (step * self.period))
    }
}
