//! The sample market: a plausible year of any list of stocks, with little in it to be earned.
//!
//! The log price of stock i, whose leader j stands before it in the list, at the end of minute t is
//!
//! ```text
//! p_i(t) = start_i + beta_i F(t) + A_i(t) + lead A_j(t - 1)
//! ```
//!
//! with the market factor F and the stocks' own components A, all of them [`Process`]es. A stock needs its leader's
//! component and nothing else of the others, so each can be made alone. Gaps between sessions reach leader and follower
//! together; what the leader does in the last minute reaches the follower at the next open.

use chrono::{Datelike, NaiveDate, NaiveTime, TimeZone, Weekday};
use chrono_tz::America::New_York;
use sha2::{Digest, Sha256};

use super::process::{Day, Path, Process, ProcessParameters, Session};
use super::stream::Draws;
use crate::market::bar::{Bar, BarSeries, Period, Symbol};

/// Raised whenever equal parameters would give other bars.
const VERSION: u32 = 1;

/// Prices are whole multiples of this, as in quotes of odd lots and midpoints.
const TICK: f64 = 0.0001;

/// Everything that shapes the market, the seed aside. Ranges are drawn per symbol.
#[derive(Debug)]
struct Parameters {
    /// Where every stock has its starting price.
    epoch: NaiveDate,
    market: ProcessParameters,
    /// Annual volatility of the market factor: a broad index in ordinary years.
    market_volatility: f64,
    own: ProcessParameters,
    /// Annual volatility of what is a stock's own: with the factor, 25 to 45 % a year, and correlations between stocks
    /// of 0.15 to 0.55, as large US stocks have.
    own_volatility: (f64, f64),
    beta: (f64, f64),
    /// Part of the leader's own return that the follower takes over a minute later. At a tenth of a minute's few basis points
    /// it is plain in the statistics and less than the cost of trading on it.
    lead: f64,
    start_price: (f64, f64),
    /// A stock's usual volume in a full session, shares.
    shares_per_day: (f64, f64),
    /// Volume grows with volatility to this power, both driven by the arrival of news. Clark (1973).
    volume_of_volatility: f64,
    /// Standard deviation of the logarithm of a minute's volume around that.
    volume_noise: f64,
    /// The first trade of a minute falls within this part of it, so that a bar's open is not quite the close before.
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

/// What tells one stock from another, by its symbol and the seed.
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

/// Version and parameters, shortened.
pub fn parameter_digest() -> String {
    let digest = Sha256::digest(format!("{PARAMETERS:?} {TICK}"));
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v{VERSION}-{hex}")
}

pub fn bars(seed: u64, market: &[Symbol], symbol: &Symbol, period: &Period) -> BarSeries {
    let place = market.iter().position(|s| s == symbol);
    let place = place.unwrap_or_else(|| panic!("{symbol} is not in the market"));
    let leader = place.checked_sub(1).map(|i| &market[i]);

    let sessions = sessions_to_epoch(period);
    let traits = Traits::draw(seed, symbol);
    // The factor's key is no symbol, so that no stock shares its draws.
    let market_volatility = PARAMETERS.market_volatility;
    let mut factor = Component::new(
        Process::new(PARAMETERS.market, market_volatility, seed, "market factor"),
        &sessions,
    );
    let mut own = Component::new(traits.own_process(seed, symbol), &sessions);
    let mut lead = leader.map(|leader| {
        Component::new(Traits::draw(seed, leader).own_process(seed, leader), &sessions)
    });
    let mut stock = Stock { symbol, traits, draws: Draws::new(seed, "bars", symbol.as_str()) };

    let mut series = BarSeries::new(symbol.clone());
    for (i, session) in sessions.iter().enumerate() {
        if period.contains(session.date) {
            let led = lead.as_mut().map(|lead| lead.walk(i));
            stock.session_bars(session, factor.walk(i), own.walk(i), led, &mut series);
        }
    }
    series
}

/// A process with its skeleton and the session last walked.
struct Component {
    process: Process,
    days: Vec<Day>,
    path: Path,
    /// Long-run variance of a minute.
    usual_variance: f64,
}

impl Component {
    fn new(mut process: Process, sessions: &[Session]) -> Component {
        let days = process.days(sessions, PARAMETERS.epoch);
        let usual_variance = process.variance_per_minute();
        Component { process, days, path: Path::default(), usual_variance }
    }

