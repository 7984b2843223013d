//! The server of an asynchronous run: takes gradients as they come, and tells the workers what
//! happens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::evaluator::Evaluator;
use super::message::{self, GradientPush, NextStep, ServerReply};
use crate::comm::mailbox::Mailbox;
use crate::config::{AsynchronousConfig, Compression};
use crate::rl::optimizer::Adam;
use crate::train::callbacks::{
    Callbacks, Ending, INTERVALS_PER_EPISODE, PushStats, TrainingInterval,
};
use crate::train::compress::{floats_to_bytes, unpack};
use crate::train::server::Server;
use crate::train::setup::Setup;
use crate::train::snapshot::{
    ModeState, RootState, ServerState, SinceInterval, Snapshot, StockState,
};
use crate::train::worker::{Lanes, LearnStats};

/// Between two looks at what else there is to do.
const PATIENCE: Duration = Duration::from_millis(20);

/// What every worker is to be told, and how many have been.
struct InstructionRound {
    next: NextStep,
    told: Vec<bool>,
}

/// What the server does it with.
pub(crate) struct ServerIo<'a> {
    pub(crate) mailbox: &'a dyn Mailbox,
    pub(crate) callbacks: &'a mut dyn Callbacks,
    pub(crate) evaluations: &'a mut Evaluator,
    /// Hands over what threads of this process wrote of their stocks for a checkpoint.
    pub(crate) collect: &'a mut dyn FnMut() -> Result<Vec<(usize, StockState)>>,
}

/// Rank 0's part of a run.
pub(crate) struct AsyncServer<'a> {
    stocks: usize,
    plan: Lanes,
    /// Passes over the training period.
    episodes: u32,
    every_episodes: u32,
    compression: Compression,
    server: Server,
    state: ServerState,
    max_staleness: u64,
    /// Reused.
    gradient: Vec<f32>,
    stop: &'a AtomicBool,
    /// What the run came to, once that is decided.
    ending: Option<Ending>,
}

