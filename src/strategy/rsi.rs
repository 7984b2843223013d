//! Buys what has fallen too fast and sells what has risen too fast.

use super::{Measure, Parameter, Parameters, SignalRule, StrategyKind};
use crate::features::indicators::Rsi;
use crate::market::Bar;

#[derive(Clone, Debug)]
struct RsiIndex(Rsi);

/// Long once the RSI is below `oversold`, short once it is above `overbought`; in between the
/// position is kept. Wilder (1978). Confidence is the RSI's distance from 50, over 50.
#[derive(Clone, Debug)]
struct Thresholds {
    overbought: f64,
    oversold: f64,
    target: f64,
}

pub(crate) fn kind() -> StrategyKind {
    let parameters = vec![
        Parameter::whole("period", 14, 2..=100_000, "bars", "window of the index"),
        Parameter::real("overbought", 70.0, 0.0..=100.0, "points", "short above it"),
        Parameter::real("oversold", 30.0, 0.0..=100.0, "points", "long below it"),
    ];
    let description = "long once the relative strength index is oversold, short once overbought";
    StrategyKind::staged("RSI", description, parameters, &["period"], index, thresholds)
        .with_aliases(&["relative strength", "relative strength index"])
        .check(|parameters| {
            let ordered = parameters.real("oversold") < parameters.real("overbought");
            if ordered {
                Ok(())
            } else {
                Err(("oversold".into(), "must be below overbought".into()))
            }
        })
}

fn index(parameters: &Parameters) -> RsiIndex {
    RsiIndex(Rsi::new(parameters.whole("period")))
}

fn thresholds(parameters: &Parameters) -> Thresholds {
    Thresholds {
        overbought: parameters.real("overbought"),
        oversold: parameters.real("oversold"),
        target: 0.0,
    }
}

impl Measure for RsiIndex {
    type Reading = f64;

    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.0.update(bar.close)
    }
}

impl SignalRule<f64> for Thresholds {
    fn target(&mut self, index: f64) -> f64 {
        if index < self.oversold {
            self.target = 1.0;
        } else if index > self.overbought {
            self.target = -1.0;
        }
        self.target
    }

    fn confidence(&self, index: f64) -> f64 {
        (index - 50.0).abs() / 50.0
    }
}
