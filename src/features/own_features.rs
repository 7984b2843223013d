//! Features computed from a stock's own bars, streaming or in batches.

use chrono::{DateTime, Offset, TimeZone};

use super::bar_slice::{BarSlice, ColumnHistory, write};
use super::extra_columns::{self, ExtraColumns};
use super::indicators::{Bands, Macd, Rsi};
use super::rolling::{Moments, Window};
use super::session_features::{self, SessionBars, SessionFeatures};
use super::session_returns::SessionReturns;
use crate::config::FeatureConfig;
use crate::market::calendar::{market, market_zone};

/// Names of the features computed from a stock's own bars, in column order.
///
/// - `return_{k}`: log return of the close over k bars.
/// - `rsi`: RSI rescaled from 0..100 to -1..1; 0 while the price has not moved.
/// - `macd`: MACD histogram divided by the close.
/// - `bollinger`: position within the bands, 2 %b - 1: -1 at the lower, 0 in the middle, 1 at the
///   upper band; 0 if the bands have no width.
/// - `volatility_{k}`: log of the root mean square log return over k bars, overnight gaps excluded.
///   All but the longest window are relative to the longest one (log ratio), so that only one
///   column carries the level.
/// - `autocorrelation_{k}`: of log returns with those of the bar before over k bars, overnight gaps
///   excluded: the mean of the products over the mean square of both, from -1 to 1. Whether prices
///   trend or revert of late (Lo and MacKinlay 1988: their variance ratio over two bars, less 1); 0
///   while prices have not moved.
/// - `volume_{k}`: mean ln(1 + volume) of k bars, as a z-score of the values in the window of
///   volumes; 0 if volume was constant.
/// - `gap`: log of the session's first open over the previous close, constant within the session.
/// - `time_sin`, `time_cos`: sine and cosine of pi times the elapsed fraction of the regular
///   session. The cosine falls from 1 to -1; the sine is 0 at both ends.
/// - those over sessions, [`session_features::names`];
/// - further columns of the day files, [`extra_columns::names`].
pub fn names(config: &FeatureConfig) -> Vec<String> {
    let returns = config.return_bars.iter().map(|bars| format!("return_{bars}"));
    let volatilities = config.volatility_bars.iter().map(|bars| format!("volatility_{bars}"));
    let mut names: Vec<String> = returns.collect();
    names.extend(["rsi", "macd", "bollinger"].map(String::from));
    names.extend(volatilities);
    let autocorrelations = config.autocorrelation_bars.iter();
    names.extend(autocorrelations.map(|bars| format!("autocorrelation_{bars}")));
    names.extend(config.volume_mean_bars.iter().map(|bars| format!("volume_{bars}")));
    names.extend(["gap", "time_sin", "time_cos"].map(String::from));
    names.extend(session_features::names(config));
    names.extend(extra_columns::names(config));
    names
}

/// A standard deviation of ln(1 + volume) up to this is rounding error.
const MIN_VOLUME_STD: f64 = 1e-9;

/// Streaming state of one stock's own features.
pub(crate) struct OwnFeatures {
    return_bars: Vec<usize>,
    log_close: ColumnHistory,
    rsi: Rsi,
    macd: Macd,
    bollinger: Window<Moments>,
    bollinger_width: f64,
    session_returns: SessionReturns,
    volumes: Volumes,
    sessions: Sessions,
    over_sessions: SessionFeatures,
    extras: ExtraColumns,
}

impl OwnFeatures {
    pub(crate) fn new(config: &FeatureConfig) -> OwnFeatures {
        let bars = |bars: u32| bars as usize;
        let window = |&length: &u32| Window::new(bars(length));
        let return_bars: Vec<usize> = config.return_bars.iter().map(|&k| bars(k)).collect();
        OwnFeatures {
            log_close: ColumnHistory::new(return_bars.iter().copied().max().unwrap_or(0).max(1)),
            return_bars,
            rsi: Rsi::new(bars(config.rsi_bars)),
            macd: Macd::new(
                bars(config.macd_fast_bars),
                bars(config.macd_slow_bars),
                bars(config.macd_signal_bars),
            ),
            bollinger: window(&config.bollinger_bars),
            bollinger_width: config.bollinger_width,
            session_returns: SessionReturns::new(config),
            volumes: Volumes::new(config),
            sessions: Sessions::default(),
            over_sessions: SessionFeatures::new(config),
            extras: ExtraColumns::new(config),
        }
    }

