//! Strategies that consider one stock at a time.

use super::{BarsAt, Cancel, Decision, Strategy, StrategyError};
use crate::market::Bar;

/// A strategy for one stock. Constant work per bar.
pub trait Rule: Send {
    /// Processes the stock's next bar and returns the position to hold after it.
    fn update(&mut self, bar: &Bar) -> Decision;
}

/// The same rule for every stock, each with its own state.
#[derive(Clone, Debug)]
pub struct PerStock<R>(Vec<R>);

impl<R: Rule + Clone> PerStock<R> {
    /// `rule` must not have seen a bar yet.
    pub fn new(rule: R, stocks: usize) -> PerStock<R> {
        PerStock(vec![rule; stocks])
    }
}

impl<R: Rule> Strategy for PerStock<R> {
    fn decide(
        &mut self,
        now: &BarsAt<'_>,
        _cancel: &Cancel,
        decisions: &mut [Decision],
    ) -> Result<(), StrategyError> {
        for ((rule, bar), decision) in self.0.iter_mut().zip(now.bars()).zip(decisions) {
            if let Some(bar) = bar {
                *decision = rule.update(bar);
            }
        }
        Ok(())
    }
}
