//! The indicators at every value of a series, by the same structs; for tests.

use super::*;

pub(crate) fn each<T>(values: &[f64], mut update: impl FnMut(f64) -> Option<T>) -> Vec<Option<T>> {
    values.iter().map(|&value| update(value)).collect()
}

/// [`Ema`] at every value.
pub(crate) fn ema(values: &[f64], period: usize) -> Vec<Option<f64>> {
    let mut state = Ema::new(period);
    each(values, |value| state.update(value))
}

/// [`Sma`] at every value.
pub(crate) fn sma(values: &[f64], period: usize) -> Vec<Option<f64>> {
    let mut state = Sma::new(period);
    each(values, |value| state.update(value))
}

/// [`RollingStd`] at every value.
pub(crate) fn rolling_std(values: &[f64], period: usize) -> Vec<Option<f64>> {
    let mut state = RollingStd::new(period);
    each(values, |value| state.update(value))
}

/// [`Rsi`] at every close.
pub(crate) fn rsi(close: &[f64], period: usize) -> Vec<Option<f64>> {
    let mut state = Rsi::new(period);
    each(close, |value| state.update(value))
}

/// [`Macd`] at every close.
pub(crate) fn macd(
    close: &[f64],
    fast: usize,
    slow: usize,
    signal: usize,
) -> Vec<Option<MacdValue>> {
    let mut state = Macd::new(fast, slow, signal);
    each(close, |value| state.update(value))
}

/// [`Bollinger`] at every close.
pub(crate) fn bollinger(close: &[f64], period: usize, width: f64) -> Vec<Option<Bands>> {
    let mut state = Bollinger::new(period, width);
    each(close, |value| state.update(value))
}
