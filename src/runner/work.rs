//! The work on a blocking thread: a strategy's decisions at every row, and their back-test.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

use super::results::{EnsembleResult, EnsembleUsed, PerformanceMetrics};
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::eval::backtest::Backtest;
use crate::eval::metrics::BacktestRecord;
use crate::market::MarketData;
use crate::portfolio::risk::PositionOrder;
use crate::strategy::ensemble::{EnsembleMethod, Member, combine, weights};
use crate::strategy::{Cancel, Decision, Signals, Strategy, StrategyError};

/// One strategy over one market.
pub(super) struct StrategyJob {
    pub(crate) strategy: Box<dyn Strategy>,
    pub(crate) data: Arc<MarketData>,
    pub(crate) env: EnvConfig,
    pub(crate) cancel: Cancel,
}

pub(super) struct StrategyRun {
    pub(crate) signals: Signals,
    pub(crate) metrics: PerformanceMetrics,
    pub(crate) record: BacktestRecord,
}

impl StrategyJob {
    pub(crate) fn run(mut self) -> Result<StrategyRun, StrategyError> {
        let signals = Signals::from_strategy(self.strategy.as_mut(), &self.data, &self.cancel)?;
        let rows = 0..self.data.rows();
        let record = backtest_signals(&signals, &self.data, rows, &self.env, &self.cancel)?;
        let metrics = PerformanceMetrics::from_backtest(&record, &Costs::new(&self.env));
        Ok(StrategyRun { signals, metrics, record })
    }
}

/// The account that holds the positions of the signals in `rows`. Every stock has an equal share of
/// the equity, scaled by its target. Orders are filled at the next bar's open at the costs of
/// `env`. A position that is kept is resized when it leaves its rebalance band. Errors: cancelled.
pub fn backtest_signals(
    signals: &Signals,
    data: &MarketData,
    rows: Range<usize>,
    env: &EnvConfig,
    cancel: &Cancel,
) -> Result<BacktestRecord, StrategyError> {
    assert!(rows.len() >= 2, "one bar to decide at and one to be filled at");
    let share = 1.0 / data.stocks().len() as f64;
    let least = if env.long_only { 0.0 } else { -1.0 };
    let order = |decision: &Decision| {
        let target = decision.target.max(least);
        let direction = i8::from(target > 0.0) - i8::from(target < 0.0);
        PositionOrder { direction, weight: target.abs() * share, reason: None }
    };
    let mut backtest = Backtest::start(data.stocks(), &data.row(rows.start), env);
    let mut orders = Vec::with_capacity(data.stocks().len());
    for t in rows.start..rows.end - 1 {
        cancel.check()?;
        orders.clear();
        orders.extend(signals.at(t).iter().map(order));
        backtest.order(&data.row(t), &orders);
        backtest.advance(&data.row(t + 1));
    }
    Ok(backtest.into_record())
}

/// A member candidate of an ensemble.
pub(super) struct SucceededStrategy {
    pub(crate) name: String,
    pub(crate) signals: Arc<Signals>,
    pub(crate) record: Arc<BacktestRecord>,
    pub(crate) weight: f64,
}

/// The ensemble of the successful strategies, with its back-test and weights.
pub(super) fn combined(
    method: EnsembleMethod,
    succeeded: &[SucceededStrategy],
    window_bars: usize,
    data: &MarketData,
    env: &EnvConfig,
) -> EnsembleResult {
    let members: Vec<Member<'_>> = succeeded
        .iter()
        .map(|one| Member {
            signals: &one.signals,
            weight: one.weight,
            rewards: &one.record.reward,
        })
        .collect();
    let weights = weights(method, &members, window_bars);
    let signals = combine(method, &members, &weights);
    let rows = 0..data.rows();
    let record = backtest_signals(&signals, data, rows, env, &Cancel::new())
        .expect("nobody else has this token");
    EnsembleResult {
        success: true,
        performance_metrics: PerformanceMetrics::from_backtest(&record, &Costs::new(env)),
        ensemble_config: EnsembleUsed {
            method,
            strategies: succeeded.iter().map(|one| one.name.clone()).collect(),
            weights: weights.at(data.rows() - 1).to_vec(),
            num_strategies: members.len(),
        },
        combined_signals: Arc::new(signals),
        member_weights: Arc::new(weights),
        record: Arc::new(record),
        timestamp: super::now(),
    }
}

pub(super) fn metadata(data: &MarketData) -> Value {
    let end_s = data.end_s();
    json!({
        "stocks": data.stocks(),
        "bars": data.rows(),
        "first_bar_end_s": end_s.first(),
        "last_bar_end_s": end_s.last(),
    })
}
