//! Settings of the learner.

use serde::{Deserialize, Serialize};

/// Section `[learner]`: targets, replay, optimizer and exploration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Segments of the training period that step side by side. Fewer where the period is short.
    pub lanes: usize,
    /// Discount per bar.
    pub gamma: f64,
    /// Consecutive bars that are learned from together, and over which returns are summed before
    /// bootstrapping.
    pub window_bars: usize,
    /// Weight of longer returns: 0 bootstraps after every bar, 1 at the end of a window only.
    /// TD(lambda): Sutton (1988).
    pub lambda: f64,
    /// Double DQN. van Hasselt, Guez and Silver (2016), eq. 4.
    pub double: bool,
    /// Learn from what every action would have brought, not only from the one that was taken:
    /// prices do not react to us, so all of it is known when the bars are.
    pub all_actions: bool,
    /// Learn values relative to holding nothing, which differ less and lead to the same choices.
    pub relative_values: bool,
    /// Sampled bars per gradient step and stock, in windows of `window_bars`.
    pub batch_size: usize,
    /// Sampled bars per new bar. Ape-X used about 0.8.
    pub replay_ratio: f64,
    /// Windows kept per stock.
    pub replay_capacity: usize,
    /// New bars per stock before the first gradient step.
    pub learning_starts: usize,
    /// Prioritized replay. Schaul et al. (2016).
    pub prioritized: bool,
    /// Priorities are |TD error| to this power; 0: uniform.
    pub priority_alpha: f64,
    /// Importance-sampling exponent at the start; it reaches 1 at the end of the run.
    pub priority_beta: f64,
    /// Step size of Adam (Kingma and Ba 2015, algorithm 1) at the start of the run; it falls
    /// linearly.
    pub learning_rate: f64,
    /// What is left of the step size at the end, as a fraction.
    pub learning_rate_end: f64,
    /// Every step takes this times the step size off each weight of a matrix. Loshchilov and
    /// Hutter (2019), algorithm 2.
    pub weight_decay: f64,
    /// Decay of Adam's first moment per step.
    pub adam_beta1: f64,
    /// Decay of Adam's second moment per step.
    pub adam_beta2: f64,
    /// Added to the square root of Adam's second moment.
    pub adam_epsilon: f64,
    /// Gradients are scaled down to this global norm.
    pub max_grad_norm: f64,
    /// Gradient steps between copies of the weights to the target network; 0: soft updates by
    /// `target_tau`.
    pub target_every: u64,
    /// Polyak factor of soft target updates.
    pub target_tau: f64,
    /// The objective is the mean return less half of this times the variance, per bar or per day
    /// alike; 1 is about log growth, 0 the mean alone.
    pub risk_aversion: f64,
    /// Share of the training period, its last days, that is not learned from: the number of passes
    /// and the belief in the learned values are chosen on it. 0: neither is chosen.
    pub validation_share: f64,
    /// Probability that learned values without skill are believed, over all validations of a run of
    /// several passes.
    pub selection_level: f64,
    /// Ape-X exploration ladder over all actors: epsilon^(1 + alpha i / (actors - 1)). Horgan et
    /// al. (2018).
    pub epsilon: f64,
    /// The last of the actors explores at a rate of epsilon^(1 + alpha).
    pub epsilon_alpha: f64,
}

impl Default for LearnerConfig {
    fn default() -> LearnerConfig {
        LearnerConfig {
            lanes: 64,
            gamma: 0.99,
            window_bars: 16,
            lambda: 0.8,
            double: true,
            all_actions: true,
            relative_values: true,
            batch_size: 128,
            replay_ratio: 1.0,
            replay_capacity: 1 << 20,
            learning_starts: 2_048,
            prioritized: true,
            priority_alpha: 0.6,
            priority_beta: 0.4,
            learning_rate: 2e-3,
            learning_rate_end: 0.0,
            weight_decay: 4.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 10.0,
            target_every: 200,
            target_tau: 0.005,
            risk_aversion: 0.0,
            validation_share: 0.15,
            selection_level: 0.05,
            epsilon: 0.4,
            epsilon_alpha: 7.0,
        }
    }
}
