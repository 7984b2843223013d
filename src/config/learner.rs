//! Settings of the learner.

use serde::{Deserialize, Serialize};

use super::choices::Choices;

/// Bars that are shorter than this are learned from in stretches of it.
const STRETCH_MINUTES: f64 = 30.0;

/// How many bars make a stretch of half an hour; 1 where bars are longer.
pub fn bars_per_stretch(bar_minutes: u32) -> f64 {
    (STRETCH_MINUTES / f64::from(bar_minutes.max(1))).max(1.0)
}

/// Section `[learner]`: targets, replay, optimizer and exploration. A stretch is half an hour, or a
/// bar where bars are longer: what is learned is about the same days in bars of any length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Segments of the training period that step side by side. Fewer where the period is short.
    pub lanes: usize,
    /// Discount per stretch.
    pub gamma: f64,
    /// Consecutive stretches that are learned from together, and over which returns are summed
    /// before bootstrapping.
    pub window_bars: usize,
    /// Weight of longer returns, per stretch: 0 bootstraps after every bar, 1 at the end of a window
    /// only.
    /// TD(lambda): Sutton (1988).
    pub lambda: f64,
    /// Double DQN. van Hasselt, Guez and Silver (2016), eq. 4.
    pub double: bool,
    /// Learn from what every action would have brought, not only from the one that was taken:
    /// prices do not react to us, so all of it is known when the bars are.
    pub all_actions: bool,
    /// Learn values relative to holding nothing, which differ less and lead to the same choices.
    pub relative_values: bool,
    /// Sampled stretches per gradient step and stock, in windows of `window_bars`.
    pub batch_size: usize,
    /// Sampled bars per new bar. Ape-X used about 0.8.
    pub replay_ratio: f64,
    /// Windows kept per stock.
    pub replay_capacity: usize,
    /// New stretches per stock before the first gradient step.
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
    /// Hutter (2019), algorithm 2. Of several, each is tried in a part of the passes, from the first
    /// weights on, and the validation days choose.
    pub weight_decay: Choices,
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

impl LearnerConfig {
    /// With everything in bars of so many minutes that is given in stretches here: a stretch is
    /// discounted as before, a window is as long, a gradient step sees as much time, and there are
    /// as many of them. The variance of a bar is charged for in units of that of a stretch.
    pub fn in_bars(&self, bar_minutes: u32) -> LearnerConfig {
        let bars = bars_per_stretch(bar_minutes);
        let times = |count: usize| (count as f64 * bars).round() as usize;
        LearnerConfig {
            gamma: self.gamma.powf(1.0 / bars),
            lambda: self.lambda.powf(1.0 / bars),
            window_bars: times(self.window_bars),
            batch_size: times(self.batch_size),
            learning_starts: times(self.learning_starts),
            risk_aversion: self.risk_aversion / bars,
            ..self.clone()
        }
    }
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
            weight_decay: Choices(vec![4.0, 12.0, 36.0]),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_half_an_hour_and_more_are_stretches_themselves() {
        let config = LearnerConfig { risk_aversion: 2.0, ..LearnerConfig::default() };
        for minutes in [30, 60, 390] {
            assert_eq!(config.in_bars(minutes), config);
        }
    }

    /// Six bars of five minutes: 0.99 and 0.8 after six of them.
    #[test]
    fn shorter_bars_make_up_stretches() {
        let config = LearnerConfig { risk_aversion: 3.0, ..LearnerConfig::default() };
        let found = config.in_bars(5);
        assert!((found.gamma.powi(6) - 0.99).abs() < 1e-12);
        assert!((found.lambda.powi(6) - 0.8).abs() < 1e-12);
        assert_eq!((found.window_bars, found.batch_size, found.learning_starts), (96, 768, 12_288));
        assert_eq!(found.risk_aversion, 0.5);
        // Half hours of 20 minutes do not exist; one and a half of them do.
        assert_eq!(config.in_bars(20).window_bars, 24);
    }
}
