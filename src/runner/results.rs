//! What a run found, under the names that its JSON has.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::env::costs::Costs;
use crate::eval::metrics::{Course, Metrics};
use crate::eval::trades::{round_trips, win_rate};
use crate::strategy::Signals;
use crate::strategy::ensemble::EnsembleMethod;

/// Of one call of the runner.
#[derive(Clone, Debug, Serialize)]
pub struct RunResults {
    /// At least one strategy succeeded.
    pub success: bool,
    pub individual_results: IndividualResults,
    /// None where ensembles are off or nothing succeeded.
    pub ensemble_result: Option<EnsembleResult>,
    pub execution_stats: ExecutionStats,
    /// UTC, ISO 8601.
    pub timestamp: String,
}

/// Of one strategy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StrategyResult {
    pub success: bool,
    pub strategy_name: String,
    /// Decisions at every row. Not in the JSON: they are a table of their own, `signals.csv`.
    #[serde(skip)]
    pub signals: Option<Arc<Signals>>,
    /// The account behind the metrics, bar by bar.
    #[serde(skip)]
    pub course: Option<Arc<Course>>,
    pub performance_metrics: Option<PerformanceMetrics>,
    /// What it was run over: stocks, bars, first and last bar.
    pub metadata: Value,
    /// Seconds on its thread; 0 for one that never began.
    pub execution_time: f64,
    /// All of them, with defaults; null for a strategy that the caller made.
    pub parameters_used: Value,
    pub timestamp: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// From the positions that the signals asked for, after costs. An undefined value is None.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerformanceMetrics {
    /// Last equity over first, less 1.
    pub total_return: f64,
    /// Annualised, as the ratios.
    pub volatility: Option<f64>,
    pub sharpe_ratio: Option<f64>,
    /// At most 0.
    pub max_drawdown: f64,
    /// Of the trades that were left again, the fraction with a profit.
    pub win_rate: Option<f64>,
    pub sortino_ratio: Option<f64>,
    pub calmar_ratio: Option<f64>,
    /// Sum of the bars' rewards.
    pub total_reward: f64,
    /// Value traded over equity, per trading day.
    pub turnover: f64,
    /// Fills.
    pub trades: u64,
    /// Mean over bars of gross position value over equity.
    pub exposure: f64,
}

/// Of those that succeeded, together.
#[derive(Clone, Debug, Serialize)]
pub struct EnsembleResult {
    pub success: bool,
    #[serde(skip)]
    pub combined_signals: Arc<Signals>,
    #[serde(skip)]
    pub course: Arc<Course>,
    pub performance_metrics: PerformanceMetrics,
    pub ensemble_config: EnsembleUsed,
    pub timestamp: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnsembleUsed {
    pub method: EnsembleMethod,
    /// The members, in the order given.
    pub strategies: Vec<String>,
    /// Theirs; of the last row, where they change.
    pub weights: Vec<f64>,
    pub num_strategies: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutionStats {
    pub total_strategies: usize,
    pub successful_strategies: usize,
    pub failed_strategies: usize,
    /// Seconds, of the whole call.
    pub execution_time: f64,
    /// Busy time over wall time times slots; slots are the strategies that could work at once.
    pub parallel_efficiency: f64,
}

/// Results by name, in the order of the strategies; a name that comes again gets a number.
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

    pub fn get(&self, name: &str) -> Option<&StrategyResult> {
        self.iter().find(|(known, _)| *known == name).map(|(_, result)| result)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &StrategyResult)> {
        self.0.iter().map(|(name, result)| (name.as_str(), result))
    }
}

impl Serialize for IndividualResults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// As it goes from one rank to another: the JSON, then the decisions and the account, whose numbers
/// keep their bits.
#[derive(Serialize, Deserialize)]
struct Wire {
    json: String,
    signals: Option<Signals>,
    course: Option<Course>,
}

impl StrategyResult {
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("names and numbers");
        let signals = self.signals.as_deref().cloned();
        let course = self.course.as_deref().cloned();
        postcard::to_stdvec(&Wire { json, signals, course }).expect("memory takes what is written")
    }

    /// None where the bytes are not those of a result.
    pub fn from_bytes(bytes: &[u8]) -> Option<StrategyResult> {
        let Wire { json, signals, course } = postcard::from_bytes(bytes).ok()?;
        let mut result: StrategyResult = serde_json::from_str(&json).ok()?;
        result.signals = signals.map(Arc::new);
        result.course = course.map(Arc::new);
        Some(result)
    }
}

impl PerformanceMetrics {
    pub fn of(course: &Course, costs: &Costs) -> PerformanceMetrics {
        let metrics = Metrics::of(course);
        PerformanceMetrics {
            total_return: metrics.portfolio_return,
            volatility: metrics.volatility,
            sharpe_ratio: metrics.sharpe,
            max_drawdown: metrics.max_drawdown,
            win_rate: win_rate(&round_trips(course, costs)),
            sortino_ratio: metrics.sortino,
            calmar_ratio: metrics.calmar,
            total_reward: metrics.total_reward,
            turnover: metrics.turnover,
            trades: metrics.trades,
            exposure: metrics.exposure,
        }
    }
}