    fn walk(&mut self, day: usize) -> &Component {
        self.process.path(&self.days[day], &mut self.path);
        self
    }
}

struct Stock<'a> {
    symbol: &'a Symbol,
    traits: Traits,
    draws: Draws,
}

impl Stock<'_> {
    /// Adds one session's bars. Within a minute the log price is a Brownian bridge between the closes: the first trade
    /// is a point of it, high and low are its extremes after that point.
    fn session_bars(
        &mut self,
        session: &Session,
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

            // A session opens with its first trade; later minutes wait for theirs.
            let wait = if t == 0 { 0.0 } else { p.first_trade * self.draws.uniform() };
            let variance = variance + p.lead * p.lead * led_variance;
            let first = (variance * wait * (1.0 - wait)).sqrt() * self.draws.normal();
            let open = before + wait * (close - before) + first;
            let (high, low) = self.extremes(open, close, variance * (1.0 - wait));
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

    /// Highest and lowest of a Brownian bridge, each from its law: Glasserman (2003), section 6.4, example 6.4.2.
    fn extremes(&mut self, open: f64, close: f64, variance: f64) -> (f64, f64) {
        let mut reach =
            || ((close - open).powi(2) - 2.0 * variance * self.draws.uniform().ln()).sqrt();
        let (up, down) = (reach(), reach());
        let middle = open + close;
        let high = ((middle + up) / 2.0).max(open).max(close);
        let low = ((middle - down) / 2.0).min(open).min(close);
        (high, low)
    }
}

/// A log price as a price on the tick grid.
fn price(log: f64) -> f64 {
    ((log.exp() / TICK).round() * TICK).max(TICK)
}

/// Every session between the period and the epoch, both included.
fn sessions_to_epoch(period: &Period) -> Vec<Session> {
    let first = period.start.min(PARAMETERS.epoch);
    let last = period.end.max(PARAMETERS.epoch);
    let dates = first.iter_days().take_while(|date| *date <= last);
    dates
        .filter_map(|date| {
            let (open_s, close_s) = session_bounds(date)?;
            Some(Session { date, open_s, minutes: ((close_s - open_s) / 60) as usize })
        })
        .collect()
}

