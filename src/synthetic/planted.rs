//! Bars of the planted markets, generated from 1990 on, so that a day does not depend on the
//! period.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use super::SyntheticMarket;
use super::return_process::{
    Ar1, HiddenSignal, LEAK, LEAK_SHARES, PARAMETERS as PROCESSES, ReturnProcess, SHARES,
    VOLUME_NOISE, clock_sign,
};
use super::stream::Draws;
use crate::market::bar::{Bar, BarSeries, Period, Symbol};
use crate::market::calendar;

/// To be raised whenever equal parameters would give different bars.
const VERSION: u32 = 1;
const SESSION_MINUTES: f64 = 390.0;

/// Everything that shapes the bars, except the return processes and the seed.
#[derive(Debug)]
struct Parameters {
    /// The first session is the first one from this date on.
    origin: NaiveDate,
    /// Every stock has the price `price` at the start of the first session from `epoch` on, before
    /// a pair's spread is added.
    epoch: NaiveDate,
    price: f64,
    /// GARCH(1,1) of a session's variance in `random_walk`: weights of the last session's squared
    /// return and variance. Persistence 0.98, as estimated on daily stock returns.
    garch_shock: f64,
    garch_memory: f64,
    /// U-shape of volatility, as in the sample market.
    open_rise: f64,
    open_fade: f64,
    close_rise: f64,
    close_fade: f64,
    /// Mean volume per half hour, shares, and the standard deviation of its logarithm.
    shares: f64,
    volume_noise: f64,
}

const PARAMETERS: Parameters = Parameters {
    origin: NaiveDate::from_ymd_opt(1990, 1, 1).unwrap(),
    epoch: NaiveDate::from_ymd_opt(2015, 1, 1).unwrap(),
    price: 100.0,
    garch_shock: 0.06,
    garch_memory: 0.92,
    open_rise: 1.6,
    open_fade: 0.08,
    close_rise: 0.7,
    close_fade: 0.06,
    shares: SHARES,
    volume_noise: VOLUME_NOISE,
};

/// Version and digest of the parameters.
pub(crate) fn parameter_digest() -> String {
    let digest = Sha256::digest(format!("{PARAMETERS:?} {PROCESSES:?} {LEAK} {LEAK_SHARES}"));
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v{VERSION}-{hex}")
}

/// Prices are not rounded: the open is the previous close, and returns follow the process to the
/// last bit.
pub(crate) fn bars(
    spec: &SyntheticMarket,
    market: &[Symbol],
    symbol: &Symbol,
    period: &Period,
    bar_minutes: u32,
) -> BarSeries {
    let place = market.iter().position(|s| s == symbol);
    let place = place.unwrap_or_else(|| panic!("{symbol} is not in the market"));
    let law = spec.law(market.len(), place, bar_minutes).expect("a planted market has its law");
    let mut returns = Returns::new(law, spec, market, place, bar_minutes);
    let mut tape = BarWriter {
        draws: Draws::new(spec.seed, "planted bars", symbol.as_str()),
        shares: PARAMETERS.shares * f64::from(bar_minutes) / 30.0,
        bars: Vec::new(),
        waiting: None,
    };
    let (mut level, mut level_at_epoch) = (0.0, None);
    let bar_s = 60 * u64::from(bar_minutes);
    for (date, session) in sessions(period) {
        if date >= PARAMETERS.epoch && level_at_epoch.is_none() {
            level_at_epoch = Some(level - returns.stationary_part());
        }
        let length_s = session.close_s.abs_diff(session.open_s);
        let count = length_s.div_ceil(bar_s) as usize;
        let wanted = period.contains(date);
        returns.begin(date, count);
        tape.draws.seek(date);
        for i in 0..count {
            let step = returns.step(i);
            let open = level;
            level += step.log_return;
            let end_s = session.open_s.saturating_add_unsigned(bar_s * (i as u64 + 1));
            tape.finish(&step);
            if wanted {
                tape.begin(end_s.min(session.close_s), open, level, &step);
            }
        }
    }
    let shift = PARAMETERS.price.ln() - level_at_epoch.unwrap_or(0.0);
    let mut series = BarSeries::new(symbol.clone());
    for Bar { end_s, open, high, low, close, volume } in tape.bars {
        let [open, high, low, close] = [open, high, low, close].map(|log| (shift + log).exp());
        series.push(Bar { end_s, open, high, low, close, volume });
    }
    series
}

/// `[bar]`: the regime, 0 or 1, of each bar of [`bars`].
pub(crate) fn regimes(
    spec: &SyntheticMarket,
    market: &[Symbol],
    symbol: &Symbol,
    period: &Period,
    bar_minutes: u32,
) -> Vec<usize> {
    let place = market.iter().position(|s| s == symbol);
    let place = place.unwrap_or_else(|| panic!("{symbol} is not in the market"));
    let law = spec.law(market.len(), place, bar_minutes).expect("a planted market has its law");
    let mut returns = Returns::new(law, spec, market, place, bar_minutes);
    let bar_s = 60 * u64::from(bar_minutes);
    let mut regimes = Vec::new();
    for (date, session) in sessions(period).take_while(|(date, _)| *date <= period.end) {
        let count = session.close_s.abs_diff(session.open_s).div_ceil(bar_s) as usize;
        returns.begin(date, count);
        for i in 0..count {
            returns.step(i);
            if period.contains(date) {
                regimes.push(returns.regime);
            }
        }
    }
    regimes
}