    /// Takes in the stock's next bars and writes one column per feature of [`names`]; NaN until a
    /// window is full, during the first session where it is over sessions, and before a further
    /// column's first value. The result does not depend, to the last bit, on how bars are split into
    /// batches.
    pub(crate) fn update(&mut self, bars: BarSlice<'_>, out: &mut [&mut [f32]]) {
        self.log_close.push(bars.log_close);
        let (returns, rest) = out.split_at_mut(self.return_bars.len());
        let (prices, rest) = rest.split_at_mut(3);
        let (of_returns, others) = rest.split_at_mut(self.session_returns.width());
        let (volumes, others) = others.split_at_mut(self.volumes.means.len());
        let [gap, sin, cos, others @ ..] = others else { panic!("a column for each name") };
        let (over_sessions, extras) = others.split_at_mut(self.over_sessions.width());
        self.extras.update(bars.extras, extras);
        for (out, &bars) in returns.iter_mut().zip(&self.return_bars) {
            let pairs = self.log_close.now().iter().zip(self.log_close.ago(bars));
            for (slot, (now, before)) in out.iter_mut().zip(pairs) {
                *slot = (now - before) as f32;
            }
        }
        self.write_prices(bars.close, prices);
        let sessions = self.sessions.update(bars, self.log_close.ago(1), [gap, sin, cos]);
        self.over_sessions.update(bars.close, bars.log_close, &sessions, over_sessions);
        self.session_returns.update(&sessions.within, of_returns);
        self.volumes.update(bars.volume, volumes);
    }

    fn write_prices(&mut self, closes: &[f64], out: &mut [&mut [f32]]) {
        let [rsi, macd, bollinger] = out else { panic!("a column for each name") };
        for (t, &close) in closes.iter().enumerate() {
            let index = self.rsi.update(close).or(self.rsi.is_warm().then_some(50.0));
            rsi[t] = or_nan(index.map(|rsi| rsi / 50.0 - 1.0));
            macd[t] = or_nan(self.macd.update(close).map(|macd| macd.histogram / close));
        }
        let width = self.bollinger_width;
        let place = |window: Moments, close| {
            let bands = Bands::from_moments(&window, width);
            let half = bands.upper - bands.middle;
            [if half > 0.0 { (close - bands.middle) / half } else { 0.0 }]
        };
        let mut column = vec![0.0; closes.len()];
        self.bollinger.run(closes, place, [&mut column]);
        write(&column, bollinger);
    }
}

/// Streaming state of the volumes.
struct Volumes {
    window: Window<Moments>,
    means: Vec<Window<Moments>>,
}

impl Volumes {
    fn new(config: &FeatureConfig) -> Volumes {
        let window = |&bars: &u32| Window::new(bars as usize);
        Volumes {
            window: window(&config.volume_bars),
            means: config.volume_mean_bars.iter().map(window).collect(),
        }
    }

    fn update(&mut self, volumes: &[f64], out: &mut [&mut [f32]]) {
        let logs: Vec<f64> = volumes.iter().map(|volume| volume.ln_1p()).collect();
        let [mut level, mut spread, mut mean] = [(); 3].map(|()| vec![0.0; logs.len()]);
        let moments = |window: Moments, _| [window.mean(), window.std()];
        self.window.run(&logs, moments, [&mut level, &mut spread]);
        for (window, out) in self.means.iter_mut().zip(out) {
            window.run(&logs, |window, _| [window.mean()], [&mut mean]);
            for (t, slot) in out.iter_mut().enumerate() {
                // NaN is not at most anything.
                let is_constant = spread[t] <= MIN_VOLUME_STD;
                let score = if is_constant { 0.0 } else { (mean[t] - level[t]) / spread[t] };
                *slot = score as f32;
            }
        }
    }
}

/// Session state: opening gap and time of day.
struct Sessions {
    clock: WallClock,
    /// Opening and close of a usual session, seconds after midnight.
    hours: [i64; 2],
    /// `time_sin` and `time_cos` by minute of the day, computed on first use.
    minutes: Vec<Option<(f32, f32)>>,
    /// The market's date of the last bar, days since 1970.
    day: Option<i64>,
    /// NaN before the second session.
    gap: f64,
}

impl Default for Sessions {
    fn default() -> Sessions {
        let (clock, minutes) = (WallClock::default(), vec![None; 24 * 60]);
        Sessions { clock, hours: market().hours(), minutes, day: None, gap: f64::NAN }
    }
}

impl Sessions {
    /// Writes `gap`, `time_sin` and `time_cos`. `before`: log close of the previous bar.
    fn update(
        &mut self,
        bars: BarSlice<'_>,
        before: &[f64],
        [gap, sin, cos]: [&mut [f32]; 3],
    ) -> SessionBars {
        let mut sessions =
            SessionBars { within: vec![0.0; before.len()], gap: vec![None; before.len()] };
        for (t, &before) in before.iter().enumerate() {
            let local_s = self.clock.local_s(bars.end_s[t]);
            let day = local_s.div_euclid(86_400);
            if self.day.replace(day) == Some(day) {
                sessions.within[t] = bars.log_close[t] - before;
            } else {
                let log_open = bars.open[t].ln();
                sessions.within[t] = bars.log_close[t] - log_open;
                sessions.gap[t] = Some(log_open - before);
                if !before.is_nan() {
                    self.gap = log_open - before;
                }
            }
            gap[t] = self.gap as f32;
            (sin[t], cos[t]) = self.time_of_day(local_s);
        }
        sessions
    }

