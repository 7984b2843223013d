//! Pairs trading: bets that the spread between two stocks closes.

use super::mean_reversion::EntryExitRule;
use super::{BarsAt, Cancel, Decision, Parameter, Strategy, StrategyError, StrategyKind};
use crate::features::rolling::{Moments, Window};

/// A standard deviation of the spread up to this is rounding error.
const LEAST_STD: f64 = 1e-9;

/// Pairs of consecutive stocks: the first with the second, the third with the fourth; an odd last
/// one is not traded. The spread of a pair is ln(first) - `hedge_ratio` ln(second). Its z-score
/// over the window decides as in Mean Reversion, and the second stock is held in the opposite
/// direction. Gatev, Goetzmann and Rouwenhorst (2006).
struct Pairs {
    /// One per pair.
    spreads: Vec<(Window<Moments>, EntryExitRule)>,
    hedge_ratio: f64,
}

pub(crate) fn kind() -> StrategyKind {
    let mut parameters =
        vec![Parameter::whole("period", 120, 2..=100_000, "bars", "window of the z-score")];
    parameters.extend(EntryExitRule::parameters());
    parameters.push(Parameter::real(
        "hedge_ratio",
        1.0,
        0.1..=10.0,
        "ratio",
        "value of second per first",
    ));
    let description =
        "pairs of stocks: long the cheap one, short the expensive one, until the spread closes";
    StrategyKind::new("Pairs", description, parameters, |parameters, stocks| {
        if stocks < 2 {
            return Err(StrategyError::Failed {
                strategy: "Pairs".into(),
                what: "a pair needs two stocks".into(),
                hint: "give at least two stocks".into(),
            });
        }
        let window = Window::new(parameters.whole("period"));
        let spreads = vec![(window, EntryExitRule::new(parameters)); stocks / 2];
        Ok(Box::new(Pairs { spreads, hedge_ratio: parameters.real("hedge_ratio") }))
    })
    .with_aliases(&["pair", "pairs trading", "spread"])
    .check(EntryExitRule::check)
}

impl Strategy for Pairs {
    fn decide(
        &mut self,
        now: &BarsAt<'_>,
        _cancel: &Cancel,
        decisions: &mut [Decision],
    ) -> Result<(), StrategyError> {
        // The larger of the two positions is a full one.
        let (first, second) = (1.0 / self.hedge_ratio.max(1.0), self.hedge_ratio.min(1.0));
        let pairs = now.bars().chunks_exact(2).zip(decisions.chunks_exact_mut(2));
        for ((window, gate), (bars, decisions)) in self.spreads.iter_mut().zip(pairs) {
            let [Some(one), Some(other)] = bars else { continue };
            let spread = one.close.ln() - self.hedge_ratio * other.close.ln();
            let Some(moments) = window.update(spread) else { continue };
            let Decision { target, confidence } = gate.against(moments.z_score(spread, LEAST_STD));
            decisions[0] = Decision::new(first * target, confidence);
            decisions[1] = Decision::new(-second * target, confidence);
        }
        Ok(())
    }
}
