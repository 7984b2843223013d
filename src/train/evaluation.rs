//! Evaluation: the greedy policy, without learning, through one account with shared cash. Every rank runs it, as in
//! training: workers propose, rank 0 decides and keeps the account.

use anyhow::Result;
use tch::Tensor;

use super::dataset::Prepared;
use super::lockstep::side_by_side;
use crate::config::RunConfig;
use crate::dist::ranks::{to_gathered_order, to_stock_order};
use crate::dist::worker::{Proposal, propose};
use crate::dist::{Comm, Ranks, Stamp, Tag};
use crate::eval::backtest::{Backtest, buy_and_hold};
use crate::eval::metrics::{Course, Metrics};
use crate::interface::{ActionSet, PrivateState};
use crate::portfolio::desk::Desk;
use crate::portfolio::risk::Limits;
use crate::rl::agent::Agent;
use crate::rl::td::argmax;

/// Rows whose market part of the network is computed in one go. What comes out for a row depends on that row only.
const CHUNK_ROWS: usize = 256;

/// What an evaluation found, beside the benchmark over the same bars and costs.
#[derive(Clone, Debug)]
pub struct Evaluated {
    pub course: Course,
    pub metrics: Metrics,
    pub benchmark: Course,
    pub benchmark_metrics: Metrics,
}

/// One stock's agent in an evaluation.
struct Seat<'a> {
    agent: &'a mut Agent,
    /// Market part of the present chunk of rows.
    context: Option<Tensor>,
    q: Vec<f32>,
}

/// A private state as a message: position, bars held, unrealised return.
const STATE_LEN: usize = 3;

/// Lets this rank's agents, in the order of its stocks, trade the evaluation period. Some on rank 0.
pub fn evaluate(
    comm: &dyn Comm,
    config: &RunConfig,
    eval: &Prepared,
    agents: Vec<&mut Agent>,
) -> Result<Option<Evaluated>> {
    let ranks = Ranks { stocks: config.stocks.len(), size: comm.size() };
    let order = ranks.gathered_order();
    let actions = ActionSet::new(config.env.long_only);
    let rows = eval.note.rows.clone();
    let panel = &eval.panel;
    let mut seats: Vec<Seat> =
        agents.into_iter().map(|agent| Seat { agent, context: None, q: Vec::new() }).collect();
    let own = seats.len();
    let first = panel.view(rows.start);
    let mut root = comm.is_root().then(|| {
        let limits = Limits::new(&config.portfolio, &eval.note.fit.relations.correlation);
        let desk =
            Desk::new(std::iter::once(first), ranks.stocks, &config.portfolio, limits);
        (desk, Backtest::start(&config.stocks, &first, &config.env))
    });
    let all = if comm.is_root() { ranks.stocks } else { 0 };
    let mut states = vec![0.0; own * STATE_LEN];
    let mut proposals = vec![0.0; own * Proposal::LEN];
    let (mut gathered, mut by_stock) = (vec![0.0; all * STATE_LEN], vec![0.0; all * STATE_LEN]);
    let (proposal_counts, state_counts) = (ranks.counts(Proposal::LEN), ranks.counts(STATE_LEN));

    for t in rows.start..rows.end - 1 {
        let view = panel.view(t);
        let chunk_row = (t - rows.start) % CHUNK_ROWS;
        let chunk: Vec<u32> = match chunk_row {
            0 => (t..(t + CHUNK_ROWS).min(rows.end - 1)).map(|row| row as u32).collect(),
            _ => Vec::new(),
        };
        let one = |((seat, state), message): ((&mut Seat, &[f32]), &mut [f32])| {
            if chunk_row == 0 {
                seat.context = Some(seat.agent.context(panel, &chunk));
            }
            seat.propose(chunk_row, read_state(state), actions).write(message);
        };
        let seats_and_states = seats.iter_mut().zip(states.chunks_exact(STATE_LEN));
        side_by_side(
            seats_and_states.zip(proposals.chunks_exact_mut(Proposal::LEN)).collect(),
            one,
        );
        let stamp = Stamp { tag: Tag::Proposals, time: view.end_s() };
        let wanted_len = all * Proposal::LEN;
        comm.gather(stamp, &proposals, &proposal_counts, &mut gathered[..wanted_len])?;
        if let Some((desk, backtest)) = &mut root {
            let wanted = &mut by_stock[..wanted_len];
            to_stock_order(&gathered[..wanted_len], &order, Proposal::LEN, wanted);
            let wanted = wanted.chunks_exact(Proposal::LEN).map(|message| {
                let proposal = Proposal::read(message);
                (proposal.direction, proposal.conviction)
            });
            backtest.order(&view, desk.decide(0, &view, wanted));
            backtest.advance(&panel.view(t + 1));
            for (stock, message) in by_stock.chunks_exact_mut(STATE_LEN).enumerate() {
                write_state(backtest.private_state(stock), message);
            }
            to_gathered_order(&by_stock, &order, STATE_LEN, &mut gathered);
        }
        let stamp = Stamp { tag: Tag::PrivateStates, time: view.end_s() };
        comm.scatter(stamp, &gathered, &state_counts, &mut states)?;
    }
    Ok(root.map(|(_, backtest)| {
        let course = backtest.into_course();
        let views = rows.clone().map(|row| panel.view(row));
        let benchmark = buy_and_hold(&config.stocks, views, &config.env)
            .expect("an evaluation has rows, which prepare has checked");
        Evaluated {
            metrics: Metrics::of(&course),
            benchmark_metrics: Metrics::of(&benchmark),
            course,
            benchmark,
        }
    }))
}

impl Seat<'_> {
    fn propose(&mut self, chunk_row: usize, state: PrivateState, actions: ActionSet) -> Proposal {
        let context = self.context.as_ref().expect("made at the first row of the chunk");
        let context = context.narrow(0, chunk_row as i64, 1);
        self.agent.values_in(&context, state, &mut self.q);
        propose(actions, &self.q, argmax(&self.q))
    }
}

fn write_state(state: PrivateState, message: &mut [f32]) {
    message[0] = f32::from(state.position);
    message[1] = f32::from(state.bars_held);
    message[2] = state.unrealized_return;
}

fn read_state(message: &[f32]) -> PrivateState {
    PrivateState {
        position: message[0] as i8,
        bars_held: message[1] as u16,
        unrealized_return: message[2],
    }
}
