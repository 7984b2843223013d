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
    /// `[allocation]`: that of the account if all capital is held long.
    account_std: Vec<f64>,
}

/// Capital allocation and risk at one bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capital<'a> {
    /// `[stock]`: fraction of equity allocated to each stock.
    pub(crate) shares: &'a [f64],
    bar_std: &'a [f64],
    account_std: f64,
}

impl CapitalPlan {
    pub(crate) fn new(panel: &Panel, stocks: usize, config: &PortfolioConfig) -> CapitalPlan {
        let mut risk = EqualRisk::new(stocks, config);
        let (mut capital, mut bar_std) = (Vec::<f64>::new(), Vec::<f64>::new());
        let mut account_std = Vec::new();
        let of_row = (0..panel.rows()).map(|row| {
            let is_new = risk.observe(&panel.view(row));
            if is_new || row == 0 {
                capital.extend(risk.capital());
                bar_std.extend((0..stocks).map(|stock| risk.bar_std(stock).unwrap_or(0.0)));
                account_std.push(risk.account_std());
            }
            (capital.len() / stocks - 1) as u32
        });
        let of_row = of_row.collect();
        CapitalPlan { stocks, of_row, capital, bar_std, account_std }
    }

    /// What `risk` has seen last, at every one of so many rows: for a panel that ends with that bar.
    pub(crate) fn of(risk: &EqualRisk, stocks: usize, rows: usize) -> CapitalPlan {
        CapitalPlan {
            stocks,
            of_row: vec![0; rows],
            capital: risk.capital().to_vec(),
            bar_std: (0..stocks).map(|stock| risk.bar_std(stock).unwrap_or(0.0)).collect(),
            account_std: vec![risk.account_std()],
        }
    }

    /// Values at the close of the view's bar.
    pub(crate) fn at(&self, view: &MarketView<'_>) -> Capital<'_> {
        let allocation = self.of_row[view.t()] as usize;
        let stocks = allocation * self.stocks..(allocation + 1) * self.stocks;
        Capital {
            shares: &self.capital[stocks.clone()],
            bar_std: &self.bar_std[stocks],
            account_std: self.account_std[allocation],
        }
    }
}

impl Capital<'_> {
    /// Standard deviation of a stock's one-bar return over past sessions; None if unknown or if the
    /// stock did not trade.
    pub(crate) fn bar_std(&self, stock: usize) -> Option<f64> {
        Some(self.bar_std[stock]).filter(|&std| std > 0.0)
    }

    /// Standard deviation of the account's one-bar return if all capital is held long; None if
    /// unknown.
    pub(crate) fn account_std(&self) -> Option<f64> {
        Some(self.account_std).filter(|&std| std > 0.0)
    }

    /// Standard deviation that a stock, held long with its capital, has of those that the whole
    /// account has; None if either is unknown.
    pub(crate) fn part(&self, stock: usize) -> Option<f64> {
        let std = self.bar_std(stock).filter(|_| self.account_std > 0.0)?;
        Some(self.shares[stock] * std / self.account_std)
    }
}
