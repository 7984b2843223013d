//! Bets that a price far from its recent mean reverts to it.

use super::bollinger_bands::rareness;
use super::kind::ParameterConflict;
use super::{Decision, Measure, Parameter, Parameters, SignalRule, StrategyKind};
use crate::features::rolling::{Moments, Window};
use crate::market::Bar;

/// A standard deviation of log prices up to this is rounding error.
const LEAST_STD: f64 = 1e-9;

/// The z-score of the log close over the window.
#[derive(Clone, Debug)]
struct ZScore(Window<Moments>);

/// Long once the z-score is below -`threshold`, short once it is above `threshold`, flat again once
/// its magnitude is at most `exit_threshold`.
#[derive(Clone, Debug)]
pub(super) struct EntryExitRule {
    enter: f64,
    exit: f64,
    target: f64,
}

pub(crate) fn kind() -> StrategyKind {
    let mut parameters =
        vec![Parameter::whole("period", 20, 2..=100_000, "bars", "window of the z-score")];
    parameters.extend(EntryExitRule::parameters());
    let description =
        "long when the close is far below its mean, short when far above, until it is back";
    StrategyKind::staged(
        "Mean Reversion",
        description,
        parameters,
        &["period"],
        z_score,
        EntryExitRule::new,
    )
    .with_aliases(&["reversion", "mr"])
    .check(EntryExitRule::check)
}

fn z_score(parameters: &Parameters) -> ZScore {
    ZScore(Window::new(parameters.whole("period")))
}

impl Measure for ZScore {
    type Reading = f64;

    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let log = bar.close.ln();
        self.0.update(log).map(|moments| moments.z_score(log, LEAST_STD))
    }
}

impl EntryExitRule {
    pub(crate) fn parameters() -> [Parameter; 2] {
        let unit = "standard deviations";
        [
            Parameter::real("threshold", 2.0, 0.1..=10.0, unit, "entry beyond this z-score"),
            Parameter::real("exit_threshold", 0.5, 0.0..=10.0, unit, "exit within this z-score"),
        ]
    }

    pub(crate) fn check(parameters: &Parameters) -> Result<(), ParameterConflict> {
        let ordered = parameters.real("exit_threshold") < parameters.real("threshold");
        if ordered {
            Ok(())
        } else {
            Err(("exit_threshold".into(), "must be below threshold".into()))
        }
    }

    pub(crate) fn new(parameters: &Parameters) -> EntryExitRule {
        let (enter, exit) = (parameters.real("threshold"), parameters.real("exit_threshold"));
        EntryExitRule { enter, exit, target: 0.0 }
    }

    pub(crate) fn against(&mut self, z: f64) -> Decision {
        Decision::new(self.target(z), self.confidence(z))
    }
}

impl SignalRule<f64> for EntryExitRule {
    fn target(&mut self, z: f64) -> f64 {
        if z.abs() > self.enter {
            self.target = -z.signum();
        } else if z * self.target >= -self.exit && self.target != 0.0 {
            // Within the exit threshold, or beyond the mean after a jump.
            self.target = 0.0;
        }
        self.target
    }

    fn confidence(&self, z: f64) -> f64 {
        rareness(z)
    }
}
