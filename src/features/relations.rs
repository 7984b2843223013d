//! Relations between stocks: correlation and lead-lag.
//!
//! [`Relations`] are measured once, over the training period. `stream` measures a pair over its
//! last bars; [`opportunity`] watches for cointegrated pairs that diverge, using the test in
//! `cointegration`.

pub(crate) mod cointegration;
pub mod opportunity;
pub(crate) mod stream;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::rolling::{Accumulator, PairMoments};
use crate::market::BarSeries;
use crate::market::panel::{Grid, NO_BAR, Panel};

/// Relations measured over one period, usually the training period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relations {
    /// Correlation of simultaneous bar returns, `[stock][stock]`; None if too few bars in common.
    pub correlation: Vec<Vec<Option<f64>>>,
    /// `[follower][leader]`: correlation of the follower's return with the leader's previous
    /// return.
    pub lead_lag: Vec<Vec<Option<f64>>>,
}

/// A stock and a peer that it sees, in one quarter.
#[derive(Clone, Debug, PartialEq)]
pub struct QuarterRelation {
    /// As in `2019Q3`.
    pub quarter: String,
    /// Index of the stock.
    pub stock: usize,
    /// Index of the peer.
    pub peer: usize,
    /// By how much the peer moves what is decided for the stock, a return; None without attention.
    pub influence: Option<f64>,
    /// Attention weight; None likewise.
    pub attention: Option<f64>,
    /// Correlation of bar returns; None for too few of them.
    pub correlation: Option<f64>,
    /// Correlation of the stock's return with the peer's of the bar before; None likewise.
    pub lead_lag: Option<f64>,
}

/// Minimum number of return pairs for a correlation.
const MIN_PAIRS: usize = 30;

/// A standard deviation of log returns up to this is rounding error, not movement.
const MIN_STD: f64 = 1e-9;

/// Weight of lead-lag against simultaneous correlation when peers are chosen. A lead can be traded
/// on and a simultaneous correlation cannot, so a lead of 0.1 ranks with a correlation of 0.5.
const LEAD_WEIGHT: f64 = 5.0;

impl Relations {
    /// Measures over the grid rows `rows`, from log returns of the close between consecutive rows
    /// in both of which a stock has a bar. None for fewer than 30 pairs of returns, or if one stock
    /// never moves.
    pub(crate) fn measure(
        series: &[BarSeries],
        grid: &Grid,
        rows: std::ops::Range<usize>,
    ) -> Relations {
        assert_eq!(series.len(), grid.bar_index.len(), "one series per stock of the grid");
        let returns: Vec<Vec<f64>> = series
            .par_iter()
            .zip(&grid.bar_index)
            .map(|(series, index)| row_returns(series, &index[rows.clone()]))
            .collect();
        let stocks = series.len();
        // Each pair is computed once, so that the matrix is symmetric to the last bit.
        let pairs: Vec<(usize, usize)> =
            (0..stocks).flat_map(|i| (i..stocks).map(move |j| (i, j))).collect();
        let together = |&(i, j): &(usize, usize)| (&returns[i][..], &returns[j][..]);
        let mut correlation = vec![vec![None; stocks]; stocks];
        let found = correlate_all(&pairs.iter().map(together).collect::<Vec<_>>());
        for (&(i, j), found) in pairs.iter().zip(found) {
            correlation[i][j] = found;
            correlation[j][i] = found;
        }
        let leads: Vec<_> = (0..stocks)
            .flat_map(|follower| (0..stocks).map(move |leader| (follower, leader)))
            .map(|(follower, leader)| (later(&returns[follower]), earlier(&returns[leader])))
            .collect();
        let found = correlate_all(&leads);
        let lead_lag = found.chunks(stocks.max(1)).map(<[_]>::to_vec).collect();
        Relations { correlation, lead_lag }
    }

