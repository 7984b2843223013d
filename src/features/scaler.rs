//! Statistics of the training period by which features and rewards are scaled.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::market::BarSeries;
use crate::market::panel::{Grid, NO_BAR};

/// Statistics of the training period by which features and rewards are scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// `[stock, feature]`, row-major.
    pub mean: Vec<f32>,
    /// `[stock, feature]`, never 0.
    pub std: Vec<f32>,
    /// `[stock]`: standard deviation of the one-bar simple return of the close; the unit of
    /// rewards.
    pub return_std: Vec<f32>,
}

/// Values beyond these quantiles, one on each side, are moved to them before means and deviations
/// are taken (winsorising): one wild bar must not shrink all others.
const TAIL: f64 = 0.005;

/// A deviation this small beside the mean is the rounding of an f32.
const LEAST_RELATIVE_STD: f64 = 1e-6;

impl Scaler {
    /// From the rows `rows` only, those in which the stock has a bar. `raw` is `[time, stock,
    /// feature]`; values that are not finite are left out. A feature that is constant there has
    /// standard deviation 1, one that is nowhere defined mean 0 and standard deviation 1; so has
    /// the return of a stock that never moves.
    pub fn fit(
        raw: &[f32],
        series: &[BarSeries],
        grid: &Grid,
        rows: std::ops::Range<usize>,
    ) -> Scaler {
        let (times, stocks) = (grid.end_s.len(), series.len());
        assert_eq!(stocks, grid.bar_index.len(), "one series per stock of the grid");
        assert!(rows.end <= times, "rows lie in the grid");
        let width = raw.len().checked_div(times * stocks).unwrap_or(0);
        assert_eq!(raw.len(), times * stocks * width, "raw is [time, stock, feature]");
        let per_stock: Vec<(Vec<(f32, f32)>, f32)> = (0..stocks)
            .into_par_iter()
            .map(|stock| {
                let index = &grid.bar_index[stock];
                let mut columns = vec![Vec::with_capacity(rows.len()); width];
                for row in rows.clone().filter(|&row| index[row] != NO_BAR) {
                    let first = (row * stocks + stock) * width;
                    for (column, &value) in columns.iter_mut().zip(&raw[first..first + width]) {
                        if value.is_finite() {
                            column.push(value);
                        }
                    }
                }
                let scales = columns.iter_mut().map(|column| winsorised(column)).collect();
                (scales, return_std(&series[stock], &index[rows.clone()]))
            })
            .collect();
        let scales = || per_stock.iter().flat_map(|(scales, _)| scales);
        Scaler {
            mean: scales().map(|scale| scale.0).collect(),
            std: scales().map(|scale| scale.1).collect(),
            return_std: per_stock.iter().map(|(_, std)| *std).collect(),
        }
    }
}

