//! The trading desk on rank 0: meta-policy and order arbitration for one or more accounts that are
//! at different times of the market (the lanes of training, or the single account of an
//! evaluation).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::drawdown::DrawdownStop;
use super::limits::Limits;
use super::meta_policy::{
    Book, CapitalPlan, DqnProposal, ExpertWeights, MetaPolicy, Regret, RulePositions,
};
use super::risk::{PositionOrder, PositionRequest, Reason, arbitrate, stop};
use crate::compute::threads::run_parallel;
use crate::config::PortfolioConfig;
use crate::market::calendar::market_date;
use crate::market::panel::MarketView;

/// Accounts per task: a decision takes a few microseconds.
const FEW_ACCOUNTS: usize = 16;

/// State of a desk in a snapshot, from which a run resumes bit for bit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeskState {
    books: Vec<Book>,
    stops: Vec<DrawdownStop>,
    changed: BTreeMap<Reason, u64>,
}

/// Decides at every bar what to hold of each stock, with how much capital, and approves the orders.
pub struct Desk {
    rules: Rules,
    /// Initial book of each account; empty without a meta-policy.
    start_books: Vec<Book>,
    accounts: Vec<DeskAccount>,
}

/// Settings shared by all accounts.
struct Rules {
    config: PortfolioConfig,
    plan: CapitalPlan,
    /// None: every stock is held as its DQN wants.
    meta: Option<Arc<MetaPolicy>>,
    limits: Limits,
}

/// State and last decisions of one account.
#[derive(Default)]
struct DeskAccount {
    book: Option<Book>,
    stop: DrawdownStop,
    requests: Vec<PositionRequest>,
    orders: Vec<PositionOrder>,
    changed: BTreeMap<Reason, u64>,
}

impl Desk {
    /// For this many accounts on the panel of `plan`.
    pub(crate) fn new(
        accounts: usize,
        plan: CapitalPlan,
        config: &PortfolioConfig,
        limits: Limits,
    ) -> Desk {
        Desk {
            rules: Rules { config: config.clone(), plan, meta: None, limits },
            start_books: Vec::new(),
            accounts: std::iter::repeat_with(DeskAccount::default).take(accounts).collect(),
        }
    }

    /// Adds a meta-policy. `start_weights`: the initial expert weights of
    /// each account; empty if none are known.
    pub(crate) fn with_meta_policy(
        mut self,
        meta: Option<Arc<MetaPolicy>>,
        start_weights: &[ExpertWeights],
    ) -> Desk {
        if let Some(meta) = &meta {
            let accounts = 0..self.accounts.len();
            self.start_books = accounts.map(|i| meta.book(start_weights.get(i))).collect();
        }
        self.rules.meta = meta;
        self.reset();
        self
    }

    /// Replaces capital and rules by those of the row that is decided next, for a desk whose rows
    /// come one by one.
    pub(crate) fn know(&mut self, plan: CapitalPlan, rule_positions: Option<RulePositions>) {
        self.rules.plan = plan;
        if let Some((meta, positions)) = self.rules.meta.as_mut().zip(rule_positions) {
            Arc::get_mut(meta).expect("a meta-policy of this desk alone").know(positions);
        }
    }

    /// Resets every account to its start.
    pub(crate) fn reset(&mut self) {
        for (i, account) in self.accounts.iter_mut().enumerate() {
            account.stop = DrawdownStop::default();
            account.book = self.start_books.get(i).cloned();
        }
    }

    /// Decides for one account at the close of `view`; the result is in [`Desk::orders`]. `gain` is
    /// the simple return of the account's equity over the bar. `wanted` gives the desired position
    /// of each stock's DQN.
    pub(crate) fn decide(
        &mut self,
        account: usize,
        view: &MarketView<'_>,
        gain: f64,
        wanted: impl Iterator<Item = DqnProposal>,
    ) {
        self.accounts[account].decide(&self.rules, view, gain, wanted);
    }

