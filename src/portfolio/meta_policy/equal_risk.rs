//! Capital allocation: equal risk contributions under a cap.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::decaying_covariance::{DecayingCovariance, equal_contributions};
use crate::config::PortfolioConfig;
use crate::market::calendar::market_date;
use crate::market::panel::MarketView;

/// Sessions per year.
const DAYS_PER_YEAR: f64 = 252.0;

/// A standard deviation per bar below this means that the stock did not trade.
const MIN_STD: f64 = 1e-7;

/// Sums over one session, for one stock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct SessionSums {
    squares: f64,
    bars: u32,
}

/// Equal risk contributions: held long, every stock contributes the same to the portfolio variance
/// (Maillard, Roncalli and Teiletche 2010). Each gets at most `name_limit`, all together at most
/// `gross_limit`, and less where the account would be more volatile than its target. Fed bar by bar,
/// so that an allocation only uses the past. Allocations change at
/// the first bar of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EqualRisk {
    stocks: usize,
    sessions_kept: usize,
    name_limit: f64,
    gross_limit: f64,
    covariance: DecayingCovariance,
    /// Past sessions, `[session][stock]`.
    past: VecDeque<Vec<SessionSums>>,
    today: Vec<SessionSums>,
    date: Option<chrono::NaiveDate>,
    last_close: Vec<f64>,
    capital: Vec<f64>,
    /// Standard deviation of the one-bar return over past sessions; 0 if unknown.
    bar_std: Vec<f64>,
    /// That of the account if all capital is held long, with the shrunk correlations.
    account_std: f64,
    /// Most of that per session; inf: any.
    target_std: f64,
}

impl EqualRisk {
    pub(crate) fn new(stocks: usize, config: &PortfolioConfig) -> EqualRisk {
        let name_limit = config.name_limit_for(stocks);
        EqualRisk {
            stocks,
            sessions_kept: config.risk_sessions,
            name_limit,
            gross_limit: config.capital(),
            covariance: DecayingCovariance::new(stocks, config.risk_sessions),
            past: VecDeque::new(),
            today: vec![SessionSums::default(); stocks],
            date: None,
            last_close: vec![f64::NAN; stocks],
            capital: capped(&vec![1.0; stocks], name_limit, config.capital()),
            bar_std: vec![0.0; stocks],
            account_std: 0.0,
            target_std: config.target_volatility / DAYS_PER_YEAR.sqrt(),
        }
    }

    /// Takes in the bar that has just closed. Returns whether it starts a session, and thereby a
    /// new allocation.
    pub(crate) fn observe(&mut self, view: &MarketView<'_>) -> bool {
        let date = market_date(view.end_s());
        let is_new = self.date.is_some_and(|last| last != date);
        if is_new {
            let session =
                std::mem::replace(&mut self.today, vec![SessionSums::default(); self.stocks]);
            self.past.push_back(session);
            if self.past.len() > self.sessions_kept {
                self.past.pop_front();
            }
            self.covariance.end_session();
            self.allocate();
        }
        self.date = Some(date);
        for stock in 0..self.stocks {
            let close = view.bar(stock).close;
            let change = close / self.last_close[stock] - 1.0;
            self.covariance.changes[stock] = if change.is_finite() { change } else { 0.0 };
            if change.is_finite() {
                self.today[stock].squares += change * change;
                self.today[stock].bars += 1;
            }
            self.last_close[stock] = close;
        }
        self.covariance.end_bar();
        is_new
    }

    /// `[stock]`: fraction of equity allocated to each stock.
    pub(crate) fn capital(&self) -> &[f64] {
        &self.capital
    }

    /// Standard deviation of a stock's one-bar return over past sessions; None if unknown or if the
    /// stock did not trade.
    pub(crate) fn bar_std(&self, stock: usize) -> Option<f64> {
        Some(self.bar_std[stock]).filter(|&std| std > MIN_STD)
    }

    /// Standard deviation of the account's one-bar return if all capital is held long; 0 if unknown.
    pub(crate) fn account_std(&self) -> f64 {
        self.account_std
    }

    fn allocate(&mut self) {
        let correlation = self.covariance.correlation();
        let parts = equal_contributions(&correlation);
        let mut scores = Vec::with_capacity(self.stocks);
        for stock in 0..self.stocks {
            let squares: f64 = self.past.iter().map(|session| session[stock].squares).sum();
            let bars: u32 = self.past.iter().map(|session| session[stock].bars).sum();
            let std = (squares / f64::from(bars.max(1))).sqrt();
            self.bar_std[stock] = std;
            scores.push(if std > MIN_STD { parts[stock] / std } else { 0.0 });
        }
        self.capital = capped(&scores, self.name_limit, self.gross_limit);
        let held = |stock: usize| self.capital[stock] * self.bar_std[stock];
        let row = |i: usize| -> f64 {
            (0..self.stocks).map(|j| correlation[i * self.stocks + j] * held(j)).sum()
        };
        let variance: f64 = (0..self.stocks).map(|i| held(i) * row(i)).sum();
        self.account_std = variance.max(0.0).sqrt();
        let bars = self.past.iter().flatten().map(|session| f64::from(session.bars)).sum::<f64>()
            / (self.past.len() * self.stocks).max(1) as f64;
        let of_session = self.account_std * bars.sqrt();
        if of_session > self.target_std {
            let part = self.target_std / of_session;
            self.capital.iter_mut().for_each(|capital| *capital *= part);
            self.account_std *= part;
        }
    }
}

/// Shares proportional to `scores` that add up to `total`, none above `cap`. The excess over the
/// cap is redistributed in proportion, as long as there is room.
fn capped(scores: &[f64], cap: f64, total: f64) -> Vec<f64> {
    let mut shares = vec![0.0; scores.len()];
    let mut is_capped = vec![false; scores.len()];
    loop {
        let free: f64 = scores.iter().zip(&is_capped).filter(|(_, c)| !**c).map(|(s, _)| s).sum();
        let taken = is_capped.iter().filter(|c| **c).count() as f64 * cap;
        if free <= 0.0 {
            break;
        }
        let scale = (total - taken).max(0.0) / free;
        let mut newly_capped = false;
        for (i, score) in scores.iter().enumerate() {
            if !is_capped[i] {
                shares[i] = (score * scale).min(cap);
                if score * scale > cap {
                    is_capped[i] = true;
                    newly_capped = true;
                }
            }
        }
        if !newly_capped {
            break;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() < 1e-12, "{a:?} {b:?}");
        }
    }

    #[test]
    fn capital_is_proportional_until_the_cap_and_the_rest_is_dealt_again() {
        close(&capped(&[1.0, 1.0, 2.0], 1.0, 1.0), &[0.25, 0.25, 0.5]);
        close(&capped(&[1.0, 1.0, 2.0], 0.4, 1.0), &[0.3, 0.3, 0.4]);
        // 6/8 is above the cap; then 1/2 of the remaining 0.6 is below it.
        close(&capped(&[6.0, 1.0, 1.0], 0.4, 1.0), &[0.4, 0.3, 0.3]);
        close(&capped(&[1.0, 1.0], 0.3, 1.0), &[0.3, 0.3]);
        close(&capped(&[0.0, 1.0], 0.6, 1.0), &[0.0, 0.6]);
        close(&capped(&[0.0, 0.0], 0.6, 1.0), &[0.0, 0.0]);
    }
}
