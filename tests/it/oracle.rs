//! Tests of the oracles of planted markets: their policies earn the predicted value in the
//! program's own account.

use dqn_trader::config::EnvConfig;
use dqn_trader::env::TradingEnv;
use dqn_trader::eval::oracle::{Oracle, TradingTerms};
use dqn_trader::market::panel::{NO_BAR, Panel, PanelData, align};
use dqn_trader::market::{BarSeries, Period, Symbol};
use dqn_trader::synthetic::SyntheticMarket;
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
    /// For the program's own account with the same orders.
    account: f64,
    /// Changes of position per bar.
    changes: f64,
    /// Regression slope of the next return on its expectation; 1 if the expectations are correct.
    slope: f64,
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
    let (mut together, mut expected_squares) = (0.0, 0.0);
    for stock in 0..stocks {
        if !market.law(stocks, stock, bar_minutes).unwrap().has_edge() {
            continue;
        }
        let mut oracle = Oracle::new(market, stocks, stock, bar_minutes, terms).unwrap();
        let mut env = TradingEnv::new(&config);
        for t in 100..panel.rows() - 1 {
            let (view, next) = (panel.view(t), panel.view(t + 1).bar(stock));
            let position = env.private_state().position;
            let expected = oracle.expected_return(&view);
            let order = decide(oracle.decide(&view, position), expected);
            let step = env.step(order, &view.bar(stock), &next, t + 1);
            account += step.time_step.reward_t;
            let change = next.close / view.bar(stock).close - 1.0;
            let reward = f64::from(order) * change - f64::from((order - position).abs()) * cost;
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
        account: account / count,
        changes: changes / count,
        slope: together / expected_squares,
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
/// error of its grid; the program's own account earns the same up to the oracle's approximations
/// (see its module).
fn confirm(name: &str, stocks: usize, bar_minutes: u32, terms: TradingTerms) {
    let market = SyntheticMarket::parse(name).unwrap();
    let value = value(&market, stocks, bar_minutes, terms);
    let (_folder, panel) = panel(&market, stocks, bar_minutes);
    let earned = trade(&market, (&panel, stocks, bar_minutes), terms, |order, _| order);
    println!(
        "{name} {bar_minutes} min {terms:?}: oracle {:.3} bps per bar, earned {:.3} +- {:.3}, \
         account {:.3}, {:.3} changes per bar, slope {:.4}",
        value / BPS,
        earned.mean / BPS,
        earned.error / BPS,
        earned.account / BPS,
        earned.changes,
        earned.slope,
    );
    let off = (earned.mean - value).abs();
    let bound = 3.0 * earned.error + 0.002 * value;
    assert!(off < bound, "{name}: {} is not {value}", earned.mean);
    let drift = earned.account / earned.mean - 1.0;
    assert!(drift.abs() < 0.02, "{name}: the account earns {drift} more");
    assert!(earned.error < 0.02 * value, "{name}: too few bars to tell");
    assert!((earned.slope - 1.0).abs() < 0.05, "{name}: slope {}", earned.slope);
    // A policy that reacts to every signal pays more costs, and one that reacts only to strong
    // signals misses returns.
    for (rule, hasty) in [("every sign", 0.0), ("strong signs only", 15.0 * BPS)] {
        let naive = trade(&market, (&panel, stocks, bar_minutes), terms, |_, expected| {
            let least = if terms.long_only { 0 } else { -1 };
            if expected > hasty {
                1
            } else if expected < -hasty {
                least
            } else {
                0
            }
        });
        assert!(naive.account < earned.account, "{name}: {rule} earns {}", naive.account);
    }
}

#[test]
fn followers_earn_what_their_oracle_says() {
    confirm("lead_lag:11", 8, 30, USUAL);
}

#[test]
fn momentum_earns_what_its_oracle_says() {
    confirm("momentum:12", 4, 30, USUAL);
    confirm("momentum:13", 4, 60, TradingTerms { long_only: true, ..USUAL });
}

#[test]
fn reversion_earns_what_its_oracle_says() {
    confirm("mean_reversion:14", 4, 30, USUAL);
    confirm("mean_reversion:15", 4, 30, TradingTerms { fee_bps: 6.0, slippage_bps: 4.0, ..USUAL });
}

#[test]
fn pairs_earn_what_their_oracle_says() {
    confirm("pairs-3:16", 8, 30, USUAL);
}

#[test]
fn regimes_earn_what_their_filter_says() {
    confirm("regimes:17", 4, 30, USUAL);
}

#[test]
fn a_leak_earns_what_its_oracle_says() {
    confirm("leaked:18", 2, 30, USUAL);
}
