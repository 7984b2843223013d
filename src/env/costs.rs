//! What a trade costs. Pure.

use serde::{Deserialize, Serialize};

use crate::config::EnvConfig;

const BPS: f64 = 1e-4;

/// A fee in proportion to the traded value, and a fill that is worse than the open. Borrowing
/// shares and cash is free.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Basis points of the traded value.
    pub fee_bps: f64,
    /// Distance of a fill from the open, against the trader, basis points.
    pub slippage_bps: f64,
}

impl Costs {
    pub fn of(config: &EnvConfig) -> Costs {
        Costs { fee_bps: config.fee_bps, slippage_bps: config.slippage_bps }
    }

    /// Price per share of a market order that arrives when the price is `price`: above it for a
    /// purchase, below it for a sale.
    pub fn fill_price(&self, price: f64, shares_delta: f64) -> f64 {
        price * (1.0 + shares_delta.signum() * self.slippage_bps * BPS)
    }

    /// What it costs to trade all of an account once, as a fraction of it.
    pub fn of_turning_over_once(&self) -> f64 {
        (self.fee_bps + self.slippage_bps) * BPS
    }

    /// For a trade worth `traded_value`, which is not negative.
    pub fn fee(&self, traded_value: f64) -> f64 {
        traded_value * self.fee_bps * BPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_pay() {
        let costs = Costs { fee_bps: 10.0, slippage_bps: 5.0 };
        assert!((costs.fill_price(100.0, 3.0) - 100.05).abs() < 1e-12);
        assert!((costs.fill_price(100.0, -3.0) - 99.95).abs() < 1e-12);
        assert!((costs.fee(20_010.0) - 20.01).abs() < 1e-12);
        assert!((costs.of_turning_over_once() - 0.001_5).abs() < 1e-15);
    }
}
