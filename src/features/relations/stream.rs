//! How two stocks stand to each other over the last bars, one bar at a time.

use super::RollingRelation;
use crate::features::rolling::{Moments, PairMoments, Window};

/// A deviation of the log price ratio up to this is rounding.
const LEAST_STD: f64 = 1e-9;

/// How two stocks stand to each other over a window. Undefined where one of them, or their ratio,
/// does not move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairNow {
    /// Of their log returns.
    pub correlation: Option<f64>,
    /// Of the second's return with the first's of the bar before.
    pub first_leads: Option<f64>,
    /// Of the first's return with the second's of the bar before.
    pub second_leads: Option<f64>,
    /// Of the log of the first price over the second.
    pub spread_z: f64,
    /// After how many bars half of a deviation of that ratio is gone, by its autocorrelation at one
    /// bar; None where it does not revert.
    pub half_life_bars: Option<f64>,
}

/// Constant work per bar on average.
#[derive(Clone, Debug)]
pub struct PairStream {
    last_logs: Option<(f64, f64)>,
    last_returns: Option<(f64, f64)>,
    together: RollingRelation,
    first_leads: RollingRelation,
    second_leads: RollingRelation,
    spread: Window<Moments>,
    /// The spread, and what it was one bar before.
    reversion: Window<PairMoments>,
}

impl PairStream {
    pub fn new(bars: usize) -> PairStream {
        PairStream {
            last_logs: None,
            last_returns: None,
            together: RollingRelation::new(bars),
            first_leads: RollingRelation::new(bars),
            second_leads: RollingRelation::new(bars),
            spread: Window::new(bars),
            reversion: Window::new(bars),
        }
    }

    /// Takes in the log closes of a bar that both have. None before the windows are full.
    pub fn update(&mut self, first: f64, second: f64) -> Option<PairNow> {
        let ratio = first - second;
        let moments = self.spread.update(ratio);
        let (last_first, last_second) = self.last_logs.replace((first, second))?;
        let reversion = self.reversion.update((last_first - last_second, ratio));
        let returns = (first - last_first, second - last_second);
        let together = self.together.update(returns.0, returns.1);
        let (first_before, second_before) = self.last_returns.replace(returns)?;
        let first_leads = self.first_leads.update(first_before, returns.1);
        let second_leads = self.second_leads.update(second_before, returns.0);
        Some(PairNow {
            correlation: together?.correlation,
            first_leads: first_leads?.correlation,
            second_leads: second_leads?.correlation,
            spread_z: moments?.z_score(ratio, LEAST_STD),
            half_life_bars: half_life_bars(&reversion?),
        })
    }
}

fn half_life_bars(moments: &PairMoments) -> Option<f64> {
    if moments.variance_x().sqrt() <= LEAST_STD {
        return None;
    }
    let kept = moments.covariance() / moments.variance_x();
    match kept {
        // It swings around its mean: half is gone before the next bar.
        _ if kept <= 0.0 => Some(0.0),
        _ if kept < 1.0 => Some(0.5_f64.ln() / kept.ln()),
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
        let mut stream = PairStream::new(3_000);
        let (mut first, mut second, mut before) = (0.0, 0.0, 0.0);
        let mut now = None;
        for t in 0..3_002 {
            let step = 1e-3 * noise.normal();
            first += step;
            second += 0.5 * before + 1e-3 * noise.normal();
            before = step;
            now = stream.update(first, second);
            assert_eq!(now.is_some(), t >= 3_001, "bar {t}");
        }
        let now = now.unwrap();
        // 0.5 / sqrt(0.25 + 1), give or take 1 / sqrt(3000).
        assert!((now.first_leads.unwrap() - 0.447).abs() < 0.06, "{now:?}");
        assert!(now.second_leads.unwrap().abs() < 0.06, "{now:?}");
        assert!(now.correlation.unwrap().abs() < 0.06, "{now:?}");
    }

    /// A spread that keeps 0.8 of itself halves in ln(1/2) / ln(0.8) = 3.1 bars.
    #[test]
    fn spread_and_half_life_are_those_of_the_window() {
        let mut noise = Noise::new(4);
        let mut stream = PairStream::new(4_000);
        let (mut walk, mut spread) = (0.0, 0.0);
        let mut spreads = Vec::new();
        let mut now = None;
        for _ in 0..6_000 {
            walk += 1e-3 * noise.normal();
            spread = 0.8 * spread + 1e-3 * noise.normal();
            spreads.push(spread);
            now = stream.update(walk + spread, walk);
        }
        let now = now.unwrap();
        assert!((now.half_life_bars.unwrap() - 3.106).abs() < 0.3, "{now:?}");
        let window = &spreads[2_000..];
        let mean = window.iter().sum::<f64>() / 4_000.0;
        let variance = window.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 4_000.0;
        assert!((now.spread_z - (spread - mean) / variance.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn what_stands_still_or_runs_away_has_no_half_life() {
        let mut still = PairStream::new(4);
        let mut away = PairStream::new(4);
        for t in 0..9_i32 {
            let now = still.update(1.0, 2.0);
            let gone = away.update(f64::from(1 << t), 0.0);
            if t < 5 {
                assert_eq!((now, gone), (None, None));
                continue;
            }
            let (now, gone) = (now.unwrap(), gone.unwrap());
            assert_eq!((now.half_life_bars, now.correlation, now.spread_z), (None, None, 0.0));
            assert_eq!(gone.half_life_bars, None);
        }
        let mut swinging = PairStream::new(4);
        let last = (0..9).map(|t| swinging.update(f64::from(t % 2), 0.0)).last();
        assert_eq!(last.unwrap().unwrap().half_life_bars, Some(0.0));
    }
}
