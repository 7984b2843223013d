//! Monte Carlo calibration of the verdict, over many synthetic markets of a year of hourly bars and
//! two stocks with GARCH volatility, Student-t shocks, overnight gaps and U-shaped intraday
//! volatility.
//!
//! `CALIBRATION_MARKETS=5000 cargo test --release --lib calibration -- --nocapture` is the long run
//! whose figures are in `docs/learning.md`.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::fixture::{FixtureAccount, bar_ends};
use super::*;

const STOCKS: usize = 2;
const DAYS: usize = 252;
const BARS: usize = 7;
const DAILY_STD: f64 = 0.012;
/// Overnight share of a day's variance; the bars share the rest.
const NIGHT: f64 = 0.2;
const U_SHAPE: [f64; BARS] = [2.0, 1.0, 0.7, 0.6, 0.7, 1.0, 1.5];
/// Fraction of the shocks' variance that both stocks share.
const COMMON: f64 = 0.4;

/// One year, `[time][stock]`; entry 0 is the bar before the first.
struct Prices {
    open: Vec<[f64; STOCKS]>,
    close: Vec<[f64; STOCKS]>,
    /// -1 or 1, known at a bar's close: the sign of the edge in the next bar.
    signal: Vec<[f64; STOCKS]>,
}

/// A market with a `drift` per year and a signal. A strategy that follows the signal with half of
/// its equity in each stock has a Sharpe ratio of `edge` before costs.
#[derive(Clone, Copy)]
struct Market {
    drift: f64,
    edge: f64,
    /// Sharpe ratio before costs of who is long in the first three bars of a day and short after.
    clock: f64,
}

impl Market {
    const NONE: Market = Market { drift: 0.0, edge: 0.0, clock: 0.0 };

    fn draw(self, rng: &mut ChaCha8Rng) -> Prices {
        let year = DAYS_PER_YEAR;
        let drift = self.drift / (year * BARS as f64);
        let per_bar = DAILY_STD / (2.0 * year).sqrt() / BARS as f64;
        let (edge, clock) = (self.edge * per_bar, self.clock * per_bar);
        let shape: f64 = U_SHAPE.iter().sum();
        let start = [100.0; STOCKS];
        let mut signal = [1.0, -1.0];
        let mut prices = Prices { open: vec![start], close: vec![start], signal: vec![signal] };
        let mut variance = DAILY_STD * DAILY_STD;
        let mut last = start;
        for _ in 0..DAYS {
            let mut day = 0.0;
            for bar in 0..BARS {
                let night = if bar == 0 { NIGHT } else { 0.0 };
                let gap = shocks(variance * night, rng);
                let within = shocks(variance * (1.0 - NIGHT) * U_SHAPE[bar] / shape, rng);
                let (mut open, mut close) = (last, last);
                for stock in 0..STOCKS {
                    open[stock] *= 1.0 + gap[stock];
                    let expected = drift + edge * signal[stock] + clock * side_by_clock(bar);
                    close[stock] = open[stock] * (1.0 + within[stock] + expected);
                    day += (gap[stock] + within[stock]) / STOCKS as f64;
                    if rng.random::<f64>() < 0.05 {
                        signal[stock] = -signal[stock];
                    }
                }
                prices.open.push(open);
                prices.close.push(close);
                prices.signal.push(signal);
                last = close;
            }
            // Variance of the mean of two stocks relative to that of one.
            let square = day * day / (COMMON + (1.0 - COMMON) / STOCKS as f64);
            variance = 0.02 * DAILY_STD * DAILY_STD + 0.08 * square + 0.9 * variance;
        }
        prices
    }
}

fn side_by_clock(bar: usize) -> f64 {
    if bar < 3 { 1.0 } else { -1.0 }
}

fn shocks(variance: f64, rng: &mut ChaCha8Rng) -> [f64; STOCKS] {
    let common = student(rng) * (COMMON * variance).sqrt();
    [(); STOCKS].map(|()| common + student(rng) * ((1.0 - COMMON) * variance).sqrt())
}

