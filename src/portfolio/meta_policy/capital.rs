//! Capital allocation and risk over a panel, computed once for all accounts.

use serde::{Deserialize, Serialize};

use super::EqualRisk;
use crate::config::PortfolioConfig;
use crate::market::panel::{MarketView, Panel};

/// The results of [`EqualRisk`] at every row of a panel, each from the sessions before it. They
/// depend on the market only, so accounts at different times share them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CapitalPlan {
    stocks: usize,
    /// `[row]`: index of its allocation.
    of_row: Vec<u32>,
    /// `[allocation, stock]`: fractions of equity.
    capital: Vec<f64>,
    /// `[allocation, stock]`: standard deviation of one-bar returns; 0 if unknown.
    bar_std: Vec<f64>,
}

/// Capital allocation and risk at one bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capital<'a> {
    /// `[stock]`: fraction of equity allocated to each stock.
    pub(crate) shares: &'a [f64],
    bar_std: &'a [f64],
}

impl CapitalPlan {
    pub(crate) fn new(panel: &Panel, stocks: usize, config: &PortfolioConfig) -> CapitalPlan {
        let mut risk = EqualRisk::new(stocks, config);
        let (mut capital, mut bar_std) = (Vec::<f64>::new(), Vec::<f64>::new());
        let of_row = (0..panel.rows()).map(|row| {
            let is_new = risk.observe(&panel.view(row));
            if is_new || row == 0 {
                capital.extend(risk.capital());
                bar_std.extend((0..stocks).map(|stock| risk.bar_std(stock).unwrap_or(0.0)));
            }
            (capital.len() / stocks - 1) as u32
        });
        let of_row = of_row.collect();
        CapitalPlan { stocks, of_row, capital, bar_std }
    }

    /// Values at the close of the view's bar.
    pub(crate) fn at(&self, view: &MarketView<'_>) -> Capital<'_> {
        let from = self.of_row[view.t()] as usize * self.stocks;
        let until = from + self.stocks;
        Capital { shares: &self.capital[from..until], bar_std: &self.bar_std[from..until] }
    }
}

impl Capital<'_> {
    /// Standard deviation of a stock's one-bar return over past sessions; None if unknown or if the
    /// stock did not trade.
    pub(crate) fn bar_std(&self, stock: usize) -> Option<f64> {
        Some(self.bar_std[stock]).filter(|&std| std > 0.0)
    }
}
