//! Bars to scaled features.
//!
//! ```text
//! bars of a stock ---> own::OwnFeatures ---+
//! closes of peers ---> peers::PeerFeatures +--> raw_features --> Scaler::fit --> panel_data
//! closest pairs -----> watch_pairs --------+                    (training rows)
//! ```
//!
//! All producers take in one bar at a time and are never given a later one, which a test checks for
//! the whole pipeline bit for bit. [`super::stream`] has the same producers without a grid, for
//! bars
//! as they come.

use rayon::prelude::*;

use super::own::{self, OwnFeatures};
use super::peers::{self, PeerFeatures};
use super::relations::opportunity::{self, Course, Opportunity, watch_pairs};
pub use super::scaler::Scaler;
use crate::config::FeatureConfig;
use crate::market::panel::{Grid, NO_BAR, PanelData};
use crate::market::{Bar, BarSeries};

/// The names of the features in order; the same for every stock, those of peers last. What they
/// mean stands at [`own::names`] and [`peers::NAMES`]; `arbitrage` is how dear the stock is beside
/// its nearest peer, in deviations, while the two are known to belong together, else 0.
pub fn feature_names(config: &FeatureConfig) -> Vec<String> {
    let mut names = own::names(config);
    if config.peers {
        names.extend(peers::NAMES.map(String::from));
        names.push("arbitrage".into());
    }
    names
}

/// Unscaled features `[time, stock, feature]`: causal, NaN while a window is not filled or the
/// stock has had no bar yet; where a stock has no bar at a time, its last ones carried forward.
/// `peers[i]` are the peers of stock i, nearest first.
pub fn raw_features(
    series: &[BarSeries],
    grid: &Grid,
    peers: &[Vec<usize>],
    config: &FeatureConfig,
) -> Vec<f32> {
    let (times, stocks) = (grid.end_s.len(), series.len());
    assert_eq!(stocks, grid.bar_index.len(), "one series per stock of the grid");
    assert_eq!(stocks, peers.len(), "one list of peers per stock");
    let width = feature_names(config).len();
    let log_close = carried_log_closes(series, grid);
    let courses =
        if config.peers { watch_pairs(&log_close, grid, peers, config) } else { Vec::new() };
    let mut raw = vec![0.0; times * stocks * width];
    let mut lanes: Vec<Vec<&mut [f32]>> = (0..stocks).map(|_| Vec::with_capacity(times)).collect();
    for (i, slot) in raw.chunks_exact_mut(width).enumerate() {
        lanes[i % stocks].push(slot);
    }
    lanes.into_par_iter().enumerate().for_each(|(stock, lane)| {
        let mut features = StockFeatures::new(stock, &peers[stock], config);
        let dearness = dearness(&courses, stock, &peers[stock]);
        for (row, (slot, &bar)) in lane.into_iter().zip(&grid.bar_index[stock]).enumerate() {
            if bar != NO_BAR {
                let bar = series[stock].bar(bar as usize);
                features.update(&bar, |of| log_close[of][row], dearness(row));
            }
            slot.copy_from_slice(features.latest());
        }
    });
    raw
}

/// The unscaled features of one stock, bar by bar.
pub(super) struct StockFeatures {
    own: OwnFeatures,
    related: PeerFeatures,
    own_width: usize,
    latest: Vec<f32>,
}

impl StockFeatures {
    pub fn new(stock: usize, peers: &[usize], config: &FeatureConfig) -> StockFeatures {
        StockFeatures {
            own: OwnFeatures::new(config),
            related: PeerFeatures::new(stock, peers, config.relation_bars as usize),
            own_width: own::names(config).len(),
            latest: vec![f32::NAN; feature_names(config).len()],
        }
    }

    /// Takes in the stock's next bar. `log_close` tells the last close known of each stock;
    /// `dearness` is how dear the stock is beside its nearest peer.
    pub fn update(&mut self, bar: &Bar, log_close: impl Fn(usize) -> f64, dearness: f32) {
        let (own_part, peer_part) = self.latest.split_at_mut(self.own_width);
        self.own.update(bar, own_part);
        if let Some((arbitrage, peer_part)) = peer_part.split_last_mut() {
            self.related.update(log_close, peer_part);
            *arbitrage = dearness;
        }
    }

    /// After the last bar; NaN where undefined.
    pub fn latest(&self) -> &[f32] {
        &self.latest
    }
}

/// How dear a stock is beside its nearest peer at a row, as the pair's course has it.
fn dearness<'a>(
    courses: &'a [Course],
    stock: usize,
    peers: &[usize],
) -> impl Fn(usize) -> f32 + 'a {
    let nearest = peers.first().copied();
    let course = courses.iter().find(|course| {
        nearest
            .is_some_and(|peer| (course.first, course.second) == (stock.min(peer), stock.max(peer)))
    });
    move |row| course.map_or(0.0, |course| signed(course.z_score[row], course.first == stock))
}

