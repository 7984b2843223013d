//! An agent's account of whole shares and cash. It never goes into debt, and callers cannot choose
//! fill prices: an order carries the row at which it was decided, and is filled at the open of a
//! later row.

use crate::env::costs::Costs;
use crate::market::panel::MarketView;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Buy,
    Sell,
}

/// An order to buy or sell `shares`, decided at the close of row `t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ShareOrder {
    pub(crate) stock: usize,
    pub(crate) side: Side,
    pub(crate) shares: u64,
    t: usize,
}

/// The result of an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ShareFill {
    pub(crate) stock: usize,
    pub(crate) side: Side,
    /// May be fewer than ordered, limited by cash and shares.
    pub(crate) shares: u64,
    /// Per share, including slippage.
    pub(crate) price: f64,
}

/// Why an order is rejected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    NoPrice,
    NotHeld { held: u64 },
    NoCash { needed: f64, cash: f64 },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ledger {
    shares: Vec<u64>,
    cash: f64,
    costs: Costs,
}

impl ShareOrder {
    /// An order that is decided on the data of `view`.
    pub(crate) fn at(view: &MarketView<'_>, stock: usize, side: Side, shares: u64) -> ShareOrder {
        ShareOrder { stock, side, shares, t: view.t() }
    }
}

impl Ledger {
    /// # Panics
    /// If cash is negative or not finite.
    pub(crate) fn new(shares: Vec<u64>, cash: f64, costs: Costs) -> Ledger {
        assert!(cash.is_finite() && cash >= 0.0, "an account has cash, not {cash}");
        Ledger { shares, cash, costs }
    }

    pub(crate) fn shares(&self, stock: usize) -> u64 {
        self.shares[stock]
    }

    pub(crate) fn cash(&self) -> f64 {
        self.cash
    }

    /// Cash plus the value of the shares at the closes of `view`. A stock without a price has value
    /// 0.
    pub(crate) fn equity(&self, view: &MarketView<'_>) -> f64 {
        let value = |(stock, &shares): (usize, &u64)| {
            let close = view.bar(stock).close;
            if shares == 0 || close.is_nan() { 0.0 } else { shares as f64 * close }
        };
        self.cash + self.shares.iter().enumerate().map(value).sum::<f64>()
    }

    /// Expected cost (or proceeds) per share, including slippage and fee, if the next open equals
    /// the close in `view`; None before the stock's first bar.
    pub(crate) fn expected_price(
        &self,
        view: &MarketView<'_>,
        stock: usize,
        side: Side,
    ) -> Option<f64> {
        let close = view.bar(stock).close;
        (!close.is_nan()).then(|| self.per_share(side, close).1)
    }

    /// The expected account if `orders` were filled at the closes of `view`, or the reason why the
    /// last of them cannot be. The actual fills may differ.
    pub(crate) fn after(
        &self,
        view: &MarketView<'_>,
        orders: &[ShareOrder],
    ) -> Result<Ledger, Refusal> {
        let mut account = self.clone();
        for order in orders {
            let each =
                account.expected_price(view, order.stock, order.side).ok_or(Refusal::NoPrice)?;
            let held = &mut account.shares[order.stock];
            let total = order.shares as f64 * each;
            match order.side {
                Side::Sell if *held < order.shares => return Err(Refusal::NotHeld { held: *held }),
                Side::Sell => {
                    *held -= order.shares;
                    account.cash += total;
                }
                Side::Buy if total > account.cash => {
                    return Err(Refusal::NoCash { needed: total, cash: account.cash });
                }
                Side::Buy => {
                    *held += order.shares;
                    account.cash -= total;
                }
            }
        }
        Ok(account)
    }

