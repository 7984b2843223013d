//! Technical indicators that match TA-Lib 0.8.1 (default compatibility, no unstable period).
//!
//! Each is a struct that takes one value at a time and returns None until it is defined.

use std::collections::VecDeque;

use super::rolling::{Extremes, Moments, Window};

/// Exponential moving average with weight 2 / (period + 1), seeded with the mean of the first
/// `period` values.
#[derive(Clone, Debug)]
pub(crate) struct Ema {
    period: usize,
    weight: f64,
    seen: usize,
    /// Sum of the values until `period` were seen, the average from then on.
    state: f64,
}

impl Ema {
    pub(crate) fn new(period: usize) -> Ema {
        assert!(period > 0, "an average is over at least one value");
        Ema { period, weight: 2.0 / (period as f64 + 1.0), seen: 0, state: 0.0 }
    }

    pub(crate) fn update(&mut self, value: f64) -> Option<f64> {
        if self.seen >= self.period {
            self.state += (value - self.state) * self.weight;
            return Some(self.state);
        }
        self.seen += 1;
        self.state += value;
        if self.seen < self.period {
            return None;
        }
        self.state /= self.period as f64;
        Some(self.state)
    }
}

/// Simple moving average.
#[derive(Clone, Debug)]
pub(crate) struct Sma(Window<Moments>);

impl Sma {
    pub(crate) fn new(period: usize) -> Sma {
        Sma(Window::new(period))
    }

    pub(crate) fn update(&mut self, value: f64) -> Option<f64> {
        self.0.update(value).map(|window| window.mean())
    }
}

/// Rolling population standard deviation.
#[derive(Clone, Debug)]
pub(crate) struct RollingStd(Window<Moments>);

impl RollingStd {
    pub(crate) fn new(period: usize) -> RollingStd {
        RollingStd(Window::new(period))
    }

    pub(crate) fn update(&mut self, value: f64) -> Option<f64> {
        self.0.update(value).map(|window| window.std())
    }
}

/// Relative strength index, 0 to 100, with Wilder's smoothing. Wilder (1978). None also if the price
/// has not moved: gains over gains and losses are then undefined (TA-Lib has 0, its strongest
/// signal to buy).
#[derive(Clone, Debug)]
pub(crate) struct Rsi {
    period: usize,
    previous: Option<f64>,
    changes: usize,
    /// Sums of gains and losses until `period` changes were seen, their smoothed means from then
    /// on.
    gain: f64,
    loss: f64,
}

impl Rsi {
    pub(crate) fn new(period: usize) -> Rsi {
        assert!(period > 0, "an index is over at least one change");
        Rsi { period, previous: None, changes: 0, gain: 0.0, loss: 0.0 }
    }

    pub(crate) fn update(&mut self, close: f64) -> Option<f64> {
        let change = close - self.previous.replace(close)?;
        let period = self.period as f64;
        if self.changes >= self.period {
            self.gain *= period - 1.0;
            self.loss *= period - 1.0;
        }
        self.gain += change.max(0.0);
        self.loss += (-change).max(0.0);
        self.changes = (self.changes + 1).min(self.period + 1);
        if self.changes < self.period {
            return None;
        }
        self.gain /= period;
        self.loss /= period;
        let total = self.gain + self.loss;
        (total > 0.0).then(|| 100.0 * (self.gain / total))
    }

    /// Whether its period is over, so that None means a price that has not moved.
    pub(crate) fn is_warm(&self) -> bool {
        self.changes >= self.period
    }

    /// What the index would be if `close` were the next value, over the changes that there are
    /// while these are fewer than its period. None before the first value, and if the price has
    /// never moved.
    pub(crate) fn with_next(&self, close: f64) -> Option<f64> {
        let change = close - self.previous?;
        let kept = if self.changes >= self.period { self.period as f64 - 1.0 } else { 1.0 };
        let gain = self.gain * kept + change.max(0.0);
        let total = gain + self.loss * kept + (-change).max(0.0);
        (total > 0.0).then(|| 100.0 * (gain / total))
    }
}

/// Moving average convergence/divergence, in price units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MacdValue {
    /// Fast average minus slow average.
    pub(crate) macd: f64,
    /// Exponential moving average of `macd`.
    pub(crate) signal: f64,
    /// `macd` minus `signal`.
    pub(crate) histogram: f64,
}

/// MACD. Appel (1979). As in TA-Lib, both averages start at the same bar, the last of the first
/// slow period: the fast average is seeded with the mean of the last `fast` values up to that bar.
/// Periods are swapped if the fast one is longer.
#[derive(Clone, Debug)]
pub(crate) struct Macd {
    /// Values still to be skipped before the fast average starts.
    skip: usize,
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

impl Macd {
    pub(crate) fn new(fast: usize, slow: usize, signal: usize) -> Macd {
        let (fast, slow) = (fast.min(slow), fast.max(slow));
        let skip = slow - fast;
        Macd { skip, fast: Ema::new(fast), slow: Ema::new(slow), signal: Ema::new(signal) }
    }

