//! Temporal-difference targets, loss and its gradient with respect to the Q-values. Pure functions.

/// A minibatch of n-step transitions and the values of the states they may lead to. Matrices are
/// row-major; the other slices hold one entry per row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TdBatch<'a> {
    /// Online values at the decisions, `[batch, actions]`.
    pub(crate) q_tm1: &'a [f32],
    /// Index of the action taken, a column of `q_tm1`.
    pub(crate) actions_tm1: &'a [u8],
    /// Learn the values of all actions; else only that of the action taken.
    pub(crate) all_actions: bool,
    /// n-step rewards, `[batch, actions]`; entries of actions that are not learned are not read.
    pub(crate) rewards_t: &'a [f32],
    /// gamma^n, or 0 after a termination, `[batch, actions]`.
    pub(crate) discounts_t: &'a [f32],
    /// Index of the row's state that an action leads to, `[batch, actions]`.
    pub(crate) state_of: &'a [u8],
    /// Values that select the action in the end state, `[batch, states, actions]`: the online
    /// network's, or `q_t_value` again for plain DQN. The first state of a row is that of a flat
    /// account.
    pub(crate) q_t_selector: &'a [f32],
    /// The target network's values, used for bootstrapping, with the same shape.
    pub(crate) q_t_value: &'a [f32],
    /// Bootstrap from a state's advantage over the flat state. See [`td_outcome`].
    pub(crate) relative: bool,
    /// Importance weights.
    pub(crate) weights: &'a [f32],
}

/// Loss and gradient of a minibatch with `batch` rows and `actions` columns, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TdOutcome {
    /// Weighted mean Huber loss.
    pub loss: f64,
    /// Mean over rows of the value of the action taken.
    pub mean_q: f64,
    /// Per row, the mean of |target - q| over the learned actions.
    pub td_errors: Vec<f32>,
    /// d loss / d q, `[batch, actions]`.
    pub grad_q: Vec<f32>,
}

/// Double Q-learning (van Hasselt, Guez and Silver 2016, eq. 4) with n-step returns: target =
/// reward + discount * value of the end state, value = q_value[argmax q_selector], and loss =
/// mean_i weight_i * mean_a huber(target_ia - q_ia) over the learned actions. No gradient flows
/// through the target. The weight multiplies the loss (Schaul et al. 2016, section 3.4), not the TD
/// error. Ties select the first action. `outcome` is overwritten.
///
/// With `relative`, the value of an end state is its advantage over a flat account at the same
/// time. The value of the flat state depends on the market alone, which no action affects, so it is
/// the same for all actions, and subtracting it changes no choice (an exogenous reward: Dietterich,
/// Trimponias and Chen 2018, theorem 1). The remainder has the scale of one bar's reward and of the
/// costs, while the full value has that of 1 / (1 - gamma) bars.
pub(crate) fn td_outcome(batch: &TdBatch<'_>, huber_delta: f64, outcome: &mut TdOutcome) {
    let rows = batch.actions_tm1.len();
    assert!(rows > 0 && batch.q_tm1.len().is_multiple_of(rows), "q_tm1 is [batch, actions]");
    assert!(huber_delta > 0.0);
    let actions = batch.q_tm1.len() / rows;
    for matrix in [batch.rewards_t, batch.discounts_t] {
        assert_eq!(matrix.len(), batch.q_tm1.len());
    }
    assert_eq!(batch.state_of.len(), batch.q_tm1.len());
    assert_eq!(batch.q_t_selector.len(), batch.q_t_value.len());
    assert!(batch.q_t_value.len().is_multiple_of(batch.q_tm1.len()), "[batch, states, actions]");
    assert_eq!(batch.weights.len(), rows);

    let (mut loss, mut sum_q) = (0.0, 0.0);
    outcome.td_errors.clear();
    outcome.grad_q.clear();
    outcome.grad_q.resize(rows * actions, 0.0);
    for row in 0..rows {
        let taken = usize::from(batch.actions_tm1[row]);
        assert!(taken < actions, "action {taken} of {actions}");
        let learned = if batch.all_actions { 0..actions } else { taken..taken + 1 };
        let share = f64::from(batch.weights[row]) / (rows * learned.len()) as f64;
        let mut abs_errors = 0.0;
        for action in learned.clone() {
            let at = row * actions + action;
            let td_error = batch.target(row, at) - f64::from(batch.q_tm1[at]);
            loss += share * huber(td_error, huber_delta);
            abs_errors += td_error.abs();
            outcome.grad_q[at] = (-share * td_error.clamp(-huber_delta, huber_delta)) as f32;
        }
        sum_q += f64::from(batch.q_tm1[row * actions + taken]);
        outcome.td_errors.push((abs_errors / learned.len() as f64) as f32);
    }
    outcome.loss = loss;
    outcome.mean_q = sum_q / rows as f64;
}

