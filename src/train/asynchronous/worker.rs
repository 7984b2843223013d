//! A worker that waits for nobody but the server: it steps, learns, sends its gradient and continues
//! with the weights that come back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::LOCKSTEP;
use super::message::{self, GradientPush, NextStep, ServerReply};
use crate::comm::mailbox::ServerLink;
use crate::config::AsynchronousConfig;
use crate::market::panel::Panel;
use crate::portfolio::meta_policy::CapitalPlan;
use crate::rl::networks::Networks;
use crate::rl::schedule::{UpdateCredit, linear};
use crate::train::compress::{Compressor, bytes_to_floats};
use crate::train::snapshot::{AsyncWorkerState, Cursor, StockState};
use crate::train::worker::{Lanes, Proposal, Worker};

/// A worker that has learned nothing for so many bars lets the server know that it is there.
const SILENT_BARS: u32 = 16;
/// Gradients that were too old are made again, at most so many at a time.
const MOST_OWED: u64 = 8;

/// A stock's worker on its way.
pub(crate) struct AsyncWorker {
    pub(crate) worker: Worker,
    /// With the weights as of its last gradient.
    networks: Networks,
    cursor: Cursor,
    /// Since the last message.
    reward: f64,
    /// Of the weights it has.
    version: u64,
    progress: f64,
    gradient: Vec<f32>,
    proposals: Vec<f32>,
    orders: Vec<f32>,
    message: Vec<u8>,
}

/// What all workers of a process share.
pub(crate) struct WorkerContext<'a> {
    pub(crate) panel: &'a Panel,
    pub(crate) lanes: Lanes,
    pub(crate) config: &'a AsynchronousConfig,
    /// Exponent of the importance weights at the start.
    pub(crate) priority_beta: f64,
    pub(crate) capital: CapitalPlan,
    /// A stock whose every bar takes so many times as long: to try what a slow worker costs.
    pub(crate) slow: Option<(usize, f64)>,
}

/// What a process does when the server asks all workers for something.
pub(crate) trait Host {
    /// Writes its stocks' parts of the checkpoint of so many steps.
    fn checkpoint(&mut self, env_steps: u64, stocks: Vec<(usize, StockState)>) -> Result<()>;

    /// Meets the other processes.
    fn synchronize(&mut self) -> Result<()>;
}

impl AsyncWorker {
    /// With networks of so many parameters.
    pub(crate) fn new(
        worker: Worker,
        networks: Networks,
        parameters: usize,
        credit: UpdateCredit,
        context: &WorkerContext<'_>,
    ) -> AsyncWorker {
        let (config, lanes) = (context.config, context.lanes.count);
        AsyncWorker {
            worker,
            networks,
            cursor: Cursor {
                step: 0,
                credit,
                owed: 0,
                silent_bars: 0,
                compressor: Compressor::new(config.compression, parameters, config.top_k),
            },
            reward: 0.0,
            version: 0,
            progress: 0.0,
            gradient: vec![0.0; parameters],
            proposals: vec![0.0; lanes * Proposal::LEN],
            orders: vec![0.0; 2 * lanes],
            message: Vec::new(),
        }
    }

    pub(crate) fn state(&self) -> StockState {
        let (networks, cursor) = (self.networks.state(), self.cursor.clone());
        StockState {
            worker: self.worker.state(),
            reward_sum: self.reward,
            own_pace: Some(AsyncWorkerState { networks, cursor }),
        }
    }

    /// Restores a state of the same run; `weights` are the server's after `version` steps.
    pub(crate) fn restore(
        &mut self,
        weights: &[f32],
        version: u64,
        state: StockState,
    ) -> Result<()> {
        let AsyncWorkerState { networks, cursor } = state.own_pace.context(LOCKSTEP)?;
        self.worker.restore(state.worker);
        self.networks.restore(weights, networks);
        self.cursor = cursor;
        (self.reward, self.version) = (state.reward_sum, version);
        Ok(())
    }

