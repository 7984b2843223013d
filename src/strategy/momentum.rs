//! Bets that a rise or a fall continues.

use super::{Measure, Parameter, Parameters, SignalRule, StrategyKind};
use crate::features::indicators::{Roc, Sma};
use crate::market::Bar;

/// The change over `period` bars, and the efficiency ratio of Kaufman (1995): the magnitude of the
/// change over the sum of the magnitudes of one-bar changes.
#[derive(Clone, Debug)]
struct Changes {
    period: f64,
    change: Roc,
    /// Mean magnitude of one-bar changes of the close.
    steps: Sma,
    last_close: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Trend {
    /// Per cent; 0 if no close in the period differed from the one before.
    change: f64,
    efficiency: f64,
}

/// Long while the close is more than `threshold` per cent above the close `period` bars ago, short
/// while it is as far below, else flat. Jegadeesh and Titman (1993) on the cross-section;
/// Moskowitz, Ooi and Pedersen (2012) on time series. Confidence is the efficiency ratio.
#[derive(Clone, Debug)]
struct TrendRule {
    threshold: f64,
}

pub(crate) fn kind() -> StrategyKind {
    let parameters = vec![
        Parameter::whole("period", 20, 1..=100_000, "bars", "lookback of the price change"),
        Parameter::real("threshold", 0.0, 0.0..=100.0, "%", "smaller changes are ignored"),
    ];
    let description = "long after a rise over the period, short after a fall";
    StrategyKind::staged("Momentum", description, parameters, &["period"], changes, follow)
        .with_aliases(&["mom", "trend"])
}

fn changes(parameters: &Parameters) -> Changes {
    let period = parameters.whole("period");
    Changes {
        period: period as f64,
        change: Roc::new(period),
        steps: Sma::new(period),
        last_close: None,
    }
}

fn follow(parameters: &Parameters) -> TrendRule {
    TrendRule { threshold: parameters.real("threshold") }
}

impl Measure for Changes {
    type Reading = Trend;

    fn update(&mut self, bar: &Bar) -> Option<Trend> {
        let step = self.last_close.replace(bar.close).map(|last| (bar.close - last).abs());
        let steps = step.and_then(|step| self.steps.update(step));
        let (Some(change), Some(step)) = (self.change.update(bar.close), steps) else {
            return None;
        };
        if step == 0.0 {
            return Some(Trend { change: 0.0, efficiency: 0.0 });
        }
        let moved = bar.close - bar.close / (1.0 + change / 100.0);
        Some(Trend { change, efficiency: moved.abs() / (step * self.period) })
    }
}

impl SignalRule<Trend> for TrendRule {
    fn target(&mut self, trend: Trend) -> f64 {
        if trend.change.abs() <= self.threshold { 0.0 } else { trend.change.signum() }
    }

    fn confidence(&self, trend: Trend) -> f64 {
        if trend.change.abs() <= self.threshold { 0.0 } else { trend.efficiency }
    }
}
