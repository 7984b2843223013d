//! Settings of the meta-policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How much rules and the DQN count, by what each of them earned before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaPolicyConfig {
    /// Off: the DQN alone trades every stock.
    pub enabled: bool,
    /// Rules beside the DQN, by their names in the registry, with default parameters, or of
    /// `define`.
    pub strategies: Vec<String>,
    /// Strategies of one's own, by their names, each as under `[strategies]` in a strategy file.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub define: toml::Table,
    /// Bars between allocations; None: anew at the first bar of a trading day.
    pub period_bars: Option<usize>,
    /// Weight of the DQN before anything is known; the rules have the rest.
    pub dqn_prior: f64,
    /// The same where the validation days did not speak for the DQN.
    pub unbelieved_dqn_prior: f64,
    /// Parts of that rest, by the names of rules in the registry. The other rules of `strategies`
    /// have equal parts of what is left.
    pub priors: BTreeMap<String, f64>,
    /// What a profit counts for, per standard deviation of the stock's return over a period. The
    /// bet that an expert stands for grows by 1 + this times the profit in such deviations, which
    /// is cut off at 3 either way.
    pub learning_rate: f64,
    /// Chances that the best expert changes from one period to the next; which of them is right is
    /// learned. Herbster and Warmuth (1998).
    pub share_rates: Vec<f64>,
}

impl Default for MetaPolicyConfig {
    fn default() -> MetaPolicyConfig {
        let strategies = [
            "RSI",
            "MACD",
            "Bollinger Bands",
            "Momentum",
            "Mean Reversion",
            "Pairs",
            "Buy and Hold",
            "Flat",
        ];
        MetaPolicyConfig {
            enabled: true,
            strategies: strategies.map(String::from).into(),
            define: toml::Table::new(),
            period_bars: None,
            dqn_prior: 0.5,
            unbelieved_dqn_prior: 0.05,
            priors: [("Buy and Hold".into(), 0.88), ("Flat".into(), 0.04)].into(),
            learning_rate: 0.05,
            share_rates: vec![0.001, 0.0003, 0.0001],
        }
    }
}
