//! Features with horizons in sessions, for bars of any length: at a moment at which several lengths
//! have a bar's end, all lead to the same returns and index, and nearly to the same volatilities.
//!
//! A session is a date of the market with bars. What is remembered are its close and its realised
//! variance, so memory per stock does not depend on the length of bars, either.

use std::collections::VecDeque;

use super::indicators::Rsi;
use crate::config::FeatureConfig;

/// Names of the features over sessions, in column order.
///
/// - `session_return_{k}`: log of the close over the last close of k sessions ago; with k = 1 the
///   return since yesterday's close.
/// - `session_volatility_{k}`: log of the root of the mean realised variance of the last k completed
///   sessions. A session's realised variance is the sum of the squared log returns of its bars and
///   of the overnight return before it (Andersen et al. 2003). All but the longest horizon are
///   relative to the longest one (log ratio).
/// - `session_rsi_{k}`: RSI over the closes of sessions with the present close in place of the
///   running session's, rescaled from 0..100 to -1..1.
///
/// While there are fewer sessions than a horizon, it is as long as they are. During the first
/// session all are undefined.
pub fn names(config: &FeatureConfig) -> Vec<String> {
    let returns = config.return_sessions().iter().map(|k| format!("session_return_{k}"));
    let volatilities = config.volatility_sessions.iter().map(|k| format!("session_volatility_{k}"));
    let indices = config.rsi_sessions.iter().map(|k| format!("session_rsi_{k}"));
    returns.chain(volatilities).chain(indices).collect()
}

/// Floor of the root mean square return: a hundredth of a basis point. A single tick in an
/// otherwise constant window gives more.
pub(super) const MIN_VOLATILITY: f64 = 1e-6;

/// What the clock tells about bars. `[bar]`.
pub struct SessionBars {
    /// Log return within the session; that of a session's first bar counts from its open.
    pub within: Vec<f64>,
    /// At a session's first bar: log of its open over the close before; NaN at the very first bar.
    pub gap: Vec<Option<f64>>,
}

/// Streaming state of one stock's features over sessions.
pub struct SessionFeatures {
    return_sessions: Vec<usize>,
    volatility_sessions: Vec<usize>,
    /// Index of the longest horizon in `volatility_sessions`.
    longest: Option<usize>,
    /// Log closes and realised variances of completed sessions, the latest last.
    log_closes: LastValues,
    variances: LastValues,
    /// Of the completed sessions.
    indices: Vec<Rsi>,
    /// Realised variance of the running session so far.
    variance: f64,
    /// Close of the last bar, and its log.
    last: Option<(f64, f64)>,
    /// Log close from which each return counts, and the volatilities: constant within a session.
    bases: Vec<f64>,
    levels: Vec<f32>,
}

impl SessionFeatures {
    /// Before the first bar, with the horizons of `config`.
    pub fn new(config: &FeatureConfig) -> SessionFeatures {
        let lengths = |sessions: &[u32]| sessions.iter().map(|&k| k as usize).collect::<Vec<_>>();
        let return_sessions = lengths(config.return_sessions());
        let volatility_sessions = lengths(&config.volatility_sessions);
        let longest = volatility_sessions.iter().enumerate().max_by_key(|&(_, sessions)| sessions);
        SessionFeatures {
            longest: longest.map(|(place, _)| place),
            log_closes: LastValues::new(&return_sessions),
            variances: LastValues::new(&volatility_sessions),
            indices: config.rsi_sessions.iter().map(|&k| Rsi::new(k as usize)).collect(),
            variance: 0.0,
            last: None,
            bases: vec![f64::NAN; return_sessions.len()],
            levels: vec![f32::NAN; volatility_sessions.len()],
            return_sessions,
            volatility_sessions,
        }
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.bases.len() + self.levels.len() + self.indices.len()
    }

    /// Takes in the stock's next bars and writes one column per feature of [`names`]. The result
    /// does not depend, to the last bit, on how bars are split into batches.
    pub fn update(
        &mut self,
        close: &[f64],
        log_close: &[f64],
        sessions: &SessionBars,
        out: &mut [&mut [f32]],
    ) {
        let (returns, rest) = out.split_at_mut(self.bases.len());
        let (volatilities, indices) = rest.split_at_mut(self.levels.len());
        for (t, (&close, &log_close)) in close.iter().zip(log_close).enumerate() {
            if let Some(gap) = sessions.gap[t] {
                self.begin_session(gap);
            }
            self.variance += sessions.within[t] * sessions.within[t];
            self.last = Some((close, log_close));
            for (out, base) in returns.iter_mut().zip(&self.bases) {
                out[t] = (log_close - base) as f32;
            }
            for (out, level) in volatilities.iter_mut().zip(&self.levels) {
                out[t] = *level;
            }
            for (out, index) in indices.iter_mut().zip(&self.indices) {
                let index = index.with_next(close);
                out[t] = index.map_or(f32::NAN, |index| (index / 50.0 - 1.0) as f32);
            }
        }
    }

