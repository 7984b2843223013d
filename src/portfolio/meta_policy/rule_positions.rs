//! Positions of the rules. They depend on the market only, so each rule is evaluated once per row
//! for all accounts.

use crate::config::MetaPolicyConfig;
use crate::market::panel::{MarketView, Panel};
use crate::strategy::{
    Cancel, Decision, PanelBars, Registry, Strategy, StrategyError, StrategyFile,
};

/// Strategies that need at least two stocks.
const OF_SEVERAL: [&str; 2] = ["Pairs", "Arbitrage"];

/// The positions that all rules want at every row of a panel, each computed from the bars up to that
/// row.
pub(crate) struct RulePositions {
    /// `[row, stock, rule]`, each from -1 to 1.
    positions: Vec<f32>,
    stocks: usize,
    rules: usize,
}

impl RulePositions {
    /// Runs the strategies of `config` over the panel, row by row. Strategies of several stocks are
    /// left out if there is only one stock.
    pub(crate) fn new(
        panel: &Panel,
        stocks: usize,
        config: &MetaPolicyConfig,
        long_only: bool,
    ) -> Result<RulePositions, StrategyError> {
        let mut rules = strategies(config, stocks)?;
        let least = if long_only { 0.0 } else { -1.0 };
        let (rows, count) = (panel.rows(), rules.len());
        let mut positions = vec![0.0; rows * stocks * count];
        let cancel = Cancel::new();
        let mut bars = PanelBars::default();
        let mut decisions = vec![vec![Decision::NONE; stocks]; count];
        for (row, out) in positions.chunks_exact_mut((stocks * count).max(1)).enumerate() {
            let now = bars.at(&panel.view(row), stocks);
            for (rule, decisions) in rules.iter_mut().zip(&mut decisions) {
                rule.decide(&now, &cancel, decisions)?;
            }
            for (stock, out) in out.chunks_exact_mut(count).enumerate() {
                for (out, decisions) in out.iter_mut().zip(&decisions) {
                    *out = decisions[stock].target.max(least) as f32;
                }
            }
        }
        Ok(RulePositions { positions, stocks, rules: count })
    }

    /// `[rule]`: positions at the view's row.
    pub(crate) fn at(&self, view: &MarketView<'_>, stock: usize) -> &[f32] {
        let from = (view.t() * self.stocks + stock) * self.rules;
        &self.positions[from..from + self.rules]
    }
}

/// The standard strategies and those that `config` defines.
pub(crate) fn registry(config: &MetaPolicyConfig) -> Result<Registry, StrategyError> {
    let mut registry = Registry::standard();
    StrategyFile::from_table(&config.define, "portfolio.meta_policy.define")?
        .register(&mut registry)?;
    Ok(registry)
}

/// Names of the rules in use, as in the registry. An unknown or repeated name is an error.
pub(crate) fn rule_names(
    config: &MetaPolicyConfig,
    stocks: usize,
) -> Result<Vec<String>, StrategyError> {
    let registry = registry(config)?;
    let mut names = Vec::new();
    for name in &config.strategies {
        let kind = registry.find(name)?;
        if names.iter().any(|known| *known == kind.name) {
            return Err(StrategyError::Name {
                name: name.clone(),
                what: "is listed twice in portfolio.meta_policy.strategies".into(),
                hint: "give each strategy once".into(),
            });
        }
        if stocks > 1 || !OF_SEVERAL.contains(&&*kind.name) {
            names.push(kind.name.to_string());
        }
    }
    Ok(names)
}

fn strategies(
    config: &MetaPolicyConfig,
    stocks: usize,
) -> Result<Vec<Box<dyn Strategy>>, StrategyError> {
    let registry = registry(config)?;
    let names = rule_names(config, stocks)?;
    names.iter().map(|name| registry.find(name)?.build_default(stocks)).collect()
}
