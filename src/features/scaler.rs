//! Statistics of the training period that scale features and rewards.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::columns::{Columns, StockColumns};
use crate::compute::simd_dispatch::wide;
use crate::market::BarSeries;
use crate::market::panel::{Grid, NO_BAR};

/// Statistics of the training period that scale features and rewards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// `[stock, feature]`, row-major.
    pub mean: Vec<f32>,
    /// `[stock, feature]`, never 0.
    pub std: Vec<f32>,
    /// `[stock]`: standard deviation of the simple return of the close over half an hour, or over a
    /// bar if that is longer; values are in units of it.
    pub return_std: Vec<f32>,
    /// Further columns of the day files that are among the features, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

/// Tail probability on each side beyond which values are winsorised before mean and standard
/// deviation are taken, so that one outlier does not shrink all other values.
const TAIL: f64 = 0.005;

/// A standard deviation this small relative to the mean is f32 rounding error.
const MIN_RELATIVE_STD: f64 = 1e-6;

impl Scaler {
    /// Fits on the rows `rows` only, where the stock has a bar. `raw` is unscaled; values that are
    /// not finite are skipped. `bars` are as many as make the time over which returns are measured.
    /// A constant feature gets standard deviation 1, one that is nowhere
    /// defined mean 0 and standard deviation 1, and a stock that never moves return standard
    /// deviation 1.
    pub(crate) fn fit(
        raw: &Columns,
        series: &[BarSeries],
        grid: &Grid,
        rows: Range<usize>,
        bars: f64,
    ) -> Scaler {
        assert_eq!(raw.stocks.len(), series.len(), "one series per stock");
        assert_eq!(raw.stocks.len(), grid.bar_index.len(), "one series per stock of the grid");
        assert!(rows.end <= grid.end_s.len(), "rows lie in the grid");
        let of_stock = |(columns, (series, index)): (&StockColumns, (&BarSeries, &Vec<u32>))| {
            let own = own_bars(&index[rows.clone()]);
            let scale = |column: &&[f32]| winsorised(&column[own.clone()]);
            let values: Vec<&[f32]> = columns.values().collect();
            let scales: Vec<(f32, f32)> = values.par_iter().map(scale).collect();
            (scales, return_std(&series.close[own], bars))
        };
        let stocks = raw.stocks.par_iter().zip(series.par_iter().zip(&grid.bar_index));
        let per_stock: Vec<(Vec<(f32, f32)>, f32)> = stocks.map(of_stock).collect();
        let scales = || per_stock.iter().flat_map(|(scales, _)| scales);
        Scaler {
            mean: scales().map(|scale| scale.0).collect(),
            std: scales().map(|scale| scale.1).collect(),
            return_std: per_stock.iter().map(|(_, std)| *std).collect(),
            columns: series.first().map_or(Vec::new(), |series| series.columns.clone()),
        }
    }
}

/// The stock's bars among some rows; `index` holds the bar of each row.
fn own_bars(index: &[u32]) -> Range<usize> {
    let mut own = index.iter().filter(|&&bar| bar != NO_BAR).map(|&bar| bar as usize);
    let Some(first) = own.next() else { return 0..0 };
    first..own.next_back().unwrap_or(first) + 1
}

/// Mean and population standard deviation of the winsorised finite values; (0, 1) if there are
/// none.
fn winsorised(values: &[f32]) -> (f32, f32) {
    let values = finite(values);
    if values.is_empty() {
        return (0.0, 1.0);
    }
    let (low, high) = limits(&values);
    // Sums relative to the middle between the limits lose no digits.
    let middle = (f64::from(low) + f64::from(high)) / 2.0;
    // A feature that is mostly one value has only tails: no winsorising.
    let (low, high) = if low < high { (low, high) } else { (f32::MIN, f32::MAX) };
    let count = values.len() as f64;
    let (sum, squares) = sums(&values, middle, low, high);
    let (mean, offset) = (middle + sum / count, sum / count);
    let std = (squares / count - offset * offset).max(0.0).sqrt();
    let constant = std <= MIN_RELATIVE_STD * mean.abs() || (std as f32) <= f32::MIN_POSITIVE;
    (mean as f32, if constant { 1.0 } else { std as f32 })
}

/// The finite values. Usually only the first few are not finite, so the rest is borrowed.
fn finite(values: &[f32]) -> Cow<'_, [f32]> {
    let first = values.iter().position(|value| value.is_finite()).unwrap_or(values.len());
    let rest = &values[first..];
    if all_finite(rest) {
        return Cow::Borrowed(rest);
    }
    rest.iter().copied().filter(|value| value.is_finite()).collect()
}

wide! {
    fn all_finite(values: &[f32]) -> bool {
        values.chunks(1 << 10).all(|part| part.iter().fold(true, |all, x| all & x.is_finite()))
    }
}

