use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::eval::metrics::Metrics;
use crate::eval::trades::round_trips;
use crate::features::fixtures::random_market;
use crate::strategy::ensemble::EnsembleMethod;
use crate::strategy::{BarsAt, Decision};

fn market() -> Arc<MarketData> {
    Arc::new(MarketData::new(random_market(7, 2, 600, 13, 0.1)).unwrap())
}

fn runner(config: RunnerConfig) -> StrategyRunner {
    StrategyRunner::new(config).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_time().build().unwrap().block_on(future)
}

/// Runs these strategies without parameters.
fn run(runner: &StrategyRunner, strategies: Vec<StrategyRequest>) -> RunResults {
    let (data, none) = (market(), ParametersByStrategy::new());
    let ensemble = EnsembleConfig::default();
    wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap()
}

/// Calls the closure at every bar.
struct Custom<F>(F);

impl<F: FnMut(&Cancel) -> Result<(), StrategyError> + Send> Strategy for Custom<F> {
    fn decide(
        &mut self,
        _now: &BarsAt<'_>,
        cancel: &Cancel,
        decisions: &mut [Decision],
    ) -> Result<(), StrategyError> {
        decisions.fill(Decision::new(1.0, 1.0));
        (self.0)(cancel)
    }
}

#[test]
fn metrics_are_those_of_the_account_that_follows_the_signals() {
    let data = market();
    let env = EnvConfig { fee_bps: 3.0, slippage_bps: 2.0, ..EnvConfig::default() };
    let runner = runner(RunnerConfig { env: env.clone(), ..RunnerConfig::default() });
    let found = run(&runner, vec!["rsi".into(), "buy-and-hold".into(), "flat".into()]);
    let rsi = found.individual_results.get("RSI").unwrap();
    let signals = rsi.signals.as_ref().unwrap();
    assert_eq!(signals.rows(), data.rows());
    let record = backtest_signals(signals, &data, 0..data.rows(), &env, &Cancel::new()).unwrap();
    let metrics = Metrics::from_record(&record);
    let reported = rsi.performance_metrics.as_ref().unwrap();
    assert_eq!(
        (reported.total_return, reported.trades),
        (metrics.portfolio_return, metrics.trades)
    );
    assert_eq!(reported.sharpe_ratio, metrics.sharpe);
    assert!(reported.trades > 10, "{}", reported.trades);
    // All profits and losses belong to a trade.
    let trips = round_trips(&record, &Costs::new(&env));
    let earned: f64 = trips.iter().map(|trip| trip.profit).sum();
    let account = record.equity[data.rows() - 1] - record.equity[0];
    assert!((earned - account).abs() < 1e-6 * record.equity[0], "{earned} {account}");
    assert!(reported.win_rate.is_some_and(|rate| rate > 0.0 && rate < 1.0));
    assert_eq!(rsi.parameters_used["period"], 14);
    // Held until the end, so no trade was closed; without positions nothing is earned.
    let of = |name| found.individual_results.get(name).unwrap().performance_metrics.clone();
    assert_eq!(of("Buy and Hold").unwrap().win_rate, None);
    let flat = of("Flat").unwrap();
    assert_eq!((flat.total_return, flat.trades, flat.sharpe_ratio), (0.0, 0, None));
}

#[test]
fn a_failure_is_one_entry_and_the_others_run() {
    let short = RunnerConfig { strategy_timeout: 1.0, ..RunnerConfig::default() };
    let panics =
        Custom(|_: &Cancel| -> Result<(), StrategyError> { resume_unwind(Box::new("on purpose")) });
    let errs = Custom(|_: &Cancel| {
        let (strategy, what, hint) = ("errs".into(), "gave up".into(), "never mind".into());
        Err(StrategyError::Failed { strategy, what, hint })
    });
    let sleeps = Custom(|cancel: &Cancel| {
        while !cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.check()
    });
    let strategies: Vec<StrategyRequest> = vec![
        "RSI".into(),
        ("panics", panics).into(),
        "Invalid Strategy".into(),
        ("errs", errs).into(),
        ("sleeps", sleeps).into(),
        "MACD".into(),
    ];
    let runner = runner(short);
    let data = market();
    let (weights, method) = (Some(vec![3.0, 9.0, 9.0, 9.0, 9.0, 1.0]), None);
    let ensemble = EnsembleConfig { weights, method, ..EnsembleConfig::default() };
    let none = ParametersByStrategy::new();
    let found = wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble)).unwrap();
    assert!(found.success);
    let error = |name| {
        let result = found.individual_results.get(name).unwrap();
        assert!(!result.success && result.signals.is_none());
        result.error.clone().unwrap()
    };
    assert_eq!(error("panics"), "panicked: on purpose");
    assert!(error("errs").contains("gave up"));
    assert!(error("sleeps").contains("timed out after 1 s"));
    assert!(error("Invalid Strategy").contains("is unknown"));
    let stats = &found.execution_stats;
    assert_eq!((stats.total_strategies, stats.successful_strategies), (6, 2));
    assert_eq!(stats.failed_strategies, 4);
    // The ensemble consists of the two successful ones: 3 : 1.
    let combined = found.ensemble_result.as_ref().unwrap();
    assert_eq!(combined.ensemble_config.weights, [0.75, 0.25]);
    let of = |name: &str| found.individual_results.get(name).unwrap().signals.clone().unwrap();
    let (rsi, macd) = (of("RSI"), of("MACD"));
    for t in 0..rsi.rows() {
        let expected = 0.75 * rsi.at(t)[0].target + 0.25 * macd.at(t)[0].target;
        assert_eq!(combined.combined_signals.at(t)[0].target, expected, "{t}");
    }
    let history = runner.get_execution_history();
    assert_eq!(history.len(), 1);
    assert!((history[0].success_rate - 1.0 / 3.0).abs() < 1e-15);
    let performance = runner.get_strategy_performance();
    assert_eq!(performance["RSI"].successes, 1);
    assert_eq!(performance["errs"].success_rate, 0.0);
}

