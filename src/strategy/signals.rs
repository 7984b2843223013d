//! The decisions of a strategy over a stretch of market data.

use serde::{Deserialize, Serialize};

use super::{BarsAt, Cancel, Decision, Strategy, StrategyError};
use crate::market::{Bar, MarketData};

/// The decisions at the end of every row of a [`MarketData`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    stocks: usize,
    /// `[row, stock]`
    decisions: Vec<Decision>,
}

impl Signals {
    /// `decisions` are `[row, stock]`.
    ///
    /// # Panics
    /// If they do not fill whole rows.
    pub fn new(stocks: usize, decisions: Vec<Decision>) -> Signals {
        assert!(
            stocks > 0 && decisions.len().is_multiple_of(stocks),
            "decisions are [time, stock]"
        );
        Signals { stocks, decisions }
    }

    /// Runs `strategy`, which must not have seen a bar yet, over all rows. Stops soon after
    /// `cancel`. Errors: cancelled, or an error of the strategy.
    pub fn from_strategy(
        strategy: &mut dyn Strategy,
        data: &MarketData,
        cancel: &Cancel,
    ) -> Result<Signals, StrategyError> {
        let stocks = data.stocks().len();
        let mut decisions = Vec::with_capacity(data.rows() * stocks);
        each_row(strategy, data, cancel, &mut |_, latest| decisions.extend_from_slice(latest))?;
        Ok(Signals { stocks, decisions })
    }

    /// Number of stocks of a row.
    pub fn stocks(&self) -> usize {
        self.stocks
    }

    /// Number of rows, as many as the market has bar times.
    pub fn rows(&self) -> usize {
        self.decisions.len() / self.stocks
    }

    /// The decisions on all stocks at the end of row `t`.
    pub fn at(&self, t: usize) -> &[Decision] {
        &self.decisions[t * self.stocks..][..self.stocks]
    }
}

/// Passes each row's index and decisions to `take`.
pub(super) fn each_row(
    strategy: &mut dyn Strategy,
    data: &MarketData,
    cancel: &Cancel,
    take: &mut dyn FnMut(usize, &[Decision]),
) -> Result<(), StrategyError> {
    let stocks = data.stocks().len();
    let mut latest = vec![Decision::NONE; stocks];
    let mut bars: Vec<Option<Bar>> = Vec::with_capacity(stocks);
    let mut extras = Vec::new();
    for t in 0..data.rows() {
        cancel.check()?;
        let row = data.row(t);
        bars.clear();
        bars.extend((0..stocks).map(|stock| row.fresh(stock)));
        row.extras(&mut extras);
        let now = BarsAt::new(row.end_s(), &bars).with_extras(data.columns(), &extras);
        strategy.decide(&now, cancel, &mut latest)?;
        take(t, &latest);
    }
    Ok(())
}
