//! Tests of the oracles of planted markets: their policies earn the predicted value in the
//! program's own account.

use dqn_trader::config::EnvConfig;
use dqn_trader::env::TradingEnv;
use dqn_trader::eval::oracle::{Oracle, TradingTerms};
use dqn_trader::market::panel::{NO_BAR, Panel, PanelData, align};
use dqn_trader::market::{BarSeries, Period, Symbol};
use dqn_trader::synthetic::SyntheticMarket;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tempfile::TempDir;

const USUAL: TradingTerms = TradingTerms { fee_bps: 1.0, slippage_bps: 1.0, long_only: false };
const BPS: f64 = 1e-4;

/// 36 years: 118,000 half hours of each stock.
fn period() -> Period {
    Period { start: "1990-01-01".parse().unwrap(), end: "2025-12-31".parse().unwrap() }
}

/// A panel without features: a single one that is always 0.
fn panel(market: &SyntheticMarket, stocks: usize, bar_minutes: u32) -> (TempDir, Panel) {
    let symbols: Vec<Symbol> = (0..stocks).map(|i| format!("S{i}").parse().unwrap()).collect();
    let bars = |symbol: &Symbol| market.bars(&symbols, symbol, &period(), bar_minutes);
    let series: Vec<BarSeries> = symbols.iter().map(bars).collect();
    let grid = align(&series);
    assert!(grid.bar_index.iter().all(|index| !index.contains(&NO_BAR)));
    let times = grid.end_s.len();
    let table = |of: fn(&BarSeries) -> &[f64]| -> Vec<f64> {
        (0..times).flat_map(|t| series.iter().map(move |one| of(one)[t])).collect()
    };
    let data = PanelData {
        stocks: symbols,
        feature_names: vec!["nothing".into()],
        end_s: grid.end_s,
        open: table(|one| &one.open),
        high: table(|one| &one.high),
        low: table(|one| &one.low),
        close: table(|one| &one.close),
        volume: table(|one| &one.volume),
        tradable: vec![true; times * stocks],
        features: vec![0.0; times * stocks],
        note: String::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    Panel::write(&path, &data).unwrap();
    let panel = Panel::open(&path).unwrap();
    (folder, panel)
}

/// Mean results per bar, over all bars and stocks.
struct Earned {
    /// Mean and standard error for an account whose exposure is 1, 0 or -1 in every bar.
    mean: f64,
    error: f64,
    /// The same with the oracle's expectation instead of each return, which says little in a bar
    /// and much about the error.
    predicted: f64,
    /// For the program's own account with the same orders.
    account: f64,
    /// Changes of position per bar.
    changes: f64,
    /// Regression slope of the next return on its expectation, 1 if the expectations are correct,
    /// and its standard error.
    slope: f64,
    slope_error: f64,
}

/// Trades every stock that carries an edge in a separate account, by `decide`, which receives the
/// oracle's decision and expectation.
fn trade(
    market: &SyntheticMarket,
    (panel, stocks, bar_minutes): (&Panel, usize, u32),
    terms: TradingTerms,
    decide: impl Fn(i8, f64) -> i8,
) -> Earned {
    let TradingTerms { fee_bps, slippage_bps, long_only } = terms;
    let config = EnvConfig { fee_bps, slippage_bps, long_only, ..EnvConfig::default() };
    let cost = 1e-4 * (fee_bps + slippage_bps);
    let (mut sum, mut squares, mut count, mut changes) = (0.0, 0.0, 0.0, 0.0);
    let mut account = 0.0;
    let (mut predicted, mut change_squares) = (0.0, 0.0);
    let (mut together, mut expected_squares) = (0.0, 0.0);
    for stock in 0..stocks {
        if !market.law(stocks, stock, bar_minutes).unwrap().has_edge() {
            continue;
        }
        let mut oracle = Oracle::new(market, stocks, stock, bar_minutes, terms).unwrap();
        let mut env = TradingEnv::new(&config);
        for t in 100..panel.rows() - 1 {
            let (view, next) = (panel.view(t), panel.view(t + 1).bar(stock));
            let position = env.portfolio().direction(0);
            let expected = oracle.expected_return(&view);
            let order = decide(oracle.decide(&view, position), expected);
            account += env.step(f64::from(order), &view.bar(stock), &next).reward;
            let change = next.close / view.bar(stock).close - 1.0;
            let paid = f64::from((order - position).abs()) * cost;
            let reward = f64::from(order) * change - paid;
            predicted += f64::from(order) * expected - paid;
            change_squares += change * change;
            (sum, squares, count) = (sum + reward, squares + reward * reward, count + 1.0);
            changes += f64::from(order != position);
            (together, expected_squares) =
                (together + expected * change, expected_squares + expected * expected);
        }
    }
    let mean = sum / count;
    let error = ((squares / count - mean * mean) / count).sqrt();
    Earned {
        mean,
        error,
        predicted: predicted / count,
        account: account / count,
        changes: changes / count,
        slope: together / expected_squares,
        slope_error: (change_squares / count / expected_squares).sqrt(),
    }
}

fn value(market: &SyntheticMarket, stocks: usize, bar_minutes: u32, terms: TradingTerms) -> f64 {
    let oracles = (0..stocks).filter_map(|stock| {
        let edge = market.law(stocks, stock, bar_minutes)?.has_edge();
        Oracle::new(market, stocks, stock, bar_minutes, terms).filter(|_| edge)
    });
    let oracles: Vec<Oracle> = oracles.collect();
    assert!(oracles.iter().all(|oracle| oracle.tolerance() < 1e-7));
    let values: Vec<f64> = oracles.iter().map(Oracle::mean_reward).collect();
    assert!(values.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1e-9));
    values[0]
}