    /// One bar in every lane.
    pub(crate) fn bar(&mut self, context: &WorkerContext<'_>) {
        let (step, lanes) = (self.cursor.step, context.lanes);
        if step == 0 {
            self.worker.reset();
        }
        self.worker.propose(&self.networks, step, &mut self.proposals);
        let wanted = self.proposals.chunks_exact(Proposal::LEN);
        for (lane, (wanted, order)) in wanted.zip(self.orders.chunks_exact_mut(2)).enumerate() {
            let view = context.panel.view(lanes.row(lane, step));
            let capital = context.capital.at(&view).shares[self.worker.stock()];
            order[0] = Proposal::read(wanted).position;
            order[1] = capital as f32;
        }
        self.reward += self.worker.step(step, &self.orders);
        self.cursor.step = (step + 1) % lanes.steps;
        self.cursor.silent_bars += 1;
        self.cursor.owed += self.cursor.credit.steps_due(lanes.count);
    }

    /// One exchange with the server, with a gradient if `learns`.
    pub(crate) fn exchange(
        &mut self,
        context: &WorkerContext<'_>,
        line: &dyn ServerLink,
        learns: bool,
    ) -> Result<NextStep> {
        let learned = learns.then(|| {
            let beta = linear(context.priority_beta, 1.0, self.progress);
            self.worker.learn(&self.networks, beta, &mut self.gradient)
        });
        let push = GradientPush {
            stock: self.worker.stock() as u32,
            env_steps: self.cursor.silent_bars * context.lanes.count as u32,
            reward: std::mem::take(&mut self.reward),
            epsilon: self.worker.mean_epsilon(),
            version: self.version,
            learned,
        };
        self.cursor.silent_bars = 0;
        message::write(&push, &mut self.message)?;
        if learns {
            self.cursor.compressor.pack(&mut self.gradient, &mut self.message);
        }
        let answer = line.ask(std::mem::take(&mut self.message))?;
        let (answer, weights): (ServerReply, _) = message::read(&answer)?;
        self.progress = answer.progress;
        if learns {
            // The gradient's room is free by now.
            bytes_to_floats(weights, &mut self.gradient).context("weights of another network")?;
            self.networks.pull(&self.gradient);
            self.version = answer.version;
            if answer.is_used {
                self.cursor.owed -= 1;
            } else {
                self.cursor.compressor.take_back();
            }
        }
        Ok(answer.next)
    }
}

/// Lets the stocks of a process step in turn until the server stops them.
pub(crate) fn work(
    async_workers: &mut [AsyncWorker],
    context: &WorkerContext<'_>,
    line: &dyn ServerLink,
    host: &mut dyn Host,
) -> Result<()> {
    loop {
        for at in 0..async_workers.len() {
            let began = Instant::now();
            async_workers[at].bar(context);
            // As many as are due; one that was too old is made again after the next bar.
            let mut attempts = async_workers[at].cursor.owed;
            while attempts > 0 || async_workers[at].cursor.silent_bars >= SILENT_BARS {
                let learns = attempts > 0;
                attempts -= u64::from(learns);
                match async_workers[at].exchange(context, line, learns)? {
                    NextStep::GoOn => {}
                    NextStep::Stop => return Ok(()),
                    NextStep::Meet => host.synchronize()?,
                    NextStep::Checkpoint(env_steps) => {
                        let states = async_workers.iter().map(|async_worker| {
                            (async_worker.worker.stock(), async_worker.state())
                        });
                        host.checkpoint(env_steps, states.collect())?;
                    }
                }
            }
            let cursor = &mut async_workers[at].cursor;
            cursor.owed = cursor.owed.min(MOST_OWED);
            if let Some((stock, times)) = context.slow
                && stock == async_workers[at].worker.stock()
            {
                let more = began.elapsed().as_secs_f64() * (times - 1.0);
                std::thread::sleep(Duration::from_secs_f64(more));
            }
        }
    }
}
