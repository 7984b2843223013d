//! Stretches of bars on their way to features: as many as there are, or the one that is new.

use std::ops::Range;

use crate::market::{Bar, BarSeries};

/// Bars of one stock that come one after the other, as columns of one length.
#[derive(Clone, Copy)]
pub struct Bars<'a> {
    pub end_s: &'a [i64],
    pub open: &'a [f64],
    pub close: &'a [f64],
    pub volume: &'a [f64],
    /// Of `close`.
    pub log_close: &'a [f64],
}

impl<'a> Bars<'a> {
    /// Some of a series.
    pub fn of(series: &'a BarSeries, bars: Range<usize>, log_close: &'a [f64]) -> Bars<'a> {
        Bars {
            end_s: &series.end_s[bars.clone()],
            open: &series.open[bars.clone()],
            close: &series.close[bars.clone()],
            volume: &series.volume[bars],
            log_close,
        }
    }

    pub fn one(bar: &'a Bar, log_close: &'a f64) -> Bars<'a> {
        use std::slice::from_ref;
        Bars {
            end_s: from_ref(&bar.end_s),
            open: from_ref(&bar.open),
            close: from_ref(&bar.close),
            volume: from_ref(&bar.volume),
            log_close: from_ref(log_close),
        }
    }
}

/// The values of a column that came last, and some of those before them.
pub struct History {
    kept: usize,
    /// So many as are kept, NaN before the first, and those that came last.
    values: Vec<f64>,
}

impl History {
    pub fn new(kept: usize) -> History {
        History { kept, values: vec![f64::NAN; kept] }
    }

    pub fn push(&mut self, values: &[f64]) {
        self.values.drain(..self.values.len() - self.kept);
        self.values.extend_from_slice(values);
    }

    /// Those that came last.
    pub fn now(&self) -> &[f64] {
        self.ago(0)
    }

    /// For each of them the value so many places before, at most as many as are kept.
    pub fn ago(&self, places: usize) -> &[f64] {
        &self.values[self.kept - places..self.values.len() - places]
    }
}

/// In the panel's precision.
pub fn write(column: &[f64], out: &mut [f32]) {
    for (slot, &value) in out.iter_mut().zip(column) {
        *slot = value as f32;
    }
}
