//! The target weights of an agent, and the inputs of its decisions.

use std::path::Path;

use super::bars::AgentBars;
use super::config::AgentsConfig;
use super::step_time::StepTime;
use crate::strategy::{Cancel, Signals};

/// Target weights as fractions of equity per stock, 0 or above, decided at the close of each row.
pub(crate) struct TargetWeights {
    stocks: usize,
    /// `[row, stock]`
    weights: Vec<f64>,
}

/// Everything that a decision may depend on besides the bars.
pub(crate) struct DecisionContext<'a> {
    pub(crate) config: &'a AgentsConfig,
    pub(crate) bars: &'a AgentBars,
    /// Start of the account.
    pub(crate) since: StepTime,
    pub(crate) cache: &'a Path,
    pub(crate) cancel: &'a Cancel,
}

impl DecisionContext<'_> {
    /// The first row that is used. Earlier bars may have been loaded for another agent whose
    /// account started earlier, and this agent's decisions must not depend on other agents.
    pub(crate) fn first_row(&self) -> usize {
        let lead = chrono::Days::new(self.config.lead_days.into());
        self.bars.first_row(self.since.date.checked_sub_days(lead).unwrap_or(self.since.date))
    }
}

impl TargetWeights {
    /// All weights 0.
    pub(crate) fn nothing(stocks: usize, rows: usize) -> TargetWeights {
        TargetWeights { stocks, weights: vec![0.0; stocks * rows] }
    }

    /// Every stock has an equal share of the equity; a short position becomes flat. The signals
    /// start at row `first`.
    pub(crate) fn from_signals(signals: &Signals, first: usize) -> TargetWeights {
        let stocks = signals.stocks();
        let share = 1.0 / stocks as f64;
        let of_row = |t| signals.at(t).iter().map(|decision| decision.target.max(0.0) * share);
        let none = std::iter::repeat_n(0.0, stocks * first);
        TargetWeights {
            stocks,
            weights: none.chain((0..signals.rows()).flat_map(of_row)).collect(),
        }
    }

    pub(crate) fn at(&self, t: usize) -> &[f64] {
        &self.weights[t * self.stocks..][..self.stocks]
    }

    pub(crate) fn set(&mut self, t: usize, stock: usize, weight: f64) {
        self.weights[t * self.stocks + stock] = weight;
    }
}
