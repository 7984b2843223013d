//! No glimpse of the future: what comes after t changes nothing that is decided or computed up to
//! t, not by a bit.
//!
//! Every run of the test draws fresh cases: one to three stocks with missing bars and days, late
//! beginnings, half days and changes of the clocks; bars as stored or put together from shorter
//! ones; none to two further columns, with unknown values; regular or extended hours; the switches
//! of network and learner either way. A case's market
//! is written as day files and loaded, trained on and evaluated as a run does it. Then t is drawn,
//! all bars after t are drawn anew (other prices, volumes and columns, others missing), and all of
//! it is done again. `DQN_TEST_SEED` repeats a case; one that fails says its seed.
//!
//! What must not change:
//!
//! - of bars after the training period: the training panel's file, with everything fitted;
//! - of bars after a t in the training period, with the fit given: every row of the panel up to t
//!   (calendar, bars, tradability, features), and of the training loop Q-values, proposals, orders
//!   and allocations up to t, gradients, weights, accounts, rewards, replay and optimizer as of t,
//!   and the size of the trade at the next open. Lanes share their weights, so with two of them t
//!   lies in the last one. The number of bars in the period is given, too: lanes, the growth of
//!   beta and intervals are cut from it;
//! - of bars after a t in the evaluation: the panel, Q-values, allocations, orders, the shares
//!   ordered, the accounts of portfolio and benchmark, and the size of the trades at the next open.
//!
//! What was traded is besides checked to have been paid for at the next bar's open.
//!
//! Not part of it: what files look like. Length and grid of bars, whether labels name starts or
//! ends, and whether there are bars after the close are read off the whole load
//! ([`crate::market::clean`]).
//!
//! # Peeks that were tried
//!
//! Each was put in by hand once and taken out again (2026-11-21 and 29), and the test run twice on
//! fresh cases; it failed both times, with what is named here.
//!
//! | place | peek | what failed |
//! | --- | --- | --- |
//! | `raw_features` | close, open or volume of the stock's next bar | features |
//! | `raw_features` | whether the session's last bar has come; time to the next bar | features |
//! | `raw_features` | peers' closes of the next row | features |
//! | `Scaler::fit` | fitted on the evaluation; on a day after training | features; the fit |
//! | `Relations::measure` | measured on the evaluation; on a day after training | the fit |
//! | `align` | each row has the stock's next bar | bars |
//! | `write_bars` | where there is no bar, the next close in place of the last | bars |
//! | `Rules::end_s` | a bar put together from shorter ones labelled before its end | bars |
//! | `Rules::end_s` | one that holds the first minute after its end | bars |
//! | `session_bars::build` | rows of a day in another order | bars |
//! | `session_bars::build` | further columns of the next row | features |
//! | `ExtraColumns::update` | further columns of the next bar | features |
//! | `SessionFeatures::update` | return, or RSI, with the next bar's close | features |
//! | `SessionFeatures::update` | a session over before the next one's first bar | features |
//! | `Cleaner::add_day` | a row left out as an outlier beside the next | bars |
//! | `Cleaner::finish` | prices adjusted by later jumps | bars |
//! | `Worker::propose` | flat where the next bar cannot be traded | proposals |
//! | `Worker::propose` | unrealised return at the next close | proposals |
//! | `Agent::market` | the stock's own, or its peers', features of the next row | proposals |
//! | `Agent::learn` | bootstrapped at the row after a transition's end | gradients |
//! | `Worker::step` | reward of one bar more | replay, gradients |
//! | `Worker::step` | filled at the close before; at the open after the next | paid at the open |
//! | `TradingEnv::step` | order sized at the next close | size of the trade |
//! | `Trainer::decide` | the desk sees the next bar | allocation |
//! | `CapitalPlan::of` | the allocation of the session after | orders |
//! | `evaluate` | contexts of the next row; the next row's context | Q-values |
//! | `Trader::trade` | unrealised return at the next close | Q-values |
//! | `Trader::trade` | the desk sees the next bar | allocation |
//! | `Trader::trade` | order sized at the next close | shares ordered |
//! | `CapitalPlan::of` | the allocation of the session after | capital |
//! | `Backtest::advance` | filled at the close before | paid at the open |
//! | `buy_and_hold` | sized at the next close | size of the benchmark's trade |
//!
//! Peeks at features, closes and opens are tried anew in every run
//! ([`a_peek_of_one_bar_is_seen`]).

mod run;
mod trace;
mod world;

use std::collections::BTreeSet;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use self::run::{CaseFolder, evaluate, note_panel, shape, train};
use self::trace::Trace;
use self::world::{CausalityCase, normal};
use super::dataset::PreparedData;
use crate::config::NetworkConfig;
use crate::market::BarSeries;
use crate::market::calendar::{extended_session, market_date};
use crate::market::panel::{Panel, PanelData};
use crate::train::worker::Lanes;

