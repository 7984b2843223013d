//! The normal distribution.

/// Cumulative distribution function. Marsaglia (2004), "Evaluating the normal distribution",
/// Journal of Statistical Software 11(4), section 1: 1/2 + density(z) (z + z^3/3 + z^5/(3 5) +
/// ...). Absolute error 1e-15.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    if z.abs() > 9.0 {
        return if z > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut odd) = (z, z, 1.0);
    while term.abs() > f64::EPSILON * sum.abs() * 0.1 {
        odd += 2.0;
        term *= z * z / odd;
        sum += term;
    }
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (0.5 + density * sum).clamp(0.0, 1.0)
}