    /// Only the first bar of the next session tells that one is over.
    fn begin_session(&mut self, gap: f64) {
        if let Some((close, log_close)) = self.last {
            self.log_closes.push(log_close);
            self.variances.push(self.variance);
            for index in &mut self.indices {
                index.update(close);
            }
            for (base, &sessions) in self.bases.iter_mut().zip(&self.return_sessions) {
                *base = self.log_closes.last(sessions).next().unwrap_or(f64::NAN);
            }
            self.write_levels();
        }
        self.variance = if gap.is_nan() { 0.0 } else { gap * gap };
    }

    fn write_levels(&mut self) {
        for (level, &sessions) in self.levels.iter_mut().zip(&self.volatility_sessions) {
            let last = self.variances.last(sessions);
            let count = last.len() as f64;
            *level = (last.sum::<f64>() / count).sqrt().max(MIN_VOLATILITY).ln() as f32;
        }
        let Some(longest) = self.longest else { return };
        let whole = self.levels[longest];
        for (place, level) in self.levels.iter_mut().enumerate() {
            *level -= if place == longest { 0.0 } else { whole };
        }
    }
}

/// The last values up to a number.
struct LastValues {
    kept: usize,
    values: VecDeque<f64>,
}

impl LastValues {
    /// Keeps as many as the largest of `counts`.
    fn new(counts: &[usize]) -> LastValues {
        LastValues { kept: counts.iter().copied().max().unwrap_or(0), values: VecDeque::new() }
    }

    fn push(&mut self, value: f64) {
        self.values.push_back(value);
        if self.values.len() > self.kept {
            self.values.pop_front();
        }
    }

    /// The last `count` values, or as many as there are, the oldest first.
    fn last(&self, count: usize) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.values.range(self.values.len().saturating_sub(count)..).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::bar_slice::BarSlice;
    use crate::features::fixtures::{Noise, bar_end_s};
    use crate::features::own_features::OwnFeatures;
    use crate::market::{Bar, BarSeries};

    fn small() -> FeatureConfig {
        FeatureConfig {
            return_sessions: Some(vec![1, 2]),
            volatility_sessions: vec![2, 1],
            rsi_sessions: vec![2],
            ..FeatureConfig::default()
        }
    }

    /// Features over sessions at every bar: `[bar][feature]`.
    fn features(config: &FeatureConfig, bars: &BarSeries) -> Vec<Vec<f32>> {
        let mut own = OwnFeatures::new(config);
        let width = crate::features::own_features::names(config).len();
        let mut out = vec![vec![0.0; bars.len()]; width];
        let logs: Vec<f64> = bars.close.iter().map(|close| close.ln()).collect();
        let mut columns: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        own.update(BarSlice::from_series(bars, 0..bars.len(), &logs), &mut columns);
        let over_sessions = &out[width - names(config).len()..];
        (0..bars.len()).map(|t| over_sessions.iter().map(|column| column[t]).collect()).collect()
    }

    fn series(bars: impl IntoIterator<Item = Bar>) -> BarSeries {
        let mut series = BarSeries::new("A".parse().unwrap());
        bars.into_iter().for_each(|bar| series.push(bar));
        series
    }

