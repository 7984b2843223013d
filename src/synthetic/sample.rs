//! The sample market: a plausible history for any list of stocks, with little to be earned.
//!
//! The log price of stock i, whose leader j is the previous one in the list, at the end of minute t
//! is
//!
//! ```text
//! p_i(t) = start_i + beta_i F(t) + A_i(t) + lead A_j(t - 1)
//! ```
//!
//! with the market factor F and the stocks' idiosyncratic components A, all of them [`Process`]es.
//! A stock only needs its leader's component, so each can be generated alone. Overnight gaps reach
//! leader and follower simultaneously; the leader's last minute reaches the follower at the next
//! open.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use super::process::{Path, Process, ProcessParameters, SessionPath, SyntheticSession};
use super::stream::Draws;
use crate::market::bar::{Bar, BarSeries, Period, Symbol};
use crate::market::calendar;

/// To be raised whenever equal parameters would give different bars.
const VERSION: u32 = 1;

/// Prices have four decimals, as trades at midpoints do.
const TICKS: f64 = 10_000.0;

/// Everything that shapes the market except the seed. Ranges are drawn per symbol.
#[derive(Debug)]
struct Parameters {
    /// Date on which every stock has its starting price.
    epoch: NaiveDate,
    market: ProcessParameters,
    /// Annual volatility of the market factor: a broad index in ordinary years.
    market_volatility: f64,
    own: ProcessParameters,
    /// Annual idiosyncratic volatility: with the factor 23 to 44 % a year, and correlations between
    /// stocks of 0.1 to 0.55, as for large US stocks.
    own_volatility: (f64, f64),
    beta: (f64, f64),
    /// Fraction of the leader's idiosyncratic return that the follower repeats one minute later:
    /// statistically clear, but at about 1 basis point a minute below the usual trading costs.
    lead: f64,
    start_price: (f64, f64),
    /// Mean volume of a full session, shares.
    shares_per_day: (f64, f64),
    /// Elasticity of volume to volatility; the arrival of news drives both. Clark (1973).
    volume_of_volatility: f64,
    /// Standard deviation of a minute's log volume around that.
    volume_noise: f64,
    /// The first trade of a minute occurs within this fraction of it, so that a bar's open differs
    /// slightly from the previous close.
    first_trade: f64,
}

const PARAMETERS: Parameters = Parameters {
    epoch: NaiveDate::from_ymd_opt(2015, 1, 1).unwrap(),
    market: ProcessParameters { drift_per_year: 0.04, regime: 0.0, ..OWN },
    market_volatility: 0.16,
    own: OWN,
    own_volatility: (0.20, 0.38),
    beta: (0.7, 1.4),
    lead: 0.12,
    start_price: (20.0, 500.0),
    shares_per_day: (2e6, 5e7),
    volume_of_volatility: 1.0,
    volume_noise: 0.4,
    first_trade: 0.1,
};

const OWN: ProcessParameters = ProcessParameters {
    drift_per_year: 0.0,
    overnight: 0.2,
    // Persistence 0.98, as estimated on daily returns of stocks and indices.
    garch_shock: 0.06,
    garch_memory: 0.92,
    wander_std: 0.3,
    wander_memory: 0.98,
    open_rise: 1.6,
    open_fade: 0.08,
    close_rise: 0.7,
    close_fade: 0.06,
    regime: 0.12,
    regime_minutes: 90.0,
};

/// Traits of a stock, drawn from its symbol and the seed.
struct Traits {
    log_start: f64,
    beta: f64,
    own_volatility: f64,
    shares_per_minute: f64,
}

impl Traits {
    fn draw(seed: u64, symbol: &Symbol) -> Traits {
        let p = &PARAMETERS;
        let mut draws = Draws::new(seed, "traits", symbol.as_str());
        Traits {
            log_start: draws.log_between(p.start_price.0, p.start_price.1).ln(),
            beta: draws.between(p.beta.0, p.beta.1),
            own_volatility: draws.log_between(p.own_volatility.0, p.own_volatility.1),
            shares_per_minute: draws.log_between(p.shares_per_day.0, p.shares_per_day.1) / 390.0,
        }
    }

    fn own_process(&self, seed: u64, symbol: &Symbol) -> Process {
        Process::new(PARAMETERS.own, self.own_volatility, seed, symbol.as_str())
    }
}

/// Version and digest of the parameters.
pub(crate) fn parameter_digest() -> String {
    let digest = Sha256::digest(format!("{PARAMETERS:?} {TICKS}"));
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v{VERSION}-{hex}")
}

