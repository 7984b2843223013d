//! The trading desk on rank 0: meta-policy and arbitration for one or more accounts that go through
//! the market at different times (the lanes of training, or the one account of an evaluation).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::drawdown::DrawdownStop;
use super::limits::Limits;
use super::meta_policy::{Book, CapitalPlan, MetaPolicy, Standing, Wanted};
use super::risk::{Order, Reason, Wish, arbitrate, stop};
use crate::compute::threads::side_by_side;
use crate::config::PortfolioConfig;
use crate::market::calendar::new_york_date;
use crate::market::panel::MarketView;

/// Accounts for which one thread decides in a row: each takes a microsecond or a few.
const FEW_ACCOUNTS: usize = 16;

/// What a desk has to remember to go on as if nothing had happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeskState {
    books: Vec<Book>,
    stops: Vec<DrawdownStop>,
    changed: BTreeMap<Reason, u64>,
}

pub struct Desk {
    rules: Rules,
    /// One per account, or none: as the accounts' begin.
    start_books: Vec<Book>,
    accounts: Vec<Account>,
}

/// What is the same for all accounts.
struct Rules {
    config: PortfolioConfig,
    plan: CapitalPlan,
    /// None: every stock is traded as its DQN wants.
    meta: Option<MetaPolicy>,
    limits: Limits,
}

/// What is known and was decided of one account.
#[derive(Default)]
struct Account {
    book: Option<Book>,
    stop: DrawdownStop,
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
            rules: Rules { config: config.clone(), plan, meta: None, limits },
            start_books: Vec::new(),
            accounts: std::iter::repeat_with(Account::default).take(accounts).collect(),
        }
    }

    /// The same, with a meta-policy that says who trades. `standings`: of its rules, as every
    /// account begins; empty where nothing is known of them.
    pub fn with(mut self, meta: Option<MetaPolicy>, standings: &[Standing]) -> Desk {
        if let Some(meta) = &meta {
            let accounts = 0..self.accounts.len();
            self.start_books = accounts.map(|i| meta.book(standings.get(i))).collect();
        }
        self.rules.meta = meta;
        self.reset();
        self
    }

    /// Every account back to its start.
    pub fn reset(&mut self) {
        for (i, account) in self.accounts.iter_mut().enumerate() {
            account.stop = DrawdownStop::default();
            account.book = self.start_books.get(i).cloned();
        }
    }

    /// Decides for one account at the close of `view`: see [`Desk::orders`]. `gain` is what the bar
    /// brought: the return of the account's equity. `wanted` gives what the DQN of each stock wants.
    pub fn decide(
        &mut self,
        account: usize,
        view: &MarketView<'_>,
        gain: f64,
        wanted: impl Iterator<Item = Wanted>,
    ) {
        self.accounts[account].decide(&self.rules, view, gain, wanted);
    }

    /// Decides for all accounts, on as many threads as there are; `seen` tells for each what
    /// [`Desk::decide`] asks for.
    pub fn decide_all<'a, W: Iterator<Item = Wanted>>(
        &mut self,
        seen: impl Fn(usize) -> (MarketView<'a>, f64, W) + Sync,
    ) {
        let rules = &self.rules;
        let accounts = self.accounts.chunks_mut(FEW_ACCOUNTS).enumerate();
        side_by_side(accounts.collect(), |(chunk, accounts)| {
            for (i, account) in accounts.iter_mut().enumerate() {
                let (view, gain, wanted) = seen(chunk * FEW_ACCOUNTS + i);
                account.decide(rules, &view, gain, wanted);
            }
        });
    }

    /// What was decided last for an account, `[stock]`.
    pub fn orders(&self, account: usize) -> &[Order] {
        &self.accounts[account].orders
    }

    /// What was proposed last for an account, `[stock]`.
    pub fn wishes(&self, account: usize) -> &[Wish] {
        &self.accounts[account].wishes
    }

    /// Who trades by how much, where a meta-policy says so, and what it remembers of an account.
    pub fn allotted(&self, account: usize) -> Option<(&MetaPolicy, &Book)> {
        self.rules.meta.as_ref().zip(self.accounts[account].book.as_ref())
    }

    /// How many orders were changed so far, by reason.
    pub fn changed(&self) -> BTreeMap<Reason, u64> {
        let mut all = BTreeMap::new();
        for (&reason, count) in self.accounts.iter().flat_map(|account| &account.changed) {
            *all.entry(reason).or_default() += count;
        }
        all
    }

    pub fn state(&self) -> DeskState {
        DeskState {
            books: self.accounts.iter().filter_map(|account| account.book.clone()).collect(),
            stops: self.accounts.iter().map(|account| account.stop.clone()).collect(),
            changed: self.changed(),
        }
    }

    /// Goes back to a state of the same run.
    pub fn restore(&mut self, state: DeskState) {
        assert_eq!(self.accounts.len(), state.stops.len(), "accounts of another run");
        assert_eq!(self.start_books.len(), state.books.len(), "books of another run");
        let mut books = state.books.into_iter();
        for (account, stop) in self.accounts.iter_mut().zip(state.stops) {
            *account = Account { book: books.next(), stop, ..Account::default() };
        }
        // Only their sum is asked for.
        self.accounts[0].changed = state.changed;
    }
}

impl Account {
    fn decide(
        &mut self,
        rules: &Rules,
        view: &MarketView<'_>,
        gain: f64,
        wanted: impl Iterator<Item = Wanted>,
    ) {
        let capital = rules.plan.at(view);
        let mut chosen = rules.meta.as_ref().zip(self.book.as_mut());
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
        arbitrate(&self.wishes, &rules.limits, &mut self.orders);
        let date = new_york_date(view.end_s());
        if self.stop.observe(gain, date, &rules.config) {
            stop(&mut self.orders);
        }
        if let Some((meta, book)) = &mut chosen {
            meta.approve(book, &self.orders);
        }
        for reason in self.orders.iter().filter_map(|order| order.reason) {
            *self.changed.entry(reason).or_default() += 1;
        }
    }
}
