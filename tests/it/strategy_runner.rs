//! The strategy runner as a library: what a program that uses it writes, one example per test.

use std::sync::Arc;

use dqn_trader::market::synthetic::SyntheticMarket;
use dqn_trader::market::{Bar, MarketData, Period, Symbol};
use dqn_trader::runner::{
    Choice, EnsembleConfig, ParametersByStrategy, RunnerConfig, StrategyRunner, positions_course,
};
use dqn_trader::strategy::ensemble::EnsembleMethod;
use dqn_trader::strategy::{
    Cancel, Decision, Given, Kind, Parameter, PerStock, Registry, Rule, StrategyFile,
};
use serde_json::json;

/// A quarter of half-hour bars of two made-up stocks.
fn market_data() -> Arc<MarketData> {
    let stocks: Vec<Symbol> = ["AAA", "BBB"].map(|name| name.parse().unwrap()).into();
    let market = SyntheticMarket::parse("momentum").unwrap();
    let (start, end) = ("2019-01-02".parse().unwrap(), "2019-03-29".parse().unwrap());
    let period = Period { start, end };
    let series = stocks.iter().map(|symbol| market.bars(&stocks, symbol, &period, 30)).collect();
    Arc::new(MarketData::new(series).unwrap())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_time().build().unwrap().block_on(future)
}

fn given(value: serde_json::Value) -> Given {
    serde_json::from_value(value).unwrap()
}

fn choices<const N: usize>(names: [&str; N]) -> Vec<Choice> {
    names.map(Choice::from).into()
}

#[test]
fn several_strategies_with_their_parameters() {
    let runner = StrategyRunner::new(RunnerConfig {
        max_concurrent_strategies: 3,
        strategy_timeout: 30.0,
        enable_ensemble: true,
        ensemble_method: EnsembleMethod::Weighted,
        ..RunnerConfig::default()
    })
    .unwrap();
    let parameters = ParametersByStrategy::from([
        ("RSI".into(), given(json!({ "period": 7, "overbought": 70, "oversold": 30 }))),
        ("macd".into(), given(json!({ "fast_period": 6, "slow_period": 13, "signal_period": 5 }))),
        ("Bollinger Bands".into(), given(json!({ "period": 10, "std_dev": 2 }))),
    ]);
    let (data, ensemble) = (market_data(), EnsembleConfig::default());
    let strategies = choices(["RSI", "MACD", "Bollinger Bands"]);
    let results =
        wait(runner.run_strategies_parallel(strategies, &data, &parameters, &ensemble)).unwrap();
    assert!(results.success);
    for (name, result) in results.individual_results.iter() {
        assert!(result.success, "{name}");
        let metrics = result.performance_metrics.as_ref().unwrap();
        assert!(metrics.sharpe_ratio.is_some() && metrics.volatility.is_some(), "{name}");
    }
    let macd = results.individual_results.get("MACD").unwrap();
    assert_eq!(macd.parameters_used["slow_period"], 13);
    // Momentum is planted in these prices.
    assert!(macd.performance_metrics.as_ref().unwrap().total_return > 0.0);
    let json = serde_json::to_value(&results).unwrap();
    let keys = ["success", "individual_results", "ensemble_result", "execution_stats", "timestamp"];
    assert!(keys.iter().all(|key| !json[key].is_null()), "{json}");
    let one = &json["individual_results"]["RSI"];
    for key in ["strategy_name", "performance_metrics", "metadata", "execution_time"] {
        assert!(!one[key].is_null(), "{key}");
    }
    assert_eq!(json["ensemble_result"]["ensemble_config"]["num_strategies"], 3);
}

#[test]
fn strategies_of_their_own_joined() {
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let (data, none) = (market_data(), Given::new());
    let (rsi, macd, bollinger, momentum, reversion) = wait(async {
        futures::join!(
            runner.run_rsi_strategy(&data, &none),
            runner.run_macd_strategy(&data, &none),
            runner.run_bollinger_bands_strategy(&data, &none),
            runner.run_momentum_strategy(&data, &none),
            runner.run_mean_reversion_strategy(&data, &none),
        )
    });
    let all = [&rsi, &macd, &bollinger, &momentum, &reversion];
    assert!(all.iter().all(|result| result.success));
    let names = all.map(|result| result.strategy_name.as_str());
    assert_eq!(names, ["RSI", "MACD", "Bollinger Bands", "Momentum", "Mean Reversion"]);
    assert_eq!(rsi.signals.as_ref().unwrap().rows(), data.rows());
}

