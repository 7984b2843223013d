//! Evaluation: the greedy policy, without learning, through one account with shared cash. The
//! workers compute the values of all positions, many bars at a time; rank 0 decides bar by bar,
//! because a decision depends on the positions that the one before it left, and on the costs.

use anyhow::Result;

use super::dataset::PreparedData;
use super::trader::Trader;
pub use super::trader::{BarDecision, EvaluationResult, NextOrder};
use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::eval::account::BacktestAccount;
use crate::eval::backtest::buy_and_hold;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{ExpertWeights, MetaPolicy, rule_names};
use crate::rl::agent::{Agent, AgentTerms};
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::shared_values::SharedValues;

/// Bars whose values are computed in one go. What comes out for a bar depends on
/// that bar only.
const CHUNK_BARS: usize = 256;

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
    agents: Vec<&mut Agent>,
    watch: &mut dyn FnMut(&BarDecision<'_>),
) -> Result<Option<EvaluationResult>> {
    let ranks = Ranks { stocks: mandate.stocks.len(), size: comm.size() };
    let width = policy.shape.actions;
    let rows = eval.note.rows.clone();
    // The same on every rank, before rank 0 does more.
    rule_names(&mandate.portfolio.meta_policy, ranks.stocks)?;
    let mut trader = match comm.is_root() {
        true => Some(trader(mandate, eval, policy)?),
        false => None,
    };
    // What is decided at the last bar is for an open that is still to come.
    let decisions: Vec<usize> = rows.clone().collect();
    let mut by_stock = vec![Vec::new(); agents.len()];
    let slots = agents.iter().map(|agent| agent.slots().to_vec());
    let mut shared = SharedValues::new(slots.collect());
    for chunk in decisions.chunks(CHUNK_BARS) {
        let per_stock = chunk.len() * width;
        let chunk_rows: Vec<u32> = chunk.iter().map(|&row| row as u32).collect();
        let mut out: Vec<&mut Vec<f32>> = by_stock.iter_mut().collect();
        shared.compute(policy.networks, &eval.panel, &chunk_rows, &mut out);
        let mine = by_stock.concat();
        let all = if comm.is_root() { ranks.stocks * per_stock } else { 0 };
        let mut values = vec![0.0; all];
        let stamp = MessageStamp { tag: Tag::Values, time: eval.panel.view(chunk[0]).end_s() };
        comm.gather(stamp, &mine, &ranks.counts(per_stock), &mut values)?;
        if let Some(trader) = &mut trader {
            for (i, &row) in chunk.iter().enumerate() {
                let view = eval.panel.view(row);
                if row > rows.start {
                    trader.advance(&view, watch);
                }
                let of_row = |stock: usize| &values[(stock * chunk.len() + i) * width..][..width];
                trader.decide(&view, of_row);
            }
        }
    }
    Ok(trader.map(|trader| {
        let next_orders = trader.next_orders(&eval.panel.view(rows.end - 1));
        let views = rows.map(|row| eval.panel.view(row));
        let benchmark = buy_and_hold(&mandate.stocks, views, &mandate.env)
            .expect("a prepared panel has rows to trade");
        EvaluationResult { next_orders, ..trader.finish(mandate, benchmark) }
    }))
}

/// In cash at the first row of the evaluation.
fn trader(mandate: &Mandate, eval: &PreparedData, policy: Policy<'_>) -> Result<Trader> {
    let meta = MetaPolicy::new(mandate, &eval.panel)?;
    let (rows, limits) = (&eval.note.rows, eval.limits(mandate));
    let account = BacktestAccount::new(mandate, &eval.panel, rows, &limits);
    Ok(Trader::new(mandate, account, meta, policy.terms, policy.expert_weights))
}
