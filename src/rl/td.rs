//! Temporal-difference targets of windows of consecutive bars, loss and its gradient. Pure
//! functions.
//!
//! The network values positions after the decision (post-decision states: Powell 2011, chapter 4;
//! afterstates: Sutton and Barto 2018, section 6.8). Prices do not react to orders and costs are
//! known, so with A(x, a) the value of holding `a` from the next open on,
//!
//! ```text
//! Q(x, p, a) = A(x, a) - c |a - p|
//! A(x, a)    = E[ a r - k a^2 + gamma max_b ( A(x', b) - c |b - a| ) ]
//! ```
//!
//! where p is the position held so far, r the return from the next open to the one after it, c the
//! cost of trading the whole account once, and k half the risk aversion times the variance of r.

/// Windows of `bars` consecutive bars each. A matrix of values has a row per bar that is learned
/// from, `[window, bar]`, and then a row for the bar after each window, `[window]`.
#[derive(Clone, Copy, Debug)]
pub struct WindowBatch<'a> {
    /// Bars of a window.
    pub bars: usize,
    /// Position that each action stands for, as a fraction of the account; 0 is one of them.
    pub positions: &'a [f32],
    /// The online network's values, `[row, action]`.
    pub online: &'a [f32],
    /// Values that select the next position: the online network's (double DQN), or `target` again.
    pub selector: &'a [f32],
    /// The target network's values, from which is bootstrapped.
    pub target: &'a [f32],
    /// `[window, bar]`: simple return from the open after the bar to the next one, in units of the
    /// stock's `return_std`.
    pub returns: &'a [f32],
    /// `[row]`: whether an order that is placed at this bar's close is filled.
    pub fillable: &'a [bool],
    /// Index of the action that was taken at each bar, `[window, bar]`, if only that is learned
    /// from.
    pub taken: Option<&'a [u8]>,
    /// Importance weights, `[window]`.
    pub weights: &'a [f32],
    /// Discount, costs and the weight of longer returns.
    pub terms: ValueTerms,
}

/// What turns returns into values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueTerms {
    /// Discount per bar.
    pub gamma: f32,
    /// Weight of longer returns: 0 bootstraps after every bar, 1 at the end of the window only.
    pub lambda: f32,
    /// Cost of trading the whole account once, in units of the stock's `return_std`.
    pub cost: f32,
    /// What a whole position is charged per bar for its variance, in the same units; a part of one
    /// by its square.
    pub risk: f32,
    /// Learn values relative to that of holding nothing.
    pub relative: bool,
}

/// Loss and gradient of a minibatch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TdOutcome {
    /// Weighted mean Huber loss.
    pub loss: f64,
    /// Mean over bars of the largest value.
    pub mean_q: f64,
    /// Mean of |target - value| over the bars and learned actions of each window, `[window]`.
    pub td_errors: Vec<f32>,
    /// d loss / d value, `[window, bar, action]`.
    pub gradient: Vec<f32>,
    /// Reused buffers, `[action]`.
    returns: Vec<f32>,
    next: Vec<f32>,
}

