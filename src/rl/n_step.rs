//! Builds n-step transitions from the single steps of a lane. Sutton (1988); Hessel et al. (2018),
//! section 3.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::transition::Transition;
use crate::interface::{PrivateState, TimeStep};

/// The decision at a row, and the state in which it was made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepDecision {
    pub(crate) t: usize,
    pub(crate) private_t: PrivateState,
    /// Index in the action set of the position actually held.
    pub(crate) action_t: usize,
}

/// A decision that still lacks some of its n rewards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    decision: StepDecision,
    /// Discounted sum of the rewards so far.
    reward: f64,
    /// Product of the discounts so far: the weight of the next reward, or of the bootstrapped
    /// value.
    discount: f64,
    rewards: usize,
    /// Position after the second reward; until then, after the first.
    position_next: i8,
}

/// The pending decisions of a lane: fewer than n between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NStep {
    lane: usize,
    n: usize,
    /// Discount per bar.
    gamma: f64,
    /// Oldest first.
    pending: VecDeque<Pending>,
    /// Row and private state after the last step.
    last: (usize, PrivateState),
}

impl NStep {
    /// `n` is at least 1.
    pub(crate) fn new(lane: usize, n: usize, gamma: f64) -> NStep {
        assert!(n >= 1, "a transition has at least one reward");
        let pending = VecDeque::with_capacity(n);
        NStep { lane, n, gamma, pending, last: (0, PrivateState::default()) }
    }

    /// Adds a decision and the step that followed it, with the reward in the unit of the
    /// transitions. Emits the transition that has reached n rewards, if any; after ruin
    /// (`discount_t` 0) all pending ones, without bootstrapping. Decisions of a lane must be on
    /// consecutive rows, except after [`NStep::truncate`] or ruin.
    pub(crate) fn push(
        &mut self,
        decision: StepDecision,
        step: &TimeStep,
        mut emit: impl FnMut(Transition),
    ) {
        assert!(
            self.pending.is_empty() || decision.t == self.last.0,
            "row {} does not follow row {}",
            decision.t,
            self.last.0
        );
        self.pending.push_back(Pending {
            decision,
            reward: 0.0,
            discount: 1.0,
            rewards: 0,
            position_next: 0,
        });
        for pending in &mut self.pending {
            if pending.rewards < 2 {
                pending.position_next = step.private_t.position;
            }
            pending.reward += pending.discount * step.reward_t;
            pending.discount *= self.gamma * step.discount_t;
            pending.rewards += 1;
        }
        self.last = (step.t, step.private_t);
        if step.discount_t == 0.0 {
            self.truncate(emit);
        } else if self.pending.front().is_some_and(|oldest| oldest.rewards == self.n) {
            self.emit_oldest(&mut emit);
        }
    }

    /// Ends a segment: emits the pending transitions, which have fewer than n rewards, bootstrapped
    /// at the last state.
    pub(crate) fn truncate(&mut self, mut emit: impl FnMut(Transition)) {
        while !self.pending.is_empty() {
            self.emit_oldest(&mut emit);
        }
    }

