//! Tries parameter sets. All figures are bit-identical to those of each set's own back-test;
//! computations that sets have in common are done once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Optimization, RunnerError, SearchPlan, failed, sharpe_of};
use crate::eval::inference::Trial;
use crate::eval::metrics::Metrics;
use crate::eval::tape::{MarketTape, SearchOutcome, TapeScratch};
use crate::market::MarketData;
use crate::strategy::{Cancel, Parameters, Readings, StrategyError, StrategyKind, Targets};

/// One set of the plan after its back-test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetResult {
    /// Its index in the plan.
    pub set: usize,
    /// Figures of its back-test.
    pub outcome: SearchOutcome,
}

/// The part of a plan that one rank tries. The shares of all ranks together are the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanShare {
    /// Whose share it is, from 0.
    pub rank: usize,
    /// Into how many shares the plan is cut.
    pub ranks: usize,
}

impl PlanShare {
    /// The whole plan, for one process.
    pub const ALL: PlanShare = PlanShare { rank: 0, ranks: 1 };
}

/// State shared by all sets of a sweep.
struct Sweep<'a> {
    of: &'a Optimization,
    kind: &'a StrategyKind,
    data: &'a MarketData,
    plan: &'a SearchPlan,
    tape: MarketTape,
    /// Buffers that no thread is using.
    scratches: Mutex<Vec<TapeScratch>>,
}

