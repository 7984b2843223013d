//! Transposition of matrices.

use super::simd::{Plain, Simd, SimdLevel, by_level};

by_level! {
    /// Transposes the first `columns` of a matrix of `rows` rows with stride `row` into rows with
    /// stride `out_row`.
    pub(super) fn transpose(
        matrix: &[f32],
        sizes: (usize, usize, usize),
        out: &mut [f32],
        out_row: usize,
    ) = transpose_with
}

#[inline(always)]
unsafe fn transpose_with<S: Simd>(
    matrix: &[f32],
    (rows, columns, row): (usize, usize, usize),
    out: &mut [f32],
    out_row: usize,
) {
    assert!(rows > 0 && (rows - 1) * row + columns <= matrix.len());
    assert!(columns > 0 && (columns - 1) * out_row + rows <= out.len());
    let (whole_rows, whole_columns) = (rows / 16 * 16, columns / 16 * 16);
    for first in (0..whole_rows).step_by(16) {
        for column in (0..whole_columns).step_by(16) {
            // SAFETY: the caller guarantees that the processor has S. A block of 16 rows and 16
            // columns lies within both matrices, by the assertions above.
            unsafe {
                let from = matrix.as_ptr().add(first * row + column);
                let mut block = [S::splat(0.0); 16];
                for (i, line) in block.iter_mut().enumerate() {
                    *line = S::load(from.add(i * row));
                }
                S::transpose(&mut block);
                let to = out.as_mut_ptr().add(column * out_row + first);
                for (i, line) in block.iter().enumerate() {
                    S::store(*line, to.add(i * out_row));
                }
            }
        }
    }
    // The remainder at the right and at the bottom.
    for column in 0..columns {
        let from = if column < whole_columns { whole_rows } else { 0 };
        for i in from..rows {
            out[column * out_row + i] = matrix[i * row + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole blocks and remainders on every side; nothing is written outside.
    #[test]
    fn every_element_changes_places_at_every_level() {
        for (rows, columns) in [(16, 16), (1, 1), (5, 40), (40, 5), (37, 50), (64, 32)] {
            let (row, out_row) = (columns + 3, rows + 2);
            let matrix: Vec<f32> = (0..rows * row).map(|i| i as f32).collect();
            for level in SimdLevel::available() {
                let mut out = vec![-1.0; columns * out_row];
                transpose(level, &matrix, (rows, columns, row), &mut out, out_row);
                for (at, &found) in out.iter().enumerate() {
                    let (column, i) = (at / out_row, at % out_row);
                    let expected = if i < rows { (i * row + column) as f32 } else { -1.0 };
                    assert_eq!(found, expected, "{level:?} {rows} {columns}: {i} {column}");
                }
            }
        }
    }
}
