//! The best policies of all stocks, on one account.

use std::ops::Range;

use super::{Oracle, TradingTerms};
use crate::config::EnvConfig;
use crate::eval::account::run_policy;
use crate::eval::metrics::BacktestRecord;
use crate::market::panel::Panel;
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::synthetic::SyntheticMarket;

/// The oracle of every stock of a planted market.
pub(crate) struct Oracles(Vec<Oracle>);

impl Oracles {
    /// For bars of `bar_minutes`, at the costs of `mandate`; None for the sample market.
    pub(crate) fn new(
        market: &SyntheticMarket,
        mandate: &Mandate,
        bar_minutes: u32,
    ) -> Option<Oracles> {
        let EnvConfig { fee_bps, slippage_bps, long_only, .. } = mandate.env;
        let terms = TradingTerms { fee_bps, slippage_bps, long_only };
        let stocks = mandate.stocks.len();
        let oracle = |stock| Oracle::new(market, stocks, stock, bar_minutes, terms);
        (0..stocks).map(oracle).collect::<Option<Vec<Oracle>>>().map(Oracles)
    }

    /// `[stock]`: as [`Oracle::mean_reward`].
    pub(crate) fn mean_rewards(&self) -> Vec<f64> {
        self.0.iter().map(Oracle::mean_reward).collect()
    }

    /// What they make of `rows` with the capital, the limits and the costs of `mandate`.
    pub(crate) fn back_test(
        mut self,
        mandate: &Mandate,
        panel: &Panel,
        rows: &Range<usize>,
        limits: &Limits,
    ) -> BacktestRecord {
        run_policy(mandate, panel, rows, limits, &mut |view, stock, held| {
            self.0[stock].decide(view, held)
        })
    }
}