/// CPU time that a thread of this process has used so far, in ticks of 10 ms.
#[cfg(target_os = "linux")]
fn ticks_of(thread: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let fields: Vec<&str> = after_name.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Cancelled within a single bar: between bars the runner itself checks.
#[cfg(target_os = "linux")]
#[test]
fn a_timed_out_strategy_stops_using_a_core() {
    let thread = Arc::new(Mutex::new(String::new()));
    let stopped = Arc::new(AtomicBool::new(false));
    let (thread_id, ended) = (Arc::clone(&thread), Arc::clone(&stopped));
    let endless = Custom(move |cancel: &Cancel| {
        let own = std::fs::read_link("/proc/thread-self").unwrap();
        *thread_id.lock().unwrap() = own.file_name().unwrap().to_string_lossy().into_owned();
        while !cancel.is_cancelled() {
            std::hint::spin_loop();
        }
        ended.store(true, Ordering::SeqCst);
        cancel.check()
    });
    let runner = runner(RunnerConfig { strategy_timeout: 0.3, ..RunnerConfig::default() });
    let data = market();
    wait(async {
        let none = ParametersByStrategy::new();
        let ensemble = EnsembleConfig::default();
        let strategies = vec![("endless", endless).into()];
        let found = runner.run_strategies_parallel(strategies, &data, &none, &ensemble).await;
        let found = found.unwrap();
        assert!(!found.success && found.ensemble_result.is_none());
        while !stopped.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let thread = thread.lock().unwrap().clone();
        let before = ticks_of(&thread);
        assert!(before >= 5, "it was busy for {before} ticks");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = ticks_of(&thread);
        assert!(after <= before + 2, "{before} {after}");
    });
}

#[test]
fn no_more_work_at_a_time_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let strategies: Vec<StrategyRequest> = (0..6)
        .map(|_| {
            let (now, most, mut first) = (Arc::clone(&now), Arc::clone(&most), true);
            let one = Custom(move |_: &Cancel| {
                if std::mem::take(&mut first) {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                }
                Ok(())
            });
            StrategyRequest::from(("one", one))
        })
        .collect();
    let two = RunnerConfig { max_concurrent_strategies: 2, ..RunnerConfig::default() };
    let found = run(&runner(two), strategies);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(found.execution_stats.successful_strategies, 6);
    assert!(found.individual_results.get("one (6)").is_some());
    let efficiency = found.execution_stats.parallel_efficiency;
    assert!(efficiency > 0.0 && efficiency <= 1.0 + 1e-9, "{efficiency}");
}

#[test]
fn an_invalid_configuration_is_an_error() {
    let wrong = |config: RunnerConfig| StrategyRunner::new(config).err().unwrap().to_string();
    let none_at_once = RunnerConfig { max_concurrent_strategies: 0, ..RunnerConfig::default() };
    assert!(wrong(none_at_once).contains("max_concurrent_strategies: 0 is out of range"));
    for strategy_timeout in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = RunnerConfig { strategy_timeout, ..RunnerConfig::default() };
        assert!(wrong(config).contains("strategy_timeout"));
    }
    for (weights, part) in [
        (vec![1.0], "1 are given for 2 strategies"),
        (vec![0.0, 0.0], "all are 0"),
        (vec![1.0, -1.0], "-1 is out of range"),
    ] {
        let ensemble = EnsembleConfig { weights: Some(weights), ..EnsembleConfig::default() };
        let runner = runner(RunnerConfig::default());
        let (strategies, none) = (vec!["RSI".into(), "MACD".into()], ParametersByStrategy::new());
        let data = market();
        let found = wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble));
        assert!(found.err().unwrap().to_string().contains(part));
    }
}

#[test]
fn every_ensemble_is_judged_after_costs() {
    let runner = runner(RunnerConfig::default());
    let (data, none) = (market(), ParametersByStrategy::new());
    for method in [
        EnsembleMethod::Weighted,
        EnsembleMethod::Voting,
        EnsembleMethod::Average,
        EnsembleMethod::InverseVariance,
        EnsembleMethod::Performance,
    ] {
        let ensemble = EnsembleConfig { method: Some(method), ..EnsembleConfig::default() };
        let strategies = vec!["RSI".into(), "MACD".into(), "Momentum".into()];
        let found = wait(runner.run_strategies_parallel(strategies, &data, &none, &ensemble));
        let combined = found.unwrap().ensemble_result.unwrap();
        assert!(combined.performance_metrics.trades > 10, "{method:?}");
        assert_eq!(combined.ensemble_config.num_strategies, 3);
        let total: f64 = combined.ensemble_config.weights.iter().sum();
        assert!((total - 1.0).abs() < 1e-12 || total == 0.0, "{method:?}: {total}");
    }
}
