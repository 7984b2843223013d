//! The trading desk on rank 0: meta-policy and arbitration for one or more accounts that go through
//! the market at different times (the lanes of training, or the one account of an evaluation).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::meta_policy::EqualRisk;
use super::risk::{Limits, Order, Reason, Wish, arbitrate};
use crate::config::PortfolioConfig;
use crate::market::panel::MarketView;

/// What a desk has to remember to go on as if nothing had happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeskState {
    allocations: Vec<EqualRisk>,
    changed: BTreeMap<Reason, u64>,
}

pub struct Desk {
    start: Vec<EqualRisk>,
    allocations: Vec<EqualRisk>,
    limits: Limits,
    wishes: Vec<Wish>,
    orders: Vec<Order>,
    changed: BTreeMap<Reason, u64>,
}

impl Desk {
    /// `views`: the first bar at which each account decides. Allocations start from the sessions
    /// before it.
    pub fn new<'a>(
        views: impl Iterator<Item = MarketView<'a>>,
        stocks: usize,
        config: &PortfolioConfig,
        limits: Limits,
    ) -> Desk {
        let start: Vec<_> = views.map(|view| EqualRisk::warmed_up(&view, stocks, config)).collect();
        Desk {
            allocations: start.clone(),
            start,
            limits,
            wishes: Vec::new(),
            orders: Vec::new(),
            changed: BTreeMap::new(),
        }
    }

    /// Every account back to its start.
    pub fn reset(&mut self) {
        self.allocations.clone_from(&self.start);
    }

    /// Orders of one account at the close of `view`, `[stock]`. `wanted` gives each stock's
    /// direction and conviction.
    pub fn decide(
        &mut self,
        account: usize,
        view: &MarketView<'_>,
        wanted: impl Iterator<Item = (i8, f32)>,
    ) -> &[Order] {
        let allocation = &mut self.allocations[account];
        allocation.observe(view);
        self.wishes.clear();
        self.wishes.extend(
            wanted.zip(allocation.capital()).map(|((direction, conviction), &capital)| Wish {
                direction,
                conviction,
                capital,
            }),
        );
        arbitrate(&self.wishes, &self.limits, &mut self.orders);
        for reason in self.orders.iter().filter_map(|order| order.reason) {
            *self.changed.entry(reason).or_default() += 1;
        }
        &self.orders
    }

    /// What was decided last, `[stock]`.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// How many orders were changed so far, by reason.
    pub fn changed(&self) -> &BTreeMap<Reason, u64> {
        &self.changed
    }

    pub fn state(&self) -> DeskState {
        DeskState { allocations: self.allocations.clone(), changed: self.changed.clone() }
    }

    /// Goes back to a state of the same run.
    pub fn restore(&mut self, state: DeskState) {
        assert_eq!(self.allocations.len(), state.allocations.len(), "accounts of another run");
        self.allocations = state.allocations;
        self.changed = state.changed;
    }
}
