//! Strategies with a constant target: the benchmarks.

use super::{Decision, Rule, StrategyKind};
use crate::market::Bar;

#[derive(Clone, Debug)]
struct Constant(f64);

impl Rule for Constant {
    fn update(&mut self, _bar: &Bar) -> Decision {
        Decision::new(self.0, 1.0)
    }
}

pub(crate) fn buy_and_hold() -> StrategyKind {
    let description = "long in every stock from its first bar";
    StrategyKind::per_stock("Buy and Hold", description, vec![], |_| Constant(1.0)).with_aliases(&[
        "hold",
        "benchmark",
        "buy & hold",
    ])
}

pub(crate) fn flat() -> StrategyKind {
    StrategyKind::per_stock("Flat", "no position, ever", vec![], |_| Constant(0.0))
        .with_aliases(&["cash", "none"])
}
