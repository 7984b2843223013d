//! Costs of a trade. Pure functions.

use serde::{Deserialize, Serialize};

use crate::config::EnvConfig;

const BPS: f64 = 1e-4;

/// A fee proportional to the traded value, and slippage against the open. Borrowing shares and cash
/// is free.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Basis points of the traded value.
    pub fee_bps: f64,
    /// Distance of the fill price from the open, against the trader, basis points.
    pub slippage_bps: f64,
}

impl Costs {
    /// Fee and slippage of an account with these settings.
    pub fn new(config: &EnvConfig) -> Costs {
        Costs { fee_bps: config.fee_bps, slippage_bps: config.slippage_bps }
    }

    /// Fill price per share of a market order when the market is at `price`: above it for a buy
    /// order, below it for a sell order.
    pub fn fill_price(&self, price: f64, shares_delta: f64) -> f64 {
        price * (1.0 + shares_delta.signum() * self.slippage_bps * BPS)
    }

    /// Cost of trading the whole account once, as a fraction of its value.
    pub fn turnover_cost(&self) -> f64 {
        (self.fee_bps + self.slippage_bps) * BPS
    }

    /// The fee of a trade worth `traded_value`, which must not be negative.
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
        assert!((costs.turnover_cost() - 0.001_5).abs() < 1e-15);
    }
}