/// Cases of a run of the test.
const CASES: u64 = 16;

/// Says how to repeat a case that fails.
struct SeedOnFailure(u64);

impl Drop for SeedOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("DQN_TEST_SEED={} repeats this case", self.0);
        }
    }
}

/// From the clock, or as asked for.
fn fresh_seed() -> u64 {
    match std::env::var("DQN_TEST_SEED") {
        Ok(seed) => seed.parse().expect("DQN_TEST_SEED is a whole number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_millis() as u64 % 1_000_000_000
        }
    }
}

/// A row with bars on later days, and a moment before the next row. Often the row's own end, and
/// often a row in which a stock has no bar.
fn moment(data: &PreparedData, from: usize, rng: &mut ChaCha8Rng) -> (usize, i64) {
    let rows = data.note.rows.clone();
    let end_s = |row: usize| data.panel.view(row).end_s();
    let last_day = market_date(end_s(rows.end - 1));
    let until = rows.clone().rfind(|&row| market_date(end_s(row)) < last_day).unwrap();
    let gap = |row: &usize| {
        let view = data.panel.view(*row);
        (0..data.panel.stocks().len()).any(|stock| !view.bar(stock).tradable)
    };
    let gaps: Vec<usize> = (from..=until).filter(gap).collect();
    let row = match rng.random_range(0..10) {
        0..2 => from,
        2..5 if !gaps.is_empty() => gaps[rng.random_range(0..gaps.len())],
        _ => rng.random_range(from..=until),
    };
    let open = rng.random_range(0..(end_s(row + 1) - end_s(row)).min(3_600));
    (row, end_s(row) + if rng.random_bool(0.5) { open } else { 0 })
}

fn assert_same_until(t_s: i64, ours: &Trace, theirs: &Trace, least: usize) {
    assert!(ours.known(t_s) >= least, "hardly anything is compared: {}", ours.known(t_s));
    if let Some(difference) = ours.difference(theirs, t_s) {
        panic!("the future changed {difference}");
    }
    assert!(ours.difference(theirs, i64::MAX).is_some(), "the other future is the same");
}

/// A stretch of the training period in two futures that part at `t_s`.
struct SplitFutures {
    ours: PreparedData,
    theirs: PreparedData,
    /// The same for both.
    plan: Lanes,
    row: usize,
    t_s: i64,
}

impl SplitFutures {
    /// How many bars the period has is known to a run from its first step on (it decides how lanes
    /// are cut and how fast beta grows), so it is given, as the fit is. Lanes share their weights:
    /// with more than one, t lies in the last one.
    fn training(
        case: &CausalityCase,
        market: &[BarSeries],
        folder: &CaseFolder,
        train: &PreparedData,
    ) -> SplitFutures {
        let mut rng = case.rng(1);
        let ours = folder.training_fitted(case, train);
        let lanes = case.config.learner.lanes;
        let rows = ours.note.rows.clone();
        let from = rows.start + rows.len() * (lanes - 1) / lanes;
        let (row, t_s) = moment(&ours, from, &mut rng);
        let other = CaseFolder::new(case, &case.other_future(market, t_s, &mut rng));
        let theirs = other.training_fitted(case, train);
        let end = rows.end.min(theirs.note.rows.end);
        let plan = Lanes::cut(rows.start..end, lanes, 1).unwrap();
        SplitFutures { ours, theirs, plan, row, t_s }
    }

    fn traces(&self, case: &CausalityCase) -> [Trace; 2] {
        let known = self.row.saturating_sub(self.plan.row(self.plan.count - 1, 0));
        [&self.ours, &self.theirs].map(|data| train(&case.config, data, self.plan, Some(known + 2)))
    }
}

/// A policy of random weights, which trades a lot, in two futures.
fn evaluations(
    case: &CausalityCase,
    train: &PreparedData,
    [ours, theirs]: [&PreparedData; 2],
) -> [Trace; 2] {
    let mut rng = case.rng(4);
    let mut config = case.config.clone();
    // As wide as a real one, whose rows might depend on how many are computed together.
    if rng.random_bool(0.3) {
        config.network = NetworkConfig::default();
    }
    let len = shape(&config, train).layout().len();
    let weights: Vec<f32> = (0..len).map(|_| 0.4 * normal(&mut rng) as f32).collect();
    [ours, theirs].map(|data| evaluate(&config, train, data, &weights))
}

fn panels([ours, theirs]: [&PreparedData; 2]) -> [Trace; 2] {
    [ours, theirs].map(|data| {
        let mut trace = Trace::default();
        note_panel(data, &mut trace);
        trace
    })
}

