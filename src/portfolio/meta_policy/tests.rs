//! The meta-policy on hand-written markets.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::{EnvConfig, PortfolioConfig};
use crate::market::panel::PanelData;

const BARS: usize = 4;

/// One stock, four bars a day from 10:00 on, with these closes; every bar opens at the previous
/// close.
fn panel(folder: &std::path::Path, closes: &[f64]) -> Panel {
    let start = chrono::DateTime::parse_from_rfc3339("2020-01-06T10:00:00-05:00").unwrap();
    let time = |i: usize| start.timestamp() + (86_400 * (i / BARS) + 1_800 * (i % BARS)) as i64;
    let opens = std::iter::once(&closes[0]).chain(closes).take(closes.len());
    let open: Vec<f64> = opens.copied().collect();
    let rows = closes.len();
    let data = PanelData {
        stocks: vec!["A".parse().unwrap()],
        feature_names: vec!["nothing".into()],
        end_s: (0..rows).map(time).collect(),
        high: open.iter().zip(closes).map(|(a, b)| a.max(*b)).collect(),
        low: open.iter().zip(closes).map(|(a, b)| a.min(*b)).collect(),
        open,
        close: closes.to_vec(),
        volume: vec![1.0; rows],
        tradable: vec![true; rows],
        features: vec![0.0; rows],
        note: String::new(),
    };
    let path = folder.join("panel.arrow");
    Panel::write(&path, &data).unwrap();
    Panel::open(&path).unwrap()
}

fn mandate() -> Mandate {
    let env = EnvConfig { fee_bps: 0.0, slippage_bps: 0.0, ..EnvConfig::default() };
    let portfolio = PortfolioConfig { risk_sessions: 2, ..PortfolioConfig::default() };
    let mut mandate = Mandate { stocks: vec!["A".parse().unwrap()], env, portfolio };
    let meta = &mut mandate.portfolio.meta_policy;
    meta.enabled = true;
    meta.strategies = vec!["hold".into(), "Flat".into()];
    meta.share_rates = vec![0.1];
    meta.drawdown_aversion = 0.0;
    mandate
}

/// Runs through the panel and returns the weights after each bar, and who led.
fn run(mandate: &Mandate, panel: &Panel, dqn: i8) -> Vec<(Vec<f64>, usize, i8)> {
    let meta = MetaPolicy::new(mandate, panel, &[vec![None]]).unwrap().unwrap();
    let plan = CapitalPlan::new(panel, 1, &mandate.portfolio);
    let mut book = meta.book(None);
    let step = |row: usize| {
        let view = panel.view(row);
        meta.observe(&mut book, &view, plan.at(&view));
        let (direction, _) = meta.choose(&mut book, &view, 0, DqnProposal::plain((dqn, 0.1)));
        (book.weights(0).to_vec(), book.leader(0), direction)
    };
    (0..panel.rows()).map(step).collect()
}

/// The stock rises by 1 % per bar. At the end of the first day the standard deviation of a bar is 1
/// %, from three changes, and a day of four bars earned three of them: 3 / sqrt(4) = 1.5 standard
/// deviations. Hold grows by 1 + 0.25 * 1.5, the DQN, which is short, by about 1 - 0.25 * 1.5.
#[test]
fn weights_follow_the_profits_of_a_day() {
    let place = tempfile::tempdir().unwrap();
    let closes: Vec<f64> = (0..20).map(|i| 100.0 * 1.01_f64.powi(i)).collect();
    let panel = panel(place.path(), &closes);
    let found = run(&mandate(), &panel, -1);
    let prior = [0.25, 0.25, 0.5];
    assert!(found[..BARS].iter().all(|(weights, leader, direction)| {
        *weights == prior && *leader == 2 && *direction == -1
    }));
    let total = 0.25 * 1.375 + 0.25 + 0.5 * 0.625;
    let share = |of: f64, prior: f64| 0.9 * of / total + 0.1 * prior;
    let expected = [share(0.25 * 1.375, 0.25), share(0.25, 0.25), share(0.5 * 0.625, 0.5)];
    for (weight, expected) in found[BARS].0.iter().zip(expected) {
        assert!((weight - expected).abs() < 1e-9, "{:?}, not {expected:?}", found[BARS].0);
    }
    assert!(found[BARS..2 * BARS].iter().all(|one| one.0 == found[BARS].0), "until the next day");
    let (weights, leader, direction) = &found[19];
    assert!(weights[0] > 0.6 && *leader == 0 && *direction == 1, "{weights:?}");
}

