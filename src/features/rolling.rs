//! Rolling window statistics without drift.
//!
//! Sums that add each new value and subtract each old one lose digits on long series. [`Window`]
//! never subtracts: it joins a summary of the newer part of the window with a stored summary of the
//! older part, like the two-stack queue of Tangwongsan et al. (2015), "General incremental
//! sliding-window aggregation".

mod blocks;

use blocks::CountedAccumulator;

/// A summary of values to which one more can be added, and which can be joined with another
/// summary.
pub(crate) trait Accumulator: Copy + Default {
    type Value: Copy;

    fn push(&mut self, value: Self::Value);

    /// The summary of both sets of values.
    fn join(self, other: Self) -> Self;
}

/// Count, mean and sum of squared deviations. Welford (1962); joined by Chan et al. (1979),
/// equations 1.5.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    deviation: f64,
}

impl Moments {
    #[inline(always)]
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// Population variance; exactly 0 for equal values.
    #[inline(always)]
    pub(crate) fn variance(&self) -> f64 {
        self.deviation / self.count
    }

    /// Population standard deviation.
    #[inline(always)]
    pub(crate) fn std(&self) -> f64 {
        self.variance().sqrt()
    }

    #[inline(always)]
    pub(crate) fn root_mean_square(&self) -> f64 {
        (self.variance() + self.mean * self.mean).sqrt()
    }

    /// z-score of `value`; 0 if the standard deviation is at most `least_std`.
    #[inline(always)]
    pub(crate) fn z_score(&self, value: f64, least_std: f64) -> f64 {
        let std = self.std();
        if std > least_std { (value - self.mean) / std } else { 0.0 }
    }
}

impl Accumulator for Moments {
    type Value = f64;

    #[inline(always)]
    fn push(&mut self, value: f64) {
        let before = value - self.mean;
        self.count += 1.0;
        self.mean += before / self.count;
        self.deviation += before * (value - self.mean);
    }

    #[inline(always)]
    fn join(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        let share = other.count / count;
        Moments {
            count,
            mean: self.mean + delta * share,
            deviation: self.deviation + other.deviation + delta * delta * self.count * share,
        }
    }
}

impl CountedAccumulator<2> for Moments {
    #[inline(always)]
    fn numbers(self) -> [f64; 2] {
        [self.mean, self.deviation]
    }

    #[inline(always)]
    fn counted(count: f64, [mean, deviation]: [f64; 2]) -> Moments {
        Moments { count, mean, deviation }
    }
}

/// Maximum and minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extremes {
    highest: f64,
    lowest: f64,
}

impl Extremes {
    pub(crate) fn highest(&self) -> f64 {
        self.highest
    }

    pub(crate) fn lowest(&self) -> f64 {
        self.lowest
    }
}

/// The extremes of no values.
impl Default for Extremes {
    fn default() -> Extremes {
        Extremes { highest: f64::NEG_INFINITY, lowest: f64::INFINITY }
    }
}

impl Accumulator for Extremes {
    type Value = f64;

    #[inline(always)]
    fn push(&mut self, value: f64) {
        self.highest = self.highest.max(value);
        self.lowest = self.lowest.min(value);
    }

    #[inline(always)]
    fn join(self, other: Extremes) -> Extremes {
        Extremes { highest: self.highest.max(other.highest), lowest: self.lowest.min(other.lowest) }
    }
}

/// Moments of pairs (x, y), joined like [`Moments`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PairMoments {
    count: f64,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl PairMoments {
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// Population variance of x.
    #[inline(always)]
    pub(crate) fn variance_x(&self) -> f64 {
        self.xx / self.count
    }

    /// Population variance of y.
    #[inline(always)]
    pub(crate) fn variance_y(&self) -> f64 {
        self.yy / self.count
    }

    /// Population covariance.
    #[inline(always)]
    pub(crate) fn covariance(&self) -> f64 {
        self.xy / self.count
    }
}

impl Accumulator for PairMoments {
    type Value = (f64, f64);

    #[inline(always)]
    fn push(&mut self, (x, y): (f64, f64)) {
        let (before_x, before_y) = (x - self.mean_x, y - self.mean_y);
        self.count += 1.0;
        self.mean_x += before_x / self.count;
        self.mean_y += before_y / self.count;
        self.xx += before_x * (x - self.mean_x);
        self.xy += before_x * (y - self.mean_y);
        self.yy += before_y * (y - self.mean_y);
    }

