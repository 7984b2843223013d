//! A trained model on disk: weights, and what was fitted on the training period, as one state dict.

use std::cmp::Ordering;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::dataset::{Fit, PreparedData};
use super::evaluation::{BarDecision, EvaluationResult, Policy, evaluate_watched};
use super::setup::{agent_terms, network_peers};
use crate::comm::local::LocalComm;
use crate::config::{EnvConfig, FeatureConfig, LearnerConfig, NetworkConfig};
use crate::features::pipeline::{Scaler, feature_names};
use crate::features::relations::Relations;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::ExpertWeights;
use crate::rl::agent::{Agent, AgentTerms};
use crate::rl::belief::Belief;
use crate::rl::device::Device;
use crate::rl::network::NetworkShape;
use crate::rl::networks::Networks;
use crate::rl::state_dict::{self, NamedTensor};

/// Files of a results folder: the model, and the settings of its run.
pub(crate) const MODEL_FILE: &str = "trained_model.pth";
pub(crate) const SETTINGS_FILE: &str = "config.toml";

/// Names of the buffers beside the network's parameters.
const MEAN: &str = "scaler.mean";
const STD: &str = "scaler.std";
const RETURN_STD: &str = "scaler.return_std";
/// Before the name of a further column of the day files; holds its place among them.
const COLUMN: &str = "scaler.column.";
const CORRELATION: &str = "relations.correlation";
const LEAD_LAG: &str = "relations.lead_lag";
const PEERS: &str = "relations.peers";
const SHARE: &str = "belief.share";
const DRIFT: &str = "belief.drift";
const EXPERT_WEIGHTS: &str = "meta_policy.expert_weights";
const COMMON_WEIGHT: &str = "meta_policy.common_weight";

/// The network that these settings make for so many stocks, without the peers, which a model file
/// knows.
pub(crate) fn untrained_shape(
    stocks: usize,
    features: &FeatureConfig,
    env: &EnvConfig,
    network: &NetworkConfig,
) -> NetworkShape {
    NetworkShape {
        stocks,
        features: feature_names(features).len(),
        actions: env.action_set().len(),
        config: network.clone(),
        peers: Vec::new(),
    }
}

/// A trained network, with what it takes to use it on other bars.
pub struct Model {
    /// Sizes of the network.
    pub shape: NetworkShape,
    /// In the order of the network's layout.
    pub weights: Vec<f32>,
    /// How far the network's values are believed.
    pub belief: Belief,
    /// What was fitted on the training period besides.
    pub fit: Fit,
    /// Of the meta-policy at the end of the training period, where there was one.
    pub expert_weights: Option<ExpertWeights>,
}

/// The agents of all stocks, in their order, with what they compute with.
pub(crate) struct Actors {
    pub(crate) networks: Networks,
    pub(crate) terms: Vec<AgentTerms>,
    pub(crate) agents: Vec<Agent>,
}

