//! What an agent wants to hold, and what that may depend on.

use std::path::Path;

use super::bars::Bars;
use super::config::AgentsConfig;
use super::stamp::Stamp;
use crate::strategy::{Cancel, Signals};

/// Fractions of equity to hold of each stock, 0 or above, decided at the close of each row.
pub struct Wanted {
    stocks: usize,
    /// `[time, stock]`
    weights: Vec<f64>,
}

/// Everything that a decision may depend on beside the bars.
pub struct Setting<'a> {
    pub config: &'a AgentsConfig,
    pub bars: &'a Bars,
    /// When the account began.
    pub since: Stamp,
    pub cache: &'a Path,
    pub cancel: &'a Cancel,
}

impl Setting<'_> {
    /// The first row that counts: bars of before may be there for another agent, whose account was
    /// begun earlier, and what this one decides is not to depend on company.
    pub fn first_row(&self) -> usize {
        let lead = chrono::Days::new(self.config.lead_days.into());
        self.bars.first_row(self.since.date.checked_sub_days(lead).unwrap_or(self.since.date))
    }
}

impl Wanted {
    /// Nothing, in so many rows.
    pub fn nothing(stocks: usize, rows: usize) -> Wanted {
        Wanted { stocks, weights: vec![0.0; stocks * rows] }
    }

    /// Every stock has an equal share of the equity; a short position is none. The signals begin
    /// at row `first`.
    pub fn of(signals: &Signals, first: usize) -> Wanted {
        let stocks = signals.stocks();
        let share = 1.0 / stocks as f64;
        let of_row = |t| signals.at(t).iter().map(|decision| decision.target.max(0.0) * share);
        let none = std::iter::repeat_n(0.0, stocks * first);
        Wanted { stocks, weights: none.chain((0..signals.rows()).flat_map(of_row)).collect() }
    }

    pub fn at(&self, t: usize) -> &[f64] {
        &self.weights[t * self.stocks..][..self.stocks]
    }

    pub fn set(&mut self, t: usize, stock: usize, weight: f64) {
        self.weights[t * self.stocks + stock] = weight;
    }
}