/// An account of constant exposure earns the oracle's value within three standard errors plus the
/// error of its grid, and its expectations within a fiftieth of it; the program's own account earns
/// the same up to the oracle's approximations (see its module). `rules` are naive: they follow
/// every expectation beyond so many basis points, and should earn less.
fn confirm(name: &str, stocks: usize, bar_minutes: u32, terms: TradingTerms, rules: &[f64]) {
    let market = SyntheticMarket::parse(name).unwrap();
    let value = value(&market, stocks, bar_minutes, terms);
    let (_folder, panel) = panel(&market, stocks, bar_minutes);
    let earned = trade(&market, (&panel, stocks, bar_minutes), terms, |order, _| order);
    println!(
        "{name} {bar_minutes} min {terms:?}: oracle {:.3} bps per bar, earned {:.3} +- {:.3}, \
         predicted {:.3}, account {:.3}, {:.3} changes per bar, slope {:.4} +- {:.4}",
        value / BPS,
        earned.mean / BPS,
        earned.error / BPS,
        earned.predicted / BPS,
        earned.account / BPS,
        earned.changes,
        earned.slope,
        earned.slope_error,
    );
    let off = (earned.mean - value).abs();
    let bound = 3.0 * earned.error + 0.002 * value;
    assert!(off < bound, "{name}: {} is not {value}", earned.mean);
    let predicted = earned.predicted / value - 1.0;
    assert!(predicted.abs() < 0.02, "{name}: {predicted} more is predicted");
    let share = earned.error / value;
    assert!(share < 0.1, "{name}: too few bars to tell");
    let drift = earned.account / earned.mean - 1.0;
    assert!(drift.abs() < 0.02 + share, "{name}: the account earns {drift} more");
    let off = (earned.slope - 1.0).abs();
    assert!(off < 4.0 * earned.slope_error, "{name}: slope {}", earned.slope);
    // A policy that reacts to every signal pays more costs, and one that reacts only to strong
    // signals misses returns.
    for &hasty in rules {
        let naive = trade(&market, (&panel, stocks, bar_minutes), terms, |_, expected| {
            let least = if terms.long_only { 0 } else { -1 };
            if expected > hasty * BPS {
                1
            } else if expected < -hasty * BPS {
                least
            } else {
                0
            }
        });
        assert!(naive.account < earned.account, "{name}: beyond {hasty} earns {}", naive.account);
    }
}

/// Every sign, and strong signs only.
const RULES: [f64; 2] = [0.0, 15.0];

fn costing(bps: f64) -> TradingTerms {
    TradingTerms { fee_bps: bps - 1.0, slippage_bps: 1.0, long_only: false }
}

#[test]
fn followers_earn_what_their_oracle_says() {
    confirm("lead_lag:11", 8, 30, USUAL, &RULES);
}

#[test]
fn momentum_earns_what_its_oracle_says() {
    confirm("momentum:12", 4, 30, USUAL, &RULES);
    confirm("momentum:13", 4, 60, TradingTerms { long_only: true, ..USUAL }, &RULES);
}

