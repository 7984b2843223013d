//! Cointegration test for two price series. Engle and Granger (1987), "Co-integration and error
//! correction", Econometrica 55.

use crate::math::normal::normal_cdf;

/// Lagged changes in the test regression, so that short memory in the changes is not mistaken for
/// mean reversion.
const LAGS: usize = 4;
const TERMS: usize = LAGS + 1;

/// Minimum number of bars for the test.
pub(crate) const MIN_BARS: usize = 30;

/// A standard deviation of log prices up to this is rounding error, not movement.
const MIN_STD: f64 = 1e-9;

/// log(first) = level + hedge_ratio * log(second) + residual, fitted by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cointegration {
    pub(crate) level: f64,
    pub(crate) hedge_ratio: f64,
    /// Standard deviation of the residual.
    pub(crate) std: f64,
    /// t-statistic of the augmented Dickey-Fuller test on the residual, no constant, four lags.
    pub(crate) statistic: f64,
    /// p-value under two random walks, whose steps may be correlated.
    pub(crate) p_value: f64,
}

impl Cointegration {
    /// From log prices at the same times. None for fewer than [`MIN_BARS`] bars, and if a price
    /// or the residual does not move or the test regression is singular.
    pub(crate) fn fit(first: &[f64], second: &[f64]) -> Option<Cointegration> {
        assert_eq!(first.len(), second.len(), "prices at the same times");
        if first.len() < MIN_BARS {
            return None;
        }
        let count = first.len() as f64;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
        let (mean_first, mean_second) = (mean(first), mean(second));
        let (mut variance, mut covariance) = (0.0, 0.0);
        for (first, second) in first.iter().zip(second) {
            let centred = second - mean_second;
            variance += centred * centred / count;
            covariance += centred * (first - mean_first) / count;
        }
        if variance.is_nan() || variance.sqrt() <= MIN_STD {
            return None;
        }
        let hedge_ratio = covariance / variance;
        let level = mean_first - hedge_ratio * mean_second;
        let residual = |(first, second): (&f64, &f64)| first - level - hedge_ratio * second;
        let mut residuals: Vec<f64> = first.iter().zip(second).map(residual).collect();
        let std = (residuals.iter().map(|r| r * r).sum::<f64>() / count).sqrt();
        if std.is_nan() || std <= MIN_STD {
            return None;
        }
        residuals.iter_mut().for_each(|residual| *residual /= std);
        let statistic = dickey_fuller(&residuals)?;
        let p_value = p_value(statistic, first.len());
        Some(Cointegration { level, hedge_ratio, std, statistic, p_value })
    }

    /// Residual at the given log prices in standard deviations: positive where the first is rich
    /// relative to the second.
    pub(crate) fn z_score(&self, first: f64, second: f64) -> f64 {
        (first - self.level - self.hedge_ratio * second) / self.std
    }
}

/// t-statistic of the lagged level in a regression of the change on it and on lagged changes. Said
/// and Dickey (1984), "Testing for unit roots in autoregressive-moving average models of unknown
/// order", Biometrika 71.
fn dickey_fuller(values: &[f64]) -> Option<f64> {
    let change = |t: usize| values[t] - values[t - 1];
    let (mut squares, mut products, mut total) = ([[0.0; TERMS]; TERMS], [0.0; TERMS], 0.0);
    for t in TERMS..values.len() {
        let term = |i: usize| if i == 0 { values[t - 1] } else { change(t - i) };
        let terms: [f64; TERMS] = std::array::from_fn(term);
        let changed = change(t);
        total += changed * changed;
        for i in 0..TERMS {
            products[i] += terms[i] * changed;
            for j in 0..=i {
                squares[i][j] += terms[i] * terms[j];
            }
        }
    }
    let factor = cholesky(squares)?;
    let slopes = solve(&factor, products);
    let explained: f64 = slopes.iter().zip(&products).map(|(slope, product)| slope * product).sum();
    let freedom = (values.len() - 2 * TERMS) as f64;
    let noise = (total - explained) / freedom;
    let mut unit = [0.0; TERMS];
    unit[0] = 1.0;
    let error = (noise * solve(&factor, unit)[0]).sqrt();
    (error > 0.0).then(|| slopes[0] / error)
}

