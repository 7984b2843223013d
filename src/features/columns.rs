//! Features of all stocks between bars and panel. Values are stored column by column, one column
//! per stock and feature and one value per bar of the stock, because fitting reads one column at a
//! time and a column fits into the cache. Panel rows are assembled last.

use std::ops::Range;
use std::slice::ChunksExact;

use rayon::prelude::*;

use crate::compute::simd_dispatch::wide;
use crate::market::panel::{Grid, NO_BAR};

/// Rows per tile when panel rows are assembled. A tile is written column by column and has to fit
/// into the first-level cache.
const ROWS: usize = 32;
/// Rows per parallel task.
const PART: usize = 8 * ROWS;

/// The features of one stock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StockColumns {
    /// `[feature][bar]`; NaN where undefined.
    values: Vec<f32>,
    /// `[bar]`: its row in the grid.
    rows: Vec<u32>,
    /// `[bar]`: every feature is defined that has to be.
    settled: Vec<bool>,
}

impl StockColumns {
    /// Allocates `width` features for each bar of a stock. `index` `[row]`: the stock's bar at each
    /// grid row.
    pub(crate) fn new(width: usize, index: &[u32]) -> StockColumns {
        let rows = (0..).zip(index).filter(|&(_, &bar)| bar != NO_BAR);
        let rows: Vec<u32> = rows.map(|(row, _)| row).collect();
        let values = vec![0.0; width * rows.len().max(1)];
        StockColumns { values, settled: vec![false; rows.len()], rows }
    }

    /// From `[bar, feature]`; for tests.
    #[cfg(test)]
    pub(crate) fn from_features(index: &[u32], features: &[Vec<f32>]) -> StockColumns {
        let mut columns = StockColumns::new(features[0].len(), index);
        let (_, out) = columns.stretch(0..features.len());
        for (feature, column) in out.into_iter().enumerate() {
            column.iter_mut().zip(features).for_each(|(slot, row)| *slot = row[feature]);
        }
        columns.settle(&(0..0));
        columns
    }

    /// Grid rows of the given bars, and the same bars of each feature column, to be written.
    pub(crate) fn stretch(&mut self, bars: Range<usize>) -> (&[u32], Vec<&mut [f32]>) {
        let columns = self.values.chunks_exact_mut(self.rows.len().max(1));
        (&self.rows[bars.clone()], columns.map(|column| &mut column[bars.clone()]).collect())
    }

    /// Records which bars have all features defined but for the `optional` ones. Call it once all
    /// columns are written.
    pub(crate) fn settle(&mut self, optional: &Range<usize>) {
        self.settled.fill(true);
        let columns = self.values.chunks_exact(self.rows.len().max(1)).enumerate();
        for (_, column) in columns.filter(|(feature, _)| !optional.contains(feature)) {
            settle(&mut self.settled, column);
        }
    }

    /// The last bar at or before each of the given rows; `NO_BAR` before the first bar.
    fn carried(&self, index: &[u32], rows: Range<usize>) -> Vec<u32> {
        let before = self.rows.partition_point(|&row| (row as usize) < rows.start);
        let mut last = before.checked_sub(1).map_or(NO_BAR, |bar| bar as u32);
        let carry = |&bar: &u32| {
            last = if bar == NO_BAR { last } else { bar };
            last
        };
        index[rows].iter().map(carry).collect()
    }

    /// Writes the features of the given bars, one bar every `width` values of `out`. A `NO_BAR`
    /// leaves the value in `out` as it is.
    fn write(&self, bars: &[u32], out: &mut [f32], width: usize) {
        let one_by_one = bars[0] != NO_BAR && bars.array_windows().all(|[a, b]| a + 1 == *b);
        for (feature, column) in self.values().enumerate() {
            let slots = out[feature..].iter_mut().step_by(width);
            if one_by_one {
                let values = &column[bars[0] as usize..][..bars.len()];
                slots.zip(values).for_each(|(slot, value)| *slot = *value);
                continue;
            }
            for (slot, &bar) in slots.zip(bars) {
                *slot = column.get(bar as usize).copied().unwrap_or(*slot);
            }
        }
    }

    /// `[feature][bar]`.
    pub(crate) fn values(&self) -> ChunksExact<'_, f32> {
        self.values.chunks_exact(self.rows.len().max(1))
    }
}

/// The features of all stocks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Columns {
    pub(crate) stocks: Vec<StockColumns>,
    width: usize,
    /// Value of every feature before a stock's first bar: NaN unscaled, 0 scaled.
    fill: f32,
}

impl Columns {
    /// From unscaled columns with `width` features each.
    pub(crate) fn new(stocks: Vec<StockColumns>, width: usize) -> Columns {
        Columns { stocks, width, fill: f32::NAN }
    }

    /// Whether a stock has a bar at this row and all features of that bar are defined that have to
    /// be.
    pub(crate) fn tradable(&self, grid: &Grid, stock: usize, row: usize) -> bool {
        let bar = grid.bar_index[stock][row];
        bar != NO_BAR && self.settled(stock, bar as usize)
    }

    /// Whether all features of a bar are defined that have to be.
    pub(crate) fn settled(&self, stock: usize, bar: usize) -> bool {
        self.stocks[stock].settled[bar]
    }

    /// `[stock][row]`: the last bar at or before each of the given rows; `NO_BAR` before the first
    /// bar.
    pub(crate) fn carried(&self, grid: &Grid, rows: Range<usize>) -> Vec<Vec<u32>> {
        let stocks = self.stocks.iter().zip(&grid.bar_index);
        stocks.map(|(stock, index)| stock.carried(index, rows.clone())).collect()
    }

