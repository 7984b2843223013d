//! The strategy runner as a library: code that a program would contain, one example per test.
//!
//! - strategies with parameters, in parallel: [`several_strategies_with_their_parameters`];
//! - the fields of a result: [`the_fields_of_a_result`];
//! - functions for single strategies, joined: [`single_strategies_joined`];
//! - configuration and defaults: [`the_configuration_and_its_defaults`];
//! - bars read from a file, the Sharpe ratios printed: [`bars_from_a_csv_file`];
//! - instances instead of names: [`instances_are_run_like_names`];
//! - an ensemble with weights, its signals passed to a portfolio or a back-test:
//!   [`an_ensemble_with_weights`];
//! - one strategy that fails, success rate, history, performance, efficiency:
//!   [`failures_history_and_performance`]; all that fail:
//!   [`a_run_in_which_all_fail_is_no_success`];
//! - a custom strategy in the registry: [`a_custom_instance_and_a_registered_custom_kind`];
//! - parameters checked before a run: [`parameters_are_checked_by_themselves`];
//! - a log for debugging: [`runs_are_logged`];
//! - strategies from a file: [`strategies_from_a_file`].
//!
//! The equivalent commands are in `documentation.rs`; bars in real time, several processes and the
//! parameter search in `strategies.rs`.

use std::sync::Arc;

use dqn_trader::market::{Bar, BarSeries, MarketData, Period, Symbol};
use dqn_trader::runner::{
    EnsembleConfig, ParametersByStrategy, RunnerConfig, StrategyRequest, StrategyRunner,
    backtest_signals,
};
use dqn_trader::strategy::ensemble::EnsembleMethod;
use dqn_trader::strategy::{
    Cancel, Decision, GivenParameters, Parameter, PerStock, Registry, Rule, StrategyFile,
    StrategyKind,
};
use dqn_trader::synthetic::SyntheticMarket;
use serde_json::{Value, json};

/// A quarter of half-hour bars of two synthetic stocks.
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

fn given(value: serde_json::Value) -> GivenParameters {
    serde_json::from_value(value).unwrap()
}