#[test]
fn reversion_earns_what_its_oracle_says() {
    confirm("mean_reversion:14", 4, 30, USUAL, &RULES);
    confirm(
        "mean_reversion:15",
        4,
        30,
        TradingTerms { fee_bps: 6.0, slippage_bps: 4.0, ..USUAL },
        &RULES,
    );
}

#[test]
fn pairs_earn_what_their_oracle_says() {
    confirm("pairs-3:16", 8, 30, USUAL, &RULES);
}

#[test]
fn regimes_earn_what_their_filter_says() {
    confirm("regimes:17", 4, 30, USUAL, &RULES);
}

#[test]
fn a_leak_earns_what_its_oracle_says() {
    confirm("leaked:18", 2, 30, USUAL, &RULES);
}

/// Following every sign of the clock is the optimum; being flat in between is not.
#[test]
fn a_clock_earns_what_its_oracle_says() {
    confirm("clock:19", 4, 30, costing(5.0), &[15.0]);
    confirm("clock:20", 4, 30, costing(8.0), &[15.0]);
}

#[test]
fn a_hidden_signal_earns_what_its_filter_says() {
    confirm("persistent:21", 8, 30, costing(5.0), &RULES);
    confirm("persistent:22", 8, 30, costing(10.0), &RULES);
}

#[test]
fn a_weak_signal_earns_what_its_oracle_says() {
    confirm("weak:23", 4, 30, USUAL, &RULES);
}

/// Long only: the weight of a short position that is held for days, while the price falls, shrinks
/// within its band, which costs a twentieth of what it earns.
#[test]
fn a_trend_earns_what_its_oracle_says() {
    confirm("trend:24", 8, 30, TradingTerms { long_only: true, ..USUAL }, &RULES);
}

/// What `bars` steps of a signal are worth: reversed where it is beyond the best of some bands and
/// points the other way. Costs and value in units of the signal.
fn best_band(signal: &[f64], cost: f64, bands: impl Iterator<Item = f64>) -> f64 {
    let earned = bands.map(|band| {
        let (mut position, mut sum) = (0.0, 0.0);
        for &mean in signal {
            let wanted = if mean.abs() > band { mean.signum() } else { position };
            sum += wanted * mean - cost * (wanted - position).abs();
            position = wanted;
        }
        sum / signal.len() as f64
    });
    earned.fold(f64::NEG_INFINITY, f64::max)
}

/// Box and Muller (1958), on a stream of its own.
fn normals(seed: u64) -> impl FnMut() -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = move || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    move || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

/// The processes written out once more, and the best of all no-trade bands by trial: with costs
/// per unit traded, that is what an optimal policy looks like where a signal is AR(1).
#[test]
fn the_values_of_faint_signals_are_found_by_trial() {
    let bars = 2_000_000;
    let value = |name: &str, cost: f64| {
        value(&SyntheticMarket::parse(name).unwrap(), 1, 30, costing(cost)) / BPS
    };
    let bands = || (0..60).map(|i| 0.25 * f64::from(i));
    let mut normal = normals(1);
    let mut last = 0.0;
    let weak: Vec<f64> = (0..bars)
        .map(|_| {
            last = 0.05 * last + 65.0 * normal();
            0.05 * last
        })
        .collect();
    // The Kalman filter from the prior on; log volume is 0.5 s + 0.4 times noise.
    let (mut s, mut expected, mut variance) = (0.0, 0.0, 1.0);
    let persistent: Vec<f64> = (0..bars)
        .map(|_| {
            s = 0.9 * s + 0.19_f64.sqrt() * normal();
            let volume = 0.5 * s + 0.4 * normal();
            variance = 0.81 * variance + 0.19;
            let gain = variance * 0.5 / (0.25 * variance + 0.16);
            expected = 0.9 * expected + gain * (volume - 0.5 * 0.9 * expected);
            variance *= 1.0 - 0.5 * gain;
            6.0 * expected
        })
        .collect();
    for (name, signal, cost) in
        [("weak", &weak, 2.0), ("persistent", &persistent, 5.0), ("persistent", &persistent, 10.0)]
    {
        let (found, expected) = (best_band(signal, cost, bands()), value(name, cost));
        println!("{name} at {cost} bps: oracle {expected:.3}, by trial {found:.3}");
        assert!((found / expected - 1.0).abs() < 0.012, "{name}: {found} is not {expected}");
    }
}
