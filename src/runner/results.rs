//! The results of a run. Field names are those of its JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::env::costs::Costs;
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::eval::trades::{round_trips, win_rate};
use crate::strategy::Signals;
use crate::strategy::ensemble::{EnsembleMethod, MemberWeights};

/// One call of the runner.
#[derive(Clone, Debug, Serialize)]
pub struct RunResults {
    /// At least one strategy succeeded.
    pub success: bool,
    /// Every strategy, failed ones included.
    pub individual_results: IndividualResults,
    /// None if ensembles are off or no strategy succeeded.
    pub ensemble_result: Option<EnsembleResult>,
    /// Counts and times of the call.
    pub execution_stats: ExecutionStats,
    /// UTC, ISO 8601.
    pub timestamp: String,
}

/// One strategy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StrategyResult {
    /// False: `error` says why, and there are no metrics.
    pub success: bool,
    /// Name in the registry, or that of the caller's instance.
    pub strategy_name: String,
    /// Decisions at every row. Not in the JSON: they have their own table, `signals.csv`.
    #[serde(skip)]
    pub signals: Option<Arc<Signals>>,
    /// The back-test behind the metrics, bar by bar.
    #[serde(skip)]
    pub record: Option<Arc<BacktestRecord>>,
    /// None if it failed.
    pub performance_metrics: Option<PerformanceMetrics>,
    /// What it was run on: stocks, bars, first and last bar.
    pub metadata: Value,
    /// Seconds on its thread; 0 if it never started.
    pub execution_time: f64,
    /// All parameters, with defaults; null for a strategy that the caller made.
    pub parameters_used: Value,
    /// When it ended, UTC, ISO 8601.
    pub timestamp: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Metrics of the signals' positions, after costs. An undefined value is None.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerformanceMetrics {
    /// Last equity over first, minus 1.
    pub total_return: f64,
    /// Annualised, like the ratios below.
    pub volatility: Option<f64>,
    /// Mean over standard deviation of daily returns.
    pub sharpe_ratio: Option<f64>,
    /// At most 0.
    pub max_drawdown: f64,
    /// Fraction of closed trades with a profit.
    pub win_rate: Option<f64>,
    /// Mean over downside deviation of daily returns.
    pub sortino_ratio: Option<f64>,
    /// Compound annual return over the depth of the drawdown.
    pub calmar_ratio: Option<f64>,
    /// Sum of the rewards per bar.
    pub total_reward: f64,
    /// Traded value over equity, per trading day.
    pub turnover: f64,
    /// Number of fills.
    pub trades: u64,
    /// Gross exposure: mean over bars of gross position value over equity.
    pub exposure: f64,
}

/// The ensemble of the successful strategies.
#[derive(Clone, Debug, Serialize)]
pub struct EnsembleResult {
    /// Always true: without a member there is no ensemble.
    pub success: bool,
    /// What the members decided together, row by row.
    #[serde(skip)]
    pub combined_signals: Arc<Signals>,
    /// The ensemble's own back-test, bar by bar.
    #[serde(skip)]
    pub record: Arc<BacktestRecord>,
    /// What each member counted for, row by row.
    #[serde(skip)]
    pub(crate) member_weights: Arc<MemberWeights>,
    /// Of that back-test.
    pub performance_metrics: PerformanceMetrics,
    /// How and of what it was combined.
    pub ensemble_config: EnsembleUsed,
    /// When it was combined, UTC, ISO 8601.
    pub timestamp: String,
}

/// The members of an ensemble and their weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnsembleUsed {
    /// How their targets were combined.
    pub method: EnsembleMethod,
    /// The members, in the order given.
    pub strategies: Vec<String>,
    /// Their weights; those of the last row if they vary.
    pub weights: Vec<f64>,
    /// Number of members.
    pub num_strategies: usize,
}

/// How many strategies ran, and how long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutionStats {
    /// All that were asked for.
    pub total_strategies: usize,
    /// Those with metrics.
    pub successful_strategies: usize,
    /// Those that failed, were unknown or ran out of time.
    pub failed_strategies: usize,
    /// Seconds; the whole call.
    pub execution_time: f64,
    /// Busy time over (wall time * slots); slots are the strategies that could run at the same
    /// time.
    pub parallel_efficiency: f64,
}

/// Results by name, in the order of the strategies; a repeated name gets a number.
#[derive(Clone, Debug)]
pub struct IndividualResults(Vec<(String, StrategyResult)>);

impl IndividualResults {
    pub(super) fn new(results: Vec<StrategyResult>) -> IndividualResults {
        let mut named: Vec<(String, StrategyResult)> = Vec::with_capacity(results.len());
        for result in results {
            let name = &result.strategy_name;
            let again = named.iter().filter(|(_, other)| other.strategy_name == *name).count();
            let key = if again == 0 { name.clone() } else { format!("{name} ({})", again + 1) };
            named.push((key, result));
        }
        IndividualResults(named)
    }

    /// The result under a name; None if no strategy had it.
    pub fn get(&self, name: &str) -> Option<&StrategyResult> {
        self.iter().find(|(known, _)| *known == name).map(|(_, result)| result)
    }

    /// Names and results, in the order of the strategies.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StrategyResult)> {
        self.0.iter().map(|(name, result)| (name.as_str(), result))
    }
}

impl Serialize for IndividualResults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Encoding for messages between ranks: the JSON, then decisions and back-test in binary, which
/// keeps the bits of their numbers.
#[derive(Serialize, Deserialize)]
struct WireResult {
    json: String,
    signals: Option<Signals>,
    record: Option<BacktestRecord>,
}

impl StrategyResult {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("names and numbers");
        let signals = self.signals.as_deref().cloned();
        let record = self.record.as_deref().cloned();
        postcard::to_stdvec(&WireResult { json, signals, record })
            .expect("memory takes what is written")
    }

    /// None if the bytes are not those of a result.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<StrategyResult> {
        let WireResult { json, signals, record } = postcard::from_bytes(bytes).ok()?;
        let mut result: StrategyResult = serde_json::from_str(&json).ok()?;
        result.signals = signals.map(Arc::new);
        result.record = record.map(Arc::new);
        Some(result)
    }
}

impl PerformanceMetrics {
    pub(crate) fn from_backtest(record: &BacktestRecord, costs: &Costs) -> PerformanceMetrics {
        let metrics = Metrics::from_record(record);
        PerformanceMetrics {
            total_return: metrics.portfolio_return,
            volatility: metrics.volatility,
            sharpe_ratio: metrics.sharpe,
            max_drawdown: metrics.max_drawdown,
            win_rate: win_rate(&round_trips(record, costs)),
            sortino_ratio: metrics.sortino,
            calmar_ratio: metrics.calmar,
            total_reward: metrics.total_reward,
            turnover: metrics.turnover,
            trades: metrics.trades,
            exposure: metrics.exposure,
        }
    }
}
