//! The strategies that an agent may follow.

use crate::strategy::{Registry, StrategyError};
use crate::train::dqn_strategy;

/// The built-in strategies, and that of a trained run.
pub(crate) fn registry() -> Result<Registry, StrategyError> {
    let mut registry = Registry::standard();
    registry.register(dqn_strategy::kind(None))?;
    Ok(registry)
}