/// Long after two rises in a row.
#[derive(Clone)]
struct TwoRises {
    last: f64,
    rises: u32,
    needed: u32,
}

impl Rule for TwoRises {
    fn update(&mut self, bar: &Bar) -> Decision {
        self.rises = if bar.close > self.last { self.rises + 1 } else { 0 };
        self.last = bar.close;
        let long = self.last.is_finite() && self.rises >= self.needed;
        Decision::new(if long { 1.0 } else { 0.0 }, 1.0)
    }
}

#[test]
fn an_instance_and_a_registered_kind_of_ones_own() {
    let rule = TwoRises { last: f64::INFINITY, rises: 0, needed: 2 };
    let parameters = vec![Parameter::whole("rises", 2, 1..=10, "bars", "rises in a row")];
    let mut registry = Registry::standard();
    let registered = Kind::new("My Strategy", "after rises", parameters, |parameters, stocks| {
        let needed = u32::try_from(parameters.whole("rises")).expect("at most 10");
        let rule = TwoRises { last: f64::INFINITY, rises: 0, needed };
        Ok(Box::new(PerStock::new(rule, stocks)))
    });
    registry.register(registered).unwrap();
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap().with_registry(registry);
    let data = market_data();
    let strategies = vec![("by hand", PerStock::new(rule, 2)).into(), "my-strategy".into()];
    let (none, ensemble) = (ParametersByStrategy::new(), EnsembleConfig::default());
    let results =
        wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap();
    let of = |name| results.individual_results.get(name).unwrap().signals.clone().unwrap();
    assert_eq!(of("by hand"), of("My Strategy"));
    assert!((0..data.rows()).any(|t| of("by hand").at(t)[1].target == 1.0));
}

#[test]
fn an_ensemble_with_weights() {
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let ensemble = EnsembleConfig {
        method: Some(EnsembleMethod::Weighted),
        weights: Some(vec![0.4, 0.4, 0.2]),
        ..EnsembleConfig::default()
    };
    let (data, none) = (market_data(), ParametersByStrategy::new());
    let strategies = choices(["RSI", "MACD", "Bollinger Bands"]);
    let results =
        wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap();
    let combined = results.ensemble_result.unwrap();
    let weights = &combined.ensemble_config.weights;
    assert!(weights.iter().zip([0.4, 0.4, 0.2]).all(|(w, expected)| (w - expected).abs() < 1e-15));
    assert!(combined.performance_metrics.sharpe_ratio.is_some());
    // What holds positions next takes the combined signals from here.
    let signals = &combined.combined_signals;
    let env = RunnerConfig::default().env;
    let rows = 0..data.rows();
    let course = positions_course(signals, &data, rows, &env, &Cancel::new()).unwrap();
    assert_eq!(course.equity, combined.course.equity);
}

#[test]
fn failures_history_and_performance() {
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let (data, none) = (market_data(), ParametersByStrategy::new());
    let ensemble = EnsembleConfig::default();
    for _ in 0..2 {
        let strategies = choices(["RSI", "InvalidStrategy", "MACD"]);
        let results =
            wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap();
        let failed = results.individual_results.get("InvalidStrategy").unwrap();
        assert!(failed.error.as_ref().unwrap().contains("is unknown"));
        let stats = &results.execution_stats;
        assert_eq!((stats.successful_strategies, stats.total_strategies), (2, 3));
        assert!(stats.parallel_efficiency > 0.0 && stats.execution_time > 0.0);
    }
    let history = runner.get_execution_history();
    assert!(history.iter().all(|entry| (entry.success_rate - 2.0 / 3.0).abs() < 1e-15));
    let performance = runner.get_strategy_performance();
    assert_eq!((performance["RSI"].executions, performance["RSI"].success_rate), (2, 1.0));
    assert!(performance["MACD"].last_metrics.is_some());
}

#[test]
fn strategies_from_a_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("mine.toml");
    std::fs::write(&path, include_str!("../../docs/strategies.toml")).unwrap();
    let file = StrategyFile::read(&path).unwrap();
    let mut registry = Registry::standard();
    file.register(&mut registry).unwrap();
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap().with_registry(registry);
    let data = market_data();
    let (quick, dip) = wait(async {
        let none = Given::new();
        futures::join!(
            runner.run_strategy("quick-rsi", &data, &none),
            runner.run_strategy("dip in a rise", &data, &none),
        )
    });
    assert_eq!(quick.parameters_used["period"], 7);
    assert!(dip.success, "{:?}", dip.error);
}
