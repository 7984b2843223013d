//! Outcomes of sampled transitions: of the recorded action only, or of all actions. Prices do not
//! react to our orders, so the reward of any other position is known as well.

use super::transition::Transition;
use crate::interface::{ActionSet, PrivateState, TimeStep};

/// Outcomes of a minibatch. Matrices are row-major, with a row per transition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinibatchOutcomes {
    /// n-step rewards, `[row, action]`, in units of the stock's `return_std`.
    pub rewards: Vec<f32>,
    /// Discounts of the bootstrapped value, `[row, action]`.
    pub discounts: Vec<f32>,
    /// Index of the row's state that an action leads to, `[row, action]`.
    pub state_of: Vec<u8>,
    /// States that a row's actions may lead to, as many as there are actions: `[row, state]`. The
    /// first is that of a flat account, even if no action leads to it.
    pub states: Vec<PrivateState>,
}

/// Terms for counterfactual rewards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RewardTerms {
    /// Discount per bar.
    pub(crate) gamma: f64,
    /// Unit of the rewards.
    pub(crate) return_std: f64,
    /// Cost of trading the whole account once, as a fraction of its value.
    pub(crate) cost: f64,
}

impl MinibatchOutcomes {
    /// The recorded outcome of the action taken; entries of other actions are 0.
    pub fn fill_recorded(&mut self, transitions: &[Transition], actions: ActionSet) {
        self.clear(transitions.len(), actions);
        for (row, transition) in transitions.iter().enumerate() {
            let at = row * actions.len() + usize::from(transition.action);
            self.rewards[at] = transition.reward;
            self.discounts[at] = transition.discount;
            self.state_of[at] = 1;
            self.states_of(actions)[1] = transition.private_end();
        }
    }

    /// The outcomes of all actions. `step` returns the first bar's step of an account in the
    /// transition's state with a given target direction. In a transition of several bars the later
    /// positions are those recorded: actions differ by the first bar's reward and by the cost of
    /// moving from their position to that of the second bar.
    pub(crate) fn fill_all_actions(
        &mut self,
        transitions: &[Transition],
        actions: ActionSet,
        terms: RewardTerms,
        mut step: impl FnMut(&Transition, i8) -> TimeStep,
    ) {
        self.clear(transitions.len(), actions);
        for (row, transition) in transitions.iter().enumerate() {
            let first = row * actions.len();
            let reward = |step: &TimeStep| step.reward_t / terms.return_std;
            let steps = (0..actions.len()).map(|a| step(transition, actions.action(a).direction()));
            if transition.bars == 1 {
                self.states_of(actions);
                for (at, step) in (first..).zip(steps) {
                    let state = state_by_position(actions, step.private_t.position);
                    self.states[first + state] = step.private_t;
                    self.state_of[at] = state as u8;
                    self.rewards[at] = reward(&step) as f32;
                    self.discounts[at] = (terms.gamma * step.discount_t) as f32;
                }
                continue;
            }
            let steps: Vec<TimeStep> = steps.collect();
            let taken = &steps[usize::from(transition.action)];
            let trade = |step: &TimeStep| {
                f64::from((transition.position_next - step.private_t.position).abs())
            };
            for (at, step) in (first..).zip(&steps) {
                let later = terms.gamma * terms.cost * (trade(taken) - trade(step));
                let differs = reward(step) - reward(taken) + later / terms.return_std;
                self.rewards[at] = (f64::from(transition.reward) + differs) as f32;
                self.discounts[at] = transition.discount * step.discount_t as f32;
                self.state_of[at] = 1;
            }
            self.states_of(actions)[1] = transition.private_end();
        }
    }

    /// Appends the states of one more row, all flat.
    fn states_of(&mut self, actions: ActionSet) -> &mut [PrivateState] {
        let first = self.states.len();
        self.states.resize(first + actions.len(), PrivateState::default());
        &mut self.states[first..]
    }

    fn clear(&mut self, rows: usize, actions: ActionSet) {
        let len = rows * actions.len();
        self.states.clear();
        for column in [&mut self.rewards, &mut self.discounts] {
            column.clear();
            column.resize(len, 0.0);
        }
        self.state_of.clear();
        self.state_of.resize(len, 0);
    }
}

