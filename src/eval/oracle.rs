//! The optimal policy of a planted market for one stock and its expected reward: the upper bound
//! for a learner.
//!
//! A policy that knows the return process sees a signal `s` (the last return, the leader's, the
//! spread, the probability of a regime and the last return, the time of the session, or what volume
//! tells of a hidden signal) that no action influences, and holds a position. Holding `a` over the next bar earns `a m(s)`, with `m` the expected simple return,
//! minus the costs of changing to `a`. That is a Markov decision process with the average reward
//! per bar as objective; it is solved on a grid of signals (`grid`) by relative value iteration.
//!
//! Two effects are ignored: fees on fees (1e-8 per trade), and that a position within its rebalance
//! band is not resized with the account, so that the exposure of a short drifts from 1 by twice the
//! returns since its entry. Together they are worth up to 2 % of the value; the integration test
//! `oracle` compares with the real account.

mod account;
mod clock;
mod grid;
mod hidden;
mod signal;
#[cfg(test)]
mod tests;

use crate::market::panel::MarketView;
use crate::synthetic::{SyntheticMarket, return_process::ReturnProcess};
pub(crate) use account::Oracles;
use grid::{Solution, solve};
use signal::Signal;

/// Trading costs and constraints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TradingTerms {
    /// Basis points of the traded value.
    pub fee_bps: f64,
    /// Distance of a fill from the open, against the trader, in basis points.
    pub slippage_bps: f64,
    /// No short positions.
    pub long_only: bool,
}

impl TradingTerms {
    /// Cost of trading the whole account once, as a fraction of it; a reversal pays it twice.
    fn cost(&self) -> f64 {
        1e-4 * (self.fee_bps + self.slippage_bps)
    }
}

/// Optimal policy for one stock, on a panel that holds the planted market's own stocks in order.
#[derive(Clone, Debug)]
pub struct Oracle {
    stock: usize,
    signal: Signal,
    terms: TradingTerms,
    solution: Solution,
    /// The row up to which what is hidden has been filtered, and the result: the log odds of the
    /// first regime for the next bar, the expectation of the hidden signal, or the trend.
    filtered: Option<(usize, f64)>,
}

/// Bars over which it is filtered from scratch: many times the length of a regime, and several times
/// that of a trend.
const FILTER_BARS: usize = 8_000;

impl Oracle {
    /// For stock `stock` of `stocks` in a market with bars of `bar_minutes`; None for the sample
    /// market, whose process is not known.
    pub fn new(
        market: &SyntheticMarket,
        stocks: usize,
        stock: usize,
        bar_minutes: u32,
        terms: TradingTerms,
    ) -> Option<Oracle> {
        let law = market.law(stocks, stock, bar_minutes)?;
        Some(Oracle::from_process(law, stock, terms))
    }

    fn from_process(law: ReturnProcess, stock: usize, terms: TradingTerms) -> Oracle {
        Oracle::with_resolution(law, stock, terms, 1.0)
    }

    /// `resolution`: factor on the number of grid points along each axis.
    fn with_resolution(
        law: ReturnProcess,
        stock: usize,
        terms: TradingTerms,
        resolution: f64,
    ) -> Oracle {
        let signal = Signal::from_process(law);
        let solution = solve(&signal, resolution, terms.cost(), terms.long_only);
        Oracle { stock, signal, terms, solution, filtered: None }
    }

    /// Expected reward per bar: mean simple return after costs of an account that is fully long,
    /// flat or fully short.
    pub fn mean_reward(&self) -> f64 {
        self.solution.gain
    }

    /// Bound on the error of [`Oracle::mean_reward`] from stopping the iteration, on the grid.
    /// Below a thousandth of a basis point at costs that allow trading at all; the grid itself
    /// costs a thousandth of the value (see the tests).
    pub fn tolerance(&self) -> f64 {
        self.solution.within
    }

    /// Expected simple return of the next bar, given all bars up to the view's.
    pub fn expected_return(&mut self, view: &MarketView<'_>) -> f64 {
        let state = self.state(view);
        self.signal.mean(state)
    }

    /// The position to hold from the next bar's open on (-1, 0 or 1); `position` is the current
    /// one.
    pub fn decide(&mut self, view: &MarketView<'_>, position: i8) -> i8 {
        let state = self.state(view);
        let actions = if self.terms.long_only { 0..=1 } else { -1..=1 };
        let value = |action: i8| {
            let traded = f64::from((action - position).abs());
            f64::from(action) * self.signal.mean(state) - traded * self.terms.cost()
                + self.solution.future(state, action)
        };
        // Ties go to the current position.
        let mut best = if actions.contains(&position) { position } else { 0 };
        for action in actions {
            if value(action) > value(best) {
                best = action;
            }
        }
        best
    }

    fn state(&mut self, view: &MarketView<'_>) -> [f64; 2] {
        let stock = self.stock;
        match self.signal {
            Signal::Regimes(regimes) => {
                let odds = self.filter(view, |odds, before, present| {
                    let last = signal::last_return(before, stock);
                    regimes.filter(odds, last, signal::last_return(present, stock))
                });
                [signal::last_return(view, stock), odds]
            }
            Signal::Hidden(hidden) => {
                let told = |last, _: &MarketView<'_>, present: &MarketView<'_>| {
                    hidden.filter(last, present.bar(stock).volume)
                };
                [self.filter(view, told), 0.0]
            }
            Signal::Trend(trend) => {
                let step = |last, _: &MarketView<'_>, present: &MarketView<'_>| {
                    trend.next(last, signal::last_return(present, stock))
                };
                [self.filter(view, step), 0.0]
            }
            _ => [self.signal.observe(view, stock), 0.0],
        }
    }

    /// Takes in all bars up to the view's that are not taken in yet. `step` makes of the result up
    /// to a bar and the views of that bar and of the next one the result up to the next.
    fn filter(
        &mut self,
        view: &MarketView<'_>,
        step: impl Fn(f64, &MarketView<'_>, &MarketView<'_>) -> f64,
    ) -> f64 {
        let t = view.t();
        let (from, mut found) = match self.filtered {
            Some((row, found)) if row <= t && t - row <= FILTER_BARS => (row, found),
            _ => (t.saturating_sub(FILTER_BARS), 0.0),
        };
        for row in from + 1..=t {
            let (before, present) = (view.back(t - row + 1), view.back(t - row));
            let (Some(before), Some(present)) = (before, present) else { continue };
            found = step(found, &before, &present);
        }
        self.filtered = Some((t, found));
        found
    }
}