impl<'a> AsyncServer<'a> {
    pub(crate) fn new(
        setup: &Setup<'a>,
        config: &AsynchronousConfig,
        weights: Vec<f32>,
    ) -> AsyncServer<'a> {
        let stocks = setup.mandate.stocks.len();
        AsyncServer {
            stocks,
            plan: setup.lanes,
            episodes: setup.episodes,
            every_episodes: setup.every_episodes,
            compression: config.compression,
            gradient: vec![0.0; weights.len()],
            // Where everyone goes at a pace of their own, no attempt has an end for all.
            server: setup.server(weights, setup.attempts().of(1).weight_decay),
            state: ServerState {
                env_steps: 0,
                version: 0,
                since: SinceInterval::default(),
                epsilon: vec![0.0; stocks],
                env_steps_of: vec![0; stocks],
                due: VecDeque::new(),
            },
            max_staleness: config.max_staleness_for(stocks),
            stop: setup.stop,
            ending: None,
        }
    }

    pub(crate) fn weights(&self) -> &[f32] {
        self.server.weights()
    }

    pub(crate) fn state(&self) -> &ServerState {
        &self.state
    }

    /// Of a run that has been served.
    pub(crate) fn ending(&self) -> Ending {
        self.ending.unwrap_or(Ending::EpisodeDone)
    }

    /// Restores a state of the same run.
    pub(crate) fn restore(&mut self, weights: &[f32], optimizer: Adam, state: ServerState) {
        self.server.restore(weights, optimizer);
        self.state = state;
    }

    /// Answers the workers until all have been told to stop.
    pub(crate) fn serve(&mut self, io: &mut ServerIo<'_>) -> Result<()> {
        let senders = io.mailbox.senders();
        let mut stopped = vec![false; senders];
        let mut rounds: VecDeque<InstructionRound> = VecDeque::new();
        let round = |next: NextStep| InstructionRound { next, told: vec![false; senders] };
        while stopped.iter().any(|stopped| !stopped) {
            self.evaluate(io)?;
            if self.ending.is_none() {
                self.ending = self.decided();
                if self.ending == Some(Ending::Stopped) {
                    rounds.push_back(round(NextStep::Checkpoint(self.state.env_steps)));
                }
                rounds.extend(self.ending.map(|_| round(NextStep::Stop)));
            }
            if rounds.is_empty() && io.callbacks.wants_checkpoint() {
                rounds.push_back(round(NextStep::Checkpoint(self.state.env_steps)));
            }
            let Some((sender, question)) = io.mailbox.next(PATIENCE) else { continue };
            if question.is_empty() {
                if stopped[sender] {
                    continue;
                }
                bail!("a worker failed");
            }
            let (push, gradient): (GradientPush, _) = message::read(&question)?;
            let is_used = self.take(push, gradient)?;
            let next = match rounds.front_mut() {
                Some(first) if !first.told[sender] => {
                    first.told[sender] = true;
                    first.next
                }
                _ => NextStep::GoOn,
            };
            stopped[sender] |= next == NextStep::Stop;
            let answer = self.answer(next, is_used, push.learned.is_some())?;
            io.mailbox.answer(sender, answer);
            if rounds.front().is_some_and(|first| first.told.iter().all(|&told| told)) {
                let done = rounds.pop_front().context("a round")?;
                self.synchronize(done.next, io)?;
            }
            if self.state.since.env_steps >= self.env_steps_per_interval() {
                self.report_interval(io)?;
                if io.callbacks.is_writing() && self.ending.is_none() {
                    rounds.push_back(round(NextStep::Meet));
                }
            }
        }
        if self.state.since.env_steps > 0 {
            self.report_interval(io)?;
        }
        self.evaluate_in_time(io)
    }

    /// What ends the run now, if anything does: all its work is done, or the user wants no more.
    /// Who says so after the last step is too late.
    fn decided(&self) -> Option<Ending> {
        if self.state.env_steps >= self.all_env_steps() {
            Some(Ending::EpisodeDone)
        } else {
            self.stop.load(Ordering::Relaxed).then_some(Ending::Stopped)
        }
    }

    fn env_steps_per_episode(&self) -> u64 {
        (self.plan.steps * self.plan.count * self.stocks) as u64
    }

    fn env_steps_per_interval(&self) -> u64 {
        self.env_steps_per_episode().div_ceil(INTERVALS_PER_EPISODE as u64)
    }

    fn all_env_steps(&self) -> u64 {
        self.env_steps_per_episode() * u64::from(self.episodes)
    }

    fn progress(&self) -> f64 {
        (self.state.env_steps as f64 / self.all_env_steps() as f64).min(1.0)
    }

    /// The episode in which the mean stock is, from 1.
    fn episode(&self) -> u32 {
        let done = self.state.env_steps / self.env_steps_per_episode();
        (done as u32 + 1).min(self.episodes)
    }

    /// Takes in what a worker says. Returns whether its gradient was used.
    fn take(&mut self, push: GradientPush, gradient: &[u8]) -> Result<bool> {
        let (stock, state) = (push.stock as usize, &mut self.state);
        let since = &mut state.since;
        state.env_steps += u64::from(push.env_steps);
        *state.env_steps_of.get_mut(stock).context("a stock of another run")? +=
            u64::from(push.env_steps);
        state.epsilon[stock] = push.epsilon;
        since.env_steps += u64::from(push.env_steps);
        since.reward += push.reward;
        let Some(learned) = push.learned else { return Ok(false) };
        let stale = state.version.saturating_sub(push.version);
        since.pushes += 1;
        since.bytes += gradient.len() as u64;
        since.staleness += stale;
        since.most_stale = since.most_stale.max(stale);
        if stale > self.max_staleness {
            since.rejected += 1;
            return Ok(false);
        }
        since.learned.push(learned);
        unpack(self.compression, gradient, &mut self.gradient)
            .context("a gradient of another network")?;
        // A stock's gradient alone: of the step that all stocks' mean would make, its part.
        let part = 1.0 / self.stocks as f64;
        self.server.apply_part(self.progress(), &self.gradient, part)?;
        self.state.version += 1;
        Ok(true)
    }

    fn answer(&self, next: NextStep, is_used: bool, wants_weights: bool) -> Result<Vec<u8>> {
        let (version, progress) = (self.state.version, self.progress());
        let mut bytes = Vec::new();
        message::write(&ServerReply { next, version, progress, is_used }, &mut bytes)?;
        if wants_weights {
            floats_to_bytes(self.weights(), &mut bytes);
        }
        Ok(bytes)
    }

    /// Every worker was told: rank 0's part of it.
    fn synchronize(&mut self, next: NextStep, io: &mut ServerIo<'_>) -> Result<()> {
        match next {
            NextStep::Checkpoint(env_steps) => {
                let stocks = (io.collect)()?;
                let root = Some(self.root_state());
                io.callbacks.on_checkpoint(Snapshot { env_steps, root, stocks })
            }
            NextStep::Meet => io.callbacks.on_barrier(),
            NextStep::GoOn | NextStep::Stop => Ok(()),
        }
    }

    fn root_state(&self) -> RootState {
        RootState {
            weights: self.weights().to_vec(),
            optimizer: self.server.optimizer().clone(),
            mode: ModeState::Asynchronous(self.state.clone()),
        }
    }

    /// Tells of the evaluation that is done by now, and begins the next that is due.
    fn evaluate(&mut self, io: &mut ServerIo<'_>) -> Result<()> {
        if let Some(done) = io.evaluations.done()? {
            self.state.due.pop_front();
            io.callbacks.on_evaluation(done)?;
        }
        if !io.evaluations.is_running()
            && !self.is_stopping()
            && let Some(&episode) = self.state.due.front()
        {
            io.evaluations.begin(episode, self.state.env_steps, self.weights())?;
        }
        Ok(())
    }

    /// Waits until no evaluation waits for another, so that each has the weights of its episode.
    fn evaluate_in_time(&mut self, io: &mut ServerIo<'_>) -> Result<()> {
        self.evaluate(io)?;
        while self.state.due.len() > 1 && !self.is_stopping() {
            std::thread::sleep(PATIENCE);
            self.evaluate(io)?;
        }
        Ok(())
    }

    /// The user wants no more: what takes long is left to when the run is gone on with.
    fn is_stopping(&self) -> bool {
        let wants_no_more = || self.stop.load(Ordering::Relaxed);
        self.ending.map_or_else(wants_no_more, |ending| ending == Ending::Stopped)
    }

    /// Tells of an interval, and begins an evaluation where one has come due in it. That of the
    /// last episode is made when all workers have stopped.
    fn report_interval(&mut self, io: &mut ServerIo<'_>) -> Result<()> {
        let began = self.state.env_steps - self.state.since.env_steps;
        let interval = self.interval();
        io.callbacks.on_interval(interval)?;
        let every = u64::from(self.every_episodes);
        let due = |env_steps: u64| env_steps / self.env_steps_per_episode() / every;
        let env_steps = self.state.env_steps;
        if due(env_steps) > due(began) && env_steps < self.all_env_steps() {
            self.state.due.push_back((due(env_steps) * every) as u32);
            self.evaluate_in_time(io)?;
        }
        Ok(())
    }

    /// What happened since the last interval; the next one begins.
    fn interval(&mut self) -> TrainingInterval {
        let since = std::mem::take(&mut self.state.since);
        let mean = |of: fn(&LearnStats) -> f32| {
            let sum: f64 = since.learned.iter().map(|one| f64::from(of(one))).sum();
            (!since.learned.is_empty()).then(|| sum / since.learned.len() as f64)
        };
        let stocks = self.stocks as f64;
        let per_push = |sum: u64| sum as f64 / since.pushes.max(1) as f64;
        TrainingInterval {
            episode: self.episode(),
            env_steps: self.state.env_steps,
            gradient_steps: self.state.version,
            loss: mean(|one| one.loss),
            mean_q: mean(|one| one.mean_q),
            epsilon: self.state.epsilon.iter().sum::<f64>() / stocks,
            // Per bar of the portfolio: every stock brings its part.
            reward: since.reward * stocks / since.env_steps as f64,
            asynchronous: Some(PushStats {
                staleness: per_push(since.staleness),
                most_stale: since.most_stale,
                rejected: since.rejected,
                push_bytes: per_push(since.bytes),
            }),
        }
    }
}
