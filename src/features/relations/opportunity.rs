//! Pairs that belong together and are out of line.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cointegration::Cointegration;
use super::stream::PairNow;
use crate::config::FeatureConfig;
use crate::market::panel::{Grid, NO_BAR};

/// Deviations beyond which a pair is out of line, and within which it is back, as Gatev, Goetzmann
/// and Rouwenhorst (2006), section 2, open a trade at 2.
const ENTER: f64 = 2.0;
const EXIT: f64 = 0.5;

/// A cointegrated pair has just gone out of line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opportunity {
    /// End of the bar, UTC seconds.
    pub end_s: i64,
    pub stock: usize,
    pub peer: usize,
    /// How dear `stock` is beside `peer`, in deviations from what the tested block makes of it.
    pub z_score: f64,
    /// Log price of `stock` per log price of `peer`.
    pub hedge_ratio: f64,
    /// Of the test of the last block of bars.
    pub p_value: f64,
    /// Over the last `features.relation_bars`, see [`super::stream::PairNow`].
    pub half_life_bars: Option<f64>,
    pub correlation: Option<f64>,
    pub stock_leads: Option<f64>,
    pub peer_leads: Option<f64>,
}

/// What is found of one pair.
pub struct Course {
    pub first: usize,
    pub second: usize,
    /// `[time]`: how dear the first is beside the second, deviations; 0 while they are not known to
    /// belong together.
    pub z_score: Vec<f32>,
    pub opportunities: Vec<Opportunity>,
}

/// Every stock with its nearest peer, each pair once.
pub fn closest_pairs(peers: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let pair = |(stock, peers): (usize, &Vec<usize>)| {
        peers.first().map(|&peer| (stock.min(peer), stock.max(peer)))
    };
    let pairs: BTreeSet<_> = peers.iter().enumerate().filter_map(pair).collect();
    pairs.into_iter().collect()
}

/// Watches the closest pairs. `log_close` `[stock][time]`: the last close known.
///
/// Bars that both have are cut into blocks of `features.arbitrage_bars`. After each block all pairs
/// are tested over it ([`Cointegration`]), at `features.arbitrage_level` over their number
/// (Bonferroni): among prices that walk at random, in at most that share of blocks is any pair held
/// to belong together. What passes, with stocks that move in one direction, is believed until the
/// end of the next block, and only that block's bars are judged by it.
pub fn watch_pairs(
    log_close: &[Vec<f64>],
    grid: &Grid,
    peers: &[Vec<usize>],
    config: &FeatureConfig,
) -> Vec<Course> {
    let pairs = closest_pairs(peers);
    let watch = |&(first, second): &(usize, usize)| {
        let mut watch = PairWatch::of(config, pairs.len());
        let mut both = Vec::with_capacity(grid.end_s.len());
        let z_scores = Vec::with_capacity(grid.end_s.len());
        let mut course = Course { first, second, z_score: z_scores, opportunities: Vec::new() };
        let mut z_score = 0.0;
        for (row, &end_s) in grid.end_s.iter().enumerate() {
            if [first, second].iter().all(|&stock| grid.bar_index[stock][row] != NO_BAR) {
                let logs = (log_close[first][row], log_close[second][row]);
                both.push(logs);
                let verdict = watch.verdict;
                let (z, opened) = watch.update(logs.0, logs.1);
                z_score = z;
                if let Some(verdict) = verdict.filter(|_| opened) {
                    let now = PairNow::of(&both, config.relation_bars as usize);
                    course.opportunities.push(Opportunity {
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
            course.z_score.push(z_score as f32);
        }
        course
    };
    pairs.par_iter().map(watch).collect()
}

/// The opportunities of all closest pairs, in the order of time.
pub fn in_order(courses: Vec<Course>) -> Vec<Opportunity> {
    let mut all: Vec<_> = courses.into_iter().flat_map(|course| course.opportunities).collect();
    all.sort_by_key(|found| (found.end_s, found.stock, found.peer));
    all
}

/// One pair, bar by bar.
pub(in crate::features) struct PairWatch {
    level: f64,
    /// Of the block that is being filled.
    first: Vec<f64>,
    second: Vec<f64>,
    bars: usize,
    /// Of the last block.
    verdict: Option<Cointegration>,
    /// On which side it is out of line: -1, 0 or 1.
    side: f64,
}

impl PairWatch {
    /// Of one of so many pairs.
    pub fn of(config: &FeatureConfig, pairs: usize) -> PairWatch {
        PairWatch::new(config.arbitrage_bars as usize, config.arbitrage_level / pairs as f64)
    }

    fn new(bars: usize, level: f64) -> PairWatch {
        let empty = || Vec::with_capacity(bars);
        PairWatch { level, first: empty(), second: empty(), bars, verdict: None, side: 0.0 }
    }

    /// How far the pair is out of line by the last block's verdict, and whether it has just become
    /// so. Takes in the log closes of a bar that both have.
    pub fn update(&mut self, first: f64, second: f64) -> (f64, bool) {
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
            self.first.clear();
            self.second.clear();
        }
        (z, opened)
    }
}

/// What two blocks of log prices say, where they pass the test at this level and move in one
/// direction.
pub fn judge(first: &[f64], second: &[f64], level: f64) -> Option<Cointegration> {
    let found = Cointegration::of(first, second)?;
    (found.p_value <= level && found.hedge_ratio > 0.0).then_some(found)
}

#[cfg(test)]
mod tests;
