//! Evaluations beside a run that goes on: in a thread, with weights as they were when it began.

use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use tch::Device;

use super::server::{Done, Evaluator};
use crate::config::RunConfig;
use crate::dist::local::LocalComm;
use crate::portfolio::meta_policy::Standing;
use crate::rl::agent::Agent;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::train::dataset::Prepared;
use crate::train::evaluation::{Policy, evaluate};

/// Makes them one after the other.
pub struct Evaluations {
    config: RunConfig,
    eval: Prepared,
    shape: NetworkShape,
    rules: Option<Standing>,
    device: Device,
    running: Option<JoinHandle<Result<Done>>>,
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
        }
    }

    /// How the meta-policy's rules stand at the end of the training period.
    pub fn rules(&self) -> Option<&Standing> {
        self.rules.as_ref()
    }

    /// Networks with `weights`, as a policy is evaluated with.
    pub fn networks(&self, weights: &[f32]) -> Networks {
        Networks::new(&self.shape, weights, &self.config.learner, Some(self.device))
    }

    /// Waits for the one that runs.
    pub fn finish(&mut self) -> Result<Option<Done>> {
        let join = |thread: JoinHandle<Result<Done>>| {
            thread.join().map_err(|_| anyhow!("the evaluation broke off"))?
        };
        self.running.take().map(join).transpose()
    }
}

impl Evaluator for Evaluations {
    fn begin(&mut self, episode: u32, env_steps: u64, weights: &[f32]) -> Result<Vec<Done>> {
        let before = self.finish()?;
        let (config, eval) = (self.config.clone(), self.eval.clone());
        let (shape, rules) = (self.shape.clone(), self.rules.clone());
        let (networks, weights) = (self.networks(weights), weights.to_vec());
        self.running = Some(std::thread::spawn(move || {
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
        }));
        Ok(before.into_iter().collect())
    }

    fn done(&mut self) -> Result<Vec<Done>> {
        match &self.running {
            Some(thread) if thread.is_finished() => Ok(self.finish()?.into_iter().collect()),
            _ => Ok(Vec::new()),
        }
    }
}
