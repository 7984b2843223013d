//! Back-test of one account with shared cash: orders at a bar's close, fills at the next bar's
//! open.

use super::metrics::BacktestRecord;
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::env::portfolio::Portfolio;
use crate::market::Symbol;
use crate::market::data::MarketRow;
use crate::market::panel::{MarketView, PanelBar};
use crate::portfolio::risk::PositionOrder;

/// The market at one time, as an account needs it.
pub(crate) trait CurrentMarket {
    /// Bar end, UTC seconds.
    fn end_s(&self) -> i64;

    fn bar(&self, stock: usize) -> PanelBar;
}

impl CurrentMarket for MarketView<'_> {
    fn end_s(&self) -> i64 {
        MarketView::end_s(self)
    }

    fn bar(&self, stock: usize) -> PanelBar {
        MarketView::bar(self, stock)
    }
}

impl CurrentMarket for MarketRow<'_> {
    fn end_s(&self) -> i64 {
        MarketRow::end_s(self)
    }

    fn bar(&self, stock: usize) -> PanelBar {
        MarketRow::bar(self, stock)
    }
}

/// An account that is traded bar by bar, with a record of every bar.
pub struct Backtest {
    portfolio: Portfolio,
    costs: Costs,
    maintenance_margin: f64,
    rebalance_band: f64,
    /// Shares to trade at the next open, `[stock]`.
    pending: Vec<f64>,
    closes: Vec<f64>,
    peak: f64,
    /// It was closed out and trades no more.
    is_over: bool,
    record: BacktestRecord,
}

impl Backtest {
    /// Starts in cash at the close of `view`, the first entry of the record.
    pub(crate) fn start(
        stocks: &[Symbol],
        view: &impl CurrentMarket,
        config: &EnvConfig,
    ) -> Backtest {
        let mut backtest = Backtest {
            portfolio: Portfolio::new(stocks.len(), config.initial_cash),
            costs: Costs::new(config),
            maintenance_margin: config.maintenance_margin,
            rebalance_band: config.rebalance_band,
            pending: vec![0.0; stocks.len()],
            closes: vec![0.0; stocks.len()],
            peak: config.initial_cash,
            is_over: false,
            record: BacktestRecord::new(stocks.to_vec()),
        };
        backtest.mark(view);
        backtest.record(view, 0.0, 0.0, 0);
        backtest
    }

    /// Sizes the orders for the next open from what is known at the close of `view`. A position is
    /// opened, closed or reversed when its direction changes; one with an unchanged direction is
    /// resized only if it has left its rebalance band. Nothing is ordered after ruin.
    pub(crate) fn order(&mut self, view: &impl CurrentMarket, orders: &[PositionOrder]) {
        if self.is_over {
            return;
        }
        let equity = self.portfolio.equity().max(0.0);
        for (stock, order) in orders.iter().enumerate() {
            let held = self.portfolio.shares(stock);
            let bar = view.bar(stock);
            self.pending[stock] = 0.0;
            // No bar so far.
            if bar.close.is_nan() {
                continue;
            }
            // Price per share including fee and slippage, if the next open equals this close: the
            // costs are paid out of the allocated capital, too.
            let price = self.costs.fill_price(bar.close, 1.0);
            let shares = order.weight * equity / (price + self.costs.fee(price));
            let target = f64::from(order.direction) * shares;
            let kept = order.direction == self.portfolio.direction(stock);
            if !kept || (held - target).abs() > self.rebalance_band * target.abs() {
                self.pending[stock] = target - held;
            }
        }
    }

    /// Moves to the next bar: fills at its open, marks to market at its close. A stock without a
    /// bar keeps its position.
    pub(crate) fn advance(&mut self, next: &impl CurrentMarket) {
        let equity_before = self.portfolio.equity();
        let (mut traded, mut trades) = (0.0, 0);
        for stock in 0..self.pending.len() {
            let bar = next.bar(stock);
            let shares = std::mem::take(&mut self.pending[stock]);
            if shares != 0.0 && bar.tradable {
                let fill = self.portfolio.fill(stock, shares, bar.open, &self.costs);
                traded += fill.value;
                trades += 1;
            }
        }
        self.mark(next);
        let gross_value = self.portfolio.gross_value();
        if self.portfolio.close_out_if_ruined(self.maintenance_margin, &self.costs) {
            traded += gross_value;
            self.is_over = true;
        }
        let equity = self.portfolio.equity();
        let turnover = if equity_before > 0.0 { traded / equity_before } else { 0.0 };
        let reward = if equity_before > 0.0 { equity / equity_before - 1.0 } else { 0.0 };
        self.record(next, reward, turnover, trades);
    }

