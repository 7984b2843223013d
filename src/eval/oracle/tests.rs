//! Values in closed form where there is one, and the error of the grid. The integration test
//! `oracle` shows that they hold for the program's own account.

use std::f64::consts::PI;

use super::signal::{Regimes, Signal};
use super::*;
use crate::synthetic::return_process::Ar1;
use crate::synthetic::{MarketKind, SyntheticMarket};

const FREE: TradingTerms = TradingTerms { fee_bps: 0.0, slippage_bps: 0.0, long_only: false };
const USUAL: TradingTerms = TradingTerms { fee_bps: 1.0, slippage_bps: 1.0, long_only: false };
const BPS: f64 = 1e-4;

fn law(kind: MarketKind, stock: usize) -> ReturnProcess {
    SyntheticMarket { kind, seed: 1 }.law(2, stock, 30).unwrap()
}

fn value(kind: MarketKind, terms: TradingTerms) -> f64 {
    Oracle::from_process(law(kind, 1), 1, terms).mean_reward()
}

fn assert_near(found: f64, expected: f64, part: f64) {
    assert!((found / expected - 1.0).abs() < part, "{found} is not {expected}");
}

/// Standard normal density; the distribution function below uses the midpoint rule.
fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

fn below(x: f64) -> f64 {
    let steps = 20_000;
    let width = x.abs() / f64::from(steps);
    let sum: f64 = (0..steps).map(|i| density((f64::from(i) + 0.5) * width)).sum();
    0.5 + x.signum() * sum * width
}

/// An independent mean in every bar, m ~ N(0, s^2), at a cost of c per unit. A long position is
/// kept unless m < -c, when it is reversed at a cost of 2 c, and vice versa: a bar earns max(m, -m
/// - 2 c) = |m + c| - c, whose expectation is that of a folded normal.
#[test]
fn what_is_told_anew_with_every_bar_has_a_formula() {
    let told = |s: f64, c: f64| {
        s * (2.0 / PI).sqrt() * (-c * c / (2.0 * s * s)).exp() + c * (2.0 * below(c / s) - 1.0) - c
    };
    for (bps, fee_bps) in [(0.0, 0.0), (2.0, 1.0), (20.0, 13.0)] {
        let terms = TradingTerms { fee_bps, slippage_bps: bps - fee_bps, long_only: false };
        assert_near(value(MarketKind::LeadLag(None), terms), told(30.0 * BPS, bps * BPS), 2e-3);
        assert_near(value(MarketKind::Leaked, terms), told(60.0 * BPS, bps * BPS), 2e-3);
    }
    // Long only: enter if m > c, exit if m < -c, E max(m - c, 0).
    let (s, c) = (30.0 * BPS, 2.0 * BPS);
    let long_only = s * density(c / s) - c * below(-c / s);
    let terms = TradingTerms { long_only: true, ..USUAL };
    assert_near(value(MarketKind::LeadLag(None), terms), long_only, 2e-3);
}

/// Without costs the optimum is E|m|: sqrt(2 / pi) standard deviations.
#[test]
fn without_costs_all_of_the_expected_return_is_earned() {
    let folded = |deviation: f64| deviation * (2.0 / PI).sqrt();
    let ar1 = folded(0.4 * 65.0 * BPS / (1.0 - 0.16_f64).sqrt());
    assert_near(value(MarketKind::Momentum, FREE), ar1, 2e-3);
    assert_near(value(MarketKind::MeanReversion, FREE), ar1, 2e-3);
    let spread = folded(0.125 * 106.0 * BPS / (1.0 - 0.5625_f64).sqrt());
    assert_near(value(MarketKind::Pairs(None), FREE), spread, 2e-3);
    // Knowing the regime would be worth the mean of the two AR(1) processes.
    let known = (45.0 + 90.0) / 2.0 * folded(0.4 * BPS / (1.0 - 0.16_f64).sqrt());
    let filtered = value(MarketKind::Regimes, FREE);
    assert!((0.85 * known..known).contains(&filtered), "{filtered} of {known}");
}

/// With half hours: long for seven bars and short for six, two reversals a day of 2 c each. In
/// basis points a day, 65 - 4 c. Dear reversals are not worth it: 35 - 30 = 5 for being long
/// always. Long only, 35 - 2 c. With hours, four bars up and three down, of 10 each.
#[test]
fn a_day_of_the_clock_by_hand() {
    let of = |bps: f64, long_only: bool, minutes: u32| {
        let terms = TradingTerms { fee_bps: bps - 1.0, slippage_bps: 1.0, long_only };
        let law = SyntheticMarket { kind: MarketKind::Clock, seed: 1 }.law(1, 0, minutes).unwrap();
        let oracle = Oracle::from_process(law, 0, terms);
        assert!(oracle.tolerance() < 1e-7);
        oracle.mean_reward() / BPS
    };
    for (bps, expected) in [(0.0, 65.0), (5.0, 45.0), (8.0, 33.0), (14.0, 9.0), (20.0, 5.0)] {
        assert_near(of(bps, false, 30), expected / 13.0, 1e-9);
    }
    assert_near(of(5.0, true, 30), 25.0 / 13.0, 1e-9);
    assert_near(of(5.0, false, 60), 50.0 / 7.0, 1e-9);
    // 195 minutes up and as many down, of 1 / 6 each.
    assert_near(of(5.0, false, 1), 45.0 / 390.0, 1e-9);
}

