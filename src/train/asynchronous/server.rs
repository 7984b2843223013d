//! The server of an asynchronous run: takes gradients as they come, and tells the workers what
//! happens.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::message::{self, Answer, Next, Push};
use super::{Asynchronous, Collected};
use crate::dist::compress::{floats_to_bytes, unpack};
use crate::dist::mailbox::Mailbox;
use crate::dist::worker::Learned;
use crate::train::evaluation::Evaluated;
use crate::train::lockstep::INTERVALS_PER_EPISODE;
use crate::train::snapshot::{At, RootState, Snapshot};
use crate::train::watcher::{Interval, Pushes, Watcher};

/// Between two looks at what else there is to do.
const PATIENCE: Duration = Duration::from_millis(20);

/// What happened since the last interval; in a checkpoint, so that nothing is told twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Since {
    learned: Vec<Learned>,
    env_steps: u64,
    reward: f64,
    pushes: u64,
    bytes: u64,
    staleness: u64,
    most_stale: u64,
    rejected: u64,
}

/// Where the server stands, beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub env_steps: u64,
    /// Gradients used so far.
    pub version: u64,
    since: Since,
    /// Exploration rate of each stock.
    epsilon: Vec<f64>,
    /// Bars of each stock.
    pub env_steps_of: Vec<u64>,
}

impl Standing {
    pub fn new(stocks: usize) -> Standing {
        Standing {
            env_steps: 0,
            version: 0,
            since: Since::default(),
            epsilon: vec![0.0; stocks],
            env_steps_of: vec![0; stocks],
        }
    }
}

/// What every worker is to be told, and how many have been.
struct Round {
    next: Next,
    told: Vec<bool>,
}

/// Who evaluates while the workers go on.
pub trait Evaluator {
    /// Begins with these weights, after so many episodes and steps. One at a time: it waits for the
    /// one before.
    fn begin(&mut self, episode: u32, env_steps: u64, weights: &[f32]) -> Result<Vec<Done>>;

    /// What is done by now.
    fn done(&mut self) -> Result<Vec<Done>>;
}

/// An evaluation: after which episode, after how many steps, and what came of it.
pub type Done = (u32, u64, Evaluated);

/// What the server does it with.
pub struct Means<'a> {
    pub mailbox: &'a dyn Mailbox,
    pub watcher: &'a mut dyn Watcher,
    pub evaluator: &'a mut dyn Evaluator,
    /// Hands over what threads of this process wrote of their stocks for a checkpoint.
    pub collect: &'a mut Collected<'a>,
}

