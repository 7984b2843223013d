//! The online and the target network, shared by all workers of a process. Stocks differ only in
//! their inputs.

use serde::{Deserialize, Serialize};

use super::device::Device;
use super::engine::{Engine, NetworkRole};
use super::engines::{EngineError, engine};
use super::network::NetworkShape;
use crate::config::LearnerConfig;

/// The state of the networks besides the shared weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworksState {
    target_weights: Vec<f32>,
    gradient_steps: u64,
}

/// A DQN's two networks, with the schedule of the target network.
pub struct Networks {
    /// None on a rank that computes nothing.
    engine: Option<Box<dyn Engine>>,
    target_every: u64,
    target_tau: f64,
    gradient_steps: u64,
    target_weights: Vec<f32>,
}

impl Networks {
    /// Both networks with `weights` on `device`; with None only the target's weights are stored.
    ///
    /// # Errors
    ///
    /// If libtorch is needed and cannot be loaded, or if the native engine lacks a layer.
    pub fn new(
        shape: &NetworkShape,
        weights: &[f32],
        config: &LearnerConfig,
        device: Option<Device>,
    ) -> Result<Networks, EngineError> {
        Ok(Networks {
            engine: device.map(|device| engine(shape, weights, device)).transpose()?,
            target_every: config.target_every,
            target_tau: config.target_tau,
            gradient_steps: 0,
            target_weights: weights.to_vec(),
        })
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        self.engine.as_deref().expect("who has stocks has networks that compute")
    }

    /// Loads the server's weights after a gradient step, and updates the target network when it is
    /// due.
    pub(crate) fn pull(&mut self, weights: &[f32]) {
        self.load(NetworkRole::Online, weights);
        self.gradient_steps += 1;
        if self.target_every == 0 {
            let tau = self.target_tau as f32;
            for (target, &online) in self.target_weights.iter_mut().zip(weights) {
                *target += tau * (online - *target);
            }
        } else if self.gradient_steps.is_multiple_of(self.target_every) {
            self.target_weights.copy_from_slice(weights);
        } else {
            return;
        }
        self.load_target();
    }

    /// Both networks with `weights`, as if no step had been made.
    pub(crate) fn reset(&mut self, weights: &[f32]) {
        self.restore(
            weights,
            NetworksState { target_weights: weights.to_vec(), gradient_steps: 0 },
        );
    }

    /// The state for [`Networks::restore`].
    pub(crate) fn state(&self) -> NetworksState {
        NetworksState {
            target_weights: self.target_weights.clone(),
            gradient_steps: self.gradient_steps,
        }
    }

    pub(crate) fn restore(&mut self, weights: &[f32], state: NetworksState) {
        self.target_weights = state.target_weights;
        self.gradient_steps = state.gradient_steps;
        self.load(NetworkRole::Online, weights);
        self.load_target();
    }

    fn load(&mut self, which: NetworkRole, weights: &[f32]) {
        if let Some(engine) = &mut self.engine {
            engine.load(which, weights);
        }
    }

    fn load_target(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.load(NetworkRole::Target, &self.target_weights);
        }
    }
}