fn choices<const N: usize>(names: [&str; N]) -> Vec<StrategyRequest> {
    names.map(StrategyRequest::from).into()
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
fn single_strategies_joined() {
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let (data, none) = (market_data(), GivenParameters::new());
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

/// Long after two consecutive rises.
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
fn a_custom_instance_and_a_registered_custom_kind() {
    let rule = TwoRises { last: f64::INFINITY, rises: 0, needed: 2 };
    let parameters = vec![Parameter::whole("rises", 2, 1..=10, "bars", "rises in a row")];
    let mut registry = Registry::standard();
    let registered =
        StrategyKind::new("My Strategy", "after rises", parameters, |parameters, stocks| {
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
    // Code that manages positions can use the combined signals.
    let signals = &combined.combined_signals;
    let env = RunnerConfig::default().env;
    let rows = 0..data.rows();
    let record = backtest_signals(signals, &data, rows, &env, &Cancel::new()).unwrap();
    assert_eq!(record.equity, combined.record.equity);
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
        let none = GivenParameters::new();
        futures::join!(
            runner.run_strategy("quick-rsi", &data, &none),
            runner.run_strategy("dip in a rise", &data, &none),
        )
    });
    assert_eq!(quick.parameters_used["period"], 7);
    assert!(dip.success, "{:?}", dip.error);
}

#[test]
fn the_fields_of_a_result() {
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let (data, none) = (market_data(), ParametersByStrategy::new());
    let ensemble = EnsembleConfig::default();
    let strategies = choices(["RSI", "MACD"]);
    let results =
        wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap();
    let json = serde_json::to_value(&results).unwrap();
    let all = |json: &Value, keys: &[&str]| {
        keys.iter().all(|key| !json[key].is_null()) || panic!("{keys:?} of {json}")
    };
    let metrics = ["total_return", "volatility", "sharpe_ratio", "max_drawdown", "win_rate"];
    let rsi = &json["individual_results"]["RSI"];
    assert!(all(rsi, &["success", "strategy_name", "performance_metrics", "metadata"]));
    assert!(all(rsi, &["execution_time", "parameters_used", "timestamp"]));
    assert!(all(&rsi["performance_metrics"], &metrics));
    let together = &json["ensemble_result"];
    assert!(all(together, &["success", "performance_metrics", "ensemble_config", "timestamp"]));
    assert!(all(&together["performance_metrics"], &metrics));
    assert!(all(&together["ensemble_config"], &["method", "weights", "num_strategies"]));
    let stats = &json["execution_stats"];
    assert!(all(stats, &["total_strategies", "successful_strategies", "failed_strategies"]));
    assert!(all(stats, &["execution_time", "parallel_efficiency"]));
    // Signals are tables outside the JSON.
    let signals = results.individual_results.get("RSI").unwrap().signals.clone().unwrap();
    assert_eq!(signals.rows(), results.ensemble_result.unwrap().combined_signals.rows());
}

#[test]
fn the_configuration_and_its_defaults() {
    let written: RunnerConfig = serde_json::from_value(json!({
        "max_concurrent_strategies": 5,
        "strategy_timeout": 60,
        "enable_ensemble": true,
        "ensemble_method": "weighted",
        "log_performance": true,
    }))
    .unwrap();
    assert_eq!(RunnerConfig { strategy_timeout: 30.0, ..written.clone() }, RunnerConfig::default());
    assert!(StrategyRunner::new(written).is_ok());
    for method in ["voting", "average", "inverse_variance", "performance"] {
        let config = json!({ "ensemble_method": method });
        let config: RunnerConfig = serde_json::from_value(config).unwrap();
        assert_eq!(json!(config.ensemble_method), method);
    }
    let without = RunnerConfig { enable_ensemble: false, ..RunnerConfig::default() };
    let runner = StrategyRunner::new(without).unwrap();
    let (data, none) = (market_data(), ParametersByStrategy::new());
    let ensemble = EnsembleConfig::default();
    let results =
        wait(runner.run_strategies_parallel(choices(["RSI"]), &data, &none, &ensemble)).unwrap();
    assert!(results.success && results.ensemble_result.is_none());
}

#[test]
fn bars_from_a_csv_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("market_data.csv");
    let mut text = String::from("timestamp,open,high,low,close,volume\n");
    for bar in market_data().series(0).bars() {
        let Bar { end_s, open, high, low, close, volume } = bar;
        text += &format!("{end_s},{open},{high},{low},{close},{volume}\n");
    }
    std::fs::write(&path, text).unwrap();

    let mut series = BarSeries::new("AAA".parse().unwrap());
    for line in std::fs::read_to_string(&path).unwrap().lines().skip(1) {
        let (time, prices) = line.split_once(',').unwrap();
        let prices: Vec<f64> = prices.split(',').map(|price| price.parse().unwrap()).collect();
        let [open, high, low, close, volume] = prices[..] else { panic!("{line}") };
        series.push(Bar { end_s: time.parse().unwrap(), open, high, low, close, volume });
    }
    let data = Arc::new(MarketData::new(vec![series]).unwrap());
    let parameters = ParametersByStrategy::from([
        ("RSI".into(), given(json!({ "period": 14 }))),
        ("MACD".into(), given(json!({ "fast_period": 12, "slow_period": 26 }))),
        ("Bollinger Bands".into(), given(json!({ "period": 20 }))),
    ]);
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let strategies = choices(["RSI", "MACD", "Bollinger Bands"]);
    let ensemble = EnsembleConfig::default();
    let results =
        wait(runner.run_strategies_parallel(strategies, &data, &parameters, &ensemble)).unwrap();
    let mut told = Vec::new();
    for (name, result) in results.individual_results.iter().filter(|(_, one)| one.success) {
        let sharpe = result.performance_metrics.as_ref().unwrap().sharpe_ratio.unwrap();
        told.push(format!("{name}: Sharpe = {sharpe:.3}"));
    }
    assert_eq!(told.len(), 3);
    assert!(told[1].starts_with("MACD: Sharpe = "), "{told:?}");
    // Bit-identical to a run on the bars themselves.
    let mut first = market_data().series(0).clone();
    first.symbol = "AAA".parse().unwrap();
    let first = Arc::new(MarketData::new(vec![first]).unwrap());
    let again = wait(runner.run_rsi_strategy(&first, &GivenParameters::new()));
    let rsi = results.individual_results.get("RSI").unwrap();
    assert_eq!(again.performance_metrics, rsi.performance_metrics);
}

#[test]
fn instances_are_run_like_names() {
    let registry = Registry::standard();
    let instance = |name: &str| StrategyRequest::Instance {
        name: format!("my {name}"),
        strategy: registry.find(name).unwrap().build_default(2).unwrap(),
    };
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let (data, none) = (market_data(), ParametersByStrategy::new());
    let strategies = vec![instance("RSI"), instance("MACD"), "RSI".into(), "MACD".into()];
    let ensemble = EnsembleConfig::default();
    let results =
        wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap();
    for name in ["RSI", "MACD"] {
        let of = |name: &str| results.individual_results.get(name).unwrap().clone();
        assert_eq!(of(name).signals, of(&format!("my {name}")).signals);
        assert_eq!(of(name).performance_metrics, of(&format!("my {name}")).performance_metrics);
    }
}

#[test]
fn a_run_in_which_all_fail_is_no_success() {
    let runner = StrategyRunner::new(RunnerConfig::default()).unwrap();
    let (data, none) = (market_data(), ParametersByStrategy::new());
    let ensemble = EnsembleConfig::default();
    let strategies = choices(["NoSuch", "NorThis"]);
    let results =
        wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap();
    assert!(!results.success && results.ensemble_result.is_none());
    assert!(results.individual_results.iter().all(|(_, one)| one.error.is_some()));
    let error = wait(runner.run_strategies_parallel(Vec::new(), &data, &none, &ensemble));
    assert!(error.unwrap_err().to_string().contains("name at least one"));
}

#[test]
fn parameters_are_checked_by_themselves() {
    let registry = Registry::standard();
    let kind = registry.find("RSI").unwrap();
    let checked = |value| kind.resolve(&given(value)).map_err(|error| error.to_string());
    assert_eq!(checked(json!({ "period": 7 })).unwrap().whole("period"), 7);
    for (wrong, part) in [
        (json!({ "period": 1 }), "from 2 to 100000"),
        (json!({ "period": "fast" }), "whole number"),
        (json!({ "treshold": 7 }), "is unknown"),
        (json!({ "overbought": 20, "oversold": 30 }), "change one of the two"),
    ] {
        let error = checked(wrong).unwrap_err();
        assert!(error.starts_with("RSI: parameter ") && error.contains(part), "{error}");
    }
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn runs_are_logged() {
    let of = |log_performance| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let config = RunnerConfig { log_performance, ..RunnerConfig::default() };
        let runner = StrategyRunner::new(config).unwrap();
        let data = market_data();
        tracing::subscriber::with_default(subscriber, || {
            let here = tokio::runtime::Builder::new_current_thread().enable_time().build();
            here.unwrap().block_on(runner.run_rsi_strategy(&data, &GivenParameters::new()))
        });
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    };
    let log = of(true);
    assert!(log.contains("strategy=\"RSI\" success=true") && log.contains("sharpe="), "{log}");
    assert!(!of(false).contains("strategy="));
}
