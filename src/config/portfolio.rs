//! Settings of the portfolio: capital, limits, and the meta-policy.

use serde::{Deserialize, Serialize};

use super::MetaPolicyConfig;
use crate::market::Symbol;

/// Section `[portfolio]`: how capital is allocated, and the limits on orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortfolioConfig {
    /// Sum of absolute positions over equity; inf: off, and all of the equity is allocated.
    pub gross_limit: f64,
    /// Absolute sum of signed positions over equity; inf: off.
    pub net_limit: f64,
    /// Absolute position of one stock over equity; None: twice an equal share of the gross limit;
    /// inf: off.
    pub name_limit: Option<f64>,
    /// Absolute sum of the signed positions of a cluster over equity; None: as for one stock; inf:
    /// off. A cluster are two or more stocks that move together.
    pub cluster_limit: Option<f64>,
    /// Stocks whose past correlation is above this are in one cluster, and so are those that a
    /// chain of such stocks connects.
    pub cluster_correlation: f64,
    /// The objective of the meta-policy is growth less half of this times the variance; 0: growth.
    pub risk_aversion: f64,
    /// Volatility per year that the account has at most with all of its capital held long, by the
    /// estimate of the past sessions: beyond it less is allocated. inf: off.
    pub target_volatility: f64,
    /// Past sessions from which risk per stock is estimated.
    pub risk_sessions: usize,
    /// Stocks whose past correlation is above this may not be held in opposite directions; 1 and
    /// above: off.
    pub identical_correlation: f64,
    /// Couples of stocks that may be, however alike they are.
    pub pairs: Vec<[Symbol; 2]>,
    /// An account that falls by more than this fraction below its peak goes flat; inf: off.
    pub drawdown_limit: f64,
    /// For the rest of the session and so many sessions more; then it starts with a fresh peak.
    pub drawdown_pause_sessions: u32,
    /// Whose positions are held.
    pub meta_policy: MetaPolicyConfig,
}

impl Default for PortfolioConfig {
    fn default() -> PortfolioConfig {
        PortfolioConfig {
            gross_limit: 1.0,
            net_limit: 1.0,
            name_limit: None,
            cluster_limit: None,
            cluster_correlation: 0.9,
            risk_aversion: 0.0,
            target_volatility: f64::INFINITY,
            risk_sessions: 20,
            identical_correlation: 0.98,
            pairs: Vec::new(),
            drawdown_limit: f64::INFINITY,
            drawdown_pause_sessions: 5,
            meta_policy: MetaPolicyConfig::default(),
        }
    }
}

impl PortfolioConfig {
    /// Allocated capital over equity.
    pub(crate) fn capital(&self) -> f64 {
        if self.gross_limit.is_finite() { self.gross_limit } else { 1.0 }
    }

    /// Most capital that one of `stocks` stocks is allocated, over equity.
    pub(crate) fn name_limit_for(&self, stocks: usize) -> f64 {
        let twice_equal = 2.0 * self.capital() / stocks.max(1) as f64;
        self.name_limit.unwrap_or(twice_equal).min(self.capital())
    }
}
