use super::*;
use crate::features::fixtures::random_market;
use crate::market::BarSeries;
use crate::strategy::Registry;
use rand::SeedableRng;
use serde_json::Value;

fn kind() -> StrategyKind {
    Registry::standard().find("macd").unwrap().clone()
}

fn span(low: f64, high: f64, step: Option<f64>) -> ParameterRange {
    ParameterRange::Span { low, high, step }
}

fn search(search: Search, ranges: Vec<(&str, ParameterRange)>) -> Optimization {
    let ranges = ranges.into_iter().map(|(name, range)| (name.to_string(), range)).collect();
    Optimization { ranges, search, trials: 30, folds: 3, env: EnvConfig::default() }
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(3)
}

#[test]
fn a_grid_has_every_combination_that_does_not_clash() {
    let values = ParameterRange::Values(vec![4.into(), 30.into()]);
    let of = search(
        Search::Grid,
        vec![("fast-period", values), ("slow_period", span(10.0, 20.0, Some(5.0)))],
    );
    let (sets, left_out) = of.sets(&kind(), &mut rng()).unwrap();
    let slow: Vec<usize> = sets.iter().map(|set| set.whole("slow_period")).collect();
    assert_eq!((slow, left_out), (vec![10, 15, 20], 3));
    let tenths =
        span(0.1, 0.3, Some(0.1)).values("threshold", Registry::standard().find("mr").unwrap());
    assert_eq!(tenths.unwrap(), [Value::from(0.1), 0.2.into(), 0.3.into()]);
    let drawn = search(Search::Random, vec![("slow_period", span(13.0, 15.0, None))]);
    let (sets, _) = drawn.sets(&kind(), &mut rng()).unwrap();
    assert_eq!(sets.len(), 30);
    assert!((13..=15).all(|slow| sets.iter().any(|set| set.whole("slow_period") == slow)));
}

#[test]
fn an_invalid_search_is_an_error() {
    let error = |ranges| {
        let of = search(Search::Grid, ranges);
        of.sets(&kind(), &mut rng()).unwrap_err().to_string()
    };
    assert!(
        error(vec![("fsat_period", span(1.0, 2.0, None))]).contains("did you mean fast_period?")
    );
    assert!(error(vec![("fast_period", span(3.0, 2.0, None))]).contains("3 to 2 is not a range"));
    assert!(error(vec![("fast_period", span(0.0, 1.0, None))]).contains("from 2 to 100000"));
    let wide = || span(2.0, 2_000.0, None);
    assert!(error(vec![("fast_period", wide()), ("slow_period", wide())]).contains("100000"));
    assert!(fold_starts(100, 0).is_err() && fold_starts(7, 3).is_err());
    assert_eq!(fold_starts(100, 3).unwrap(), [25, 50, 75]);
    assert_eq!(best([None, Some(1.0), Some(2.0), Some(2.0), None].into_iter()), 2);
}

/// A fold's choice is the best of its past, and later bars do not change it.
#[test]
fn a_fold_is_chosen_by_what_came_before_it() {
    let market = random_market(9, 1, 1_200, 13, 0.0);
    let data = MarketData::new(market.clone()).unwrap();
    let of = search(Search::Grid, vec![("fast_period", span(3.0, 9.0, None))]);
    let found = of.run(&kind(), &data, &mut rng(), &|_, _| ()).unwrap();
    assert_eq!((found.sets.len(), found.folds.len()), (7, 3));
    for (fold, start) in found.folds.iter().zip([300, 600, 900]) {
        let mut known = market.clone();
        let BarSeries { open, close, .. } = &mut known[0];
        for column in [open, close] {
            column[start..].iter_mut().for_each(|price| *price *= 2.0);
        }
        let known = MarketData::new(known).unwrap();
        let sharpe = |set: &TriedSet| {
            let record = of.record(&kind(), &set.parameters, &known).unwrap();
            sharpe_of(&record, 0..start).unwrap()
        };
        let sharpes: Vec<f64> = found.sets.iter().map(sharpe).collect();
        let highest = sharpes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(fold.in_sample_sharpe, Some(highest));
        let chosen = found.sets.iter().position(|set| set.parameters == fold.chosen);
        assert_eq!(sharpes[chosen.unwrap()], highest);
    }
    let walk_metrics = &found.walk_forward.performance_metrics;
    let product: f64 = found.folds.iter().map(|fold| 1.0 + fold.out_of_sample_return).product();
    // The return of the one bar between two folds belongs to neither.
    assert!((product - 1.0 - walk_metrics.total_return).abs() < 0.02, "{product} {walk_metrics:?}");
    assert_eq!(found.best_in_hindsight.inference.trials.own.len(), 7);
    let deflated = &found.best_in_hindsight.inference;
    assert!(deflated.deflated_sharpe < deflated.probabilistic_sharpe);
}
