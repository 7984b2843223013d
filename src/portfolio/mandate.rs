//! What an account may trade, and on which terms.

use super::limits::Limits;
use crate::config::{EnvConfig, PortfolioConfig};
use crate::market::Symbol;

/// The stocks of an account, what trading them costs, and how its capital is allocated and limited.
#[derive(Clone, Debug, PartialEq)]
pub struct Mandate {
    /// In the order in which accounts and networks number them.
    pub stocks: Vec<Symbol>,
    /// Costs and position sizes.
    pub env: EnvConfig,
    /// Capital, limits and meta-policy.
    pub portfolio: PortfolioConfig,
}

impl Mandate {
    /// A copy of the settings that concern an account.
    pub fn new(stocks: &[Symbol], env: &EnvConfig, portfolio: &PortfolioConfig) -> Mandate {
        Mandate { stocks: stocks.to_vec(), env: env.clone(), portfolio: portfolio.clone() }
    }

    /// The limits of the account; `correlation[i][j]` as measured over the training period, by
    /// which near-identical stocks are known.
    pub(crate) fn limits(&self, correlation: &[Vec<Option<f64>>]) -> Limits {
        Limits::new(&self.portfolio, &self.stocks, correlation)
    }
}