/// A neutral DQN gets the forecast of a market that repeats half of every move, and trades by it;
/// without a second opinion it keeps its own position.
#[test]
fn the_dqn_hears_a_second_opinion() {
    let place = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut close, mut last) = (100.0, 0.0);
    let mut next = || {
        last = 0.5 * last + rng.random_range(-0.01..0.01);
        close *= 1.0 + last;
        close
    };
    let closes: Vec<f64> = (0..400).map(|_| next()).collect();
    let panel = panel(place.path(), &closes);
    let mut mandate = mandate();
    mandate.portfolio.meta_policy.dqn_prior = 0.999;
    mandate.portfolio.meta_policy.second_opinion = 0.1;
    let values = ActionValues { short: Some(0.0), long: 0.0, held: 0, unit: 0.01 };
    let wanted = DqnProposal { values: Some(values), ..DqnProposal::plain((0, 0.0)) };
    let followed = |mandate: &Mandate, second: bool| {
        let mut meta = MetaPolicy::new(mandate, &panel, &[vec![None]]).unwrap().unwrap();
        if second {
            meta = meta.with_forecast_combiner(&panel);
        }
        let plan = CapitalPlan::new(&panel, 1, &mandate.portfolio);
        let mut book = meta.book(None);
        let direction = |row: usize| {
            let view = panel.view(row);
            meta.observe(&mut book, &view, plan.at(&view));
            meta.choose(&mut book, &view, 0, wanted).0
        };
        let said: Vec<i8> = (0..300).map(direction).collect();
        assert!(book.leader(0) == 2, "the DQN leads");
        let as_last = |row: &usize| f64::from(said[*row]) * (closes[*row] - closes[*row - 1]) > 0.0;
        (100..300).filter(as_last).count()
    };
    let found = followed(&mandate, true);
    assert!(found > 180, "{found} of 200 bars");
    assert_eq!(followed(&mandate, false), 0);
    mandate.portfolio.meta_policy.second_opinion = 0.0;
    assert_eq!(followed(&mandate, true), 0);
}

/// Days up, then days down: hold leads, then the DQN, which is always short.
#[test]
fn whoever_was_bad_for_long_is_back_within_days() {
    let place = tempfile::tempdir().unwrap();
    let log = |i: i32| f64::from(if i < 200 { i } else { 400 - i });
    let closes: Vec<f64> = (0..400).map(|i| 100.0 * 1.001_f64.powf(log(i))).collect();
    let panel = panel(place.path(), &closes);
    let mut mandate = mandate();
    let found = run(&mandate, &panel, -1);
    assert_eq!((found[199].1, found[240].1, found[399].1), (0, 2, 2));
    mandate.portfolio.meta_policy.period_bars = Some(1);
    let found = run(&mandate, &panel, -1);
    assert_eq!((found[199].1, found[215].1), (0, 2), "bar by bar it takes no more than hours");
}

/// The same profits, but a long bar is charged if long positions in correlated stocks are held.
#[test]
fn what_others_hold_already_counts_against_more_of_it() {
    let place = tempfile::tempdir().unwrap();
    let panel = panel(place.path(), &[100.0; 8]);
    let meta = MetaPolicy::new(&mandate(), &panel, &[vec![None]]).unwrap().unwrap();
    let meta = MetaPolicy { correlation: vec![vec![0.0, 0.5, -0.2]; 3], ..meta };
    let exposure = meta.correlated_exposure(&[0.9, 0.4, 0.1], 0);
    assert!((exposure - (0.5 * 0.4 - 0.2 * 0.1)).abs() < 1e-12);
}

