//! The parameter server: the weights that all workers share, and how their gradients change them. It knows no market
//! and needs no libtorch.

use thiserror::Error;

use crate::config::LearnerConfig;
use crate::rl::optimizer::{Adam, clip_by_global_norm};

#[derive(Debug, Error, Clone, PartialEq)]
#[error(
    "the gradient of stock number {stock} is not finite at gradient step {step}; \
     lower learner.learning_rate, or look at that stock's prices with RUST_LOG=info"
)]
pub struct NotFinite {
    pub stock: usize,
    pub step: u64,
}

pub struct Server {
    weights: Vec<f32>,
    adam: Adam,
    /// Mean gradient, reused.
    mean: Vec<f32>,
    max_grad_norm: f64,
    gradient_steps: u64,
}

impl Server {
    pub fn new(weights: Vec<f32>, config: &LearnerConfig) -> Server {
        Server {
            adam: Adam::new(weights.len(), config),
            mean: vec![0.0; weights.len()],
            weights,
            max_grad_norm: config.max_grad_norm,
            gradient_steps: 0,
        }
    }

    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    pub fn gradient_steps(&self) -> u64 {
        self.gradient_steps
    }

    /// One step along the mean of the stocks' gradients. They are added in the order of the stocks, whoever sent
    /// them and whenever they came, so the sum is the same bit for bit however many ranks there are.
    pub fn apply<'a>(
        &mut self,
        gradients: impl Iterator<Item = &'a [f32]>,
    ) -> Result<(), NotFinite> {
        self.mean.fill(0.0);
        let mut count = 0;
        for (stock, gradient) in gradients.enumerate() {
            assert_eq!(gradient.len(), self.mean.len());
            let mut finite = 0.0f32;
            for (sum, &g) in self.mean.iter_mut().zip(gradient) {
                *sum += g;
                finite += g * 0.0;
            }
            if finite != 0.0 {
                return Err(NotFinite { stock, step: self.gradient_steps });
            }
            count += 1;
        }
        let scale = 1.0 / count as f32;
        self.mean.iter_mut().for_each(|g| *g *= scale);
        clip_by_global_norm(&mut self.mean, self.max_grad_norm);
        self.adam.step(&mut self.weights, &self.mean);
        self.gradient_steps += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let config = LearnerConfig { learning_rate: 0.1, ..LearnerConfig::default() };
        Server::new(vec![1.0, -2.0, 0.5], &config)
    }

    #[test]
    fn the_first_adam_step_moves_every_weight_by_the_learning_rate_against_its_gradient() {
        let mut server = server();
        let gradients = [[0.3f32, -0.1, 0.0], [0.1, -0.3, 0.0]];
        server.apply(gradients.iter().map(|g| &g[..])).unwrap();
        for (weight, expected) in server.weights().iter().zip([0.9, -1.9, 0.5]) {
            assert!((weight - expected).abs() < 1e-5, "{weight} {expected}");
        }
        assert_eq!(server.gradient_steps(), 1);
    }

    #[test]
    fn a_gradient_that_is_not_finite_names_its_stock_and_changes_nothing() {
        let mut server = server();
        let before = server.weights().to_vec();
        let gradients = [[0.0f32, 0.0, 0.0], [f32::NAN, 0.0, 0.0]];
        let error = server.apply(gradients.iter().map(|g| &g[..])).unwrap_err();
        assert_eq!(error, NotFinite { stock: 1, step: 0 });
        assert_eq!(server.weights(), before);
    }
}
