//! What a runner remembers of its calls.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::results::{ExecutionStats, PerformanceMetrics, StrategyResult};

/// Of one call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// In the order given.
    pub strategies: Vec<String>,
    /// Those that succeeded over all.
    pub success_rate: f64,
    pub execution_stats: ExecutionStats,
    pub timestamp: String,
}

/// Of one strategy over all calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StrategyPerformance {
    pub executions: usize,
    pub successes: usize,
    pub success_rate: f64,
    /// Seconds, of those that began to work.
    pub average_execution_time: f64,
    /// Mean over the calls in which it is defined.
    pub average_sharpe_ratio: Option<f64>,
    /// Of the last call in which it succeeded.
    pub last_metrics: Option<PerformanceMetrics>,
    pub last_error: Option<String>,
}

#[derive(Default)]
struct Tally {
    seconds: Vec<f64>,
    sharpes: Vec<f64>,
    performance: StrategyPerformance,
}

#[derive(Default)]
pub(super) struct History(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    entries: Vec<HistoryEntry>,
    by_strategy: BTreeMap<String, Tally>,
}

impl History {
    pub fn record(&self, results: &[StrategyResult], stats: &ExecutionStats) {
        let mut kept = self.kept();
        kept.entries.push(HistoryEntry {
            strategies: results.iter().map(|result| result.strategy_name.clone()).collect(),
            success_rate: stats.successful_strategies as f64 / stats.total_strategies as f64,
            execution_stats: stats.clone(),
            timestamp: super::now(),
        });
        for result in results {
            let tally = kept.by_strategy.entry(result.strategy_name.clone()).or_default();
            if result.execution_time > 0.0 {
                tally.seconds.push(result.execution_time);
            }
            let metrics = result.performance_metrics.as_ref();
            tally.sharpes.extend(metrics.and_then(|metrics| metrics.sharpe_ratio));
            let performance = &mut tally.performance;
            performance.executions += 1;
            performance.successes += usize::from(result.success);
            performance.success_rate = performance.successes as f64 / performance.executions as f64;
            performance.average_execution_time = mean(&tally.seconds).unwrap_or(0.0);
            performance.average_sharpe_ratio = mean(&tally.sharpes);
            if let Some(metrics) = metrics {
                performance.last_metrics = Some(metrics.clone());
            }
            if result.error.is_some() {
                performance.last_error.clone_from(&result.error);
            }
        }
    }

    pub fn entries(&self) -> Vec<HistoryEntry> {
        self.kept().entries.clone()
    }

    pub fn performance(&self) -> BTreeMap<String, StrategyPerformance> {
        let kept = self.kept();
        let one = |(name, tally): (&String, &Tally)| (name.clone(), tally.performance.clone());
        kept.by_strategy.iter().map(one).collect()
    }

    /// Nothing that is kept is ever half-written.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
