//! Products of small matrices. Each element of the result is summed separately, in the order of the
//! inner index: it depends neither on the number of rows nor on the instruction set.

use super::simd::Simd;

/// Number of extra elements after a right-hand matrix: vectors are always loaded whole.
pub(super) const SLACK: usize = 16;
/// Number of inner indices processed at a time, so that the data stays in the L1 cache.
const DEPTH: usize = 128;

/// Left-hand matrix; element (i, k) is at `i * row + k * step`.
#[derive(Clone, Copy)]
pub(super) struct LeftMatrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) step: usize,
}

/// Right-hand matrix; element (k, j) is at `k * row + j`.
#[derive(Clone, Copy)]
pub(super) struct RightMatrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
}

/// Initial value of the sums.
#[derive(Clone, Copy)]
pub(super) enum SumStart<'a> {
    Zero,
    /// The same for every row.
    Bias(&'a [f32]),
    /// The current content of the result.
    Result,
}

impl<'a> LeftMatrix<'a> {
    pub(crate) fn rows(data: &'a [f32], row: usize) -> LeftMatrix<'a> {
        LeftMatrix { data, row, step: 1 }
    }

    /// The transpose of a matrix with row stride `row`.
    pub(crate) fn columns(data: &'a [f32], row: usize) -> LeftMatrix<'a> {
        LeftMatrix { data, row: 1, step: row }
    }
}

/// `result[i * row + j] = start + sum_k left(i, k) * right(k, j)`, with `m` rows, `n` columns and
/// `k` inner indices.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(
    sizes: (usize, usize, usize),
    left: LeftMatrix<'_>,
    right: RightMatrix<'_>,
    start: SumStart<'_>,
    result: (&mut [f32], usize),
) {
    // SAFETY: the caller guarantees that the processor has S.
    unsafe { S::product(sizes, left, right, start, result) }
}

#[inline(always)]
pub(super) unsafe fn product_with<S: Simd>(
    (m, n, k): (usize, usize, usize),
    left: LeftMatrix<'_>,
    right: RightMatrix<'_>,
    start: SumStart<'_>,
    (result, row): (&mut [f32], usize),
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(k > 0, "a product without an inner index");
    assert!((m - 1) * left.row + (k - 1) * left.step < left.data.len());
    assert!((k - 1) * right.row + n.next_multiple_of(16) <= right.data.len());
    assert!((m - 1) * row + n <= result.len());
    if let SumStart::Bias(bias) = start {
        assert!(bias.len() >= n);
    }
    let mut from = 0;
    while from < k {
        let depth = DEPTH.min(k - from);
        let mut column = 0;
        while column < n {
            let vectors = (n - column).div_ceil(16).min(S::COLUMNS);
            let part = Part {
                rows: m,
                columns: (n - column).min(16 * vectors),
                depth,
                // SAFETY: inside `left`, by the assertions above.
                left: unsafe { left.data.as_ptr().add(from * left.step) },
                left_row: left.row,
                left_step: left.step,
                // SAFETY: inside `right`, by the assertions above.
                right: unsafe { right.data.as_ptr().add(from * right.row + column) },
                right_row: right.row,
                // SAFETY: inside `result`, by the assertions above.
                result: unsafe { result.as_mut_ptr().add(column) },
                result_row: row,
                start: match start {
                    SumStart::Bias(bias) if from == 0 => {
                        SumStartColumns::At(bias[column..].as_ptr())
                    }
                    SumStart::Zero if from == 0 => SumStartColumns::Zero,
                    _ => SumStartColumns::Result,
                },
            };
            // SAFETY: the caller guarantees that the processor has S. `part` lies within the three
            // slices, by the assertions above: its last column is the last of `n`, and of `right`
            // whole vectors are read, up to the next multiple of 16.
            unsafe {
                match vectors {
                    1 => part.run::<S, 8, 1>(),
                    2 => part.run::<S, 8, 2>(),
                    3 => part.run::<S, 8, 3>(),
                    _ => part.run::<S, 4, 4>(),
                }
            }
            column += 16 * vectors;
        }
        from += depth;
    }
}

/// A part of a product, of up to four vectors of columns.
struct Part {
    rows: usize,
    columns: usize,
    depth: usize,
    left: *const f32,
    left_row: usize,
    left_step: usize,
    right: *const f32,
    right_row: usize,
    result: *mut f32,
    result_row: usize,
    start: SumStartColumns,
}

/// [`SumStart`] for a range of columns.
#[derive(Clone, Copy)]
enum SumStartColumns {
    Zero,
    /// The same for every row.
    At(*const f32),
    Result,
}

impl Part {
    /// # Safety
    /// The processor must support `S`, and the pointers must be valid for `rows`, `columns` and
    /// `depth`: whole vectors of `right`, no more than `columns` of `result` and `start`.
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const VECTORS: usize>(&self) {
        let mut i = 0;
        // SAFETY: as the caller guarantees; `i` and the rows of a block are below `rows`.
        unsafe {
            while i + ROWS <= self.rows {
                self.block::<S, ROWS, VECTORS>(i);
                i += ROWS;
            }
            while i + 2 <= self.rows {
                self.block::<S, 2, VECTORS>(i);
                i += 2;
            }
            if i < self.rows {
                self.block::<S, 1, VECTORS>(i);
            }
        }
    }