impl Optimization {
    /// Tries the sets of `share`. `on_tried` receives the number of finished sets and their total,
    /// from any thread. Errors: an error of the strategy.
    pub fn run_share(
        &self,
        kind: &StrategyKind,
        data: &MarketData,
        plan: &SearchPlan,
        share: PlanShare,
        on_tried: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Vec<SetResult>, RunnerError> {
        let groups = share_of(groups(kind, &plan.sets), share);
        let total = groups.iter().map(Vec::len).sum();
        let tape = MarketTape::new(data, &self.env);
        let sweep = Sweep { of: self, kind, data, plan, tape, scratches: Mutex::default() };
        let done = AtomicUsize::new(0);
        let try_set = |set: usize, readings: Option<&dyn Readings>| {
            let outcome = sweep.try_set(&plan.sets[set], readings)?;
            on_tried(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Ok(SetResult { set, outcome })
        };
        let try_group = |group: &Vec<usize>| {
            let readings = kind.readings(&plan.sets[group[0]], data, &Cancel::new()).transpose()?;
            let one = |&set: &usize| try_set(set, readings.as_deref());
            group.par_iter().map(one).collect::<Result<Vec<SetResult>, StrategyError>>()
        };
        let tried: Result<Vec<Vec<SetResult>>, _> = groups.par_iter().map(try_group).collect();
        Ok(tried.map_err(failed)?.concat())
    }
}

impl Sweep<'_> {
    fn try_set(
        &self,
        set: &Parameters,
        readings: Option<&dyn Readings>,
    ) -> Result<SearchOutcome, StrategyError> {
        let targets = match readings {
            Some(readings) => readings.targets(set),
            None => {
                let mut strategy = self.kind.build_for(set, self.data.stocks())?;
                Targets::from_strategy(strategy.as_mut(), self.data, &Cancel::new())?
            }
        };
        let mut scratch = self.scratches().pop().unwrap_or_default();
        let outcome = self.tape.trade(&targets, &self.plan.starts, &mut scratch);
        self.scratches().push(scratch);
        outcome.map_or_else(|| self.of.bar_by_bar(self.kind, set, self.data, self.plan), Ok)
    }

    /// The buffers are overwritten before they are read, so a poisoned lock is safe to use.
    fn scratches(&self) -> std::sync::MutexGuard<'_, Vec<TapeScratch>> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Optimization {
    /// The outcome from a bar-by-bar back-test, which [`MarketTape`] computes in a shorter way.
    pub(super) fn bar_by_bar(
        &self,
        kind: &StrategyKind,
        set: &Parameters,
        data: &MarketData,
        plan: &SearchPlan,
    ) -> Result<SearchOutcome, StrategyError> {
        let record = self.record(kind, set, data)?;
        let metrics = Metrics::from_record(&record);
        Ok(SearchOutcome {
            total_return: metrics.portfolio_return,
            trades: metrics.trades,
            trial: Trial::new(None, &record),
            before: plan.starts.iter().map(|&start| sharpe_of(&record, 0..start)).collect(),
        })
    }
}

/// Groups of sets with the same readings, in the order of each group's first set; groups of one if
/// the kind is not staged.
fn groups(kind: &StrategyKind, sets: &[Parameters]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
    for (i, set) in sets.iter().enumerate() {
        let group = match kind.measured_by(set) {
            Some(measured_by) => *known.entry(measured_by).or_insert(groups.len()),
            None => groups.len(),
        };
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(i);
    }
    groups
}

/// The sets of one rank, in equal numbers; a group that crosses a boundary is split.
fn share_of(groups: Vec<Vec<usize>>, PlanShare { rank, ranks }: PlanShare) -> Vec<Vec<usize>> {
    assert!(rank < ranks, "rank {rank} of {ranks}");
    let count: usize = groups.iter().map(Vec::len).sum();
    let mine = count * rank / ranks..count * (rank + 1) / ranks;
    let mut at = 0;
    let cut = |group: Vec<usize>| {
        let start = at;
        at += group.len();
        let cut = mine.start.clamp(start, at) - start..mine.end.clamp(start, at) - start;
        group[cut].to_vec()
    };
    groups.into_iter().map(cut).filter(|group| !group.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EnvConfig;
    use crate::features::fixtures::random_market;
    use crate::market::BarSeries;
    use crate::runner::optimize::{ParameterRange, Search};
    use crate::strategy::Registry;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A parameter and its values.
    type TriedValues = (&'static str, &'static [f64]);

    /// A few sets of every built-in kind that trade a lot.
    const SEARCHES: [(&str, &[TriedValues]); 8] = [
        ("RSI", &[("period", &[2.0, 5.0]), ("oversold", &[20.0, 40.0]), ("overbought", &[60.0])]),
        ("MACD", &[("fast_period", &[3.0, 5.0]), ("slow_period", &[8.0])]),
        ("Bollinger Bands", &[("period", &[5.0, 9.0]), ("std_dev", &[1.0, 1.6])]),
        ("Momentum", &[("period", &[1.0, 7.0]), ("threshold", &[0.0, 0.1])]),
        ("Mean Reversion", &[("period", &[6.0]), ("threshold", &[0.8, 1.4])]),
        ("Pairs", &[("period", &[12.0]), ("threshold", &[1.0]), ("hedge_ratio", &[0.7, 1.3])]),
        ("Buy and Hold", &[]),
        ("Flat", &[]),
    ];

    fn plan_of(
        kind: &StrategyKind,
        ranges: &[(&str, &[f64])],
        env: &EnvConfig,
        data: &MarketData,
    ) -> (Optimization, SearchPlan) {
        let range =
            |values: &[f64]| ParameterRange::Values(values.iter().map(|&v| v.into()).collect());
        let ranges = ranges.iter().map(|&(name, values)| (name.to_string(), range(values)));
        let ranges = ranges.collect();
        let env = env.clone();
        let of = Optimization { ranges, search: Search::Grid, trials: 1, folds: 3, env };
        let plan = of.plan(kind, data, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        (of, plan)
    }

    /// Bit patterns, because NaN is not equal to itself and 0 equals -0.
    fn bits(outcome: &SearchOutcome) -> Vec<Option<u64>> {
        let SearchOutcome { total_return, trades, trial, before } = outcome;
        let figures = [Some(*total_return), trial.sharpe, trial.timing_score];
        let figures = figures.into_iter().chain(before.iter().copied());
        figures.map(|figure| figure.map(f64::to_bits)).chain([Some(*trades)]).collect()
    }

    /// Checks the figures of all sets and returns the number of ruined accounts.
    fn check(market: Vec<BarSeries>, env: &EnvConfig) -> usize {
        let data = MarketData::new(market).unwrap();
        let mut ruined = 0;
        for (name, ranges) in SEARCHES {
            let registry = Registry::standard();
            let kind = registry.find(name).unwrap();
            if name == "Pairs" && data.stocks().len() < 2 {
                continue;
            }
            let (of, plan) = plan_of(kind, ranges, env, &data);
            let tried = of.run_share(kind, &data, &plan, PlanShare::ALL, &|_, _| ()).unwrap();
            assert_eq!(tried.len(), plan.sets.len());
            for one in &tried {
                let set = &plan.sets[one.set];
                let expected = of.bar_by_bar(kind, set, &data, &plan).unwrap();
                assert_eq!(bits(&one.outcome), bits(&expected), "{name} {set:?} {env:?}");
                assert!(name == "Flat" || expected.trades > 0, "{name} {set:?} {env:?}");
                let mut strategy = kind.build(set, data.stocks().len()).unwrap();
                let targets =
                    Targets::from_strategy(strategy.as_mut(), &data, &Cancel::new()).unwrap();
                if let Some(readings) = kind.readings(set, &data, &Cancel::new()) {
                    assert_eq!(readings.unwrap().targets(set), targets, "{name} {set:?}");
                }
                let tape = MarketTape::new(&data, env);
                let short_cut = tape.trade(&targets, &[], &mut TapeScratch::default());
                ruined += usize::from(short_cut.is_none());
            }
        }
        ruined
    }

    #[test]
    fn figures_equal_those_of_the_backtest_bit_for_bit() {
        let plain = EnvConfig::default();
        let long = EnvConfig { long_only: true, fee_bps: 7.0, ..plain.clone() };
        let loose = EnvConfig { rebalance_band: f64::INFINITY, slippage_bps: 0.0, ..plain.clone() };
        let tight = EnvConfig { rebalance_band: 1e-3, ..plain.clone() };
        let mut ruined = 0;
        for seed in 0..6 {
            // Days with gaps, stocks that start late, days of different lengths.
            for (stocks, missing) in [(1, 0.0), (1, 0.2), (3, 0.15)] {
                let market = random_market(seed, stocks, 620, 13, missing);
                for env in [&plain, &long, &loose, &tight] {
                    ruined += check(market.clone(), env);
                }
            }
        }
        assert_eq!(ruined, 0);
    }

    /// A price that rises tenfold within a few bars ruins a short position.
    #[test]
    fn a_ruined_account_is_traded_bar_by_bar() {
        let mut market = random_market(4, 1, 620, 13, 0.0);
        let BarSeries { open, high, low, close, .. } = &mut market[0];
        for column in [open, high, low, close] {
            for (i, price) in column.iter_mut().enumerate() {
                *price *= 1.0 + (i / 40 % 2) as f64 * 9.0;
            }
        }
        assert!(check(market, &EnvConfig::default()) > 0);
    }

    #[test]
    fn shares_together_are_the_plan() {
        let data = MarketData::new(random_market(2, 1, 620, 13, 0.0)).unwrap();
        let registry = Registry::standard();
        for (name, ranges) in SEARCHES {
            if name == "Pairs" {
                continue;
            }
            let kind = registry.find(name).unwrap();
            let (of, plan) = plan_of(kind, ranges, &EnvConfig::default(), &data);
            let whole = of.run_share(kind, &data, &plan, PlanShare::ALL, &|_, _| ()).unwrap();
            let part = |rank| {
                let share = PlanShare { rank, ranks: 3 };
                of.run_share(kind, &data, &plan, share, &|_, _| ()).unwrap()
            };
            assert_eq!((0..3).flat_map(part).collect::<Vec<SetResult>>(), whole, "{name}");
        }
        let groups = vec![vec![0, 2, 4], vec![1, 3]];
        let part = |rank| share_of(groups.clone(), PlanShare { rank, ranks: 2 });
        assert_eq!((part(0), part(1)), (vec![vec![0, 2]], vec![vec![4], vec![1, 3]]));
    }
}
