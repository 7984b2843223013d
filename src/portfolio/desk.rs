//! The trading desk on rank 0: meta-policy and arbitration for one or more accounts that go through
//! the market at different times (the lanes of training, or the one account of an evaluation).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::drawdown::DrawdownStop;
use super::limits::Limits;
use super::meta_policy::EqualRisk;
use super::risk::{Order, Reason, Wish, arbitrate, stop};
use crate::config::PortfolioConfig;
use crate::market::calendar::new_york_date;
use crate::market::panel::MarketView;

/// What a desk has to remember to go on as if nothing had happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeskState {
    allocations: Vec<EqualRisk>,
    stops: Vec<DrawdownStop>,
    changed: BTreeMap<Reason, u64>,
}

pub struct Desk {
    config: PortfolioConfig,
    start: Vec<EqualRisk>,
    allocations: Vec<EqualRisk>,
    stops: Vec<DrawdownStop>,
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
            config: config.clone(),
            allocations: start.clone(),
            stops: vec![DrawdownStop::default(); start.len()],
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
        self.stops.fill(DrawdownStop::default());
    }

    /// Orders of one account at the close of `view`, `[stock]`. `gain` is what the bar brought: the
    /// return of the account's equity. `wanted` gives each stock's direction and conviction.
    pub fn decide(
        &mut self,
        account: usize,
        view: &MarketView<'_>,
        gain: f64,
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
        let date = new_york_date(view.end_s());
        if self.stops[account].observe(gain, date, &self.config) {
            stop(&mut self.orders);
        }
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
        DeskState {
            allocations: self.allocations.clone(),
            stops: self.stops.clone(),
            changed: self.changed.clone(),
        }
    }

    /// Goes back to a state of the same run.
    pub fn restore(&mut self, state: DeskState) {
        assert_eq!(self.allocations.len(), state.allocations.len(), "accounts of another run");
        self.allocations = state.allocations;
        self.stops = state.stops;
        self.changed = state.changed;
    }
}
