//! Relations of two stocks over their last bars.

use super::Comovement;
use crate::features::rolling::{Moments, PairMoments, last_window};

/// A standard deviation of the log price ratio up to this is rounding error.
const MIN_STD: f64 = 1e-9;

/// Relations of two stocks over a window. None where a stock or the price ratio does not move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PairRelation {
    /// Correlation of simultaneous log returns.
    pub(crate) correlation: Option<f64>,
    /// Correlation of the second's return with the first's previous return.
    pub(crate) first_leads: Option<f64>,
    /// Correlation of the first's return with the second's previous return.
    pub(crate) second_leads: Option<f64>,
    /// z-score of the log of the first price over the second.
    pub(crate) spread_z: f64,
    /// Half-life in bars of a deviation of that log ratio, from its lag-1 autoregression; None if
    /// it does not revert.
    pub(crate) half_life_bars: Option<f64>,
}

impl PairRelation {
    /// From the log closes of all bars that both stocks have so far, over the last `bars` of them.
    /// None until the windows are full.
    pub(crate) fn measure(logs: &[(f64, f64)], bars: usize) -> Option<PairRelation> {
        let count = logs.len();
        let ratio = |i: usize| logs[i].0 - logs[i].1;
        let change = |i: usize| {
            let ((first, second), before) = (logs[i + 1], logs[i]);
            (first - before.0, second - before.1)
        };
        let relation = |count: usize, pair: &dyn Fn(usize) -> (f64, f64)| {
            last_window(bars, count, pair).map(|moments| Comovement::from_moments(&moments))
        };
        let leads = count.checked_sub(2)?;
        let first_leads = relation(leads, &|i| (change(i).0, change(i + 1).1))?;
        let second_leads = relation(leads, &|i| (change(i).1, change(i + 1).0))?;
        let spread: Moments = last_window(bars, count, ratio)?;
        let reversion = last_window(bars, count - 1, |i| (ratio(i), ratio(i + 1)))?;
        Some(PairRelation {
            correlation: relation(count - 1, &change)?.correlation,
            first_leads: first_leads.correlation,
            second_leads: second_leads.correlation,
            spread_z: spread.z_score(ratio(count - 1), MIN_STD),
            half_life_bars: half_life_bars(&reversion),
        })
    }
}

fn half_life_bars(moments: &PairMoments) -> Option<f64> {
    if moments.variance_x().sqrt() <= MIN_STD {
        return None;
    }
    let coefficient = moments.covariance() / moments.variance_x();
    match coefficient {
        // It alternates around its mean: half is gone before the next bar.
        _ if coefficient <= 0.0 => Some(0.0),
        _ if coefficient < 1.0 => Some(0.5_f64.ln() / coefficient.ln()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::Noise;

    /// The second follows the first with half of its return, one bar later.
    #[test]
    fn a_lead_shows_in_its_direction() {
        let mut noise = Noise::new(3);
        let (mut first, mut second, mut before) = (0.0, 0.0, 0.0);
        let mut logs = Vec::new();
        for _ in 0..3_002 {
            let step = 1e-3 * noise.normal();
            first += step;
            second += 0.5 * before + 1e-3 * noise.normal();
            before = step;
            logs.push((first, second));
        }
        assert_eq!(PairRelation::measure(&logs[..3_001], 3_000), None);
        let now = PairRelation::measure(&logs, 3_000).unwrap();
        // 0.5 / sqrt(0.25 + 1), give or take 1 / sqrt(3000).
        assert!((now.first_leads.unwrap() - 0.447).abs() < 0.06, "{now:?}");
        assert!(now.second_leads.unwrap().abs() < 0.06, "{now:?}");
        assert!(now.correlation.unwrap().abs() < 0.06, "{now:?}");
    }

    /// A spread with autocorrelation 0.8 has a half-life of ln(1/2) / ln(0.8) = 3.1 bars.
    #[test]
    fn spread_and_half_life_are_those_of_the_window() {
        let mut noise = Noise::new(4);
        let mut logs = Vec::new();
        let (mut walk, mut spread) = (0.0, 0.0);
        let mut spreads = Vec::new();
        for _ in 0..6_000 {
            walk += 1e-3 * noise.normal();
            spread = 0.8 * spread + 1e-3 * noise.normal();
            spreads.push(spread);
            logs.push((walk + spread, walk));
        }
        let now = PairRelation::measure(&logs, 4_000).unwrap();
        assert!((now.half_life_bars.unwrap() - 3.106).abs() < 0.3, "{now:?}");
        let window = &spreads[2_000..];
        let mean = window.iter().sum::<f64>() / 4_000.0;
        let variance = window.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 4_000.0;
        assert!((now.spread_z - (spread - mean) / variance.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn what_stands_still_or_runs_away_has_no_half_life() {
        let bars = |log: &dyn Fn(i32) -> (f64, f64)| (0..9).map(log).collect::<Vec<_>>();
        let still = bars(&|_| (1.0, 2.0));
        let away = bars(&|t| (f64::from(1 << t), 0.0));
        for t in 0..9 {
            let (now, gone) =
                (PairRelation::measure(&still[..=t], 4), PairRelation::measure(&away[..=t], 4));
            if t < 5 {
                assert_eq!((now, gone), (None, None));
                continue;
            }
            let (now, gone) = (now.unwrap(), gone.unwrap());
            assert_eq!((now.half_life_bars, now.correlation, now.spread_z), (None, None, 0.0));
            assert_eq!(gone.half_life_bars, None);
        }
        let swinging = PairRelation::measure(&bars(&|t| (f64::from(t % 2), 0.0)), 4).unwrap();
        assert_eq!(swinging.half_life_bars, Some(0.0));
    }
}