fn check(case: &CausalityCase) {
    let market = case.market(&mut case.rng(0));
    let folder = CaseFolder::new(case, &market);
    let fitted = folder.training(case);

    // Nothing after the training period enters training.
    let last_s = extended_session(case.config.end_date).close_s;
    let later = CaseFolder::new(case, &case.other_future(&market, last_s, &mut case.rng(3)));
    let again = later.training(case);
    assert!(fitted.note.fit == again.note.fit, "the fit knows of days after training");
    assert!(folder.panel_file(&fitted) == later.panel_file(&again), "the training panels differ");

    let parted = SplitFutures::training(case, &market, &folder, &fitted);
    let [ours, theirs] = panels([&parted.ours, &parted.theirs]);
    assert_same_until(parted.t_s, &ours, &theirs, 2 * parted.row);
    let [ours, theirs] = parted.traces(case);
    assert_same_until(parted.t_s, &ours, &theirs, 4);

    let ours = folder.evaluation(case, &fitted);
    let mut rng = case.rng(2);
    let (row, t_s) = moment(&ours, ours.note.rows.start, &mut rng);
    let other = CaseFolder::new(case, &case.other_future(&market, t_s, &mut rng));
    let theirs = other.evaluation(case, &fitted);
    let [panel, other_panel] = panels([&ours, &theirs]);
    assert_same_until(t_s, &panel, &other_panel, 2 * row);
    let [trace, other_trace] = evaluations(case, &fitted, [&ours, &theirs]);
    assert_same_until(t_s, &trace, &other_trace, 6 * (row + 1 - ours.note.rows.start));
}

/// What a panel shows a row too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peek {
    Features,
    Closes,
    Opens,
}

/// The same panel but for one column, of which every row holds the next row's.
fn peeking(data: &PreparedData, early: Peek) -> (tempfile::TempDir, PreparedData) {
    let panel = &data.panel;
    let (rows, stocks) = (panel.rows(), panel.stocks().len());
    let mut peeking = PanelData {
        stocks: panel.stocks().to_vec(),
        feature_names: panel.feature_names().to_vec(),
        end_s: (0..rows).map(|row| panel.view(row).end_s()).collect(),
        open: Vec::new(),
        high: Vec::new(),
        low: Vec::new(),
        close: Vec::new(),
        volume: Vec::new(),
        tradable: Vec::new(),
        features: Vec::new(),
        note: panel.note().into(),
    };
    for row in 0..rows {
        let (now, next) = (panel.view(row), panel.view((row + 1).min(rows - 1)));
        let features = if matches!(early, Peek::Features) { next } else { now };
        peeking.features.extend_from_slice(features.all_features());
        for stock in 0..stocks {
            let (bar, next) = (now.bar(stock), next.bar(stock));
            peeking.open.push(if matches!(early, Peek::Opens) { next.open } else { bar.open });
            peeking.close.push(if matches!(early, Peek::Closes) { next.close } else { bar.close });
            peeking.high.push(bar.high);
            peeking.low.push(bar.low);
            peeking.volume.push(bar.volume);
            peeking.tradable.push(bar.tradable);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    Panel::write(&path, &peeking).unwrap();
    let panel = Panel::open(&path).unwrap().into();
    (folder, PreparedData { panel, ..data.clone() })
}

/// The comparison itself, on panels that show one bar of the future. A peek shows in what is done
/// at t, and not always is something done: of a few cases, the same in every run, some must fail.
#[test]
fn a_peek_of_one_bar_is_seen() {
    let mut seen = BTreeSet::new();
    for seed in 0..6 {
        let mut case = CausalityCase::draw(seed);
        // A choice by chance trades more often than a network that knows little.
        (case.config.learner.epsilon, case.config.learner.epsilon_alpha) = (1.0, 0.0);
        let market = case.market(&mut case.rng(0));
        let folder = CaseFolder::new(&case, &market);
        let fitted = folder.training(&case);
        let parted = SplitFutures::training(&case, &market, &folder, &fitted);
        for early in [Peek::Features, Peek::Closes, Peek::Opens] {
            let (_ours, ours) = peeking(&parted.ours, early);
            let (_theirs, theirs) = peeking(&parted.theirs, early);
            let mut look = |place: &'static str, [a, b]: [Trace; 2]| {
                if a.difference(&b, parted.t_s).is_some() {
                    seen.insert((early, place));
                }
            };
            look("panel", panels([&ours, &theirs]));
            look("evaluation", evaluations(&case, &fitted, [&ours, &theirs]));
            look("training", SplitFutures { ours, theirs, ..parted }.traces(&case));
        }
    }
    assert_eq!(seen.len(), 9, "only these were seen: {seen:?}");
}

#[test]
fn nothing_after_t_changes_what_was_known_at_t() {
    let seed = fresh_seed();
    for seed in seed..seed + CASES {
        let _repeat = SeedOnFailure(seed);
        check(&CausalityCase::draw(seed));
    }
}