/// Every session from the origin to the end of the period or the epoch, and one more, since the
/// last bar's volume may reveal the next return.
fn sessions(period: &Period) -> impl Iterator<Item = (NaiveDate, calendar::Session)> {
    let last = period.end.max(PARAMETERS.epoch);
    let mut over = false;
    let always = Period { start: PARAMETERS.origin, end: NaiveDate::MAX };
    calendar::sessions_in(&always)
        .take_while(move |(date, _)| !std::mem::replace(&mut over, *date > last))
}

/// One bar's return and what goes with it.
#[derive(Clone, Copy, Debug)]
struct Step {
    log_return: f64,
    /// Conditional standard deviation of the log return.
    sigma: f64,
    /// Volume relative to the mean.
    activity: f64,
    /// Log of the previous bar's volume over [`LEAK_SHARES`], if that volume reveals this return.
    leaked: Option<f64>,
}

/// The bars so far, with log prices. A bar's volume is only known at the next step.
struct BarWriter {
    draws: Draws,
    shares: f64,
    bars: Vec<Bar>,
    waiting: Option<Bar>,
}

impl BarWriter {
    fn begin(&mut self, end_s: i64, open: f64, close: f64, step: &Step) {
        let (high, low) = self.draws.bridge_extremes(open, close, step.sigma.powi(2));
        let s = PARAMETERS.volume_noise;
        let noise = (s * self.draws.normal() - s * s / 2.0).exp();
        let volume = self.shares * step.activity * noise;
        self.waiting = Some(Bar { end_s, open, high, low, close, volume });
    }

    fn finish(&mut self, next: &Step) {
        if let Some(mut bar) = self.waiting.take() {
            if let Some(log_volume) = next.leaked {
                bar.volume = LEAK_SHARES * log_volume.exp();
            }
            bar.volume = bar.volume.round().max(1.0);
            self.bars.push(bar);
        }
    }
}

/// Generates a stock's returns, bar by bar.
struct Returns {
    law: ReturnProcess,
    own: Draws,
    /// The leader's shocks, the pair's spread, the regime switches, the hidden signal, or the move
    /// of all stocks.
    other: Draws,
    /// The last own return, the leader's last return, the spread, the hidden signal, or the trend.
    memory: f64,
    /// Bars of the current session.
    count: usize,
    regime: usize,
    garch: Garch,
}

impl Returns {
    fn new(
        law: ReturnProcess,
        spec: &SyntheticMarket,
        market: &[Symbol],
        place: usize,
        bar_minutes: u32,
    ) -> Returns {
        let draws = |what: &str, stock: usize| {
            let purpose = format!("{} {what}", spec.kind.name());
            Draws::new(spec.seed, &purpose, market[stock].as_str())
        };
        let (own, other) = match law {
            ReturnProcess::Follower { leader, .. } => {
                (draws("shocks", place), draws("shocks", leader))
            }
            ReturnProcess::Spread { partner, .. } => {
                (draws("shared walk", place.min(partner)), draws("spread", place.min(partner)))
            }
            ReturnProcess::Persistent(_) => (draws("shocks", place), draws("signal", place)),
            ReturnProcess::Drift { .. } => (draws("shocks", place), draws("market", 0)),
            _ => (draws("shocks", place), draws("regimes", place)),
        };
        let usual = match law {
            ReturnProcess::Garch { sigma } => {
                sigma * sigma * SESSION_MINUTES / f64::from(bar_minutes)
            }
            _ => 0.0,
        };
        Returns { law, own, other, memory: 0.0, count: 0, regime: 0, garch: Garch::new(usual) }
    }

    /// Starts a session of `count` bars.
    fn begin(&mut self, date: NaiveDate, count: usize) {
        self.own.seek(date);
        self.other.seek(date);
        self.count = count;
        if matches!(self.law, ReturnProcess::Garch { .. }) {
            self.garch.begin(count);
        }
    }

    /// The mean-reverting part of the log level.
    fn stationary_part(&self) -> f64 {
        match self.law {
            ReturnProcess::Spread { side, .. } => side * self.memory / 2.0,
            _ => 0.0,
        }
    }