pub(crate) fn bars(seed: u64, market: &[Symbol], symbol: &Symbol, period: &Period) -> BarSeries {
    let place = market.iter().position(|s| s == symbol);
    let place = place.unwrap_or_else(|| panic!("{symbol} is not in the market"));
    let leader = place.checked_sub(1).map(|i| &market[i]);

    let sessions = sessions_to_epoch(period);
    let traits = Traits::draw(seed, symbol);
    // The factor's key is not a valid symbol, so that no stock shares its draws.
    let market_volatility = PARAMETERS.market_volatility;
    let mut factor = Component::new(
        Process::new(PARAMETERS.market, market_volatility, seed, "market factor"),
        &sessions,
    );
    let mut own = Component::new(traits.own_process(seed, symbol), &sessions);
    let mut lead = leader.map(|leader| {
        Component::new(Traits::draw(seed, leader).own_process(seed, leader), &sessions)
    });
    let mut stock = Stock { traits, draws: Draws::new(seed, "bars", symbol.as_str()) };

    let mut series = BarSeries::new(symbol.clone());
    for (i, session) in sessions.iter().enumerate() {
        if period.contains(session.date) {
            let led = lead.as_mut().map(|lead| lead.walk(i));
            stock.session_bars(session, factor.walk(i), own.walk(i), led, &mut series);
        }
    }
    series
}

/// A process with its skeleton and the current session's path.
struct Component {
    process: Process,
    days: Vec<SessionPath>,
    path: Path,
    /// Long-run variance of a minute.
    usual_variance: f64,
}

impl Component {
    fn new(mut process: Process, sessions: &[SyntheticSession]) -> Component {
        let days = process.days(sessions, PARAMETERS.epoch);
        let usual_variance = process.variance_per_minute();
        Component { process, days, path: Path::default(), usual_variance }
    }

    fn walk(&mut self, day: usize) -> &Component {
        self.process.path(&self.days[day], &mut self.path);
        self
    }
}

struct Stock {
    traits: Traits,
    draws: Draws,
}

impl Stock {
    /// Appends one session's bars. Within a minute the log price is a Brownian bridge between the
    /// closes: the first trade is a point on it, and high and low are its extremes after that
    /// point.
    fn session_bars(
        &mut self,
        session: &SyntheticSession,
        factor: &Component,
        own: &Component,
        lead: Option<&Component>,
        series: &mut BarSeries,
    ) {
        let p = &PARAMETERS;
        let Traits { log_start, beta, shares_per_minute, .. } = self.traits;
        let usual = beta * beta * factor.usual_variance + own.usual_variance;
        self.draws.seek(session.date);
        let lead_open = lead.map_or(0.0, |lead| p.lead * lead.path.open);
        let mut before = log_start + beta * factor.path.open + own.path.open + lead_open;
        for t in 0..session.minutes {
            let (led, led_variance) = match lead {
                None => (0.0, 0.0),
                Some(_) if t == 0 => (lead_open, 0.0),
                Some(lead) => (p.lead * lead.path.close[t - 1], lead.path.variance[t - 1]),
            };
            let close = log_start + beta * factor.path.close[t] + own.path.close[t] + led;
            let variance = beta * beta * factor.path.variance[t] + own.path.variance[t];
            let noise = p.volume_noise * self.draws.normal() - p.volume_noise.powi(2) / 2.0;
            let activity = (variance / usual).powf(p.volume_of_volatility / 2.0) * noise.exp();

            // A session opens with its first trade; in later minutes the first trade comes with a
            // delay.
            let wait = if t == 0 { 0.0 } else { p.first_trade * self.draws.uniform() };
            let variance = variance + p.lead * p.lead * led_variance;
            let first = (variance * wait * (1.0 - wait)).sqrt() * self.draws.normal();
            let open = before + wait * (close - before) + first;
            let variance = variance * (1.0 - wait);
            let (high, low) = self.draws.bridge_extremes(open, close, variance);
            series.push(Bar {
                end_s: session.open_s + 60 * (t as i64 + 1),
                open: price(open),
                high: price(high),
                low: price(low),
                close: price(close),
                volume: (shares_per_minute * activity).round().max(1.0),
            });
            before = close;
        }
    }
}

/// Price on the tick grid from a log price.
fn price(log: f64) -> f64 {
    (log.exp() * TICKS).round().max(1.0) / TICKS
}

/// Every session between the period and the epoch, both inclusive.
fn sessions_to_epoch(period: &Period) -> Vec<SyntheticSession> {
    let first = period.start.min(PARAMETERS.epoch);
    let last = period.end.max(PARAMETERS.epoch);
    let dates = first.iter_days().take_while(|date| *date <= last);
    dates
        .filter_map(|date| {
            let (open_s, close_s) = session_bounds(date)?;
            Some(SyntheticSession { date, open_s, minutes: ((close_s - open_s) / 60) as usize })
        })
        .collect()
}

/// Open and close of a date's session, UTC seconds; None if there is none.
fn session_bounds(date: NaiveDate) -> Option<(i64, i64)> {
    calendar::session(date).map(|session| (session.open_s, session.close_s))
}

#[cfg(test)]
mod tests;
