//! From bars to scaled features.
//!
//! ```text
//! bars of a stock ---> OwnFeatures  ---+
//! closes of peers ---> PeerFeatures ---+--> raw_features --> Scaler::fit --> a panel's rows
//! closest pairs -----> monitor_pairs --+    (columns)      (training rows)
//! ```
//!
//! All stages take bars in time order, one or many at a time with the same result, and none uses a
//! later bar; a test checks this bit for bit over the whole pipeline. [`super::stream`] runs the
//! same stages without a grid, one bar at a time.

use std::ops::Range;
use std::{iter, mem, slice};

use rayon::prelude::*;

use super::bar_slice::BarSlice;
use super::columns::{Columns, StockColumns, scaled};
use super::extra_columns;
use super::own_features::{self, OwnFeatures};
use super::peers::{self, PeerFeatures};
use super::relations::opportunity::{PairSeries, PairWatch, in_order, monitor_pairs};
pub use super::scaler::Scaler;
use super::session_features;
use crate::config::FeatureConfig;
use crate::market::panel::{Grid, NO_BAR, PanelRows};
use crate::market::{Bar, BarSeries};

/// Version of the feature formulas: part of the digest of every cached panel, as the feature names
/// are. To be raised when a formula, its input or the scaling changes under the same names; a test
/// with known values fails where one changed.
pub(crate) const FORMULAS: u32 = 3;

/// Feature names in column order, the same for every stock, peer features last.
/// [`own_features::names`] and [`peers::NAMES`] define them. `arbitrage` is the z-score of the
/// stock's spread to its nearest peer while the pair tests as cointegrated, else 0; positive means
/// that the stock is rich.
pub(crate) fn feature_names(config: &FeatureConfig) -> Vec<String> {
    let mut names = own_features::names(config);
    if config.peers {
        names.extend(peers::NAMES.map(String::from));
        names.push("arbitrage".into());
    }
    names
}

/// Columns that may be undefined at a bar that can be traded, where they are 0 after scaling: a
/// stock need not wait for sessions, nor for further columns of its files.
pub(super) fn optional(config: &FeatureConfig) -> Range<usize> {
    let end = own_features::names(config).len();
    let extras = extra_columns::names(config).len();
    end - extras - session_features::names(config).len()..end
}

/// Unscaled, causal features; NaN until a window is full. `peers[i]` are the peers of stock i,
/// nearest first.
///
/// Also returns what was seen of pairs; nothing if peer features are switched off.
pub(crate) fn raw_features(
    series: &[BarSeries],
    grid: &Grid,
    peers: &[Vec<usize>],
    config: &FeatureConfig,
) -> (Columns, PairWatch) {
    assert_eq!(series.len(), grid.bar_index.len(), "one series per stock of the grid");
    assert_eq!(series.len(), peers.len(), "one list of peers per stock");
    let (width, optional) = (feature_names(config).len(), optional(config));
    let log_close = carried_log_closes(series, grid);
    let pair_series =
        if config.peers { monitor_pairs(&log_close, grid, peers, config) } else { Vec::new() };
    let of_stock = |(stock, series): (usize, &BarSeries)| {
        let mut features = StockFeatures::new(stock, &peers[stock], config);
        let mut columns = StockColumns::new(width, &grid.bar_index[stock]);
        let pair_z = pair_z(&pair_series, stock, &peers[stock]);
        for first in (0..series.len()).step_by(STRETCH) {
            let bars = first..series.len().min(first + STRETCH);
            let (rows, mut out) = columns.stretch(bars.clone());
            let carried = |&of: &usize| -> Vec<f64> {
                rows.iter().map(|&row| log_close[of][row as usize]).collect()
            };
            let logs: Vec<Vec<f64>> = features.sources.iter().map(carried).collect();
            let logs: Vec<&[f64]> = logs.iter().map(Vec::as_slice).collect();
            let pair_z = |bar: usize| pair_z(rows[bar] as usize);
            features.update(BarSlice::from_series(series, bars, logs[0]), &logs, pair_z, &mut out);
        }
        columns.settle(&optional);
        columns
    };
    let columns = series.par_iter().enumerate().map(of_stock).collect();
    (Columns::new(columns, width), in_order(pair_series))
}

/// Bars per batch: much longer than a window, and small enough for the cache.
const STRETCH: usize = 1 << 15;

/// Streaming unscaled features of one stock.
pub(super) struct StockFeatures {
    /// The stocks whose closes are needed: the stock itself, then its peers.
    sources: Vec<usize>,
    own: OwnFeatures,
    related: PeerFeatures,
    own_width: usize,
    latest: Vec<f32>,
}

impl StockFeatures {
    pub(crate) fn new(stock: usize, peers: &[usize], config: &FeatureConfig) -> StockFeatures {
        let peers = if config.peers { peers } else { &[] };
        StockFeatures {
            sources: iter::once(stock).chain(peers.iter().copied()).collect(),
            own: OwnFeatures::new(config),
            related: PeerFeatures::new(peers.len(), config.relation_bars as usize),
            own_width: own_features::names(config).len(),
            latest: vec![f32::NAN; feature_names(config).len()],
        }
    }

