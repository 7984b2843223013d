//! An account of cash and shares: fills, mark-to-market, margin close-out.

use serde::{Deserialize, Serialize};

use super::costs::Costs;

/// The result of one fill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fill {
    /// Positive if bought, negative if sold.
    pub(crate) shares: f64,
    /// Per share, including slippage.
    pub(crate) price: f64,
    /// |shares| * price.
    pub(crate) value: f64,
    /// Paid on top of the price.
    pub(crate) fee: f64,
}

/// Shares of one stock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Holding {
    /// Negative when short.
    shares: f64,
    /// Last marked price; NaN before the first mark.
    mark: f64,
}

impl Holding {
    fn flat(mark: f64) -> Holding {
        Holding { shares: 0.0, mark }
    }

    /// A stock that is not held has value 0, even before its first price.
    fn value(&self) -> f64 {
        if self.shares == 0.0 { 0.0 } else { self.shares * self.mark }
    }
}

/// Cash and positions in K stocks, long or short, with fractional shares, in the currency of the
/// prices.
///
/// Equity is never stored: it is computed as cash plus the sum of shares times marked price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Portfolio {
    cash: f64,
    holdings: Vec<Holding>,
}

impl Portfolio {
    pub(crate) fn new(stocks: usize, cash: f64) -> Portfolio {
        Portfolio { cash, holdings: vec![Holding::flat(f64::NAN); stocks] }
    }

    /// Resets the account to `cash` without positions.
    pub(crate) fn reset(&mut self, cash: f64) {
        self.cash = cash;
        self.holdings.fill(Holding::flat(f64::NAN));
    }

    /// Not in positions; negative if it is borrowed.
    pub fn cash(&self) -> f64 {
        self.cash
    }

    /// Shares held; negative when short.
    pub fn shares(&self, stock: usize) -> f64 {
        self.holdings[stock].shares
    }

    /// -1, 0 or 1.
    pub fn direction(&self, stock: usize) -> i8 {
        let shares = self.holdings[stock].shares;
        i8::from(shares > 0.0) - i8::from(shares < 0.0)
    }

    /// The price at which the stock is valued: that of the last [`Portfolio::mark`].
    pub(crate) fn marked_price(&self, stock: usize) -> f64 {
        self.holdings[stock].mark
    }

    /// Cash plus the value of all positions at the last marks.
    pub fn equity(&self) -> f64 {
        self.cash + self.holdings.iter().map(Holding::value).sum::<f64>()
    }

    /// Sum of the positions' absolute values at the last marks.
    pub(crate) fn gross_value(&self) -> f64 {
        self.holdings.iter().map(|holding| holding.value().abs()).sum()
    }

    /// Trades `shares_delta` shares at `open_price` with costs. Until the next mark, equity values
    /// the stock at its last one.
    ///
    /// # Panics
    /// If `shares_delta` is not finite or is 0, or the price is not positive.
    pub(crate) fn fill(
        &mut self,
        stock: usize,
        shares_delta: f64,
        open_price: f64,
        costs: &Costs,
    ) -> Fill {
        assert!(shares_delta.is_finite() && shares_delta != 0.0, "{shares_delta} shares");
        assert!(open_price.is_finite() && open_price > 0.0, "a fill at {open_price}");
        let price = costs.fill_price(open_price, shares_delta);
        let value = shares_delta.abs() * price;
        let fee = costs.fee(value);
        self.cash -= shares_delta * price + fee;
        self.holdings[stock].shares += shares_delta;
        Fill { shares: shares_delta, price, value, fee }
    }

    /// Marks every stock to its close, `[stock]`, at the end of a bar. A stock that is not held may
    /// have no price (NaN).
    pub(crate) fn mark(&mut self, closes: &[f64]) {
        assert_eq!(closes.len(), self.holdings.len());
        for (stock, (holding, &close)) in self.holdings.iter_mut().zip(closes).enumerate() {
            holding.mark = close;
            if holding.shares != 0.0 {
                assert!(close > 0.0, "stock {stock} is held and marked at {close}");
            }
        }
    }