    /// The same of some pairs (stock, peer) over some rows of a panel, from closes in rows at which
    /// both trade: correlation, and that of the stock's return with the peer's of the bar before.
    pub(crate) fn of_pairs(
        panel: &Panel,
        rows: std::ops::Range<usize>,
        pairs: &[(usize, usize)],
    ) -> Vec<[Option<f64>; 2]> {
        let log_close = |row: usize, stock: usize| {
            let bar = panel.view(row).bar(stock);
            if bar.tradable { bar.close.ln() } else { f64::NAN }
        };
        let returns = (0..panel.stocks().len()).into_par_iter().map(|stock| {
            let logs: Vec<f64> = rows.clone().map(|row| log_close(row, stock)).collect();
            logs.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<f64>>()
        });
        let returns: Vec<Vec<f64>> = returns.collect();
        let together = |&(i, j): &(usize, usize)| (&returns[i][..], &returns[j][..]);
        let led = |&(i, j): &(usize, usize)| (later(&returns[i]), earlier(&returns[j]));
        let correlation = correlate_all(&pairs.iter().map(together).collect::<Vec<_>>());
        let lead_lag = correlate_all(&pairs.iter().map(led).collect::<Vec<_>>());
        correlation.into_iter().zip(lead_lag).map(|(now, led)| [now, led]).collect()
    }

    /// The `count` nearest peers of each stock, nearest first, itself excluded. Distance is by the
    /// larger of |correlation| and the weighted |lead_lag|; None counts as 0. Ties go to the lower
    /// index. Every stock gets min(count, stocks - 1) peers.
    pub(crate) fn nearest_peers(&self, count: usize) -> Vec<Vec<usize>> {
        let stocks = self.correlation.len();
        let closeness = |i: usize, j: usize| {
            let together = self.correlation[i][j].unwrap_or(0.0).abs();
            together.max(LEAD_WEIGHT * self.lead_lag[i][j].unwrap_or(0.0).abs())
        };
        let nearest = |i: usize| {
            let mut peers: Vec<usize> = (0..stocks).filter(|&j| j != i).collect();
            peers.sort_by(|&a, &b| closeness(i, b).total_cmp(&closeness(i, a)));
            peers.truncate(count);
            peers
        };
        (0..stocks).map(nearest).collect()
    }
}

/// All returns but the first.
fn later(returns: &[f64]) -> &[f64] {
    returns.get(1..).unwrap_or_default()
}

/// All returns but the last.
fn earlier(returns: &[f64]) -> &[f64] {
    &returns[..returns.len().saturating_sub(1)]
}

/// Log return of the close from each row to the next; NaN if either row has no bar.
fn row_returns(series: &BarSeries, index: &[u32]) -> Vec<f64> {
    let log_close = |&bar: &u32| {
        if bar == NO_BAR { f64::NAN } else { series.close[bar as usize].ln() }
    };
    let logs: Vec<f64> = index.iter().map(log_close).collect();
    logs.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Pairs of series processed together: each running mean waits for its last division, and
/// independent ones fill that latency.
const LANES: usize = 4;

/// Correlation of each pair of series, all of the same length, over rows where both are defined.
fn correlate_all(pairs: &[(&[f64], &[f64])]) -> Vec<Option<f64>> {
    let correlate = |pairs: &[(&[f64], &[f64])]| {
        let of = |k: usize| pairs[k.min(pairs.len() - 1)];
        let lanes: [_; LANES] = std::array::from_fn(of);
        let mut moments = [PairMoments::default(); LANES];
        for row in 0..lanes[0].0.len() {
            for (moments, (xs, ys)) in moments.iter_mut().zip(&lanes) {
                let (x, y) = (xs[row], ys[row]);
                if !x.is_nan() && !y.is_nan() {
                    moments.push((x, y));
                }
            }
        }
        let enough = |m: &&PairMoments| m.count() >= MIN_PAIRS;
        let found = moments.iter().map(|m| Some(m).filter(enough).and_then(correlation));
        found.take(pairs.len()).collect::<Vec<_>>()
    };
    pairs.par_chunks(LANES).flat_map_iter(correlate).collect()
}

#[inline(always)]
fn correlation(moments: &PairMoments) -> Option<f64> {
    let (std_x, std_y) = (moments.variance_x().sqrt(), moments.variance_y().sqrt());
    let moves = std_x > MIN_STD && std_y > MIN_STD;
    moves.then(|| (moments.covariance() / (std_x * std_y)).clamp(-1.0, 1.0))
}

/// Correlation and regression slope of two returns over a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comovement {
    /// None if either did not move.
    pub(crate) correlation: Option<f64>,
    /// Slope of y on x; None if x did not move.
    pub(crate) beta: Option<f64>,
}

