use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const TERMS: ValueTerms =
    ValueTerms { gamma: 0.5, lambda: 0.5, cost: 0.25, risk: 0.0, relative: false };

/// One window of two bars, long or flat; the third row is the bar after it.
fn two_bars() -> WindowBatch<'static> {
    WindowBatch {
        bars: 2,
        positions: &[0.0, 1.0],
        online: &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        // After bar 1: long is worth 0.125 more, less than its cost; at the end 1 more.
        selector: &[9.0, 9.0, 0.0, 0.125, 0.0, 1.0],
        target: &[9.0, 9.0, 3.0, 4.0, 1.0, 2.0],
        returns: &[0.5, -1.0],
        fillable: &[true, true, true],
        taken: None,
        weights: &[1.0],
        terms: TERMS,
    }
}

fn outcome(batch: &WindowBatch<'_>) -> TdOutcome {
    let mut outcome = TdOutcome::default();
    td_outcome(batch, 100.0, &mut outcome);
    outcome
}

/// Targets from a gradient: online values are 0 and the loss is quadratic, so d loss / d value is
/// -share * target.
fn targets(batch: &WindowBatch<'_>) -> Vec<f32> {
    let count = (batch.weights.len() * batch.bars * batch.positions.len()) as f32;
    outcome(batch).gradient.iter().map(|gradient| -gradient * count).collect()
}

/// Bar 2, at its end both go long: flat 2 - 0.25 = 1.75, long 2. Targets: flat 0 + 0.5 * 1.75 =
/// 0.875, long -1 + 0.5 * 2 = 0. Bar 1, afterwards each stays: flat (3 + 0.875) / 2 = 1.9375, long
/// (4 + 0) / 2 = 2. Targets: flat 0.96875, long 0.5 + 1 = 1.5.
#[test]
fn two_bars_by_hand() {
    assert_eq!(targets(&two_bars()), [0.968_75, 1.5, 0.875, 0.0]);
}

/// Bar 2: long over flat is worth 0.25 at the end: flat 0, long -1 + 0.125 = -0.875. Bar 1: flat
/// (3 + 0) / 2 = 1.5, long (4 - 0.875) / 2 = 1.5625. Targets: flat 0, long 0.5 + 0.5 * 0.0625.
#[test]
fn relative_values_are_those_over_holding_nothing() {
    let batch = WindowBatch { terms: ValueTerms { relative: true, ..TERMS }, ..two_bars() };
    assert_eq!(targets(&batch), [0.0, 0.531_25, 0.0, -0.875]);
}

/// As by hand above, but nothing is traded after bar 1 or at the end: flat stays at 1 at the end.
/// Bar 2: flat 0.5, long 0. Bar 1: flat (3 + 0.5) / 2, long (4 + 0) / 2.
#[test]
fn where_no_order_is_filled_the_position_stays() {
    let batch = WindowBatch { fillable: &[true, false, false], ..two_bars() };
    assert_eq!(targets(&batch), [0.875, 1.5, 0.5, 0.0]);
}

#[test]
fn only_the_action_taken_is_learned_if_so_asked() {
    let batch = WindowBatch { taken: Some(&[1, 0]), ..two_bars() };
    let outcome = outcome(&batch);
    assert_eq!(outcome.gradient, [0.0, -0.75, -0.4375, 0.0]);
    assert_eq!(outcome.td_errors, [(1.5 + 0.875) / 2.0]);
}

#[test]
fn weights_and_huber_by_hand() {
    let mut outcome = TdOutcome::default();
    let batch = WindowBatch { weights: &[0.5], ..two_bars() };
    td_outcome(&batch, 1.0, &mut outcome);
    // Errors 0.96875, 1.5, 0.875 and 0; 1.5 is beyond delta.
    let squares = 0.5 * (0.968_75f64.powi(2) + 0.875f64.powi(2));
    let expected = 0.125 * (squares + 1.0);
    assert!((outcome.loss - expected).abs() < 1e-12, "{} is not {expected}", outcome.loss);
    assert_eq!(outcome.gradient, [-0.125 * 0.968_75, -0.125, -0.125 * 0.875, 0.0]);
}

