//! Cointegrated pairs whose spread has diverged.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cointegration::Cointegration;
use super::stream::PairRelation;
use crate::config::FeatureConfig;
use crate::market::panel::{Grid, NO_BAR};

/// A pair diverges beyond `ENTER` standard deviations and has converged within `EXIT`. Gatev,
/// Goetzmann and Rouwenhorst (2006), section 2, open a trade at 2.
const ENTER: f64 = 2.0;
const EXIT: f64 = 0.5;

/// A cointegrated pair has just diverged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opportunity {
    /// End of the bar, UTC seconds.
    pub end_s: i64,
    /// Index of the stock whose price is measured.
    pub stock: usize,
    /// Index of the stock that it is measured against.
    pub peer: usize,
    /// Spread of `stock` over `peer` in standard deviations, under the regression of the last
    /// tested block; positive where `stock` is rich.
    pub z_score: f64,
    /// Log price of `stock` per log price of `peer`.
    pub hedge_ratio: f64,
    /// p-value of the cointegration test over the last block.
    pub p_value: f64,
    /// Half-life of a deviation of the log price ratio, bars; None if it does not revert. Measured
    /// over the last `features.relation_bars`, as the correlations are.
    pub half_life_bars: Option<f64>,
    /// Correlation of the two stocks' returns.
    pub correlation: Option<f64>,
    /// Correlation of the peer's return with the stock's one bar before.
    pub stock_leads: Option<f64>,
    /// Correlation of the stock's return with the peer's one bar before.
    pub peer_leads: Option<f64>,
}

/// How often pairs were tested for cointegration, and how often they passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairTests {
    /// Pairs that were watched: every stock with its nearest peer.
    pub pairs: u64,
    /// Whole blocks of `features.arbitrage_bars` bars, over all pairs.
    pub tests: u64,
    /// Of these, those after which the pair counted as cointegrated.
    pub passed: u64,
}

/// What was seen of all watched pairs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PairWatch {
    /// In the order of time.
    pub(crate) opportunities: Vec<Opportunity>,
    pub(crate) tests: PairTests,
}

/// History of one pair.
pub(crate) struct PairSeries {
    pub(crate) first: usize,
    pub(crate) second: usize,
    /// `[time]`: z-score of the spread of `first` over `second`; 0 while the pair does not test as
    /// cointegrated.
    pub(crate) z_score: Vec<f32>,
    pub(crate) opportunities: Vec<Opportunity>,
    /// Blocks that were tested, and that passed.
    pub(crate) tests: [u64; 2],
}

/// Every stock with its nearest peer, each pair once, in ascending order.
pub(crate) fn closest_pairs(peers: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let pair = |(stock, peers): (usize, &Vec<usize>)| {
        peers.first().map(|&peer| (stock.min(peer), stock.max(peer)))
    };
    let pairs: BTreeSet<_> = peers.iter().enumerate().filter_map(pair).collect();
    pairs.into_iter().collect()
}

