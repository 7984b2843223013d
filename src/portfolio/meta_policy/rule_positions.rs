//! Positions of the rules. They depend on the market only, so each rule is evaluated once per row
//! for all accounts.

use crate::config::MetaPolicyConfig;
use crate::market::panel::{MarketView, Panel};
use crate::strategy::{
    Cancel, Decision, PanelBars, Registry, Strategy, StrategyError, StrategyFile,
};

/// Strategies that need at least two stocks.
const OF_SEVERAL: [&str; 2] = ["Pairs", "Arbitrage"];

/// The positions that all rules want at rows of a panel, each computed from the bars up to that row.
pub(crate) struct RulePositions {
    /// The row of the panel with which they begin.
    first_row: usize,
    /// `[row, stock, rule]`, each from -1 to 1.
    positions: Vec<f32>,
    stocks: usize,
    rules: usize,
}

/// The rules, one row after the other.
pub(crate) struct Rules {
    rules: Vec<Box<dyn Strategy>>,
    stocks: usize,
    /// The least position: -1, or 0 where nothing is sold short.
    least: f64,
    bars: PanelBars,
    /// `[rule][stock]`.
    decisions: Vec<Vec<Decision>>,
    cancel: Cancel,
}

impl Rules {
    /// The strategies of `config`. Strategies of several stocks are left out if there is only one
    /// stock.
    pub(crate) fn new(
        stocks: usize,
        config: &MetaPolicyConfig,
        long_only: bool,
    ) -> Result<Rules, StrategyError> {
        let rules = strategies(config, stocks)?;
        Ok(Rules {
            stocks,
            least: if long_only { 0.0 } else { -1.0 },
            bars: PanelBars::default(),
            decisions: vec![vec![Decision::NONE; stocks]; rules.len()],
            cancel: Cancel::new(),
            rules,
        })
    }

    /// Takes in the row after the last one, and returns what the rules want at it.
    pub(crate) fn at(&mut self, view: &MarketView<'_>) -> Result<RulePositions, StrategyError> {
        let (stocks, rules) = (self.stocks, self.rules.len());
        let mut positions = vec![0.0; stocks * rules];
        self.decide(view, &mut positions)?;
        Ok(RulePositions { first_row: view.t(), positions, stocks, rules })
    }

    /// `[stock, rule]` into `positions`.
    fn decide(
        &mut self,
        view: &MarketView<'_>,
        positions: &mut [f32],
    ) -> Result<(), StrategyError> {
        let now = self.bars.at(view, self.stocks);
        for (rule, decisions) in self.rules.iter_mut().zip(&mut self.decisions) {
            rule.decide(&now, &self.cancel, decisions)?;
        }
        let of_stock = positions.chunks_exact_mut(self.rules.len().max(1));
        for (stock, out) in of_stock.enumerate() {
            for (out, decisions) in out.iter_mut().zip(&self.decisions) {
                *out = decisions[stock].target.max(self.least) as f32;
            }
        }
        Ok(())
    }
}

impl RulePositions {
    /// Runs the strategies of `config` over the panel, row by row.
    pub(crate) fn new(
        panel: &Panel,
        stocks: usize,
        config: &MetaPolicyConfig,
        long_only: bool,
    ) -> Result<RulePositions, StrategyError> {
        let mut rules = Rules::new(stocks, config, long_only)?;
        let width = stocks * rules.rules.len();
        let mut positions = vec![0.0; panel.rows() * width];
        for (row, out) in positions.chunks_exact_mut(width.max(1)).enumerate() {
            rules.decide(&panel.view(row), out)?;
        }
        Ok(RulePositions { first_row: 0, positions, stocks, rules: rules.rules.len() })
    }

    /// None of any row, to be replaced before the first decision.
    pub(super) fn none(stocks: usize) -> RulePositions {
        RulePositions { first_row: 0, positions: Vec::new(), stocks, rules: 0 }
    }

    /// `[rule]`: positions at the view's row.
    pub(crate) fn at(&self, view: &MarketView<'_>, stock: usize) -> &[f32] {
        let row = view.t() - self.first_row;
        let from = (row * self.stocks + stock) * self.rules;
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
