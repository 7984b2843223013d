//! Back-tests of single strategies with the agent's capital, limits and costs.

use std::ops::Range;

use rayon::prelude::*;

use super::account::BacktestAccount;
use super::metrics::BacktestRecord;
use crate::market::panel::Panel;
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::strategy::{Cancel, Decision, PanelBars, Registry, Strategy, StrategyError};

/// Rules that every trained agent is compared with, by their names in the registry.
pub(crate) const RULES: [&str; 5] =
    ["RSI", "MACD", "Bollinger Bands", "Momentum", "Mean Reversion"];

/// Back-test of one strategy.
#[derive(Clone, Debug)]
pub(crate) struct StandaloneResult {
    pub(crate) name: String,
    pub(crate) record: BacktestRecord,
}

/// Back-tests each of [`RULES`] with default parameters over the same rows, in their order.
pub(crate) fn standalone_rules(
    panel: &Panel,
    rows: &Range<usize>,
    mandate: &Mandate,
    limits: &Limits,
) -> Result<Vec<StandaloneResult>, StrategyError> {
    let registry = Registry::standard();
    let alone = |name: &&str| {
        let kind = registry.find(name)?;
        let mut strategy = kind.build_default(mandate.stocks.len())?;
        let record = trade(strategy.as_mut(), panel, rows, mandate, limits)?;
        Ok(StandaloneResult { name: kind.name.to_string(), record })
    };
    RULES.par_iter().map(alone).collect()
}

/// Back-tests `strategy` over `rows` of a panel like an agent: whole positions, the capital that
/// the desk allocates, the same limits. It sees the earlier rows first as warm-up.
pub(crate) fn trade(
    strategy: &mut dyn Strategy,
    panel: &Panel,
    rows: &Range<usize>,
    mandate: &Mandate,
    limits: &Limits,
) -> Result<BacktestRecord, StrategyError> {
    assert!(rows.len() >= 2, "one bar to decide at and one to be filled at");
    let stocks = mandate.stocks.len();
    let cancel = Cancel::new();
    let (mut bars, mut decisions) = (PanelBars::default(), vec![Decision::NONE; stocks]);
    for row in 0..rows.start {
        strategy.decide(&bars.at(&panel.view(row), stocks), &cancel, &mut decisions)?;
    }
    let mut account = BacktestAccount::new(mandate, panel, rows, limits);
    let least = if mandate.env.long_only { 0.0 } else { -1.0 };
    for row in rows.start..rows.end - 1 {
        let view = panel.view(row);
        strategy.decide(&bars.at(&view, stocks), &cancel, &mut decisions)?;
        let wanted = decisions
            .iter()
            .map(|decision| (decision.target.max(least), decision.confidence as f32));
        account.order(&view, wanted);
        account.advance(&panel.view(row + 1));
    }
    Ok(account.into_record())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{EnvConfig, PortfolioConfig};
    use crate::eval::backtest::buy_and_hold;
    use crate::eval::metrics::Metrics;
    use crate::market::panel::PanelData;
    use crate::market::{Period, Symbol};
    use crate::synthetic::SyntheticMarket;

    const STOCKS: usize = 2;

    /// A few months of half-hour bars of a made-up market.
    pub(crate) fn panel(market: &str) -> (tempfile::TempDir, Panel, Mandate) {
        panel_of(market, ["2018-01-02", "2018-12-31"])
    }

    /// The same from one day to another.
    pub(crate) fn panel_of(market: &str, days: [&str; 2]) -> (tempfile::TempDir, Panel, Mandate) {
        let stocks: Vec<Symbol> = ["AAA", "BBB"].map(|name| name.parse().unwrap()).into();
        let market = SyntheticMarket::parse(market).unwrap();
        let [start, end] = days.map(|day| day.parse().unwrap());
        let period = Period { start, end };
        let series = stocks.iter().map(|symbol| market.bars(&stocks, symbol, &period, 30));
        let series: Vec<_> = series.collect();
        let rows = series[0].len();
        let column = |of: fn(&crate::market::BarSeries) -> &Vec<f64>| {
            (0..rows * STOCKS).map(|i| of(&series[i % STOCKS])[i / STOCKS]).collect()
        };
        let data = PanelData {
            stocks: stocks.clone(),
            feature_names: vec!["nothing".into()],
            end_s: series[0].end_s.clone(),
            open: column(|s| &s.open),
            high: column(|s| &s.high),
            low: column(|s| &s.low),
            close: column(|s| &s.close),
            volume: column(|s| &s.volume),
            tradable: vec![true; rows * STOCKS],
            features: vec![0.0; rows * STOCKS],
            note: String::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("panel.arrow");
        Panel::write(&path, &data).unwrap();
        let mandate = Mandate::new(&stocks, &EnvConfig::default(), &PortfolioConfig::default());
        (folder, Panel::open(&path).unwrap(), mandate)
    }

    pub(crate) fn limits(mandate: &Mandate) -> Limits {
        mandate.limits(&[vec![None; STOCKS], vec![None; STOCKS]])
    }

    fn reward(market: &str, name: &str) -> f64 {
        let (_folder, panel, mandate) = panel(market);
        let rows = 300..panel.rows();
        let alone = standalone_rules(&panel, &rows, &mandate, &limits(&mandate)).unwrap();
        let alone = alone.iter().find(|alone| alone.name == name).unwrap();
        Metrics::from_record(&alone.record).total_reward
    }

    #[test]
    fn each_planted_edge_pays_the_rule_that_looks_for_it() {
        assert!(reward("momentum", "Momentum") > 0.1);
        assert!(reward("momentum", "Mean Reversion") < 0.0);
        assert!(reward("mean_reversion", "Mean Reversion") > 0.1);
        assert!(reward("mean_reversion", "Momentum") < 0.0);
    }

    #[test]
    fn what_comes_after_changes_nothing_before() {
        let (_folder, panel, mandate) = panel("regimes");
        let limits = limits(&mandate);
        let whole = standalone_rules(&panel, &(300..900), &mandate, &limits).unwrap();
        let part = standalone_rules(&panel, &(300..700), &mandate, &limits).unwrap();
        for (whole, part) in whole.iter().zip(&part) {
            assert!(Metrics::from_record(&part.record).trades > 0, "{} trades", part.name);
            assert_eq!(part.record.equity[..], whole.record.equity[..400], "{}", part.name);
        }
    }

    /// Equal shares without resizing, as in the benchmark.
    #[test]
    fn buy_and_hold_is_the_benchmark() {
        let (_folder, panel, mut mandate) = panel("random_walk");
        mandate.env.rebalance_band = f64::INFINITY;
        // Equal shares need no past: with room for no more than half each, none is allocated
        // otherwise.
        mandate.portfolio.name_limit = Some(0.5);
        let mut hold = Registry::standard().find("hold").unwrap().build_default(STOCKS).unwrap();
        let rows = 300..600;
        let ours = trade(hold.as_mut(), &panel, &rows, &mandate, &limits(&mandate)).unwrap();
        let views = rows.map(|row| panel.view(row));
        let theirs = buy_and_hold(&mandate.stocks, views, &mandate.env).unwrap();
        for (ours, theirs) in ours.equity.iter().zip(&theirs.equity) {
            assert!((ours / theirs - 1.0).abs() < 1e-9, "{ours} {theirs}");
        }
        assert!(ours.equity[299] != ours.equity[0]);
    }
}
