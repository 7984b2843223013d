//! Bars to scaled features.

use serde::{Deserialize, Serialize};

use crate::config::FeatureConfig;
use crate::market::BarSeries;
use crate::market::panel::{Grid, PanelData};

/// Statistics of the training period by which features and rewards are scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// `[stock, feature]`, row-major.
    pub mean: Vec<f32>,
    /// `[stock, feature]`, never 0.
    pub std: Vec<f32>,
    /// `[stock]`: standard deviation of the one-bar simple return of the close; the unit of rewards.
    pub return_std: Vec<f32>,
}

/// The names of the features in order; the same for every stock.
pub fn feature_names(config: &FeatureConfig) -> Vec<String> {
    let _ = config;
    todo!()
}

/// Unscaled features `[time, stock, feature]`: causal, NaN while a window is not filled or the stock has had no bar yet;
/// where a stock has no bar at a time, its last ones carried forward. `peers[i]` are the peers of stock i, nearest first.
pub fn raw_features(
    series: &[BarSeries],
    grid: &Grid,
    peers: &[Vec<usize>],
    config: &FeatureConfig,
) -> Vec<f32> {
    let _ = (series, grid, peers, config);
    todo!()
}

impl Scaler {
    /// From the rows `rows` only. `raw` is `[time, stock, feature]`.
    pub fn fit(
        raw: &[f32],
        series: &[BarSeries],
        grid: &Grid,
        rows: std::ops::Range<usize>,
    ) -> Scaler {
        let _ = (raw, series, grid, rows);
        todo!()
    }
}

/// Everything a panel holds: the grid's bars, tradability (a bar, and every feature defined), features scaled and clipped
/// (0 where undefined).
pub fn panel_data(
    series: &[BarSeries],
    grid: &Grid,
    raw: Vec<f32>,
    scaler: &Scaler,
    config: &FeatureConfig,
    note: String,
) -> PanelData {
    let _ = (series, grid, raw, scaler, config, note);
    todo!()
}
