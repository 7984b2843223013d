//! Evaluation: the greedy policy, without learning, through one account with shared cash. The
//! workers compute the values of all positions, many bars at a time; rank 0 decides bar by bar,
//! because a decision depends on the positions that the one before it left, and on the costs.

use std::sync::Arc;

use anyhow::Result;

use super::dataset::PreparedData;
use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::compute::threads::run_parallel;
use crate::env::costs::Costs;
use crate::eval::account::BacktestAccount;
use crate::eval::backtest::{Backtest, buy_and_hold};
use crate::eval::contributions::Contributions;
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::interface::ActionSet;
use crate::market::panel::{MarketView, Panel};
use crate::portfolio::allocation::Allocations;
use crate::portfolio::desk::Desk;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{ExpertWeights, MetaPolicy, rule_names};
use crate::portfolio::risk::{PositionOrder, Reason};
use crate::rl::agent::{Agent, AgentTerms, q_values};
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::td::argmax;
use crate::train::worker::{Proposal, propose};

/// Bars whose values are computed in one go. What comes out for a bar depends on
/// that bar only.
const CHUNK_BARS: usize = 256;

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

/// An evaluation of a run: when it was made, and what it found.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// After so many episodes.
    pub episode: u32,
    /// After so many steps.
    pub env_steps: u64,
    /// What was traded and earned.
    pub evaluated: EvaluationResult,
}

/// The policy that is evaluated; the same on every rank.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// Sizes of the network.
    pub shape: &'a NetworkShape,
    /// For this rank's agents to compute with.
    pub networks: &'a Networks,
    /// `[stock]`: how values become decisions.
    pub terms: &'a [AgentTerms],
    /// Of the meta-policy at the end of the training period; rank 0 alone needs it.
    pub(crate) expert_weights: Option<&'a ExpertWeights>,
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

/// Lets `policy` trade the evaluation period. `agents` are this rank's, in the order of its stocks.
/// Some on rank 0.
pub(crate) fn evaluate(
    comm: &dyn Comm,
    mandate: &Mandate,
    eval: &PreparedData,
    policy: Policy<'_>,
    agents: Vec<&mut Agent>,
) -> Result<Option<EvaluationResult>> {
    evaluate_watched(comm, mandate, eval, policy, agents, &mut |_| {})
}

