//! The stationary bootstrap: confidence intervals for statistics of dependent returns.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Central interval of a statistic over stationary-bootstrap resamples of `series`. Blocks have a
/// geometric length with mean `block` and uniform starts, and wrap around the end. Politis & Romano
/// (1994), "The stationary bootstrap", JASA 89, section 2; percentile method with probability
/// `tail` on each side.
///
/// None if the statistic is undefined in a tenth of the resamples or more.
pub(crate) fn interval(
    series: &[f64],
    statistic: impl Fn(&[f64]) -> Option<f64>,
    block: f64,
    tail: f64,
    resamples: usize,
    rng: &mut ChaCha8Rng,
) -> Option<(f64, f64)> {
    let mut sample = vec![0.0; series.len()];
    let mut found = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        resample(series, block, rng, &mut sample);
        found.extend(statistic(&sample));
    }
    if found.len() * 10 <= resamples * 9 {
        return None;
    }
    found.sort_unstable_by(f64::total_cmp);
    Some((quantile(&found, tail), quantile(&found, 1.0 - tail)))
}

/// Resamples whose random draws are generated at a time.
const DRAWN: usize = 128;

/// [`interval`] for several series of equal length, each with its own mean block length, all from
/// the same draws. Drawing takes most of the time, and shared draws make the intervals comparable.
pub(crate) fn intervals(
    series: &[(&[f64], f64)],
    statistic: impl Fn(&[f64]) -> Option<f64> + Sync,
    tail: f64,
    resamples: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Option<(f64, f64)>> {
    let n = series.first().map_or(0, |(values, _)| values.len());
    assert!(series.iter().all(|(values, _)| values.len() == n), "series of one length");
    let mut found = vec![Vec::with_capacity(resamples); series.len()];
    if n == 0 {
        return vec![None; series.len()];
    }
    let mut draws: Vec<(f32, u32)> = Vec::new();
    for first in (0..resamples).step_by(DRAWN) {
        let count = DRAWN.min(resamples - first) * n;
        draws.clear();
        draws.extend((0..count).map(|_| (rng.random(), rng.random_range(0..n as u32))));
        found.par_iter_mut().zip(series).for_each(|(found, (values, block))| {
            let restart = (1.0 / block.max(1.0)) as f32;
            let mut sample = vec![0.0; n];
            for draws in draws.chunks_exact(n) {
                let mut i = draws[0].1 as usize;
                for (value, &(uniform, start)) in sample.iter_mut().zip(draws) {
                    i = if uniform < restart { start as usize } else { i };
                    *value = values[i];
                    i = if i + 1 == n { 0 } else { i + 1 };
                }
                found.extend(statistic(&sample));
            }
        });
    }
    let ends = |found: &mut Vec<f64>| {
        found.sort_unstable_by(f64::total_cmp);
        let defined = found.len() * 10 > resamples * 9;
        defined.then(|| (quantile(found, tail), quantile(found, 1.0 - tail)))
    };
    found.iter_mut().map(ends).collect()
}

/// Fills `sample` with a resample of `series`; both have the same length above 0.
fn resample(series: &[f64], block: f64, rng: &mut ChaCha8Rng, sample: &mut [f64]) {
    let n = series.len();
    let restart = 1.0 / block.max(1.0);
    let mut i = 0;
    for (drawn, value) in sample.iter_mut().enumerate() {
        let new_block = drawn == 0 || rng.random::<f64>() < restart;
        i = if new_block { rng.random_range(0..n) } else { (i + 1) % n };
        *value = series[i];
    }
}

/// Quantile of sorted values, with linear interpolation.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = probability * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

/// Mean block length that minimises the mean squared error of the bootstrap variance of the mean.
/// Politis & White (2004), "Automatic block-length selection for the dependent bootstrap",
/// Econometric Reviews 23(1), section 3, with D_SB = 2 g(0)^2 from the correction by Patton,
/// Politis & White (2009), Econometric Reviews 28(4). The lag from which correlations are
/// insignificant is found as in the authors' program. At least 1; None for fewer than 12 values or
/// a constant series.
pub(crate) fn block_length(series: &[f64]) -> Option<f64> {
    let n = series.len();
    if n < 12 || series.iter().all(|&value| value == series[0]) {
        return None;
    }
    let count = n as f64;
    let mean = series.iter().sum::<f64>() / count;
    let run = usize::max(5, count.log10() as usize);
    let longest = count.sqrt().ceil() as usize + run;
    let autocovariance = |lag: usize| {
        let pairs = series[lag..].iter().zip(series);
        pairs.map(|(late, early)| (late - mean) * (early - mean)).sum::<f64>() / count
    };
    let covariance: Vec<f64> = (0..=longest.min(n - 1)).map(autocovariance).collect();
    let critical = 2.0 * (count.log10() / count).sqrt() * covariance[0];
    let insignificant = |lags: &[f64]| lags.iter().all(|c| c.abs() < critical);
    // The first lag from 1 on that starts a run of insignificant correlations.
    let first = covariance[..covariance.len() - 1].windows(run).position(insignificant);
    let bandwidth = first.map_or(longest, |lag| (2 * lag.max(1)).min(longest));
    let (mut slope, mut spectrum) = (0.0, covariance[0]);
    for (lag, c) in covariance.iter().enumerate().take(bandwidth + 1).skip(1) {
        let place = lag as f64 / bandwidth as f64;
        let flat_top = if place <= 0.5 { 1.0 } else { 2.0 * (1.0 - place) };
        slope += 2.0 * flat_top * lag as f64 * c;
        spectrum += 2.0 * flat_top * c;
    }
    let optimal = (slope / spectrum).powi(2).cbrt() * count.cbrt();
    let most = f64::min(3.0 * count.sqrt(), count / 3.0).ceil();
    // A spectrum estimated at 0 gives an infinite block length.
    Some(if optimal.is_nan() { most } else { optimal.clamp(1.0, most) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::inference::golden;
    use crate::eval::inference::sharpe::SampleMoments;
    use rand::SeedableRng;

    #[test]
    fn block_lengths_are_those_of_arch() {
        let mut longest = 0.0_f64;
        for case in golden::read().series {
            let found = block_length(&case.returns).unwrap();
            let expected = case.block_length.max(1.0);
            assert!((found - expected).abs() < 1e-8, "{}: {found}, {expected}", case.name);
            longest = longest.max(found);
        }
        assert!(longest > 5.0, "no series with memory");
        assert_eq!(block_length(&[0.01; 100]), None);
        assert_eq!(block_length(&[0.01, 0.02, -0.01]), None);
    }

    /// Two programs with different random streams: each end agrees within five standard errors.
    #[test]
    fn intervals_are_those_of_arch() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let sharpe = |sample: &[f64]| SampleMoments::from_values(sample).map(|m| m.sharpe());
        for case in golden::read().series {
            let found = interval(
                &case.returns,
                sharpe,
                case.block_length.max(1.0),
                0.025,
                20_000,
                &mut rng,
            );
            let (low, high) = found.unwrap();
            let tolerance = 0.03 * (case.high - case.low);
            assert!((low - case.low).abs() < tolerance, "{}: {low}, {}", case.name, case.low);
            assert!((high - case.high).abs() < tolerance, "{}: {high}, {}", case.name, case.high);
        }
    }

    #[test]
    fn several_intervals_from_the_same_draws_are_those_of_arch() {
        let golden = golden::read().series;
        let sharpe = |sample: &[f64]| SampleMoments::from_values(sample).map(|m| m.sharpe());
        let days = golden[0].returns.len();
        let cases: Vec<_> = golden.iter().filter(|case| case.returns.len() == days).collect();
        assert!(!cases.is_empty());
        let constant = vec![0.0; days];
        let mut series: Vec<(&[f64], f64)> =
            cases.iter().map(|case| (&case.returns[..], case.block_length)).collect();
        series.push((&constant, 1.0));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let found = intervals(&series, sharpe, 0.025, 20_000, &mut rng);
        for (case, found) in cases.iter().zip(&found) {
            let (low, high) = found.unwrap();
            let tolerance = 0.03 * (case.high - case.low);
            assert!((low - case.low).abs() < tolerance, "{}: {low}, {}", case.name, case.low);
            assert!((high - case.high).abs() < tolerance, "{}: {high}, {}", case.name, case.high);
        }
        assert_eq!(found.last(), Some(&None));
    }

    /// Politis & Romano (1994), Lemma 1: exact variance of a resampled mean.
    #[test]
    fn the_variance_of_the_mean_is_exact() {
        let series: Vec<f64> = (0..40).map(|i| f64::from(i % 10) + f64::from(i % 7)).collect();
        let (n, block) = (series.len() as f64, 4.0);
        let mean = series.iter().sum::<f64>() / n;
        let ring = |lag: usize| {
            let product = |i: usize| (series[i] - mean) * (series[(i + lag) % 40] - mean);
            (0..40).map(product).sum::<f64>() / n
        };
        let keep = 1.0_f64 - 1.0 / block;
        let exact = (ring(0)
            + 2.0
                * (1..40)
                    .map(|lag| (1.0 - lag as f64 / n) * keep.powi(lag as i32) * ring(lag))
                    .sum::<f64>())
            / n;
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut sample = vec![0.0; 40];
        let draws = 200_000;
        let mut squares = 0.0;
        for _ in 0..draws {
            resample(&series, block, &mut rng, &mut sample);
            squares += (sample.iter().sum::<f64>() / n - mean).powi(2);
        }
        let found = squares / f64::from(draws);
        assert!((found / exact - 1.0).abs() < 0.015, "{found}, {exact}");
    }

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!([0.0, 1.0].map(|p| quantile(&[1.0, 2.0, 4.0], p)), [1.0, 4.0]);
    }
}
