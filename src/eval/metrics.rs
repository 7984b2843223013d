//! Performance metrics, equal to empyrical's. Pure: values in, values out.

use serde::{Deserialize, Serialize};

use crate::market::Symbol;

/// The course of a portfolio through an evaluation, one entry per bar. The first entry is the start: nothing traded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    pub stocks: Vec<Symbol>,
    /// Bar ends, UTC seconds.
    pub end_s: Vec<i64>,
    /// cash + sum of position x price.
    pub equity: Vec<f64>,
    pub cash: Vec<f64>,
    /// Simple return of equity over the bar; 0 in the first entry.
    pub reward: Vec<f64>,
    /// Value traded at this bar's open over the equity one bar earlier.
    pub turnover: Vec<f64>,
    /// Fills at this bar's open.
    pub trades: Vec<u32>,
    /// Equity over its running maximum, less 1; at most 0.
    pub drawdown: Vec<f64>,
    /// Shares held after this bar's open, `[time, stock]`.
    pub position: Vec<f64>,
    /// Price they are marked at (this bar's close), `[time, stock]`.
    pub price: Vec<f64>,
}

/// What is said of a course. An undefined value is None (null in JSON), never 0 or infinity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Sum of the bars' rewards.
    pub total_reward: f64,
    /// Last equity over first, less 1.
    pub portfolio_return: f64,
    /// Annualised by sqrt(252) from daily returns, ddof 1, risk-free rate 0.
    pub sharpe: Option<f64>,
    pub sortino: Option<f64>,
    pub calmar: Option<f64>,
    /// At most 0; from the initial equity on.
    pub max_drawdown: f64,
    /// Annualised standard deviation of daily returns.
    pub volatility: Option<f64>,
    /// Value traded over equity, summed, per trading day.
    pub turnover: f64,
    pub trades: u64,
    /// Mean over bars of gross position value over equity.
    pub exposure: f64,
}

impl Metrics {
    pub fn of(course: &Course) -> Metrics {
        let _ = course;
        todo!()
    }
}
