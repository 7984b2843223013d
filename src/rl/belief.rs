//! How far learned values are believed, and what is believed besides.

use serde::{Deserialize, Serialize};

/// What a run concluded from its validation days: values are
/// `share * learned + (1 - share) * prior`, where the prior is the value of a position to an
/// account that knows the stocks' drift and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// From 0 (the drift alone) to 1 (the network alone).
    pub share: f32,
    /// `[stock]`: expected return per bar, in units of the stock's `return_std`.
    pub drift: Vec<f32>,
}

impl Belief {
    /// In the network alone.
    pub fn in_network(stocks: usize) -> Belief {
        Belief { share: 1.0, drift: vec![0.0; stocks] }
    }

    /// In a stock's values, with `gamma` the discount per bar.
    pub fn of(&self, stock: usize, gamma: f64) -> StockBelief {
        StockBelief { share: self.share, drift: self.drift[stock], gamma: gamma as f32 }
    }
}

/// [`Belief`] in the values of one stock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StockBelief {
    /// From 0 (the drift alone) to 1 (the network alone).
    pub share: f32,
    /// Expected return per bar, in units of the stock's `return_std`.
    pub drift: f32,
    /// Discount per bar.
    pub gamma: f32,
}

impl StockBelief {
    /// The learned values as they are.
    pub const IN_NETWORK: StockBelief = StockBelief { share: 1.0, drift: 0.0, gamma: 0.0 };

    /// Value of a position over holding nothing, in units of the stock's `return_std`, if nothing but
    /// the drift is known. `cost` is that of trading the whole account once, `risk` what a whole
    /// position is charged per bar. The best policy then holds on for ever, which is worth what a
    /// bar brings over (1 - gamma); but two positions never differ by more than that of one bar and
    /// the cost of changing later.
    pub fn prior(&self, position: f32, cost: f32, risk: f32) -> f32 {
        let bar = self.drift * position - risk * position * position;
        let limit = bar.abs() + self.gamma * cost * position.abs();
        (bar / (1.0 - self.gamma)).clamp(-limit, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A position is entered from cash if its value exceeds the cost: with gamma 0.9 if the drift
    /// exceeds a tenth of the cost.
    #[test]
    fn a_drift_is_held_if_it_pays_for_the_trade() {
        let prior = |drift| StockBelief { share: 0.0, drift, gamma: 0.9 }.prior(1.0, 0.5, 0.0);
        assert!((prior(0.06) - (0.06 + 0.45)).abs() < 1e-6, "more than the cost of 0.5");
        assert!((prior(0.04) - 0.4).abs() < 1e-6, "less");
        assert!((prior(-0.06) + 0.51).abs() < 1e-6);
        assert_eq!(prior(0.0), 0.0);
    }

    /// A drift of 0.06 and a charge of 0.04 for a whole position: half of one brings 0.03 - 0.01,
    /// which is the most; a whole one as much, for twice the cost.
    #[test]
    fn aversion_to_risk_prefers_a_part_of_a_position() {
        let belief = StockBelief { share: 0.0, drift: 0.06, gamma: 0.9 };
        let prior = |position| belief.prior(position, 0.5, 0.04);
        assert!((prior(0.5) - 0.2).abs() < 1e-6 && (prior(1.0) - 0.2).abs() < 1e-6);
        assert!((prior(0.75) - 0.225).abs() < 1e-6 && prior(-0.5) < 0.0);
    }
}
