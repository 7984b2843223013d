//! Follows the last bar or bets against it, depending on the recent autocorrelation of returns.

use super::{Decision, Parameter, Parameters, Rule, StrategyKind};
use crate::market::Bar;
use crate::math::fixed_share::{FixedShare, FixedSharePrior};

pub(crate) const NAME: &str = "Autoregression";

/// Candidate AR(1) coefficients: the part of a return that the next bar repeats, or reverses if
/// below 0. The prior is uniform.
const COEFFICIENTS: [f64; 5] = [-0.6, -0.3, 0.0, 0.3, 0.6];
/// Candidate probabilities that the coefficient changes from one bar to the next; the right one is
/// learned.
const SHARE_RATES: [f64; 4] = [0.1, 0.03, 0.01, 0.003];
/// Default half-life of the volatility estimate, in bars.
const HALF_LIFE: u64 = 20;
/// A floor of the volatility: a hundredth of a basis point, below one tick of a flat market.
const LEAST_STD: f64 = 1e-6;

/// Forecast of a stock's next return.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forecast {
    pub(crate) mean: f64,
    pub(crate) std: f64,
}

impl Forecast {
    /// The likelihood of a return relative to that of the mean: Student's t density with five
    /// degrees of freedom, scaled to `std`. Under the normal density one jump would outweigh weeks
    /// of data.
    pub(crate) fn likelihood(&self, found: f64) -> f64 {
        let deviations = (found - self.mean) / self.std;
        (1.0 + deviations * deviations / 3.0).powi(-3)
    }
}

/// An AR(1) process whose coefficient switches: Bayes' rule over [`COEFFICIENTS`], with part of the
/// probability redistributed at each bar (a hidden Markov model as in Hamilton 1989, but with no
/// fitted parameters).
#[derive(Clone, Debug)]
pub(crate) struct SwitchingAr1 {
    belief: FixedSharePrior,
    share: FixedShare,
    /// Minimum weight of the latest squared error in the variance.
    latest: f64,
    variance: f64,
    returns: f64,
    last_close: Option<f64>,
    last_return: f64,
    forecast: Option<Forecast>,
}

impl Default for SwitchingAr1 {
    fn default() -> SwitchingAr1 {
        SwitchingAr1::new(HALF_LIFE as f64)
    }
}

impl SwitchingAr1 {
    /// `half_life` of the volatility estimate, in bars.
    fn new(half_life: f64) -> SwitchingAr1 {
        let prior = vec![1.0 / COEFFICIENTS.len() as f64; COEFFICIENTS.len()];
        let belief = FixedSharePrior { prior, share_rates: SHARE_RATES.into() };
        SwitchingAr1 {
            share: FixedShare::new(&belief),
            belief,
            latest: 1.0 - 0.5_f64.powf(1.0 / half_life),
            variance: 0.0,
            returns: 0.0,
            last_close: None,
            last_return: 0.0,
            forecast: None,
        }
    }

    /// Processes the stock's next close. None before the first return.
    pub(crate) fn update(&mut self, close: f64) -> Option<Forecast> {
        let found = close / self.last_close.replace(close)? - 1.0;
        let mut miss = found;
        if let Some(Forecast { mean, std }) = self.forecast {
            miss -= mean;
            let of = |phi| Forecast { mean: phi * self.last_return, std }.likelihood(found);
            self.share.update(&COEFFICIENTS.map(of), &self.belief);
        }
        self.returns += 1.0;
        self.variance += self.latest.max(1.0 / self.returns) * (miss * miss - self.variance);
        self.last_return = found;
        let phi: f64 = self.share.weights().iter().zip(COEFFICIENTS).map(|(w, phi)| w * phi).sum();
        let std = self.variance.sqrt().max(LEAST_STD);
        self.forecast = Some(Forecast { mean: phi * found, std });
        self.forecast
    }
}

/// Long once the next return is expected above `threshold` standard deviations, short once below
/// -`threshold`; in between the position is kept, because a change has costs.
#[derive(Clone, Debug)]
struct Autoregression {
    ar1: SwitchingAr1,
    threshold: f64,
    target: f64,
}