    /// Standardises all values in place with `mean` and `std`, both `[stock, feature]`, and clips
    /// them to `clip_std` standard deviations; undefined values become 0.
    pub(crate) fn scale(&mut self, mean: &[f32], std: &[f32], clip_std: f32) {
        let cells = self.stocks.len() * self.width;
        assert_eq!(mean.len(), cells, "the scaler is of these stocks and features");
        assert_eq!(std.len(), cells, "the scaler is of these stocks and features");
        let scales = mean.par_chunks(self.width).zip(std.par_chunks(self.width));
        self.stocks.par_iter_mut().zip(scales).for_each(|(stock, (mean, std))| {
            let columns = stock.values.par_chunks_exact_mut(stock.rows.len().max(1));
            let scales = mean.par_iter().zip(std);
            columns.zip(scales).for_each(|(column, (&mean, &std))| {
                scale(column, mean, std, clip_std);
            });
        });
        self.fill = 0.0;
    }

    /// Replaces `out` with `[row, stock, feature]`. `carried` `[stock][row]` comes from
    /// [`Columns::carried`].
    pub(crate) fn rows(&self, carried: &[Vec<u32>], out: &mut Vec<f32>) {
        let (rows, width) = (carried.first().map_or(0, Vec::len), self.stocks.len() * self.width);
        out.clear();
        out.resize(rows * width, self.fill);
        let parts = out.par_chunks_mut((PART * width).max(1)).enumerate();
        parts.for_each(|(part, out)| {
            for (i, tile) in out.chunks_mut(ROWS * width).enumerate() {
                let first = part * PART + i * ROWS;
                for (stock, (columns, carried)) in self.stocks.iter().zip(carried).enumerate() {
                    let bars = &carried[first..rows.min(first + ROWS)];
                    columns.write(bars, &mut tile[stock * self.width..], width);
                }
            }
        });
    }
}

wide! {
    /// Clears `settled` where the column is undefined. Undefined values are rare, so chunks are
    /// checked first.
    fn settle(settled: &mut [bool], column: &[f32]) -> () {
        for (settled, values) in settled.chunks_mut(1 << 10).zip(column.chunks(1 << 10)) {
            if !values.iter().fold(true, |all, value| all & value.is_finite()) {
                let values = settled.iter_mut().zip(values);
                values.for_each(|(settled, value)| *settled &= value.is_finite());
            }
        }
    }
}

wide! {
    fn scale(column: &mut [f32], mean: f32, std: f32, clip_std: f32) -> () {
        for value in column {
            *value = scaled(*value, mean, std, clip_std);
        }
    }
}

/// Standardised and clipped value; 0 where undefined.
#[inline(always)]
pub(super) fn scaled(value: f32, mean: f32, std: f32, clip_std: f32) -> f32 {
    let scaled = (value - mean) / std;
    let scaled = if scaled < -clip_std { -clip_std } else { scaled };
    let scaled = if scaled > clip_std { clip_std } else { scaled };
    if value.is_finite() { scaled } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stocks with two features over 300 rows. The first has no bar in row 0 and in every third
    /// row; the second has bars in the last hundred only.
    #[test]
    fn rows_carry_the_last_bar_forward() {
        let has_bar = |stock: usize, row: usize| match stock {
            0 => row > 0 && row % 3 != 2,
            _ => row >= 200,
        };
        let value = |stock: usize, row: usize, feature: usize| {
            if feature == 1 && row == 150 {
                f32::NAN
            } else {
                (row * 4 + stock * 2 + feature) as f32
            }
        };
        let mut bar_index = vec![Vec::new(); 2];
        let mut stocks = Vec::new();
        for (stock, index) in bar_index.iter_mut().enumerate() {
            let mut features = Vec::new();
            for row in 0..300 {
                let has_bar = has_bar(stock, row);
                index.push(if has_bar { features.len() as u32 } else { NO_BAR });
                if has_bar {
                    features.push(vec![value(stock, row, 0), value(stock, row, 1)]);
                }
            }
            stocks.push(StockColumns::from_features(index, &features));
        }
        let grid = Grid { end_s: (0..300).collect(), bar_index };
        let mut columns = Columns::new(stocks, 2);
        let mut found = Vec::new();
        for rows in [0..300, 0..1, 149..152, 190..300, 7..7] {
            columns.rows(&columns.carried(&grid, rows.clone()), &mut found);
            let mut expected = Vec::new();
            for (row, stock) in rows.flat_map(|row| [(row, 0), (row, 1)]) {
                let last = (0..=row).rev().find(|&row| has_bar(stock, row));
                let cell = |feature| last.map_or(f32::NAN, |row| value(stock, row, feature));
                expected.extend([cell(0), cell(1)].map(f32::to_bits));
            }
            assert_eq!(found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), expected);
        }
        // A feature is undefined in row 150, and row 149 has no bar.
        assert!(
            [148, 149, 150, 151].map(|row| columns.tradable(&grid, 0, row))
                == [true, false, false, true]
        );

        // Means 0 and 1, standard deviations 2 and 4, clipped at 100.
        let (mean, std) = (vec![0.0, 1.0, 0.0, 1.0], vec![2.0, 4.0, 2.0, 4.0]);
        columns.scale(&mean, &std, 100.0);
        columns.rows(&columns.carried(&grid, 0..300), &mut found);
        assert_eq!(found[..4], [0.0; 4]);
        assert_eq!(found[6 * 4..7 * 4], [12.0, 6.0, 0.0, 0.0]);
        assert_eq!(found[150 * 4..151 * 4], [100.0, 0.0, 0.0, 0.0]);
    }
}