    /// After a mark: closes all positions at the marks, with costs, if equity is at most
    /// `maintenance_margin` times the gross position value. Returns whether it did. What a gap
    /// through the margin costs beyond the account's equity is the broker's loss: no account has
    /// less than nothing.
    pub(crate) fn close_out_if_ruined(&mut self, maintenance_margin: f64, costs: &Costs) -> bool {
        let ruined = self.equity() <= maintenance_margin * self.gross_value();
        if ruined {
            for stock in 0..self.holdings.len() {
                let Holding { shares, mark } = self.holdings[stock];
                if shares != 0.0 {
                    self.fill(stock, -shares, mark, costs);
                }
            }
            self.cash = self.cash.max(0.0);
        }
        ruined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { fee_bps: 10.0, slippage_bps: 5.0 };
    const FREE: Costs = Costs { fee_bps: 0.0, slippage_bps: 0.0 };

    /// One day of a hand-kept ledger of two stocks, A and B.
    struct Day {
        /// Shares bought (+) or sold (-) at the open; 0 is no order.
        order: [f64; 2],
        open: [f64; 2],
        /// Price and fee of each fill.
        filled: [(f64, f64); 2],
        held: [f64; 2],
        close: [f64; 2],
        cash: f64,
        equity: f64,
    }

    const NONE: (f64, f64) = (0.0, 0.0);

    /// In exact decimals: fee 10 bps, slippage 5 bps, 100,000.00 of cash at the start.
    #[rustfmt::skip]
    const LEDGER: [Day; 6] = [
        // Buy 200 A at 100.05 for 20,010.00, fee 20.01; sell short 400 B at 49.975 for 19,990.00,
        // fee 19.99.
        Day { order: [200.0, -400.0], open: [100.0, 50.0],
              filled: [(100.05, 20.01), (49.975, 19.99)],
              held: [200.0, -400.0], close: [101.0, 49.5],
              cash: 99_940.0, equity: 100_340.0 },
        // A opens 11 below its close; no trade: 99,940 + 200 * 92 - 400 * 51.
        Day { order: [0.0, 0.0], open: [90.0, 50.0],
              filled: [NONE, NONE],
              held: [200.0, -400.0], close: [92.0, 51.0],
              cash: 99_940.0, equity: 97_940.0 },
        // Buy 200 more A at 92.046 for 18,409.20, fee 18.4092.
        Day { order: [200.0, 0.0], open: [92.0, 51.0],
              filled: [(92.046, 18.4092), NONE],
              held: [400.0, -400.0], close: [94.0, 50.0],
              cash: 81_512.390_8, equity: 99_112.390_8 },
        // A from 400 long to 100 short: 500 at 94.9525 for 47,476.25, fee 47.47625; cover half of B
        // at 48.024.
        Day { order: [-500.0, 200.0], open: [95.0, 48.0],
              filled: [(94.9525, 47.47625), (48.024, 9.6048)],
              held: [-100.0, -200.0], close: [96.0, 48.5],
              cash: 119_326.759_75, equity: 100_026.759_75 },
        // A opens 24 above its close.
        Day { order: [0.0, 0.0], open: [120.0, 48.0],
              filled: [NONE, NONE],
              held: [-100.0, -200.0], close: [118.0, 47.0],
              cash: 119_326.759_75, equity: 98_126.759_75 },
        // Close both: 11,805.90, fee 11.8059, and 9,404.70, fee 9.4047.
        Day { order: [100.0, 200.0], open: [118.0, 47.0],
              filled: [(118.059, 11.8059), (47.0235, 9.4047)],
              held: [0.0, 0.0], close: [119.0, 46.0],
              cash: 98_094.949_15, equity: 98_094.949_15 },
    ];

    fn same(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-8
    }

    #[test]
    fn accounts_like_a_ledger_kept_by_hand() {
        let mut portfolio = Portfolio::new(2, 100_000.0);
        for (i, day) in LEDGER.iter().enumerate() {
            for stock in 0..2 {
                if day.order[stock] != 0.0 {
                    let fill = portfolio.fill(stock, day.order[stock], day.open[stock], &COSTS);
                    let (price, fee) = day.filled[stock];
                    assert!(same(fill.price, price) && same(fill.fee, fee), "day {i}: {fill:?}");
                    assert!(same(fill.value, day.order[stock].abs() * price), "day {i}");
                }
            }
            portfolio.mark(&day.close);
            assert!(same(portfolio.cash(), day.cash), "day {i}: cash {}", portfolio.cash());
            assert!(same(portfolio.equity(), day.equity), "day {i}: equity {}", portfolio.equity());
            let mut sum = portfolio.cash();
            for stock in 0..2 {
                assert_eq!(portfolio.shares(stock), day.held[stock], "day {i}");
                sum += portfolio.shares(stock) * portfolio.marked_price(stock);
            }
            assert!(same(portfolio.equity(), sum), "day {i}");
        }
    }

    #[test]
    fn directions_are_those_of_the_shares() {
        let mut portfolio = Portfolio::new(3, 100.0);
        portfolio.fill(0, 0.25, 10.0, &FREE);
        portfolio.fill(2, -0.25, 10.0, &FREE);
        assert_eq!([0, 1, 2].map(|stock| portfolio.direction(stock)), [1, 0, -1]);
        portfolio.mark(&[10.0, f64::NAN, 10.0]);
        assert_eq!((portfolio.equity(), portfolio.gross_value()), (100.0, 5.0));
    }

    /// Short 10 at 100 with 1,000 of cash: at price p, equity is 2,000 - 10 p. With a margin of 5 %
    /// the limit is 2,000 = 10.5 p, p = 190.48.
    #[test]
    fn a_short_is_closed_out_at_its_maintenance_margin() {
        let mut portfolio = Portfolio::new(2, 1_000.0);
        portfolio.fill(1, -10.0, 100.0, &FREE);
        portfolio.mark(&[7.0, 190.0]);
        assert!(!portfolio.close_out_if_ruined(0.05, &COSTS));
        assert_eq!(portfolio.direction(1), -1);
        portfolio.mark(&[7.0, 191.0]);
        assert!(portfolio.close_out_if_ruined(0.05, &COSTS));
        assert_eq!(portfolio.direction(1), 0);
        // 10 shares bought at 191.0955, fee 1.910955.
        assert!(same(portfolio.cash(), 2_000.0 - 1_910.955 - 1.910955));
        assert_eq!(portfolio.equity(), portfolio.cash());
        assert!(!portfolio.close_out_if_ruined(0.05, &COSTS), "cash alone is not ruin");
    }

    #[test]
    fn a_debt_without_positions_is_ruin() {
        let mut portfolio = Portfolio::new(1, 1_000.0);
        portfolio.fill(0, -10.0, 100.0, &FREE);
        portfolio.fill(0, 10.0, 201.0, &FREE);
        portfolio.mark(&[201.0]);
        assert_eq!(portfolio.equity(), -10.0);
        assert!(portfolio.close_out_if_ruined(0.05, &COSTS));
        assert_eq!(portfolio.equity(), 0.0, "all is lost, and no more");
        portfolio.reset(500.0);
        assert_eq!((portfolio.cash(), portfolio.equity()), (500.0, 500.0));
    }

    #[test]
    #[should_panic(expected = "stock 0 is held and marked at NaN")]
    fn a_position_must_have_a_price() {
        let mut portfolio = Portfolio::new(1, 1_000.0);
        portfolio.fill(0, 1.0, 100.0, &FREE);
        portfolio.mark(&[f64::NAN]);
    }
}