impl Asynchronous<'_> {
    /// Answers the workers until all have been told to stop.
    pub(super) fn serve(&mut self, means: &mut Means<'_>) -> Result<()> {
        let senders = means.mailbox.senders();
        let mut stopped = vec![false; senders];
        let mut rounds: VecDeque<Round> = VecDeque::new();
        let round = |next: Next| Round { next, told: vec![false; senders] };
        let mut is_stopping = false;
        while stopped.iter().any(|stopped| !stopped) {
            for done in means.evaluator.done()? {
                means.watcher.evaluated(&done)?;
            }
            if !is_stopping && self.is_over() {
                is_stopping = true;
                if self.stop.load(Ordering::Relaxed) {
                    rounds.push_back(round(Next::Checkpoint(self.standing.env_steps)));
                }
                rounds.push_back(round(Next::Stop));
            }
            if rounds.is_empty() && means.watcher.wants_checkpoint() {
                rounds.push_back(round(Next::Checkpoint(self.standing.env_steps)));
            }
            let Some((sender, question)) = means.mailbox.next(PATIENCE) else { continue };
            if question.is_empty() {
                if stopped[sender] {
                    continue;
                }
                bail!("a worker broke off");
            }
            let (push, gradient): (Push, _) = message::read(&question)?;
            let is_used = self.take(push, gradient)?;
            let next = match rounds.front_mut() {
                Some(first) if !first.told[sender] => {
                    first.told[sender] = true;
                    first.next
                }
                _ => Next::GoOn,
            };
            stopped[sender] |= next == Next::Stop;
            let answer =
                Answer { next, version: self.standing.version, progress: self.progress(), is_used };
            let mut bytes = Vec::new();
            message::write(&answer, &mut bytes)?;
            if push.learned.is_some() {
                floats_to_bytes(self.server.as_ref().context("a server")?.weights(), &mut bytes);
            }
            means.mailbox.answer(sender, bytes);
            if rounds.front().is_some_and(|first| first.told.iter().all(|&told| told)) {
                let done = rounds.pop_front().context("a round")?;
                self.meet(done.next, means)?;
            }
            if self.standing.since.env_steps >= self.env_steps_per_interval() {
                self.tell(means)?;
                if means.watcher.is_writing() && !is_stopping {
                    rounds.push_back(round(Next::Meet));
                }
            }
        }
        if self.standing.since.env_steps > 0 {
            self.tell(means)?;
        }
        Ok(())
    }

    /// All its work is done, or the user wants no more.
    fn is_over(&self) -> bool {
        self.standing.env_steps >= self.all_env_steps() || self.stop.load(Ordering::Relaxed)
    }

    fn progress(&self) -> f64 {
        (self.standing.env_steps as f64 / self.all_env_steps() as f64).min(1.0)
    }

    /// Takes in what a worker says. Returns whether its gradient was used.
    fn take(&mut self, push: Push, gradient: &[u8]) -> Result<bool> {
        let (stock, standing) = (push.stock as usize, &mut self.standing);
        let since = &mut standing.since;
        standing.env_steps += u64::from(push.env_steps);
        *standing.env_steps_of.get_mut(stock).context("a stock of another run")? +=
            u64::from(push.env_steps);
        standing.epsilon[stock] = push.epsilon;
        since.env_steps += u64::from(push.env_steps);
        since.reward += push.reward;
        let Some(learned) = push.learned else { return Ok(false) };
        let stale = standing.version.saturating_sub(push.version);
        since.pushes += 1;
        since.bytes += gradient.len() as u64;
        since.staleness += stale;
        since.most_stale = since.most_stale.max(stale);
        if stale > self.max_staleness {
            since.rejected += 1;
            return Ok(false);
        }
        since.learned.push(learned);
        let kind = self.config.asynchronous.compression;
        unpack(kind, gradient, &mut self.gradient).context("a gradient of another network")?;
        let progress = self.progress();
        // A stock's gradient alone: of the step that all stocks' mean would make, its part.
        let part = 1.0 / self.config.stocks.len() as f64;
        let server = self.server.as_mut().context("a server")?;
        server.apply_part(progress, &self.gradient, part)?;
        self.standing.version += 1;
        Ok(true)
    }

    /// Every worker was told: rank 0's part of it.
    fn meet(&mut self, next: Next, means: &mut Means<'_>) -> Result<()> {
        match next {
            Next::Checkpoint(env_steps) => {
                let stocks = (means.collect)()?;
                let root = Some(self.root_state()?);
                means.watcher.checkpoint(Snapshot { env_steps, root, stocks })
            }
            Next::Meet => means.watcher.interval(None),
            Next::GoOn | Next::Stop => Ok(()),
        }
    }

    fn root_state(&self) -> Result<RootState> {
        let server = self.server.as_ref().context("a server")?;
        let at = At {
            episode: self.episode(),
            step: 0,
            since: 0,
            env_steps: self.standing.env_steps,
            gradient_steps: self.standing.version,
        };
        Ok(RootState {
            at,
            weights: server.weights().to_vec(),
            networks: None,
            credit: None,
            optimizer: server.optimizer().clone(),
            desk: None,
            learned: Vec::new(),
            asynchronous: Some(self.standing.clone()),
        })
    }

    /// The episode in which the mean stock is, from 1.
    fn episode(&self) -> u32 {
        let done = self.standing.env_steps / self.env_steps_per_episode();
        (done as u32 + 1).min(self.config.episodes)
    }

    fn env_steps_per_interval(&self) -> u64 {
        self.env_steps_per_episode().div_ceil(INTERVALS_PER_EPISODE as u64)
    }

    /// Tells of an interval, and begins an evaluation where one has come due in it. That of the
    /// last episode is made when all workers have stopped.
    fn tell(&mut self, means: &mut Means<'_>) -> Result<()> {
        let began = self.standing.env_steps - self.standing.since.env_steps;
        let interval = self.interval();
        means.watcher.interval_told(interval)?;
        let every = u64::from(self.config.evaluation.every_episodes);
        let due = |env_steps: u64| env_steps / self.env_steps_per_episode() / every;
        let env_steps = self.standing.env_steps;
        if due(env_steps) > due(began) && env_steps < self.all_env_steps() {
            let episode = (due(env_steps) * every) as u32;
            let weights = self.server.as_ref().context("a server")?.weights();
            for done in means.evaluator.begin(episode, env_steps, weights)? {
                means.watcher.evaluated(&done)?;
            }
        }
        Ok(())
    }

    /// What happened since the last interval; the next one begins.
    fn interval(&mut self) -> Interval {
        let since = std::mem::take(&mut self.standing.since);
        let mean = |of: fn(&Learned) -> f32| {
            let sum: f64 = since.learned.iter().map(|one| f64::from(of(one))).sum();
            (!since.learned.is_empty()).then(|| sum / since.learned.len() as f64)
        };
        let stocks = self.config.stocks.len() as f64;
        let per_push = |sum: u64| sum as f64 / since.pushes.max(1) as f64;
        Interval {
            episode: self.episode(),
            env_steps: self.standing.env_steps,
            gradient_steps: self.standing.version,
            loss: mean(|one| one.loss),
            mean_q: mean(|one| one.mean_q),
            epsilon: self.standing.epsilon.iter().sum::<f64>() / stocks,
            // Per bar of the portfolio: every stock brings its part.
            reward: since.reward * stocks / since.env_steps as f64,
            asynchronous: Some(Pushes {
                staleness: per_push(since.staleness),
                most_stale: since.most_stale,
                rejected: since.rejected,
                push_bytes: per_push(since.bytes),
            }),
        }
    }
}
