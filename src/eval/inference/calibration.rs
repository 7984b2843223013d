//! Monte Carlo calibration of the verdict: policies with and without skill over many synthetic
//! markets of a year of hourly bars and two stocks.
//!
//! `CALIBRATION_MARKETS=5000 cargo test --release --lib calibration -- --nocapture` is the long run
//! whose figures are in `docs/learning.md`.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::fixture::bar_ends;
use super::*;

mod market;
mod policies;

use market::{BARS, Course, DAYS, Market, Prices};
use policies::{NULL, Policy};

/// Markets without a word from the environment.
const FEW: usize = 150;

fn markets() -> usize {
    let named = std::env::var("CALIBRATION_MARKETS").ok();
    named.map_or(FEW, |text| text.parse().expect("CALIBRATION_MARKETS is a number"))
}

/// Not that of the markets on which the tests were chosen.
const SEED: u64 = 20_261;

/// `work` on each of `count` markets, each with its own random stream.
fn over_markets<T: Send>(
    count: usize,
    market: Market,
    work: impl Fn(&Prices, &mut ChaCha8Rng) -> T + Sync,
) -> Vec<T> {
    let one = |i: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
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

/// Drift and leverage effect; without a word from the environment the first two.
const COURSES: [(f64, bool); 6] =
    [(0.0, false), (0.3, true), (0.0, true), (0.15, true), (0.15, false), (0.3, false)];

#[test]
fn without_an_edge_evidence_is_rare() {
    let (count, ends) = (markets(), bar_ends(DAYS, BARS, 60));
    println!("without an edge and without costs, {count} markets each: share of ...");
    let mut wrong = Vec::new();
    for &(drift, leverage) in if count > FEW { &COURSES[..] } else { &COURSES[..2] } {
        let market = Market { drift, leverage, ..Market::NONE };
        let found = over_markets(count, market, |prices, rng| {
            NULL.map(|policy| Found::new(&judge(&policy.trade(prices, &ends, 0.0, rng), rng)))
        });
        for (i, policy) in NULL.iter().enumerate() {
            let [evidence, worse, profit, timing] = [
                |one: &Found| one.verdict == Verdict::Evidence,
                |one: &Found| one.verdict == Verdict::Worse,
                |one: &Found| one.profit <= THRESHOLD,
                |one: &Found| one.timing <= THRESHOLD,
            ]
            .map(|holds| share(&found, |all| holds(&all[i])));
            let what = format!("drift {drift}, leverage effect {leverage}, {policy:?}");
            println!(
                "{what}: evidence {evidence:.4}, worse {worse:.4}; profit test {profit:.4}, \
                 timing test {timing:.4}"
            );
            // Without drift no true Sharpe ratio is below 0.
            if evidence > allowed(count) || drift == 0.0 && worse > allowed(count) {
                wrong.push(what);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A verdict and the p-values of its tests.
struct Found {
    verdict: Verdict,
    profit: f64,
    timing: f64,
}

impl Found {
    fn new(one: &Inference) -> Found {
        Found {
            verdict: one.verdict,
            profit: one.deflated_sharpe.map_or(1.0, |probability| 1.0 - probability),
            timing: one.timing_p_value().unwrap_or(1.0),
        }
    }
}

#[test]
fn the_best_of_many_tries_is_still_luck() {
    let ends = bar_ends(DAYS, BARS, 60);
    for (tries, drift, count) in [(20, 0.0, markets()), (5, 0.15, 2 * markets())] {
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
    for (edge, at_least) in [(1.0, 0.0), (2.0, 0.4), (3.0, 0.75), (4.0, 0.9), (6.0, 0.99)] {
        planted(Market { drift: 0.15, edge, ..Market::NONE }, at_least);
    }
}

/// Positions held for a month or two, and dip buyers who are right.
#[test]
fn slow_edges_are_found() {
    for course in [Course::Turns(0.005), Course::Below(350)] {
        for leverage in [false, true] {
            planted(Market { drift: 0.15, edge: 2.0, leverage, course, ..Market::NONE }, 0.3);
        }
    }
}

fn planted(market: Market, at_least: f64) {
    let (count, ends) = (markets(), bar_ends(DAYS, BARS, 60));
    let found = over_markets(count, market, |prices, rng| {
        let record = Policy::Signal.trade(prices, &ends, 0.0, rng);
        (judge(&record, rng), annual_sharpe(&record.daily_returns()))
    });
    let evidence = share(&found, |(one, _)| one.verdict == Verdict::Evidence);
    let sharpe = found.iter().filter_map(|(_, sharpe)| *sharpe).sum::<f64>() / count as f64;
    println!("{market:?}: Sharpe {sharpe:.2}, evidence {evidence:.4}");
    assert!((sharpe - market.edge).abs() < 0.5, "the planted size is as stated: {sharpe}");
    assert!(evidence >= at_least, "{market:?}: {evidence}");
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
        SharpeEstimate::from_returns(&record.daily_returns(), DAYS_PER_YEAR, rng)
    });
    let covered = share(&found, |one| {
        one.low.is_some_and(|low| low <= 0.0) && one.high.is_some_and(|high| high >= 0.0)
    });
    println!("intervals that hold the true Sharpe ratio: {covered:.4} of {count}");
    let error = (CONFIDENCE * (1.0 - CONFIDENCE) / count as f64).sqrt();
    assert!((covered - CONFIDENCE).abs() < 0.02 + 2.0 * error, "{covered}");
}