/// Cholesky factor L of L L' = `matrix`, of which only the lower triangle is read; None if the
/// terms are (nearly) collinear.
fn cholesky(matrix: [[f64; TERMS]; TERMS]) -> Option<[[f64; TERMS]; TERMS]> {
    let mut factor = [[0.0; TERMS]; TERMS];
    for i in 0..TERMS {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = matrix[i][j] - dot;
            if i > j {
                factor[i][j] = rest / factor[j][j];
            } else if rest > 1e-12 * matrix[i][i] {
                factor[i][i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(factor)
}

/// Solves L L' x = `right`.
fn solve(factor: &[[f64; TERMS]; TERMS], right: [f64; TERMS]) -> [f64; TERMS] {
    let mut x = right;
    for i in 0..TERMS {
        let dot: f64 = (0..i).map(|k| factor[i][k] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i][i];
    }
    for i in (0..TERMS).rev() {
        let dot: f64 = (i + 1..TERMS).map(|k| factor[k][i] * x[k]).sum();
        x[i] = (x[i] - dot) / factor[i][i];
    }
    x
}

/// p-value of a statistic from `count` bars. MacKinnon (2010), "Critical values for cointegration
/// tests", Queen's Economics Department 1227, table 2, gives the finite-sample shift of the 1 %
/// critical value (two series, constant). The statistic is raised by that shift, which is slightly
/// too much for larger p-values.
fn p_value(statistic: f64, count: usize) -> f64 {
    let bars = count as f64;
    asymptotic_p_value(statistic + 10.9519 / bars + 22.527 / (bars * bars))
}

/// MacKinnon (1994), "Approximate asymptotic distribution functions for unit-root and cointegration
/// tests", Journal of Business & Economic Statistics 12, tables 3 and 4, two series and a constant.
fn asymptotic_p_value(statistic: f64) -> f64 {
    const SMALL: [f64; 4] = [2.92, 1.5012, 0.039796, 0.0];
    const LARGE: [f64; 4] = [2.1945, 0.64695, -0.29198, -0.042377];
    if !(-18.86..=0.92).contains(&statistic) {
        return if statistic > 0.0 { 1.0 } else { 0.0 };
    }
    let coefficients = if statistic <= -2.62 { SMALL } else { LARGE };
    normal_cdf(coefficients.iter().rev().fold(0.0, |sum, c| sum * statistic + c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::Noise;

    #[derive(serde::Deserialize)]
    struct Golden {
        name: String,
        first: Vec<f64>,
        second: Vec<f64>,
        level: f64,
        hedge_ratio: f64,
        std: f64,
        statistic: f64,
        asymptotic_p_value: f64,
        critical_1: f64,
    }

    #[test]
    fn statistics_and_probabilities_are_those_of_statsmodels() {
        let golden = include_str!("../../../tests/golden/cointegration.json");
        let golden: Vec<Golden> = serde_json::from_str(golden).unwrap();
        assert!(golden.len() >= 8);
        let near = |found: f64, expected: f64, what: &str| {
            assert!((found - expected).abs() <= 1e-8 * expected.abs().max(1.0), "{what}: {found}");
        };
        for case in &golden {
            let found = Cointegration::fit(&case.first, &case.second).unwrap();
            near(found.level, case.level, &case.name);
            near(found.hedge_ratio, case.hedge_ratio, &case.name);
            near(found.std, case.std, &case.name);
            near(found.statistic, case.statistic, &case.name);
            near(asymptotic_p_value(found.statistic), case.asymptotic_p_value, &case.name);
            let at_critical = p_value(case.critical_1, case.first.len());
            assert!((at_critical - 0.01).abs() < 2e-4, "{}: {at_critical}", case.name);
        }
    }

    /// 20,000 pairs of random walks over 480 bars, with steps that are correlated, independent or
    /// anticorrelated. The standard errors of the shares are 0.0007 and 0.0002.
    #[test]
    fn walks_pass_for_cointegrated_as_often_as_stated() {
        let mut noise = Noise::new(12);
        let (pairs, bars) = (20_000, 480);
        let mut found = [0.0; 2];
        let (mut first, mut second) = (vec![0.0; bars], vec![0.0; bars]);
        for pair in 0..pairs {
            let common = [0.0, 0.9, -0.9][pair % 3];
            let own = (1.0_f64 - common * common).sqrt();
            let (mut x, mut y) = (0.0, 0.0);
            for t in 0..bars {
                let step = noise.normal();
                x += 1e-3 * step;
                y += 1e-3 * (common * step + own * noise.normal());
                (first[t], second[t]) = (x, y);
            }
            let p_value = Cointegration::fit(&first, &second).unwrap().p_value;
            for (found, level) in found.iter_mut().zip([0.01, 0.001]) {
                *found += f64::from(p_value <= level) / pairs as f64;
            }
        }
        println!("shares of false alarms at 0.01 and 0.001: {found:?}");
        assert!((found[0] - 0.01).abs() < 0.002, "{found:?}");
        assert!((found[1] - 0.001).abs() < 0.0007, "{found:?}");
    }

    #[test]
    fn what_does_not_move_is_not_tested() {
        let mut noise = Noise::new(2);
        let walk: Vec<f64> = (0..40)
            .scan(0.0, |log, _| {
                *log += 1e-3 * noise.normal();
                Some(*log)
            })
            .collect();
        assert!(Cointegration::fit(&walk, &walk).is_none(), "the residual is 0");
        assert!(Cointegration::fit(&walk, &[3.0; 40]).is_none());
        let still = Cointegration::fit(&[3.0; 40], &walk);
        assert!(still.is_none(), "{still:?}");
        assert!(Cointegration::fit(&walk[..29], &walk[..29]).is_none());
        let mut unknown = walk.clone();
        unknown[3] = f64::NAN;
        assert!(Cointegration::fit(&walk, &unknown).is_none());
        assert!(Cointegration::fit(&unknown, &walk).is_none());
    }
}
