//! Buys what has fallen too fast and sells what has risen too fast.

use super::{Decision, Kind, Parameter, Parameters, Rule};
use crate::features::indicators::Rsi;
use crate::market::Bar;

/// Long once the index is below `oversold`, short once it is above `overbought`; in between it
/// holds what it has. Wilder (1978). Confidence is the index's distance from its middle over 50.
#[derive(Clone, Debug)]
struct RsiRule {
    index: Rsi,
    overbought: f64,
    oversold: f64,
    target: f64,
}

pub fn kind() -> Kind {
    let parameters = vec![
        Parameter::whole("period", 14, 2..=100_000, "bars", "window of the index"),
        Parameter::real("overbought", 70.0, 0.0..=100.0, "points", "short above it"),
        Parameter::real("oversold", 30.0, 0.0..=100.0, "points", "long below it"),
    ];
    let description = "long once the relative strength index is oversold, short once overbought";
    Kind::per_stock("RSI", description, parameters, rule)
        .also(&["relative strength", "relative strength index"])
        .check(|parameters| {
            let ordered = parameters.real("oversold") < parameters.real("overbought");
            if ordered {
                Ok(())
            } else {
                Err(("oversold".into(), "must be below overbought".into()))
            }
        })
}

fn rule(parameters: &Parameters) -> RsiRule {
    RsiRule {
        index: Rsi::new(parameters.whole("period")),
        overbought: parameters.real("overbought"),
        oversold: parameters.real("oversold"),
        target: 0.0,
    }
}

impl Rule for RsiRule {
    fn update(&mut self, bar: &Bar) -> Decision {
        let Some(index) = self.index.update(bar.close) else { return Decision::NONE };
        if index < self.oversold {
            self.target = 1.0;
        } else if index > self.overbought {
            self.target = -1.0;
        }
        Decision::new(self.target, (index - 50.0).abs() / 50.0)
    }
}