/// Coefficient 0.05 and shocks of 65: m has a standard deviation of 3.25, and without costs 2.6 is
/// earned. What volume tells of the hidden signal has a variance of 0.76 of the signal's (solved by
/// hand in the tests of `hidden`).
#[test]
fn faint_and_hidden_signals_earn_their_mean_without_costs() {
    let folded = (2.0 / PI).sqrt();
    let weak = folded * 0.05 * 65.0 * BPS / (1.0 - 0.0025_f64).sqrt();
    assert_near(value(MarketKind::Weak, FREE), weak, 2e-3);
    let mut variance = 1.0;
    for _ in 0..200 {
        let before = 0.81 * variance + 0.19;
        variance = before * 0.64 / (before + 0.64);
    }
    let persistent = folded * 6.0 * BPS * (1.0_f64 - variance).sqrt();
    assert_near(value(MarketKind::Persistent, FREE), persistent, 2e-3);
}

/// The oracle buys once and holds: a Sharpe ratio of 1 a year at 44 bps a half hour.
#[test]
fn a_drift_is_held() {
    let law = law(MarketKind::Drift, 1);
    let terms = TradingTerms { fee_bps: 9.0, slippage_bps: 1.0, long_only: false };
    let oracle = Oracle::from_process(law, 1, terms);
    assert_near(oracle.mean_reward(), 44.0 * BPS / (252.0 * 13.0_f64).sqrt(), 1e-9);
}

#[test]
fn costs_take_what_they_must_and_no_more() {
    for kind in [
        MarketKind::Momentum,
        MarketKind::MeanReversion,
        MarketKind::Pairs(None),
        MarketKind::Regimes,
    ] {
        let (free, usual) = (value(kind, FREE), value(kind, USUAL));
        println!("{kind}: {:.3} bps per bar, {:.3} without costs", usual / BPS, free / BPS);
        assert!(usual < free && usual > 8.0 * BPS, "{kind}: {usual} of {free}");
        // No position is reversed more than once a bar.
        assert!(free - usual < 4.0 * BPS);
        let long_only = value(kind, TradingTerms { long_only: true, ..USUAL });
        assert_near(long_only, usual / 2.0, 0.02);
    }
    for kind in [MarketKind::LeadLag(None), MarketKind::Momentum, MarketKind::Pairs(None)] {
        let dear = TradingTerms { fee_bps: 900.0, slippage_bps: 0.0, long_only: false };
        let oracle = Oracle::from_process(law(kind, 1), 1, dear);
        let Solution { gain, within, .. } = oracle.solution;
        assert!(gain.abs() < 0.03 * BPS && within < 0.03 * BPS, "{kind}: {gain} +- {within}");
    }
}

#[test]
fn a_finer_grid_changes_nothing_that_matters() {
    for kind in [
        MarketKind::Momentum,
        MarketKind::MeanReversion,
        MarketKind::Pairs(None),
        MarketKind::LeadLag(None),
        MarketKind::Weak,
        MarketKind::Persistent,
    ] {
        let of =
            |resolution| Oracle::with_resolution(law(kind, 1), 1, USUAL, resolution).mean_reward();
        assert_near(of(1.0), of(2.0), 5e-4);
    }
    let of = |resolution| {
        Oracle::with_resolution(law(MarketKind::Regimes, 0), 0, USUAL, resolution).mean_reward()
    };
    let (coarse, usual, fine) = (of(0.5), of(1.0), of(1.5));
    println!("regimes: {coarse:e} {usual:e} {fine:e}");
    assert_near(usual, fine, 3e-3);
}

#[test]
fn nothing_is_to_be_had_where_nothing_is_planted() {
    for (kind, stock) in
        [(MarketKind::RandomWalk, 0), (MarketKind::LeadLag(None), 0), (MarketKind::RandomWalk, 1)]
    {
        assert_eq!(Oracle::from_process(law(kind, stock), stock, USUAL).mean_reward(), 0.0);
    }
    let sample = SyntheticMarket::parse("sample").unwrap();
    assert!(Oracle::new(&sample, 2, 0, 1, USUAL).is_none());
}

/// Bayes' rule written out: probability of the first regime for the next bar.
#[test]
fn the_filter_is_bayes_rule() {
    let components = [Ar1 { phi: 0.4, sigma: 0.0045 }, Ar1 { phi: -0.4, sigma: 0.009 }];
    let regimes = Regimes { components, change: 0.01 };
    let likelihood = |ar1: &Ar1, last: f64, new: f64| {
        let center = (1.0 + ar1.phi * last).ln() - ar1.sigma * ar1.sigma / 2.0;
        density(((1.0 + new).ln() - center) / ar1.sigma) / ar1.sigma
    };
    let (mut chance, mut odds) = (0.5, 0.0);
    let returns = [0.0, 0.004, 0.002, -0.011, 0.009, -0.001, 0.0, 0.0005, 0.03, -0.02];
    for pair in returns.windows(2) {
        let first = chance * likelihood(&components[0], pair[0], pair[1]);
        let second = (1.0 - chance) * likelihood(&components[1], pair[0], pair[1]);
        let posterior = first / (first + second);
        chance = posterior * 0.99 + (1.0 - posterior) * 0.01;
        odds = regimes.filter(odds, pair[0], pair[1]);
        assert!((odds - (chance / (1.0 - chance)).ln()).abs() < 1e-9);
    }
    let mean = Signal::Regimes(regimes).mean([0.01, odds]);
    assert!((mean - 0.01 * 0.4 * (2.0 * chance - 1.0)).abs() < 1e-12);
}
