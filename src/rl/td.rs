//! Temporal-difference targets, loss and its gradient with respect to the Q-values. Pure: values
//! in, values out.

/// A minibatch of n-step transitions and the Q-values at their ends. Matrices are `[batch,
/// actions]`, row-major; the other slices hold one entry per row.
#[derive(Clone, Copy, Debug)]
pub struct TdBatch<'a> {
    /// Online values where the action was taken.
    pub q_tm1: &'a [f32],
    /// Index of the action taken, a column of `q_tm1`.
    pub actions_tm1: &'a [u8],
    /// n-step rewards.
    pub rewards_t: &'a [f32],
    /// gamma^n, or 0 after a termination.
    pub discounts_t: &'a [f32],
    /// Values that choose the action at the end: the online network's, or `q_t_value` again for
    /// plain DQN.
    pub q_t_selector: &'a [f32],
    /// Target network's values, of which the chosen one is bootstrapped from.
    pub q_t_value: &'a [f32],
    /// Importance weights.
    pub weights: &'a [f32],
}

/// What a minibatch says. `batch` rows, `actions` columns, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TdOutcome {
    /// Weighted mean Huber loss.
    pub loss: f64,
    /// Mean over rows of the value of the action taken.
    pub mean_q: f64,
    /// target - q, per row.
    pub td_errors: Vec<f32>,
    /// d loss / d q, `[batch, actions]`.
    pub grad_q: Vec<f32>,
}

/// Double Q-learning (van Hasselt, Guez and Silver 2016, eq. 4) with n-step returns: target =
/// reward + discount * q_value[argmax q_selector], and loss = mean_i weight_i * huber(target_i -
/// q_i). The target is a constant to the gradient. The weight multiplies the finished loss (Schaul
/// et al. 2016, section 3.4), not the error. Of equal values the first action is chosen. `outcome`
/// is overwritten.
pub fn td_outcome(batch: &TdBatch<'_>, huber_delta: f64, outcome: &mut TdOutcome) {
    let rows = batch.actions_tm1.len();
    assert!(rows > 0 && batch.q_tm1.len() % rows == 0, "q_tm1 is [batch, actions]");
    assert!(huber_delta > 0.0);
    let actions = batch.q_tm1.len() / rows;
    for matrix in [batch.q_t_selector, batch.q_t_value] {
        assert_eq!(matrix.len(), batch.q_tm1.len());
    }
    for column in [batch.rewards_t, batch.discounts_t, batch.weights] {
        assert_eq!(column.len(), rows);
    }

    let (mut loss, mut sum_q) = (0.0, 0.0);
    outcome.td_errors.clear();
    outcome.grad_q.clear();
    outcome.grad_q.resize(rows * actions, 0.0);
    for row in 0..rows {
        let matrix_row = row * actions..(row + 1) * actions;
        let action = usize::from(batch.actions_tm1[row]);
        assert!(action < actions, "action {action} of {actions}");
        let best = argmax(&batch.q_t_selector[matrix_row.clone()]);
        let bootstrap = f64::from(batch.q_t_value[matrix_row.start + best]);
        let target =
            f64::from(batch.rewards_t[row]) + f64::from(batch.discounts_t[row]) * bootstrap;
        let q = f64::from(batch.q_tm1[matrix_row.start + action]);
        let td_error = target - q;
        let share = f64::from(batch.weights[row]) / rows as f64;
        loss += share * huber(td_error, huber_delta);
        sum_q += q;
        outcome.td_errors.push(td_error as f32);
        outcome.grad_q[matrix_row.start + action] =
            (-share * td_error.clamp(-huber_delta, huber_delta)) as f32;
    }
    outcome.loss = loss;
    outcome.mean_q = sum_q / rows as f64;
}

/// Quadratic within `delta` of 0, linear beyond, of slope `delta`. Huber (1964).
fn huber(error: f64, delta: f64) -> f64 {
    let size = error.abs();
    if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
}

/// The first of the largest.
pub fn argmax(values: &[f32]) -> usize {
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

    const THREE_ROWS: TdBatch<'static> = TdBatch {
        q_tm1: &[0.5, 1.0, -1.0, 2.0, 0.0, 0.25, 1.0, 1.0, 1.0],
        actions_tm1: &[1, 0, 2],
        rewards_t: &[0.5, -1.0, 3.0],
        discounts_t: &[0.5, 0.25, 0.0],
        q_t_selector: &[3.0, 1.0, 2.0, 0.0, 7.0, 7.0, 1.0, 2.0, 3.0],
        q_t_value: &[2.0, 9.0, 4.0, 5.0, -4.0, 8.0, 50.0, 60.0, 70.0],
        weights: &[1.0, 0.5, 0.25],
    };

    /// Row 1: the selector likes action 0, worth 2: target 0.5 + 0.5 * 2 = 1.5, q 1, error 0.5,
    /// huber 0.125, weight 1. Row 2: the tie goes to action 1, worth -4: target -1 - 1 = -2, q 2,
    /// error -4, huber 4 - 0.5 = 3.5, weight 0.5. Row 3: terminated, so the 70 does not count:
    /// target 3, q 1, error 2, huber 1.5, weight 0.25. loss = (0.125 + 1.75 + 0.375) / 3 = 0.75;
    /// gradients -0.5/3, +0.5/3, -0.25/3.
    #[test]
    fn double_dqn_by_hand() {
        let mut outcome = TdOutcome::default();
        td_outcome(&THREE_ROWS, 1.0, &mut outcome);
        assert_eq!(outcome.td_errors, [0.5, -4.0, 2.0]);
        assert!((outcome.loss - 0.75).abs() < 1e-15);
        assert!((outcome.mean_q - 4.0 / 3.0).abs() < 1e-15);
        let third = 1.0 / 3.0;
        let expected = [0.0, -0.5 * third, 0.0, 0.5 * third, 0.0, 0.0, 0.0, 0.0, -0.25 * third];
        for (gradient, expected) in outcome.grad_q.iter().zip(expected) {
            assert!((gradient - expected).abs() < 1e-7);
        }
    }

    /// The target's own choice: action 1, worth 9, in row 1; action 2, worth 8, in row 2.
    #[test]
    fn plain_dqn_lets_the_target_network_choose() {
        let plain = TdBatch { q_t_selector: THREE_ROWS.q_t_value, ..THREE_ROWS };
        let mut outcome = TdOutcome { td_errors: vec![9.0; 99], ..TdOutcome::default() };
        td_outcome(&plain, 1.0, &mut outcome);
        assert_eq!(outcome.td_errors, [0.5 + 4.5 - 1.0, -1.0 + 2.0 - 2.0, 2.0]);
    }

    /// Twice the weight is twice the loss and twice the gradient; weights on the error would give
    /// four times.
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
        let (q_t_selector, q_t_value) = (draw(rows * actions, 2.0), draw(rows * actions, 2.0));
        let (rewards_t, discounts_t) = (draw(rows, 3.0), vec![0.97; rows]);
        let weights: Vec<f32> = draw(rows, 1.0).iter().map(|w| w.abs()).collect();
        let actions_tm1: Vec<u8> = (0..rows).map(|row| (row % actions) as u8).collect();
        let loss_of = |q_tm1: &[f32]| {
            let mut outcome = TdOutcome::default();
            let batch = TdBatch {
                q_tm1,
                actions_tm1: &actions_tm1,
                rewards_t: &rewards_t,
                discounts_t: &discounts_t,
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