    pub(crate) fn update(&mut self, close: f64) -> Option<MacdValue> {
        let slow = self.slow.update(close);
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let macd = self.fast.update(close)? - slow?;
        let signal = self.signal.update(macd)?;
        Some(MacdValue { macd, signal, histogram: macd - signal })
    }
}

/// Bollinger Bands, in price units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bands {
    pub(crate) upper: f64,
    pub(crate) middle: f64,
    pub(crate) lower: f64,
}

impl Bands {
    /// Bands at `width` standard deviations around the mean.
    #[inline(always)]
    pub(crate) fn from_moments(window: &Moments, width: f64) -> Bands {
        let (middle, half) = (window.mean(), width * window.std());
        Bands { upper: middle + half, middle, lower: middle - half }
    }
}

/// Bollinger Bands with the population standard deviation. Bollinger (2001).
#[derive(Clone, Debug)]
pub(crate) struct Bollinger {
    width: f64,
    window: Window<Moments>,
}

impl Bollinger {
    /// `width` is in standard deviations.
    pub(crate) fn new(period: usize, width: f64) -> Bollinger {
        Bollinger { width, window: Window::new(period) }
    }

    pub(crate) fn update(&mut self, close: f64) -> Option<Bands> {
        self.window.update(close).map(|window| Bands::from_moments(&window, self.width))
    }
}

/// Rate of change in per cent against the value `period` values ago.
#[derive(Clone, Debug)]
pub(crate) struct Roc {
    period: usize,
    past: VecDeque<f64>,
}

impl Roc {
    pub(crate) fn new(period: usize) -> Roc {
        assert!(period > 0, "a change is over at least one value");
        Roc { period, past: VecDeque::with_capacity(period + 1) }
    }

    pub(crate) fn update(&mut self, value: f64) -> Option<f64> {
        self.past.push_back(value);
        if self.past.len() <= self.period {
            return None;
        }
        let before = self.past.pop_front()?;
        Some(if before == 0.0 { 0.0 } else { (value / before - 1.0) * 100.0 })
    }
}

/// Rolling maximum and minimum (TA-Lib's MAX and MIN).
#[derive(Clone, Debug)]
pub(crate) struct RollingRange(Window<Extremes>);

impl RollingRange {
    pub(crate) fn new(period: usize) -> RollingRange {
        RollingRange(Window::new(period))
    }

    pub(crate) fn update(&mut self, value: f64) -> Option<Extremes> {
        self.0.update(value)
    }
}

/// Average true range with Wilder's smoothing, in price units. Wilder (1978). As in TA-Lib, the
/// first bar has no true range; a period of 1 is not smoothed.
#[derive(Clone, Debug)]
pub(crate) struct Atr {
    period: usize,
    last_close: Option<f64>,
    seen: usize,
    /// Sum of the true ranges until `period` were seen, their smoothed mean from then on.
    state: f64,
}

impl Atr {
    pub(crate) fn new(period: usize) -> Atr {
        assert!(period > 0, "an average is over at least one range");
        Atr { period, last_close: None, seen: 0, state: 0.0 }
    }

    pub(crate) fn update(&mut self, high: f64, low: f64, close: f64) -> Option<f64> {
        let before = self.last_close.replace(close)?;
        let range = (high - low).max((before - high).abs()).max((before - low).abs());
        let period = self.period as f64;
        if self.seen >= self.period {
            self.state = (self.state * (period - 1.0) + range) / period;
            return Some(self.state);
        }
        self.seen += 1;
        self.state += range;
        if self.seen < self.period {
            return None;
        }
        self.state /= period;
        Some(self.state)
    }
}

#[cfg(test)]
pub(crate) mod whole;

#[cfg(test)]
mod tests {
    use super::whole::*;
    use super::*;

    const GOLDEN: &str = include_str!("../../tests/golden/indicators.csv");

    /// One column of the golden file; None where TA-Lib returns NaN.
    fn golden(name: &str) -> Vec<Option<f64>> {
        let mut lines = GOLDEN.lines();
        let column = lines.next().unwrap().split(',').position(|head| head == name).unwrap();
        let cell = |line: &str| line.split(',').nth(column).unwrap().parse().ok();
        lines.map(cell).collect()
    }

    fn close() -> Vec<f64> {
        golden("close").into_iter().map(Option::unwrap).collect()
    }

