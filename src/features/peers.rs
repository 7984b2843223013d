//! Features of a stock from its peers' bars, one row of the grid at a time.

use super::own::or_nan;
use super::relations::RollingRelation;
use super::rolling::{Moments, Window};

/// The features that a stock has of its peers, in order. All returns are log returns between the
/// stock's own bars, with the peers' closes as known then: where a peer had no bar since, its
/// return is 0.
///
/// - `peers_return_1`, `peers_return_5`: mean over the peers, over 1 and 5 of the stock's bars.
/// - `residual_return`: own return less beta times `peers_return_1`, beta over `relation_bars`; 0
///   beta where the peers did not move.
/// - `peers_correlation`: of the own return with `peers_return_1` over `relation_bars`; 0 where one
///   did not move.
/// - `spread`: z-score over `relation_bars` of the log of the own price over the nearest peer's.
///
/// They are 0, not undefined, without peers, and for peers whose bars begin later than the stock's.
pub const NAMES: [&str; 5] =
    ["peers_return_1", "peers_return_5", "residual_return", "peers_correlation", "spread"];

/// A deviation of the log price ratio up to this is rounding.
const LEAST_SPREAD_STD: f64 = 1e-9;

/// The longest return of peers, in the stock's own bars.
const LONGEST: usize = 5;
/// Bars of which closes are kept.
const KEPT: usize = LONGEST + 1;

/// What is remembered of one stock and its peers.
pub struct PeerFeatures {
    stock: usize,
    /// Nearest first.
    peers: Vec<usize>,
    relation_bars: usize,
    /// Log closes at the stock's last bars, bar n at n modulo `KEPT`: its own, then its peers' as
    /// known then, NaN before a first one.
    past: [Vec<f64>; KEPT],
    /// Bars that the stock has had.
    bars: usize,
    together: RollingRelation,
    spread: Window<Moments>,
}

impl PeerFeatures {
    pub fn new(stock: usize, peers: &[usize], relation_bars: usize) -> PeerFeatures {
        PeerFeatures {
            stock,
            peers: peers.to_vec(),
            relation_bars,
            past: std::array::from_fn(|_| vec![f64::NAN; 1 + peers.len()]),
            bars: 0,
            together: RollingRelation::new(relation_bars),
            spread: Window::new(relation_bars),
        }
    }

    /// Takes in a time at which the stock has a bar, and writes the features of [`NAMES`]: NaN
    /// until the stock's own windows are filled. `log_close` tells the log of a stock's last close
    /// known then, NaN before its first.
    pub fn update(&mut self, log_close: impl Fn(usize) -> f64, out: &mut [f32]) {
        let Some(&nearest) = self.peers.first() else {
            out.fill(0.0);
            return;
        };
        let (own, peers) = self.past[self.bars % KEPT].split_at_mut(1);
        own[0] = log_close(self.stock);
        for (slot, &peer) in peers.iter_mut().zip(&self.peers) {
            *slot = log_close(peer);
        }
        self.bars += 1;
        let own = change(self.now()[0], self.ago(1)[0]);
        let mean_1 = mean_change(&self.now()[1..], &self.ago(1)[1..]);
        let pair = own.zip(mean_1);
        let relation = pair.and_then(|(own, mean)| self.together.update(mean, own));
        let residual = pair
            .zip(relation)
            .map(|((own, mean), relation)| own - relation.beta.unwrap_or(0.0) * mean);
        let correlation = relation.map(|relation| relation.correlation.unwrap_or(0.0));
        let ratio = log_close(self.stock) - log_close(nearest);
        let spread = if ratio.is_nan() { None } else { self.spread.update(ratio) };
        let spread = spread.map(|window| window.z_score(ratio, LEAST_SPREAD_STD));

        let settled = self.bars > self.relation_bars;
        let mean_longest = mean_change(&self.now()[1..], &self.ago(LONGEST)[1..]);
        let values = [mean_1, mean_longest, residual, correlation, spread];
        for (slot, value) in out.iter_mut().zip(values) {
            *slot = or_nan(value.or(settled.then_some(0.0)));
        }
    }