/// Student's t with 5 degrees of freedom, scaled to variance 1. Bailey (1994), "Polar generation of
/// random variates with the t-distribution", Mathematics of Computation 62, eq. 1.
fn student(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    let length = (5.0 * (radius.powf(-0.4) - 1.0)).sqrt();
    length * (2.0 * std::f64::consts::PI * angle).cos() * 0.6_f64.sqrt()
}

#[derive(Clone, Copy, Debug)]
enum Policy {
    /// Short, flat or long at random, redrawn after this many bars on average.
    Random(f64),
    Long,
    /// Long above the mean of this many closes, short below; the reverse if negative.
    Average(i64),
    /// Like `Average`, with flat in place of short.
    LongAverage(i64),
    /// A random side each day, but only after a day of large moves.
    Restless,
    /// Doubles its stake, up to all of it, after a day that lost 2 %; reduces it after one that
    /// gained as much.
    Martingale,
    /// Long in the first three bars of a day, short after.
    Mornings,
    /// Long over night and in a day's first bar.
    Nights,
    Signal,
}

impl Policy {
    /// Weights of the stocks at the close of bar t.
    fn weights(
        self,
        prices: &Prices,
        t: usize,
        last: [f64; STOCKS],
        rng: &mut ChaCha8Rng,
    ) -> [f64; STOCKS] {
        let mut weights = last;
        for (stock, weight) in weights.iter_mut().enumerate() {
            let close = |t: usize| prices.close[t][stock];
            let above_mean = |bars: i64| {
                let from = t.saturating_sub(bars.unsigned_abs() as usize - 1);
                let sum: f64 = (from..=t).map(close).sum();
                let above = close(t) - sum / (t + 1 - from) as f64;
                above.partial_cmp(&0.0).map_or(0.0, |order| f64::from(order as i8))
                    * bars.signum() as f64
            };
            let side = match self {
                Policy::Random(bars) if rng.random::<f64>() * bars < 1.0 => {
                    f64::from(rng.random_range(-1..=1))
                }
                Policy::Random(_) => *weight * STOCKS as f64,
                Policy::Long => 1.0,
                Policy::Average(bars) => above_mean(bars),
                Policy::LongAverage(bars) => above_mean(bars).max(0.0),
                Policy::Restless if !t.is_multiple_of(BARS) => *weight * STOCKS as f64,
                Policy::Restless => {
                    let moved = close(t) / close(t.saturating_sub(BARS)) - 1.0;
                    let side = f64::from(2 * rng.random_range(0..=1) - 1);
                    if moved.abs() > DAILY_STD { side } else { 0.0 }
                }
                Policy::Martingale => {
                    let stake = weight.abs() * STOCKS as f64;
                    let moved = close(t) / close(t.saturating_sub(BARS)) - 1.0;
                    match moved {
                        _ if !t.is_multiple_of(BARS) => stake,
                        moved if moved > 0.02 || stake == 0.0 => 0.25,
                        moved if moved < -0.02 => (2.0 * stake).min(1.0),
                        _ => stake,
                    }
                }
                Policy::Mornings => side_by_clock(t % BARS),
                Policy::Nights => f64::from(u8::from(t.is_multiple_of(BARS))),
                Policy::Signal => prices.signal[t][stock],
            };
            *weight = side / STOCKS as f64;
        }
        weights
    }

    fn trade(
        self,
        prices: &Prices,
        ends: &[i64],
        cost_bps: f64,
        rng: &mut ChaCha8Rng,
    ) -> BacktestRecord {
        let mut account = FixtureAccount::open(ends[0], &prices.close[0]);
        let (mut weights, mut shares) = ([0.0; STOCKS], [0.0; STOCKS]);
        for (t, &end_s) in ends[1..].iter().enumerate() {
            let wanted = self.weights(prices, t, weights, rng);
            for stock in 0..STOCKS {
                if wanted[stock] != weights[stock] {
                    shares[stock] = wanted[stock] * account.equity() / prices.close[t][stock];
                }
            }
            weights = wanted;
            let bar = [&prices.open[t + 1][..], &prices.close[t + 1]];
            account.bar(end_s, bar, &shares, [cost_bps, 0.0]);
        }
        account.record()
    }
}