    /// Simple return of equity over the current bar.
    pub fn last_reward(&self) -> f64 {
        self.record.reward.last().copied().unwrap_or(0.0)
    }

    /// Equity at the close of the current bar.
    pub(crate) fn equity(&self) -> f64 {
        self.portfolio.equity()
    }

    /// -1, 0 or 1: the position in a stock at the close of the current bar.
    pub fn direction(&self, stock: usize) -> i8 {
        self.portfolio.direction(stock)
    }

    /// Shares held of a stock at the close of the current bar.
    pub(crate) fn shares(&self, stock: usize) -> f64 {
        self.portfolio.shares(stock)
    }

    /// Shares to be traded at the next open, `[stock]`.
    pub fn pending(&self) -> &[f64] {
        &self.pending
    }

    /// Forgets all bars but the present one.
    pub(super) fn forget(&mut self) {
        self.record.keep_last();
    }

    /// The account bar by bar, as far as it is not forgotten.
    pub(crate) fn so_far(&self) -> &BacktestRecord {
        &self.record
    }

    pub(crate) fn into_record(self) -> BacktestRecord {
        self.record
    }

    fn mark(&mut self, view: &impl CurrentMarket) {
        for (stock, close) in self.closes.iter_mut().enumerate() {
            *close = view.bar(stock).close;
        }
        self.portfolio.mark(&self.closes);
    }

    fn record(&mut self, view: &impl CurrentMarket, reward: f64, turnover: f64, trades: u32) {
        let equity = self.portfolio.equity();
        self.peak = self.peak.max(equity);
        let record = &mut self.record;
        record.end_s.push(view.end_s());
        record.equity.push(equity);
        record.cash.push(self.portfolio.cash());
        record.reward.push(reward);
        record.turnover.push(turnover);
        record.trades.push(trades);
        record.drawdown.push(equity / self.peak - 1.0);
        for stock in 0..self.closes.len() {
            record.hold(self.portfolio.shares(stock), &view.bar(stock));
        }
    }
}

/// Equal-weight buy-and-hold, bar by bar: the benchmark of every result.
pub(crate) struct BuyAndHold {
    backtest: Backtest,
    /// Of the initial cash, for each stock.
    share: f64,
}

impl BuyAndHold {
    /// Starts in cash at the close of `view`.
    pub(crate) fn start(
        stocks: &[Symbol],
        view: &impl CurrentMarket,
        config: &EnvConfig,
    ) -> BuyAndHold {
        // Each stock is bought for an equal share of the initial cash, even if its first bar comes
        // later, so cash is never borrowed.
        let share = config.initial_cash / stocks.len() as f64;
        let never_resized = EnvConfig { rebalance_band: f64::INFINITY, ..config.clone() };
        BuyAndHold { backtest: Backtest::start(stocks, view, &never_resized), share }
    }

    /// Moves from the close of `present` to the bar after it.
    pub(crate) fn advance(&mut self, present: &impl CurrentMarket, next: &impl CurrentMarket) {
        let weight = self.share / self.backtest.portfolio.equity();
        let order = PositionOrder { direction: 1, weight, reason: None };
        self.backtest.order(present, &vec![order; self.backtest.pending.len()]);
        self.backtest.advance(next);
    }

    /// The account so far.
    pub(crate) fn record(&self) -> &BacktestRecord {
        &self.backtest.record
    }
}

