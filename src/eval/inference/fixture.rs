//! Back-test records for the tests of this module.

use chrono::{Days, NaiveDate};

use crate::eval::metrics::BacktestRecord;
use crate::market::calendar::market_time_to_utc;

/// An account that trades at opens.
pub(super) struct FixtureAccount {
    record: BacktestRecord,
    shares: Vec<f64>,
    cash: f64,
}

impl FixtureAccount {
    /// Starts with cash of 1 at the close of the bar before the first.
    pub(super) fn open(start_s: i64, close: &[f64]) -> FixtureAccount {
        let stocks = close.len();
        let record = BacktestRecord {
            stocks: (0..stocks).map(|i| format!("S{i}").parse().unwrap()).collect(),
            end_s: vec![start_s],
            equity: vec![1.0],
            cash: vec![1.0],
            reward: vec![0.0],
            turnover: vec![0.0],
            trades: vec![0],
            drawdown: vec![0.0],
            position: vec![0.0; stocks],
            price: close.to_vec(),
            open: close.to_vec(),
        };
        FixtureAccount { record, shares: vec![0.0; stocks], cash: 1.0 }
    }

    pub(super) fn equity(&self) -> f64 {
        self.record.equity[self.record.equity.len() - 1]
    }

    /// Holds `shares` from `open` to `close`, and pays `cost_bps` of the traded value plus `fee`.
    pub(super) fn bar(
        &mut self,
        end_s: i64,
        [open, close]: [&[f64]; 2],
        shares: &[f64],
        [cost_bps, fee]: [f64; 2],
    ) {
        let before = self.equity();
        self.cash -= fee;
        for (stock, (&open, &wanted)) in open.iter().zip(shares).enumerate() {
            let traded = (wanted - self.shares[stock]) * open;
            self.cash -= traded + 1e-4 * cost_bps * traded.abs();
        }
        self.shares.copy_from_slice(shares);
        let equity = self.cash + shares.iter().zip(close).map(|(s, c)| s * c).sum::<f64>();
        let record = &mut self.record;
        record.end_s.push(end_s);
        record.equity.push(equity);
        record.cash.push(self.cash);
        record.reward.push(equity / before - 1.0);
        record.turnover.push(0.0);
        record.trades.push(0);
        record.drawdown.push(0.0);
        record.position.extend(shares);
        record.price.extend(close);
        record.open.extend(open);
    }

    pub(super) fn record(self) -> BacktestRecord {
        self.record
    }
}

/// Bar ends, UTC seconds: the start, then `bars` bars on each of consecutive days, `minutes` apart,
/// the first ending `minutes` after 09:30.
pub(super) fn bar_ends(days: usize, bars: usize, minutes: usize) -> Vec<i64> {
    let first = NaiveDate::from_ymd_opt(2018, 1, 2).unwrap();
    let end = |day: usize, bar: usize| {
        let time = 570 + minutes * bar;
        let date = first + Days::new(day as u64);
        market_time_to_utc(date.and_hms_opt(time as u32 / 60, time as u32 % 60, 0).unwrap())
    };
    let all = (0..days).flat_map(|day| (1..=bars).map(move |bar| end(day, bar)));
    std::iter::once(end(0, 0)).chain(all).collect()
}

/// Without overnight gaps. `exposure` (position over equity) and `change` are `[time, stock]`; a
/// day's cost is paid in its first bar.
pub(super) fn record_of(
    bars: usize,
    exposure: &[f64],
    change: &[f64],
    cost: &[f64],
) -> BacktestRecord {
    let days = cost.len();
    let stocks = exposure.len() / (days * bars);
    let ends = bar_ends(days, bars, 1);
    let mut price = vec![50.0; stocks];
    let mut account = FixtureAccount::open(ends[0], &price);
    for (t, &end_s) in ends[1..].iter().enumerate() {
        let row = t * stocks..(t + 1) * stocks;
        let open = price.clone();
        for (price, change) in price.iter_mut().zip(&change[row.clone()]) {
            *price *= 1.0 + change;
        }
        let shares: Vec<f64> =
            exposure[row].iter().zip(&open).map(|(e, open)| e * account.equity() / open).collect();
        let fee = if t % bars == 0 { cost[t / bars] * account.equity() } else { 0.0 };
        account.bar(end_s, [&open, &price], &shares, [0.0, fee]);
    }
    account.record()
}
