//! Temporal-difference targets, loss and its gradient with respect to the Q-values. Pure: values in, values out.

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
