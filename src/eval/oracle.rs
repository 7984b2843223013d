//! The best policy of a planted market for one stock, and the reward it may expect: what a learner
//! is measured against.
//!
//! A policy that knows the law sees a signal `s` (the last return, the leader's, the spread, the
//! probability of a regime and the last return) that no action moves, and holds a position. The
//! reward of holding `a` over the next bar is `a m(s)`, with `m` the expected simple return, less
//! the costs of coming to `a`. That is a Markov decision problem with the average reward per bar as
//! its aim; it is solved on a grid of signals ([`grid`]) by relative value iteration.
//!
//! What is left out: fees of fees (1e-8 per trade), and that a position which is kept is not
//! resized with the account while it is within its band, so that the exposure of a short drifts
//! off 1 by twice the returns since its entry. Together they are worth up to 2 % of the value; the
//! integration test `oracle` puts the figure beside the account's own.

mod grid;
mod signal;
#[cfg(test)]
mod tests;

use crate::market::panel::MarketView;
use crate::synthetic::{SyntheticMarket, law::Law};
use grid::{Solution, solve};
use signal::Signal;

/// What trading costs, and what is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Basis points of the traded value.
    pub fee_bps: f64,
    /// Distance of a fill from the open, against the trader, basis points.
    pub slippage_bps: f64,
    pub long_only: bool,
}

impl Terms {
    /// Of trading all of the account once, as a fraction of it; a turn from long to short is two.
    fn cost(&self) -> f64 {
        1e-4 * (self.fee_bps + self.slippage_bps)
    }
}

/// The best policy of one stock, on one panel of a planted market's own stocks in their order.
#[derive(Clone, Debug)]
pub struct Oracle {
    stock: usize,
    signal: Signal,
    terms: Terms,
    solution: Solution,
    /// The row up to which the regimes have been filtered, and the log odds of the first for the
    /// next bar.
    filtered: Option<(usize, f64)>,
}

/// Bars from which the odds of regimes are worked out anew: many times a regime's length in which
/// each of the two leaves its mark.
const FILTER_BARS: usize = 1_000;

impl Oracle {
    /// For one of `stocks` stocks of a market in bars of `bar_minutes`; None in the sample market,
    /// where it is not known.
    pub fn new(
        market: &SyntheticMarket,
        stocks: usize,
        stock: usize,
        bar_minutes: u32,
        terms: Terms,
    ) -> Option<Oracle> {
        let law = market.law(stocks, stock, bar_minutes)?;
        Some(Oracle::of(law, stock, terms))
    }

    fn of(law: Law, stock: usize, terms: Terms) -> Oracle {
        Oracle::with_resolution(law, stock, terms, 1.0)
    }

    /// `resolution`: points of the grid over their usual number, along each axis.
    fn with_resolution(law: Law, stock: usize, terms: Terms, resolution: f64) -> Oracle {
        let signal = Signal::of(law);
        let solution = solve(&signal, resolution, terms.cost(), terms.long_only);
        Oracle { stock, signal, terms, solution, filtered: None }
    }

    /// Expected reward per bar: mean simple return of an account that is all in the stock, out of
    /// it or all short, after costs.
    pub fn per_bar(&self) -> f64 {
        self.solution.gain
    }

    /// By how much [`Oracle::per_bar`] may be wrong because the iteration was ended, for the
    /// signals on their grid. Below a thousandth of a basis point at costs that allow of trading at
    /// all; the grid itself is worth a thousandth of the value (see the tests).
    pub fn within(&self) -> f64 {
        self.solution.within
    }

    /// The expected simple return of the next bar, given all bars up to the view's.
    pub fn expected_return(&mut self, view: &MarketView<'_>) -> f64 {
        let state = self.state(view);
        self.signal.mean(state)
    }

    /// The position to hold from the next bar's open on (-1, 0 or 1), where `position` is held now.
    pub fn decide(&mut self, view: &MarketView<'_>, position: i8) -> i8 {
        let state = self.state(view);
        let actions = if self.terms.long_only { 0..=1 } else { -1..=1 };
        let value = |action: i8| {
            let traded = f64::from((action - position).abs());
            f64::from(action) * self.signal.mean(state) - traded * self.terms.cost()
                + self.solution.future(state, action)
        };
        // Of equals the one that is held.
        let mut best = if actions.contains(&position) { position } else { 0 };
        for action in actions {
            if value(action) > value(best) {
                best = action;
            }
        }
        best
    }

    fn state(&mut self, view: &MarketView<'_>) -> [f64; 2] {
        let Signal::Regimes(regimes) = self.signal else {
            return [self.signal.observe(view, self.stock), 0.0];
        };
        let t = view.t();
        let (from, mut odds) = match self.filtered {
            Some((row, odds)) if row <= t && t - row <= FILTER_BARS => (row, odds),
            _ => (t.saturating_sub(FILTER_BARS), 0.0),
        };
        // Two returns for every step.
        for row in from + 1..=t {
            let present = view.back(t - row);
            let before = view.back(t - row + 1);
            let (Some(present), Some(before)) = (present, before) else { continue };
            let (last, new) = (
                signal::last_return(&before, self.stock),
                signal::last_return(&present, self.stock),
            );
            odds = regimes.filter(odds, last, new);
        }
        self.filtered = Some((t, odds));
        [signal::last_return(view, self.stock), odds]
    }
}