    /// Fills the order at the open of `now`'s row, as far as cash and shares allow. None if that is
    /// nothing, or if the stock has no bar in that row.
    ///
    /// # Panics
    /// If the order was decided in this row or a later one.
    pub(crate) fn fill(&mut self, order: &ShareOrder, now: &MarketView<'_>) -> Option<ShareFill> {
        let ShareOrder { stock, side, shares, t } = *order;
        assert!(t < now.t(), "an order of row {t} cannot be filled in row {}", now.t());
        let bar = now.bar(stock);
        if !bar.tradable {
            return None;
        }
        let (price, each) = self.per_share(side, bar.open);
        let shares = match side {
            Side::Buy => shares.min(affordable(self.cash, each)),
            Side::Sell => shares.min(self.shares[stock]),
        };
        if shares == 0 {
            return None;
        }
        let total = shares as f64 * each;
        match side {
            Side::Buy => {
                self.shares[stock] += shares;
                self.cash -= total;
            }
            Side::Sell => {
                self.shares[stock] -= shares;
                self.cash += total;
            }
        }
        Some(ShareFill { stock, side, shares, price })
    }

    /// The price with slippage, and the cash flow per share with the fee, at a market price of
    /// `price`.
    fn per_share(&self, side: Side, price: f64) -> (f64, f64) {
        let sign = if side == Side::Buy { 1.0 } else { -1.0 };
        let price = self.costs.fill_price(price, sign);
        (price, price + sign * self.costs.fee(price))
    }
}

/// Whole shares at `each` that `cash` pays for, without a debt by rounding.
pub(crate) fn affordable(cash: f64, each: f64) -> u64 {
    let mut shares = (cash / each).floor().max(0.0) as u64;
    while shares > 0 && shares as f64 * each > cash {
        shares -= 1;
    }
    shares
}

