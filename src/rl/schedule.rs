//! Schedules: exploration ladder, importance exponent, number of gradient steps.

use serde::{Deserialize, Serialize};

/// Exploration rate of actor i of N: epsilon^(1 + alpha * i / (N - 1)). Horgan et al. (2018),
/// section 4.1. A single actor explores with `epsilon` itself.
pub(crate) fn exploration_epsilon(actor: usize, actors: usize, epsilon: f64, alpha: f64) -> f64 {
    assert!(actor < actors, "actor {actor} of {actors}");
    if actors == 1 {
        return epsilon;
    }
    epsilon.powf(1.0 + alpha * actor as f64 / (actors - 1) as f64)
}

/// Linear interpolation from `from` at fraction 0 to `to` at fraction 1; exact at both ends and
/// constant beyond.
pub(crate) fn linear(from: f64, to: f64, fraction: f64) -> f64 {
    let fraction = fraction.clamp(0.0, 1.0);
    from * (1.0 - fraction) + to * fraction
}

/// Counts the gradient steps that are due. The first `learning_starts` transitions add none; every
/// later one adds `replay_ratio` sampled rows, and a step consumes `batch_size` rows. Integer
/// arithmetic only: after any number of transitions, in any grouping, the number of steps is
/// floor((seen - learning_starts) * ratio / batch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpdateCredit {
    /// Credit per transition, in millionths of a row.
    earned_per_transition: u64,
    /// Cost of a step, in millionths of a row.
    cost_per_step: u64,
    /// Remaining transitions before the first one that adds credit.
    until_start: u64,
    /// Unspent credit, in millionths of a row.
    credit: u64,
}

const MILLION: u64 = 1_000_000;

impl UpdateCredit {
    /// `replay_ratio` is rounded to the nearest millionth.
    pub(crate) fn new(
        replay_ratio: f64,
        batch_size: usize,
        learning_starts: usize,
    ) -> UpdateCredit {
        assert!((0.0..1e6).contains(&replay_ratio), "a replay ratio cannot be {replay_ratio}");
        assert!(batch_size > 0);
        UpdateCredit {
            earned_per_transition: (replay_ratio * MILLION as f64).round() as u64,
            cost_per_step: batch_size as u64 * MILLION,
            until_start: learning_starts as u64,
            credit: 0,
        }
    }

    /// Number of gradient steps due after `new` more transitions.
    pub(crate) fn steps_due(&mut self, new: usize) -> u64 {
        let waited = self.until_start.min(new as u64);
        self.until_start -= waited;
        self.credit += (new as u64 - waited) * self.earned_per_transition;
        let due = self.credit / self.cost_per_step;
        self.credit %= self.cost_per_step;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ape-X: epsilon 0.4, alpha 7.
    #[test]
    fn the_ladder_runs_from_epsilon_to_its_eighth_power() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-15;
        assert!(close(exploration_epsilon(0, 8, 0.4, 7.0), 0.4));
        assert!(close(exploration_epsilon(1, 8, 0.4, 7.0), 0.16));
        assert!(close(exploration_epsilon(7, 8, 0.4, 7.0), 0.000_655_36));
        assert!(close(exploration_epsilon(0, 1, 0.4, 7.0), 0.4));
    }

    #[test]
    fn linear_is_exact_at_both_ends() {
        assert_eq!(linear(0.4, 1.0, 0.0), 0.4);
        assert_eq!(linear(0.4, 1.0, 1.0), 1.0);
        assert!((linear(0.4, 1.0, 0.5) - 0.7).abs() < 1e-15);
        assert_eq!(linear(0.4, 1.0, 1.7), 1.0);
        assert_eq!(linear(0.4, 1.0, -0.1), 0.4);
    }

    /// Batches of 8 at ratio 0.5: a step per 16 transitions after the first 10.
    #[test]
    fn steps_come_due_after_learning_starts() {
        let mut credit = UpdateCredit::new(0.5, 8, 10);
        let due: Vec<u64> = [4, 4, 4, 12, 2, 15, 1, 64].map(|new| credit.steps_due(new)).into();
        //         seen:     4  8 12  24 26  41 42 106
        assert_eq!(due, [0, 0, 0, 0, 1, 0, 1, 4]);
    }

    /// 0.1 has no finite binary expansion: the rounding errors of a million additions would
    /// accumulate.
    #[test]
    fn a_long_run_accumulates_no_rounding_error() {
        let mut singly = UpdateCredit::new(0.1, 32, 500);
        let mut grouped = singly.clone();
        let one_by_one: u64 = (0..1_000_500).map(|_| singly.steps_due(1)).sum();
        let in_groups: u64 = (0..1_000_500 / 75).map(|_| grouped.steps_due(75)).sum();
        assert_eq!(one_by_one, 3_125);
        assert_eq!(in_groups, 3_125);
        assert_eq!(singly, grouped);
    }

    #[test]
    fn a_ratio_of_zero_never_learns() {
        assert_eq!(UpdateCredit::new(0.0, 1, 0).steps_due(1_000_000), 0);
    }
}
