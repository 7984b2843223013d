//! What many runs say together, as Agarwal et al. (2021), "Deep reinforcement learning at the edge
//! of the statistical precipice", recommend: interquartile means with stratified bootstrap
//! intervals instead of means of a few runs.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 2_000;
/// Of each tail of the 95 % interval.
const TAIL: f64 = 0.025;
/// Cut off at either end.
const TRIMMED: f64 = 0.25;

/// Median and interquartile mean over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunsEstimate {
    /// Of all runs.
    pub median: f64,
    /// Mean of the middle half.
    pub iqm: f64,
    /// Ends of the 95 % interval of `iqm`; None where no stratum has two runs.
    pub interval: Option<[f64; 2]>,
}

impl RunsEstimate {
    /// `strata` `[fold][seed]`: seeds are resampled within their fold. None without a run.
    pub fn of(strata: &[Vec<f64>], rng: &mut ChaCha8Rng) -> Option<RunsEstimate> {
        let all: Vec<f64> = strata.concat();
        let iqm = interquartile_mean(all.clone())?;
        let varies = strata.iter().any(|fold| fold.len() > 1);
        let interval = varies.then(|| {
            let mut found: Vec<f64> =
                (0..RESAMPLES).filter_map(|_| interquartile_mean(resampled(strata, rng))).collect();
            found.sort_by(f64::total_cmp);
            let at = |part: f64| found[((found.len() - 1) as f64 * part).round() as usize];
            [at(TAIL), at(1.0 - TAIL)]
        });
        Some(RunsEstimate { median: median(all), iqm, interval })
    }
}

fn resampled(strata: &[Vec<f64>], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut drawn = Vec::new();
    for fold in strata {
        drawn.extend((0..fold.len()).map(|_| fold[rng.random_range(0..fold.len())]));
    }
    drawn
}

/// The mean without the lowest and the highest quarter, each rounded down to whole values; None of
/// nothing.
fn interquartile_mean(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let cut = (TRIMMED * values.len() as f64) as usize;
    let middle = &values[cut..values.len() - cut];
    (!middle.is_empty()).then(|| middle.iter().sum::<f64>() / middle.len() as f64)
}

/// # Panics
/// Without a value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = ((values.len() - 1) / 2, values.len() / 2);
    (values[lower] + values[upper]) / 2.0
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(5)
    }

    /// `scipy.stats.trim_mean([1, 2, 3, 4, 100, -50, 5, 6], 0.25)` is 3.5: of eight values two are
    /// cut at either end.
    #[test]
    fn the_interquartile_mean_leaves_outliers_out() {
        let values = vec![1.0, 2.0, 3.0, 4.0, 100.0, -50.0, 5.0, 6.0];
        assert_eq!(interquartile_mean(values.clone()), Some(3.5));
        assert_eq!(median(values), 3.5);
        assert_eq!(interquartile_mean(vec![1.0, 2.0, 9.0]), Some(4.0));
        assert_eq!(interquartile_mean(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }

    /// Folds differ much and seeds do not: what resampling within folds leaves is the seeds' part.
    #[test]
    fn seeds_are_resampled_within_their_folds() {
        let strata: Vec<Vec<f64>> = (0..4)
            .map(|fold| (0..5).map(|seed| f64::from(10 * fold) + 0.1 * f64::from(seed)).collect())
            .collect();
        let found = RunsEstimate::of(&strata, &mut rng()).unwrap();
        assert!((found.iqm - 15.2).abs() < 1e-9, "{found:?}");
        let [low, high] = found.interval.unwrap();
        assert!(low < found.iqm && found.iqm < high && high - low < 0.3, "{found:?}");
        let single = RunsEstimate::of(&[vec![1.0], vec![2.0]], &mut rng()).unwrap();
        assert_eq!((single.median, single.interval), (1.5, None));
        assert_eq!(RunsEstimate::of(&[], &mut rng()), None);
    }

    /// Of 400 studies of 8 folds and 5 seeds of a standard normal figure, about 95 in 100 intervals
    /// hold the truth; the bootstrap of few runs is somewhat narrow.
    #[test]
    fn intervals_hold_the_truth() {
        let mut rng = rng();
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let studies: Vec<Vec<Vec<f64>>> = (0..400)
            .map(|_| (0..8).map(|_| (0..5).map(|_| normal()).collect()).collect())
            .collect();
        let holds = |strata: &&Vec<Vec<f64>>| {
            let [low, high] = RunsEstimate::of(strata, &mut self::rng()).unwrap().interval.unwrap();
            low <= 0.0 && high >= 0.0
        };
        let share = studies.iter().filter(holds).count() as f64 / 400.0;
        assert!((0.88..0.99).contains(&share), "{share}");
    }
}