impl Comovement {
    /// From the moments of pairs (x, y).
    #[inline(always)]
    pub(crate) fn from_moments(moments: &PairMoments) -> Comovement {
        let variance = moments.variance_x();
        let beta = (variance.sqrt() > MIN_STD).then(|| moments.covariance() / variance);
        Comovement { correlation: correlation(moments), beta }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::{Noise, grid_of, random_market};
    use crate::features::rolling::Window;
    use crate::market::Bar;

    /// A series with bars that end at the given seconds with the given log closes.
    fn series(name: &str, logs: &[(i64, f64)]) -> BarSeries {
        let mut series = BarSeries::new(name.parse().unwrap());
        for &(end_s, log) in logs {
            let price = log.exp();
            let (open, high, low, close) = (price, price, price, price);
            series.push(Bar { end_s, open, high, low, close, volume: 1.0 });
        }
        series
    }

    fn walk(returns: &[f64]) -> Vec<(i64, f64)> {
        let mut log = 4.0;
        let step = |(i, r): (usize, &f64)| {
            log += r;
            (i as i64, log)
        };
        returns.iter().enumerate().map(step).collect()
    }

    fn pearson(pairs: &[(f64, f64)]) -> f64 {
        let n = pairs.len() as f64;
        let (mx, my) = (
            pairs.iter().map(|p| p.0).sum::<f64>() / n,
            pairs.iter().map(|p| p.1).sum::<f64>() / n,
        );
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            pairs.iter().map(|p| f(p.0 - mx, p.1 - my)).sum()
        };
        sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
    }