fn markets() -> usize {
    let named = std::env::var("CALIBRATION_MARKETS").ok();
    named.map_or(150, |text| text.parse().expect("CALIBRATION_MARKETS is a number"))
}

/// `work` on each of `count` markets, each with its own random stream.
fn over_markets<T: Send>(
    count: usize,
    market: Market,
    work: impl Fn(&Prices, &mut ChaCha8Rng) -> T + Sync,
) -> Vec<T> {
    let one = |i: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(20_260);
        rng.set_stream(i as u64);
        work(&market.draw(&mut rng), &mut rng)
    };
    (0..count).into_par_iter().map(one).collect()
}

/// The inference with the record as the only trial.
fn judge(record: &BacktestRecord, rng: &mut ChaCha8Rng) -> Inference {
    Inference::without_intervals(record, &Trials::default(), rng)
}

fn share<T>(all: &[T], holds: impl Fn(&T) -> bool) -> f64 {
    all.iter().filter(|one| holds(one)).count() as f64 / all.len() as f64
}

/// [`ERROR_RATE`] plus two standard errors of a share over this many markets.
fn allowed(markets: usize) -> f64 {
    ERROR_RATE + 2.0 * (ERROR_RATE * (1.0 - ERROR_RATE) / markets as f64).sqrt()
}

