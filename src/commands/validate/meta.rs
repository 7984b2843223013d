//! What the meta-policy is held against: each of its experts alone, and whoever was best in
//! hindsight.

use anyhow::{Context, Result};
use serde::Serialize;

use super::rows::ValidationRow;
use crate::env::costs::Costs;
use crate::eval::attribution::rewards_by_bar;
use crate::eval::metrics::BacktestRecord;
use crate::eval::rules::trade;
use crate::portfolio::meta_policy::{DQN, registry, rule_names};
use crate::synthetic::SyntheticMarket;
use crate::train::run::Trained;

/// Basis points per bar of the measured stocks' share of the capital, after costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ExpertRewards {
    /// Each expert alone; the DQN is the last.
    pub(crate) alone: Vec<(String, f64)>,
    /// The best of them in each regime of the market, known in hindsight, changed at no cost; in a
    /// market without regimes the best one.
    pub(crate) best_per_regime_bps: f64,
    /// What the meta-policy paid in costs; its reward is after these.
    pub(crate) paid_bps: f64,
    /// Log growth of each expert's account with all stocks, and of the meta-policy's.
    pub(crate) growth_alone_bps: Vec<f64>,
    pub(crate) growth_bps: f64,
}

impl ExpertRewards {
    /// `dqn` and `together` are the records of the DQN alone and of the meta-policy.
    pub(crate) fn measure(
        market: &SyntheticMarket,
        row: &ValidationRow,
        trained: &Trained,
        [dqn, together]: [&BacktestRecord; 2],
        capital: &[f64],
    ) -> Result<ExpertRewards> {
        let Trained { eval, mandate, .. } = trained;
        let (stocks, costs) = (mandate.stocks.len(), Costs::new(&mandate.env));
        let (rows, limits) = (&eval.note.rows, eval.limits(mandate));
        let measured = row.measured(stocks);
        let capital: f64 = measured.iter().map(|&stock| capital[stock]).sum();
        let per_bar = 1e4 / capital / (rows.len() - 1) as f64;
        let regimes = regimes(market, trained)?;
        // Rewards of a course in each regime.
        let by_regime = |record: &BacktestRecord| {
            let mut sums = [0.0; 2];
            let rewards = rewards_by_bar(record, &costs);
            for (bar, rewards) in rewards.chunks_exact(stocks).enumerate() {
                for &stock in &measured {
                    sums[regimes[stock][bar]] += per_bar * rewards[stock];
                }
            }
            sums
        };
        let (mut alone, mut best) = (Vec::new(), [f64::NEG_INFINITY; 2]);
        let mut growth_alone_bps = Vec::new();
        let mut add = |name: String, record: &BacktestRecord| {
            let sums = by_regime(record);
            growth_alone_bps.push(growth_bps(record));
            best = [best[0].max(sums[0]), best[1].max(sums[1])];
            alone.push((name, sums[0] + sums[1]));
        };
        let meta = &mandate.portfolio.meta_policy;
        let registry = registry(meta)?;
        for name in rule_names(meta, stocks)? {
            let mut rule = registry.find(&name)?.build_default(stocks)?;
            let record = trade(rule.as_mut(), &eval.panel, rows, mandate, &limits)?;
            add(name, &record);
        }
        add(DQN.into(), dqn);
        let traded: f64 = together.turnover.iter().sum();
        Ok(ExpertRewards {
            alone,
            best_per_regime_bps: best[0] + best[1],
            paid_bps: per_bar * traded * costs.turnover_cost(),
            growth_alone_bps,
            growth_bps: growth_bps(together),
        })
    }

    /// The best expert of all bars, the DQN or not, by the means over several seeds.
    pub(crate) fn best_mean(all: &[&ExpertRewards], with_dqn: bool) -> f64 {
        let Some(first) = all.first() else { return f64::NEG_INFINITY };
        let count = first.alone.len() - usize::from(!with_dqn);
        largest_mean(all, count, |experts, at| experts.alone[at].1)
    }

    /// The log growth of the expert that grew most, by the means over several seeds.
    pub(crate) fn best_growth(all: &[&ExpertRewards]) -> f64 {
        let Some(first) = all.first() else { return f64::NEG_INFINITY };
        largest_mean(all, first.alone.len(), |experts, at| experts.growth_alone_bps[at])
    }
}

/// The largest of the means over `all` of the values at so many places.
fn largest_mean(
    all: &[&ExpertRewards],
    places: usize,
    value: fn(&ExpertRewards, usize) -> f64,
) -> f64 {
    let mean = |at: usize| all.iter().map(|one| value(one, at)).sum::<f64>() / all.len() as f64;
    (0..places).map(mean).fold(f64::NEG_INFINITY, f64::max)
}

/// Log growth per bar.
fn growth_bps(record: &BacktestRecord) -> f64 {
    let ends = record.equity.first().zip(record.equity.last());
    ends.map_or(0.0, |(first, last)| {
        1e4 * (last / first).ln() / (record.equity.len() - 1).max(1) as f64
    })
}

/// Of each stock at each bar of the evaluation, `[stock][bar]`.
fn regimes(market: &SyntheticMarket, trained: &Trained) -> Result<Vec<Vec<usize>>> {
    let Trained { config, eval, .. } = trained;
    let (rows, minutes) = (eval.note.rows.len(), eval.note.bar_minutes);
    let of = |symbol| {
        let made = market.regimes(&config.stocks, symbol, &config.eval_period(), minutes);
        let made = made.unwrap_or_else(|| vec![0; rows]);
        (made.len() == rows).then_some(made).context("a planted market has all of its bars")
    };
    config.stocks.iter().map(of).collect()
}
