//! One training on a planted market, and how it compares with what could have been earned there.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use rand::Rng;
use serde::Serialize;

use super::meta::ExpertRewards;
use super::rows::ValidationRow;
use crate::comm::local::LocalComm;
use crate::config::RunConfig;
use crate::env::costs::Costs;
use crate::eval::account::run_policy;
use crate::eval::attribution::rewards_by_stock;
use crate::eval::inference::{Inference, Trial as Seen, Trials, Verdict};
use crate::eval::metrics::BacktestRecord;
use crate::eval::oracle::Oracles;
use crate::eval::rules::standalone_rules;
use crate::portfolio::mandate::Mandate;
use crate::rl::rng::{Purpose, stream};
use crate::source::DataSource;
use crate::synthetic::SyntheticMarket;
use crate::train;
use crate::train::callbacks::{Callbacks, Ending, TrainingStart};
use crate::train::evaluation::EvaluationResult;
use crate::train::run::{Checkpointing, RunData, Trained};

/// What was earned in one evaluation. Rewards are means per bar, of the measured stocks' share of
/// the capital, in basis points and after costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ValidationTrial {
    pub(crate) seed: u64,
    /// What the best policy may expect.
    pub(crate) oracle_expected_bps: f64,
    /// What it got on the same bars.
    pub(crate) oracle_bps: f64,
    pub(crate) trained_bps: f64,
    pub(crate) random_bps: f64,
    pub(crate) buy_and_hold_bps: f64,
    /// The plain rules with their default parameters.
    pub(crate) rules: Vec<(String, f64)>,
    /// Value traded per bar over equity.
    pub(crate) oracle_turnover: f64,
    pub(crate) trained_turnover: f64,
    pub(crate) random_turnover: f64,
    pub(crate) verdict: Verdict,
    /// How many other edges stand before the last of the planted ones in `relationships.csv`; None
    /// where no such edges are asked for.
    pub(crate) edges_before_last: Option<usize>,
    /// None where that is not what the row is judged by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) experts: Option<ExpertRewards>,
    pub(crate) env_steps: u64,
    pub(crate) gradient_steps: u64,
    pub(crate) train_s: f64,
    pub(crate) all_s: f64,
}

impl ValidationTrial {
    /// Trained reward over the oracle's on the same bars; None where the oracle earns nothing.
    pub(crate) fn fraction(&self) -> Option<f64> {
        (self.oracle_bps > 0.0).then(|| self.trained_bps / self.oracle_bps)
    }
}

/// Measures the time from the first bar until the evaluation.
struct Stopwatch {
    start: Instant,
    train_s: f64,
}

impl Callbacks for Stopwatch {
    fn on_training_start(&mut self, _start: &TrainingStart<'_>) -> Result<()> {
        self.start = Instant::now();
        Ok(())
    }

    fn on_evaluation_start(&mut self) {
        self.train_s = self.start.elapsed().as_secs_f64();
    }
}