/// Like [`f32::clamp`], in two instructions; no value is NaN.
#[inline(always)]
fn clamped(value: f32, low: f32, high: f32) -> f32 {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

wide! {
    /// Sum and sum of squares of the clamped values minus `middle`. Several accumulators hide the
    /// latency of addition; terms are stored first so that each loop vectorises.
    fn sums(values: &[f32], middle: f64, low: f32, high: f32) -> (f64, f64) {
        const LANES: usize = 8;
        const STRETCH: usize = 64 * LANES;
        let term = |value: f32| f64::from(clamped(value, low, high)) - middle;
        let (whole, rest) = values.split_at(values.len() / LANES * LANES);
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        let mut terms = [0.0; STRETCH];
        for stretch in whole.chunks(STRETCH) {
            let terms = &mut terms[..stretch.len()];
            for (slot, &value) in terms.iter_mut().zip(stretch) {
                *slot = term(value);
            }
            for part in terms.as_chunks::<LANES>().0 {
                for i in 0..LANES {
                    sums[i] += part[i];
                }
            }
            for part in terms.as_chunks::<LANES>().0 {
                for i in 0..LANES {
                    squares[i] += part[i] * part[i];
                }
            }
        }
        let (mut sum, mut square) = (sums.iter().sum::<f64>(), squares.iter().sum::<f64>());
        for term in rest.iter().map(|&value| term(value)) {
            sum += term;
            square += term * term;
        }
        (sum, square)
    }
}

/// Quantiles at which values are winsorised.
fn limits(values: &[f32]) -> (f32, f32) {
    let tail = (values.len() as f64 * TAIL) as usize;
    let mut sample: Vec<f32> = values.iter().step_by(SAMPLED).copied().collect();
    sample.sort_unstable_by(f32::total_cmp);
    (ranked(values, tail, &sample), ranked(values, values.len() - 1 - tail, &sample))
}

/// One value in this many is sampled.
const SAMPLED: usize = 128;

/// The value of rank `rank`. A sorted sample gives an interval that contains it, with a wide
/// margin, so only few values have to be ordered. Floyd and Rivest (1975), "Expected time bounds
/// for selection", Communications of the ACM 18.
fn ranked(values: &[f32], rank: usize, sample: &[f32]) -> f32 {
    let place = rank / SAMPLED;
    let from_end = place.min(sample.len() - 1 - place);
    let margin = 2 + 4 * from_end.isqrt();
    let low = place.checked_sub(margin).map_or(f32::NEG_INFINITY, |at| sample[at]);
    let high = sample.get(place + margin).copied().unwrap_or(f32::INFINITY);
    let mut near = Vec::new();
    let mut below = sift(values, low, high, &mut near);
    if rank < below || rank >= below + near.len() {
        // The sample was not representative, as for values in long runs.
        (below, near) = (0, values.to_vec());
    }
    *near.select_nth_unstable_by(rank - below, f32::total_cmp).1
}

wide! {
    /// Counts the values below `low` and appends those from `low` to `high` to `near`.
    fn sift(values: &[f32], low: f32, high: f32, near: &mut Vec<f32>) -> usize {
        let mut below = 0;
        for stretch in values.chunks(256) {
            let (mut under, mut up_to) = (0_u32, 0_u32);
            for &value in stretch {
                under += u32::from(value < low);
                up_to += u32::from(value <= high);
            }
            below += under as usize;
            if under != up_to {
                sift_near(stretch, low, high, near);
            }
        }
        below
    }
}

/// Appends the values from `low` to `high`, of which there are few.
#[inline(always)]
fn sift_near(values: &[f32], low: f32, high: f32, near: &mut Vec<f32>) {
    let is_near = |value: f32| (value >= low) & (value <= high);
    for part in values.chunks(16) {
        if part.iter().fold(false, |any, &value| any | is_near(value)) {
            near.extend(part.iter().copied().filter(|&value| is_near(value)));
        }
    }
}

/// Standard deviation of simple returns over so many bars, if they are independent; 1 if the price
/// never moves.
fn return_std(closes: &[f64], bars: f64) -> f32 {
    let returns = || closes.windows(2).map(|pair| pair[1] / pair[0] - 1.0);
    let count = closes.len().saturating_sub(1) as f64;
    let mean = returns().sum::<f64>() / count;
    let variance = returns().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let std = (variance * bars).sqrt() as f32;
    if std > f32::MIN_POSITIVE { std } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::{Noise, grid_of, random_market};

    #[test]
    fn winsorised_moments_by_hand() {
        assert_eq!(winsorised(&[]), (0.0, 1.0));
        assert_eq!(winsorised(&[f32::NAN, f32::INFINITY]), (0.0, 1.0));
        assert_eq!(winsorised(&[0.1; 9]), (0.1, 1.0));
        assert_eq!(winsorised(&[3.0, f32::NAN, 1.0]), (2.0, 1.0));
        // Too few values for tails: mean 2, deviations 1 1 1 3.
        assert_eq!(winsorised(&[1.0, 1.0, 1.0, 5.0]), (2.0, 3f32.sqrt()));
        // Of 400 values, two on each side are winsorised.
        let values = [[-1.0, 1.0].repeat(199), vec![1e9, -1e9]].concat();
        assert_eq!(winsorised(&values), (0.0, 1.0));
        // 999 zeros and a one keep the plain standard deviation.
        let values = [vec![0.0; 999], vec![1.0]].concat();
        let (mean, std) = winsorised(&values);
        assert!((mean - 1e-3).abs() < 1e-9 && (std - 0.0316).abs() < 1e-4);
        // Deviations at the level of f32 rounding.
        assert_eq!(winsorised(&[0.1, f32::from_bits(0.1f32.to_bits() + 1)]).1, 1.0);
    }

    #[test]
    fn limits_are_those_of_sorting() {
        let mut noise = Noise::new(10);
        for count in [1, 2, 199, 200, 201, 5_000] {
            let cell = |i: usize| {
                let value = noise.normal() as f32 * if i.is_multiple_of(3) { 1e-3 } else { 1.0 };
                if i % 7 == 3 { f32::NAN } else { value }
            };
            let cells: Vec<f32> = (0..count).map(cell).collect();
            let mut values: Vec<f32> = cells.iter().copied().filter(|x| x.is_finite()).collect();
            values.sort_by(f32::total_cmp);
            let (tail, last) = (values.len() / 200, values.len() - 1);
            let sorted = (values[tail], values[last - tail]);
            assert_eq!(limits(&finite(&cells)), sorted, "{count} values");
        }
        assert_eq!(limits(&[0.0; 300]), (0.0, 0.0));
        // All sampled values are lower than the others.
        let value =
            |i: usize| (i % 1_000) as f32 - if i.is_multiple_of(64) { 2e4 + i as f32 } else { 0.0 };
        let misleading: Vec<f32> = (0..64_000).map(value).collect();
        let mut sorted = misleading.clone();
        sorted.sort_by(f32::total_cmp);
        assert_eq!(limits(&misleading), (sorted[320], sorted[63_679]));
    }

    #[test]
    fn only_the_given_rows_and_own_bars_count() {
        let series = random_market(8, 2, 300, 7, 0.3);
        let grid = grid_of(&series);
        let rows = 40..200;
        let columns = |noise: &mut Noise, wild: bool| {
            let stock = |stock: usize| {
                let index = &grid.bar_index[stock];
                let bars = (0..index.len()).filter(|&row| index[row] != NO_BAR);
                let features = bars.map(|row| {
                    let mut cell = || noise.normal() as f32;
                    let cells = [cell(), f32::NAN, if row % 2 == 0 { f32::NAN } else { cell() }];
                    if wild && !rows.contains(&row) { vec![1e9; 3] } else { cells.to_vec() }
                });
                StockColumns::from_features(index, &features.collect::<Vec<_>>())
            };
            Columns::new((0..2).map(stock).collect(), 3)
        };
        let raw = columns(&mut Noise::new(9), false);
        let scaler = Scaler::fit(&raw, &series, &grid, rows.clone(), 1.0);
        assert_eq!((scaler.mean.len(), scaler.std.len(), scaler.return_std.len()), (6, 6, 2));
        for stock in 0..2 {
            assert_eq!((scaler.mean[stock * 3 + 1], scaler.std[stock * 3 + 1]), (0.0, 1.0));
            assert!((scaler.std[stock * 3] - 1.0).abs() < 0.3);
        }
        let elsewhere = columns(&mut Noise::new(9), true);
        assert_ne!(raw, elsewhere);
        let mut later = series.clone();
        for row in (0..grid.end_s.len()).filter(|row| !rows.contains(row)) {
            for stock in 0..2 {
                let bar = grid.bar_index[stock][row];
                if bar != NO_BAR {
                    later[stock].close[bar as usize] = 1e-3;
                }
            }
        }
        assert_eq!(scaler, Scaler::fit(&elsewhere, &later, &grid, rows, 1.0));
    }

    #[test]
    fn returns_are_simple_and_from_bar_to_bar() {
        assert_eq!(own_bars(&[NO_BAR, 1, NO_BAR, 2, 3, NO_BAR]), 1..4);
        assert_eq!(own_bars(&[NO_BAR, 7]), 7..8);
        assert_eq!(own_bars(&[NO_BAR]), 0..0);
        // Returns +10 % and -10 %.
        assert!((return_std(&[100.0, 110.0, 99.0], 1.0) - 0.1).abs() < 1e-7);
        assert_eq!(return_std(&[100.0], 1.0), 1.0);
        assert_eq!(return_std(&[], 1.0), 1.0);
    }
}