#[test]
fn greedy_stays_within_the_band_that_costs_make() {
    let positions = [-1.0, 0.0, 1.0];
    assert_eq!(greedy(&[0.0, 0.0, 0.3], &positions, 0.0, 0.25), 2);
    assert_eq!(greedy(&[0.0, 0.0, 0.2], &positions, 0.0, 0.25), 1);
    assert_eq!(greedy(&[0.0, 0.0, -0.2], &positions, 1.0, 0.25), 2);
    assert_eq!(greedy(&[0.6, 0.0, 0.0], &positions, 1.0, 0.25), 0, "two steps for 0.5");
}

/// The targets of a window by enumeration of the path of every position, in f64.
fn naive(batch: &WindowBatch<'_>, window: usize, bar: usize, action: usize) -> f64 {
    let (bars, actions) = (batch.bars, batch.positions.len());
    let rows = batch.weights.len() * bars;
    let row = |bar: usize| if bar == bars { rows + window } else { window * bars + bar };
    let ValueTerms { gamma, lambda, cost, risk, relative } = batch.terms;
    let [gamma, lambda, cost, risk] = [gamma, lambda, cost, risk].map(f64::from);
    let position = |action: usize| f64::from(batch.positions[action]);
    let after = |held: usize| {
        let at = row(bar + 1);
        let values = |of: &[f32], action: usize| f64::from(of[at * actions + action]);
        let mut chosen = held;
        if batch.fillable[at] {
            let worth =
                |b: usize| values(batch.selector, b) - cost * (position(b) - position(held)).abs();
            chosen = (0..actions).max_by(|&a, &b| worth(a).total_cmp(&worth(b))).unwrap();
        }
        let mut value = values(batch.target, chosen);
        if bar + 1 < bars {
            value = (1.0 - lambda) * value + lambda * naive(batch, window, bar + 1, chosen);
        }
        value - cost * (position(chosen) - position(held)).abs()
    };
    let flat = batch.positions.iter().position(|&p| p == 0.0).unwrap();
    let base = if relative { after(flat) } else { 0.0 };
    let charged = risk * position(action).powi(2);
    position(action) * f64::from(batch.returns[row(bar)]) - charged + gamma * (after(action) - base)
}

#[test]
fn agrees_with_enumeration() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..100 {
        let (windows, bars) = (rng.random_range(1..4), rng.random_range(1..7));
        let positions: &[f32] =
            [&[-1.0, 0.0, 1.0][..], &[-1.0, -0.5, 0.0, 0.5, 1.0], &[0.0, 1.0]][round % 3];
        let rows = windows * (bars + 1);
        let mut noise = |len: usize| -> Vec<f32> {
            (0..len).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect()
        };
        let zeros = vec![0.0; rows * positions.len()];
        let [selector, target] = [0, 1].map(|_| noise(rows * positions.len()));
        let returns = noise(windows * bars);
        let fillable: Vec<bool> = noise(rows).iter().map(|x| *x < 0.8).collect();
        let risk = if round % 3 == 0 { 0.2 } else { 0.0 };
        let terms =
            ValueTerms { gamma: 0.9, lambda: 0.7, cost: 0.3, risk, relative: round % 2 == 0 };
        let weights = vec![1.0; windows];
        let batch = WindowBatch {
            bars,
            positions,
            online: &zeros,
            selector: &selector,
            target: &target,
            returns: &returns,
            fillable: &fillable,
            taken: None,
            weights: &weights,
            terms,
        };
        for (at, found) in targets(&batch).into_iter().enumerate() {
            let (row, action) = (at / positions.len(), at % positions.len());
            let expected = naive(&batch, row / bars, row % bars, action);
            assert!((f64::from(found) - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }
}

/// A window of one bar is a one-step target of double DQN: -0.5 + 0.9 * (2 - 0.1).
#[test]
fn one_bar_is_one_step() {
    let batch = WindowBatch {
        bars: 1,
        positions: &[0.0, 1.0],
        online: &[0.0; 4],
        selector: &[0.0, 0.0, 0.4, 0.2],
        target: &[0.0, 0.0, 2.0, 7.0],
        returns: &[-0.5],
        fillable: &[true, true],
        taken: None,
        weights: &[1.0],
        terms: ValueTerms { gamma: 0.9, lambda: 0.5, cost: 0.1, risk: 0.0, relative: false },
    };
    let found = targets(&batch);
    assert!((found[1] - (-0.5 + 0.9 * 1.9)).abs() < 1e-6, "{found:?}");
}
