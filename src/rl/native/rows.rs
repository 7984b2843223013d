//! Operations on single rows of a matrix: sums, norms, softmax.

use super::simd::Simd;

/// The epsilon of PyTorch's `nn.LayerNorm`.
const EPSILON: f32 = 1e-5;

/// Dot product, in sixteen partial sums and then the remainder.
#[inline(always)]
pub(super) unsafe fn dot<S: Simd>(x: &[f32], y: &[f32]) -> f32 {
    assert_eq!(x.len(), y.len());
    let whole = x.len() / 16 * 16;
    // SAFETY: the caller guarantees that the processor has S; `whole` keeps loads inside the
    // slices.
    unsafe {
        let mut sums = S::splat(0.0);
        for i in (0..whole).step_by(16) {
            sums = S::fma(S::load(x.as_ptr().add(i)), S::load(y.as_ptr().add(i)), sums);
        }
        let mut sum = S::sum(sums);
        for i in whole..x.len() {
            sum = x[i].mul_add(y[i], sum);
        }
        sum
    }
}

#[inline(always)]
pub(super) unsafe fn sum<S: Simd>(x: &[f32]) -> f32 {
    let whole = x.len() / 16 * 16;
    // SAFETY: the caller guarantees that the processor has S; `whole` keeps loads inside the
    // slices.
    unsafe {
        let (one, mut sums) = (S::splat(1.0), S::splat(0.0));
        for i in (0..whole).step_by(16) {
            sums = S::fma(S::load(x.as_ptr().add(i)), one, sums);
        }
        x[whole..].iter().fold(S::sum(sums), |sum, x| sum + x)
    }
}

/// `y += a * x`
#[inline(always)]
pub(super) fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = a.mul_add(x, *y);
    }
}

/// `y = a * x`
#[inline(always)]
pub(super) fn scale_to(a: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = a * x;
    }
}

/// Column sums over `rows` rows with stride `row`, added in row order.
#[inline(always)]
pub(super) fn sum_columns(data: &[f32], row: usize, rows: usize, out: &mut [f32]) {
    out.fill(0.0);
    for i in 0..rows {
        let values = &data[i * row..][..out.len()];
        for (sum, &value) in out.iter_mut().zip(values) {
            *sum += value;
        }
    }
}

/// Scale and shift of a layer norm; None if it is switched off.
pub(super) type Norm<'a> = Option<(&'a [f32], &'a [f32])>;

/// NaN stays NaN, so that diverged training is noticed.
#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `out = norm(x)`, then ReLU if `rectify`. Leaves in `x` the normalised values before scale and
/// shift, which the backward pass needs. Returns 1 / standard deviation.
#[inline(always)]
pub(super) unsafe fn norm_row<S: Simd>(
    x: &mut [f32],
    norm: Norm<'_>,
    rectify: bool,
    out: &mut [f32],
) -> f32 {
    assert_eq!(x.len(), out.len());
    let mut inverse = 1.0;
    match norm {
        Some((scale, shift)) => {
            assert!(scale.len() == x.len() && shift.len() == x.len());
            let part = 1.0 / x.len() as f32;
            // SAFETY: the caller guarantees that the processor has S.
            let mean = unsafe { sum::<S>(x) } * part;
            x.iter_mut().for_each(|x| *x -= mean);
            // SAFETY: the caller guarantees that the processor has S.
            let variance = unsafe { dot::<S>(x, x) } * part;
            inverse = 1.0 / (variance + EPSILON).sqrt();
            for i in 0..x.len() {
                x[i] *= inverse;
                out[i] = x[i].mul_add(scale[i], shift[i]);
            }
        }
        None => out.copy_from_slice(x),
    }
    if rectify {
        out.iter_mut().for_each(|y| *y = relu(*y));
    }
    inverse
}

/// The results of [`norm_row`] for a row.
pub(super) struct Normed<'a> {
    /// Normalised values before scale and shift.
    pub(crate) x: &'a [f32],
    pub(crate) inverse: f32,
    /// The output, if it was rectified.
    pub(crate) rectified: Option<&'a [f32]>,
}

