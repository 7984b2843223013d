use rand::SeedableRng;

use super::*;
use crate::eval::backtest::buy_and_hold;
use crate::eval::rules::tests::{limits, panel};
use crate::eval::rules::{standalone_rules, trade};
use crate::strategy::{Cancel, Decision, PanelBars};

fn estimate() -> SharpeEstimate {
    SharpeEstimate { value: Some(1.0), low: Some(0.5), high: Some(1.5), block_days: Some(2.0) }
}

/// Whole positions are traded as an agent's are, to the last bit, also with a limit that halts
/// trading.
#[test]
fn rules_have_the_account_that_an_agent_would_have() {
    let (_folder, panel, mut mandate) = panel("regimes");
    mandate.portfolio.drawdown_limit = 0.05;
    let (rows, limits) = (300..900, limits(&mandate));
    let market =
        ComparisonMarket { panel: &panel, rows: rows.clone(), mandate: &mandate, limits: &limits };
    let shared = SharedInputs::new(&market);
    let registry = Registry::standard();
    for theirs in standalone_rules(&panel, &rows, &mandate, &limits).unwrap() {
        let mut ours = StrategyRun::new(&shared, registry.find(&theirs.name).unwrap()).unwrap();
        ours.trade(&shared.decisions()).unwrap();
        assert!(Metrics::from_record(&theirs.record).trades > 0, "{}", theirs.name);
        assert_eq!(*ours.traded.last_stretch(), theirs.record, "{}", theirs.name);
    }
}

/// A DQN that wants what a strategy wants earns the same; there is one row per contender, and the
/// portfolio's figures are those passed in.
#[test]
fn everyone_is_there_once() {
    let (_folder, panel, mandate) = panel("momentum");
    let (rows, limits) = (300..700, limits(&mandate));
    let market =
        ComparisonMarket { panel: &panel, rows: rows.clone(), mandate: &mandate, limits: &limits };
    let registry = Registry::standard();
    let mut momentum = registry.find("Momentum").unwrap().build_default(2).unwrap();
    let portfolio = trade(momentum.as_mut(), &panel, &rows, &mandate, &limits).unwrap();
    let mut momentum = registry.find("Momentum").unwrap().build_default(2).unwrap();
    let (mut bars, mut latest) = (PanelBars::default(), vec![Decision::NONE; 2]);
    let mut dqn: Vec<(f32, f32)> = Vec::new();
    for row in 0..rows.end - 1 {
        momentum.decide(&bars.at(&panel.view(row), 2), &Cancel::new(), &mut latest).unwrap();
        if rows.contains(&row) {
            dqn.extend(latest.iter().map(|it| (it.target as f32, it.confidence as f32)));
        }
    }
    let views = rows.map(|row| panel.view(row));
    let held = buy_and_hold(&mandate.stocks, views, &mandate.env).unwrap();
    let (sharpe, mut rng) = (estimate(), ChaCha8Rng::seed_from_u64(1));
    let traded = TradedRecords {
        dqn: &dqn,
        portfolio: &portfolio,
        buy_and_hold: &held,
        sharpe: &sharpe,
        oracle: None,
    };
    let Comparison { contenders: all, dqn } = compare_all(&market, &traded, &mut rng);
    assert_eq!(dqn, portfolio);
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    #[rustfmt::skip]
    assert_eq!(names, ["RSI", "MACD", "Bollinger Bands", "Momentum", "Mean Reversion", "Pairs",
        "Arbitrage", "Autoregression", "Buy and Hold", "Flat", "weighted", "voting", "average",
        "inverse variance", "performance", "DQN", "portfolio", "buy-and-hold"]);
    let of = |name: &str| all.iter().find(|one| one.name == name).unwrap();
    for name in ["Momentum", "DQN", "portfolio"] {
        assert_eq!(of(name).metrics, Some(Metrics::from_record(&portfolio)), "{name}");
        assert_eq!(of(name).sharpe, Some(estimate()), "{name}");
    }
    assert_eq!(of("buy-and-hold").metrics, Some(Metrics::from_record(&held)));
    // Equal weights are an average; majority voting differs.
    assert_eq!(of("weighted").metrics, of("average").metrics);
    assert!(of("voting").metrics != of("average").metrics);
    assert!(of("performance").metrics != of("inverse variance").metrics);
    let flat = of("Flat");
    assert_eq!((flat.metrics.as_ref().unwrap().trades, flat.costs), (0, Some(0.0)));
    assert_eq!(flat.sharpe.as_ref().unwrap().value, None);
    for one in all.iter().filter(|one| one.name != "Flat") {
        let (metrics, sharpe) = (one.metrics.as_ref().unwrap(), one.sharpe.as_ref().unwrap());
        assert_eq!(sharpe.low.is_some(), sharpe.value.is_some(), "{}", one.name);
        // Fee and slippage of one basis point each.
        let days = portfolio.daily_returns().len() as f64;
        let paid = metrics.turnover * days * 2e-4;
        let found = one.costs.unwrap();
        assert!(
            (found / paid.max(1e-12) - 1.0).abs() < 1e-3 || metrics.trades == 0,
            "{}",
            one.name
        );
    }
}

