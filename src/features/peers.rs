//! Features computed from a stock's peers, sampled at the stock's own bars.

use super::bar_slice::{ColumnHistory, write};
use super::relations::Comovement;
use super::rolling::{Moments, PairMoments, Window};
use crate::compute::simd_dispatch::wide;

/// Names of the features computed from peers, in column order. Returns are log returns between the
/// stock's own bars; a peer's close is its last known one, so a peer without a new bar has return
/// 0.
///
/// - `peers_return_1`, `peers_return_5`: mean over the peers, over 1 and 5 of the stock's bars.
/// - `residual_return`: own return minus beta times `peers_return_1`, beta over `relation_bars`;
///   beta is 0 if the peers did not move.
/// - `peers_correlation`: correlation of own return and `peers_return_1` over `relation_bars`; 0 if
///   either did not move.
/// - `spread`: z-score over `relation_bars` of the log price ratio to the nearest peer.
///
/// All are 0, not undefined, for a stock without peers and before a peer's first bar.
pub(crate) const NAMES: [&str; 5] =
    ["peers_return_1", "peers_return_5", "residual_return", "peers_correlation", "spread"];

/// A standard deviation of the log price ratio up to this is rounding error.
const MIN_SPREAD_STD: f64 = 1e-9;

/// Longest peer return, in bars of the stock.
const LONGEST: usize = 5;

/// Streaming state of one stock's peer features.
pub(crate) struct PeerFeatures {
    relation_bars: usize,
    /// Log closes at the stock's last bars: its own, then its peers' last known ones, nearest peer
    /// first. NaN before a first bar.
    log_close: Vec<ColumnHistory>,
    /// Number of bars of the stock so far.
    bars: usize,
    together: Window<PairMoments>,
    spread: Window<Moments>,
}

impl PeerFeatures {
    pub(crate) fn new(peers: usize, relation_bars: usize) -> PeerFeatures {
        PeerFeatures {
            relation_bars,
            log_close: (0..1 + peers).map(|_| ColumnHistory::new(LONGEST)).collect(),
            bars: 0,
            together: Window::new(relation_bars),
            spread: Window::new(relation_bars),
        }
    }

    /// Takes in the next bars of the stock and writes the features of [`NAMES`]; NaN until the
    /// stock's own windows are full. `log_close` `[source][bar]`: last known log closes, the
    /// stock's own first, then its peers'; NaN before a first bar.
    pub(crate) fn update(&mut self, log_close: &[&[f64]], out: &mut [&mut [f32]]) {
        assert_eq!(log_close.len(), self.log_close.len(), "of the stock and its peers");
        for (past, log_close) in self.log_close.iter_mut().zip(log_close) {
            past.push(log_close);
        }
        let Some((own, peers @ [nearest, ..])) = self.log_close.split_first() else {
            return out.iter_mut().for_each(|out| out.fill(0.0));
        };
        let own_changes = own.now().iter().zip(own.ago(1)).map(|(now, before)| now - before);
        let mean_1 = mean_changes(peers, 1);
        let pairs: Vec<(f64, f64)> = mean_1.iter().copied().zip(own_changes).collect();
        let [mut residual, mut correlation, mut spread] = [(); 3].map(|()| vec![0.0; pairs.len()]);
        let relation = |moments: PairMoments, (mean, own)| {
            let relation = Comovement::from_moments(&moments);
            let residual = own - relation.beta.unwrap_or(0.0) * mean;
            [residual, relation.correlation.unwrap_or(0.0)]
        };
        let known = |(mean, own): &(f64, f64)| !(mean.is_nan() | own.is_nan());
        self.together.run_known(&pairs, known, relation, [&mut residual, &mut correlation]);
        let ratios = own.now().iter().zip(nearest.now());
        let ratios: Vec<f64> = ratios.map(|(own, nearest)| own - nearest).collect();
        let z_score = |window: Moments, ratio| [window.z_score(ratio, MIN_SPREAD_STD)];
        self.spread.run_known(&ratios, |ratio| !ratio.is_nan(), z_score, [&mut spread]);

        let unsettled = self.relation_bars.saturating_sub(self.bars).min(pairs.len());
        self.bars += pairs.len();
        let columns = [mean_1, mean_changes(peers, LONGEST), residual, correlation, spread];
        for (mut column, out) in columns.into_iter().zip(out) {
            let settled = &mut column[unsettled..];
            settled.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
            write(&column, out);
        }
    }
}