impl Model {
    /// Writes a file that `torch.load(path, weights_only=True)` opens: parameters under their
    /// module names; the buffers `scaler.*` `[stock, feature]` or `[stock]`, `scaler.column.NAME`
    /// `[1]` for further columns of the day files, `belief.share` `[1]`, `belief.drift` `[stock]`, `relations.*` `[stock, stock]`, NaN where
    /// undefined; with a meta-policy `meta_policy.expert_weights` `[all and each
    /// stock, share rate, expert]` and `meta_policy.common_weight` `[1]`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let stocks = self.shape.stocks as i64;
        let features = self.shape.features as i64;
        let layout = self.shape.layout();
        let mut tensors: Vec<NamedTensor> = layout
            .parameters()
            .iter()
            .map(|p| named(&p.name, &p.shape, self.weights[p.offset..][..p.len].to_vec()))
            .collect();
        let scaler = &self.fit.scaler;
        tensors.push(named(MEAN, &[stocks, features], scaler.mean.clone()));
        tensors.push(named(STD, &[stocks, features], scaler.std.clone()));
        tensors.push(named(RETURN_STD, &[stocks], scaler.return_std.clone()));
        tensors.push(named(SHARE, &[1], vec![self.belief.share]));
        tensors.push(named(DRIFT, &[stocks], self.belief.drift.clone()));
        for (place, name) in scaler.columns.iter().enumerate() {
            tensors.push(named(&format!("{COLUMN}{name}"), &[1], vec![place as f32]));
        }
        let square = [stocks, stocks];
        tensors.push(named(CORRELATION, &square, flat(&self.fit.relations.correlation)));
        tensors.push(named(LEAD_LAG, &square, flat(&self.fit.relations.lead_lag)));
        let peers: Vec<f32> = self.fit.peers.iter().flatten().map(|&peer| peer as f32).collect();
        let count = self.fit.peers.first().map_or(0, Vec::len) as i64;
        tensors.push(named(PEERS, &[stocks, count], peers));
        if let Some(expert_weights) = &self.expert_weights {
            let shape = expert_weights.shape().map(|length| length as i64);
            tensors.push(named(EXPERT_WEIGHTS, &shape, expert_weights.numbers().to_vec()));
            tensors.push(named(COMMON_WEIGHT, &[1], vec![expert_weights.common()]));
        }
        Ok(state_dict::write(path, &tensors)?)
    }

    /// Reads what [`Model::write`] wrote, or Python wrote back under the same names. `shape` lacks
    /// its peers, which the file has.
    pub fn read(path: &Path, mut shape: NetworkShape) -> Result<Model> {
        let tensors = state_dict::read(path)?;
        let find = |name: &str| -> Result<&NamedTensor> {
            tensors.iter().find(|tensor| tensor.name == name).with_context(|| {
                format!(
                    "{}: it has no tensor {name:?}; give the folder of a finished run",
                    path.display()
                )
            })
        };
        let sized = |name: &str, shape: &[i64]| -> Result<Vec<f32>> {
            let tensor = find(name)?;
            if tensor.shape != shape {
                bail!(
                    "{}: tensor {name:?} has shape {:?} but config.toml requires {shape:?}; \
                     the two files are not from the same run",
                    path.display(),
                    tensor.shape
                );
            }
            Ok(tensor.data.clone())
        };
        let stocks = shape.stocks as i64;
        let peers = find(PEERS)?;
        let count = *peers.shape.get(1).unwrap_or(&0);
        let peers = sized(PEERS, &[stocks, count])?;
        let peers_of = |i: usize| &peers[i * count as usize..][..count as usize];
        let peers: Vec<Vec<usize>> = (0..shape.stocks)
            .map(|i| peers_of(i).iter().map(|&peer| peer as usize).collect())
            .collect();
        if peers.iter().flatten().any(|&peer| peer >= shape.stocks) {
            bail!("{}: {PEERS:?} contains stocks that are not in the run", path.display());
        }
        shape.peers = network_peers(&shape.config, &peers);
        let mean = find(MEAN)?;
        let trained_with = mean.shape.get(1).map_or(0, |&features| features as usize);
        if trained_with != shape.features {
            bail!(
                "{}: it was trained with {trained_with} features and these settings give {}; \
                 use the program and the config.toml that it was trained with, or train again",
                path.display(),
                shape.features
            );
        }
        let layout = shape.layout();
        let mut weights = vec![0.0; layout.len()];
        for parameter in layout.parameters() {
            let data = sized(&parameter.name, &parameter.shape)?;
            weights[parameter.offset..][..parameter.len].copy_from_slice(&data);
        }
        let features = shape.features as i64;
        let columns = tensors.iter().filter_map(|t| Some((t.name.strip_prefix(COLUMN)?, &t.data)));
        let mut columns: Vec<_> = columns.collect();
        columns.sort_by(|a, b| a.1.partial_cmp(b.1).unwrap_or(Ordering::Equal));
        let fit = Fit {
            scaler: Scaler {
                mean: sized(MEAN, &[stocks, features])?,
                std: sized(STD, &[stocks, features])?,
                return_std: sized(RETURN_STD, &[stocks])?,
                columns: columns.into_iter().map(|(name, _)| name.to_string()).collect(),
            },
            relations: Relations {
                correlation: square(&sized(CORRELATION, &[stocks, stocks])?, shape.stocks),
                lead_lag: square(&sized(LEAD_LAG, &[stocks, stocks])?, shape.stocks),
            },
            peers,
        };
        let expert_weights =
            tensors.iter().find(|tensor| tensor.name == EXPERT_WEIGHTS).and_then(|found| {
                let shape: [i64; 3] = found.shape.as_slice().try_into().ok()?;
                let shape = shape.map(|length| length as usize);
                let common = *sized(COMMON_WEIGHT, &[1]).ok()?.first()?;
                ExpertWeights::from_parts(shape, found.data.clone(), common)
            });
        let belief = Belief { share: sized(SHARE, &[1])?[0], drift: sized(DRIFT, &[stocks])? };
        Ok(Model { shape, weights, belief, fit, expert_weights })
    }

    /// What decides with this model, at the costs of `env`.
    pub(crate) fn actors(
        &self,
        learner: &LearnerConfig,
        device: Device,
        env: &EnvConfig,
    ) -> Result<Actors> {
        let networks = Networks::new(&self.shape, &self.weights, learner, Some(device))?;
        let returns = &self.fit.scaler.return_std;
        let terms = agent_terms(env, returns, &self.belief, learner);
        let agent = |(stock, terms): (usize, &AgentTerms)| {
            Agent::new(stock, &self.shape, *terms, learner.window_bars, learner)
        };
        let agents = terms.iter().enumerate().map(agent).collect();
        Ok(Actors { networks, terms, agents })
    }

    /// Lets the model trade the period of `eval` by itself: greedily, without learning, in one
    /// process. Tells `watch` what is decided at every bar.
    ///
    /// Errors: a strategy of the meta-policy is unknown.
    pub fn evaluate(
        &self,
        learner: &LearnerConfig,
        device: Device,
        mandate: &Mandate,
        eval: &PreparedData,
        watch: &mut dyn FnMut(&BarDecision<'_>),
    ) -> Result<EvaluationResult> {
        let Actors { networks, terms, mut agents } = self.actors(learner, device, &mandate.env)?;
        let expert_weights = self.expert_weights.as_ref();
        let (shape, networks, terms) = (&self.shape, &networks, &terms[..]);
        let policy = Policy { shape, networks, terms, expert_weights };
        let agents = agents.iter_mut().collect();
        let evaluated = evaluate_watched(&LocalComm, mandate, eval, policy, agents, watch)?;
        evaluated.context("one process is rank 0")
    }
}

fn named(name: &str, shape: &[i64], data: Vec<f32>) -> NamedTensor {
    NamedTensor { name: name.into(), shape: shape.to_vec(), data }
}

fn flat(matrix: &[Vec<Option<f64>>]) -> Vec<f32> {
    matrix.iter().flatten().map(|value| value.map_or(f32::NAN, |v| v as f32)).collect()
}

fn square(values: &[f32], side: usize) -> Vec<Vec<Option<f64>>> {
    let defined = |value: &f32| (!value.is_nan()).then_some(f64::from(*value));
    values.chunks_exact(side).map(|row| row.iter().map(defined).collect()).collect()
}
