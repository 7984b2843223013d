//! Figures of an account that is followed a stretch of bars at a time, without a record of all.

use chrono::NaiveDate;

use super::{BacktestRecord, Metrics, daily_metrics, days_per_year, returns_between};
use crate::market::calendar::MarketClock;

/// What [`Metrics`] need of an account's bars so far.
#[derive(Clone, Debug)]
pub(in crate::eval) struct AccountTotals {
    /// Equity before the first bar.
    first: f64,
    last: f64,
    reward: f64,
    turnover: f64,
    trades: u64,
    /// Sum of gross exposure, and the bars with equity.
    exposure: (f64, u32),
    /// The last equity of each New York date so far.
    daily_closes: Vec<(NaiveDate, f64)>,
    clock: MarketClock,
}

impl AccountTotals {
    /// # Panics
    /// If columns differ in length, a number is not finite, or the record is empty or begins
    /// without equity.
    pub(in crate::eval) fn new(record: &BacktestRecord) -> AccountTotals {
        let first = *record.equity.first().expect("a record has at least its start");
        assert!(first > 0.0, "a record begins with equity");
        let mut totals = AccountTotals {
            first,
            last: first,
            reward: 0.0,
            turnover: 0.0,
            trades: 0,
            exposure: (0.0, 0),
            daily_closes: Vec::new(),
            clock: MarketClock::new(),
        };
        totals.add(record);
        totals
    }

    /// Adds the bars of `record` after its first, which is the last that was added before.
    ///
    /// # Panics
    /// If columns differ in length or a number is not finite.
    pub(in crate::eval) fn add(&mut self, record: &BacktestRecord) {
        record.assert_consistent();
        for t in 1..record.end_s.len() {
            self.reward += record.reward[t];
            self.turnover += record.turnover[t];
            self.trades += u64::from(record.trades[t]);
            if let Some(gross) = record.gross_exposure(t) {
                self.exposure.0 += gross;
                self.exposure.1 += 1;
            }
            self.last = record.equity[t];
            let (date, _) = self.clock.at(record.end_s[t]);
            match self.daily_closes.last_mut() {
                Some(last) if last.0 == date => last.1 = self.last,
                _ => self.daily_closes.push((date, self.last)),
            }
        }
    }

    /// As [`BacktestRecord::daily_returns`].
    pub(in crate::eval) fn daily_returns(&self) -> Vec<f64> {
        returns_between(self.first, self.daily_closes.iter().map(|&(_, equity)| equity))
    }

    pub(in crate::eval) fn metrics(&self) -> Metrics {
        let returns = self.daily_returns();
        let year = days_per_year(self.daily_closes.iter().map(|&(date, _)| date));
        let daily = daily_metrics(&returns, year);
        let (exposure, bars) = self.exposure;
        Metrics {
            total_reward: self.reward,
            portfolio_return: self.last / self.first - 1.0,
            sharpe: daily.sharpe,
            sortino: daily.sortino,
            calmar: daily.calmar,
            max_drawdown: daily.max_drawdown,
            volatility: daily.volatility,
            turnover: self.turnover / returns.len().max(1) as f64,
            trades: self.trades,
            exposure: if bars == 0 { 0.0 } else { exposure / f64::from(bars) },
        }
    }
}
