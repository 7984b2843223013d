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

    /// Value of a whole position over holding nothing, in units of the stock's `return_std`, if
    /// nothing but the drift is known. `cost` is that of trading the whole account once. The best
    /// policy then holds on for ever, which is worth drift / (1 - gamma); but two positions never
    /// differ by more than one bar's return and the cost of changing later.
    pub fn prior(&self, cost: f32) -> f32 {
        let limit = self.drift.abs() + self.gamma * cost;
        (self.drift / (1.0 - self.gamma)).clamp(-limit, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A position is entered from cash if its value exceeds the cost: with gamma 0.9 if the drift
    /// exceeds a tenth of the cost.
    #[test]
    fn a_drift_is_held_if_it_pays_for_the_trade() {
        let prior = |drift| StockBelief { share: 0.0, drift, gamma: 0.9 }.prior(0.5);
        assert!((prior(0.06) - (0.06 + 0.45)).abs() < 1e-6, "more than the cost of 0.5");
        assert!((prior(0.04) - 0.4).abs() < 1e-6, "less");
        assert!((prior(-0.06) + 0.51).abs() < 1e-6);
        assert_eq!(prior(0.0), 0.0);
    }
}