wide! {
    /// Mean log return over `bars` bars of the peers whose closes were known then; NaN if none was.
    fn mean_changes(peers: &[ColumnHistory], bars: usize) -> Vec<f64> {
        let times = peers[0].now().len();
        let (mut sums, mut counts) = (vec![0.0; times], vec![0.0; times]);
        for peer in peers {
            let changes = peer.now().iter().zip(peer.ago(bars)).map(|(now, before)| now - before);
            for ((sum, count), change) in sums.iter_mut().zip(&mut counts).zip(changes) {
                let known = !change.is_nan();
                *sum += if known { change } else { 0.0 };
                *count += if known { 1.0 } else { 0.0 };
            }
        }
        for (sum, count) in sums.iter_mut().zip(&counts) {
            *sum = if *count > 0.0 { *sum / count } else { f64::NAN };
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    /// Feeds one bar; `logs` are the log closes of the stock and its peers.
    fn update(features: &mut PeerFeatures, logs: &[f64], out: &mut [f32]) {
        let logs: Vec<&[f64]> = logs.iter().map(std::slice::from_ref).collect();
        let mut columns: Vec<&mut [f32]> = out.iter_mut().map(std::slice::from_mut).collect();
        features.update(&logs, &mut columns);
    }

    fn at<const N: usize>(log_close: &[Vec<f64>; N], row: usize) -> [f64; N] {
        log_close.each_ref().map(|logs| logs[row])
    }

    fn assert_near(found: &[f32], expected: [f64; 5]) {
        for ((found, expected), name) in found.iter().zip(expected).zip(NAMES) {
            let near = (f64::from(*found) - expected).abs() < 1e-6;
            let same = near || (found.is_nan() && expected.is_nan());
            assert!(same, "{name}: {found} is not {expected}");
        }
    }

    /// Stock 0 has no bar in row 2; peer 2 has its first bar in row 1.
    #[test]
    fn every_feature_by_hand() {
        let log_close = [
            vec![0.0, 0.01, 0.01, 0.03, 0.02],
            vec![0.0, 0.02, 0.03, 0.01, 0.03],
            vec![NAN, 0.50, 0.50, 0.52, 0.52],
        ];
        let mut features = PeerFeatures::new(2, 2);
        let mut out = [0.0; 5];
        update(&mut features, &at(&log_close, 0), &mut out);
        assert_near(&out, [NAN; 5]);
        update(&mut features, &at(&log_close, 1), &mut out);
        // Spread 0, then -0.01: the later of two values is one standard deviation below the mean.
        assert_near(&out, [0.02, NAN, NAN, NAN, -1.0]);
        update(&mut features, &at(&log_close, 3), &mut out);
        // Own returns 0.01, 0.02; peers' 0.02, then the mean of -0.01 and 0.02: beta 0.01 / -0.015.
        // Fewer than five bars so far, but the stock's windows are full.
        assert_near(&out, [0.005, 0.0, 0.02 + 0.005 / 1.5, -1.0, 1.0]);
        update(&mut features, &at(&log_close, 4), &mut out);
        // Own returns 0.02, -0.01; peers' 0.005, 0.01: beta -6.
        assert_near(&out, [0.01, 0.0, -0.01 + 0.06, -1.0, -1.0]);
    }

    #[test]
    fn five_bars_are_five_of_the_stocks_own() {
        let peer: Vec<f64> = (0..20).map(|t| f64::from(t * t)).collect();
        let log_close = [vec![1.0; 20], peer];
        let mut features = PeerFeatures::new(1, 3);
        let mut out = [0.0; 5];
        for row in [0, 2, 3, 5, 7, 11, 13] {
            update(&mut features, &at(&log_close, row), &mut out);
        }
        // From row 2 to 13 and from 11 to 13; the stock itself did not move.
        assert_eq!(out[..4], [48.0, 165.0, 0.0, 0.0]);
    }

    #[test]
    fn without_peers_and_before_a_peer_begins_features_are_zero() {
        let log_close = [vec![0.1, 0.2, 0.3, 0.1], vec![NAN, NAN, NAN, NAN]];
        let mut out = [1.0; 5];
        let mut alone = PeerFeatures::new(0, 2);
        update(&mut alone, &[log_close[0][0]], &mut out);
        assert_eq!(out, [0.0; 5]);
        let mut early = PeerFeatures::new(1, 2);
        for row in 0..3 {
            update(&mut early, &at(&log_close, row), &mut out);
            assert_eq!(out[0].is_nan(), row < 2);
        }
        assert_eq!(out, [0.0; 5]);
    }
}