/// Replaces d loss / d output in `grad` by d loss / d input; adds to `grad_scale` and `grad_shift`.
#[inline(always)]
pub(super) unsafe fn norm_row_back<S: Simd>(
    row: &Normed<'_>,
    norm: Norm<'_>,
    grad: &mut [f32],
    (grad_scale, grad_shift): (&mut [f32], &mut [f32]),
) {
    let len = grad.len();
    if let Some(result) = row.rectified {
        assert_eq!(result.len(), len);
        for i in 0..len {
            grad[i] = if result[i] > 0.0 { grad[i] } else { 0.0 };
        }
    }
    let Some((scale, _)) = norm else { return };
    assert!(row.x.len() == len && scale.len() == len);
    assert!(grad_scale.len() == len && grad_shift.len() == len);
    for i in 0..len {
        grad_scale[i] = grad[i].mul_add(row.x[i], grad_scale[i]);
        grad_shift[i] += grad[i];
        grad[i] *= scale[i];
    }
    let part = 1.0 / len as f32;
    // SAFETY: the caller guarantees that the processor has S.
    let (mean, along) = unsafe { (sum::<S>(grad) * part, dot::<S>(grad, row.x) * part) };
    for i in 0..len {
        grad[i] = row.inverse * (-row.x[i]).mul_add(along, grad[i] - mean);
    }
}

/// e^x to one or two units in the last place, for `x` at most 0, with the same operations on every
/// processor.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // 2^k e^r with |r| <= ln 2 / 2. Adding and subtracting 1.5 * 2^23, which leaves no bits for
    // fractions, rounds to k.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    // ln 2 in two parts, the first with few bits, so that k times it is exact.
    let r = k.mul_add(-0.693_359_4, x);
    let r = k.mul_add(2.121_944_4e-4, r);
    // Taylor series: the next term is below 2^-24 of the sum.
    let mut sum = 1.0 / 5_040.0;
    for divisor in [720.0f32, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = r.mul_add(sum, 1.0 / divisor);
    }
    // The low bits of the sum with `ROUND` are k.
    sum * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// Softmax over the rows of `scores`, `[peers, heads]`, per head and in place. `per_head_buffer` is
/// a buffer of twice the number of heads.
#[inline(always)]
pub(super) fn softmax(scores: &mut [f32], per_head_buffer: &mut [f32]) {
    let (largest, total) = per_head_buffer.split_at_mut(per_head_buffer.len() / 2);
    let heads = largest.len();
    largest.copy_from_slice(&scores[..heads]);
    for row in scores.chunks_exact(heads) {
        for (largest, &score) in largest.iter_mut().zip(row) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    for row in scores.chunks_exact_mut(heads) {
        row.iter_mut().zip(&*largest).for_each(|(score, largest)| *score -= largest);
    }
    // In one loop, so that it is vectorised.
    scores.iter_mut().for_each(|score| *score = exp(*score));
    total.fill(0.0);
    for row in scores.chunks_exact(heads) {
        total.iter_mut().zip(row).for_each(|(total, weight)| *total += weight);
    }
    for row in scores.chunks_exact_mut(heads) {
        row.iter_mut().zip(&*total).for_each(|(weight, total)| *weight /= total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_f64() {
        for i in 0..80_000 {
            let x = -0.001 * i as f32;
            let expected = f64::from(x).exp();
            let found = f64::from(exp(x));
            assert!((found / expected - 1.0).abs() < 2.5e-7, "{x}: {found} {expected}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e9) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn weights_sum_to_one_for_every_head() {
        let mut scores = vec![1.0, -200.0, 2.0, -200.0, 3.0, -200.0];
        softmax(&mut scores, &mut [0.0; 4]);
        for (found, expected) in
            scores.iter().zip([0.090_031, 1.0 / 3.0, 0.244_728, 1.0 / 3.0, 0.665_241, 1.0 / 3.0])
        {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
