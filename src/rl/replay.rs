//! Prioritized and uniform replay of [`Transition`]s.

use rand_chacha::ChaCha8Rng;

use super::transition::Transition;

/// A sampled minibatch, one entry per row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Slots, for [`Replay::update_priorities`].
    pub slots: Vec<u32>,
    pub transitions: Vec<Transition>,
    /// Importance weights, divided by their maximum over the batch. Schaul et al. (2016), section 3.4.
    pub weights: Vec<f32>,
}

/// A ring of transitions with a priority each.
pub struct Replay {
    _todo: (),
}

impl Replay {
    /// `alpha` 0 is uniform replay. Memory grows with use up to `capacity` transitions.
    pub fn new(capacity: usize, alpha: f64) -> Replay {
        let _ = (capacity, alpha);
        todo!()
    }

    pub fn len(&self) -> usize {
        todo!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// With the largest priority so far; over the oldest when full.
    pub fn push(&mut self, transition: Transition) {
        let _ = transition;
        todo!()
    }

    /// Stratified proportional sampling of `batch` transitions into `sample` (reused). Panics when empty.
    pub fn sample(&self, batch: usize, beta: f64, rng: &mut ChaCha8Rng, sample: &mut Sample) {
        let _ = (batch, beta, rng, sample);
        todo!()
    }

    /// |TD error| + epsilon, to the power alpha, per sampled slot; a slot sampled twice takes its last value.
    pub fn update_priorities(&mut self, slots: &[u32], td_errors: &[f32]) {
        let _ = (slots, td_errors);
        todo!()
    }
}
