//! The hypothetical account of an expert that trades a stock alone. Pure functions.

use serde::{Deserialize, Serialize};

use crate::market::panel::PanelBar;

/// Constant notional: profits are not reinvested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConstantNotional {
    /// From -1 to 1: position over the last bar, as a fraction of the notional.
    held: f64,
    /// Desired position from the next open on.
    wanted: f64,
    /// Profit less charges since the last settlement, as a fraction of the notional.
    score: f64,
}

impl ConstantNotional {
    /// Closes a bar: the desired position was filled at its open if the bar is tradable.
    /// `last_close` is that of the previous bar; `cost` is that of trading the notional once. Returns
    /// the profit over the bar, as a fraction of the notional.
    pub(crate) fn close(&mut self, last_close: f64, bar: &PanelBar, cost: f64) -> f64 {
        let before = self.held;
        if bar.tradable {
            self.held = self.wanted;
        }
        if last_close.is_nan() || before == 0.0 && self.held == 0.0 {
            return 0.0;
        }
        let until_open = before * (bar.open / last_close - 1.0);
        let after_open = self.held * (bar.close - bar.open) / last_close;
        let paid = (self.held - before).abs() * cost;
        let profit = until_open + after_open - paid;
        self.score += profit;
        profit
    }

    /// The desired position from the next open on.
    pub(crate) fn wanted(&self) -> f64 {
        self.wanted
    }

    /// Sets the desired position from the next open on.
    pub(crate) fn want(&mut self, position: f64) {
        self.wanted = position;
    }

    /// Charges `price` per unit of the squared position over the last bar.
    pub(crate) fn charge_risk(&mut self, price: f64) {
        self.score -= price * self.held * self.held;
    }

    /// Ends a period and returns its score: profit less the charges.
    pub(crate) fn settle(&mut self) -> f64 {
        std::mem::take(&mut self.score)
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
    /// minus 0.1 %. Then half short: the gap to 104.03 still earns 1 %, the move to 105.06 loses
    /// 0.5 %, and one and a half units are traded; a charge of 8 bps per unit costs 2.
    #[test]
    fn a_turn_by_hand() {
        let mut account = ConstantNotional::default();
        account.want(1.0);
        account.close(100.0, &bar(102.0, 103.0), 1e-3);
        assert!((account.settle() - 0.009).abs() < 1e-12);
        account.want(-0.5);
        account.close(103.0, &bar(104.03, 105.06), 1e-3);
        account.charge_risk(8e-4);
        assert!((account.settle() - (0.01 - 0.005 - 0.0015 - 0.0002)).abs() < 1e-12);
        assert_eq!(account.settle(), 0.0);
    }

    #[test]
    fn what_cannot_be_traded_stays_as_it_is() {
        let mut account = ConstantNotional::default();
        account.want(1.0);
        account.close(100.0, &PanelBar { tradable: false, ..bar(100.0, 100.0) }, 1e-3);
        assert_eq!((account.held, account.settle()), (0.0, 0.0));
        account.close(f64::NAN, &bar(100.0, 101.0), 1e-3);
        assert_eq!(account.settle(), 0.0, "nothing is known before the first close");
    }
}
