//! Bets on a return to the middle of the Bollinger bands.

use super::{Decision, Parameter, Parameters, Rule, StrategyKind};
use crate::features::indicators::Bollinger;
use crate::market::Bar;

/// Long once the close is below the lower band, short once it is above the upper one, flat again
/// once it is back at the middle. Bollinger (2001).
#[derive(Clone, Debug)]
struct BollingerRule {
    bands: Bollinger,
    std_dev: f64,
    target: f64,
}

pub(crate) fn kind() -> StrategyKind {
    let parameters = vec![
        Parameter::whole(
            "period",
            20,
            2..=100_000,
            "bars",
            "window of mean and standard deviation",
        ),
        Parameter::real("std_dev", 2.0, 0.1..=10.0, "standard deviations", "width of the bands"),
    ];
    let description =
        "long below the lower band, short above the upper one, until at the middle band";
    StrategyKind::per_stock("Bollinger Bands", description, parameters, rule).with_aliases(&[
        "bollinger",
        "bollinger band",
        "bbands",
        "bb",
    ])
}

fn rule(parameters: &Parameters) -> BollingerRule {
    let std_dev = parameters.real("std_dev");
    let bands = Bollinger::new(parameters.whole("period"), std_dev);
    BollingerRule { bands, std_dev, target: 0.0 }
}

impl Rule for BollingerRule {
    fn update(&mut self, bar: &Bar) -> Decision {
        let Some(bands) = self.bands.update(bar.close) else { return Decision::NONE };
        let distance = bar.close - bands.middle;
        if bar.close < bands.lower {
            self.target = 1.0;
        } else if bar.close > bands.upper {
            self.target = -1.0;
        } else if distance * self.target >= 0.0 {
            self.target = 0.0;
        }
        let half = bands.upper - bands.middle;
        let deviations = if half > 0.0 { distance / half * self.std_dev } else { 0.0 };
        Decision::new(self.target, rareness(deviations))
    }
}

/// How unlikely a value this many standard deviations to one side is, for any distribution: 1 minus
/// the bound of Cantelli (1928).
pub(super) fn rareness(deviations: f64) -> f64 {
    1.0 - 1.0 / (1.0 + deviations * deviations)
}