/// Trains with `config`, which names the market and both periods, and evaluates. `cache` holds the
/// panels. None where `stop` was set meanwhile.
pub(crate) fn run(
    row: &ValidationRow,
    config: &RunConfig,
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<ValidationTrial>> {
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let (start, comm) = (Instant::now(), LocalComm);
    let name = config.data.source.as_deref().context("a validation names its market")?;
    let market = SyntheticMarket::parse(name.trim_start_matches("synthetic:"))?;
    let source = DataSource::Synthetic(market.clone());
    let data = RunData { source: &source, cache };
    let mut watch = Stopwatch { start, train_s: 0.0 };
    let mut trained = train::run(&comm, config, data, Checkpointing::Off, stop, &mut watch)?;
    if trained.ending == Ending::Stopped {
        return Ok(None);
    }
    let dqn_alone = match row.bar.judges_experts() {
        true => {
            let portfolio = config.with_setting("portfolio.meta_policy.enabled=false")?.portfolio;
            let alone = Mandate { portfolio, ..trained.mandate.clone() };
            trained.evaluate(&comm, &alone)?
        }
        false => None,
    };
    let edges_before_last = match row.edges.is_empty() {
        true => None,
        false => Some(edges_before_last(&trained.peer_view(&comm)?.influence, row.edges)),
    };
    let evaluated = &trained.latest.as_ref().context("rank 0 has it")?.evaluated;
    let others = BaselineRewards::measure(&market, &trained)?;
    let capital = capital_of(&others.random);
    let records = dqn_alone.as_ref().map(|alone| [&alone.record, &evaluated.record]);
    let experts = records.map(|of| ExpertRewards::measure(&market, row, &trained, of, &capital));
    let reward = |record: &BacktestRecord| measured_bps(record, row, config, &capital);
    let rules = others.rules.iter().map(|(name, record)| (name.clone(), reward(record)));
    Ok(Some(ValidationTrial {
        seed: config.seed,
        oracle_expected_bps: 1e4 * others.oracle_expected(row),
        oracle_bps: reward(&others.oracle),
        trained_bps: reward(&evaluated.record),
        random_bps: reward(&others.random),
        buy_and_hold_bps: reward(&evaluated.benchmark),
        rules: rules.collect(),
        oracle_turnover: turnover(&others.oracle),
        trained_turnover: turnover(&evaluated.record),
        random_turnover: turnover(&others.random),
        verdict: verdict(config, evaluated),
        edges_before_last,
        experts: experts.transpose()?,
        env_steps: trained.env_steps,
        gradient_steps: trained.gradient_steps,
        train_s: watch.train_s,
        all_s: start.elapsed().as_secs_f64(),
    }))
}

/// What others make of the same bars, at the same costs and with the same capital.
struct BaselineRewards {
    expected: Vec<f64>,
    oracle: BacktestRecord,
    random: BacktestRecord,
    rules: Vec<(String, BacktestRecord)>,
}

impl BaselineRewards {
    fn measure(market: &SyntheticMarket, trained: &Trained) -> Result<BaselineRewards> {
        let Trained { config, mandate, eval, .. } = trained;
        let (stocks, long_only) = (mandate.stocks.len(), mandate.env.long_only);
        let oracles = Oracles::new(market, mandate, eval.note.bar_minutes)
            .expect("a planted market has an oracle for every stock");
        let mut rng = stream(config.seed, Purpose::Exploration, stocks);
        let lowest = if long_only { 0 } else { -1 };
        let (panel, rows, limits) = (&eval.panel, &eval.note.rows, eval.limits(mandate));
        let rules = standalone_rules(panel, rows, mandate, &limits)?;
        Ok(BaselineRewards {
            expected: oracles.mean_rewards(),
            oracle: oracles.back_test(mandate, panel, rows, &limits),
            random: run_policy(mandate, panel, rows, &limits, &mut |_, _, _| {
                rng.random_range(lowest..=1)
            }),
            rules: rules.into_iter().map(|rule| (rule.name, rule.record)).collect(),
        })
    }

    /// Mean over the row's measured stocks.
    fn oracle_expected(&self, row: &ValidationRow) -> f64 {
        let measured = row.measured(self.expected.len());
        measured.iter().map(|&stock| self.expected[stock]).sum::<f64>() / measured.len() as f64
    }
}

/// Mean per bar of what the measured stocks brought, over the capital that they were allotted
/// (`capital`, fractions of equity).
fn measured_bps(
    record: &BacktestRecord,
    row: &ValidationRow,
    config: &RunConfig,
    capital: &[f64],
) -> f64 {
    let rewards = rewards_by_stock(record, &Costs::new(&config.env));
    let sum = |of: &[f64]| row.measured(of.len()).iter().map(|&stock| of[stock]).sum::<f64>();
    1e4 * sum(&rewards) / sum(capital)
}

/// Mean position value over equity of each stock while it is held, by a policy that holds it often:
/// the capital that it was allotted.
fn capital_of(record: &BacktestRecord) -> Vec<f64> {
    let stocks = record.stocks.len();
    let mean = |stock: usize| {
        let (mut sum, mut bars) = (0.0, 0);
        for (t, equity) in record.equity.iter().enumerate() {
            let at = t * stocks + stock;
            if record.position[at] != 0.0 {
                sum += (record.position[at] * record.price[at] / equity).abs();
                bars += 1;
            }
        }
        sum / f64::from(bars.max(1))
    };
    (0..stocks).map(mean).collect()
}

fn turnover(record: &BacktestRecord) -> f64 {
    record.turnover.iter().sum::<f64>() / (record.turnover.len() - 1).max(1) as f64
}

fn verdict(config: &RunConfig, evaluated: &EvaluationResult) -> Verdict {
    let trials = Trials { own: vec![Seen::new(None, &evaluated.record)], earlier: Vec::new() };
    let mut rng = stream(config.seed, Purpose::Inference, 0);
    Inference::new(&evaluated.record, &evaluated.benchmark, &trials, &mut rng).verdict
}

/// How many edges that are not of `edges` (follower, leader) have at least the influence of the
/// least of these.
fn edges_before_last(influence: &[Vec<Option<f64>>], edges: &[(usize, usize)]) -> usize {
    let weight = |&(i, j): &(usize, usize)| influence[i][j].unwrap_or(0.0);
    let least = edges.iter().map(weight).fold(f64::INFINITY, f64::min);
    let stocks = 0..influence.len();
    stocks
        .clone()
        .flat_map(|i| stocks.clone().map(move |j| (i, j)))
        .filter(|edge| edge.0 != edge.1 && !edges.contains(edge) && weight(edge) >= least)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_before_the_last_true_one() {
        let influence = vec![
            vec![None, Some(0.4), Some(0.6)],
            vec![Some(0.9), None, Some(0.1)],
            vec![Some(0.5), Some(0.5), None],
        ];
        assert_eq!(edges_before_last(&influence, &[(1, 0)]), 0);
        assert_eq!(
            edges_before_last(&influence, &[(1, 0), (2, 0)]),
            2,
            "0.6 and the other 0.5 are before it"
        );
        assert_eq!(edges_before_last(&influence, &[(1, 2)]), 5);
    }
}