    #[inline(always)]
    fn join(self, other: PairMoments) -> PairMoments {
        let count = self.count + other.count;
        let (delta_x, delta_y) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let share = other.count / count;
        let weight = self.count * share;
        PairMoments {
            count,
            mean_x: self.mean_x + delta_x * share,
            mean_y: self.mean_y + delta_y * share,
            xx: self.xx + other.xx + delta_x * delta_x * weight,
            xy: self.xy + other.xy + delta_x * delta_y * weight,
            yy: self.yy + other.yy + delta_y * delta_y * weight,
        }
    }
}

impl CountedAccumulator<5> for PairMoments {
    #[inline(always)]
    fn numbers(self) -> [f64; 5] {
        [self.mean_x, self.mean_y, self.xx, self.xy, self.yy]
    }

    #[inline(always)]
    fn counted(count: f64, [mean_x, mean_y, xx, xy, yy]: [f64; 5]) -> PairMoments {
        PairMoments { count, mean_x, mean_y, xx, xy, yy }
    }
}

/// Summary of the last `length` values. Work per value is constant on average: values are cut into
/// blocks of `length`, and the suffixes of a block are summarised once, when it is full.
#[derive(Clone, Debug)]
pub(crate) struct Window<S: Accumulator> {
    length: usize,
    /// Values of the current block, and their summary in `prefix`.
    block: Vec<S::Value>,
    prefix: S,
    /// `suffixes[i]`: summary of the previous block from value i to its end. Empty during the first
    /// block.
    suffixes: Vec<S>,
}

impl<S: Accumulator> Window<S> {
    pub(crate) fn new(length: usize) -> Window<S> {
        assert!(length > 0, "a window holds at least one value");
        let block = Vec::with_capacity(length);
        Window { length, block, prefix: S::default(), suffixes: Vec::new() }
    }

    /// Summary of the last `length` values including this one; None until there are `length`
    /// values.
    pub(crate) fn update(&mut self, value: S::Value) -> Option<S> {
        self.block.push(value);
        self.prefix.push(value);
        let filled = self.block.len();
        if filled < self.length {
            return self.suffixes.get(filled).map(|older| older.join(self.prefix));
        }
        let full = std::mem::take(&mut self.prefix);
        self.suffixes.resize(self.length, S::default());
        let mut suffix = S::default();
        for (i, value) in self.block.drain(..).enumerate().rev() {
            suffix.push(value);
            self.suffixes[i] = suffix;
        }
        Some(full)
    }
}