    /// Asserts equality within 1e-9 of `scale`, and None on the same rows.
    fn assert_close(name: &str, found: Vec<Option<f64>>, scale: &[f64]) {
        let expected = golden(name);
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().flatten().count() > 800, "{name} is mostly defined");
        for (t, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.is_some(), expected.is_some(), "{name} at {t}");
            let (found, expected) = (found.unwrap_or(0.0), expected.unwrap_or(0.0));
            let error = (found - expected).abs() / scale[t];
            assert!(error < 1e-9, "{name} at {t}: {found} against {expected}");
        }
    }

    #[test]
    fn rsi_is_talibs() {
        let hundred = vec![100.0; close().len()];
        assert_close("rsi_14", rsi(&close(), 14), &hundred);
        assert_close("rsi_2", rsi(&close(), 2), &hundred);
    }

    /// MACD is a difference of prices, so its error is measured relative to the price.
    #[test]
    fn macd_is_talibs() {
        let close = close();
        let (long, short) = (macd(&close, 12, 26, 9), macd(&close, 7, 3, 4));
        let part = |values: &[Option<MacdValue>], f: fn(MacdValue) -> f64| {
            values.iter().map(|value| value.map(f)).collect::<Vec<_>>()
        };
        assert_close("macd", part(&long, |v| v.macd), &close);
        assert_close("signal", part(&long, |v| v.signal), &close);
        assert_close("histogram", part(&long, |v| v.histogram), &close);
        assert_close("macd_short", part(&short, |v| v.macd), &close);
        assert_close("signal_short", part(&short, |v| v.signal), &close);
        assert_close("histogram_short", part(&short, |v| v.histogram), &close);
    }

    #[test]
    fn bands_and_averages_are_talibs() {
        let close = close();
        let bands = bollinger(&close, 20, 2.0);
        assert_close("upper", bands.iter().map(|b| b.map(|b| b.upper)).collect(), &close);
        assert_close("middle", bands.iter().map(|b| b.map(|b| b.middle)).collect(), &close);
        assert_close("lower", bands.iter().map(|b| b.map(|b| b.lower)).collect(), &close);
        assert_close("sma_10", sma(&close, 10), &close);
        assert_close("ema_10", ema(&close, 10), &close);
        assert_close("std_20", rolling_std(&close, 20), &close);
    }

    #[test]
    fn changes_and_ranges_are_talibs() {
        let close = close();
        let hundred = vec![100.0; close.len()];
        let mut roc = Roc::new(10);
        assert_close("roc_10", each(&close, |value| roc.update(value)), &hundred);
        let mut range = RollingRange::new(15);
        let range = each(&close, |value| range.update(value));
        let part = |f: fn(Extremes) -> f64| range.iter().map(|r| r.map(f)).collect();
        assert_close("highest_15", part(|r| r.highest()), &close);
        assert_close("lowest_15", part(|r| r.lowest()), &close);
        let (high, low) = (golden("high"), golden("low"));
        for (name, period) in [("atr_14", 14), ("atr_1", 1)] {
            let mut atr = Atr::new(period);
            let found = (0..close.len())
                .map(|t| atr.update(high[t].unwrap(), low[t].unwrap(), close[t]))
                .collect();
            assert_close(name, found, &close);
        }
    }

    /// Expected values are TA-Lib's output for prices that never move, only rise or only fall, but
    /// for the index of prices that never move.
    #[test]
    fn flat_and_monotone_prices() {
        let flat = [5.1; 60];
        assert_eq!(rsi(&flat, 14), [None; 60]);
        let still = MacdValue { macd: 0.0, signal: 0.0, histogram: 0.0 };
        let last = macd(&flat, 12, 26, 9)[59].unwrap();
        assert!((last.macd - still.macd).abs() < 1e-14 && last.histogram.abs() < 1e-14);
        assert_eq!(bollinger(&flat, 20, 2.0)[59].unwrap().upper, 5.1);
        let rising: Vec<f64> = (1..=60).map(f64::from).collect();
        assert_eq!(rsi(&rising, 14)[59], Some(100.0));
        assert_eq!(macd(&rising, 12, 26, 9)[59].unwrap().macd, 7.0);
        assert!((rolling_std(&rising, 20)[59].unwrap() - 5.7662813).abs() < 1e-7);
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        assert_eq!(rsi(&falling, 14)[59], Some(0.0));
    }

    /// By hand, period 2, changes +1 +1 0 -1: smoothed (gain, loss) of (1, 0), (0.5, 0), (0.25,
    /// 0.5).
    #[test]
    fn wilders_smoothing_by_hand() {
        let found = rsi(&[1.0, 2.0, 3.0, 3.0, 2.0], 2);
        assert_eq!(found[..4], [None, None, Some(100.0), Some(100.0)]);
        assert!((found[4].unwrap() - 100.0 / 3.0).abs() < 1e-12);
    }
    /// With a fifth value of 2 it is what [`Rsi::update`] returns then, and nothing changes.
    #[test]
    fn the_next_value_can_be_tried() {
        let mut index = Rsi::new(2);
        assert_eq!(index.with_next(1.0), None);
        index.update(1.0);
        assert_eq!(
            [1.0, 2.0, 0.5].map(|close| index.with_next(close)),
            [None, Some(100.0), Some(0.0)]
        );
        index.update(2.0);
        // Of the changes +1 and -3 a quarter is gains.
        assert_eq!(index.with_next(-1.0), Some(25.0));
        index.update(3.0);
        index.update(3.0);
        let tried = index.with_next(2.0);
        assert!((tried.unwrap() - 100.0 / 3.0).abs() < 1e-12);
        assert_eq!(index.with_next(2.0), tried);
        assert!((index.update(2.0).unwrap() - tried.unwrap()).abs() < 1e-12);
    }
}