/// Flat first, then the other directions in the order of the actions.
fn state_by_position(actions: ActionSet, position: i8) -> usize {
    let (index, flat) = (actions.index(position), actions.index(0));
    match index.cmp(&flat) {
        std::cmp::Ordering::Less => index + 1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: RewardTerms = RewardTerms { gamma: 0.5, return_std: 0.01, cost: 2e-4 };

    fn held(position: i8, bars_held: u16) -> PrivateState {
        PrivateState { position, bars_held, unrealized_return: 0.125 * f32::from(position) }
    }

    /// A bar of +1 % from a long account, with a cost of `cost` per unit traded.
    fn up(transition: &Transition, direction: i8) -> TimeStep {
        let traded = f64::from((direction - transition.position_t).abs());
        let bars_held = if direction == transition.position_t { 5 } else { 1 };
        TimeStep {
            t: 1,
            reward_t: 0.01 * f64::from(direction) - TERMS.cost * traded,
            discount_t: 1.0,
            private_t: if direction == 0 { held(0, 0) } else { held(direction, bars_held) },
        }
    }

    fn near(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn one_bar_by_hand() {
        let long = Transition::new((0, held(1, 4)), 2, 0, 1.0, 0.5, (1, held(1, 5)));
        let mut outcomes = MinibatchOutcomes::default();
        outcomes.fill_all_actions(&[long, long], ActionSet::new(false), TERMS, up);
        let row = [-1.04, -0.02, 1.0];
        near(&outcomes.rewards, &[row, row].concat());
        near(&outcomes.discounts, &[0.5; 6]);
        assert_eq!(outcomes.state_of, [1, 0, 2, 1, 0, 2]);
        assert_eq!(outcomes.states[..3], [held(0, 0), held(-1, 1), held(1, 5)]);
        outcomes.fill_all_actions(&[long], ActionSet::new(true), TERMS, up);
        assert_eq!(outcomes.state_of, [0, 1]);
        assert_eq!(outcomes.states, [held(0, 0), held(1, 5)]);
    }

    /// Three bars: long, then short. Going short at once would have cost two units in the first bar
    /// and none in the second.
    #[test]
    fn over_several_bars_only_the_first_and_the_trade_after_it_differ() {
        let end = (3, held(-1, 2));
        let taken = Transition::new((0, held(1, 4)), 2, 0, 0.3, 0.125, end).with_next(-1);
        let mut outcomes = MinibatchOutcomes::default();
        outcomes.fill_all_actions(&[taken], ActionSet::new(false), TERMS, up);
        let unit = 0.02;
        near(
            &outcomes.rewards,
            &[0.3 - 2.0 - 2.0 * unit + 0.5 * 2.0 * unit, 0.3 - 1.0 - unit + 0.5 * unit, 0.3],
        );
        near(&outcomes.discounts, &[0.125; 3]);
        assert_eq!(outcomes.state_of, [1, 1, 1]);
        assert_eq!(outcomes.states, [held(0, 0), held(-1, 2), held(0, 0)]);
    }

    /// Without a tradable bar every action leaves the account unchanged.
    #[test]
    fn a_void_order_leads_to_the_state_that_was_kept() {
        let short = Transition::new((0, held(-1, 4)), 0, 0, 0.0, 0.5, (1, held(-1, 5)));
        let void = |_: &Transition, _: i8| TimeStep {
            t: 1,
            reward_t: 0.0,
            discount_t: 1.0,
            private_t: held(-1, 5),
        };
        let mut outcomes = MinibatchOutcomes::default();
        outcomes.fill_all_actions(&[short], ActionSet::new(false), TERMS, void);
        assert_eq!(outcomes.state_of, [1, 1, 1]);
        assert_eq!(outcomes.states, [held(0, 0), held(-1, 5), held(0, 0)]);
    }

    #[test]
    fn a_recorded_outcome_is_that_of_the_action_taken() {
        let taken = Transition::new((0, held(0, 0)), 1, 0, 0.5, 0.25, (2, held(1, 1)));
        let mut outcomes = MinibatchOutcomes::default();
        outcomes.fill_recorded(&[taken], ActionSet::new(true));
        assert_eq!((&outcomes.rewards[..], &outcomes.state_of[..]), (&[0.0, 0.5][..], &[0, 1][..]));
        assert_eq!(outcomes.discounts, [0.0, 0.25]);
        assert_eq!(outcomes.states, [held(0, 0), held(1, 1)]);
    }
}