/// Four days of a rise, of which the first has three bars of it and the others four: 1.5 and 2
/// standard deviations, which make the weight of the holder grow by 1.375 and by 1.5. A tenth is
/// shared after each day. The DQN keeps its half.
#[test]
fn rules_begin_as_the_past_left_them() {
    let place = tempfile::tempdir().unwrap();
    let closes: Vec<f64> = (0..20).map(|i| 100.0 * 1.01_f64.powi(i)).collect();
    let panel = panel(place.path(), &closes);
    let mandate = mandate();
    let meta = MetaPolicy::new(&mandate, &panel, &[vec![None]]).unwrap().unwrap();
    let plan = CapitalPlan::new(&panel, 1, &mandate.portfolio);
    let start_weights = meta.expert_weights(&panel, 0, &[0, 4, 17], &plan);
    assert!(start_weights.iter().all(|expert_weights| meta.fits(expert_weights)));
    assert_eq!(start_weights[0].numbers(), [0.5, 0.5]);
    assert_eq!(start_weights[1].numbers(), [0.5, 0.5]);
    let mut holder = 0.5;
    for growth in [1.375, 1.5, 1.5, 1.5] {
        holder = 0.9 * (growth * holder / (growth * holder + 1.0 - holder)) + 0.05;
    }
    let [found, rest] = start_weights[2].numbers() else { panic!("two rules") };
    assert!((f64::from(*found) - holder).abs() < 1e-6, "{found}, not {holder}");
    assert!((found + rest - 1.0).abs() < 1e-6);
    let book = meta.book(start_weights.get(2));
    assert!((book.weights(0)[0] - 0.5 * holder).abs() < 1e-6);
    assert!((book.weights(0)[2] - 0.5).abs() < 1e-6);
    assert_eq!(book.leader(0), 2, "nothing speaks against the DQN yet");
}

#[test]
fn strategies_of_ones_own_are_experts() {
    let mut meta =
        MetaPolicyConfig { strategies: vec!["quick".into()], ..mandate().portfolio.meta_policy };
    meta.define =
        toml::from_str("quick = { kind = 'Momentum', parameters = { period = 1 } }").unwrap();
    assert_eq!(rule_names(&meta, 1).unwrap(), ["quick"]);
    meta.define =
        toml::from_str("quick = { kind = 'Momentum', parameters = { perod = 1 } }").unwrap();
    assert!(rule_names(&meta, 1).unwrap_err().to_string().contains("did you mean period?"));
    meta.define = toml::from_str("quick = { knid = 'Momentum' }").unwrap();
    let error = rule_names(&meta, 1).unwrap_err().to_string();
    assert!(error.contains("portfolio.meta_policy.define") && error.contains("knid"), "{error}");
}

#[test]
fn strategies_are_known_and_named_once() {
    let of = |names: &[&str], stocks: usize| {
        let strategies = names.iter().map(|name| name.to_string()).collect();
        let config = MetaPolicyConfig { strategies, ..MetaPolicyConfig::default() };
        rule_names(&config, stocks).map_err(|e| e.to_string())
    };
    assert_eq!(
        of(&["macd", "pairs", "bollinger"], 2).unwrap(),
        ["MACD", "Pairs", "Bollinger Bands"]
    );
    assert_eq!(of(&["macd", "pairs", "arbitrage"], 1).unwrap(), ["MACD"]);
    assert_eq!(of(&["arbitrage"], 2).unwrap(), ["Arbitrage"]);
    assert!(of(&["momentun"], 2).unwrap_err().contains("did you mean Momentum?"));
    assert!(of(&["rsi", "RSI"], 2).unwrap_err().contains("is listed twice"));
}