    /// Decides for all accounts on all threads. `seen(account)` returns the arguments of
    /// [`Desk::decide`].
    pub(crate) fn decide_all<'a, W: Iterator<Item = DqnProposal>>(
        &mut self,
        seen: impl Fn(usize) -> (MarketView<'a>, f64, W) + Sync,
    ) {
        let rules = &self.rules;
        let accounts = self.accounts.chunks_mut(FEW_ACCOUNTS).enumerate();
        run_parallel(accounts.collect(), |(chunk, accounts)| {
            for (i, account) in accounts.iter_mut().enumerate() {
                let (view, gain, wanted) = seen(chunk * FEW_ACCOUNTS + i);
                account.decide(rules, &view, gain, wanted);
            }
        });
    }

    /// The last orders of an account, `[stock]`.
    pub fn orders(&self, account: usize) -> &[PositionOrder] {
        &self.accounts[account].orders
    }

    /// The last proposals for an account, `[stock]`.
    pub fn requests(&self, account: usize) -> &[PositionRequest] {
        &self.accounts[account].requests
    }

    /// The meta-policy, if there is one, and its book of an account.
    pub(crate) fn allotted(&self, account: usize) -> Option<(&MetaPolicy, &Book)> {
        self.rules.meta.as_deref().zip(self.accounts[account].book.as_ref())
    }

    /// What an account lost to its best expert in hindsight; None without a meta-policy, or before
    /// its first period is over.
    pub(crate) fn regret(&self, account: usize) -> Option<Regret> {
        let (meta, book) = self.allotted(account)?;
        meta.regret(&self.start_books[account], book)
    }

    /// Number of changed orders so far, by reason.
    pub(crate) fn changed(&self) -> BTreeMap<Reason, u64> {
        let mut all = BTreeMap::new();
        for (&reason, count) in self.accounts.iter().flat_map(|account| &account.changed) {
            *all.entry(reason).or_default() += count;
        }
        all
    }

    pub(crate) fn state(&self) -> DeskState {
        DeskState {
            books: self.accounts.iter().filter_map(|account| account.book.clone()).collect(),
            stops: self.accounts.iter().map(|account| account.stop.clone()).collect(),
            changed: self.changed(),
        }
    }

    /// Restores a state of the same run.
    pub(crate) fn restore(&mut self, state: DeskState) {
        assert_eq!(self.accounts.len(), state.stops.len(), "accounts of another run");
        assert_eq!(self.start_books.len(), state.books.len(), "books of another run");
        let mut books = state.books.into_iter();
        for (account, stop) in self.accounts.iter_mut().zip(state.stops) {
            *account = DeskAccount { book: books.next(), stop, ..DeskAccount::default() };
        }
        // Only the sum over accounts is ever read.
        self.accounts[0].changed = state.changed;
    }
}

impl DeskAccount {
    fn decide(
        &mut self,
        rules: &Rules,
        view: &MarketView<'_>,
        gain: f64,
        wanted: impl Iterator<Item = DqnProposal>,
    ) {
        let capital = rules.plan.at(view);
        let mut chosen = rules.meta.as_ref().zip(self.book.as_mut());
        if let Some((meta, book)) = &mut chosen {
            meta.observe(book, view, capital, gain);
        }
        self.requests.clear();
        for (stock, (wanted, &capital)) in wanted.zip(capital.shares).enumerate() {
            let (position, conviction) = match &mut chosen {
                Some((meta, book)) => meta.choose(book, view, stock, wanted),
                None => (wanted.position, wanted.conviction),
            };
            self.requests.push(PositionRequest { position, conviction, capital });
        }
        arbitrate(&self.requests, &rules.limits, &mut self.orders);
        let date = market_date(view.end_s());
        if self.stop.observe(gain, date, &rules.config) {
            stop(&mut self.orders);
        }
        for reason in self.orders.iter().filter_map(|order| order.reason) {
            *self.changed.entry(reason).or_default() += 1;
        }
    }
}