/// How dear a stock is, from how dear the first of its pair is.
pub(super) fn signed(z_score: f32, is_first: bool) -> f32 {
    // Adding zero turns -0 into 0.
    0.0 + if is_first { z_score } else { -z_score }
}

/// When cointegrated pairs went out of line, in the order of time; none without features of peers.
pub fn opportunities(
    series: &[BarSeries],
    grid: &Grid,
    peers: &[Vec<usize>],
    config: &FeatureConfig,
) -> Vec<Opportunity> {
    if !config.peers {
        return Vec::new();
    }
    let log_close = carried_log_closes(series, grid);
    opportunity::opportunities(watch_pairs(&log_close, grid, peers, config))
}

/// `[stock][time]`: log of the last close known; NaN before the first bar.
fn carried_log_closes(series: &[BarSeries], grid: &Grid) -> Vec<Vec<f64>> {
    let carried = |(series, index): (&BarSeries, &Vec<u32>)| {
        let mut last = f64::NAN;
        let mut log_close = |&bar: &u32| {
            if bar != NO_BAR {
                last = series.close[bar as usize].ln();
            }
            last
        };
        index.iter().map(&mut log_close).collect()
    };
    series.par_iter().zip(&grid.bar_index).map(carried).collect()
}

/// Everything a panel holds: the grid's bars, tradability (a bar, and every feature defined),
/// features scaled and clipped (0 where undefined). `raw` is scaled in place.
pub fn panel_data(
    series: &[BarSeries],
    grid: &Grid,
    mut raw: Vec<f32>,
    scaler: &Scaler,
    config: &FeatureConfig,
    note: String,
) -> PanelData {
    let (times, stocks) = (grid.end_s.len(), series.len());
    let feature_names = feature_names(config);
    let width = feature_names.len();
    assert_eq!(stocks, grid.bar_index.len(), "one series per stock of the grid");
    assert_eq!(raw.len(), times * stocks * width, "raw is [time, stock, feature]");
    assert_eq!(scaler.mean.len(), stocks * width, "the scaler is of these stocks and features");
    assert_eq!(scaler.std.len(), stocks * width, "the scaler is of these stocks and features");

    let mut tradable = vec![false; times * stocks];
    let slots = raw.par_chunks_exact_mut(width).zip(tradable.par_iter_mut()).enumerate();
    slots.with_min_len(1 << 12).for_each(|(i, (features, tradable))| {
        let (row, stock) = (i / stocks, i % stocks);
        let scale = stock * width..(stock + 1) * width;
        let (mean, std) = (&scaler.mean[scale.clone()], &scaler.std[scale]);
        let settled = scale_features(features, mean, std, config.clip_std);
        *tradable = settled && grid.bar_index[stock][row] != NO_BAR;
    });

    let mut data = PanelData {
        stocks: series.iter().map(|series| series.symbol.clone()).collect(),
        feature_names,
        end_s: grid.end_s.clone(),
        open: vec![f64::NAN; times * stocks],
        high: vec![f64::NAN; times * stocks],
        low: vec![f64::NAN; times * stocks],
        close: vec![f64::NAN; times * stocks],
        volume: vec![0.0; times * stocks],
        tradable,
        features: raw,
        note,
    };
    for (stock, (series, index)) in series.iter().zip(&grid.bar_index).enumerate() {
        write_bars(&mut data, stock, series, index);
    }
    data
}

/// Scales one stock's features in place, 0 where undefined. Returns whether all are defined.
pub(super) fn scale_features(
    features: &mut [f32],
    mean: &[f32],
    std: &[f32],
    clip_std: f32,
) -> bool {
    let mut settled = true;
    for ((feature, mean), std) in features.iter_mut().zip(mean).zip(std) {
        let scaled = (*feature - mean) / std;
        settled &= feature.is_finite();
        *feature = if feature.is_finite() { scaled.clamp(-clip_std, clip_std) } else { 0.0 };
    }
    settled
}

/// The bars of one stock, its last close carried forward over rows without one.
fn write_bars(data: &mut PanelData, stock: usize, series: &BarSeries, index: &[u32]) {
    let stocks = data.stocks.len();
    let mut last_close = f64::NAN;
    for (row, &bar) in index.iter().enumerate() {
        let slot = row * stocks + stock;
        let (mut open, mut high, mut low) = (last_close, last_close, last_close);
        if bar != NO_BAR {
            let bar = series.bar(bar as usize);
            (open, high, low, last_close) = (bar.open, bar.high, bar.low, bar.close);
            data.volume[slot] = bar.volume;
        }
        data.open[slot] = open;
        data.high[slot] = high;
        data.low[slot] = low;
        data.close[slot] = last_close;
    }
}

#[cfg(test)]
mod tests;
