//! The trading desk on rank 0: meta-policy and arbitration for one or more accounts that go through
//! the market at different times (the lanes of training, or the one account of an evaluation).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::drawdown::DrawdownStop;
use super::limits::Limits;
use super::meta_policy::{Book, CapitalPlan, MetaPolicy, Standing, Wanted};
use super::risk::{Order, Reason, Wish, arbitrate, stop};
use crate::config::PortfolioConfig;
use crate::market::calendar::new_york_date;
use crate::market::panel::MarketView;

/// What a desk has to remember to go on as if nothing had happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeskState {
    books: Vec<Book>,
    stops: Vec<DrawdownStop>,
    changed: BTreeMap<Reason, u64>,
}

pub struct Desk {
    config: PortfolioConfig,
    plan: CapitalPlan,
    /// None: every stock is traded as its DQN wants.
    meta: Option<MetaPolicy>,
    /// One per account, or none.
    start_books: Vec<Book>,
    books: Vec<Book>,
    stops: Vec<DrawdownStop>,
    limits: Limits,
    wishes: Vec<Wish>,
    orders: Vec<Order>,
    changed: BTreeMap<Reason, u64>,
}

impl Desk {
    /// For so many accounts that go through the panel of `plan`.
    pub fn new(
        accounts: usize,
        plan: CapitalPlan,
        config: &PortfolioConfig,
        limits: Limits,
    ) -> Desk {
        Desk {
            config: config.clone(),
            stops: vec![DrawdownStop::default(); accounts],
            plan,
            meta: None,
            start_books: Vec::new(),
            books: Vec::new(),
            limits,
            wishes: Vec::new(),
            orders: Vec::new(),
            changed: BTreeMap::new(),
        }
    }

    /// The same, with a meta-policy that says who trades. `standings`: of its rules, as every
    /// account begins; empty where nothing is known of them.
    pub fn with(mut self, meta: Option<MetaPolicy>, standings: &[Standing]) -> Desk {
        if let Some(meta) = &meta {
            let accounts = 0..self.stops.len();
            self.start_books = accounts.map(|i| meta.book(standings.get(i))).collect();
        }
        self.books.clone_from(&self.start_books);
        self.meta = meta;
        self
    }

    /// Every account back to its start.
    pub fn reset(&mut self) {
        self.stops.fill(DrawdownStop::default());
        self.books.clone_from(&self.start_books);
    }

    /// Orders of one account at the close of `view`, `[stock]`. `gain` is what the bar brought: the
    /// return of the account's equity. `wanted` gives what the DQN of each stock wants.
    pub fn decide(
        &mut self,
        account: usize,
        view: &MarketView<'_>,
        gain: f64,
        wanted: impl Iterator<Item = Wanted>,
    ) -> &[Order] {
        let capital = self.plan.at(view);
        let mut chosen = match (&self.meta, self.books.get_mut(account)) {
            (Some(meta), Some(book)) => Some((meta, book)),
            _ => None,
        };
        if let Some((meta, book)) = &mut chosen {
            meta.observe(book, view, capital);
        }
        self.wishes.clear();
        for (stock, (wanted, &capital)) in wanted.zip(capital.shares).enumerate() {
            let (direction, conviction) = match &mut chosen {
                Some((meta, book)) => meta.choose(book, view, stock, wanted),
                None => (wanted.direction, wanted.conviction),
            };
            self.wishes.push(Wish { direction, conviction, capital });
        }
        arbitrate(&self.wishes, &self.limits, &mut self.orders);
        let date = new_york_date(view.end_s());
        if self.stops[account].observe(gain, date, &self.config) {
            stop(&mut self.orders);
        }
        if let Some((meta, book)) = &mut chosen {
            meta.approve(book, &self.orders);
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

    /// What was proposed last, `[stock]`.
    pub fn wishes(&self) -> &[Wish] {
        &self.wishes
    }

    /// Who trades by how much, where a meta-policy says so, and what it remembers of an account.
    pub fn allotted(&self, account: usize) -> Option<(&MetaPolicy, &Book)> {
        self.meta.as_ref().zip(self.books.get(account))
    }

    /// How many orders were changed so far, by reason.
    pub fn changed(&self) -> &BTreeMap<Reason, u64> {
        &self.changed
    }

    pub fn state(&self) -> DeskState {
        DeskState {
            books: self.books.clone(),
            stops: self.stops.clone(),
            changed: self.changed.clone(),
        }
    }

    /// Goes back to a state of the same run.
    pub fn restore(&mut self, state: DeskState) {
        assert_eq!(self.stops.len(), state.stops.len(), "accounts of another run");
        assert_eq!(self.books.len(), state.books.len(), "books of another run");
        self.books = state.books;
        self.stops = state.stops;
        self.changed = state.changed;
    }
}
