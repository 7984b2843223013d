//! Settings of the meta-policy.

use serde::{Deserialize, Serialize};

/// Who trades: rules and the DQN, by what each of them earned before.
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
    /// Weight of the DQN before anything is known; the rules have equal parts of the rest.
    pub dqn_prior: f64,
    /// Chance, before anything is seen, that the DQN foretells the next bar better together with
    /// the strategy Autoregression than alone; 0: that is not asked. Learned for each stock in an
    /// evaluation.
    pub second_opinion: f64,
    /// What a profit counts for, per standard deviation of the stock's return over a period. The
    /// bet that an expert stands for grows by 1 + this times the profit in such deviations, which
    /// is cut off at 3 either way.
    pub learning_rate: f64,
    /// Chances that the best expert changes from one period to the next; which of them is right is
    /// learned. Herbster and Warmuth (1998).
    pub share_rates: Vec<f64>,
    /// What one unit of further fall below an expert's peak takes off its profit.
    pub drawdown_aversion: f64,
    /// What a bar in the direction that stocks of correlation 1 are held in already takes off,
    /// standard deviations of the stock's return over the bar.
    pub exposure_aversion: f64,
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
            second_opinion: 0.0,
            learning_rate: 0.25,
            share_rates: vec![0.1, 0.03, 0.01, 0.003],
            drawdown_aversion: 0.1,
            exposure_aversion: 0.01,
        }
    }
}