/// Watches the closest pairs. `log_close` `[stock][time]`: last known log close.
///
/// Bars that both stocks have are cut into blocks of `features.arbitrage_bars`. After each block
/// every pair is tested over it ([`Cointegration`]) at `features.arbitrage_level` divided by the
/// number of pairs (Bonferroni), so among independent random walks at most that share of blocks has
/// a false positive. A pair that passes with a positive hedge ratio counts as cointegrated through
/// the next block, and its z-scores there use the tested block's regression.
pub(crate) fn monitor_pairs(
    log_close: &[Vec<f64>],
    grid: &Grid,
    peers: &[Vec<usize>],
    config: &FeatureConfig,
) -> Vec<PairSeries> {
    let pairs = closest_pairs(peers);
    let watch = |&(first, second): &(usize, usize)| {
        let mut watch = PairMonitor::from_config(config, pairs.len());
        let mut both = Vec::with_capacity(grid.end_s.len());
        let z_scores = Vec::with_capacity(grid.end_s.len());
        let mut pair_series = PairSeries {
            first,
            second,
            z_score: z_scores,
            opportunities: Vec::new(),
            tests: [0; 2],
        };
        let mut z_score = 0.0;
        for (row, &end_s) in grid.end_s.iter().enumerate() {
            if [first, second].iter().all(|&stock| grid.bar_index[stock][row] != NO_BAR) {
                let logs = (log_close[first][row], log_close[second][row]);
                both.push(logs);
                let verdict = watch.verdict;
                let (z, opened) = watch.update(logs.0, logs.1);
                z_score = z;
                if let Some(verdict) = verdict.filter(|_| opened) {
                    let now = PairRelation::measure(&both, config.relation_bars as usize);
                    pair_series.opportunities.push(Opportunity {
                        end_s,
                        stock: first,
                        peer: second,
                        z_score,
                        hedge_ratio: verdict.hedge_ratio,
                        p_value: verdict.p_value,
                        half_life_bars: now.and_then(|now| now.half_life_bars),
                        correlation: now.and_then(|now| now.correlation),
                        stock_leads: now.and_then(|now| now.first_leads),
                        peer_leads: now.and_then(|now| now.second_leads),
                    });
                }
            }
            pair_series.z_score.push(z_score as f32);
        }
        pair_series.tests = watch.tests;
        pair_series
    };
    pairs.par_iter().map(watch).collect()
}

/// Of all pairs together, in time order.
pub(crate) fn in_order(pair_series: Vec<PairSeries>) -> PairWatch {
    let sum = |of: usize| pair_series.iter().map(|pair_series| pair_series.tests[of]).sum();
    let tests = PairTests { pairs: pair_series.len() as u64, tests: sum(0), passed: sum(1) };
    let mut opportunities: Vec<_> =
        pair_series.into_iter().flat_map(|pair_series| pair_series.opportunities).collect();
    opportunities.sort_by_key(|found| (found.end_s, found.stock, found.peer));
    PairWatch { opportunities, tests }
}

/// Streaming state of one pair.
pub(in crate::features) struct PairMonitor {
    level: f64,
    /// Log closes of the current block.
    first: Vec<f64>,
    second: Vec<f64>,
    bars: usize,
    /// Test of the last block; None if it did not pass.
    verdict: Option<Cointegration>,
    /// Side on which the pair has diverged: -1, 1, or 0 if it has not.
    side: f64,
    /// Blocks that were tested, and that passed.
    tests: [u64; 2],
}

impl PairMonitor {
    /// State of one of `pairs` watched pairs.
    pub(crate) fn from_config(config: &FeatureConfig, pairs: usize) -> PairMonitor {
        PairMonitor::new(config.arbitrage_bars as usize, config.arbitrage_level / pairs as f64)
    }

    fn new(bars: usize, level: f64) -> PairMonitor {
        let empty = || Vec::with_capacity(bars);
        PairMonitor {
            level,
            first: empty(),
            second: empty(),
            bars,
            verdict: None,
            side: 0.0,
            tests: [0; 2],
        }
    }

    /// Takes in the log closes of a bar that both stocks have. Returns the z-score under the last
    /// block's regression, and whether the pair has just diverged.
    pub(crate) fn update(&mut self, first: f64, second: f64) -> (f64, bool) {
        let z = self.verdict.map_or(0.0, |verdict| verdict.z_score(first, second));
        let opened = z.abs() >= ENTER && z.signum() != self.side;
        if opened {
            self.side = z.signum();
        } else if z.abs() <= EXIT || z.signum() != self.side {
            self.side = 0.0;
        }
        self.first.push(first);
        self.second.push(second);
        if self.first.len() == self.bars {
            self.verdict = judge(&self.first, &self.second, self.level);
            self.tests[0] += 1;
            self.tests[1] += u64::from(self.verdict.is_some());
            self.first.clear();
            self.second.clear();
        }
        (z, opened)
    }
}

/// Tests one block of log prices. None unless the test passes at this level with a positive hedge
/// ratio.
pub(crate) fn judge(first: &[f64], second: &[f64], level: f64) -> Option<Cointegration> {
    let found = Cointegration::fit(first, second)?;
    (found.p_value <= level && found.hedge_ratio > 0.0).then_some(found)
}

#[cfg(test)]
mod tests;