#[test]
fn without_an_edge_evidence_is_rare() {
    let policies = [
        Policy::Random(1.0),
        Policy::Random(20.0),
        Policy::Random(200.0),
        Policy::Long,
        Policy::Average(20),
        Policy::Average(-20),
        Policy::Average(-200),
        Policy::LongAverage(50),
        Policy::LongAverage(-350),
        Policy::Restless,
        Policy::Martingale,
        Policy::Mornings,
        Policy::Nights,
    ];
    let (count, ends) = (markets(), bar_ends(DAYS, BARS, 60));
    println!("without an edge and without costs, {count} markets each: share of ...");
    let mut wrong = Vec::new();
    for drift in [0.0, 0.15, 0.3] {
        let found = over_markets(count, Market { drift, ..Market::NONE }, |prices, rng| {
            policies.map(|policy| judge(&policy.trade(prices, &ends, 0.0, rng), rng))
        });
        for (i, policy) in policies.iter().enumerate() {
            let evidence = share(&found, |all| all[i].verdict == Verdict::Evidence);
            let worse = share(&found, |all| all[i].verdict == Verdict::Worse);
            let profit =
                share(&found, |all| all[i].deflated_sharpe.is_some_and(|p| p >= 1.0 - THRESHOLD));
            let timing = |all: &[Inference; 13]| all[i].timing_p_value().unwrap_or(1.0);
            let timing = share(&found, |all| timing(all) <= THRESHOLD);
            println!(
                "drift {drift:5.2} {policy:?}: evidence {evidence:.4}, worse {worse:.4}; \
                 profit test {profit:.4}, timing test {timing:.4}"
            );
            // Without drift no true Sharpe ratio is below 0.
            if evidence > allowed(count) || drift == 0.0 && worse > allowed(count) {
                wrong.push(format!("drift {drift} {policy:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_best_of_many_tries_is_still_luck() {
    let (count, ends) = (markets(), bar_ends(DAYS, BARS, 60));
    for (tries, drift) in [(20, 0.0), (5, 0.15)] {
        let found = over_markets(count, Market { drift, ..Market::NONE }, |prices, rng| {
            let try_one = |_| Policy::Random(20.0).trade(prices, &ends, 0.0, rng);
            let records: Vec<BacktestRecord> = (0..tries).map(try_one).collect();
            let own: Vec<Trial> = records.iter().map(|c| Trial::new(None, c)).collect();
            let best = (0..tries)
                .max_by(|&i, &j| own[i].sharpe.partial_cmp(&own[j].sharpe).unwrap())
                .unwrap();
            let alone = judge(&records[best], rng);
            let trials = Trials { own, earlier: Vec::new() };
            [alone, Inference::without_intervals(&records[best], &trials, rng)]
        });
        let [alone, counted] =
            [0, 1].map(|i| share(&found, |both| both[i].verdict == Verdict::Evidence));
        println!("best of {tries}, drift {drift}: evidence {counted:.4}; as one trial {alone:.4}");
        assert!(counted <= allowed(count), "{counted}");
        assert!(alone > 0.1, "tries that are not counted are found out: {alone}");
    }
}

#[test]
fn planted_edges_are_found() {
    let (count, ends) = (markets(), bar_ends(DAYS, BARS, 60));
    for (edge, at_least) in [(1.0, 0.0), (2.0, 0.4), (3.0, 0.75), (4.0, 0.9), (6.0, 0.99)] {
        let found =
            over_markets(count, Market { drift: 0.15, edge, ..Market::NONE }, |prices, rng| {
                let record = Policy::Signal.trade(prices, &ends, 0.0, rng);
                (judge(&record, rng), annual_sharpe(&record.daily_returns()))
            });
        let evidence = share(&found, |(one, _)| one.verdict == Verdict::Evidence);
        let sharpe = found.iter().filter_map(|(_, sharpe)| *sharpe).sum::<f64>() / count as f64;
        println!("edge {edge}: Sharpe {sharpe:.2}, evidence {evidence:.4}");
        assert!((sharpe - edge).abs() < 0.5, "the planted size is as stated: {sharpe}");
        assert!(evidence >= at_least, "{edge}: {evidence}");
    }
}

/// Positions that are the same every day are their own placebo on other days, and not at other times
/// of day.
#[test]
fn an_edge_by_the_clock_is_found() {
    let (count, ends) = (markets(), bar_ends(DAYS, BARS, 60));
    for (clock, at_least) in [(2.0, 0.1), (4.0, 0.7), (6.0, 0.95)] {
        let market = Market { drift: 0.15, clock, ..Market::NONE };
        let found = over_markets(count, market, |prices, rng| {
            judge(&Policy::Mornings.trade(prices, &ends, 0.0, rng), rng)
        });
        let evidence = share(&found, |one| one.verdict == Verdict::Evidence);
        println!("edge by the clock {clock}: evidence {evidence:.4}");
        assert!(evidence >= at_least, "{clock}: {evidence}");
    }
}

/// Each of two stocks reverses 88 times a year, and each reversal trades half of the equity twice.
/// At 40 basis points that costs 71 % of equity a year, and the edge earns 54 %.
#[test]
fn an_edge_that_its_costs_eat_is_none() {
    let (count, ends) = (markets(), bar_ends(DAYS, BARS, 60));
    let found = over_markets(count, Market { edge: 4.0, ..Market::NONE }, |prices, rng| {
        judge(&Policy::Signal.trade(prices, &ends, 40.0, rng), rng)
    });
    let evidence = share(&found, |one| one.verdict == Verdict::Evidence);
    println!("edge 4 at 40 bps: evidence {evidence:.4}");
    assert!(evidence <= allowed(count), "{evidence}");
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let (count, ends) = (markets().min(1_000), bar_ends(DAYS, BARS, 60));
    let found = over_markets(count, Market::NONE, |prices, rng| {
        let record = Policy::Random(20.0).trade(prices, &ends, 0.0, rng);
        SharpeEstimate::from_returns(&record.daily_returns(), rng)
    });
    let covered = share(&found, |one| {
        one.low.is_some_and(|low| low <= 0.0) && one.high.is_some_and(|high| high >= 0.0)
    });
    println!("intervals that hold the true Sharpe ratio: {covered:.4} of {count}");
    let error = (CONFIDENCE * (1.0 - CONFIDENCE) / count as f64).sqrt();
    assert!((covered - CONFIDENCE).abs() < 0.02 + 2.0 * error, "{covered}");
}
