//! The Sharpe ratio of one track record, and the probability that the true one exceeds a hurdle.
//! Per day throughout, not annualised. Pure functions.

use crate::math::normal::{normal_cdf, normal_quantile};

/// Moments of a series that is not constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SampleMoments {
    pub(crate) count: usize,
    pub(crate) mean: f64,
    /// Sample standard deviation, ddof 1.
    pub(crate) std: f64,
    /// m3 / m2^1.5 and m4 / m2^2 of the population moments; 0 and 3 for a normal distribution.
    pub(crate) skewness: f64,
    pub(crate) kurtosis: f64,
}

impl SampleMoments {
    /// None for fewer than two values, or if all are equal.
    pub(crate) fn from_values(values: &[f64]) -> Option<SampleMoments> {
        let count = values.len();
        if count < 2 || values.iter().all(|&value| value == values[0]) {
            return None;
        }
        let n = count as f64;
        let mean = values.iter().sum::<f64>() / n;
        let (mut m2, mut m3, mut m4) = (0.0, 0.0, 0.0);
        for value in values {
            let deviation = value - mean;
            let square = deviation * deviation;
            m2 += square / n;
            m3 += square * deviation / n;
            m4 += square * square / n;
        }
        let std = (m2 * n / (n - 1.0)).sqrt();
        let (skewness, kurtosis) = (m3 / m2.powf(1.5), m4 / (m2 * m2));
        let defined = std > 0.0 && skewness.is_finite() && kurtosis.is_finite();
        defined.then_some(SampleMoments { count, mean, std, skewness, kurtosis })
    }

    pub(crate) fn sharpe(&self) -> f64 {
        self.mean / self.std
    }
}

/// Probabilistic Sharpe ratio: probability that the true Sharpe ratio is above `hurdle`, for
/// independent returns that need not be normal. Bailey & López de Prado (2012), "The Sharpe ratio
/// efficient frontier", Journal of Risk 15(2), section 3, closed form of PSR(SR*).
///
/// None if the returns have no Sharpe ratio.
pub(crate) fn probabilistic(returns: &[f64], hurdle: f64) -> Option<f64> {
    let moments = SampleMoments::from_values(returns)?;
    let sharpe = moments.sharpe();
    let spread = 1.0 - moments.skewness * sharpe + (moments.kurtosis - 1.0) / 4.0 * sharpe * sharpe;
    let z = (sharpe - hurdle) * (moments.count as f64 - 1.0).sqrt() / spread.sqrt();
    z.is_finite().then(|| normal_cdf(z))
}

/// Expected maximum of `trials` scores by luck alone, which has mean 0 and this `variance`. Bailey
/// & López de Prado (2014), "The deflated Sharpe ratio", Journal of Portfolio Management 40(5),
/// equation 1. Used as the hurdle of [`probabilistic`] it gives the deflated Sharpe ratio, equation
/// 2. It is 0 for one trial, since there is no selection.
pub(crate) fn expected_maximum(trials: usize, variance: f64) -> f64 {
    if trials < 2 {
        return 0.0;
    }
    let n = trials as f64;
    let upper = |tail: f64| -normal_quantile(tail);
    let expected =
        (1.0 - EULER_GAMMA) * upper(1.0 / n) + EULER_GAMMA * upper(1.0 / (n * std::f64::consts::E));
    variance.sqrt() * expected
}

const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::inference::golden;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-10 * expected.abs().max(1.0), "{found} {expected}");
    }

    #[test]
    fn moments_and_probabilities_are_scipys() {
        let golden = golden::read();
        assert!(golden.series.len() >= 6);
        for case in &golden.series {
            let moments = SampleMoments::from_values(&case.returns).unwrap();
            near(moments.sharpe(), case.sharpe);
            near(moments.skewness, case.skewness);
            near(moments.kurtosis, case.kurtosis);
            near(probabilistic(&case.returns, 0.0).unwrap(), case.probabilistic);
            for deflated in &case.deflated {
                let hurdle = expected_maximum(deflated.trials, deflated.variance);
                near(hurdle, deflated.hurdle);
                near(probabilistic(&case.returns, hurdle).unwrap(), deflated.probability);
            }
        }
        for &(z, probability) in &golden.normal_cdf {
            assert!((normal_cdf(z) - probability).abs() < 2e-15, "{z}");
        }
    }

    /// Example of the 2014 paper (page 10 of the authors' version): 100 trials over 1,250 days with
    /// an annualised variance of 1/2; the best has 2.5 a year, skewness -3, kurtosis 10. Hurdle
    /// 0.1132 per day, deflated Sharpe ratio 0.9004.
    #[test]
    fn the_papers_example() {
        let hurdle = expected_maximum(100, 0.5 / 250.0);
        assert!((hurdle - 0.1132).abs() < 5e-5, "{hurdle}");
        let sharpe = 2.5 / 250f64.sqrt();
        let spread: f64 = 1.0 + 3.0 * sharpe + 9.0 / 4.0 * sharpe * sharpe;
        let probability = normal_cdf((sharpe - hurdle) * 1249f64.sqrt() / spread.sqrt());
        assert!((probability - 0.9004).abs() < 5e-5, "{probability}");
    }

    #[test]
    fn what_does_not_vary_has_no_ratio() {
        for returns in [&[][..], &[0.1], &[0.1; 30], &[0.0; 30]] {
            assert_eq!(probabilistic(returns, 0.0), None);
        }
        assert_eq!((expected_maximum(0, 1.0), expected_maximum(1, 1.0)), (0.0, 0.0));
        assert!(probabilistic(&[0.1, -0.1], 0.0).unwrap() == 0.5);
    }
}
