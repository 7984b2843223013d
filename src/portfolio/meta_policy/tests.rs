//! The meta-policy on hand-written markets.

use super::*;
use crate::config::{EnvConfig, PortfolioConfig};
use crate::market::panel::fixtures::panel_of_closes;

const BARS: usize = 4;

/// One stock, four bars a day from 10:00 on, with these closes; every bar opens at the previous
/// close.
fn panel(folder: &std::path::Path, closes: &[f64]) -> Panel {
    let start = chrono::DateTime::parse_from_rfc3339("2020-01-06T10:00:00-05:00").unwrap();
    let time = |i: usize| start.timestamp() + (86_400 * (i / BARS) + 1_800 * (i % BARS)) as i64;
    panel_of_closes(folder, (0..closes.len()).map(time).collect(), &[closes.to_vec()])
}

fn mandate() -> Mandate {
    let env = EnvConfig { fee_bps: 0.0, slippage_bps: 0.0, ..EnvConfig::default() };
    let portfolio = PortfolioConfig { risk_sessions: 2, ..PortfolioConfig::default() };
    let mut mandate = Mandate { stocks: vec!["A".parse().unwrap()], env, portfolio };
    let meta = &mut mandate.portfolio.meta_policy;
    meta.enabled = true;
    meta.strategies = vec!["hold".into(), "Flat".into()];
    meta.share_rates = vec![0.1];
    (meta.dqn_prior, meta.priors, meta.learning_rate) = (0.5, Default::default(), 0.25);
    mandate
}

