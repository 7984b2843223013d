//! The hypothetical account of an expert that trades a stock alone. Pure functions.

use serde::{Deserialize, Serialize};

use crate::market::panel::PanelBar;

/// Constant notional, long, flat or short; profits are not reinvested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConstantNotional {
    /// -1, 0 or 1: position over the last bar.
    held: i8,
    /// Desired position from the next open on.
    wanted: i8,
    /// Cumulative profit as a fraction of the notional.
    wealth: f64,
    /// Maximum of `wealth`.
    peak: f64,
    /// `depth` is the drawdown at the last settlement; `profit` and `charge` have accumulated
    /// since.
    depth: f64,
    profit: f64,
    charge: f64,
}

impl ConstantNotional {
    /// Closes a bar: the desired position was filled at its open if the bar is tradable.
    /// `last_close` is that of the previous bar; `cost` is that of trading the notional once.
    pub(crate) fn close(&mut self, last_close: f64, bar: &PanelBar, cost: f64) {
        let before = self.held;
        if bar.tradable {
            self.held = self.wanted;
        }
        if last_close.is_nan() || before == 0 && self.held == 0 {
            return;
        }
        let until_open = f64::from(before) * (bar.open / last_close - 1.0);
        let after_open = f64::from(self.held) * (bar.close - bar.open) / last_close;
        let paid = f64::from((self.held - before).abs()) * cost;
        let profit = until_open + after_open - paid;
        self.profit += profit;
        self.wealth += profit;
        self.peak = self.peak.max(self.wealth);
    }

    /// Sets the desired position from the next open on.
    pub(crate) fn want(&mut self, direction: i8) {
        self.wanted = direction;
    }

    /// -1, 0 or 1: position over the last bar.
    pub(crate) fn held(&self) -> i8 {
        self.held
    }

    /// Charges a penalty to the expert, in units of profit.
    pub(crate) fn charge(&mut self, amount: f64) {
        self.charge += amount;
    }

    /// Ends a period and returns its score: profit, minus the charges, minus `aversion` times the
    /// increase of the drawdown.
    pub(crate) fn settle(&mut self, aversion: f64) -> f64 {
        let depth = self.peak - self.wealth;
        let score = self.profit - self.charge - aversion * (depth - self.depth).max(0.0);
        (self.depth, self.profit, self.charge) = (depth, 0.0, 0.0);
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(open: f64, close: f64) -> PanelBar {
        let (high, low) = (open.max(close), open.min(close));
        PanelBar { open, high, low, close, volume: 1.0, tradable: true }
    }

    /// Costs of 10 bps. Long from an open of 102, after a close of 100, to a close of 103: 1 %
    /// minus 0.1 %. Then short: the gap to 104.03 still earns 1 %, the move to 105.06 loses 1 %,
    /// and two units are traded. The account is 0.2 % below its peak.
    #[test]
    fn a_turn_by_hand() {
        let mut account = ConstantNotional::default();
        account.want(1);
        account.close(100.0, &bar(102.0, 103.0), 1e-3);
        assert!((account.settle(0.5) - 0.009).abs() < 1e-12);
        account.want(-1);
        account.close(103.0, &bar(104.03, 105.06), 1e-3);
        account.charge(0.0004);
        assert_eq!(account.held(), -1);
        assert!((account.settle(0.5) - (-0.002 - 0.0004 - 0.001)).abs() < 1e-12);
        // No further drawdown, no further charge.
        account.close(105.06, &bar(105.06, 105.06), 1e-3);
        assert_eq!(account.settle(0.5), 0.0);
    }

    #[test]
    fn what_cannot_be_traded_stays_as_it_is() {
        let mut account = ConstantNotional::default();
        account.want(1);
        account.close(100.0, &PanelBar { tradable: false, ..bar(100.0, 100.0) }, 1e-3);
        assert_eq!((account.held(), account.settle(1.0)), (0, 0.0));
        account.close(f64::NAN, &bar(100.0, 101.0), 1e-3);
        assert_eq!(account.settle(1.0), 0.0, "nothing is known before the first close");
    }
}
