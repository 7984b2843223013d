//! Evaluation: the greedy policy, without learning, through one account with shared cash. The
//! workers compute what the network makes of the market, many bars at a time; rank 0 decides bar by
//! bar, because a decision depends on the positions that the one before it left.

use anyhow::Result;

use super::dataset::PreparedData;
use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::compute::threads::run_parallel;
use crate::env::trading_env::TradingEnv;
use crate::eval::account::BacktestAccount;
use crate::eval::backtest::{Backtest, buy_and_hold};
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::interface::{ActionSet, PrivateState};
use crate::market::panel::Panel;
use crate::portfolio::allocation::Allocations;
use crate::portfolio::desk::Desk;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{
    ActionValues, DqnProposal, ExpertWeights, MetaPolicy, rule_names,
};
use crate::rl::agent::{Agent, private_features};
use crate::rl::device::Device;
use crate::rl::engine::Engine;
use crate::rl::engines::engine;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::td::argmax;
use crate::train::worker::{Proposal, propose};

/// Bars whose market part of the network is computed in one go. What comes out for a bar depends on
/// that bar only.
const CHUNK_BARS: usize = 256;

/// What an evaluation found, beside the benchmark over the same bars and costs.
#[derive(Clone, Debug)]
pub struct EvaluationResult {
    /// The account bar by bar.
    pub record: BacktestRecord,
    /// What the DQN wanted at each bar but the last, whoever traded: direction and conviction,
    /// `[row, stock]`.
    pub dqn: Vec<(i8, f32)>,
    /// Who traded each stock when, with how much capital.
    pub allocations: Allocations,
    /// Figures of the account.
    pub metrics: Metrics,
    /// Buy and hold bar by bar: the same cash in equal parts of all stocks.
    pub benchmark: BacktestRecord,
    /// Figures of buy and hold.
    pub benchmark_metrics: Metrics,
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
pub(crate) struct Policy<'a> {
    pub(crate) shape: &'a NetworkShape,
    pub(crate) weights: &'a [f32],
    /// With these weights, for this rank's agents to compute with.
    pub(crate) networks: &'a Networks,
    /// Of the meta-policy's rules at the end of the training period; rank 0 alone needs it.
    pub(crate) expert_weights: Option<&'a ExpertWeights>,
}

/// What was decided at the close of a bar.
pub struct BarDecision<'a> {
    /// UTC seconds.
    pub end_s: i64,
    /// Values of all actions, `[stock, action]`.
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
    let width = 2 * policy.shape.config.embedding;
    let rows = eval.note.rows.clone();
    // The same on every rank, before rank 0 does more.
    rule_names(&mandate.portfolio.meta_policy, ranks.stocks)?;
    let mut trader = match comm.is_root() {
        true => Some(Trader::new(mandate, eval, policy)?),
        false => None,
    };
    // The last bar is one to be filled at, not to decide at.
    let decisions: Vec<usize> = (rows.start..rows.end - 1).collect();
    for chunk in decisions.chunks(CHUNK_BARS) {
        let per_stock = chunk.len() * width;
        let mut mine = vec![0.0; agents.len() * per_stock];
        let chunk_rows: Vec<u32> = chunk.iter().map(|&row| row as u32).collect();
        run_parallel(
            agents.iter_mut().zip(mine.chunks_exact_mut(per_stock)).collect(),
            |(agent, out)| agent.context(policy.networks, &eval.panel, &chunk_rows, out),
        );
        let all = if comm.is_root() { ranks.stocks * per_stock } else { 0 };
        let mut contexts = vec![0.0; all];
        let stamp = MessageStamp { tag: Tag::Contexts, time: eval.panel.view(chunk[0]).end_s() };
        comm.gather(stamp, &mine, &ranks.counts(per_stock), &mut contexts)?;
        if let Some(trader) = &mut trader {
            trader.trade(&eval.panel, chunk, &contexts, watch);
        }
    }
    Ok(trader.map(|trader| trader.finish(mandate, eval)))
}

/// What rank 0 decides with, and the account it keeps.
struct Trader {
    /// For the heads: rank 0 of several has no networks of its own.
    engine: Box<dyn Engine>,
    return_std: Vec<f32>,
    actions: ActionSet,
    account: BacktestAccount,
    dqn: Vec<(i8, f32)>,
    /// What the DQN would hold of each stock if it traded alone, where a meta-policy asks for it.
    alone: Option<Vec<TradingEnv>>,
    allocations: Allocations,
    /// At one bar: `[stock, 2 * embedding]`, `[stock, private]` and `[stock, action]`.
    contexts: Vec<f32>,
    private: Vec<f32>,
    q: Vec<f32>,
    proposals: Vec<Proposal>,
    wanted: Vec<DqnProposal>,
}