/// Runs through the panel and returns the weights after each bar, and the position.
fn run(mandate: &Mandate, panel: &Panel, dqn: f64) -> Vec<(Vec<f64>, f64)> {
    let meta = MetaPolicy::new(mandate, panel).unwrap().unwrap();
    let plan = CapitalPlan::new(panel, 1, &mandate.portfolio);
    let mut book = meta.book(None);
    let step = |row: usize| {
        let view = panel.view(row);
        meta.observe(&mut book, &view, plan.at(&view), 0.0);
        let (position, _) = meta.choose(&mut book, &view, 0, DqnProposal::plain((dqn, 0.1)));
        (book.weights(0).to_vec(), position)
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
    let found = run(&mandate(), &panel, -1.0);
    let prior = [0.25, 0.25, 0.5];
    assert!(found[..BARS].iter().all(|(weights, held)| *weights == prior && *held == -0.25));
    let total = 0.25 * 1.375 + 0.25 + 0.5 * 0.625;
    let share = |of: f64, prior: f64| 0.9 * of / total + 0.1 * prior;
    let expected = [share(0.25 * 1.375, 0.25), share(0.25, 0.25), share(0.5 * 0.625, 0.5)];
    for (weight, expected) in found[BARS].0.iter().zip(expected) {
        assert!((weight - expected).abs() < 1e-9, "{:?}, not {expected:?}", found[BARS].0);
    }
    assert!(found[BARS..2 * BARS].iter().all(|one| one.0 == found[BARS].0), "until the next day");
    let (weights, held) = &found[19];
    assert!(weights[0] > 0.6 && *held == weights[0] - weights[2], "{weights:?}");
}

/// Days up, then days down: hold has most of the weight, then the DQN, which is always short.
#[test]
fn whoever_was_bad_for_long_is_back_within_days() {
    let place = tempfile::tempdir().unwrap();
    let log = |i: i32| f64::from(if i < 200 { i } else { 400 - i });
    let closes: Vec<f64> = (0..400).map(|i| 100.0 * 1.001_f64.powf(log(i))).collect();
    let panel = panel(place.path(), &closes);
    let mut mandate = mandate();
    let found = run(&mandate, &panel, -1.0);
    let side = |row: usize| found[row].1.signum();
    assert_eq!((side(199), side(240), side(399)), (1.0, -1.0, -1.0));
    mandate.portfolio.meta_policy.period_bars = Some(1);
    let found = run(&mandate, &panel, -1.0);
    let side = |row: usize| found[row].1.signum();
    assert_eq!((side(199), side(215)), (1.0, -1.0), "bar by bar it takes no more than hours");
}

/// Costs of 0 and an aversion of 2: what is charged is the variance of the position held. The DQN
/// is half long.
#[test]
fn risk_is_charged_by_the_squared_position() {
    let place = tempfile::tempdir().unwrap();
    let closes: Vec<f64> = (0..20).map(|i| 100.0 * 1.01_f64.powi(i)).collect();
    let panel = panel(place.path(), &closes);
    let mut mandate = mandate();
    mandate.portfolio.risk_aversion = 2.0;
    let growth = |position: f64| {
        let found = run(&mandate, &panel, position);
        let [before, after] = [&found[2 * BARS].0, &found[3 * BARS].0];
        // One tenth is shared by the prior after the update; Flat neither gains nor loses.
        let unshared = |expert: usize, prior: f64| (after[expert] - 0.1 * prior) / before[expert];
        unshared(2, 0.5) / unshared(1, 0.25)
    };
    // 2 standard deviations a day; 2 / 2 per unit of variance, of 4 bars of 1 % each.
    let deviations =
        |position: f64| (4.0 * position * 0.01 - 4.0 * position * position * 1e-4) / 0.02;
    for position in [1.0, 0.5] {
        let expected = 1.0 + 0.25 * deviations(position);
        assert!((growth(position) - expected).abs() < 1e-6, "{} {expected}", growth(position));
    }
}

/// Four bars of 1 % a day are 2 % a day and 31.7 % a year. With a target of half that, half of the
/// capital is allocated once two whole days are known; with one of 40 %, all of it.
#[test]
fn beyond_the_target_volatility_less_is_allocated() {
    let place = tempfile::tempdir().unwrap();
    let closes: Vec<f64> = (0..20).map(|i| 100.0 * 1.01_f64.powi(i)).collect();
    let panel = panel(place.path(), &closes);
    let capital = |target: f64| {
        let mut mandate = mandate();
        mandate.portfolio.target_volatility = target;
        let plan = CapitalPlan::new(&panel, 1, &mandate.portfolio);
        plan.at(&panel.view(3 * BARS)).shares[0]
    };
    assert!((capital(0.01 * 252.0_f64.sqrt()) - 0.5).abs() < 1e-9);
    assert_eq!([capital(0.4), capital(f64::INFINITY)], [1.0, 1.0]);
}

/// Hold long, Flat, and a DQN that is half short, by weights of 1/4, 1/4 and 1/2.
#[test]
fn the_weighted_mean_of_all_experts_is_held() {
    let place = tempfile::tempdir().unwrap();
    let panel = panel(place.path(), &[100.0; 8]);
    let found = run(&mandate(), &panel, -0.5);
    assert!(found.iter().all(|(_, position)| *position == 0.25 * 1.0 + 0.5 * -0.5));
}

/// Of three stocks the last has no partner: Pairs has no weight there, and the others all of it.
#[test]
fn who_has_nothing_to_say_of_a_stock_has_no_weight_in_it() {
    let names = ["Pairs", "Flat", "DQN"].map(String::from);
    let (yes, no) = (true, false);
    assert_eq!(asleep(&names, 3), [no, no, no, no, no, no, yes, no, no]);
    assert_eq!(asleep(&names, 2), [no; 6]);
}

#[test]
fn priors_are_parts_of_what_the_dqn_leaves() {
    let of = |strategies: &[&str], priors: &[(&str, f64)]| {
        let config = MetaPolicyConfig {
            strategies: strategies.iter().map(|name| name.to_string()).collect(),
            priors: priors.iter().map(|&(name, part)| (name.into(), part)).collect(),
            dqn_prior: 0.4,
            ..MetaPolicyConfig::default()
        };
        let mut names = rule_names(&config, 2).unwrap();
        names.push(DQN.into());
        prior(&names, &config).map_err(|e| e.to_string())
    };
    let near = |found: &[f64], expected: &[f64]| {
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(
            found.iter().zip(expected).all(close) && found.len() == expected.len(),
            "{found:?}"
        );
    };
    near(&of(&["RSI", "MACD"], &[]).unwrap(), &[0.3, 0.3, 0.4]);
    let found = of(&["RSI", "hold", "MACD"], &[("hold", 0.5), ("Flat", 0.1)]).unwrap();
    near(&found, &[0.15, 0.3, 0.15, 0.4]);
    near(&of(&["hold", "Flat"], &[("Flat", 0.1), ("hold", 0.7)]).unwrap(), &[0.525, 0.075, 0.4]);
    assert!(of(&["RSI"], &[("Momentun", 0.5)]).unwrap_err().contains("did you mean Momentum?"));
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
    let meta = MetaPolicy::new(&mandate, &panel).unwrap().unwrap();
    let plan = CapitalPlan::new(&panel, 1, &mandate.portfolio);
    let start_weights = meta.expert_weights(&panel, 0, &[0, 4, 17], &plan);
    assert!(start_weights.iter().all(|expert_weights| meta.fits(expert_weights)));
    // For all stocks, and for the only one.
    assert_eq!(start_weights[0].numbers(), [0.25, 0.25, 0.5, 0.25, 0.25, 0.5]);
    assert_eq!(start_weights[1].numbers(), start_weights[0].numbers());
    let mut holder = 0.5;
    for growth in [1.375, 1.5, 1.5, 1.5] {
        holder = 0.9 * (growth * holder / (growth * holder + 1.0 - holder)) + 0.05;
    }
    let [found, rest, dqn] = start_weights[2].numbers()[3..] else { panic!("two rules, DQN") };
    assert!((f64::from(found) - 0.5 * holder).abs() < 1e-6, "{found}, not {holder}");
    assert!((found + rest - 0.5).abs() < 1e-6 && dqn == 0.5);
    let book = meta.book(start_weights.get(2));
    assert!((book.weights(0)[0] - 0.5 * holder).abs() < 1e-6);
    assert!((book.weights(0)[2] - 0.5).abs() < 1e-6);
}

/// From the second day on the DQN's positions are known: it is long as the holder is, so both keep
/// the same weights to each other. One that is short loses what they gain.
#[test]
fn the_dqn_begins_as_its_record_left_it() {
    let place = tempfile::tempdir().unwrap();
    let closes: Vec<f64> = (0..24).map(|i| 100.0 * 1.01_f64.powi(i)).collect();
    let panel = panel(place.path(), &closes);
    let mandate = mandate();
    let meta = MetaPolicy::new(&mandate, &panel).unwrap().unwrap();
    let plan = CapitalPlan::new(&panel, 1, &mandate.portfolio);
    let before = &meta.expert_weights(&panel, 0, &[8], &plan)[0];
    let after = |dqn: f64| {
        let after = meta.weights_after(before, true, &panel, 8..24, &plan, |_, _| dqn);
        assert!(meta.fits(&after));
        meta.book(Some(&after)).weights(0).to_vec()
    };
    let weights = meta.book(Some(before)).weights(0).to_vec();
    let (long, short) = (after(1.0), after(-1.0));
    assert!(long[0] > weights[0] && long[2] > weights[2] && long[1] < weights[1], "{long:?}");
    assert!(short[2] < 0.5 * weights[2] && short[0] > 1.5 * weights[0], "{short:?}");
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
