//! The parameter server: the weights that all workers share, and how their gradients change them.
//! It knows no market and needs no libtorch.

use crate::compute::simd_dispatch::wide;
use crate::config::LearnerConfig;
use crate::rl::optimizer::{Adam, AdamConfig, NonFiniteGradient, clipped_scale};
use crate::rl::parameters::{Layout, ParameterTensor};
use crate::rl::schedule::linear;

pub(crate) struct Server {
    layout: Layout,
    weights: Vec<f32>,
    adam: Adam,
    max_grad_norm: f64,
    /// At the start and at the end of the run.
    learning_rates: [f64; 2],
    weight_decay: f64,
}

impl Server {
    /// `weights` are laid out as `layout` says.
    pub(crate) fn new(
        layout: Layout,
        weights: Vec<f32>,
        config: &LearnerConfig,
        weight_decay: f64,
    ) -> Server {
        assert_eq!(layout.len(), weights.len());
        let adam = AdamConfig {
            beta1: config.adam_beta1,
            beta2: config.adam_beta2,
            epsilon: config.adam_epsilon,
        };
        Server {
            layout,
            adam: Adam::new(weights.len(), adam),
            weights,
            max_grad_norm: config.max_grad_norm,
            learning_rates: [1.0, config.learning_rate_end].map(|part| part * config.learning_rate),
            weight_decay,
        }
    }

    pub(crate) fn weights(&self) -> &[f32] {
        &self.weights
    }

    pub(crate) fn optimizer(&self) -> &Adam {
        &self.adam
    }

    /// Goes back to a state of the same run.
    pub(crate) fn restore(&mut self, weights: &[f32], optimizer: Adam) {
        self.weights.copy_from_slice(weights);
        self.adam = optimizer;
    }

    /// One step along the mean of the gradients of so many stocks, of which `sum` is the sum,
    /// clipped; `progress` of the run is done.
    pub(crate) fn apply(
        &mut self,
        progress: f64,
        sum: &[f32],
        stocks: usize,
    ) -> Result<(), NonFiniteGradient> {
        self.step(progress, sum, 1.0 / stocks as f64, 1.0)
    }

    /// A step along one stock's gradient, clipped, `part` as long as one along the mean of all.
    pub(crate) fn apply_part(
        &mut self,
        progress: f64,
        gradient: &[f32],
        part: f64,
    ) -> Result<(), NonFiniteGradient> {
        self.step(progress, gradient, 1.0, part)
    }

    /// A step `part` as long as others along `scale` times `gradient`, clipped.
    fn step(
        &mut self,
        progress: f64,
        gradient: &[f32],
        scale: f64,
        part: f64,
    ) -> Result<(), NonFiniteGradient> {
        let scale = clipped_scale(gradient, scale, self.max_grad_norm, &self.layout)?;
        let [first, last] = self.learning_rates;
        let learning_rate = part * linear(first, last, progress);
        self.decay((learning_rate * self.weight_decay) as f32);
        self.adam.step(learning_rate, &mut self.weights, gradient, scale);
        Ok(())
    }

    /// Takes `fraction` off every weight of a matrix, but for those of attention, which would be gone
    /// before they had found a peer that matters; biases and norms stay. Decoupled from Adam as
    /// Loshchilov and Hutter (2019) have it.
    fn decay(&mut self, fraction: f32) {
        if fraction == 0.0 {
            return;
        }
        let decays = |p: &&ParameterTensor| p.shape.len() >= 2 && !p.name.starts_with("attention.");
        for matrix in self.layout.parameters().iter().filter(decays) {
            let weights = &mut self.weights[matrix.offset..matrix.offset + matrix.len];
            shrink(weights, fraction);
        }
    }
}

wide! {
fn shrink(weights: &mut [f32], fraction: f32) -> () {
    weights.iter_mut().for_each(|weight| *weight -= fraction * *weight);
}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(weight_decay: f64) -> Server {
        let mut layout = Layout::default();
        layout.push("trunk.weight", &[1, 2]);
        layout.push("trunk.bias", &[1]);
        let config = LearnerConfig {
            learning_rate: 0.1,
            learning_rate_end: 0.5,
            ..LearnerConfig::default()
        };
        Server::new(layout, vec![1.0, -2.0, 0.5], &config, weight_decay)
    }

    /// Halfway the step size is 0.075: weights lose 0.075 * 0.2 of themselves, the bias nothing,
    /// and then all take Adam's first step.
    #[test]
    fn the_step_size_falls_and_weights_decay_with_it() {
        let mut server = server(0.2);
        server.apply(0.5, &[0.3, -0.1, 1.0], 1).unwrap();
        let expected = [0.985 - 0.075, -1.97 + 0.075, 0.5 - 0.075];
        for (weight, expected) in server.weights().iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-5, "{weight} {expected}");
        }
    }

    #[test]
    fn the_first_adam_step_moves_every_weight_by_the_learning_rate_against_its_gradient() {
        let mut server = server(0.0);
        server.apply(0.0, &[0.4, -0.4, 0.0], 2).unwrap();
        for (weight, expected) in server.weights().iter().zip([0.9, -1.9, 0.5]) {
            assert!((weight - expected).abs() < 1e-5, "{weight} {expected}");
        }
    }

    /// A fifth of a step for one of five stocks.
    #[test]
    fn a_part_of_a_step_is_as_much_shorter() {
        let mut server = server(0.2);
        server.apply_part(0.5, &[0.3, -0.1, 1.0], 0.2).unwrap();
        let expected = [0.997 - 0.015, -1.994 + 0.015, 0.5 - 0.015];
        for (weight, expected) in server.weights().iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-5, "{weight} {expected}");
        }
        assert!(server.apply_part(0.5, &[0.0, f32::INFINITY, 0.0], 0.2).is_err());
    }

    #[test]
    fn a_gradient_that_is_not_finite_names_its_parameter_and_changes_nothing() {
        let mut server = server(0.0);
        let before = server.weights().to_vec();
        let error = server.apply(0.0, &[0.0, 0.0, f32::NAN], 2).unwrap_err();
        assert_eq!(error.parameter, "trunk.bias");
        assert_eq!(server.weights(), before);
    }
}
