//! Evaluations beside a run that goes on: in a thread, with weights as they were when it began.

use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};

use crate::comm::local::LocalComm;
use crate::compute::threads::pool;
use crate::config::RunConfig;
use crate::portfolio::meta_policy::Standing;
use crate::rl::agent::Agent;
use crate::rl::device::Device;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::train::dataset::Prepared;
use crate::train::evaluation::{Evaluated, Policy, evaluate};

/// An evaluation: after which episode, after how many steps, and what came of it.
pub type Done = (u32, u64, Evaluated);

/// Makes them one after the other.
pub struct Evaluations {
    config: RunConfig,
    eval: Prepared,
    shape: NetworkShape,
    rules: Option<Standing>,
    device: Device,
    running: Option<JoinHandle<Result<Done>>>,
    latest: Option<Done>,
}

impl Evaluations {
    /// `rules`: how the meta-policy's stand at the end of the training period.
    pub fn new(
        config: &RunConfig,
        eval: &Prepared,
        shape: &NetworkShape,
        rules: Option<Standing>,
        device: Device,
    ) -> Evaluations {
        Evaluations {
            config: config.clone(),
            eval: eval.clone(),
            shape: shape.clone(),
            rules,
            device,
            running: None,
            latest: None,
        }
    }

    /// How the meta-policy's rules stand at the end of the training period.
    pub fn rules(&self) -> Option<&Standing> {
        self.rules.as_ref()
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Networks with `weights`, as a policy is evaluated with.
    pub fn networks(&self, weights: &[f32]) -> Result<Networks> {
        Ok(Networks::new(&self.shape, weights, &self.config.learner, Some(self.device))?)
    }

    /// Begins with these weights, after so many episodes and steps. None may be running.
    pub fn begin(&mut self, episode: u32, env_steps: u64, weights: &[f32]) -> Result<()> {
        assert!(!self.is_running(), "one at a time");
        let (config, eval) = (self.config.clone(), self.eval.clone());
        let (shape, rules) = (self.shape.clone(), self.rules.clone());
        let (networks, weights) = (self.networks(weights)?, weights.to_vec());
        let work = move || -> Result<Done> {
            let agent = |stock: usize| {
                let return_std = eval.note.fit.scaler.return_std[stock];
                Agent::new(stock, &shape, return_std, &config.learner)
            };
            let mut agents: Vec<Agent> = (0..config.stocks.len()).map(agent).collect();
            let agents = agents.iter_mut().collect();
            let policy = Policy {
                shape: &shape,
                weights: &weights,
                networks: &networks,
                standing: rules.as_ref(),
            };
            let evaluated = evaluate(&LocalComm, &config, &eval, policy, agents)?;
            Ok((episode, env_steps, evaluated.context("one process is rank 0")?))
        };
        // One thread: the others are the workers'.
        self.running = Some(std::thread::spawn(|| pool(1).build()?.install(work)));
        Ok(())
    }

    /// The one that was running, if it is done by now.
    pub fn done(&mut self) -> Result<Option<&Done>> {
        match &self.running {
            Some(thread) if thread.is_finished() => self.finish(),
            _ => Ok(None),
        }
    }

    /// Waits for the one that runs.
    pub fn finish(&mut self) -> Result<Option<&Done>> {
        let Some(thread) = self.running.take() else { return Ok(None) };
        let done = thread.join().map_err(|_| anyhow!("the evaluation failed"))??;
        Ok(Some(self.latest.insert(done)))
    }

    /// The last that was made here.
    pub fn into_latest(self) -> Option<Done> {
        self.latest
    }
}