    /// Generates bar `i` of the session.
    fn step(&mut self, i: usize) -> Step {
        let plain_step =
            |log_return, sigma| Step { log_return, sigma, activity: 1.0, leaked: None };
        match self.law {
            ReturnProcess::Noise { sigma } => {
                plain_step(log_return(0.0, sigma, self.own.normal()), sigma)
            }
            ReturnProcess::Leaked { sigma } => {
                let log_return = log_return(0.0, sigma, self.own.normal());
                Step { leaked: Some(LEAK * log_return / sigma), ..plain_step(log_return, sigma) }
            }
            ReturnProcess::Own(process) => self.ar1(process),
            ReturnProcess::Regimes { components, change } => {
                if self.other.uniform() <= change {
                    self.regime = 1 - self.regime;
                }
                self.ar1(components[self.regime])
            }
            ReturnProcess::Follower { gain, lead, sigma, .. } => {
                let followed = log_return(gain * self.memory, sigma, self.own.normal());
                self.memory = log_return(0.0, lead, self.other.normal()).exp_m1();
                plain_step(followed, sigma)
            }
            ReturnProcess::Spread { side, walk, memory, shock, .. } => {
                let before = self.memory;
                self.memory = memory * before + shock * self.other.normal();
                let variance = walk * walk + shock * shock / 4.0;
                let shared = walk * self.own.normal() - variance / 2.0;
                plain_step(shared + side * (self.memory - before) / 2.0, variance.sqrt())
            }
            ReturnProcess::Garch { sigma } => {
                let variance = self.garch.share(i) * self.own.t6_variance();
                let log_return = log_return(0.0, variance.sqrt(), self.own.normal());
                self.garch.session_return += log_return;
                let activity = variance.sqrt() / sigma;
                Step { activity, ..plain_step(log_return, variance.sqrt()) }
            }
            ReturnProcess::Clock { drift, sigma, .. } => {
                let mean = drift * clock_sign(i, self.count);
                plain_step(log_return(mean, sigma, self.own.normal()), sigma)
            }
            ReturnProcess::Persistent(signal) => self.persistent(signal),
            ReturnProcess::Trend(trend) => {
                let mean = trend.gain * self.memory;
                let log_return = log_return(mean, trend.sigma, self.own.normal());
                self.memory = trend.next(self.memory, log_return.exp_m1());
                plain_step(log_return, trend.sigma)
            }
            ReturnProcess::Drift { drift, sigma, shared } => {
                let own = (1.0 - shared).sqrt() * self.own.normal();
                let normal = own + shared.sqrt() * self.other.normal();
                plain_step(log_return(drift, sigma, normal), sigma)
            }
        }
    }

    /// The return that the last signal predicts, and the next signal, which shows in the volume.
    fn persistent(&mut self, signal: HiddenSignal) -> Step {
        let HiddenSignal { memory, drift, sigma, tell, .. } = signal;
        let log_return = log_return(drift * self.memory, sigma, self.own.normal());
        let shock = (1.0 - memory * memory).sqrt();
        self.memory = memory * self.memory + shock * self.other.normal();
        let activity = (tell * self.memory - tell * tell / 2.0).exp();
        Step { log_return, sigma, activity, leaked: None }
    }

    fn ar1(&mut self, Ar1 { phi, sigma }: Ar1) -> Step {
        let log_return = log_return(phi * self.memory, sigma, self.own.normal());
        self.memory = log_return.exp_m1();
        Step { log_return, sigma, activity: 1.0, leaked: None }
    }
}

/// Log return of a simple return with mean `mean`; `normal` is the shock in standard deviations.
fn log_return(mean: f64, sigma: f64, normal: f64) -> f64 {
    mean.ln_1p() + sigma * normal - sigma * sigma / 2.0
}

/// Variance of sessions, Bollerslev (1986), eq. 1 with p = q = 1, and its distribution over bars. A
/// short session has the same variance as a full one.
struct Garch {
    /// Long-run variance of a session.
    usual: f64,
    /// Variance of the current session; None before the first.
    variance: Option<f64>,
    session_return: f64,
    /// Fractions of the session's variance per bar; they add up to 1.
    shape: Vec<f64>,
}

impl Garch {
    fn new(usual: f64) -> Garch {
        Garch { usual, variance: None, session_return: 0.0, shape: Vec::new() }
    }

    /// Starts a session of `count` bars.
    fn begin(&mut self, count: usize) {
        let p = &PARAMETERS;
        if self.shape.len() != count {
            self.shape = u_shape(count);
        }
        self.variance = Some(self.variance.map_or(self.usual, |before| {
            (1.0 - p.garch_shock - p.garch_memory) * self.usual
                + p.garch_shock * self.session_return.powi(2)
                + p.garch_memory * before
        }));
        self.session_return = 0.0;
    }

    fn share(&self, i: usize) -> f64 {
        self.variance.unwrap_or(self.usual) * self.shape[i]
    }
}

/// U-shaped intraday volatility: high at the open, low at midday, rising to the close. Wood,
/// McInish & Ord (1985).
fn u_shape(count: usize) -> Vec<f64> {
    let p = &PARAMETERS;
    let variance = |i: usize| {
        let x = (i as f64 + 0.5) / count as f64;
        let open = p.open_rise * (-x / p.open_fade).exp();
        let close = p.close_rise * (-(1.0 - x) / p.close_fade).exp();
        (1.0 + open + close).powi(2)
    };
    let total: f64 = (0..count).map(variance).sum();
    (0..count).map(|i| variance(i) / total).collect()
}

#[cfg(test)]
mod tests;
