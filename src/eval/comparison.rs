//! Comparison of everything that could have traded an evaluation: every strategy of the registry
//! alone, ensembles of the rules, the DQN, the portfolio as it was traded, and buy-and-hold. All
//! use the same bars, costs, capital and limits, except that buy-and-hold only buys once. They trade
//! side by side, a stretch of bars after another, and only figures are kept of most accounts.

mod accounts;

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::inference::SharpeEstimate;
use super::metrics::{BacktestRecord, Metrics};
use super::rules::RULES;
use crate::market::panel::Panel;
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::strategy::Registry;
use crate::strategy::ensemble::EnsembleMethod;
use accounts::{
    AccountFigures, ContenderAccount, EnsembleRun, SharedInputs, StrategyRun, TargetPosition,
    TradedDecisions,
};

/// Bars that all trade before any goes on: enough to share the work among threads, few enough to
/// stay in the cache.
const STRETCH_BARS: usize = 1_024;

/// Look-back in bars of weights by variance or performance.
const WINDOW_BARS: usize = 1_000;

/// Ensemble methods and their names in the table.
const ENSEMBLES: [(EnsembleMethod, &str); 5] = [
    (EnsembleMethod::Weighted, "weighted"),
    (EnsembleMethod::Voting, "voting"),
    (EnsembleMethod::Average, "average"),
    (EnsembleMethod::InverseVariance, "inverse variance"),
    (EnsembleMethod::Performance, "performance"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContenderRole {
    /// A strategy of the registry with default parameters.
    Strategy,
    /// An ensemble of [`RULES`].
    Ensemble,
    Dqn,
    /// As it was traded.
    Portfolio,
    BuyAndHold,
    /// The best policy of a made-up market, which knows how its prices are made.
    Oracle,
}

/// One row of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) role: ContenderRole,
    /// None if the strategy failed.
    pub(crate) metrics: Option<Metrics>,
    /// Fees and slippage, each as a fraction of the equity one bar earlier, summed.
    pub(crate) costs: Option<f64>,
    pub(crate) sharpe: Option<SharpeEstimate>,
    /// Why it failed, for example a pair strategy with one stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// The market and settings that all rows share.
pub(crate) struct ComparisonMarket<'a> {
    pub(crate) panel: &'a Panel,
    /// Rows of the panel; decisions are made at all but the last.
    pub(crate) rows: Range<usize>,
    pub(crate) mandate: &'a Mandate,
    pub(crate) limits: &'a Limits,
}

/// Results that exist already.
pub(crate) struct TradedRecords<'a> {
    /// Position and conviction of the DQN, `[row, stock]`.
    pub(crate) dqn: &'a [(f32, f32)],
    pub(crate) portfolio: &'a BacktestRecord,
    pub(crate) buy_and_hold: &'a BacktestRecord,
    /// The portfolio's Sharpe ratio as reported elsewhere.
    pub(crate) sharpe: &'a SharpeEstimate,
    /// Of a planted market.
    pub(crate) oracle: Option<&'a BacktestRecord>,
}

/// All contenders, and the account of one of them.
pub(crate) struct Comparison {
    pub(crate) contenders: Vec<Contender>,
    /// What the DQN alone would have traded.
    pub(crate) dqn: BacktestRecord,
}

/// Compares all of them: strategies in registry order, ensembles, DQN, portfolio, buy-and-hold, and
/// the oracle where there is one.
pub(crate) fn compare_all(
    market: &ComparisonMarket<'_>,
    traded: &TradedRecords<'_>,
    rng: &mut ChaCha8Rng,
) -> Comparison {
    let shared = SharedInputs::new(market);
    let registry = Registry::standard();
    let (alone, ensembles) = strategies_and_ensembles(&shared, &registry, STRETCH_BARS);
    let dqn = dqn_alone(&shared, traded.dqn);

    let kept = |record: &BacktestRecord| Ok(AccountFigures::new(record, shared.costs()));
    let mut figures: Vec<(&str, ContenderRole, Result<AccountFigures, String>)> = Vec::new();
    let named = registry.kinds().iter().zip(&alone);
    figures.extend(named.map(|(kind, alone)| {
        let of = alone.as_ref().map(|run| run.traded.figures()).map_err(String::clone);
        (&*kind.name, ContenderRole::Strategy, of)
    }));
    let named = ENSEMBLES.iter().zip(&ensembles);
    figures.extend(named.map(|((_, name), ensemble)| {
        let of = ensemble.as_ref().map(|run| run.traded.figures()).map_err(String::clone);
        (*name, ContenderRole::Ensemble, of)
    }));
    figures.push(("DQN", ContenderRole::Dqn, kept(&dqn)));
    figures.push(("portfolio", ContenderRole::Portfolio, kept(traded.portfolio)));
    figures.push(("buy-and-hold", ContenderRole::BuyAndHold, kept(traded.buy_and_hold)));
    figures.extend(traded.oracle.map(|record| ("oracle", ContenderRole::Oracle, kept(record))));
    Comparison { contenders: contenders(figures, traded, rng), dqn }
}