/// Mean and population standard deviation of the winsorised values, which are put in another order.
fn winsorised(values: &mut [f32]) -> (f32, f32) {
    if values.is_empty() {
        return (0.0, 1.0);
    }
    let tail = (values.len() as f64 * TAIL) as usize;
    let opposite = values.len() - 1 - tail;
    let low = *values.select_nth_unstable_by(tail, f32::total_cmp).1;
    let high = *values.select_nth_unstable_by(opposite, f32::total_cmp).1;
    // A feature that is mostly one value is nothing but tails.
    let (low, high) = if low < high { (low, high) } else { (f32::MIN, f32::MAX) };
    let count = values.len() as f64;
    let clamped = || values.iter().map(|value| f64::from(value.clamp(low, high)));
    let mean = clamped().sum::<f64>() / count;
    let std = (clamped().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let constant = std <= LEAST_RELATIVE_STD * mean.abs() || (std as f32) <= f32::MIN_POSITIVE;
    (mean as f32, if constant { 1.0 } else { std as f32 })
}

/// Of the returns from bar to bar, both among `index`.
fn return_std(series: &BarSeries, index: &[u32]) -> f32 {
    let closes = index.iter().filter(|&&bar| bar != NO_BAR).map(|&bar| series.close[bar as usize]);
    let closes: Vec<f64> = closes.collect();
    let returns = || closes.windows(2).map(|pair| pair[1] / pair[0] - 1.0);
    let count = closes.len().saturating_sub(1) as f64;
    let mean = returns().sum::<f64>() / count;
    let variance = returns().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let std = variance.sqrt() as f32;
    if std > f32::MIN_POSITIVE { std } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::{Noise, grid_of, random_market};

    #[test]
    fn winsorised_moments_by_hand() {
        assert_eq!(winsorised(&mut []), (0.0, 1.0));
        assert_eq!(winsorised(&mut [0.1; 9]), (0.1, 1.0));
        assert_eq!(winsorised(&mut [3.0, 1.0]), (2.0, 1.0));
        // Too few values to have tails: mean 2, deviations 1 1 1 3.
        assert_eq!(winsorised(&mut [1.0, 1.0, 1.0, 5.0]), (2.0, 3f32.sqrt()));
        // Of 400 values two go on each side.
        let mut values = [[-1.0, 1.0].repeat(199), vec![1e9, -1e9]].concat();
        assert_eq!(winsorised(&mut values), (0.0, 1.0));
        // 999 zeros and a one keep the deviation of the whole.
        let mut values = [vec![0.0; 999], vec![1.0]].concat();
        let (mean, std) = winsorised(&mut values);
        assert!((mean - 1e-3).abs() < 1e-9 && (std - 0.0316).abs() < 1e-4);
        // Deviations that an f32 cannot tell apart from rounding.
        assert_eq!(winsorised(&mut [0.1, f32::from_bits(0.1f32.to_bits() + 1)]).1, 1.0);
    }

    #[test]
    fn only_the_given_rows_and_own_bars_count() {
        let series = random_market(8, 2, 300, 7, 0.3);
        let grid = grid_of(&series);
        let rows = 40..200;
        let mut noise = Noise::new(9);
        let times = grid.end_s.len();
        let mut raw: Vec<f32> = (0..times * 2 * 3).map(|_| noise.normal() as f32).collect();
        for row in 0..times {
            for stock in 0..2 {
                let first = (row * 2 + stock) * 3;
                raw[first + 1] = f32::NAN;
                if row % 2 == 0 {
                    raw[first + 2] = f32::NAN;
                }
            }
        }
        let scaler = Scaler::fit(&raw, &series, &grid, rows.clone());
        assert_eq!((scaler.mean.len(), scaler.std.len(), scaler.return_std.len()), (6, 6, 2));
        for stock in 0..2 {
            assert_eq!((scaler.mean[stock * 3 + 1], scaler.std[stock * 3 + 1]), (0.0, 1.0));
            assert!((scaler.std[stock * 3] - 1.0).abs() < 0.3);
        }
        let mut elsewhere = raw.clone();
        let mut later = series.clone();
        for row in 0..times {
            for stock in 0..2 {
                let bar = grid.bar_index[stock][row];
                if !rows.contains(&row) || bar == NO_BAR {
                    elsewhere[(row * 2 + stock) * 3..][..3].fill(1e9);
                }
                if !rows.contains(&row) && bar != NO_BAR {
                    later[stock].close[bar as usize] = 1e-3;
                }
            }
        }
        assert_eq!(scaler, Scaler::fit(&elsewhere, &later, &grid, rows));
    }

    #[test]
    fn returns_are_simple_and_from_bar_to_bar() {
        let mut series = BarSeries::new("A".parse().unwrap());
        series.close = vec![7.0, 100.0, 110.0, 99.0, 5.0];
        // Returns +10 % and -10 %.
        assert!((return_std(&series, &[1, NO_BAR, 2, 3]) - 0.1).abs() < 1e-7);
        assert_eq!(return_std(&series, &[1]), 1.0);
        assert_eq!(return_std(&series, &[NO_BAR]), 1.0);
        assert_eq!(return_std(&series, &[]), 1.0);
    }
}
