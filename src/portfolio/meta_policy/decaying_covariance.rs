//! Correlations of stocks, and allocations with equal risk contributions.

use serde::{Deserialize, Serialize};

/// Sums of products of one-bar returns, not centred, with exponential decay per session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecayingCovariance {
    stocks: usize,
    /// Decay factor of the sums per session.
    keep: f64,
    /// `[stock]`: return over the bar that is closing, 0 if undefined.
    pub(crate) changes: Vec<f64>,
    /// `[i][j]` for j up to i, row-major.
    past: Vec<f64>,
    today: Vec<f64>,
    /// Effective number of bars in the sums.
    past_bars: f64,
    today_bars: f64,
}

impl DecayingCovariance {
    pub(crate) fn new(stocks: usize, sessions: usize) -> DecayingCovariance {
        let pairs = stocks * (stocks + 1) / 2;
        DecayingCovariance {
            stocks,
            keep: 1.0 - 1.0 / sessions as f64,
            changes: vec![0.0; stocks],
            past: vec![0.0; pairs],
            today: vec![0.0; pairs],
            past_bars: 0.0,
            today_bars: 0.0,
        }
    }

    /// Adds the products of [`DecayingCovariance::changes`].
    pub(crate) fn end_bar(&mut self) {
        let mut sums = self.today.iter_mut();
        for (i, own) in self.changes.iter().enumerate() {
            for (other, sum) in self.changes[..=i].iter().zip(&mut sums) {
                *sum += own * other;
            }
        }
        self.today_bars += 1.0;
    }

    pub(crate) fn end_session(&mut self) {
        for (past, today) in self.past.iter_mut().zip(&mut self.today) {
            *past = self.keep * *past + std::mem::take(today);
        }
        self.past_bars = self.keep * self.past_bars + std::mem::take(&mut self.today_bars);
    }

    /// Correlation over past sessions, `[i * stocks + j]`, shrunk towards 0 by Schäfer and Strimmer
    /// (2005), target D: the shrinkage intensity is the sum of the estimates' variances over the
    /// sum of their squares, with variance (1 - r^2)^2 / (n - 1) as for normal returns.
    pub(crate) fn correlation(&self) -> Vec<f64> {
        let n = self.stocks;
        let at = |i: usize, j: usize| self.past[i * (i + 1) / 2 + j];
        let mut correlation = vec![0.0; n * n];
        let (mut variances, mut squares) = (0.0, 0.0);
        for i in 0..n {
            correlation[i * n + i] = 1.0;
            for j in 0..i {
                let scale = (at(i, i) * at(j, j)).sqrt();
                let r = if scale > 0.0 { (at(i, j) / scale).clamp(-1.0, 1.0) } else { 0.0 };
                (correlation[i * n + j], correlation[j * n + i]) = (r, r);
                variances += (1.0 - r * r).powi(2) / (self.past_bars - 1.0).max(1.0);
                squares += r * r;
            }
        }
        let keep = if squares > 0.0 { (1.0 - variances / squares).max(0.0) } else { 0.0 };
        for i in 0..n {
            (0..n).filter(|&j| j != i).for_each(|j| correlation[i * n + j] *= keep);
        }
        correlation
    }
}

/// Maximum sweeps over the stocks; a few are enough unless stocks are nearly identical.
const MAX_SWEEPS: usize = 200;
const TOLERANCE: f64 = 1e-10;

/// Risk parity: standard deviations y to hold in each stock so that all contribute equally to the
/// portfolio variance, i.e. y_i (C y)_i is equal for all i, up to a common factor. Cyclical
/// coordinate descent (Griveau-Billion, Richard and Roncalli 2013); each step solves y_i^2 + c_i
/// y_i = 1, with c_i the sum over the other stocks.
pub(crate) fn equal_contributions(correlation: &[f64]) -> Vec<f64> {
    let n = correlation.len().isqrt();
    let mut held = vec![1.0; n];
    for _ in 0..MAX_SWEEPS {
        let mut moved = 0.0_f64;
        for i in 0..n {
            let row = &correlation[i * n..(i + 1) * n];
            let all: f64 = row.iter().zip(&held).map(|(c, y)| c * y).sum();
            let others = all - held[i];
            let next = ((others * others + 4.0).sqrt() - others) / 2.0;
            moved = moved.max((next / held[i] - 1.0).abs());
            held[i] = next;
        }
        if moved < TOLERANCE {
            break;
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_correlations_ask_for_equal_deviations() {
        for c in [-0.4, 0.0, 0.3, 0.9] {
            let held = equal_contributions(&[1.0, c, c, c, 1.0, c, c, c, 1.0]);
            assert!((held[0] - held[1]).abs() < 1e-8 && (held[0] - held[2]).abs() < 1e-8);
        }
        assert_eq!(equal_contributions(&[1.0]), [1.0]);
    }

    /// Two perfectly correlated stocks and an independent one: y^2 (1 + c) = 1 for each of the two,
    /// and y = 1.
    #[test]
    fn twins_share_their_capital() {
        let c: f64 = 0.96;
        let held = equal_contributions(&[1.0, c, 0.0, c, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let twin = (1.0 / (1.0 + c)).sqrt();
        for (found, expected) in held.iter().zip([twin, twin, 1.0]) {
            assert!((found - expected).abs() < 1e-8, "{held:?}");
        }
    }

    /// Bars (1, 1), (1, -1), (2, 2) in one session: r = 4 / 6 from three bars. Its variance is (1 -
    /// 4/9)^2 / 2 = 25 / 162; over 4 / 9 that is 25 / 72, so 47 / 72 of r remain.
    #[test]
    fn a_correlation_is_shrunk_by_what_it_may_be_off() {
        let mut moves = DecayingCovariance::new(2, 20);
        for bar in [[1.0, 1.0], [1.0, -1.0], [2.0, 2.0]] {
            moves.changes = bar.to_vec();
            moves.end_bar();
        }
        assert_eq!(moves.correlation(), [1.0, 0.0, 0.0, 1.0], "the session is not over");
        moves.end_session();
        let found = moves.correlation();
        assert!((found[1] - 4.0 / 6.0 * 47.0 / 72.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found[1], found[2]);
    }
}