/// Something, or why there is none.
type OrReason<T> = Result<T, String>;

/// Every strategy of the registry and every ensemble of the rules after the last bar, or why there
/// is none.
fn strategies_and_ensembles<'a>(
    shared: &'a SharedInputs<'a>,
    registry: &Registry,
    stretch_bars: usize,
) -> (Vec<OrReason<StrategyRun<'a>>>, Vec<OrReason<EnsembleRun<'a>>>) {
    let run = |kind| StrategyRun::new(shared, kind);
    let mut alone: Vec<_> = registry.kinds().par_iter().map(run).collect();
    let by_name = |name: &&str| registry.kinds().iter().position(|kind| &*kind.name == *name);
    let mut rules: Vec<usize> = RULES.iter().filter_map(by_name).collect();
    rules.retain(|&i| alone[i].is_ok());
    let ensemble = |&(method, _): &(EnsembleMethod, &str)| {
        EnsembleRun::new(shared, method, rules.len(), WINDOW_BARS)
    };
    let mut ensembles: Vec<_> = ENSEMBLES.iter().map(ensemble).collect();
    for stretch in shared.stretches(stretch_bars) {
        alone.par_iter_mut().for_each(|one| {
            let failed = one.as_mut().ok().and_then(|run| run.trade(&stretch).err());
            if let Some(why) = failed {
                *one = Err(why);
            }
        });
        let member = |&i: &usize| alone[i].as_ref().map(|run| &run.traded);
        let members: Result<Vec<&TradedDecisions<'_>>, &String> =
            rules.iter().map(member).collect();
        ensembles.par_iter_mut().for_each(|one| match (&members, &mut *one) {
            (Ok(members), Ok(ensemble)) => ensemble.trade(&stretch, members),
            (Err(why), Ok(_)) => *one = Err(format!("a member failed: {why}")),
            (_, Err(_)) => {}
        });
    }
    (alone, ensembles)
}

/// The account of a DQN that decides alone: its position and conviction, `[row, stock]`.
fn dqn_alone(shared: &SharedInputs<'_>, decided: &[(f32, f32)]) -> BacktestRecord {
    let mut account = ContenderAccount::new(shared);
    let wanted = decided
        .iter()
        .map(|&(position, conviction)| TargetPosition { target: f64::from(position), conviction });
    account.trade(&shared.decisions(), wanted);
    account.into_record()
}

fn contenders(
    figures: Vec<(&str, ContenderRole, Result<AccountFigures, String>)>,
    traded: &TradedRecords<'_>,
    rng: &mut ChaCha8Rng,
) -> Vec<Contender> {
    let returns = |figures: &Result<AccountFigures, String>| {
        figures.as_ref().map_or(Vec::new(), |figures| figures.daily_returns.clone())
    };
    let returns: Vec<Vec<f64>> = figures.iter().map(|(_, _, figures)| returns(figures)).collect();
    let year = traded.portfolio.days_per_year();
    let mut estimates = SharpeEstimate::from_each_series(&returns, year, rng);
    // Equal returns must be reported with the same interval.
    let reported = traded.portfolio.daily_returns();
    for (estimate, _) in estimates.iter_mut().zip(&returns).filter(|(_, one)| **one == reported) {
        estimate.clone_from(traded.sharpe);
    }
    let contender = |((name, role, figures), sharpe): (_, SharpeEstimate)| {
        let (name, figures): (&str, Result<AccountFigures, String>) = (name, figures);
        let (costs, is_ok) = (figures.as_ref().ok().map(|figures| figures.costs), figures.is_ok());
        let (metrics, error) = match figures {
            Ok(figures) => (Some(figures.metrics), None),
            Err(why) => (None, Some(why)),
        };
        Contender {
            name: name.into(),
            role,
            metrics,
            costs,
            sharpe: is_ok.then_some(sharpe),
            error,
        }
    };
    figures.into_iter().zip(estimates).map(contender).collect()
}

#[cfg(test)]
mod tests;
