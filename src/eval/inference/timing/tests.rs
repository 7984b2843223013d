use rand::SeedableRng;

use super::*;
use crate::eval::inference::fixture::{FixtureAccount, bar_ends, record_of};
use crate::eval::inference::golden;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-8, "{found}, {expected}");
}

#[test]
fn scores_and_p_values_are_numpys() {
    let cases = golden::read().timing;
    assert!(!cases.is_empty());
    for case in cases {
        let days = ExposureGrid::from_record(&record_of(
            case.bars,
            &case.exposure,
            &case.change,
            &case.cost,
        ));
        assert_eq!((days.width, days.count()), (case.bars * case.stocks, case.cost.len()));
        near(days.score().unwrap(), case.score);
        let shifts: Vec<usize> = (1..=case.placebos.len()).collect();
        let found = days.placebos(&shifts);
        assert_eq!(found.len(), shifts.len());
        found.iter().zip(&case.placebos).for_each(|(&found, &expected)| near(found, expected));
        for expected in case.p_values {
            let test = TimingTest::run(&days, expected.hurdle, &mut rng()).unwrap();
            near(test.p_value, expected.p_value);
            assert_eq!(test.placebos, case.cost.len() - 1);
        }
    }
}

/// Two bars a day. Bought at 10 (worth 10 of 10 000); closes at 11; opens the next day at 12, which
/// counts for the first day, and is sold there.
#[test]
fn a_bar_earns_from_its_open_to_the_next_and_costs_are_what_is_missing() {
    let ends = bar_ends(2, 2, 60);
    let mut account = FixtureAccount::open(ends[0], &[10.0]);
    account.bar(ends[1], [&[10.0], &[10.0]], &[0.0], [0.0, 0.0]);
    account.bar(ends[2], [&[10.0], &[11.0]], &[0.05], [10.0, 0.0]);
    account.bar(ends[3], [&[12.0], &[13.0]], &[0.0], [10.0, 0.0]);
    account.bar(ends[4], [&[13.0], &[13.0]], &[0.0], [0.0, 0.0]);
    let days = ExposureGrid::from_record(&account.record());
    // Exposures 0, 0.5, 0, 0 minus their mean so far.
    let expected = [0.0, 0.25, -0.5 / 3.0, -0.125];
    days.exposure.iter().zip(expected).for_each(|(found, expected)| near(*found, expected));
    let changes = [0.0, 0.2, 13.0 / 12.0 - 1.0, 0.0];
    days.change.iter().zip(changes).for_each(|(found, expected)| near(*found, expected));
    let equity = 1.0 - 0.5e-3 + 0.05;
    near(days.cost[0], 0.5e-3);
    near(days.cost[1], 0.6e-3 / equity);
}

/// The second of three days closes early and its first bar is missing.
#[test]
fn a_missing_bar_keeps_the_position_and_moves_nothing() {
    let ends = bar_ends(3, 3, 60);
    let kept: Vec<i64> =
        ends.iter().enumerate().filter(|(i, _)| ![4, 6].contains(i)).map(|(_, &end)| end).collect();
    let mut account = FixtureAccount::open(kept[0], &[10.0]);
    let shares = [0.02, 0.0, 0.04, 0.06, 0.0, 0.02, 0.02];
    for (&end_s, shares) in kept[1..].iter().zip(shares) {
        account.bar(end_s, [&[10.0], &[10.0]], &[shares], [0.0, 0.0]);
    }
    let days = ExposureGrid::from_record(&account.record());
    let expected = [0.0, -0.1, 0.2, 0.2, 0.3, 0.3, -0.24, 0.2 - 1.4 / 6.0, 0.2 - 1.6 / 7.0];
    assert_eq!(days.exposure.len(), 9);
    days.exposure.iter().zip(expected).for_each(|(found, expected)| near(*found, expected));
}

#[test]
fn holding_is_not_timing_whatever_the_market_did() {
    let bars = 30;
    let rising: Vec<f64> = (0..bars).map(|day| 0.01 + 0.001 * f64::from(day % 4)).collect();
    let record = record_of(1, &[1.0; 30], &rising, &[0.0; 30]);
    assert_eq!(TimingTest::run(&ExposureGrid::from_record(&record), 0.0, &mut rng()), None);
    let mut cost = [0.0; 30];
    cost[0] = 1e-3;
    let record = record_of(1, &[1.0; 30], &rising, &cost);
    let test = TimingTest::run(&ExposureGrid::from_record(&record), 0.0, &mut rng()).unwrap();
    assert!(test.score < 0.0 && test.p_value > 0.5, "{test:?}");
}

#[test]
fn many_days_have_a_sample_of_placebos_and_few_have_no_test() {
    let change: Vec<f64> = (0..1_500).map(|day| 0.01 * f64::from(day * day % 7 - 3)).collect();
    let exposure: Vec<f64> = (0..1_500).map(|day| f64::from(day * 5 % 11 % 3)).collect();
    let record = record_of(1, &exposure, &change, &[0.0; 1_500]);
    let days = ExposureGrid::from_record(&record);
    let sampled = TimingTest::run(&days, 0.0, &mut rng()).unwrap();
    assert_eq!(sampled.placebos, MAX_PLACEBOS);
    let shifts: Vec<usize> = (1..1_500).collect();
    let mean = days.placebos(&shifts).iter().sum::<f64>() / 1_499.0;
    let exact = 1.0 - normal_cdf(sampled.score - mean.max(0.0));
    assert!((sampled.p_value - exact).abs() < 0.05, "{} {exact}", sampled.p_value);
    let few = record_of(1, &exposure[..19], &change[..19], &[0.0; 19]);
    assert_eq!(TimingTest::run(&ExposureGrid::from_record(&few), 0.0, &mut rng()), None);
}

/// No bars at all, no equity left, a stock without a price so far.
#[test]
fn odd_courses_are_borne() {
    let start = FixtureAccount::open(bar_ends(1, 1, 60)[0], &[10.0]).record();
    assert_eq!(ExposureGrid::from_record(&start).score(), None);
    let ends = bar_ends(25, 1, 60);
    let mut account = FixtureAccount::open(ends[0], &[0.0, 10.0]);
    for (day, &end_s) in ends[1..].iter().enumerate() {
        let price = [if day < 3 { 0.0 } else { 7.0 }, 10.0 + (day % 5) as f64];
        let shares = if day < 10 { [0.0, -0.3] } else { [0.0, 0.0] };
        account.bar(end_s, [&price, &price], &shares, [0.0, 0.0]);
    }
    let record = account.record();
    assert!(record.equity.iter().any(|&equity| equity <= 0.0), "{:?}", record.equity);
    let days = ExposureGrid::from_record(&record);
    assert!(days.exposure.iter().chain(&days.change).chain(&days.cost).all(|x| x.is_finite()));
    assert!(days.score().is_none_or(f64::is_finite));
}

/// Every hour of three days, of which 2020-11-01 has 25.
#[test]
fn times_of_a_day_increase_also_where_an_hour_occurs_twice() {
    let end_s: Vec<i64> = (0..73).map(|hour| 1_604_116_800 + 3_600 * hour).collect();
    let (times, slots) = times_of_day(&end_s);
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert_eq!((slots.len(), slots.first(), slots.last()), (25, Some(&0), Some(&86_400)));
}