    #[test]
    fn a_planted_lead_is_found_in_its_direction() {
        let mut noise = Noise::new(1);
        let leader: Vec<f64> = (0..4_000).map(|_| 1e-3 * noise.normal()).collect();
        let follow = |t: usize| if t == 0 { 0.0 } else { 0.5 * leader[t - 1] };
        let follower: Vec<f64> = (0..4_000).map(|t| follow(t) + 1e-3 * noise.normal()).collect();
        let other: Vec<f64> = leader.iter().map(|r| 0.3 * r + 1e-3 * noise.normal()).collect();
        let market = [
            series("A", &walk(&leader)),
            series("B", &walk(&follower)),
            series("C", &walk(&other)),
        ];
        let grid = grid_of(&market);
        let relations = Relations::measure(&market, &grid, 0..4_000);
        // 0.5 / sqrt(0.25 + 1) = 0.447, give or take 1 / sqrt(4000).
        assert!((relations.lead_lag[1][0].unwrap() - 0.447).abs() < 0.06);
        assert!(relations.lead_lag[0][1].unwrap().abs() < 0.06);
        assert!((relations.correlation[0][2].unwrap() - 0.287).abs() < 0.06);
        assert_eq!(relations.correlation[0][2], relations.correlation[2][0]);
        assert!((relations.correlation[1][1].unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(relations.nearest_peers(1), [[2], [0], [0]]);
        assert_eq!(relations.nearest_peers(9)[1], [0, 2]);
    }

    #[test]
    fn only_rows_given_and_pairs_in_consecutive_rows_count() {
        let market = random_market(3, 2, 400, 7, 0.2);
        let grid = grid_of(&market);
        let rows = 50..300;
        let log = |stock: usize, row: usize| {
            let bar = grid.bar_index[stock][row];
            (bar != NO_BAR).then(|| market[stock].close[bar as usize].ln())
        };
        let change = |stock: usize, row: usize| Some(log(stock, row)? - log(stock, row - 1)?);
        let together: Vec<(f64, f64)> =
            (51..300).filter_map(|t| Some((change(0, t)?, change(1, t)?))).collect();
        let lead: Vec<(f64, f64)> =
            (52..300).filter_map(|t| Some((change(0, t)?, change(1, t - 1)?))).collect();
        assert!(together.len() > 50 && together.len() < 200);
        let relations = Relations::measure(&market, &grid, rows);
        assert!((relations.correlation[0][1].unwrap() - pearson(&together)).abs() < 1e-12);
        assert!((relations.lead_lag[0][1].unwrap() - pearson(&lead)).abs() < 1e-12);
    }

    #[test]
    fn too_few_pairs_and_still_prices_are_unknown() {
        let mut noise = Noise::new(2);
        let returns: Vec<f64> = (0..40).map(|_| 1e-3 * noise.normal()).collect();
        let market = [series("A", &walk(&returns)), series("B", &walk(&[0.0; 40]))];
        let grid = grid_of(&market);
        let correlation = |rows| Relations::measure(&market, &grid, rows).correlation;
        // 31 rows give 30 returns.
        assert!(correlation(0..31)[0][0].is_some());
        assert_eq!(correlation(0..30)[0][0], None);
        assert_eq!(correlation(0..40)[0][1], None);
        assert_eq!(correlation(5..5), [[None, None], [None, None]]);
        let unknown = Relations::measure(&market, &grid, 0..0);
        assert_eq!(unknown.nearest_peers(3), [[1], [0]]);
    }

    #[test]
    fn ties_go_to_the_lower_index() {
        let same = Relations {
            correlation: vec![vec![Some(-0.5); 4]; 4],
            lead_lag: vec![vec![Some(0.1); 4]; 4],
        };
        assert_eq!(same.nearest_peers(2), [[1, 2], [0, 2], [0, 1], [0, 1]]);
        assert_eq!(same.nearest_peers(0), vec![Vec::<usize>::new(); 4]);
    }

    #[test]
    fn rolling_relation_matches_the_whole_window() {
        let mut noise = Noise::new(4);
        let pairs: Vec<(f64, f64)> = (0..500)
            .map(|_| {
                let x = 1e-3 * noise.normal();
                (x, 2.0 * x + 1e-3 * noise.normal())
            })
            .collect();
        let mut rolling = Window::new(60);
        for t in 0..pairs.len() {
            let Some(found) =
                rolling.update(pairs[t]).map(|moments| Comovement::from_moments(&moments))
            else {
                assert!(t < 59);
                continue;
            };
            let window = &pairs[t - 59..=t];
            let expected = pearson(window);
            assert!((found.correlation.unwrap() - expected).abs() < 1e-10);
            let swapped: Vec<(f64, f64)> = window.iter().map(|p| (p.1, p.0)).collect();
            let spread = |p: &[(f64, f64)]| {
                let mean = p.iter().map(|p| p.0).sum::<f64>() / p.len() as f64;
                p.iter().map(|p| (p.0 - mean).powi(2)).sum::<f64>().sqrt()
            };
            let slope = expected * spread(&swapped) / spread(window);
            assert!((found.beta.unwrap() - slope).abs() < 1e-9);
        }
        let mut still = Window::new(2);
        still.update((0.0, 1e-3));
        let unmoved = Comovement { correlation: None, beta: None };
        let found = still.update((0.0, -1e-3)).map(|moments| Comovement::from_moments(&moments));
        assert_eq!(found, Some(unmoved));
    }
}
