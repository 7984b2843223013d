//! What a strategy wants over a whole stretch of market, as the few rows at which that changes.

use super::signals::each_row;
use super::{Cancel, Decision, Strategy, StrategyError};
use crate::market::MarketData;

/// From the end of `row` on, `target` of `stock`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub row: u32,
    pub stock: u32,
    pub target: f64,
}

/// Nothing is wanted before the first change. Confidence is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    stocks: usize,
    /// By row, then by stock.
    changes: Vec<Change>,
}

impl Targets {
    /// `changes` of each stock by row, in any order of stocks.
    ///
    /// # Panics
    /// If there is no such stock.
    pub fn new(stocks: usize, mut changes: Vec<Change>) -> Targets {
        assert!(changes.iter().all(|change| (change.stock as usize) < stocks), "a known stock");
        if stocks > 1 {
            changes.sort_by_key(|change| (change.row, change.stock));
        }
        assert!(changes.is_sorted_by_key(|change| change.row), "changes come by row");
        Targets { stocks, changes }
    }

    /// Of a strategy that has seen no bar yet, row by row. Ends soon after `cancel`.
    pub fn of(
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

    pub fn stocks(&self) -> usize {
        self.stocks
    }

    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}
