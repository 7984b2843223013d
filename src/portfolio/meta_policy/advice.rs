//! What the rules say. They look at the market alone, so each is asked once per row, whatever
//! account goes through the market when.

use crate::config::MetaPolicyConfig;
use crate::market::panel::{MarketView, Panel};
use crate::strategy::{
    Cancel, Decision, PanelBars, Registry, Strategy, StrategyError, StrategyFile,
};

/// Strategies that need two stocks.
const OF_SEVERAL: [&str; 2] = ["Pairs", "Arbitrage"];

/// The directions of some rules at every row of a panel. A reader comes with a view and gets what
/// was said at its row, from the bars up to it.
pub struct Advice {
    /// `[row, stock, rule]`, each -1, 0 or 1.
    directions: Vec<i8>,
    stocks: usize,
    rules: usize,
}

impl Advice {
    /// Runs the strategies of `config` through the panel, row by row. A strategy of several stocks
    /// is left out where there is only one.
    pub fn of(
        panel: &Panel,
        stocks: usize,
        config: &MetaPolicyConfig,
        long_only: bool,
    ) -> Result<Advice, StrategyError> {
        let mut rules = strategies(config, stocks)?;
        let least = if long_only { 0 } else { -1 };
        let (rows, count) = (panel.rows(), rules.len());
        let mut directions = vec![0; rows * stocks * count];
        let cancel = Cancel::new();
        let mut bars = PanelBars::default();
        let mut decisions = vec![vec![Decision::NONE; stocks]; count];
        for (row, said) in directions.chunks_exact_mut((stocks * count).max(1)).enumerate() {
            let now = bars.at(&panel.view(row), stocks);
            for (rule, decisions) in rules.iter_mut().zip(&mut decisions) {
                rule.decide(&now, &cancel, decisions)?;
            }
            for (stock, said) in said.chunks_exact_mut(count).enumerate() {
                for (said, decisions) in said.iter_mut().zip(&decisions) {
                    *said = decisions[stock].direction().max(least);
                }
            }
        }
        Ok(Advice { directions, stocks, rules: count })
    }

    /// `[rule]`, as of the view's row.
    pub fn at(&self, view: &MarketView<'_>, stock: usize) -> &[i8] {
        let from = (view.t() * self.stocks + stock) * self.rules;
        &self.directions[from..from + self.rules]
    }
}

/// The standard strategies, and those that `config` defines.
pub fn registry(config: &MetaPolicyConfig) -> Result<Registry, StrategyError> {
    let mut registry = Registry::standard();
    StrategyFile::of(&config.define, "portfolio.meta_policy.define")?.register(&mut registry)?;
    Ok(registry)
}

/// The names of the rules that are asked, as the registry has them. An unknown one is an error.
pub fn rule_names(config: &MetaPolicyConfig, stocks: usize) -> Result<Vec<String>, StrategyError> {
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
