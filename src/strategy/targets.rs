//! The target positions of a strategy over a stretch of market data, as a list of changes.

use super::signals::each_row;
use super::{Cancel, Decision, Strategy, StrategyError};
use crate::market::MarketData;

/// From the end of `row` on, `stock` has this target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Row of the market, from 0.
    pub row: u32,
    /// Index of the stock.
    pub stock: u32,
    /// From -1 to 1, a fraction of the stock's capital.
    pub target: f64,
}

/// The changes of target positions. All are flat before the first change. Confidence is not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    stocks: usize,
    /// Sorted by row, then by stock.
    changes: Vec<Change>,
}

impl Targets {
    /// `changes` must be sorted by row within each stock; stocks may be in any order.
    ///
    /// # Panics
    /// If a stock is out of range, or a single stock's changes are not sorted by row.
    pub fn new(stocks: usize, mut changes: Vec<Change>) -> Targets {
        assert!(changes.iter().all(|change| (change.stock as usize) < stocks), "a known stock");
        if stocks > 1 {
            changes.sort_by_key(|change| (change.row, change.stock));
        }
        assert!(changes.is_sorted_by_key(|change| change.row), "changes come by row");
        Targets { stocks, changes }
    }

    /// Runs `strategy`, which must not have seen a bar yet, over all rows. Stops soon after
    /// `cancel`. Errors: cancelled, or an error of the strategy.
    pub fn from_strategy(
        strategy: &mut dyn Strategy,
        data: &MarketData,
        cancel: &Cancel,
    ) -> Result<Targets, StrategyError> {
        let stocks = data.stocks().len();
        let (mut changes, mut last) = (Vec::new(), vec![Decision::NONE.target; stocks]);
        each_row(strategy, data, cancel, &mut |row, decisions| {
            for (stock, (decision, last)) in decisions.iter().zip(&mut last).enumerate() {
                if decision.target != *last {
                    *last = decision.target;
                    let (row, stock) = (row as u32, stock as u32);
                    changes.push(Change { row, stock, target: decision.target });
                }
            }
        })?;
        Ok(Targets { stocks, changes })
    }

    /// Number of stocks, those that never change included.
    pub fn stocks(&self) -> usize {
        self.stocks
    }

    /// Sorted by row, then by stock.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}
