//! No look-ahead, tested from outside: two evaluations on folders that differ only after a time t.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use dqn_trader::market::calendar::{iso_market_time, market_date};
use dqn_trader::market::parquet::encode_day;
use dqn_trader::market::store::day_key;
use dqn_trader::market::{BarSeries, Period, Symbol};
use dqn_trader::synthetic::SyntheticMarket;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::program::{Place, succeed};

const STOCKS: [&str; 2] = ["AAPL", "MSFT"];
const MOMENTS: usize = 4;
/// The learning rate produces a policy with large and changing Q-values.
const FLAGS: [&str; 29] = [
    "--stocks",
    "AAPL",
    "MSFT",
    "--bar-minutes",
    "30",
    "--start_date",
    "2018-01-02",
    "--end_date",
    "2018-02-28",
    "--eval_start",
    "2018-03-01",
    "--eval_end",
    "2018-03-29",
    "--episodes",
    "2",
    "--learning-rate",
    "0.01",
    "--batch-size",
    "32",
    "--fee-bps",
    "0",
    "--slippage-bps",
    "0",
    "--set",
    "features.warmup_bars=200",
    "--set",
    "learner.learning_starts=64",
    "--set",
    "network.embedding=16",
];

/// One-minute bars of a synthetic market; some are missing, and a whole day of the second stock.
fn bars(market: &str) -> Vec<BarSeries> {
    let market = SyntheticMarket::parse(market).unwrap();
    let stocks = STOCKS.map(|stock| stock.parse::<Symbol>().unwrap());
    let period =
        Period { start: "2018-01-02".parse().unwrap(), end: "2018-03-29".parse().unwrap() };
    let with_gaps = |(stock, symbol): (usize, &Symbol)| {
        let mut kept = BarSeries::new(symbol.clone());
        for bar in market.bars(&stocks, symbol, &period, 1).bars() {
            // Some half-hour bars are incomplete and some are missing.
            let (minute, half_hour) = (bar.end_s / 60, (bar.end_s - 1) / 1_800);
            let part = (minute * 7 + stock as i64) % 11 == 0;
            let whole = (half_hour * 5 + stock as i64) % 17 == 0;
            let day = stock == 1 && market_date(bar.end_s).to_string() == "2018-03-07";
            if !part && !whole && !day {
                kept.push(bar);
            }
        }
        kept
    };
    stocks.iter().enumerate().map(with_gaps).collect()
}

fn store(market: &[BarSeries], folder: &Path) {
    for series in market {
        let mut day = BarSeries::new(series.symbol.clone());
        for (i, bar) in series.bars().enumerate() {
            day.push(bar);
            let date = market_date(bar.end_s);
            if series.end_s.get(i + 1).is_none_or(|&next| market_date(next) != date) {
                let path = folder.join(day_key(&series.symbol, date));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, encode_day(&day, 1).unwrap()).unwrap();
                day = BarSeries::new(series.symbol.clone());
            }
        }
    }
}

/// Bars of `past` up to t, then those of `future`, scaled to continue at the same price: a jump
/// would ruin a short position.
fn joined_at(past: &[BarSeries], future: &[BarSeries], t_s: i64) -> Vec<BarSeries> {
    let join = |(past, future): (&BarSeries, &BarSeries)| {
        let (mut joined, mut scale) = (BarSeries::new(past.symbol.clone()), 1.0);
        for (bar, mut other) in past.bars().zip(future.bars()) {
            assert_eq!(bar.end_s, other.end_s, "bars are missing at the same times");
            if bar.end_s <= t_s {
                joined.push(bar);
                scale = bar.close / other.close;
                continue;
            }
            for price in [&mut other.open, &mut other.high, &mut other.low, &mut other.close] {
                *price *= scale;
            }
            joined.push(other);
        }
        joined
    };
    past.iter().zip(future).map(join).collect()
}

/// Ends of some bars in March, different in every run; `DQN_TEST_SEED` reproduces them.
fn moments(market: &[BarSeries]) -> Vec<i64> {
    let seed = match std::env::var("DQN_TEST_SEED") {
        Ok(seed) => seed.parse().expect("DQN_TEST_SEED is a whole number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
    };
    eprintln!("DQN_TEST_SEED={seed} repeats this");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let day = |end_s: &i64| market_date(*end_s).to_string();
    let ends = &market[0].end_s;
    let from = ends.partition_point(|end_s| day(end_s).as_str() < "2018-03-02");
    let until = ends.partition_point(|end_s| day(end_s).as_str() < "2018-03-27");
    (0..MOMENTS).map(|_| ends[rng.random_range(from..until)]).collect()
}

/// The lines of bars up to t, and the first line after it.
fn cut(portfolio: &str, t_s: i64) -> (Vec<&str>, &str) {
    let end_s = |line: &str| {
        let time = DateTime::parse_from_rfc3339(line.split(',').next().unwrap());
        time.unwrap().timestamp()
    };
    let lines: Vec<&str> = portfolio.lines().skip(1).collect();
    let known = lines.partition_point(|line| end_s(line) <= t_s);
    (lines[..known].to_vec(), lines[known])
}

/// `{symbol}_position` of both stocks.
fn positions(line: &str) -> [&str; 2] {
    let cells: Vec<&str> = line.split(',').collect();
    [cells[8], cells[10]]
}

#[test]
fn evaluations_on_folders_that_differ_after_t_agree_up_to_t() {
    let place = Place::new();
    let (past, future) = (bars("sample"), bars("sample:2"));
    store(&past, &place.path("ours"));
    let train = [&FLAGS[..], &["--data", "ours", "--quiet"]].concat();
    succeed(&mut place.program(&train));
    let evaluate = |data: &str| {
        let args = ["evaluate", "--model", "results", "--data", data, "--output", "evaluated"];
        succeed(&mut place.program(&[&args[..], &["--quiet"]].concat()));
        place.text("evaluated/portfolio.csv")
    };
    let ours = evaluate("ours");
    let held: BTreeSet<_> = ours.lines().skip(1).map(positions).collect();
    assert!(held.len() > 30, "a policy that hardly trades proves little");
    for (i, t_s) in moments(&past).into_iter().enumerate() {
        let data = format!("theirs{i}");
        store(&joined_at(&past, &future, t_s), &place.path(&data));
        let theirs = evaluate(&data);
        let ((known, next), (known_there, next_there)) = (cut(&ours, t_s), cut(&theirs, t_s));
        let t = iso_market_time(t_s);
        assert!(known.len() >= 10, "hardly anything is compared up to {t}");
        assert!(known == known_there, "what comes after {t} changed what was before");
        // The same bars are missing in both, so the same orders are filled, at other prices.
        assert_ne!(next, next_there, "the other future is the same after {t}");
        assert_eq!(positions(next), positions(next_there), "ordered at {t}");
    }
}
