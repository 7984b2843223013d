//! Random markets for the tests of this module.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::columns::Columns;
use super::pipeline::{feature_names, panel_rows};
use super::scaler::Scaler;
use crate::config::FeatureConfig;
use crate::market::panel::{Grid, NO_BAR, PanelData};
use crate::market::{Bar, BarSeries};

/// A seeded stream of random numbers.
pub(crate) struct Noise(ChaCha8Rng);

impl Noise {
    pub(crate) fn new(seed: u64) -> Noise {
        Noise(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform on [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// Standard normal (Box-Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// 2020-03-02, a Monday, 09:30 in New York. Daylight saving time begins on the following Sunday.
pub(crate) const FIRST_OPEN_S: i64 = 1_583_159_400;

/// End of bar `i`, UTC seconds, with `per_day` bars of `minutes` each on every day of the week.
pub(crate) fn bar_end_s(i: usize, per_day: usize, minutes: i64) -> i64 {
    let (day, bar) = ((i / per_day) as i64, (i % per_day) as i64);
    let daylight_saving = if day >= 6 { 3_600 } else { 0 };
    FIRST_OPEN_S + day * 86_400 - daylight_saving + (bar + 1) * minutes * 60
}

/// Random walks with a common factor; each bar is missing with probability `missing`.
pub(crate) fn random_market(
    seed: u64,
    stocks: usize,
    bars: usize,
    per_day: usize,
    missing: f64,
) -> Vec<BarSeries> {
    let mut noise = Noise::new(seed);
    let minutes = 390 / per_day as i64;
    let symbol = |i: usize| format!("S{i}").parse().expect("a symbol");
    let mut series: Vec<BarSeries> = (0..stocks).map(|i| BarSeries::new(symbol(i))).collect();
    let mut price = vec![100.0; stocks];
    for i in 0..bars {
        let factor = noise.normal();
        for stock in 0..stocks {
            let open = price[stock] * (1e-4 * noise.normal()).exp();
            let close = open * (5e-4 * (factor + noise.normal())).exp();
            price[stock] = close;
            let volume = (1_000.0 * noise.normal().exp()).round();
            if noise.uniform() >= missing {
                let (high, low) = (open.max(close) * 1.0001, open.min(close) * 0.9999);
                let end_s = bar_end_s(i, per_day, minutes);
                series[stock].push(Bar { end_s, open, high, low, close, volume });
            }
        }
    }
    series
}

/// The series with further columns of random values, half of them unknown.
pub(crate) fn with_extras(series: &BarSeries, columns: &[String], noise: &mut Noise) -> BarSeries {
    let mut with = BarSeries::new(series.symbol.clone()).with_columns(columns);
    for bar in series.bars() {
        let extras: Vec<f32> = columns
            .iter()
            .map(|_| if noise.uniform() < 0.5 { f32::NAN } else { 20.0 + noise.normal() as f32 })
            .collect();
        with.push_with(bar, &extras);
    }
    with
}

/// `[time, stock, feature]`.
pub(crate) fn table_of(columns: &Columns, grid: &Grid) -> Vec<f32> {
    let mut table = Vec::new();
    columns.rows(&columns.carried(grid, 0..grid.end_s.len()), &mut table);
    table
}

/// A whole panel from unscaled features.
pub(crate) fn panel_of(
    series: &[BarSeries],
    grid: &Grid,
    mut columns: Columns,
    scaler: &Scaler,
    config: &FeatureConfig,
) -> PanelData {
    columns.scale(&scaler.mean, &scaler.std, config.clip_std);
    let rows = panel_rows(series, grid, &columns, 0..grid.end_s.len());
    PanelData {
        stocks: series.iter().map(|series| series.symbol.clone()).collect(),
        feature_names: feature_names(config),
        end_s: rows.end_s,
        open: rows.open,
        high: rows.high,
        low: rows.low,
        close: rows.close,
        volume: rows.volume,
        tradable: rows.tradable,
        features: rows.features,
        note: "note".into(),
    }
}

/// Grid over the union of all bar times.
pub(crate) fn grid_of(series: &[BarSeries]) -> Grid {
    let times: BTreeSet<i64> = series.iter().flat_map(|s| s.end_s.iter().copied()).collect();
    let index =
        |s: &BarSeries, time: &i64| s.end_s.binary_search(time).map_or(NO_BAR, |i| i as u32);
    let bar_index = series.iter().map(|s| times.iter().map(|time| index(s, time)).collect());
    let bar_index = bar_index.collect();
    Grid { end_s: times.into_iter().collect(), bar_index }
}