/// TD(lambda) targets, computed backwards through each window (Sutton and Barto 2018, section
/// 12.3), and the loss mean_i weight_i * mean_bars,actions huber(target - value).
///
/// From each position the next one is that which the selector's values and the costs prefer (van
/// Hasselt, Guez and Silver 2016, eq. 4: the target network values what the online network
/// selects), and what it earns is read from the recorded prices: a sample of the greedy policy's
/// value. No gradient flows through a target. The weight multiplies the loss (Schaul et al. 2016,
/// section 3.4). `outcome` is overwritten.
///
/// With `relative`, the value of a position is its advantage over holding nothing at the same time.
/// That depends on the market alone, which no action affects, so subtracting it changes no choice
/// (an exogenous reward: Dietterich, Trimponias and Chen 2018, theorem 1). Two positions differ by
/// no more than the cost of changing one into the other, while full values grow with 1 / (1 -
/// gamma).
pub fn td_outcome(batch: &WindowBatch<'_>, huber_delta: f32, outcome: &mut TdOutcome) {
    let (bars, actions) = (batch.bars, batch.positions.len());
    let windows = batch.weights.len();
    assert!(windows > 0 && bars > 0, "a minibatch has windows of at least one bar");
    assert_eq!(batch.returns.len(), windows * bars);
    assert_eq!(batch.fillable.len(), windows * (bars + 1));
    for values in [batch.online, batch.selector, batch.target] {
        assert_eq!(values.len(), windows * (bars + 1) * actions, "[row, action]");
    }
    let flat = batch.positions.iter().position(|&position| position == 0.0);
    let flat = flat.expect("holding nothing is an action");

    let (mut loss, mut sum_q) = (0.0, 0.0);
    outcome.td_errors.clear();
    outcome.gradient.clear();
    outcome.gradient.resize(windows * bars * actions, 0.0);
    outcome.returns.resize(actions, 0.0);
    outcome.next.resize(actions, 0.0);
    let (returns, next) = (&mut outcome.returns, &mut outcome.next);
    let learned = if batch.taken.is_some() { 1 } else { actions };
    for (window, &weight) in batch.weights.iter().enumerate() {
        let share = f64::from(weight) / (windows * bars * learned) as f64;
        let mut abs_errors = 0.0;
        for bar in (0..bars).rev() {
            batch.continue_from(window, bar + 1, returns, next);
            let row = window * bars + bar;
            let base = if batch.terms.relative { next[flat] } else { 0.0 };
            for (action, &position) in batch.positions.iter().enumerate() {
                let later = batch.terms.gamma * (next[action] - base);
                let risk = batch.terms.risk * position * position;
                returns[action] = position * batch.returns[row] - risk + later;
            }
            let values = &batch.online[row * actions..][..actions];
            sum_q += f64::from(values[argmax(values)]);
            for action in batch.learned_actions(row) {
                let error = returns[action] - values[action];
                loss += share * huber(f64::from(error), f64::from(huber_delta));
                abs_errors += f64::from(error.abs());
                let slope = f64::from(error.clamp(-huber_delta, huber_delta));
                outcome.gradient[row * actions + action] = (-share * slope) as f32;
            }
        }
        outcome.td_errors.push((abs_errors / (bars * learned) as f64) as f32);
    }
    outcome.loss = loss;
    outcome.mean_q = sum_q / (windows * bars) as f64;
}

impl WindowBatch<'_> {
    /// `next[action]`: what the position of an action is worth when the bar `bar` (1 to `bars`) of
    /// a window has closed: after the next decision and its cost, from `returns`, the targets of
    /// that bar, and the target network's values.
    fn continue_from(&self, window: usize, bar: usize, returns: &[f32], next: &mut [f32]) {
        let (actions, terms) = (self.positions.len(), &self.terms);
        let is_end = bar == self.bars;
        let row =
            if is_end { self.weights.len() * self.bars + window } else { window * self.bars + bar };
        let selector = &self.selector[row * actions..][..actions];
        let target = &self.target[row * actions..][..actions];
        for (held, out) in next.iter_mut().enumerate() {
            let chosen = match self.fillable[row] {
                true => greedy(selector, self.positions, self.positions[held], terms.cost),
                false => held,
            };
            let bootstrap = target[chosen];
            let value = match is_end {
                true => bootstrap,
                false => (1.0 - terms.lambda) * bootstrap + terms.lambda * returns[chosen],
            };
            let traded = (self.positions[chosen] - self.positions[held]).abs();
            *out = value - terms.cost * traded;
        }
    }

    /// The actions whose values are learned at a bar.
    fn learned_actions(&self, row: usize) -> std::ops::Range<usize> {
        match self.taken {
            Some(taken) => usize::from(taken[row])..usize::from(taken[row]) + 1,
            None => 0..self.positions.len(),
        }
    }
}

/// The action with the largest value after costs for an account that holds `held`; the first of
/// equal ones.
pub fn greedy(values: &[f32], positions: &[f32], held: f32, cost: f32) -> usize {
    let (mut best, mut largest) = (0, f32::NEG_INFINITY);
    for (action, (&value, &position)) in values.iter().zip(positions).enumerate() {
        let value = value - cost * (position - held).abs();
        if value > largest {
            (best, largest) = (action, value);
        }
    }
    best
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
mod tests;