pub(crate) fn kind() -> StrategyKind {
    let deviations = "standard deviations";
    let parameters = vec![
        Parameter::whole("half_life", HALF_LIFE, 1..=100_000, "bars", "of the volatility"),
        Parameter::real("threshold", 0.05, 0.0..=10.0, deviations, "minimum expected return"),
    ];
    let description =
        "follows or opposes the last return, by the sign of its recent autocorrelation";
    StrategyKind::per_stock(NAME, description, parameters, |parameters: &Parameters| {
        Autoregression {
            ar1: SwitchingAr1::new(parameters.whole("half_life") as f64),
            threshold: parameters.real("threshold"),
            target: 0.0,
        }
    })
    .with_aliases(&["AR", "echo"])
}

impl Rule for Autoregression {
    fn update(&mut self, bar: &Bar) -> Decision {
        let Some(Forecast { mean, std }) = self.ar1.update(bar.close) else {
            return Decision::NONE;
        };
        let expected = mean / std;
        if expected.abs() > self.threshold {
            self.target = expected.signum();
        }
        let size = expected.abs();
        Decision::new(self.target, size / (1.0 + size))
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    /// Up 10 %, then 2 % more. Before the second return the forecast has mean 0 and deviation 0.1,
    /// so the coefficients' forecasts of -6, -3, 0, 3 and 6 % are off by 0.8, 0.5, 0.2, -0.1 and
    /// -0.4 deviations. The share of each rate is redistributed evenly.
    #[test]
    fn two_returns_by_hand() {
        let mut ar1 = SwitchingAr1::new(20.0);
        assert_eq!(ar1.update(100.0), None);
        let first = ar1.update(110.0).unwrap();
        near(first.mean, 0.0);
        near(first.std, 0.1);
        let second = ar1.update(110.0 * 1.02).unwrap();
        let likely =
            [0.64_f64, 0.25, 0.04, 0.01, 0.16].map(|square| 1.0 / (1.0 + square / 3.0).powi(3));
        let sum: f64 = likely.iter().sum();
        let bayes: f64 = likely.iter().zip(COEFFICIENTS).map(|(l, e)| l / sum * e).sum();
        // The redistributed part is symmetric and adds nothing to the mean.
        let kept = 1.0 - (0.1 + 0.03 + 0.01 + 0.003) / 4.0;
        near(second.mean, kept * bayes * 0.02);
        // The second of two errors has weight 1/2.
        near(second.std, (0.5 * 0.01 + 0.5 * 0.0004_f64).sqrt());
    }

    #[test]
    fn a_jump_is_little_more_evidence_than_a_large_move() {
        let forecast = Forecast { mean: 0.01, std: 0.01 };
        near(forecast.likelihood(0.01), 1.0);
        near(forecast.likelihood(0.04), 1.0 / 64.0);
        let other = Forecast { mean: 0.0, std: 0.01 };
        let for_first = |found| forecast.likelihood(found) / other.likelihood(found);
        assert!(for_first(0.03) > for_first(1.0) && for_first(1.0) > 1.0);
    }

    /// A stock that repeats half of every move, then one that reverses half of it.
    #[test]
    fn the_position_follows_the_sign_of_the_autocorrelation() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut rule =
            Autoregression { ar1: SwitchingAr1::default(), threshold: 0.05, target: 0.0 };
        let mut bar = Bar { end_s: 0, open: 1.0, high: 1.0, low: 1.0, close: 100.0, volume: 1.0 };
        assert_eq!(rule.update(&bar), Decision::NONE);
        let (mut last, mut right) = (0.0, [0, 0]);
        for i in 0..400 {
            let phase = i / 200;
            last = rng.random_range(-0.02..0.02) + [0.5, -0.5][phase] * last;
            bar.close *= 1.0 + last;
            let decision = rule.update(&bar);
            if i % 200 >= 100 {
                right[phase] += usize::from(decision.target == [1.0, -1.0][phase] * last.signum());
            }
        }
        assert!(right[0] >= 80 && right[1] >= 80, "{right:?} of 100 each");
    }

    #[test]
    fn a_flat_market_is_not_traded() {
        let mut ar1 = SwitchingAr1::default();
        let last = (0..50).filter_map(|_| ar1.update(100.0)).last().unwrap();
        assert_eq!(last, Forecast { mean: 0.0, std: LEAST_STD });
    }
}
