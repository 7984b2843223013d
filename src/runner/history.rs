//! Statistics of past calls of a runner.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::results::{ExecutionStats, PerformanceMetrics, StrategyResult};

/// Maximum number of remembered calls, and of strategies with statistics. Beyond it the oldest call
/// is dropped, and the strategy that was run least recently. A runner may serve for years.
pub(crate) const HISTORY_LIMIT: usize = 1_000;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// In the order given.
    pub strategies: Vec<String>,
    /// Successful strategies over all.
    pub success_rate: f64,
    /// Counts and times of the call.
    pub execution_stats: ExecutionStats,
    /// End of the call, UTC, ISO 8601.
    pub timestamp: String,
}

/// One strategy over all calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StrategyPerformance {
    /// Calls that had the strategy.
    pub executions: usize,
    /// Calls in which it succeeded.
    pub successes: usize,
    /// Successes over executions.
    pub success_rate: f64,
    /// Seconds; mean over the runs that started.
    pub average_execution_time: f64,
    /// Mean over the calls in which it is defined.
    pub average_sharpe_ratio: Option<f64>,
    /// Of the last successful call.
    pub last_metrics: Option<PerformanceMetrics>,
    /// Of the last failed call.
    pub last_error: Option<String>,
}

#[derive(Default)]
struct StrategyTally {
    seconds: RunningMean,
    sharpes: RunningMean,
    /// Value of `runs` at its last run.
    last_run: u64,
    performance: StrategyPerformance,
}

/// A running mean.
#[derive(Default)]
struct RunningMean {
    sum: f64,
    count: usize,
}

#[derive(Default)]
pub(super) struct ExecutionHistory(Mutex<HistoryState>);

#[derive(Default)]
struct HistoryState {
    entries: VecDeque<HistoryEntry>,
    by_strategy: BTreeMap<String, StrategyTally>,
    runs: u64,
}

impl ExecutionHistory {
    pub(crate) fn record(&self, results: &[StrategyResult], stats: &ExecutionStats) {
        let mut kept = self.kept();
        kept.entries.push_back(HistoryEntry {
            strategies: results.iter().map(|result| result.strategy_name.clone()).collect(),
            success_rate: stats.successful_strategies as f64 / stats.total_strategies as f64,
            execution_stats: stats.clone(),
            timestamp: super::now(),
        });
        if kept.entries.len() > HISTORY_LIMIT {
            kept.entries.pop_front();
        }
        for result in results {
            kept.runs += 1;
            let last_run = kept.runs;
            let tally = kept.by_strategy.entry(result.strategy_name.clone()).or_default();
            tally.last_run = last_run;
            tally.add(result);
            kept.drop_oldest();
        }
    }

    pub(crate) fn entries(&self) -> Vec<HistoryEntry> {
        self.kept().entries.iter().cloned().collect()
    }

    pub(crate) fn performance(&self) -> BTreeMap<String, StrategyPerformance> {
        let kept = self.kept();
        let one =
            |(name, tally): (&String, &StrategyTally)| (name.clone(), tally.performance.clone());
        kept.by_strategy.iter().map(one).collect()
    }

    /// Every update is complete before the lock is released, so a poisoned lock is safe to use.
    fn kept(&self) -> MutexGuard<'_, HistoryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HistoryState {
    /// Drops the least recently run strategy if there are too many.
    fn drop_oldest(&mut self) {
        if self.by_strategy.len() > HISTORY_LIMIT {
            let oldest = self.by_strategy.iter().min_by_key(|(_, tally)| tally.last_run);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.by_strategy.remove(&name);
            }
        }
    }
}

impl StrategyTally {
    fn add(&mut self, result: &StrategyResult) {
        if result.execution_time > 0.0 {
            self.seconds.add(result.execution_time);
        }
        let metrics = result.performance_metrics.as_ref();
        if let Some(sharpe) = metrics.and_then(|metrics| metrics.sharpe_ratio) {
            self.sharpes.add(sharpe);
        }
        let performance = &mut self.performance;
        performance.executions += 1;
        performance.successes += usize::from(result.success);
        performance.success_rate = performance.successes as f64 / performance.executions as f64;
        performance.average_execution_time = self.seconds.value().unwrap_or(0.0);
        performance.average_sharpe_ratio = self.sharpes.value();
        if let Some(metrics) = metrics {
            performance.last_metrics = Some(metrics.clone());
        }
        if result.error.is_some() {
            performance.last_error.clone_from(&result.error);
        }
    }
}

impl RunningMean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn result(name: &str, execution_time: f64) -> StrategyResult {
        StrategyResult {
            success: false,
            strategy_name: name.into(),
            signals: None,
            record: None,
            performance_metrics: None,
            metadata: Value::Null,
            execution_time,
            parameters_used: Value::Null,
            timestamp: String::new(),
            error: Some(format!("error of {name}")),
        }
    }

    #[test]
    fn the_oldest_is_dropped_and_means_continue() {
        let history = ExecutionHistory::default();
        let calls = HISTORY_LIMIT + 7;
        for call in 0..calls {
            let stats = ExecutionStats {
                total_strategies: 2,
                successful_strategies: 0,
                failed_strategies: 2,
                execution_time: call as f64,
                parallel_efficiency: 1.0,
            };
            let once = format!("strategy {call}");
            history.record(&[result("often", call as f64), result(&once, 1.0)], &stats);
        }
        let entries = history.entries();
        assert_eq!(entries.len(), HISTORY_LIMIT);
        assert_eq!(entries[0].execution_stats.execution_time, 7.0);
        let performance = history.performance();
        assert_eq!(performance.len(), HISTORY_LIMIT);
        // One entry belongs to the strategy that runs often.
        assert!(!performance.contains_key("strategy 7") && performance.contains_key("strategy 8"));
        assert_eq!(performance["often"].executions, calls);
        // Mean of 1 to 1,006: a time of 0 means that the run never started.
        assert_eq!(performance["often"].average_execution_time, 1_007.0 / 2.0);
    }
}
