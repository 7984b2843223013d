//! The parts of a training run, as its settings and data make them: network, workers, server, desk,
//! and the record of the meta-policy's experts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, anyhow};

use super::attempts::Attempts;
use super::dataset::PreparedData;
use super::expert_record::ExpertRecord;
use super::selection::{RowSplit, Selection, belief};
use super::server::Server;
use super::worker::{Lanes, Worker, WorkerSettings};
use crate::comm::{Comm, Ranks};
use crate::config::{EnvConfig, LearnerConfig, NetworkConfig};
use crate::env::costs::Costs;
use crate::market::panel::Panel;
use crate::portfolio::desk::Desk;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{CapitalPlan, ExpertWeights, MetaPolicy};
use crate::rl::agent::AgentTerms;
use crate::rl::belief::Belief;
use crate::rl::device::Device;
use crate::rl::engines::EngineError;
use crate::rl::libtorch;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::rng::{Purpose, stream};
use crate::rl::schedule::UpdateCredit;

/// What both loops of training begin with; the same on every rank.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) comm: &'a dyn Comm,
    /// Of the model with which training begins; None for random ones.
    pub(crate) given_weights: Option<&'a [f32]>,
    pub(crate) mandate: &'a Mandate,
    pub(crate) learner: &'a LearnerConfig,
    pub(crate) shape: &'a NetworkShape,
    pub(crate) train: &'a PreparedData,
    /// On the learned rows.
    pub(crate) lanes: Lanes,
    pub(crate) split: &'a RowSplit,
    /// Passes over the training period.
    pub(crate) episodes: u32,
    /// Evaluations are made after every so many of them.
    pub(crate) every_episodes: u32,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    /// Set where the user wants no more.
    pub(crate) stop: &'a AtomicBool,
}

impl<'a> Setup<'a> {
    pub(crate) fn ranks(&self) -> Ranks {
        Ranks { stocks: self.mandate.stocks.len(), size: self.comm.size() }
    }

    /// The weights with which training begins, in the order of the network's layout.
    pub(crate) fn weights(&self) -> Vec<f32> {
        let random = || self.shape.initial_weights(&mut stream(self.seed, Purpose::Weights, 0));
        self.given_weights.map_or_else(random, <[f32]>::to_vec)
    }

    /// This rank's workers, in the order of its stocks.
    pub(crate) fn workers(&self) -> Vec<Worker> {
        let Setup { learner, seed, train, .. } = *self;
        let settings = WorkerSettings { env: &self.mandate.env, learner, seed };
        let worker = |stock: usize| {
            let return_std = train.note.fit.scaler.return_std[stock];
            let panel = train.panel.clone();
            Worker::new(stock, settings, self.shape, panel, self.lanes, return_std)
        };
        self.ranks().owned(self.comm.rank()).map(worker).collect()
    }

    /// Networks that compute on this rank's device.
    ///
    /// Errors: libtorch is needed and cannot be loaded, or the native engine lacks a layer.
    pub(crate) fn networks(&self, weights: &[f32]) -> Result<Networks, EngineError> {
        Networks::new(self.shape, weights, self.learner, Some(self.device))
    }

    /// Networks of a rank with so many workers.
    ///
    /// Errors: as [`Setup::networks`].
    pub(crate) fn networks_for(
        &self,
        workers: usize,
        weights: &[f32],
    ) -> Result<Networks, EngineError> {
        if workers == 0 { self.idle_networks(weights) } else { self.networks(weights) }
    }

    /// Networks of a rank without workers, which only keep the target's weights.
    pub(crate) fn idle_networks(&self, weights: &[f32]) -> Result<Networks, EngineError> {
        Networks::new(self.shape, weights, self.learner, None)
    }

    pub(crate) fn server(&self, weights: Vec<f32>, weight_decay: f64) -> Server {
        Server::new(self.shape.layout(), weights, self.learner, weight_decay)
    }

    /// How the passes of a run in lockstep are divided.
    pub(crate) fn attempts(&self) -> Attempts {
        let chooses = !self.split.validation.is_empty();
        Attempts::new(&self.learner.weight_decay.0, self.episodes, chooses)
    }

    /// Gradient steps that new bars of a worker make due.
    pub(crate) fn credit(&self) -> UpdateCredit {
        let LearnerConfig { replay_ratio, batch_size, learning_starts, .. } = *self.learner;
        let bars = self.lanes.window_bars(self.learner.window_bars);
        // A window is known after as many bars and one more, and there must be one to sample.
        let first = learning_starts.max(self.lanes.count * (bars + 1));
        // Of a batch that is no whole number of windows the rest is left out.
        let sampled = (batch_size / bars).max(1) * bars;
        UpdateCredit::new(replay_ratio, sampled, first)
    }

    pub(crate) fn capital(&self) -> CapitalPlan {
        let Mandate { stocks, portfolio, .. } = self.mandate;
        CapitalPlan::new(&self.train.panel, stocks.len(), portfolio)
    }