    /// Log closes at the stock's last bar.
    fn now(&self) -> &[f64] {
        self.ago(0)
    }

    /// Log closes so many of the stock's bars before; NaN before its first.
    fn ago(&self, bars: usize) -> &[f64] {
        &self.past[(self.bars + KEPT - 1 - bars) % KEPT]
    }
}

/// None before either close is known.
fn change(now: f64, before: f64) -> Option<f64> {
    let change = now - before;
    (!change.is_nan()).then_some(change)
}

/// Over the peers whose closes are known.
fn mean_change(now: &[f64], before: &[f64]) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for change in now.iter().zip(before).filter_map(|(&now, &before)| change(now, before)) {
        sum += change;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    fn assert_near(found: &[f32], expected: [f64; 5]) {
        for ((found, expected), name) in found.iter().zip(expected).zip(NAMES) {
            let near = (f64::from(*found) - expected).abs() < 1e-6;
            let same = near || (found.is_nan() && expected.is_nan());
            assert!(same, "{name}: {found} is not {expected}");
        }
    }

    /// Stock 0 has no bar in row 2; peer 2 begins in row 1.
    #[test]
    fn every_feature_by_hand() {
        let log_close = [
            vec![0.0, 0.01, 0.01, 0.03, 0.02],
            vec![0.0, 0.02, 0.03, 0.01, 0.03],
            vec![NAN, 0.50, 0.50, 0.52, 0.52],
        ];
        let mut features = PeerFeatures::new(0, &[1, 2], 2);
        let mut out = [0.0; 5];
        features.update(|of| log_close[of][0], &mut out);
        assert_near(&out, [NAN; 5]);
        features.update(|of| log_close[of][1], &mut out);
        // Spread 0, then -0.01: the later of two is one deviation below the mean.
        assert_near(&out, [0.02, NAN, NAN, NAN, -1.0]);
        features.update(|of| log_close[of][3], &mut out);
        // Own returns 0.01, 0.02; peers' 0.02, then the mean of -0.01 and 0.02: slope 0.01 /
        // -0.015. Five bars have not passed, but the stock's windows are full.
        assert_near(&out, [0.005, 0.0, 0.02 + 0.005 / 1.5, -1.0, 1.0]);
        features.update(|of| log_close[of][4], &mut out);
        // Own 0.02, -0.01; peers' 0.005, 0.01: slope -6.
        assert_near(&out, [0.01, 0.0, -0.01 + 0.06, -1.0, -1.0]);
    }

    #[test]
    fn five_bars_are_five_of_the_stocks_own() {
        let peer: Vec<f64> = (0..20).map(|t| f64::from(t * t)).collect();
        let log_close = [vec![1.0; 20], peer];
        let mut features = PeerFeatures::new(0, &[1], 3);
        let mut out = [0.0; 5];
        for row in [0, 2, 3, 5, 7, 11, 13] {
            features.update(|of| log_close[of][row], &mut out);
        }
        // From row 2 to 13, and from 11 to 13; the stock itself did not move.
        assert_eq!(out[..4], [48.0, 165.0, 0.0, 0.0]);
    }

    #[test]
    fn without_peers_and_before_a_peer_begins_features_are_zero() {
        let log_close = [vec![0.1, 0.2, 0.3, 0.1], vec![NAN, NAN, NAN, NAN]];
        let mut out = [1.0; 6];
        let mut alone = PeerFeatures::new(0, &[], 2);
        alone.update(|of| log_close[of][0], &mut out);
        assert_eq!(out, [0.0; 6]);
        let mut early = PeerFeatures::new(0, &[1], 2);
        for row in 0..3 {
            early.update(|of| log_close[of][row], &mut out);
            assert_eq!(out[0].is_nan(), row < 2);
        }
        assert_eq!(out, [0.0; 6]);
    }
}
