//! The sections on one account: what it earned when, how it got there, and what it traded. They are
//! those of every page that has an account bar by bar.

use super::format::counted;
use super::page::switched_figure;
use super::plot::{EquityCurves, equity_svg};
use super::trades::{DecidedBy, Trades};
use super::{drawdowns, months};
use crate::env::costs::Costs;
use crate::eval::metrics::BacktestRecord;
use crate::eval::trades::{RoundTrip, costs_paid};

/// Prices that are drawn on a page.
pub(super) const MAX_PRICES: usize = 12;

/// An account and what stands beside it.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    /// Its own on the page.
    pub(super) id: &'a str,
    pub(super) record: &'a BacktestRecord,
    /// Buy and hold over the same bars.
    pub(super) benchmark: &'a BacktestRecord,
    /// The DQN alone.
    pub(super) dqn: Option<&'a BacktestRecord>,
    pub(super) decided_by: DecidedBy<'a>,
    /// Its round trips, where they are not those of the record's positions.
    pub(super) trips: Option<&'a [RoundTrip]>,
    pub(super) costs: Costs,
}

impl<'a> Account<'a> {
    pub(super) fn equity(&self) -> String {
        // Where nobody else trades, the DQN is the portfolio.
        let dqn = self.dqn.filter(|dqn| dqn.equity != self.record.equity);
        let curves = EquityCurves { portfolio: self.record, benchmark: self.benchmark, dqn };
        let alone = match dqn {
            Some(_) => " DQN: what it would have traded alone.",
            None => "",
        };
        let caption = format!(
            "{}. The benchmark buys and holds: it invests the same cash in the same stocks in \
             equal parts at the first bar, at the same costs, and never trades again.{alone}",
            counted(self.record.end_s.len(), "bar")
        );
        let label = match dqn {
            Some(_) => "Return of the portfolio, of the DQN alone and of the benchmark",
            None => "Return of the portfolio and of the benchmark",
        };
        let svg = |scale, screen| equity_svg(curves, scale, screen);
        format!("<h2>Equity and drawdown</h2>\n{}", switched_figure(self.id, label, &caption, svg))
    }

    pub(super) fn months(&self) -> String {
        months::heat_map(self.record)
    }

    pub(super) fn activity(&self) -> String {
        let allocations = self.decided_by.allocations();
        months::activity(self.record, self.benchmark, allocations, &self.costs)
    }

    pub(super) fn drawdowns(&self) -> String {
        drawdowns::section(self.record)
    }

    pub(super) fn trades(&self) -> String {
        self.round_trips().section()
    }

    /// Of up to `most` stocks.
    pub(super) fn prices(&self, most: usize) -> String {
        self.round_trips().prices(most)
    }

    /// Fees and slippage of the account and of the benchmark, parts of equity.
    pub(super) fn costs_paid(&self) -> [f64; 2] {
        [self.record, self.benchmark].map(|record| costs_paid(record, &self.costs))
    }

    pub(super) fn round_trips(&self) -> Trades<'a> {
        match self.trips {
            Some(trips) => Trades::of(self.record, self.decided_by, trips.to_vec()),
            None => Trades::new(self.record, self.decided_by, &self.costs),
        }
    }
}
