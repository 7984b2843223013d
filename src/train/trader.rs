//! The account of a policy that learns no more, bar by bar: it decides at a close, and moves on when
//! the next bar is there.

use std::sync::Arc;

use crate::env::costs::Costs;
use crate::eval::account::BacktestAccount;
use crate::eval::backtest::Backtest;
use crate::eval::contributions::Contributions;
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::interface::ActionSet;
use crate::market::panel::MarketView;
use crate::portfolio::allocation::Allocations;
use crate::portfolio::desk::Desk;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{CapitalPlan, ExpertWeights, MetaPolicy, RulePositions};
use crate::portfolio::risk::{PositionOrder, Reason};
use crate::rl::agent::{AgentTerms, q_values};
use crate::rl::td::argmax;
use crate::train::worker::{Proposal, propose};

/// What an evaluation found, beside the benchmark over the same bars and costs.
#[derive(Clone, Debug)]
pub struct EvaluationResult {
    /// The account bar by bar.
    pub record: BacktestRecord,
    /// What the DQN wanted at each bar but the last, whatever was traded: position and conviction,
    /// `[row, stock]`.
    pub dqn: Vec<(f32, f32)>,
    /// Who traded each stock when, with how much capital.
    pub allocations: Allocations,
    /// What each expert contributed to the profit.
    pub contributions: Contributions,
    /// Figures of the account.
    pub metrics: Metrics,
    /// Buy and hold bar by bar: the same cash in equal parts of all stocks.
    pub benchmark: BacktestRecord,
    /// Figures of buy and hold.
    pub benchmark_metrics: Metrics,
    /// What is to be traded at the open after the last bar.
    pub next_orders: Vec<NextOrder>,
}

/// An order for an open that is still to come.
#[derive(Clone, Debug, PartialEq)]
pub struct NextOrder {
    /// End of the bar at whose close it was decided, UTC seconds.
    pub end_s: i64,
    /// Index of the stock.
    pub stock: usize,
    /// To buy; to sell if negative.
    pub shares: f64,
    /// The last close, by which it is sized.
    pub reference_price: f64,
    /// Shares held once it is filled.
    pub position_after: f64,
    /// Why it is less than was proposed; None if it is not.
    pub reason: Option<Reason>,
}

/// What was decided at the close of a bar.
pub struct BarDecision<'a> {
    /// UTC seconds.
    pub end_s: i64,
    /// Q-values, `[stock, action]`.
    pub q: &'a [f32],
    /// With its orders and allocations.
    pub desk: &'a Desk,
    /// With what is to be traded at the next open.
    pub backtest: &'a Backtest,
}

/// What is decided with, and the account that is kept.
pub(crate) struct Trader {
    /// Of each stock, with the costs of the account.
    terms: Vec<AgentTerms>,
    actions: ActionSet,
    account: BacktestAccount,
    /// Position and conviction of the DQN, `[row, stock]`, of the decisions that were carried out.
    dqn: Vec<(f32, f32)>,
    /// What the DQN would hold of each stock if it traded alone.
    held: Vec<f32>,
    /// Whether it does.
    is_alone: bool,
    allocations: Allocations,
    /// End of the bar that was decided at last, UTC seconds.
    end_s: i64,
    /// At that bar, `[stock, action]`.
    q: Vec<f32>,
    proposals: Vec<Proposal>,
}

impl Trader {
    /// For an account in cash. `terms`: `[stock]`. `expert_weights`: of the meta-policy at the start,
    /// where they are known.
    pub(crate) fn new(
        mandate: &Mandate,
        account: BacktestAccount,
        meta: Option<MetaPolicy>,
        terms: &[AgentTerms],
        expert_weights: Option<&ExpertWeights>,
    ) -> Trader {
        let is_believed = terms.iter().any(|terms| terms.belief.share > 0.0);
        let meta = meta.map(|meta| if is_believed { meta } else { meta.with_unbelieved_dqn() });
        let (stocks, is_alone) = (mandate.stocks.len(), meta.is_none());
        let account = account.with_meta_policy(meta.map(Arc::new), expert_weights);
        Trader {
            terms: terms.to_vec(),
            actions: mandate.env.action_set(),
            allocations: Allocations::new(account.desk(), stocks),
            account,
            held: vec![0.0; stocks],
            is_alone,
            dqn: Vec::new(),
            end_s: i64::MIN,
            q: Vec::new(),
            proposals: Vec::new(),
        }
    }

    /// As [`crate::portfolio::desk::Desk::know`].
    pub(crate) fn know(&mut self, plan: CapitalPlan, rule_positions: Option<RulePositions>) {
        self.account.know(plan, rule_positions);
    }

