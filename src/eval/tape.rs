//! The back-test of [`super::backtest`] for many accounts over the same market, as parameter search
//! needs it: the same figures to the last bit, without a record of each.
//!
//! What depends on the market only is computed once. Between two changes of the targets, rows are
//! processed in blocks: equity follows from the shares held, and only a position outside its band
//! or an account near its margin needs a step of its own.

use std::ops::Range;

use super::inference::{HeldShares, TimingScratch, TimingTable, Trial};
use super::metrics::{daily_metrics, days_per_year, returns_between};
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::market::MarketData;
use crate::market::calendar::market_date;
use crate::strategy::Targets;

/// Maximum rows per block, chosen to fit the first-level cache.
const BLOCK: usize = 512;

/// Market data laid out for back-tests.
pub struct MarketTape {
    rows: usize,
    stocks: Vec<Column>,
    times: TimingTable,
    /// Trading days per year.
    year: f64,
    costs: Costs,
    env: EnvConfig,
}

/// One stock, `[time]`; NaN before its first bar.
struct Column {
    open: Vec<f64>,
    close: Vec<f64>,
    tradable: Vec<bool>,
    /// Price per share including fee and slippage, if the next open equals this close.
    full_price: Vec<f64>,
}

/// Result of a back-test, equal to that of the full record to the last bit.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SearchOutcome {
    /// Last equity over first, minus 1.
    pub total_return: f64,
    /// Number of fills.
    pub trades: u64,
    /// As [`Trial::new`] has it for the full record.
    pub trial: Trial,
    /// Sharpe ratio up to each of the requested rows.
    pub before: Vec<Option<f64>>,
}

/// Buffers to be reused for the next account of the same market.
#[derive(Default)]
pub struct TapeScratch {
    equity: Vec<f64>,
    held: Vec<Vec<HeldShares>>,
    account: Vec<Position>,
    /// Net (`value`) and gross value of the positions over a block.
    value: Vec<f64>,
    gross: Vec<f64>,
    timing: TimingScratch,
}

#[derive(Clone, Copy, Default)]
struct Position {
    shares: f64,
    /// -1, 0 or 1.
    wanted: i8,
    /// Fraction of equity.
    weight: f64,
}

/// The account fell to its maintenance margin, or its figures left the range of numbers.
struct Ruined;

impl Position {
    fn is_kept(&self) -> bool {
        self.wanted == i8::from(self.shares > 0.0) - i8::from(self.shares < 0.0)
    }

    fn target(&self, equity: f64, full_price: f64) -> f64 {
        let shares = self.weight * equity.max(0.0) / full_price;
        f64::from(self.wanted) * shares
    }

    fn is_outside_band(&self, equity: f64, full_price: f64, band: f64) -> bool {
        let target = self.target(equity, full_price);
        (self.shares - target).abs() > band * target.abs()
    }

    /// Shares to trade at the next open, or 0. The same as [`super::backtest::Backtest::order`].
    fn order_shares(&self, equity: f64, full_price: f64, band: f64) -> f64 {
        let traded = !self.is_kept() || self.is_outside_band(equity, full_price, band);
        if traded { self.target(equity, full_price) - self.shares } else { 0.0 }
    }
}

impl TapeScratch {
    fn begin(&mut self, rows: usize, stocks: usize, cash: f64) {
        self.equity.clear();
        self.equity.resize(rows, 0.0);
        self.equity[0] = cash;
        self.held.resize(stocks, Vec::new());
        self.held.iter_mut().for_each(Vec::clear);
        self.account.clear();
        self.account.resize(stocks, Position::default());
        self.value.resize(BLOCK, 0.0);
        self.gross.resize(BLOCK, 0.0);
    }
}

impl MarketTape {
    /// The market's bars as columns, with the costs of `env`.
    pub fn new(data: &MarketData, env: &EnvConfig) -> MarketTape {
        let costs = Costs::new(env);
        let column = |stock: usize| {
            let bars = || (0..data.rows()).map(move |t| data.row(t).bar(stock));
            let price = |close: f64| costs.fill_price(close, 1.0);
            Column {
                open: bars().map(|bar| bar.open).collect(),
                close: bars().map(|bar| bar.close).collect(),
                tradable: bars().map(|bar| bar.tradable).collect(),
                full_price: bars()
                    .map(|bar| price(bar.close) + costs.fee(price(bar.close)))
                    .collect(),
            }
        };
        let stocks: Vec<Column> = (0..data.stocks().len()).map(column).collect();
        let or_none = |price: &f64| if price.is_nan() { 0.0 } else { *price };
        let or_none = |prices: &[f64]| prices.iter().map(or_none).collect::<Vec<f64>>();
        let prices: Vec<_> =
            stocks.iter().map(|stock| (or_none(&stock.open), or_none(&stock.close))).collect();
        let times = TimingTable::new(data.end_s(), &prices);
        let mut dates: Vec<_> = data.end_s()[1..].iter().map(|&end_s| market_date(end_s)).collect();
        dates.dedup();
        let year = days_per_year(dates.into_iter());
        MarketTape { rows: data.rows(), stocks, times, year, costs, env: env.clone() }
    }