/// What [`Window::update`] returns for the last of `count` values, equal to the last bit, computed
/// from the values alone. Use it if the series is stored and a summary is rarely needed.
pub(crate) fn last_window<S: Accumulator>(
    length: usize,
    count: usize,
    value: impl Fn(usize) -> S::Value,
) -> Option<S> {
    if count < length {
        return None;
    }
    let summary = |order: &mut dyn Iterator<Item = usize>| {
        let mut summary = S::default();
        order.for_each(|i| summary.push(value(i)));
        summary
    };
    let filled = count % length;
    if filled == 0 {
        return Some(summary(&mut (count - length..count)));
    }
    let block = count - filled;
    let older = summary(&mut (count - length..block).rev());
    Some(older.join(summary(&mut (block..count))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::Noise;

    fn naive(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    #[test]
    fn windows_slide_by_one_value() {
        for length in [1, 2, 3, 7] {
            let mut window = Window::<Moments>::new(length);
            let values: Vec<f64> = (0..40).map(|i| ((i * i) % 11) as f64).collect();
            for t in 0..values.len() {
                let summary = window.update(values[t]);
                if t + 1 < length {
                    assert_eq!(summary, None);
                    continue;
                }
                let (mean, std) = naive(&values[t + 1 - length..=t]);
                let summary = summary.unwrap();
                assert!((summary.mean() - mean).abs() < 1e-12, "length {length}, t {t}");
                assert!((summary.std() - std).abs() < 1e-12, "length {length}, t {t}");
            }
        }
    }

    /// Prices near 500 that move by thousandths, after a spike to five million: plain rolling sums
    /// lose these moves.
    #[test]
    fn nothing_drifts_on_long_series_of_tiny_moves() {
        let mut noise = Noise::new(5);
        let mut window = Window::<Moments>::new(20);
        let mut values = Vec::new();
        let mut last = None;
        let (mut plain_sum, mut plain_squares) = (0.0, 0.0);
        for t in 0..200_000 {
            let spike = if t == 100_000 { 5e6 } else { 0.0 };
            values.push(500.0 + spike + 0.001 * noise.normal());
            last = window.update(values[t]);
            let leaves = if t < 20 { 0.0 } else { values[t - 20] };
            plain_sum += values[t] - leaves;
            plain_squares += values[t] * values[t] - leaves * leaves;
        }
        let (mean, std) = naive(&values[values.len() - 20..]);
        let last = last.unwrap();
        assert!((last.mean() / mean - 1.0).abs() < 1e-14);
        assert!((last.std() / std - 1.0).abs() < 1e-9, "{} against {std}", last.std());
        let plain_variance = plain_squares / 20.0 - (plain_sum / 20.0).powi(2);
        assert!((plain_variance - std * std).abs() > std * std, "the series is a hard one");
    }

    /// Batches of all sizes, so that they split blocks at every position.
    #[test]
    fn many_values_at_once_are_as_one_by_one_bit_for_bit() {
        let mut noise = Noise::new(8);
        let values: Vec<(f64, f64)> = (0..3_000).map(|_| (noise.normal(), 5e3)).collect();
        let values: Vec<(f64, f64)> =
            values.iter().map(|&(x, level)| (level + x, x * noise.normal())).collect();
        for length in [1, 2, 7, 30, 120] {
            let (mut window, mut run) = (Window::<Moments>::new(length), Window::new(length));
            let (mut pairs, mut run_pairs) =
                (Window::<PairMoments>::new(length), Window::new(length));
            let mut done = 0;
            while done < values.len() {
                let count = 1 + (noise.uniform().powi(4) * 3_000.0) as usize;
                let here = &values[done..values.len().min(done + count)];
                let firsts: Vec<f64> = here.iter().map(|pair| pair.0).collect();
                let [mut z, mut beta, mut level] = [(); 3].map(|()| vec![0.0; here.len()]);
                run.run(&firsts, |m: Moments, x| [m.z_score(x, 0.0)], [&mut z]);
                let read = |m: PairMoments, (x, y)| [m.covariance() / m.variance_x(), x * y];
                run_pairs.run(here, read, [&mut beta, &mut level]);
                for (i, &pair) in here.iter().enumerate() {
                    let one = window.update(pair.0).map_or(f64::NAN, |m| m.z_score(pair.0, 0.0));
                    let two = pairs.update(pair).map_or([f64::NAN; 2], |m| read(m, pair));
                    let found = [z[i], beta[i], level[i]].map(f64::to_bits);
                    let expected = [one, two[0], two[1]].map(f64::to_bits);
                    assert_eq!(found, expected, "length {length}, value {}", done + i);
                }
                done += here.len();
            }
        }
    }

    #[test]
    fn the_last_window_is_that_of_the_stream_bit_for_bit() {
        let mut noise = Noise::new(7);
        let values: Vec<f64> = (0..50).map(|_| noise.normal()).collect();
        for length in [1, 2, 7, 12] {
            let mut window = Window::<Moments>::new(length);
            for (t, &value) in values.iter().enumerate() {
                let streamed = window.update(value);
                assert_eq!(last_window(length, t + 1, |i| values[i]), streamed, "{length}, {t}");
            }
        }
    }

    #[test]
    fn equal_values_have_no_deviation_at_all() {
        let mut window = Window::<Moments>::new(7);
        for t in 0..50 {
            let summary = window.update(if t < 5 { 3.7 } else { 100.1 });
            if t >= 12 {
                assert_eq!(summary.unwrap().std(), 0.0);
                assert_eq!(summary.unwrap().mean(), 100.1);
            }
        }
    }

    #[test]
    fn pairs_match_the_definition() {
        let mut noise = Noise::new(6);
        let pairs: Vec<(f64, f64)> = (0..200).map(|_| (noise.normal(), noise.normal())).collect();
        let mut window = Window::<PairMoments>::new(30);
        for t in 0..pairs.len() {
            let Some(found) = window.update(pairs[t]) else { continue };
            let tail = &pairs[t - 29..=t];
            let mean = |f: fn(&(f64, f64)) -> f64| tail.iter().map(f).sum::<f64>() / 30.0;
            let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
            assert!((found.covariance() - (mean(|p| p.0 * p.1) - mean_x * mean_y)).abs() < 1e-12);
            assert!((found.variance_x() - (mean(|p| p.0 * p.0) - mean_x * mean_x)).abs() < 1e-12);
            assert!((found.variance_y() - (mean(|p| p.1 * p.1) - mean_y * mean_y)).abs() < 1e-12);
        }
    }
}