    /// The position from which the DQN of a stock decides: its own, where that is not known to be
    /// another one in the account that it trades alone.
    fn held(&self, stock: usize) -> f32 {
        let (own, real) = (self.held[stock], f32::from(self.account.backtest().direction(stock)));
        let agree = own * real > 0.0 || own == real;
        if self.is_alone && !agree { real } else { own }
    }

    /// Decides at the close of `view`. `values(stock)`: of all positions after the decision.
    pub(crate) fn decide<'a>(
        &mut self,
        view: &MarketView<'_>,
        values: impl Fn(usize) -> &'a [f32],
    ) {
        let mut q = std::mem::take(&mut self.q);
        q.clear();
        for (stock, terms) in self.terms.iter().enumerate() {
            q_values(values(stock), self.held(stock), terms, &mut q);
        }
        self.q = q;
        let choices = self.q.chunks_exact(self.actions.len());
        self.proposals.clear();
        self.proposals.extend(choices.map(|q| propose(&self.actions, q, argmax(q))));
        self.account.order(view, wanted(&self.proposals));
        self.end_s = view.end_s();
    }

    /// Position and conviction of the DQN at the last decision, by stock.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (f64, f32)> {
        wanted(&self.proposals)
    }

    /// Moves to the next bar, at whose open the orders are filled. Tells `watch` what had been
    /// decided.
    pub(crate) fn advance(
        &mut self,
        next: &MarketView<'_>,
        watch: &mut dyn FnMut(&BarDecision<'_>),
    ) {
        self.dqn.extend(self.proposals.iter().map(|said| (said.position, said.conviction)));
        let (desk, backtest) = (self.account.desk(), self.account.backtest());
        self.allocations.note(self.end_s, desk, backtest.equity());
        watch(&BarDecision { end_s: self.end_s, q: &self.q, desk, backtest });
        for (stock, held) in self.held.iter_mut().enumerate() {
            if next.bar(stock).tradable {
                *held = self.proposals[stock].position;
            }
        }
        self.account.advance(next);
    }

    /// What is to be traded at the open after `view`, at which it has just decided.
    pub(crate) fn next_orders(&self, view: &MarketView<'_>) -> Vec<NextOrder> {
        let (backtest, orders) = (self.account.backtest(), self.account.desk().orders(0));
        let stocks = backtest.pending().iter().zip(orders).enumerate();
        let order = |(stock, (&shares, order)): (usize, (&f64, &PositionOrder))| NextOrder {
            end_s: view.end_s(),
            stock,
            shares,
            reference_price: view.bar(stock).close,
            position_after: backtest.shares(stock) + shares,
            reason: order.reason,
        };
        stocks.map(order).filter(|order| order.shares != 0.0).collect()
    }

    /// The account bar by bar, so far.
    pub(crate) fn record(&self) -> &BacktestRecord {
        self.account.backtest().so_far()
    }

    /// What came of it so far, beside the `benchmark` over the same bars.
    pub(crate) fn so_far(&self, mandate: &Mandate, benchmark: BacktestRecord) -> EvaluationResult {
        let parts = (self.record().clone(), self.allocations.clone(), self.dqn.clone());
        result(mandate, self.account.desk(), parts, benchmark)
    }

    /// As [`Trader::so_far`], at the end.
    pub(crate) fn finish(self, mandate: &Mandate, benchmark: BacktestRecord) -> EvaluationResult {
        let (desk, backtest) = self.account.into_parts();
        let parts = (backtest.into_record(), self.allocations, self.dqn);
        result(mandate, &desk, parts, benchmark)
    }
}

fn wanted(proposals: &[Proposal]) -> impl Iterator<Item = (f64, f32)> {
    proposals.iter().map(|said| (f64::from(said.position), said.conviction))
}

/// Without the orders for an open that is still to come.
fn result(
    mandate: &Mandate,
    desk: &Desk,
    (record, mut allocations, dqn): (BacktestRecord, Allocations, Vec<(f32, f32)>),
    benchmark: BacktestRecord,
) -> EvaluationResult {
    allocations.earn(desk);
    let (costs, regret) = (Costs::new(&mandate.env), desk.regret(0));
    EvaluationResult {
        metrics: Metrics::from_record(&record),
        benchmark_metrics: Metrics::from_record(&benchmark),
        contributions: Contributions::new(&record, &allocations, &costs, regret),
        dqn,
        next_orders: Vec::new(),
        allocations,
        record,
        benchmark,
    }
}
