//! Batches of consecutive bars as input of features: a whole series, or one new bar.

use std::ops::Range;

use crate::market::{Bar, BarSeries};

/// Consecutive bars of one stock, as columns of equal length.
#[derive(Clone, Copy)]
pub(crate) struct BarSlice<'a> {
    pub(crate) end_s: &'a [i64],
    pub(crate) open: &'a [f64],
    pub(crate) close: &'a [f64],
    pub(crate) volume: &'a [f64],
    /// Log of `close`.
    pub log_close: &'a [f64],
    /// `[bar, column]`: further columns; NaN where unknown.
    pub extras: &'a [f32],
}

impl<'a> BarSlice<'a> {
    /// Part of a series.
    pub(crate) fn from_series(
        series: &'a BarSeries,
        bars: Range<usize>,
        log_close: &'a [f64],
    ) -> BarSlice<'a> {
        BarSlice {
            end_s: &series.end_s[bars.clone()],
            open: &series.open[bars.clone()],
            close: &series.close[bars.clone()],
            volume: &series.volume[bars.clone()],
            log_close,
            extras: &series.extras
                [bars.start * series.columns.len()..bars.end * series.columns.len()],
        }
    }

    /// One bar, with its further columns.
    pub(crate) fn from_bar(bar: &'a Bar, log_close: &'a f64, extras: &'a [f32]) -> BarSlice<'a> {
        use std::slice::from_ref;
        BarSlice {
            end_s: from_ref(&bar.end_s),
            open: from_ref(&bar.open),
            close: from_ref(&bar.close),
            volume: from_ref(&bar.volume),
            log_close: from_ref(log_close),
            extras,
        }
    }
}

/// The last batch of a column, and the values before it up to a maximum lag.
pub(crate) struct ColumnHistory {
    kept: usize,
    /// `kept` values before the batch, NaN before the first value, then the batch.
    values: Vec<f64>,
}

impl ColumnHistory {
    pub(crate) fn new(kept: usize) -> ColumnHistory {
        ColumnHistory { kept, values: vec![f64::NAN; kept] }
    }

    pub(crate) fn push(&mut self, values: &[f64]) {
        self.values.drain(..self.values.len() - self.kept);
        self.values.extend_from_slice(values);
    }

    /// The last batch.
    pub(crate) fn now(&self) -> &[f64] {
        self.ago(0)
    }

    /// The last batch lagged by `places` values, at most `kept`.
    pub(crate) fn ago(&self, places: usize) -> &[f64] {
        &self.values[self.kept - places..self.values.len() - places]
    }
}

/// Converts to the panel's precision.
pub(crate) fn write(column: &[f64], out: &mut [f32]) {
    for (slot, &value) in out.iter_mut().zip(column) {
        *slot = value as f32;
    }
}