impl Trader {
    fn new(mandate: &Mandate, eval: &PreparedData, policy: Policy<'_>) -> Result<Trader> {
        let correlation = &eval.note.fit.relations.correlation;
        let meta = MetaPolicy::new(mandate, &eval.panel, correlation)?;
        let meta = meta.map(|meta| meta.with_forecast_combiner(&eval.panel));
        let stocks = mandate.stocks.len();
        let alone = meta.is_some().then(|| vec![TradingEnv::new(&mandate.env); stocks]);
        let account =
            BacktestAccount::new(mandate, &eval.panel, &eval.note.rows, &eval.limits(mandate));
        let expert_weights =
            policy.expert_weights.filter(|of| meta.as_ref().is_some_and(|it| it.fits(of)));
        let account = account.with_meta_policy(meta, expert_weights);
        Ok(Trader {
            engine: engine(policy.shape, policy.weights, Device::Cpu)?,
            return_std: eval.note.fit.scaler.return_std.clone(),
            actions: ActionSet::new(mandate.env.long_only),
            allocations: Allocations::new(account.desk(), stocks),
            account,
            alone,
            dqn: Vec::new(),
            contexts: Vec::new(),
            private: Vec::new(),
            q: Vec::new(),
            proposals: Vec::new(),
            wanted: Vec::new(),
        })
    }

    /// What the DQN of a stock knows of its position: that of the account, or of its own where
    /// others trade for the account, too.
    fn private_state(&self, stock: usize) -> PrivateState {
        match &self.alone {
            Some(accounts) => accounts[stock].private_state(),
            None => self.account.private_state(stock),
        }
    }

    /// Decides at each of `rows`, which follow one another. `contexts` `[stock, row, 2 *
    /// embedding]`.
    fn trade(
        &mut self,
        panel: &Panel,
        rows: &[usize],
        contexts: &[f32],
        watch: &mut dyn FnMut(&BarDecision<'_>),
    ) {
        for (i, &t) in rows.iter().enumerate() {
            self.value(contexts, (i, rows.len()));
            let choices = self.q.chunks_exact(self.actions.len());
            self.proposals.clear();
            self.proposals.extend(choices.map(|q| propose(self.actions, q, argmax(q))));
            self.dqn.extend(self.proposals.iter().map(|said| (said.direction, said.conviction)));
            self.want();
            let (view, next) = (panel.view(t), panel.view(t + 1));
            self.account.order_for(&view, self.wanted.iter().copied());
            let (desk, backtest) = (self.account.desk(), self.account.backtest());
            self.allocations.note(view.end_s(), desk);
            watch(&BarDecision { end_s: view.end_s(), q: &self.q, desk, backtest });
            for (stock, alone) in self.alone.iter_mut().flatten().enumerate() {
                let direction = self.proposals[stock].direction;
                alone.step(direction, &view.bar(stock), &next.bar(stock), t + 1);
            }
            self.account.advance(&next);
        }
    }

    /// Values of all actions at the `i`-th of `rows` bars. `contexts` `[stock, row, 2 *
    /// embedding]`.
    fn value(&mut self, contexts: &[f32], (i, rows): (usize, usize)) {
        let stocks = self.return_std.len();
        let width = contexts.len() / (stocks * rows);
        self.contexts.clear();
        self.private.clear();
        for (stock, contexts) in contexts.chunks_exact(rows * width).enumerate() {
            self.contexts.extend_from_slice(&contexts[i * width..][..width]);
            let state = self.private_state(stock);
            self.private.extend(private_features(&state, self.return_std[stock]));
        }
        self.engine.heads(&self.contexts, &self.private, &mut self.q);
    }

    /// What the DQN says to the desk: all of its values where it has accounts of its own, from
    /// which they are seen.
    fn want(&mut self) {
        self.wanted.clear();
        let choices = self.q.chunks_exact(self.actions.len());
        for (stock, (said, q)) in self.proposals.iter().zip(choices).enumerate() {
            let values = self.alone.as_ref().map(|accounts| {
                let than_none =
                    |direction: i8| q[self.actions.index(direction)] - q[self.actions.index(0)];
                ActionValues {
                    short: (self.actions.len() == 3).then(|| than_none(-1)),
                    long: than_none(1),
                    held: accounts[stock].private_state().position,
                    unit: f64::from(self.return_std[stock]),
                }
            });
            self.wanted.push(DqnProposal {
                values,
                ..DqnProposal::plain((said.direction, said.conviction))
            });
        }
    }

    fn finish(self, mandate: &Mandate, eval: &PreparedData) -> EvaluationResult {
        let record = self.account.into_record();
        let views = eval.note.rows.clone().map(|row| eval.panel.view(row));
        let benchmark = buy_and_hold(&mandate.stocks, views, &mandate.env)
            .expect("a prepared panel has rows to trade");
        EvaluationResult {
            metrics: Metrics::from_record(&record),
            benchmark_metrics: Metrics::from_record(&benchmark),
            dqn: self.dqn,
            allocations: self.allocations,
            record,
            benchmark,
        }
    }
}