/// Costs of a trade relative to its value at the open, from the cash flow `paid` (or received).
pub(crate) fn cost_of(side: Side, paid: f64, costs: &Costs) -> f64 {
    let sign = if side == Side::Buy { 1.0 } else { -1.0 };
    let per_unit = costs.fill_price(1.0, sign);
    let per_unit = per_unit + sign * costs.fee(per_unit);
    sign * (paid - paid / per_unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::bars::tests::bars;
    use crate::features::fixtures::Noise;

    const COSTS: Costs = Costs { fee_bps: 10.0, slippage_bps: 5.0 };

    /// 1,000 of cash at an open of 100: a share costs 100 * 1.0005 * 1.001 = 100.15005, so 9 are
    /// bought for 901.35045. Sold at an open of 110 they yield 110 * 0.9995 * 0.999 = 109.835055
    /// each.
    #[test]
    fn a_round_trip_by_hand() {
        let bars = bars(&[[100.0, 50.0], [110.0, 50.0], [120.0, 50.0]]);
        let mut ledger = Ledger::new(vec![0, 0], 1_000.0, COSTS);
        // Row 1 opens at 100, row 2 at 110.
        let order = ShareOrder::at(&bars.view(0), 0, Side::Buy, 20);
        let bought = ledger.fill(&order, &bars.view(1)).unwrap();
        assert_eq!((bought.shares, bought.price), (9, 100.0 * 1.0005));
        assert!((ledger.cash() - 98.649_55).abs() < 1e-9, "{}", ledger.cash());
        assert!((ledger.equity(&bars.view(1)) - 98.649_55 - 990.0).abs() < 1e-9);
        // Costs: 9 * (100.15005 - 100).
        let cost = cost_of(Side::Buy, 901.350_45, &COSTS);
        assert!((cost - 1.350_45).abs() < 1e-9, "{cost}");
        let order = ShareOrder::at(&bars.view(1), 0, Side::Sell, 100);
        let sold = ledger.fill(&order, &bars.view(2)).unwrap();
        assert_eq!((sold.shares, ledger.shares(0)), (9, 0));
        assert!((ledger.cash() - 98.649_55 - 988.515_495).abs() < 1e-9, "{}", ledger.cash());
        let cost = cost_of(Side::Sell, 988.515_495, &COSTS);
        assert!((cost - 9.0 * (110.0 - 109.835_055)).abs() < 1e-9, "{cost}");
    }

    #[test]
    fn impossible_orders_are_rejected_in_advance() {
        let bars = bars(&[[100.0, f64::NAN], [100.0, f64::NAN]]);
        let (view, ledger) = (bars.view(0), Ledger::new(vec![3, 0], 250.0, COSTS));
        let buy = |stock, shares| ShareOrder::at(&view, stock, Side::Buy, shares);
        let sell = |shares| ShareOrder::at(&view, 0, Side::Sell, shares);
        assert!(ledger.after(&view, &[buy(0, 2)]).unwrap().cash() < 50.0);
        let refused = ledger.after(&view, &[buy(0, 2), buy(0, 1)]).unwrap_err();
        assert!(matches!(refused, Refusal::NoCash { cash, .. } if cash < 50.0), "{refused:?}");
        assert_eq!(ledger.after(&view, &[sell(2), sell(2)]), Err(Refusal::NotHeld { held: 1 }));
        assert_eq!(ledger.after(&view, &[buy(1, 1)]), Err(Refusal::NoPrice));
        // The proceeds of a sell order can be spent.
        assert_eq!(ledger.after(&view, &[sell(3), buy(0, 5)]).unwrap().shares(0), 5);
    }

    #[test]
    #[should_panic(expected = "cannot be filled in row 1")]
    fn no_order_is_filled_at_a_price_it_may_have_seen() {
        let bars = bars(&[[100.0, 50.0], [110.0, 50.0]]);
        let order = ShareOrder::at(&bars.view(1), 0, Side::Buy, 1);
        Ledger::new(vec![0, 0], 1_000.0, COSTS).fill(&order, &bars.view(1));
    }

    fn prices(noise: &mut Noise, rows: usize) -> Vec<[f64; 2]> {
        let mut now = [100.0, 50.0];
        let mut row = |_| {
            now = now.map(|price: f64| (price * (0.05 * noise.normal()).exp()).clamp(0.01, 1e5));
            now
        };
        (0..rows).map(&mut row).collect()
    }

    /// For random orders: there is no debt, fills are at the row's open, and the account up to a
    /// row does not depend on later bars.
    #[test]
    fn no_trade_uses_the_future_or_cash_that_is_not_there() {
        let mut noise = Noise::new(5);
        for case in 0..60 {
            let rows = 30;
            let closes = prices(&mut noise, rows);
            let mut other = closes.clone();
            let cut = 1 + case % (rows - 2);
            for row in &mut other[cut + 1..] {
                *row = row.map(|price| 7.0 * price);
            }
            let draws: Vec<f64> = (0..rows * 8).map(|_| noise.normal()).collect();
            let (accounts, other_accounts) = (run(&closes, &draws), run(&other, &draws));
            for t in 1..=cut {
                assert_eq!(accounts[t - 1], other_accounts[t - 1], "case {case}, row {t}");
            }
        }
    }

    /// Shares and cash after each row of random orders.
    fn run(closes: &[[f64; 2]], draws: &[f64]) -> Vec<(u64, u64, u64)> {
        let bars = bars(closes);
        let mut ledger = Ledger::new(vec![0, 0], 1_000.0, COSTS);
        let mut accounts = Vec::new();
        for t in 1..closes.len() {
            for draw in draws[t * 8..(t + 1) * 8].chunks(2) {
                let side = if draw[0] > 0.0 { Side::Buy } else { Side::Sell };
                let stock = usize::from(draw[1] > 0.0);
                let shares = (draw[0] * draw[1] * 40.0).abs() as u64;
                let before = ledger.clone();
                let order = ShareOrder::at(&bars.view(t - 1), stock, side, shares);
                if let Some(fill) = ledger.fill(&order, &bars.view(t)) {
                    assert!(fill.shares <= shares && fill.side == side);
                    let sign = if side == Side::Buy { 1.0 } else { -1.0 };
                    // The open of a row is the close of the row before.
                    let open = closes[t - 1][stock];
                    let expected = open * (1.0 + sign * 5e-4) * (1.0 + sign * 1e-3);
                    let each = sign * (before.cash() - ledger.cash()) / fill.shares as f64;
                    assert!((each / expected - 1.0).abs() < 1e-6, "{each} for {expected}");
                }
                assert!(ledger.cash() >= 0.0);
            }
            accounts.push((ledger.shares(0), ledger.shares(1), ledger.cash().to_bits()));
        }
        accounts
    }
}
