//! Follows the trend shown by two moving averages.

use super::{Decision, Parameter, Parameters, Rule, StrategyKind};
use crate::features::indicators::Macd;
use crate::market::Bar;

/// Long while the MACD is above its signal line, short while it is below. Appel (1979). Confidence
/// is their distance over the sum of their magnitudes.
#[derive(Clone, Debug)]
struct MacdRule(Macd);

pub(crate) fn kind() -> StrategyKind {
    let parameters = vec![
        Parameter::whole("fast_period", 12, 2..=100_000, "bars", "span of the fast average"),
        Parameter::whole("slow_period", 26, 2..=100_000, "bars", "span of the slow average"),
        Parameter::whole("signal_period", 9, 1..=100_000, "bars", "span of the signal line"),
    ];
    let description = "long while the MACD line is above its signal line, short while it is below";
    StrategyKind::per_stock("MACD", description, parameters, rule)
        .with_aliases(&["moving average convergence divergence"])
        .check(|parameters| {
            let ordered = parameters.whole("fast_period") < parameters.whole("slow_period");
            if ordered {
                Ok(())
            } else {
                Err(("fast_period".into(), "must be below slow_period".into()))
            }
        })
}

fn rule(parameters: &Parameters) -> MacdRule {
    let [fast, slow, signal] =
        ["fast_period", "slow_period", "signal_period"].map(|name| parameters.whole(name));
    MacdRule(Macd::new(fast, slow, signal))
}

impl Rule for MacdRule {
    fn update(&mut self, bar: &Bar) -> Decision {
        let Some(value) = self.0.update(bar.close) else { return Decision::NONE };
        let magnitude = value.macd.abs() + value.signal.abs();
        if value.histogram == 0.0 || magnitude == 0.0 {
            return Decision::NONE;
        }
        Decision::new(value.histogram.signum(), value.histogram.abs() / magnitude)
    }
}
