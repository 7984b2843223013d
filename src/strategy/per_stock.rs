//! Strategies that look at one stock at a time.

use super::{BarsAt, Cancel, Decision, Strategy, StrategyError};
use crate::market::Bar;

/// A strategy for one stock. Constant work per bar.
pub trait Rule: Send {
    /// Takes in the stock's next bar, and says what to hold after it.
    fn update(&mut self, bar: &Bar) -> Decision;
}

/// One and the same rule for every stock, each with a memory of its own.
#[derive(Clone, Debug)]
pub struct PerStock<R>(Vec<R>);

impl<R: Rule + Clone> PerStock<R> {
    /// `rule` has seen no bar yet.
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