/// As [`evaluate`]; tells `watch` on rank 0 what is decided at every bar.
pub(crate) fn evaluate_watched(
    comm: &dyn Comm,
    mandate: &Mandate,
    eval: &PreparedData,
    policy: Policy<'_>,
    mut agents: Vec<&mut Agent>,
    watch: &mut dyn FnMut(&BarDecision<'_>),
) -> Result<Option<EvaluationResult>> {
    let ranks = Ranks { stocks: mandate.stocks.len(), size: comm.size() };
    let width = policy.shape.actions;
    let rows = eval.note.rows.clone();
    // The same on every rank, before rank 0 does more.
    rule_names(&mandate.portfolio.meta_policy, ranks.stocks)?;
    let mut trader = match comm.is_root() {
        true => Some(Trader::new(mandate, eval, policy)?),
        false => None,
    };
    // What is decided at the last bar is for an open that is still to come.
    let decisions: Vec<usize> = rows.clone().collect();
    for chunk in decisions.chunks(CHUNK_BARS) {
        let per_stock = chunk.len() * width;
        let mut mine = vec![Vec::new(); agents.len()];
        let chunk_rows: Vec<u32> = chunk.iter().map(|&row| row as u32).collect();
        run_parallel(agents.iter_mut().zip(&mut mine).collect(), |(agent, out)| {
            agent.values(policy.networks, &eval.panel, &chunk_rows, out)
        });
        let mine = mine.concat();
        let all = if comm.is_root() { ranks.stocks * per_stock } else { 0 };
        let mut values = vec![0.0; all];
        let stamp = MessageStamp { tag: Tag::Values, time: eval.panel.view(chunk[0]).end_s() };
        comm.gather(stamp, &mine, &ranks.counts(per_stock), &mut values)?;
        if let Some(trader) = &mut trader {
            trader.trade(&eval.panel, (chunk, rows.end - 1), &values, watch);
        }
    }
    Ok(trader.map(|trader| trader.finish(mandate, eval)))
}

/// What rank 0 decides with, and the account it keeps.
struct Trader {
    /// Of each stock, with the costs of this evaluation.
    terms: Vec<AgentTerms>,
    actions: ActionSet,
    account: BacktestAccount,
    dqn: Vec<(f32, f32)>,
    /// What the DQN would hold of each stock if it traded alone.
    held: Vec<f32>,
    /// Whether it does.
    is_alone: bool,
    allocations: Allocations,
    /// At one bar, `[stock, action]`.
    q: Vec<f32>,
    proposals: Vec<Proposal>,
    next_orders: Vec<NextOrder>,
}

impl Trader {
    fn new(mandate: &Mandate, eval: &PreparedData, policy: Policy<'_>) -> Result<Trader> {
        let is_believed = policy.terms.iter().any(|terms| terms.belief.share > 0.0);
        let meta = MetaPolicy::new(mandate, &eval.panel)?;
        let meta = meta.map(|meta| if is_believed { meta } else { meta.with_unbelieved_dqn() });
        let (stocks, is_alone) = (mandate.stocks.len(), meta.is_none());
        let account =
            BacktestAccount::new(mandate, &eval.panel, &eval.note.rows, &eval.limits(mandate));
        let account = account.with_meta_policy(meta.map(Arc::new), policy.expert_weights);
        let actions = mandate.env.action_set();
        Ok(Trader {
            terms: policy.terms.to_vec(),
            actions,
            allocations: Allocations::new(account.desk(), stocks),
            account,
            held: vec![0.0; stocks],
            is_alone,
            dqn: Vec::new(),
            q: Vec::new(),
            proposals: Vec::new(),
            next_orders: Vec::new(),
        })
    }

    /// The position from which the DQN of a stock decides: its own, where that is not known to be
    /// another one in the account that it trades alone.
    fn held(&self, stock: usize) -> f32 {
        let (own, real) = (self.held[stock], f32::from(self.account.backtest().direction(stock)));
        let agree = own * real > 0.0 || own == real;
        if self.is_alone && !agree { real } else { own }
    }

    /// Decides at each of `rows`, which follow one another; `last` is the last one of all. `values`
    /// `[stock, row, action]`.
    fn trade(
        &mut self,
        panel: &Panel,
        (rows, last): (&[usize], usize),
        values: &[f32],
        watch: &mut dyn FnMut(&BarDecision<'_>),
    ) {
        for (i, &t) in rows.iter().enumerate() {
            self.value(values, (i, rows.len()));
            let choices = self.q.chunks_exact(self.actions.len());
            self.proposals.clear();
            self.proposals.extend(choices.map(|q| propose(&self.actions, q, argmax(q))));
            let view = panel.view(t);
            let wanted = self.proposals.iter();
            let wanted = wanted.map(|said| (f64::from(said.position), said.conviction));
            self.account.order(&view, wanted);
            if t == last {
                self.next_orders = next_orders(&view, &self.account);
                return;
            }
            let next = panel.view(t + 1);
            self.dqn.extend(self.proposals.iter().map(|said| (said.position, said.conviction)));
            let (desk, backtest) = (self.account.desk(), self.account.backtest());
            self.allocations.note(view.end_s(), desk, backtest.equity());
            watch(&BarDecision { end_s: view.end_s(), q: &self.q, desk, backtest });
            for (stock, held) in self.held.iter_mut().enumerate() {
                if next.bar(stock).tradable {
                    *held = self.proposals[stock].position;
                }
            }
            self.account.advance(&next);
        }
    }

    /// Q-values at the `i`-th of `rows` bars. `values` `[stock, row, action]`.
    fn value(&mut self, values: &[f32], (i, rows): (usize, usize)) {
        let actions = self.actions.len();
        let mut q = std::mem::take(&mut self.q);
        q.clear();
        for (stock, values) in values.chunks_exact(rows * actions).enumerate() {
            let held = self.held(stock);
            q_values(&values[i * actions..][..actions], held, &self.terms[stock], &mut q);
        }
        self.q = q;
    }

    fn finish(mut self, mandate: &Mandate, eval: &PreparedData) -> EvaluationResult {
        self.allocations.earn(self.account.desk());
        let regret = self.account.desk().regret(0);
        let record = self.account.into_record();
        let costs = Costs::new(&mandate.env);
        let views = eval.note.rows.clone().map(|row| eval.panel.view(row));
        let benchmark = buy_and_hold(&mandate.stocks, views, &mandate.env)
            .expect("a prepared panel has rows to trade");
        EvaluationResult {
            metrics: Metrics::from_record(&record),
            benchmark_metrics: Metrics::from_record(&benchmark),
            contributions: Contributions::new(&record, &self.allocations, &costs, regret),
            dqn: self.dqn,
            next_orders: self.next_orders,
            allocations: self.allocations,
            record,
            benchmark,
        }
    }
}

/// What the account is about to trade at the open after `view`.
fn next_orders(view: &MarketView<'_>, account: &BacktestAccount) -> Vec<NextOrder> {
    let (backtest, orders) = (account.backtest(), account.desk().orders(0));
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