impl TdBatch<'_> {
    /// `at` is the index of row and action in a `[batch, actions]` matrix.
    fn target(&self, row: usize, at: usize) -> f64 {
        let discount = f64::from(self.discounts_t[at]);
        let state = usize::from(self.state_of[at]);
        let mut bootstrap = self.state_value(row, state);
        if self.relative {
            bootstrap -= self.state_value(row, 0);
        }
        f64::from(self.rewards_t[at]) + discount * bootstrap
    }

    fn state_value(&self, row: usize, state: usize) -> f64 {
        let rows = self.actions_tm1.len();
        let actions = self.q_tm1.len() / rows;
        let states = self.q_t_value.len() / self.q_tm1.len();
        assert!(state < states, "state {state} of {states}");
        let first = (row * states + state) * actions;
        let best = argmax(&self.q_t_selector[first..first + actions]);
        f64::from(self.q_t_value[first + best])
    }
}

/// Quadratic for |error| up to `delta`, linear with slope `delta` beyond. Huber (1964).
fn huber(error: f64, delta: f64) -> f64 {
    let size = error.abs();
    if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
}

/// Index of the first maximum.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > values[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Two states per row; the action taken leads to the second.
    const THREE_ROWS: TdBatch<'static> = TdBatch {
        q_tm1: &[0.5, 1.0, -1.0, 2.0, 0.0, 0.25, 1.0, 1.0, 1.0],
        actions_tm1: &[1, 0, 2],
        all_actions: false,
        rewards_t: &[9.0, 0.5, 9.0, -1.0, 9.0, 9.0, 9.0, 9.0, 3.0],
        discounts_t: &[9.0, 0.5, 9.0, 0.25, 9.0, 9.0, 9.0, 9.0, 0.0],
        state_of: &[0, 1, 0, 1, 0, 0, 0, 0, 1],
        q_t_selector: &[
            0.0, 2.0, 1.0, 3.0, 1.0, 2.0, // row 1: flat, then as taken
            1.0, 0.0, 0.0, 0.0, 7.0, 7.0, //
            0.0, 0.0, 0.0, 1.0, 2.0, 3.0,
        ],
        q_t_value: &[
            5.0, 1.0, 6.0, 2.0, 9.0, 4.0, //
            8.0, 0.0, 0.0, 5.0, -4.0, 8.0, //
            40.0, 0.0, 0.0, 50.0, 60.0, 70.0,
        ],
        relative: false,
        weights: &[1.0, 0.5, 0.25],
    };

    /// Row 1: the selector prefers action 0 with value 2: target 0.5 + 0.5 * 2 = 1.5, q 1, error
    /// 0.5, huber 0.125, weight 1. Row 2: the tie selects action 1 with value -4: target -1 - 1 =
    /// -2, q 2, error -4, huber 4 - 0.5 = 3.5, weight 0.5. Row 3: terminated, so the 70 does not
    /// count: target 3, q 1, error 2, huber 1.5, weight 0.25. loss = (0.125 + 1.75 + 0.375) / 3 =
    /// 0.75; gradients -0.5/3, +0.5/3, -0.25/3.
    #[test]
    fn double_dqn_by_hand() {
        let mut outcome = TdOutcome::default();
        td_outcome(&THREE_ROWS, 1.0, &mut outcome);
        assert_eq!(outcome.td_errors, [0.5, 4.0, 2.0]);
        assert!((outcome.loss - 0.75).abs() < 1e-15);
        assert!((outcome.mean_q - 4.0 / 3.0).abs() < 1e-15);
        let third = 1.0 / 3.0;
        let expected = [0.0, -0.5 * third, 0.0, 0.5 * third, 0.0, 0.0, 0.0, 0.0, -0.25 * third];
        for (gradient, expected) in outcome.grad_q.iter().zip(expected) {
            assert!((gradient - expected).abs() < 1e-7);
        }
    }

    /// The target network's own choice: action 1 with value 9 in row 1; action 2 with value 8 in
    /// row 2.
    #[test]
    fn plain_dqn_lets_the_target_network_choose() {
        let plain = TdBatch { q_t_selector: THREE_ROWS.q_t_value, ..THREE_ROWS };
        let mut outcome = TdOutcome { td_errors: vec![9.0; 99], ..TdOutcome::default() };
        td_outcome(&plain, 1.0, &mut outcome);
        assert_eq!(outcome.td_errors, [0.5 + 4.5 - 1.0, 1.0, 2.0]);
    }

    /// Row 1: the flat state has value 1 by action 1, the end state 1 more, so the target is
    /// 0.5 + 0.5 * 1 = 1. Row 2: the flat state has value 8, the end state 12 less, so it is
    /// -1 - 3 = -4. Row 3 ends without a value.
    #[test]
    fn relative_values_are_against_the_flat_state() {
        let relative = TdBatch { relative: true, ..THREE_ROWS };
        let mut outcome = TdOutcome::default();
        td_outcome(&relative, 1.0, &mut outcome);
        assert_eq!(outcome.td_errors, [0.0, 6.0, 2.0]);
    }

    /// One row. Action 0 leads to the flat state with value 2: 1 + 0.5 * 2; action 1 to the other
    /// with value 6: -1 + 0.5
    /// * 6. Errors 2 - 1 and 2 - 0, each with half the row's weight.
    #[test]
    fn every_action_is_learned_from_its_own_outcome() {
        let batch = TdBatch {
            q_tm1: &[1.0, 0.0],
            actions_tm1: &[1],
            all_actions: true,
            rewards_t: &[1.0, -1.0],
            discounts_t: &[0.5, 0.5],
            state_of: &[0, 1],
            q_t_selector: &[1.0, 2.0, 3.0, 0.0],
            q_t_value: &[7.0, 2.0, 6.0, 9.0],
            relative: false,
            weights: &[1.0],
        };
        let mut outcome = TdOutcome::default();
        td_outcome(&batch, 10.0, &mut outcome);
        assert_eq!((outcome.loss, outcome.mean_q), (0.5 * 0.5 + 0.5 * 2.0, 0.0));
        assert_eq!((&outcome.td_errors[..], &outcome.grad_q[..]), (&[1.5][..], &[-0.5, -1.0][..]));
    }

    /// Doubling the weight doubles loss and gradient; a weight on the error would quadruple the
    /// loss.
    #[test]
    fn the_weight_multiplies_the_finished_loss() {
        let doubled = TdBatch { weights: &[2.0, 1.0, 0.5], ..THREE_ROWS };
        let (mut once, mut twice) = (TdOutcome::default(), TdOutcome::default());
        td_outcome(&THREE_ROWS, 1.0, &mut once);
        td_outcome(&doubled, 1.0, &mut twice);
        assert_eq!(twice.loss, 2.0 * once.loss);
        assert_eq!(twice.td_errors, once.td_errors);
        for (two, one) in twice.grad_q.iter().zip(&once.grad_q) {
            assert_eq!(*two, 2.0 * one);
        }
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_loss() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (rows, actions) = (16, 3);
        let mut draw = |n: usize, scale: f32| -> Vec<f32> {
            (0..n).map(|_| scale * (2.0 * rng.random::<f32>() - 1.0)).collect()
        };
        let mut q_tm1 = draw(rows * actions, 2.0);
        let states = 2 * rows * actions;
        let (q_t_selector, q_t_value) = (draw(states, 2.0), draw(states, 2.0));
        let (rewards_t, discounts_t) = (draw(rows * actions, 3.0), vec![0.97; rows * actions]);
        let state_of: Vec<u8> = (0..rows * actions).map(|at| (at % 2) as u8).collect();
        let weights: Vec<f32> = draw(rows, 1.0).iter().map(|w| w.abs()).collect();
        let actions_tm1: Vec<u8> = (0..rows).map(|row| (row % actions) as u8).collect();
        let loss_of = |q_tm1: &[f32]| {
            let mut outcome = TdOutcome::default();
            let batch = TdBatch {
                q_tm1,
                actions_tm1: &actions_tm1,
                all_actions: true,
                rewards_t: &rewards_t,
                discounts_t: &discounts_t,
                state_of: &state_of,
                relative: true,
                q_t_selector: &q_t_selector,
                q_t_value: &q_t_value,
                weights: &weights,
            };
            td_outcome(&batch, 0.7, &mut outcome);
            outcome
        };
        let gradient = loss_of(&q_tm1).grad_q;
        let inside = loss_of(&q_tm1).td_errors.iter().filter(|error| error.abs() < 0.7).count();
        assert!(0 < inside && inside < rows, "both branches of the Huber loss are met: {inside}");
        for i in 0..q_tm1.len() {
            let q = q_tm1[i];
            q_tm1[i] = q + 1e-3;
            let (up, upper) = (loss_of(&q_tm1).loss, f64::from(q_tm1[i]));
            q_tm1[i] = q - 1e-3;
            let (down, lower) = (loss_of(&q_tm1).loss, f64::from(q_tm1[i]));
            q_tm1[i] = q;
            let slope = (up - down) / (upper - lower);
            assert!((slope - f64::from(gradient[i])).abs() < 1e-5, "{i}: {slope} {}", gradient[i]);
        }
    }
}
