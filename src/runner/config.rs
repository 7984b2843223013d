//! Settings for running and combining strategies.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::EnvConfig;
use crate::errors::Cause;
use crate::strategy::StrategyError;
use crate::strategy::ensemble::EnsembleMethod;

/// Settings of a runner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunnerConfig {
    /// Maximum number of strategies that run at the same time.
    pub max_concurrent_strategies: usize,
    /// Time limit of each strategy from its start, seconds; above 0.
    pub strategy_timeout: f64,
    /// Combine the successful strategies.
    pub enable_ensemble: bool,
    /// Default of [`EnsembleConfig::method`].
    pub ensemble_method: EnsembleMethod,
    /// One log record (level info) per strategy.
    pub log_performance: bool,
    /// Costs and initial cash of the back-tests.
    pub env: EnvConfig,
}

impl Default for RunnerConfig {
    fn default() -> RunnerConfig {
        RunnerConfig {
            max_concurrent_strategies: 5,
            strategy_timeout: 30.0,
            enable_ensemble: true,
            ensemble_method: EnsembleMethod::Weighted,
            log_performance: true,
            env: EnvConfig::default(),
        }
    }
}

/// The ensemble of one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleConfig {
    /// None: the runner's method.
    pub method: Option<EnsembleMethod>,
    /// Weights of the weighted method, one per strategy in the order given; None: equal. The
    /// weights of failed strategies are redistributed among the others.
    pub weights: Option<Vec<f64>>,
    /// Window of the weights by variance or performance, in bars.
    pub window_bars: usize,
}

impl Default for EnsembleConfig {
    fn default() -> EnsembleConfig {
        EnsembleConfig { method: None, weights: None, window_bars: 1_000 }
    }
}

/// A setting that prevents any run.
#[derive(Debug, Error, Clone, PartialEq)]
#[error("{field}: {what}; {hint}")]
pub struct RunnerError {
    /// The setting's name, or the flag's.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub hint: String,
    /// The strategy's own error; `what` has it in words.
    #[source]
    pub cause: Option<Cause>,
}

impl RunnerError {
    pub(crate) fn new(
        field: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> RunnerError {
        RunnerError { field: field.into(), what: what.into(), hint: hint.into(), cause: None }
    }

    /// Adds the cause that `what` already has in words.
    pub(crate) fn caused_by(self, error: StrategyError) -> RunnerError {
        RunnerError { cause: Some(Cause::new(error)), ..self }
    }
}

impl RunnerConfig {
    pub(crate) fn validate(&self) -> Result<(), RunnerError> {
        let slots = self.max_concurrent_strategies;
        if !(1..=1_024).contains(&slots) {
            let what = format!("{slots} is out of range");
            return Err(RunnerError::new("max_concurrent_strategies", what, "use 1 to 1024"));
        }
        let seconds = self.strategy_timeout;
        // Also false for NaN.
        if !(seconds > 0.0 && seconds <= 1e9) {
            let what = format!("{seconds} s is out of range");
            return Err(RunnerError::new("strategy_timeout", what, "use a number above 0"));
        }
        Ok(())
    }
}

impl EnsembleConfig {
    /// The weights, one per strategy. Errors: wrong number, out of range, or all 0.
    pub(crate) fn weights_for(&self, strategies: usize) -> Result<Vec<f64>, RunnerError> {
        let wrong = |what: String, hint: &str| Err(RunnerError::new("weights", what, hint));
        let Some(weights) = &self.weights else { return Ok(vec![1.0; strategies]) };
        if weights.len() != strategies {
            let what = format!("{} are given for {strategies} strategies", weights.len());
            return wrong(what, "give one for each");
        }
        if let Some(bad) = weights.iter().find(|weight| !(0.0..=1e9).contains(*weight)) {
            return wrong(format!("{bad} is out of range"), "give numbers from 0 to 1e9");
        }
        if weights.iter().sum::<f64>() <= 0.0 {
            return wrong("all are 0".into(), "give at least one above 0");
        }
        Ok(weights.clone())
    }
}
