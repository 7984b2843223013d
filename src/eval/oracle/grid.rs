//! Relative value iteration on a grid of signals, times three positions.

use super::signal::{Axes, Signal};

/// Values for positions -1, 0, 1.
type PositionValues = [f64; 3];

/// Continuation values and the average reward of the optimal policy.
#[derive(Clone, Debug)]
pub(crate) struct Solution {
    /// Reward per bar, and the bound on its error without the grid's in `within`.
    pub(crate) gain: f64,
    pub(crate) within: f64,
    axes: Axes,
    /// `[signal]`, row-major over the axes: expected continuation value after the next bar.
    future: Vec<PositionValues>,
}

/// The iteration stops when the bounds of the gain are this close: a thousandth of a basis point.
const PRECISION: f64 = 1e-7;
/// A few hundred sweeps are enough, unless costs are so high that a position is held for thousands
/// of bars.
const MAX_SWEEPS: usize = 5_000;

impl Solution {
    pub(crate) fn future(&self, state: [f64; 2], action: i8) -> f64 {
        let corners = Corners::new(&self.axes, state);
        corners.iter().map(|(i, weight)| weight * self.future[i][index(action)]).sum()
    }
}

fn index(position: i8) -> usize {
    (position + 1) as usize
}

/// Solves for the optimal average reward by value iteration. After each sweep the gain lies between
/// the smallest and the largest change of value: Puterman (1994), section 8.5. With a signal that
/// repeats itself after so many sweeps, it is the change over all of these.
pub(super) fn solve(signal: &Signal, resolution: f64, cost: f64, long_only: bool) -> Solution {
    let axes = signal.axes(resolution);
    let states: Vec<[f64; 2]> =
        axes[0].iter().flat_map(|&x| axes[1].iter().map(move |&odds| [x, odds])).collect();
    let means: Vec<f64> = states.iter().map(|&state| signal.mean(state)).collect();
    let moves = Transitions::new(signal, &axes, &states);
    let least = if long_only { 1 } else { 0 };
    let mut values = vec![[0.0; 3]; states.len()];
    let mut future = values.clone();
    let period = signal.period();
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for _ in 0..MAX_SWEEPS.div_ceil(period) {
        let before = values.clone();
        for _ in 0..period {
            moves.expect(&values, &mut future);
            for ((value, ahead), mean) in values.iter_mut().zip(&future).zip(&means) {
                *value = best_values(ahead, *mean, cost, least);
            }
        }
        (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (value, before) in values.iter().zip(&before) {
            for position in least..3 {
                let change = (value[position] - before[position]) / period as f64;
                (low, high) = (low.min(change), high.max(change));
            }
        }
        if high - low < PRECISION {
            break;
        }
    }
    Solution { gain: (low + high) / 2.0, within: (high - low) / 2.0, axes, future }
}

/// Value of each position that may be held, from `least` on: what the best action earns in the next
/// bar and is expected to earn `ahead`.
fn best_values(ahead: &PositionValues, mean: f64, cost: f64, least: usize) -> PositionValues {
    let mut values = [0.0; 3];
    for (position, value) in values.iter_mut().enumerate().skip(least) {
        let of = |action: usize| {
            let traded = action.abs_diff(position) as f64;
            (action as f64 - 1.0) * mean - traded * cost + ahead[action]
        };
        *value = (least..3).map(of).fold(f64::NEG_INFINITY, f64::max);
    }
    values
}

/// Transition matrix of the signal, sparse, row by row.
struct Transitions {
    ends: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

impl Transitions {
    fn new(signal: &Signal, axes: &Axes, states: &[[f64; 2]]) -> Transitions {
        let mut moves = Transitions { ends: Vec::with_capacity(states.len()), entries: Vec::new() };
        let mut row = vec![0.0; states.len()];
        let mut touched = Vec::new();
        for &state in states {
            signal.next(state, |chance, next| {
                for (i, weight) in Corners::new(axes, next).iter() {
                    if row[i] == 0.0 {
                        touched.push(i);
                    }
                    row[i] += chance * weight;
                }
            });
            touched.sort_unstable();
            let entries = touched.drain(..).map(|i| (i as u32, std::mem::take(&mut row[i])));
            moves.entries.extend(entries.filter(|&(_, chance)| chance > 0.0));
            moves.ends.push(moves.entries.len());
        }
        moves
    }

    /// Expected values after one transition from each state.
    fn expect(&self, values: &[PositionValues], out: &mut [PositionValues]) {
        let mut start = 0;
        for (out, &end) in out.iter_mut().zip(&self.ends) {
            let mut sum = [0.0; 3];
            for &(i, chance) in &self.entries[start..end] {
                let value = &values[i as usize];
                (0..3).for_each(|k| sum[k] += chance * value[k]);
            }
            (*out, start) = (sum, end);
        }
    }
}

/// Corners of the grid cell around a state with their bilinear weights. States beyond the grid are
/// clamped to its edge.
struct Corners([(usize, f64); 4]);

impl Corners {
    fn new(axes: &Axes, state: [f64; 2]) -> Corners {
        let (i, u) = place(&axes[0], state[0]);
        let (j, v) = place(&axes[1], state[1]);
        let width = axes[1].len();
        let at = |i: usize, j: usize| i.min(axes[0].len() - 1) * width + j.min(width - 1);
        Corners([
            (at(i, j), (1.0 - u) * (1.0 - v)),
            (at(i, j + 1), (1.0 - u) * v),
            (at(i + 1, j), u * (1.0 - v)),
            (at(i + 1, j + 1), u * v),
        ])
    }

    fn iter(&self) -> impl Iterator<Item = (usize, f64)> {
        self.0.into_iter()
    }
}

/// The last point not above `value`, and the fraction of the way to the next.
fn place(axis: &[f64], value: f64) -> (usize, f64) {
    let above = axis.partition_point(|&point| point <= value);
    if above == 0 {
        return (0, 0.0);
    }
    if above == axis.len() {
        return (above - 1, 0.0);
    }
    let (low, high) = (axis[above - 1], axis[above]);
    (above - 1, (value - low) / (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_by_hand() {
        let axes = [vec![0.0, 1.0, 3.0], vec![-1.0, 1.0]];
        let height = |[x, y]: [f64; 2]| 2.0 * x - 3.0 * y;
        let corner = |i: usize| height([axes[0][i / 2], axes[1][i % 2]]);
        let at = |state| Corners::new(&axes, state).iter().map(|(i, w)| w * corner(i)).sum::<f64>();
        for state in [[0.0, -1.0], [0.25, 0.5], [2.0, 0.0], [3.0, 1.0]] {
            assert!((at(state) - height(state)).abs() < 1e-12, "{state:?}");
        }
        assert_eq!(at([-5.0, 9.0]), height([0.0, 1.0]));
        assert_eq!(at([7.0, -9.0]), height([3.0, -1.0]));
    }
}