    /// Rows `i` to `i + ROWS`, with their sums in registers.
    ///
    /// # Safety
    /// As for [`Part::run`]; `i + ROWS` must be at most `rows`.
    #[inline(always)]
    unsafe fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(&self, i: usize) {
        // SAFETY: as the caller guarantees; all vectors but the last are whole, and of that one
        // `last` columns are loaded and stored.
        unsafe {
            let zero = S::splat(0.0);
            let mut sums = [[zero; VECTORS]; ROWS];
            let last = self.columns - 16 * (VECTORS - 1);
            let result = self.result.add(i * self.result_row);
            for (r, sums) in sums.iter_mut().enumerate() {
                let from = match self.start {
                    SumStartColumns::Zero => break,
                    SumStartColumns::At(bias) => bias,
                    SumStartColumns::Result => result.add(r * self.result_row).cast_const(),
                };
                for v in 0..VECTORS - 1 {
                    sums[v] = S::load(from.add(16 * v));
                }
                sums[VECTORS - 1] = S::load_part(from.add(16 * (VECTORS - 1)), last);
            }
            let mut left = self.left.add(i * self.left_row);
            let mut right = self.right;
            for _ in 0..self.depth {
                let mut row = [zero; VECTORS];
                for v in 0..VECTORS {
                    row[v] = S::load(right.add(16 * v));
                }
                for r in 0..ROWS {
                    let x = S::splat(*left.add(r * self.left_row));
                    for v in 0..VECTORS {
                        sums[r][v] = S::fma(x, row[v], sums[r][v]);
                    }
                }
                left = left.wrapping_add(self.left_step);
                right = right.wrapping_add(self.right_row);
            }
            for (r, sums) in sums.iter().enumerate() {
                let to = result.add(r * self.result_row);
                for v in 0..VECTORS - 1 {
                    S::store(sums[v], to.add(16 * v));
                }
                S::store_part(sums[VECTORS - 1], to.add(16 * (VECTORS - 1)), last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::{Plain, SimdLevel, by_level};
    use super::*;

    fn noise(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut one = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| one()).collect()
    }

    struct Case<'a> {
        sizes: (usize, usize, usize),
        left: LeftMatrix<'a>,
        right: RightMatrix<'a>,
        start: SumStart<'a>,
    }

    by_level! {
        fn run(case: &Case<'_>, result: &mut [f32], row: usize) = run_with
    }

    #[inline(always)]
    unsafe fn run_with<S: Simd>(case: &Case<'_>, result: &mut [f32], row: usize) {
        // SAFETY: as this function's caller guarantees.
        unsafe { product::<S>(case.sizes, case.left, case.right, case.start, (result, row)) }
    }

    /// All kernels and remainders, compared with sums in f64; bit-identical at every level, and
    /// nothing is written outside the result.
    #[test]
    fn products_equal_sums_written_out_at_every_level() {
        for (m, n, k) in
            [(1, 1, 1), (9, 3, 5), (13, 34, 7), (6, 64, 300), (17, 131, 40), (8, 48, 2)]
        {
            let (a, b, bias) = (noise(m * k, 1), noise(k * (n + 2) + SLACK, 2), noise(n, 3));
            for transposed in [false, true] {
                let left =
                    if transposed { LeftMatrix::columns(&a, m) } else { LeftMatrix::rows(&a, k) };
                for start in [SumStart::Zero, SumStart::Bias(&bias), SumStart::Result] {
                    let right = RightMatrix { data: &b, row: n + 2 };
                    let case = Case { sizes: (m, n, k), left, right, start };
                    let before = noise(m * (n + 1), 4);
                    let of = |level| {
                        let mut result = before.clone();
                        run(level, &case, &mut result, n + 1);
                        result
                    };
                    let results: Vec<Vec<f32>> =
                        SimdLevel::available().into_iter().map(of).collect();
                    assert!(results.iter().all(|result| *result == results[0]));
                    for (at, &found) in results[0].iter().enumerate() {
                        let (i, j) = (at / (n + 1), at % (n + 1));
                        if j == n {
                            assert_eq!(found, before[at], "beside the result");
                            continue;
                        }
                        let begun = match start {
                            SumStart::Zero => 0.0,
                            SumStart::Bias(bias) => f64::from(bias[j]),
                            SumStart::Result => f64::from(before[at]),
                        };
                        let term = |x: usize| {
                            let left = a[i * left.row + x * left.step];
                            f64::from(left) * f64::from(b[x * (n + 2) + j])
                        };
                        let expected = begun + (0..k).map(term).sum::<f64>();
                        assert!((f64::from(found) - expected).abs() < 1e-4, "{found} {expected}");
                    }
                }
            }
        }
    }
}