/// A mean of targets is traded as a fraction of a position: half of it uses half of the capital.
#[test]
fn part_of_a_position_is_part_of_the_capital() {
    let (_folder, panel, mandate) = panel("random_walk");
    let (rows, limits) = (300..330, limits(&mandate));
    let market = ComparisonMarket { panel: &panel, rows, mandate: &mandate, limits: &limits };
    let shared = SharedInputs::new(&market);
    let [half, whole] = [0.5, 1.0].map(|target| dqn_alone(&shared, &[(target, 1.0); 29 * 2]));
    for stock in 0..2 {
        let share = half.position[2 + stock] / whole.position[2 + stock];
        assert!((share - 0.5).abs() < 1e-12, "{share}");
    }
}

/// Later rows do not change any account before them, ensembles included.
#[test]
fn later_rows_change_nothing_before() {
    let (_folder, panel, mandate) = panel("regimes");
    let limits = limits(&mandate);
    let equity = |rows: Range<usize>| -> Vec<Vec<f64>> {
        let market = ComparisonMarket { panel: &panel, rows, mandate: &mandate, limits: &limits };
        let shared = SharedInputs::new(&market);
        let (alone, ensembles) =
            strategies_and_ensembles(&shared, &Registry::standard(), usize::MAX);
        let alone = alone.iter().map(|run| run.as_ref().unwrap().traded.last_stretch());
        let ensembles = ensembles.iter().map(|run| run.as_ref().unwrap().traded.last_stretch());
        alone.chain(ensembles).map(|record| record.equity.clone()).collect()
    };
    for (whole, part) in equity(300..900).iter().zip(equity(300..600)) {
        assert_eq!(whole[..300], part[..]);
    }
}

/// The figures are those of the whole record, to the last bit, however long the stretches are in
/// which an account trades.
#[test]
fn stretches_change_no_figure() {
    let (_folder, panel, mandate) = panel("regimes");
    let (rows, limits) = (300..900, limits(&mandate));
    let market = ComparisonMarket { panel: &panel, rows, mandate: &mandate, limits: &limits };
    let shared = SharedInputs::new(&market);
    let registry = Registry::standard();
    let (alone, ensembles) = strategies_and_ensembles(&shared, &registry, usize::MAX);
    let (in_parts, ensembles_in_parts) = strategies_and_ensembles(&shared, &registry, 7);
    let mut traded = 0;
    let mut compare = |whole: &BacktestRecord, found: AccountFigures| {
        let expected = AccountFigures::new(whole, shared.costs());
        traded += expected.metrics.trades;
        assert_eq!(found.metrics, expected.metrics);
        assert_eq!(found.daily_returns, expected.daily_returns);
        assert_eq!(found.costs.to_bits(), expected.costs.to_bits());
    };
    for (whole, parts) in alone.iter().zip(&in_parts) {
        compare(
            whole.as_ref().unwrap().traded.last_stretch(),
            parts.as_ref().unwrap().traded.figures(),
        );
    }
    for (whole, parts) in ensembles.iter().zip(&ensembles_in_parts) {
        compare(
            whole.as_ref().unwrap().traded.last_stretch(),
            parts.as_ref().unwrap().traded.figures(),
        );
    }
    assert!(traded > 1_000, "{traded}");
}

/// One stock is not a pair: that row shows the error, and the others are unaffected.
#[test]
fn a_strategy_that_cannot_be_made_is_a_row_that_says_why() {
    let (_folder, panel, mandate) = panel("momentum");
    let one = Mandate { stocks: mandate.stocks[..1].to_vec(), ..mandate };
    let limits = one.limits(&[vec![None]]);
    let market = ComparisonMarket { panel: &panel, rows: 300..500, mandate: &one, limits: &limits };
    let record = dqn_alone(&SharedInputs::new(&market), &[(1.0, 1.0); 199]);
    let (sharpe, dqn) = (estimate(), [(1.0, 1.0); 199]);
    let (portfolio, buy_and_hold) = (&record, &record);
    let traded =
        TradedRecords { dqn: &dqn, portfolio, buy_and_hold, sharpe: &sharpe, oracle: None };
    let all = compare_all(&market, &traded, &mut ChaCha8Rng::seed_from_u64(1)).contenders;
    let failed: Vec<&Contender> = all.iter().filter(|one| one.metrics.is_none()).collect();
    assert!(failed.iter().any(|one| one.name == "Pairs") && failed.len() == 2, "{failed:?}");
    for one in failed {
        assert!(one.error.as_ref().unwrap().starts_with("a pair needs two stocks; "));
        assert!(one.sharpe.is_none() && one.costs.is_none());
    }
    assert_eq!(all.len(), Registry::standard().kinds().len() + ENSEMBLES.len() + 3);
}