    /// Of every stock, with belief in the network.
    fn terms(&self) -> Vec<AgentTerms> {
        let return_std = &self.train.note.fit.scaler.return_std;
        let belief = Belief::in_network(return_std.len());
        agent_terms(&self.mandate.env, return_std, &belief, self.learner)
    }

    /// None if no days are held back.
    pub(crate) fn selection(&self) -> Option<Selection<'a>> {
        let panel: &'a Panel = &self.train.panel;
        let validations = self.attempts().validations();
        Selection::new(panel, self.split, self.ranks(), self.terms(), self.learner, validations)
    }

    /// The belief that the run ends with.
    pub(crate) fn belief(&self, is_believed: bool) -> Belief {
        let Setup { train, .. } = *self;
        belief(is_believed, &train.panel, &train.note.rows, &self.terms())
    }

    /// The desk of all lanes, and the record of its meta-policy's experts.
    ///
    /// Errors: a strategy of the meta-policy is unknown.
    pub(crate) fn desk(&self) -> Result<(Desk, Option<ExpertRecord>)> {
        let Setup { mandate, train, lanes, .. } = *self;
        let capital = self.capital();
        let first_rows: Vec<usize> = (0..lanes.count).map(|lane| lanes.row(lane, 0)).collect();
        let (start_weights, record) = self.records(&capital, &first_rows)?;
        let meta = record.as_ref().map(|record| record.meta().clone());
        let desk = Desk::new(lanes.count, capital, &mandate.portfolio, train.limits(mandate));
        Ok((desk.with_meta_policy(meta, &start_weights), record))
    }

    /// The record of the meta-policy's experts; None where there is no meta-policy.
    ///
    /// Errors: a strategy of the meta-policy is unknown.
    pub(crate) fn expert_record(&self) -> Result<Option<ExpertRecord>> {
        Ok(self.records(&self.capital(), &[])?.1)
    }

    /// Expert weights just before each of the rows `starts`, which are in ascending order and learned
    /// from, and the record of the whole period; nothing where there is no meta-policy.
    fn records(
        &self,
        capital: &CapitalPlan,
        starts: &[usize],
    ) -> Result<(Vec<ExpertWeights>, Option<ExpertRecord>)> {
        let Some(meta) = self.meta_policy()? else { return Ok((Vec::new(), None)) };
        let (panel, rows) = (&self.train.panel, &self.train.note.rows);
        let held_back = self.split.validation.clone();
        let starts: Vec<usize> =
            starts.iter().copied().chain([held_back.start, held_back.end]).collect();
        let mut weights = meta.expert_weights(panel, rows.start, &starts, capital);
        let ends = weights.split_off(weights.len() - 2).try_into().expect("two of them");
        let record = ExpertRecord::new(Arc::new(meta), capital.clone(), held_back, ends);
        Ok((weights, Some(record)))
    }

    fn meta_policy(&self) -> Result<Option<MetaPolicy>> {
        Ok(MetaPolicy::new(self.mandate, &self.train.panel)?)
    }
}

/// `[stock]`: how values become decisions in accounts with the costs and positions of `env`.
pub(crate) fn agent_terms(
    env: &EnvConfig,
    return_std: &[f32],
    belief: &Belief,
    learner: &LearnerConfig,
) -> Vec<AgentTerms> {
    let turnover_cost = Costs::new(env).turnover_cost();
    let actions = env.action_set();
    let of_stock = |(stock, &return_std): (usize, &f32)| AgentTerms {
        return_std,
        turnover_cost,
        actions,
        risk_aversion: learner.risk_aversion,
        belief: belief.of(stock, learner.gamma),
    };
    return_std.iter().enumerate().map(of_stock).collect()
}

/// The peers that the network is shown: none without attention. Features that relate stocks keep
/// theirs.
pub(crate) fn network_peers(config: &NetworkConfig, peers: &[Vec<usize>]) -> Vec<Vec<usize>> {
    if config.attention { peers.to_vec() } else { vec![Vec::new(); peers.len()] }
}

/// The network that is trained on `train`.
pub fn network_shape(
    config: &NetworkConfig,
    env: &EnvConfig,
    train: &PreparedData,
) -> NetworkShape {
    NetworkShape {
        stocks: train.panel.stocks().len(),
        features: train.panel.feature_names().len(),
        actions: env.action_set().len(),
        config: config.clone(),
        peers: network_peers(config, &train.note.fit.peers),
    }
}

/// The device that a setting names: `cpu` or `cuda:N`.
///
/// Errors: this libtorch does not see it.
pub(crate) fn device(name: &str) -> Result<Device> {
    let Some(index) = name.strip_prefix("cuda:") else { return Ok(Device::Cpu) };
    let index: usize = index.parse()?;
    let found = libtorch::cuda_devices()?;
    if index >= found {
        return Err(anyhow!(
            "--device {name}: this libtorch sees {found} CUDA devices; \
             use --device cpu, or build against a libtorch with CUDA on a machine with a GPU"
        ));
    }
    Ok(Device::Cuda(index))
}