    /// Back-tests `targets` as [`crate::runner::backtest_signals`] does, with the Sharpe ratio up
    /// to each of `starts`. None if the account was ruined: it has to be back-tested bar by bar.
    pub fn trade(
        &self,
        targets: &Targets,
        starts: &[usize],
        scratch: &mut TapeScratch,
    ) -> Option<SearchOutcome> {
        assert_eq!(targets.stocks(), self.stocks.len());
        self.follow(targets, scratch).ok()?;
        let equity = &scratch.equity;
        let sharpe = |rows: usize| {
            let ends = self.times.day_ends();
            let whole = ends.partition_point(|&end| end <= rows);
            // The last day closes with the last row, even if it is incomplete.
            let part = (whole < ends.len() && rows > 1 && ends[..whole].last() != Some(&rows))
                .then_some(rows);
            let closes = ends[..whole].iter().copied().chain(part).map(|end| equity[end - 1]);
            daily_metrics(&returns_between(equity[0], closes), self.year).sharpe
        };
        Some(SearchOutcome {
            total_return: equity[self.rows - 1] / equity[0] - 1.0,
            trades: scratch.held.iter().map(|held| held.len() as u64).sum(),
            trial: Trial {
                episode: None,
                sharpe: sharpe(self.rows),
                timing_score: self.times.score(equity, &scratch.held, &mut scratch.timing),
            },
            before: starts.iter().map(|&start| sharpe(start)).collect(),
        })
    }

    /// Fills `equity` and `held`.
    fn follow(&self, targets: &Targets, scratch: &mut TapeScratch) -> Result<(), Ruined> {
        scratch.begin(self.rows, self.stocks.len(), self.env.initial_cash);
        let mut cash = self.env.initial_cash;
        let share = 1.0 / self.stocks.len() as f64;
        let least = if self.env.long_only { 0.0 } else { -1.0 };
        let (mut changes, mut t) = (targets.changes().iter().peekable(), 0);
        while t < self.rows - 1 {
            while let Some(change) = changes.next_if(|change| change.row as usize <= t) {
                let target = change.target.max(least);
                let position = &mut scratch.account[change.stock as usize];
                position.wanted = i8::from(target > 0.0) - i8::from(target < 0.0);
                position.weight = target.abs() * share;
            }
            let next = changes.peek().map_or(self.rows, |change| change.row as usize);
            let until = next.min(self.rows - 1).min(t + BLOCK);
            if scratch.account.iter().all(Position::is_kept) {
                t += self.hold(scratch, cash, t..until)?;
            }
            if t < until {
                self.step(scratch, &mut cash, t)?;
                t += 1;
            }
        }
        Ok(())
    }

    /// Processes `rows` until the first that needs an order, and returns their number.
    fn hold(
        &self,
        scratch: &mut TapeScratch,
        cash: f64,
        rows: Range<usize>,
    ) -> Result<usize, Ruined> {
        let TapeScratch { equity, account, value, gross, .. } = scratch;
        let count = rows.len();
        let (value, gross) = (&mut value[..count], &mut gross[..count]);
        value.fill(0.0);
        gross.fill(0.0);
        let invested = || account.iter().zip(&self.stocks).filter(|(one, _)| one.shares != 0.0);
        for (position, column) in invested() {
            let closes = &column.close[rows.start + 1..=rows.end];
            for ((value, gross), close) in value.iter_mut().zip(&mut *gross).zip(closes) {
                let position_value = position.shares * close;
                *value += position_value;
                *gross += position_value.abs();
            }
        }
        let margin = self.env.maintenance_margin;
        let mut is_solvent = true;
        let after = &mut equity[rows.start + 1..=rows.end];
        for ((equity, value), gross) in after.iter_mut().zip(&*value).zip(&*gross) {
            *equity = cash + value;
            is_solvent &= (*equity > margin * gross) & (*equity < f64::INFINITY);
        }
        if !is_solvent {
            return Err(Ruined);
        }
        let band = self.env.rebalance_band;
        let mut unchanged = count;
        // An infinite band is never left.
        for (position, column) in invested().filter(|_| band < f64::INFINITY) {
            let known = equity[rows.start..rows.end].iter().zip(&column.full_price[rows.clone()]);
            let is_out =
                |(equity, price): (&f64, &f64)| position.is_outside_band(*equity, *price, band);
            if known.clone().fold(false, |any, row| any | is_out(row)) {
                unchanged = unchanged.min(known.clone().position(is_out).unwrap_or(count));
            }
        }
        Ok(unchanged)
    }

    /// Orders at the end of row `t`, filled at the next open. The same as
    /// [`super::backtest::Backtest`].
    fn step(&self, scratch: &mut TapeScratch, cash: &mut f64, t: usize) -> Result<(), Ruined> {
        let TapeScratch { equity, account, held, .. } = scratch;
        let (mut value, mut gross) = (0.0, 0.0);
        for (stock, (position, column)) in account.iter_mut().zip(&self.stocks).enumerate() {
            let mut shares = 0.0;
            // A stock without a bar so far cannot be sized.
            if !column.close[t].is_nan() {
                let band = self.env.rebalance_band;
                shares = position.order_shares(equity[t], column.full_price[t], band);
            }
            if shares != 0.0 && column.tradable[t + 1] {
                let price = self.costs.fill_price(column.open[t + 1], shares);
                *cash -= shares * price + self.costs.fee(shares.abs() * price);
                position.shares += shares;
                held[stock].push(HeldShares { from: t + 1, shares: position.shares });
            }
            if position.shares != 0.0 {
                let position_value = position.shares * column.close[t + 1];
                value += position_value;
                gross += position_value.abs();
            }
        }
        equity[t + 1] = *cash + value;
        let is_solvent = equity[t + 1] > self.env.maintenance_margin * gross;
        if is_solvent && equity[t + 1] < f64::INFINITY { Ok(()) } else { Err(Ruined) }
    }
}