    /// Takes in the stock's next bars and writes one column per feature. `log_close`
    /// `[source][bar]`: last known log closes. `pair_z(bar)`: z-score of the spread to the nearest
    /// peer.
    fn update(
        &mut self,
        bars: BarSlice<'_>,
        log_close: &[&[f64]],
        pair_z: impl Fn(usize) -> f32,
        out: &mut [&mut [f32]],
    ) {
        let (own_part, peer_part) = out.split_at_mut(self.own_width);
        self.own.update(bars, own_part);
        if let Some((arbitrage, peer_part)) = peer_part.split_last_mut() {
            self.related.update(log_close, peer_part);
            for (bar, slot) in arbitrage.iter_mut().enumerate() {
                *slot = pair_z(bar);
            }
        }
    }

    /// Like [`StockFeatures::update`], for one bar and its further columns. `log_close(stock)`
    /// returns the last known log close.
    pub(super) fn update_one(
        &mut self,
        bar: &Bar,
        extras: &[f32],
        log_close: impl Fn(usize) -> f64,
        pair_z: f32,
    ) {
        let logs: Vec<f64> = self.sources.iter().map(|&of| log_close(of)).collect();
        let columns: Vec<&[f64]> = logs.iter().map(slice::from_ref).collect();
        let mut latest = mem::take(&mut self.latest);
        let mut out: Vec<&mut [f32]> = latest.iter_mut().map(slice::from_mut).collect();
        self.update(BarSlice::from_bar(bar, &logs[0], extras), &columns, |_| pair_z, &mut out);
        self.latest = latest;
    }

    /// Features of the last bar given to [`StockFeatures::update_one`]; NaN where undefined.
    pub(crate) fn latest(&self) -> &[f32] {
        &self.latest
    }
}

/// By row: z-score of the spread between a stock and its nearest peer, positive if the stock is
/// rich.
fn pair_z<'a>(
    pair_series: &'a [PairSeries],
    stock: usize,
    peers: &[usize],
) -> impl Fn(usize) -> f32 + 'a {
    let nearest = peers.first().copied();
    let pair_series = pair_series.iter().find(|pair_series| {
        nearest.is_some_and(|peer| {
            (pair_series.first, pair_series.second) == (stock.min(peer), stock.max(peer))
        })
    });
    move |row| {
        pair_series
            .map_or(0.0, |pair_series| signed(pair_series.z_score[row], pair_series.first == stock))
    }
}

/// z-score from the stock's point of view; `z_score` is from that of the pair's first stock.
pub(super) fn signed(z_score: f32, is_first: bool) -> f32 {
    // Adding zero turns -0 into 0.
    0.0 + if is_first { z_score } else { -z_score }
}

/// `[stock][time]`: last known log close; NaN before the first bar.
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

/// Panel rows from scaled features, for the given rows of the grid.
pub(crate) fn panel_rows(
    series: &[BarSeries],
    grid: &Grid,
    columns: &Columns,
    rows: Range<usize>,
) -> PanelRows {
    assert_eq!(series.len(), grid.bar_index.len(), "one series per stock of the grid");
    let stocks = series.len();
    let cells = || vec![f64::NAN; rows.len() * stocks];
    let mut out = PanelRows {
        end_s: grid.end_s[rows.clone()].to_vec(),
        open: cells(),
        high: cells(),
        low: cells(),
        close: cells(),
        volume: vec![0.0; rows.len() * stocks],
        tradable: vec![false; rows.len() * stocks],
        features: Vec::new(),
    };
    let carried = columns.carried(grid, rows.clone());
    columns.rows(&carried, &mut out.features);
    for (stock, (series, carried)) in series.iter().zip(&carried).enumerate() {
        let index = &grid.bar_index[stock][rows.clone()];
        for (row, (&bar, &last)) in index.iter().zip(carried).enumerate() {
            let Some(&close) = series.close.get(last as usize) else { continue };
            let (cell, bar) = (row * stocks + stock, bar as usize);
            let has_bar = index[row] != NO_BAR;
            let price = |column: &[f64]| if has_bar { column[bar] } else { close };
            out.open[cell] = price(&series.open);
            out.high[cell] = price(&series.high);
            out.low[cell] = price(&series.low);
            out.close[cell] = close;
            if has_bar {
                out.volume[cell] = series.volume[bar];
                out.tradable[cell] = columns.settled(stock, bar);
            }
        }
    }
    out
}

/// Scales one stock's features in place, undefined ones to 0. Returns whether all were defined but
/// for the [`optional`] ones.
pub(super) fn scale_features(
    features: &mut [f32],
    mean: &[f32],
    std: &[f32],
    clip_std: f32,
    optional: &Range<usize>,
) -> bool {
    let mut settled = true;
    for (i, ((feature, mean), std)) in features.iter_mut().zip(mean).zip(std).enumerate() {
        settled &= feature.is_finite() || optional.contains(&i);
        *feature = scaled(*feature, *mean, *std, clip_std);
    }
    settled
}

#[cfg(test)]
mod tests;
