//! Runs many strategies over the same bars in parallel, with time limits, back-tests them, and
//! combines the successful ones. Asynchronous; the work runs on tokio's blocking threads.

mod config;
mod history;
pub mod optimize;
mod results;
mod work;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub use config::{EnsembleConfig, RunnerConfig, RunnerError};
pub use history::{HistoryEntry, StrategyPerformance};
pub use results::{
    EnsembleResult, EnsembleUsed, ExecutionStats, IndividualResults, PerformanceMetrics,
    RunResults, StrategyResult,
};
pub use work::backtest_signals;

use crate::market::{MarketData, Symbol};
use crate::strategy::ensemble::EnsembleMethod;
use crate::strategy::{Cancel, GivenParameters, Registry, Strategy, StrategyError};
use history::ExecutionHistory;
use work::{StrategyJob, SucceededStrategy, combined};

/// A strategy to run: its name in the registry, or an instance made by the caller.
pub enum StrategyRequest {
    /// By its name in the registry, with the parameters given for it.
    Named(String),
    /// Must not have seen a bar yet. Consumed by the run.
    Instance {
        /// Name in the results.
        name: String,
        /// What decides.
        strategy: Box<dyn Strategy>,
    },
}

impl From<&str> for StrategyRequest {
    fn from(name: &str) -> StrategyRequest {
        StrategyRequest::Named(name.into())
    }
}

impl From<String> for StrategyRequest {
    fn from(name: String) -> StrategyRequest {
        StrategyRequest::Named(name)
    }
}

impl<S: Strategy + 'static> From<(&str, S)> for StrategyRequest {
    fn from((name, strategy): (&str, S)) -> StrategyRequest {
        StrategyRequest::Instance { name: name.into(), strategy: Box::new(strategy) }
    }
}

/// When a call started, and how many strategies could run at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Execution {
    /// When the call began, for the wall time.
    pub started: Instant,
    /// Strategies that could run at the same time.
    pub slots: usize,
}

/// Parameters by strategy name; case and punctuation of the name are ignored.
pub type ParametersByStrategy = BTreeMap<String, GivenParameters>;

/// Called for each finished strategy, on the thread of the caller's runtime.
type OnDone = dyn Fn(&StrategyResult) + Send + Sync;

/// Runs strategies. May be shared; its limit of concurrent strategies applies to all calls
/// together.
pub struct StrategyRunner {
    config: RunnerConfig,
    registry: Registry,
    slots: Semaphore,
    history: ExecutionHistory,
    on_done: Option<Box<OnDone>>,
}

impl StrategyRunner {
    /// With the built-in strategies. Errors: a setting of `config` is out of range.
    pub fn new(config: RunnerConfig) -> Result<StrategyRunner, RunnerError> {
        config.validate()?;
        Ok(StrategyRunner {
            slots: Semaphore::new(config.max_concurrent_strategies),
            config,
            registry: Registry::standard(),
            history: ExecutionHistory::default(),
            on_done: None,
        })
    }

    /// Uses these strategies instead of the built-in ones.
    pub fn with_registry(mut self, registry: Registry) -> StrategyRunner {
        self.registry = registry;
        self
    }

    /// Reports every strategy as soon as it has ended.
    pub fn on_done(
        mut self,
        on_done: impl Fn(&StrategyResult) + Send + Sync + 'static,
    ) -> StrategyRunner {
        self.on_done = Some(Box::new(on_done));
        self
    }

    /// Runs `strategies` in parallel and combines the successful ones. A strategy that panics,
    /// fails, is unknown or exceeds its time limit becomes a failed entry of the results.
    ///
    /// # Errors
    /// If nothing can be run: there is no strategy, or the ensemble's weights do not match the
    /// strategies.
    pub async fn run_strategies_parallel(
        &self,
        strategies: Vec<StrategyRequest>,
        data: &Arc<MarketData>,
        parameters: &ParametersByStrategy,
        ensemble: &EnsembleConfig,
    ) -> Result<RunResults, RunnerError> {
        ensemble.weights_for(strategies.len())?;
        let started = Instant::now();
        let slots = self.config.max_concurrent_strategies.min(strategies.len());
        let results = self.run_each(strategies, data, parameters).await;
        self.combine(results, data, ensemble, Execution { started, slots }).await
    }

    /// Runs `strategies` in parallel, without an ensemble.
    pub async fn run_each(
        &self,
        strategies: Vec<StrategyRequest>,
        data: &Arc<MarketData>,
        parameters: &ParametersByStrategy,
    ) -> Vec<StrategyResult> {
        let runs = strategies.into_iter().map(|choice| self.run_one(choice, data, parameters));
        join_all(runs).await
    }