/// [`BuyAndHold`] over the same bars at the same costs. None without bars.
pub(crate) fn buy_and_hold<M: CurrentMarket>(
    stocks: &[Symbol],
    mut views: impl Iterator<Item = M>,
    config: &EnvConfig,
) -> Option<BacktestRecord> {
    let mut present = views.next()?;
    let mut held = BuyAndHold::start(stocks, &present, config);
    for next in views {
        held.advance(&present, &next);
        present = next;
    }
    Some(held.backtest.into_record())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::panel::{Panel, PanelData};

    /// Two stocks with opens equal to these closes. NaN: no bar; after the first bar the last close
    /// is carried forward.
    fn panel(closes: &[[f64; 2]]) -> (tempfile::TempDir, Panel) {
        let mut last = [f64::NAN; 2];
        let (mut prices, mut tradable) = (Vec::new(), Vec::new());
        for row in closes {
            for (last, &close) in last.iter_mut().zip(row) {
                tradable.push(!close.is_nan());
                *last = if close.is_nan() { *last } else { close };
            }
            prices.extend(last);
        }
        let data = PanelData {
            stocks: symbols(),
            feature_names: vec!["nothing".into()],
            end_s: (0..closes.len() as i64).map(|i| 1_600_000_000 + 60 * i).collect(),
            open: prices.clone(),
            high: prices.clone(),
            low: prices.clone(),
            volume: vec![1.0; prices.len()],
            features: vec![0.0; prices.len()],
            close: prices,
            tradable,
            note: String::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("panel.arrow");
        Panel::write(&path, &data).unwrap();
        (folder, Panel::open(&path).unwrap())
    }

    fn symbols() -> Vec<Symbol> {
        ["A", "B"].map(|symbol| symbol.parse().unwrap()).to_vec()
    }

    fn free() -> EnvConfig {
        EnvConfig { fee_bps: 0.0, slippage_bps: 0.0, initial_cash: 1_000.0, ..EnvConfig::default() }
    }

    fn assert_balanced(record: &BacktestRecord) {
        for (t, &equity) in record.equity.iter().enumerate() {
            let held = (0..2).map(|i| record.position[2 * t + i] * record.price[2 * t + i]);
            assert!((record.cash[t] + held.sum::<f64>() - equity).abs() < 1e-9, "row {t}");
        }
    }

    /// 500 of A, bought at 100, doubles before B has its first bar and is bought for the other 500.
    #[test]
    fn the_benchmark_buys_a_stock_that_comes_late_without_borrowing() {
        let none = f64::NAN;
        let rows = [[100.0, none], [100.0, none], [200.0, none], [200.0, 50.0], [200.0, 50.0]];
        let (_folder, panel) = panel(&rows);
        let views = (0..rows.len()).map(|t| panel.view(t));
        let record = buy_and_hold(&symbols(), views, &free()).unwrap();
        assert_eq!(record.cash, [1_000.0, 500.0, 500.0, 500.0, 0.0]);
        assert_eq!(record.position[8..], [5.0, 10.0]);
        assert_eq!(record.equity, [1_000.0, 1_000.0, 1_500.0, 1_500.0, 1_500.0]);
        assert_balanced(&record);
    }

    /// Short at 100 with all of it; one bar at ten times the price, and back.
    #[test]
    fn a_ruined_account_loses_what_it_has_and_trades_no_more() {
        let rows = [[100.0, 10.0], [100.0, 10.0], [1_000.0, 10.0], [100.0, 10.0], [90.0, 10.0]];
        let (_folder, panel) = panel(&rows);
        let mut backtest = Backtest::start(&symbols(), &panel.view(0), &free());
        let order = |direction| PositionOrder { direction, weight: 1.0, reason: None };
        for t in 0..4 {
            backtest.order(&panel.view(t), &[order(-1), order(0)]);
            backtest.advance(&panel.view(t + 1));
        }
        let record = backtest.into_record();
        assert_eq!(record.equity, [1_000.0, 1_000.0, 0.0, 0.0, 0.0]);
        assert_eq!(record.reward, [0.0, 0.0, -1.0, 0.0, 0.0]);
        assert_eq!(record.drawdown[4], -1.0);
        assert_balanced(&record);
    }

    /// As in training: ordered at a row without a bar, filled at the next bar.
    #[test]
    fn an_order_given_in_a_gap_is_filled_at_the_next_bar() {
        let rows = [[100.0, 10.0], [f64::NAN, 10.0], [100.0, 10.0], [f64::NAN, 10.0]];
        let (_folder, panel) = panel(&rows);
        let mut backtest = Backtest::start(&symbols(), &panel.view(0), &free());
        let order = |direction| PositionOrder { direction, weight: 0.5, reason: None };
        for t in 0..3 {
            // A is wanted from row 1, where it has no bar, and dropped at row 2, whose next bar is
            // missing.
            let wanted = order(i8::from(t == 1));
            backtest.order(&panel.view(t), &[wanted, order(0)]);
            backtest.advance(&panel.view(t + 1));
        }
        let record = backtest.into_record();
        let held: Vec<f64> = record.position.iter().step_by(2).copied().collect();
        assert_eq!(held, [0.0, 0.0, 5.0, 5.0]);
        assert_eq!(record.trades, [0, 0, 1, 0]);
        assert_balanced(&record);
    }
}