    fn emit_oldest(&mut self, emit: &mut impl FnMut(Transition)) {
        if let Some(oldest) = self.pending.pop_front() {
            let Pending { decision, reward, discount, position_next, .. } = oldest;
            let start = (decision.t, decision.private_t);
            let transition =
                Transition::new(start, decision.action_t, self.lane, reward, discount, self.last);
            emit(transition.with_next(position_next));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn private(t: usize) -> PrivateState {
        PrivateState { position: 1, bars_held: t as u16, unrealized_return: t as f32 / 8.0 }
    }

    fn decision(t: usize) -> StepDecision {
        StepDecision { t, private_t: private(t), action_t: t % 3 }
    }

    fn step(t: usize, reward_t: f64, discount_t: f64) -> TimeStep {
        TimeStep { t, reward_t, discount_t, private_t: private(t) }
    }

    #[test]
    fn three_steps_by_hand_and_a_truncation() {
        let mut n_step = NStep::new(7, 3, 0.5);
        let mut emitted = Vec::new();
        for (t, reward) in [1.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
            n_step.push(decision(t), &step(t + 1, reward, 1.0), |tr| emitted.push(tr));
            assert_eq!(emitted.len(), (t + 1).saturating_sub(2));
        }
        n_step.truncate(|tr| emitted.push(tr));
        let expected = |t: usize, reward: f64, discount: f64, t_end: usize| {
            Transition::new((t, private(t)), t % 3, 7, reward, discount, (t_end, private(t_end)))
        };
        assert_eq!(
            emitted,
            [
                expected(0, 1.0 + 1.0 + 1.0, 0.125, 3),
                expected(1, 2.0 + 2.0 + 2.0, 0.125, 4),
                expected(2, 4.0 + 4.0, 0.25, 4),
                expected(3, 8.0, 0.5, 4),
            ]
        );
        n_step.truncate(|_| panic!("nothing is left"));
    }

    /// Held after rows 1, 2, 3: long, short, flat.
    #[test]
    fn a_transition_has_the_position_of_its_second_bar() {
        let mut n_step = NStep::new(0, 3, 0.5);
        let mut next = Vec::new();
        for (t, position) in [1, -1, 0].into_iter().enumerate() {
            let private_t = PrivateState { position, ..private(t + 1) };
            let step = TimeStep { private_t, ..step(t + 1, 1.0, 1.0) };
            n_step.push(decision(t), &step, |tr| next.push(tr.position_next));
        }
        n_step.truncate(|tr| next.push(tr.position_next));
        assert_eq!(next, [-1, 0, 0]);
    }

    #[test]
    fn ruin_ends_all_pending_decisions() {
        let mut n_step = NStep::new(0, 3, 0.5);
        let mut emitted = Vec::new();
        n_step.push(decision(0), &step(1, 1.0, 1.0), |tr| emitted.push(tr));
        n_step.push(decision(1), &step(2, -2.0, 0.0), |tr| emitted.push(tr));
        let returns: Vec<_> = emitted.iter().map(|tr| (tr.t, tr.reward, tr.discount)).collect();
        assert_eq!(returns, [(0, 0.0, 0.0), (1, -2.0, 0.0)]);
        emitted.clear();
        n_step.push(decision(2), &step(3, 5.0, 1.0), |tr| emitted.push(tr));
        assert!(emitted.is_empty());
        n_step.truncate(|tr| emitted.push(tr));
        assert_eq!((emitted[0].t, emitted[0].reward, emitted[0].discount), (2, 5.0, 0.5));
    }

    /// Every decision's transition, computed from the whole history.
    fn naive(history: &[(f64, f64)], n: usize, gamma: f64) -> Vec<(usize, f64, f64, usize)> {
        (0..history.len())
            .map(|t| {
                let (mut reward, mut discount, mut end) = (0.0, 1.0, t);
                while end < history.len() && end - t < n && discount != 0.0 {
                    reward += gamma.powi((end - t) as i32) * history[end].0;
                    discount = gamma.powi((end - t + 1) as i32) * history[end].1;
                    end += 1;
                }
                (t, reward, discount, end)
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_naive_computation() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for round in 0..200 {
            let (n, gamma, steps) = (rng.random_range(1..7), 0.97, rng.random_range(1..40));
            let history: Vec<(f64, f64)> = (0..steps)
                .map(|_| {
                    let ruined = rng.random_bool(0.05);
                    (2.0 * rng.random::<f64>() - 1.0, if ruined { 0.0 } else { 1.0 })
                })
                .collect();
            let mut n_step = NStep::new(0, n, gamma);
            let mut emitted = Vec::new();
            for (t, &(reward, discount)) in history.iter().enumerate() {
                n_step.push(decision(t), &step(t + 1, reward, discount), |tr| emitted.push(tr));
            }
            n_step.truncate(|tr| emitted.push(tr));
            let expected = naive(&history, n, gamma);
            assert_eq!(emitted.len(), expected.len(), "every decision is learned from once");
            for (tr, (t, reward, discount, end)) in emitted.iter().zip(expected) {
                assert_eq!((tr.t as usize, tr.t_end()), (t, end), "round {round}");
                assert!((f64::from(tr.reward) - reward).abs() < 1e-6, "round {round}");
                assert!((f64::from(tr.discount) - discount).abs() < 1e-6, "round {round}");
                assert_eq!((tr.private_t(), tr.private_end()), (private(t), private(end)));
            }
        }
    }

    #[test]
    #[should_panic(expected = "row 5 does not follow row 1")]
    fn a_lane_does_not_skip_rows() {
        let mut n_step = NStep::new(0, 3, 0.5);
        n_step.push(decision(0), &step(1, 0.0, 1.0), |_| ());
        n_step.push(decision(5), &step(6, 0.0, 1.0), |_| ());
    }
}