    /// Combines the results of [`StrategyRunner::run_each`], possibly from several processes, which
    /// must be in the order of the strategies, and adds the ensemble of the successful ones.
    ///
    /// # Errors
    /// If there is no strategy, or the ensemble's weights do not match the strategies.
    pub async fn combine(
        &self,
        results: Vec<StrategyResult>,
        data: &Arc<MarketData>,
        ensemble: &EnsembleConfig,
        execution: Execution,
    ) -> Result<RunResults, RunnerError> {
        let weights = ensemble.weights_for(results.len())?;
        if results.is_empty() {
            return Err(RunnerError::new("strategies", "none is given", "name at least one"));
        }
        let total = results.len();
        let busy: f64 = results.iter().map(|result| result.execution_time).sum();
        let method = ensemble.method.unwrap_or(self.config.ensemble_method);
        let one = |(result, &weight): (&StrategyResult, &f64)| {
            let (signals, record) = (result.signals.clone()?, result.record.clone()?);
            Some(SucceededStrategy { name: result.strategy_name.clone(), signals, record, weight })
        };
        let members: Vec<SucceededStrategy> =
            results.iter().zip(&weights).filter_map(one).collect();
        let ensemble_result = match self.config.enable_ensemble && !members.is_empty() {
            true => Some(self.ensemble(method, members, ensemble.window_bars, data).await),
            false => None,
        };
        let wall = execution.started.elapsed().as_secs_f64();
        let slots = execution.slots as f64;
        let successful = results.iter().filter(|result| result.success).count();
        let stats = ExecutionStats {
            total_strategies: total,
            successful_strategies: successful,
            failed_strategies: total - successful,
            execution_time: wall,
            parallel_efficiency: if wall > 0.0 { busy / (wall * slots) } else { 1.0 },
        };
        self.history.record(&results, &stats);
        Ok(RunResults {
            success: successful > 0,
            individual_results: IndividualResults::new(results),
            ensemble_result,
            execution_stats: stats,
            timestamp: now(),
        })
    }

    /// Runs a single strategy, for use with `join!`.
    pub async fn run_strategy(
        &self,
        name: &str,
        data: &Arc<MarketData>,
        parameters: &GivenParameters,
    ) -> StrategyResult {
        let given = ParametersByStrategy::from([(name.to_string(), parameters.clone())]);
        self.run_one(name.into(), data, &given).await
    }

    /// RSI alone.
    pub async fn run_rsi_strategy(
        &self,
        data: &Arc<MarketData>,
        given: &GivenParameters,
    ) -> StrategyResult {
        self.run_strategy("RSI", data, given).await
    }

    /// MACD alone.
    pub async fn run_macd_strategy(
        &self,
        data: &Arc<MarketData>,
        given: &GivenParameters,
    ) -> StrategyResult {
        self.run_strategy("MACD", data, given).await
    }

    /// Bollinger Bands alone.
    pub async fn run_bollinger_bands_strategy(
        &self,
        data: &Arc<MarketData>,
        given: &GivenParameters,
    ) -> StrategyResult {
        self.run_strategy("Bollinger Bands", data, given).await
    }

    /// Momentum alone.
    pub async fn run_momentum_strategy(
        &self,
        data: &Arc<MarketData>,
        given: &GivenParameters,
    ) -> StrategyResult {
        self.run_strategy("Momentum", data, given).await
    }

    /// Mean Reversion alone.
    pub async fn run_mean_reversion_strategy(
        &self,
        data: &Arc<MarketData>,
        given: &GivenParameters,
    ) -> StrategyResult {
        self.run_strategy("Mean Reversion", data, given).await
    }

    /// One entry per call of [`StrategyRunner::run_strategies_parallel`], oldest first; the last
    /// 1,000 calls.
    pub fn get_execution_history(&self) -> Vec<HistoryEntry> {
        self.history.entries()
    }

    /// Statistics over all calls, by name of strategy; of the last 1,000 names.
    pub fn get_strategy_performance(&self) -> BTreeMap<String, StrategyPerformance> {
        self.history.performance()
    }