    /// `time_sin` and `time_cos`; values at whole minutes are cached.
    fn time_of_day(&mut self, local_s: i64) -> (f32, f32) {
        let (minute, second) = (local_s.rem_euclid(86_400) / 60, local_s % 60);
        let hours = self.hours;
        let computed = || {
            let (sin, cos) = (std::f64::consts::PI * session_fraction(local_s, hours)).sin_cos();
            (sin as f32, cos as f32)
        };
        match self.minutes.get_mut(minute as usize) {
            Some(kept) if second == 0 => *kept.get_or_insert_with(computed),
            _ => computed(),
        }
    }
}

fn or_nan(value: Option<f64>) -> f32 {
    value.map_or(f32::NAN, |value| value as f32)
}

/// Elapsed fraction of the regular session from `open_s` to `close_s`; 0 before and 1 after it.
/// Early closes are not rescaled.
fn session_fraction(local_s: i64, [open_s, close_s]: [i64; 2]) -> f64 {
    ((local_s.rem_euclid(86_400) - open_s) as f64 / (close_s - open_s) as f64).clamp(0.0, 1.0)
}

/// The market's wall-clock time. Looks up the time zone once per UTC hour, since the offset only
/// changes at whole UTC hours.
#[derive(Default)]
struct WallClock {
    /// UTC hour since 1970 and its offset in seconds.
    known: Option<(i64, i64)>,
}

impl WallClock {
    /// Seconds since 1970 in the market's local time.
    fn local_s(&mut self, utc_s: i64) -> i64 {
        let hour = utc_s.div_euclid(3_600);
        if let Some((known, offset_s)) = self.known
            && known == hour
        {
            return utc_s + offset_s;
        }
        let utc = DateTime::from_timestamp(utc_s, 0).expect("a bar's time lies in the calendar");
        let offset = market_zone().offset_from_utc_datetime(&utc.naive_utc()).fix();
        let offset_s = i64::from(offset.local_minus_utc());
        self.known = Some((hour, offset_s));
        utc_s + offset_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::{FIRST_OPEN_S, bar_end_s};
    use crate::market::Bar;

    /// Small windows, so that expected values can be computed by hand.
    fn small() -> FeatureConfig {
        FeatureConfig {
            return_bars: vec![1, 3],
            volatility_bars: vec![2, 4],
            autocorrelation_bars: vec![2, 4],
            rsi_bars: 2,
            macd_fast_bars: 2,
            macd_slow_bars: 3,
            macd_signal_bars: 2,
            bollinger_bars: 2,
            bollinger_width: 2.0,
            volume_bars: 3,
            volume_mean_bars: vec![1, 2],
            ..FeatureConfig::default()
        }
    }

    /// Features of sessions of two bars, given as (open, close, volume).
    fn features(bars: &[(f64, f64, f64)]) -> Vec<Vec<f32>> {
        let config = small();
        let mut own = OwnFeatures::new(&config);
        let mut out = vec![0.0; names(&config).len()];
        let mut one = |(i, &(open, close, volume)): (usize, &(f64, f64, f64))| {
            let (high, low) = (open.max(close), open.min(close));
            let bar = Bar { end_s: bar_end_s(i, 2, 195), open, high, low, close, volume };
            let mut columns: Vec<&mut [f32]> = out.iter_mut().map(std::slice::from_mut).collect();
            own.update(BarSlice::from_bar(&bar, &close.ln(), &[]), &mut columns);
            out.clone()
        };
        bars.iter().enumerate().map(&mut one).collect()
    }

    fn column(name: &str, table: &[Vec<f32>]) -> Vec<f32> {
        let index = names(&small()).iter().position(|n| n == name).unwrap();
        table.iter().map(|row| row[index]).collect()
    }

    fn assert_near(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let near = (f64::from(*found) - expected).abs() < 1e-5;
            assert!(near || (found.is_nan() && expected.is_nan()), "{found} is not {expected}");
        }
    }

    const NAN: f64 = f64::NAN;

