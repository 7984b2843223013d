//! Relations between stocks: who moves with whom, and who moves first.

use serde::{Deserialize, Serialize};

use crate::market::panel::Grid;
use crate::market::BarSeries;

/// Relations measured over one period, usually the training period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relations {
    /// Correlation of simultaneous bar returns, `[stock][stock]`; None where too few common bars.
    pub correlation: Vec<Vec<Option<f64>>>,
    /// `[follower][leader]`: correlation of the follower's return with the leader's of the bar before.
    pub lead_lag: Vec<Vec<Option<f64>>>,
}

impl Relations {
    /// Over the grid rows `rows`.
    pub fn measure(series: &[BarSeries], grid: &Grid, rows: std::ops::Range<usize>) -> Relations {
        let _ = (series, grid, rows);
        todo!()
    }

    /// For each stock its `count` nearest peers, nearest first, never itself: by the larger of |correlation| and a multiple of |lead_lag|
    /// that makes a significant lead count. Every stock gets the same number, min(count, stocks - 1).
    pub fn nearest_peers(&self, count: usize) -> Vec<Vec<usize>> {
        let _ = count;
        todo!()
    }
}