// STAND-IN until src/market/calendar.rs is merged; becomes `calendar::session(date).map(|s| (s.open_s, s.close_s))`.
/// Opening and closing time of a date's session, UTC seconds; None where there is none.
fn session_bounds(date: NaiveDate) -> Option<(i64, i64)> {
    if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
        return None;
    }
    let at = |hour, minute| {
        let local = date.and_time(NaiveTime::from_hms_opt(hour, minute, 0)?);
        Some(New_York.from_local_datetime(&local).single()?.timestamp())
    };
    Some((at(9, 30)?, at(16, 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;
    use std::time::Instant;

    const YEARS: std::ops::RangeInclusive<i32> = 2021..=2023;

    fn symbols(names: &[&str]) -> Vec<Symbol> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn date(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    fn five() -> Vec<Symbol> {
        symbols(&["AAPL", "MSFT", "GOOGL", "AMZN", "META"])
    }

    /// Five stocks over three years, made once.
    static MARKET: LazyLock<Vec<BarSeries>> = LazyLock::new(|| {
        let period = Period { start: date(*YEARS.start(), 1, 1), end: date(*YEARS.end(), 12, 31) };
        let start = Instant::now();
        let market: Vec<BarSeries> =
            five().iter().map(|symbol| bars(1, &five(), symbol, &period)).collect();
        println!("5 stocks x 3 years, {} bars each: {:?}", market[0].len(), start.elapsed());
        market
    });

    fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
        let (mut sum, mut n) = (0.0, 0usize);
        for value in values {
            sum += value;
            n += 1;
        }
        sum / n as f64
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        let (ma, mb) = (mean(a.iter().copied()), mean(b.iter().copied()));
        let moment = |x: &[f64], mx: f64, y: &[f64], my: f64| {
            mean(x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)))
        };
        moment(a, ma, b, mb) / (moment(a, ma, a, ma) * moment(b, mb, b, mb)).sqrt()
    }

    /// Per session, the log returns of its minutes from the open on.
    fn session_returns(series: &BarSeries) -> Vec<Vec<f64>> {
        let bars: Vec<Bar> = series.bars().collect();
        bars.chunk_by(|a, b| b.end_s - a.end_s == 60)
            .map(|day| {
                let first = (day[0].close / day[0].open).ln();
                let rest = day.windows(2).map(|b| (b[1].close / b[0].close).ln());
                std::iter::once(first).chain(rest).collect()
            })
            .collect()
    }

    fn minutes(series: &BarSeries) -> Vec<f64> {
        session_returns(series).concat()
    }

    #[test]
    fn bars_are_well_formed_and_fill_the_sessions() {
        for series in MARKET.iter() {
            let sessions = session_returns(series);
            assert!((750..=785).contains(&sessions.len()), "{}", sessions.len());
            assert!(sessions.iter().all(|day| day.len() == 390 || day.len() == 210));
            for bar in series.bars() {
                assert!(bar.low <= bar.open.min(bar.close) && bar.open.max(bar.close) <= bar.high);
                assert!(bar.low > 0.0 && bar.volume >= 1.0 && bar.volume.fract() == 0.0);
                assert!(((bar.close / TICK).round() * TICK - bar.close).abs() == 0.0);
                assert!((1.0..50_000.0).contains(&bar.close), "{} {}", series.symbol, bar.close);
            }
        }
        // 4 January 2021, a Monday in winter: 09:31 to 16:00 New York is 14:31 to 21:00 UTC.
        let times = &MARKET[0].end_s;
        let monday = times.iter().position(|&t| t > 1_609_718_400).unwrap();
        assert_eq!(times[monday], 1_609_770_660);
        assert_eq!(times[monday + 389], 1_609_794_000);
    }

    #[test]
    fn returns_have_the_marks_of_stocks() {
        for series in MARKET.iter() {
            let name = &series.symbol;
            let minutes = minutes(series);
            let second = mean(minutes.iter().map(|r| r * r));
            let kurtosis = mean(minutes.iter().map(|r| r.powi(4))) / second.powi(2);
            assert!((5.0..60.0).contains(&kurtosis), "{name}: kurtosis {kurtosis}");
            let sizes: Vec<f64> = minutes.iter().map(|r| r.abs()).collect();
            let clustering = correlation(&sizes[1..], &sizes[..sizes.len() - 1]);
            assert!(clustering > 0.1, "{name}: |r| autocorrelation {clustering}");

            let closes: Vec<f64> = series
                .bars()
                .collect::<Vec<_>>()
                .chunk_by(|a, b| b.end_s - a.end_s == 60)
                .map(|day| day[day.len() - 1].close)
                .collect();
            let daily = mean(closes.windows(2).map(|c| (c[1] / c[0]).ln().powi(2)));
            let annual = (daily * 252.0).sqrt();
            assert!((0.18..0.60).contains(&annual), "{name}: volatility {annual}");
            let in_range = mean(series.bars().map(|b| (b.high / b.low).ln().powi(2)));
            // Parkinson (1980): the mean squared log range is 4 ln 2 times the variance.
            let parkinson = in_range / (4.0 * std::f64::consts::LN_2) / second;
            assert!((0.85..1.05).contains(&parkinson), "{name}: range variance {parkinson}");
            println!(
                "{name}: annual volatility {annual:.3}, kurtosis of minutes {kurtosis:.1}, \
                 |r| autocorrelation {clustering:.3}, range variance {parkinson:.3}"
            );
        }
    }

    #[test]
    fn the_day_has_its_u_shape() {
        for series in MARKET.iter() {
            let days = session_returns(series);
            let full = days.iter().filter(|day| day.len() == 390);
            let of_day: Vec<&[f64]> = full.map(Vec::as_slice).collect();
            let size = |span: std::ops::Range<usize>| {
                mean(of_day.iter().flat_map(|day| &day[span.clone()]).map(|r| r.abs()))
            };
            let (open, midday, close) = (size(0..30), size(180..210), size(360..390));
            assert!(open > 1.5 * midday && close > 1.15 * midday && open > close);

            let minute_of_day = |end_s: i64| (end_s / 60).rem_euclid(60 * 24);
            let volume = |span: std::ops::Range<usize>| {
                let mut sums = (0.0, 0.0);
                let bars: Vec<Bar> = series.bars().collect();
                for day in bars.chunk_by(|a, b| b.end_s - a.end_s == 60) {
                    sums.0 += day[span.clone()].iter().map(|b| b.volume).sum::<f64>();
                    sums.1 += span.len() as f64;
                }
                sums.0 / sums.1
            };
            let (open, midday) = (volume(0..30), volume(100..130));
            assert!(open > 1.4 * midday, "{}: {open} {midday}", minute_of_day(series.end_s[0]));
        }
    }

    #[test]
    fn stocks_move_together_and_followers_follow() {
        let minutes: Vec<Vec<f64>> = MARKET.iter().map(minutes).collect();
        let standard_error = 1.0 / (minutes[0].len() as f64).sqrt();
        for i in 0..5 {
            for j in 0..i {
                let together = correlation(&minutes[i], &minutes[j]);
                assert!((0.1..0.65).contains(&together), "{i} {j}: {together}");
            }
            for j in (0..5).filter(|&j| j != i) {
                let n = minutes[i].len();
                let led = correlation(&minutes[i][1..], &minutes[j][..n - 1]);
                let planted = i == j + 1;
                // Fat tails that coincide widen the standard error; three times covers them.
                let bound =
                    if planted { 0.02..0.13 } else { -9.0 * standard_error..9.0 * standard_error };
                assert!(bound.contains(&led), "{i} after {j}: {led}");
                if planted {
                    println!("{} follows {}: {led:.4}", MARKET[i].symbol, MARKET[j].symbol);
                }
            }
        }
    }

    /// What is not planted is not there: a morning does not foretell its afternoon, a day not the next gap, and minutes
    /// do not correlate with those before beyond what regimes that come and go leave.
    #[test]
    fn nothing_else_foretells_returns() {
        for series in MARKET.iter() {
            let minutes = minutes(series);
            let n = minutes.len();
            let next = correlation(&minutes[1..], &minutes[..n - 1]);
            assert!(next.abs() < 0.03, "{}: {next}", series.symbol);
            let days = session_returns(series);
            let bound = 4.0 / (days.len() as f64).sqrt();
            for at in [30, 100, 200] {
                let part = |f: &dyn Fn(&Vec<f64>) -> f64| days.iter().map(f).collect::<Vec<f64>>();
                let before = part(&|day| day[..at].iter().sum());
                let after = part(&|day| day[at..].iter().sum());
                let foretold = correlation(&before, &after);
                assert!(foretold.abs() < bound, "{} at {at}: {foretold}", series.symbol);
            }
        }
    }

    #[test]
    fn a_day_is_the_same_in_every_period_and_for_every_list_with_the_same_leader() {
        let market = five();
        let day = Period { start: date(2022, 3, 14), end: date(2022, 3, 14) };
        for (i, symbol) in market.iter().enumerate() {
            let alone = bars(1, &market, symbol, &day);
            assert_eq!(alone.len(), 390);
            let long = &MARKET[i];
            let at = long.end_s.iter().position(|&t| t == alone.end_s[0]).unwrap();
            assert!(alone.bars().eq((at..at + 390).map(|k| long.bar(k))));
        }
        assert_eq!(bars(1, &market[..2], &market[1], &day), bars(1, &market, &market[1], &day));
        assert_eq!(bars(1, &market[..1], &market[0], &day), bars(1, &market, &market[0], &day));
        assert_ne!(bars(2, &market, &market[0], &day), bars(1, &market, &market[0], &day));
        assert_ne!(bars(1, &market[1..], &market[1], &day), bars(1, &market, &market[1], &day));
    }

    #[test]
    fn days_before_the_epoch_exist_and_join_it() {
        let market = symbols(&["SPY"]);
        let long = Period { start: date(2010, 5, 3), end: date(2015, 2, 27) };
        let short = Period { start: date(2012, 6, 4), end: date(2012, 6, 8) };
        let (long, short) =
            (bars(3, &market, &market[0], &long), bars(3, &market, &market[0], &short));
        let at = long.end_s.iter().position(|&t| t == short.end_s[0]).unwrap();
        assert!(short.bars().eq((at..at + short.len()).map(|k| long.bar(k))));
        let jump = |k: usize| (long.open[k] / long.close[k - 1]).ln().abs();
        assert!((1..long.len()).all(|k| jump(k) < 0.2), "a gap of more than 20 %");
    }
}