    /// Waits for a slot, runs on another thread, and returns a failure after the time limit.
    async fn run_one(
        &self,
        choice: StrategyRequest,
        data: &Arc<MarketData>,
        parameters: &ParametersByStrategy,
    ) -> StrategyResult {
        let stocks = data.stocks();
        let PreparedStrategy { name, used, strategy } = match self
            .prepare(choice, stocks, parameters)
        {
            Ok(prepared) => prepared,
            Err((name, error)) => return self.failed(name, Value::Null, error.to_string(), 0.0),
        };
        let _slot = self.slots.acquire().await.expect("the slots are never closed");
        let cancel = CancelOnDrop(Cancel::new());
        let work = StrategyJob {
            strategy,
            data: Arc::clone(data),
            env: self.config.env.clone(),
            cancel: cancel.0.clone(),
        };
        let started = Instant::now();
        let thread = tokio::task::spawn_blocking(move || {
            // The caught work is dropped, so no inconsistent state is seen later.
            catch_unwind(AssertUnwindSafe(|| work.run())).map_err(|panic| text_of(panic.as_ref()))
        });
        let limit = Duration::from_secs_f64(self.config.strategy_timeout);
        let outcome = tokio::time::timeout(limit, thread).await;
        let seconds = started.elapsed().as_secs_f64();
        let failure = match outcome {
            Ok(Ok(Ok(Ok(done)))) => {
                let result = StrategyResult {
                    success: true,
                    strategy_name: name,
                    signals: Some(Arc::new(done.signals)),
                    record: Some(Arc::new(done.record)),
                    performance_metrics: Some(done.metrics),
                    metadata: work::metadata(data),
                    execution_time: seconds,
                    parameters_used: used,
                    timestamp: now(),
                    error: None,
                };
                self.report(&result);
                return result;
            }
            Ok(Ok(Ok(Err(error)))) => error.to_string(),
            Ok(Ok(Err(panic))) => format!("panicked: {panic}"),
            Ok(Err(error)) => format!("its thread was lost: {error}"),
            Err(_) => format!(
                "timed out after {} s; raise strategy_timeout",
                self.config.strategy_timeout
            ),
        };
        self.failed(name, used, failure, seconds)
    }

    /// A strategy that is ready to run, or the name of one that cannot be made and the reason.
    fn prepare(
        &self,
        choice: StrategyRequest,
        stocks: &[Symbol],
        parameters: &ParametersByStrategy,
    ) -> Result<PreparedStrategy, (String, StrategyError)> {
        let named = match choice {
            StrategyRequest::Instance { name, strategy } => {
                return Ok(PreparedStrategy { name, used: Value::Null, strategy });
            }
            StrategyRequest::Named(named) => named,
        };
        let kind = self.registry.find(&named).map_err(|error| (named, error))?;
        let name = kind.name.to_string();
        let is_this = |asked: &str| self.registry.find(asked).is_ok_and(|k| k.name == kind.name);
        let given = parameters.iter().find(|(asked, _)| is_this(asked));
        let given = given.map(|(_, given)| given.clone()).unwrap_or_default();
        let made = kind.resolve(&given).and_then(|used| {
            let strategy = kind.build_for(&used, stocks)?;
            Ok((json!(used), strategy))
        });
        let (used, strategy) = made.map_err(|error| (name.clone(), error))?;
        Ok(PreparedStrategy { name, used, strategy })
    }

    fn failed(&self, name: String, used: Value, error: String, seconds: f64) -> StrategyResult {
        let result = StrategyResult {
            success: false,
            strategy_name: name,
            signals: None,
            record: None,
            performance_metrics: None,
            metadata: Value::Null,
            execution_time: seconds,
            parameters_used: used,
            timestamp: now(),
            error: Some(error),
        };
        self.report(&result);
        result
    }

    fn report(&self, result: &StrategyResult) {
        if self.config.log_performance {
            let sharpe = result.performance_metrics.as_ref().and_then(|m| m.sharpe_ratio);
            tracing::info!(
                strategy = result.strategy_name,
                success = result.success,
                seconds = result.execution_time,
                sharpe,
                error = result.error,
                "strategy has run"
            );
        }
        if let Some(on_done) = &self.on_done {
            on_done(result);
        }
    }

    async fn ensemble(
        &self,
        method: EnsembleMethod,
        members: Vec<SucceededStrategy>,
        window_bars: usize,
        data: &Arc<MarketData>,
    ) -> EnsembleResult {
        let (data, env) = (Arc::clone(data), self.config.env.clone());
        let work = move || combined(method, &members, window_bars, &data, &env);
        tokio::task::spawn_blocking(work).await.expect("combining decisions does not fail")
    }
}

struct PreparedStrategy {
    name: String,
    /// Its parameters; null if the caller made the strategy.
    used: Value,
    strategy: Box<dyn Strategy>,
}

/// Cancels the work when its future is dropped: after a timeout, or with the whole call.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".into())
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests;