    #[test]
    fn every_feature_by_hand() {
        let table = features(&[
            (100.0, 101.0, 10.0),
            (101.0, 100.0, 30.0),
            (104.0, 105.0, 30.0),
            (105.0, 105.0, 0.0),
            (103.0, 103.0, 0.0),
        ]);
        let ln = f64::ln;
        let closes = [101.0, 100.0, 105.0, 105.0, 103.0];
        let step = |i: usize| ln(closes[i] / closes[i - 1]);
        assert_near(&column("return_1", &table), &[NAN, step(1), step(2), 0.0, step(4)]);
        let three = [NAN, NAN, NAN, ln(105.0 / 101.0), ln(103.0 / 100.0)];
        assert_near(&column("return_3", &table), &three);
        // Changes -1 +5 0 -2: smoothed (gain, loss) of (2.5, 0.5), (1.25, 0.25), (0.625, 1.125).
        let rsi = [NAN, NAN, 5.0 / 3.0 - 1.0, 5.0 / 3.0 - 1.0, 2.0 * 0.625 / 1.75 - 1.0];
        assert_near(&column("rsi", &table), &rsi);
        // In a window of two values the later one is one standard deviation from the mean: half of
        // a band of width 2.
        assert_near(&column("bollinger", &table), &[NAN, -0.5, 0.5, 0.0, -0.5]);
        // Slow average 102, 103.5, 103.25; fast 102.5, 104.1667, 103.3889; MACD 0.5, 0.6667,
        // 0.1389; signal 0.5833, 0.2870.
        let macd = [NAN, NAN, NAN, (2.0 / 3.0 - 7.0 / 12.0) / 105.0, -4.0 / 27.0 / 103.0];
        assert_near(&column("macd", &table), &macd);
        // z-scores in windows of three: of the last value, and of the mean of the last two.
        let scores = [0.5f64.sqrt(), -2.0f64.sqrt(), -0.5f64.sqrt()];
        assert_near(&column("volume_1", &table), &[NAN, NAN, scores[0], scores[1], scores[2]]);
        assert_near(
            &column("volume_2", &table),
            &[NAN, NAN, scores[0], scores[1] / 4.0, scores[2]],
        );
        let (second, third) = (ln(104.0 / 100.0), ln(103.0 / 105.0));
        assert_near(&column("gap", &table), &[NAN, NAN, second, second, third]);
        // A session's first bar counts from its open.
        let within = [ln(1.01), step(1), ln(105.0 / 104.0), 0.0, 0.0f64];
        let level = |bars: &[f64]| {
            let square: f64 = bars.iter().map(|r| r * r).sum::<f64>() / bars.len() as f64;
            square.sqrt().max(1e-6).ln()
        };
        let (long_3, long_4) = (level(&within[..4]), level(&within[1..]));
        assert_near(&column("volatility_4", &table), &[NAN, NAN, NAN, long_3, long_4]);
        let short = [NAN, NAN, NAN, level(&within[2..4]) - long_3, level(&within[3..]) - long_4];
        assert_near(&column("volatility_2", &table), &short);
        // The first bar has none before it.
        let before = [0.0, within[0], within[1], within[2], within[3]];
        let related = |bars: std::ops::Range<usize>| {
            let product: f64 = bars.clone().map(|t| within[t] * before[t]).sum();
            let square = |t: usize| (within[t].powi(2) + before[t].powi(2)) / 2.0;
            product / bars.map(square).sum::<f64>()
        };
        let two = [NAN, related(0..2), related(1..3), related(2..4), related(3..5)];
        assert_near(&column("autocorrelation_2", &table), &two);
        let four = [NAN, NAN, NAN, related(0..4), related(1..5)];
        assert_near(&column("autocorrelation_4", &table), &four);
        let (half, end) = ([1.0, 0.0], [0.0, -1.0]);
        assert_near(&column("time_sin", &table), &[half[0], end[0], half[0], end[0], half[0]]);
        assert_near(&column("time_cos", &table), &[half[1], end[1], half[1], end[1], half[1]]);
    }

    #[test]
    fn the_clock_follows_daylight_saving() {
        let mut clock = WallClock::default();
        let time = |local_s: i64| (local_s.rem_euclid(86_400) / 3_600, local_s % 3_600 / 60);
        assert_eq!(time(clock.local_s(FIRST_OPEN_S)), (9, 30));
        // Sunday 2020-03-08: 06:59:59 UTC is 01:59:59 in New York, one second later it is 03:00.
        assert_eq!(time(clock.local_s(1_583_650_799)), (1, 59));
        assert_eq!(time(clock.local_s(1_583_650_800)), (3, 0));
        let fraction = |local_s| session_fraction(local_s, market().hours());
        assert_eq!(fraction(clock.local_s(bar_end_s(2 * 8, 2, 195))), 0.5);
        assert_eq!(fraction(clock.local_s(FIRST_OPEN_S - 3_600)), 0.0);
        assert_eq!(fraction(clock.local_s(FIRST_OPEN_S + 8 * 3_600)), 1.0);
    }
}