    fn assert_near(found: &[f32], expected: &[f64], place: &str) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let near = (f64::from(*found) - expected).abs() < 1e-6;
            assert!(near || (found.is_nan() && expected.is_nan()), "{place}: {found}, {expected}");
        }
    }

    /// Four sessions of two bars, given as (open, close).
    #[test]
    fn every_feature_by_hand() {
        let prices = [
            (100.0, 101.0),
            (101.0, 100.0),
            (102.0, 104.0),
            (104.0, 103.0),
            (103.0, 101.0),
            (101.0, 102.0),
            (102.0, 102.0),
            (102.0, 106.0),
        ];
        let bar = |(i, &(open, close)): (usize, &(f64, f64))| {
            let (high, low) = (open.max(close), open.min(close));
            Bar { end_s: bar_end_s(i, 2, 195), open, high, low, close, volume: 1.0 }
        };
        let found = features(&small(), &series(prices.iter().enumerate().map(bar)));
        assert_eq!(
            names(&small())[2..],
            ["session_volatility_2", "session_volatility_1", "session_rsi_2"]
        );
        let ln = f64::ln;
        let square = |from: f64, to: f64| ln(to / from).powi(2);
        // Of the three completed sessions; before the first there is no night.
        let variances = [
            square(100.0, 101.0) + square(101.0, 100.0),
            square(100.0, 102.0) + square(102.0, 104.0) + square(104.0, 103.0),
            square(103.0, 101.0) + square(101.0, 102.0),
        ];
        let level =
            |variances: &[f64]| ln((variances.iter().sum::<f64>() / variances.len() as f64).sqrt());
        assert_near(&found[0], &[f64::NAN; 5], "first session");
        assert_near(&found[1], &[f64::NAN; 5], "first session");
        // Closes 100; 103, 102 at the ends of the sessions.
        let one = level(&variances[..1]);
        let second = |close: f64| [ln(close / 100.0), ln(close / 100.0), one, 0.0, 1.0];
        assert_near(&found[2], &second(104.0), "second session");
        assert_near(&found[3], &second(103.0), "second session");
        let (two, last) = (level(&variances[..2]), level(&variances[1..2]));
        // The change +3 and -2 or -1: gains are 3 of 5, then of 4.
        let third = |close: f64, rsi| [ln(close / 103.0), ln(close / 100.0), two, last - two, rsi];
        assert_near(&found[4], &third(101.0, 0.2), "third session");
        assert_near(&found[5], &third(102.0, 0.5), "third session");
        let (two, last) = (level(&variances[1..]), level(&variances[2..]));
        // Means (1.5, 0.5) of the changes +3 and -1; then no change, then +4.
        let fourth = |close: f64, rsi| [ln(close / 102.0), ln(close / 103.0), two, last - two, rsi];
        assert_near(&found[6], &fourth(102.0, 0.5), "fourth session");
        assert_near(&found[7], &fourth(106.0, 2.0 * 5.5 / 6.0 - 1.0), "fourth session");
    }

    /// Bars of `minutes` from one-minute bars, in steps from the open; the last of a session is
    /// shorter where they do not divide it.
    fn aggregated(ones: &BarSeries, minutes: usize) -> BarSeries {
        let mut longer = series([]);
        for day in (0..ones.len()).collect::<Vec<_>>().chunks(390) {
            for part in day.chunks(minutes) {
                let bars: Vec<Bar> = part.iter().map(|&i| ones.bar(i)).collect();
                let (first, last) = (bars[0], bars[bars.len() - 1]);
                longer.push(Bar {
                    end_s: last.end_s,
                    open: first.open,
                    high: bars.iter().fold(0.0, |high, bar| bar.high.max(high)),
                    low: bars.iter().fold(f64::INFINITY, |low, bar| bar.low.min(low)),
                    close: last.close,
                    volume: bars.iter().map(|bar| bar.volume).sum(),
                });
            }
        }
        longer
    }

    /// A day, a week and a month.
    fn horizons() -> FeatureConfig {
        FeatureConfig {
            return_sessions: Some(vec![1, 5, 20]),
            volatility_sessions: vec![5, 20],
            rsi_sessions: vec![14],
            ..FeatureConfig::default()
        }
    }

    /// A random walk of 50 sessions of one-minute bars with nights, and the same as bars of five
    /// minutes and of an hour: equal at common ends but for the sampling error of the volatility.
    #[test]
    fn bars_of_any_length_lead_to_the_same_values() {
        let mut noise = Noise::new(31);
        let mut price = 100.0_f64;
        let mut ones = series([]);
        for i in 0..50 * 390 {
            let night = if i % 390 == 0 { 5e-3 } else { 0.0 };
            let open = price * (night * noise.normal()).exp();
            price = open * (5e-4 * noise.normal()).exp();
            let (high, low) = (open.max(price), open.min(price));
            let end_s = bar_end_s(i, 390, 1);
            ones.push(Bar { end_s, open, high, low, close: price, volume: 1.0 });
        }
        let config = horizons();
        let names = names(&config);
        assert_eq!(names.len(), 6);
        let of_ones = features(&config, &ones);
        for minutes in [5, 60] {
            let longer = aggregated(&ones, minutes);
            assert_eq!(longer.len(), 50 * 390_usize.div_ceil(minutes));
            let mut worst = 0.0_f32;
            for (t, found) in features(&config, &longer).iter().enumerate() {
                let same = ones.end_s.binary_search(&longer.end_s[t]).unwrap();
                for (i, name) in names.iter().enumerate() {
                    let (found, expected) = (found[i], of_ones[same][i]);
                    if !name.contains("volatility") {
                        assert_eq!(found.to_bits(), expected.to_bits(), "{name}, bar {t}");
                    } else if longer.end_s[t] > bar_end_s(21 * 390, 390, 1) {
                        worst = worst.max((found - expected).abs());
                    }
                }
            }
            // Realised variances of hours and minutes differ by 0.44 of a session's variance in a
            // standard deviation, those of five minutes and one by 0.13; over five sessions 1/sqrt(5)
            // of it, and in the log of a root half of that: 0.1 and 0.03. Four of them:
            assert!(worst > 0.0 && worst < if minutes == 5 { 0.12 } else { 0.4 }, "{worst}");
        }
    }

    #[test]
    fn no_horizon_is_no_feature() {
        let config = FeatureConfig::default();
        assert!(names(&config).is_empty() && config.warmup_sessions() == 0);
        let bar = |i: usize| Bar {
            end_s: bar_end_s(i, 2, 195),
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            volume: 1.0,
        };
        assert_eq!(features(&config, &series((0..9).map(bar))), vec![Vec::<f32>::new(); 9]);
        assert_eq!(horizons().warmup_sessions(), 42);
    }
}
