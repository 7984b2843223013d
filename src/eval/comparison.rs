//! Comparison of everything that could have traded an evaluation: every strategy of the registry
//! alone, ensembles of the rules, the DQN, the portfolio as it was traded, and buy-and-hold. All
//! use the same bars, costs, capital and limits, except that buy-and-hold only buys once.

use std::ops::Range;

use chrono::NaiveDate;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::backtest::Backtest;
use super::inference::SharpeEstimate;
use super::metrics::{BacktestRecord, Metrics};
use super::rules::RULES;
use super::trades::costs_paid;
use crate::env::costs::Costs;
use crate::market::calendar::market_date;
use crate::market::panel::Panel;
use crate::portfolio::drawdown::DrawdownStop;
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::CapitalPlan;
use crate::portfolio::risk::{PositionRequest, arbitrate, stop};
use crate::strategy::ensemble::{EnsembleMethod, Member, combine, weights};
use crate::strategy::{
    Cancel, Decision, PanelBars, Registry, Signals, Strategy, StrategyError, StrategyKind,
};

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
    let by_row = SharedInputs::new(market);
    let registry = Registry::standard();
    let alone: Vec<_> =
        registry.kinds().par_iter().map(|kind| run_alone(market, &by_row, kind)).collect();
    let by_name = |name: &&str| registry.find(name).ok().map(|kind| &*kind.name);
    let rules: Vec<&str> = RULES.iter().filter_map(by_name).collect();
    let is_rule = |kind: &&StrategyKind| rules.contains(&&*kind.name);
    let members = registry.kinds().iter().zip(&alone).filter(|(kind, _)| is_rule(kind));
    let members: Vec<&StrategyAccount> =
        members.filter_map(|(_, alone)| alone.as_ref().ok()).collect();
    let ensembles: Vec<BacktestRecord> = ENSEMBLES
        .par_iter()
        .map(|(method, _)| run_ensemble(market, &by_row, *method, &members))
        .collect();
    let wanted = traded
        .dqn
        .iter()
        .map(|&(position, conviction)| TargetPosition { target: f64::from(position), conviction });
    let dqn = backtest(market, &by_row, &wanted.collect::<Vec<_>>());

    let mut records: Vec<(&str, ContenderRole, Result<&BacktestRecord, String>)> = Vec::new();
    for (kind, alone) in registry.kinds().iter().zip(&alone) {
        let record = alone.as_ref().map(|alone| &alone.record).map_err(reason);
        records.push((&kind.name, ContenderRole::Strategy, record));
    }
    let named = ENSEMBLES.iter().zip(&ensembles);
    records.extend(named.map(|((_, name), record)| (*name, ContenderRole::Ensemble, Ok(record))));
    records.push(("DQN", ContenderRole::Dqn, Ok(&dqn)));
    records.push(("portfolio", ContenderRole::Portfolio, Ok(traded.portfolio)));
    records.push(("buy-and-hold", ContenderRole::BuyAndHold, Ok(traded.buy_and_hold)));
    records.extend(traded.oracle.map(|record| ("oracle", ContenderRole::Oracle, Ok(record))));
    let contenders = contenders(records, market, traded, rng);
    Comparison { contenders, dqn }
}

fn contenders(
    records: Vec<(&str, ContenderRole, Result<&BacktestRecord, String>)>,
    market: &ComparisonMarket<'_>,
    traded: &TradedRecords<'_>,
    rng: &mut ChaCha8Rng,
) -> Vec<Contender> {
    let costs = Costs::new(&market.mandate.env);
    let returns = |record: &Result<&BacktestRecord, String>| {
        record.as_ref().map_or(Vec::new(), |record| record.daily_returns())
    };
    let returns: Vec<Vec<f64>> = records.iter().map(|(_, _, record)| returns(record)).collect();
    let year = traded.portfolio.days_per_year();
    let mut estimates = SharpeEstimate::from_each_series(&returns, year, rng);
    // Equal returns must be reported with the same interval.
    let reported = traded.portfolio.daily_returns();
    for (estimate, _) in estimates.iter_mut().zip(&returns).filter(|(_, one)| **one == reported) {
        estimate.clone_from(traded.sharpe);
    }
    let contender = |((name, role, record), sharpe): (_, SharpeEstimate)| {
        let (name, record): (&str, Result<&BacktestRecord, String>) = (name, record);
        Contender {
            name: name.into(),
            role,
            metrics: record.as_ref().ok().map(|record| Metrics::from_record(record)),
            costs: record.as_ref().ok().map(|record| costs_paid(record, &costs)),
            sharpe: record.is_ok().then_some(sharpe),
            error: record.err(),
        }
    };
    records.into_iter().zip(estimates).map(contender).collect()
}

/// Data that depends on the market only and is the same for all accounts.
struct SharedInputs {
    plan: CapitalPlan,
    /// New York date of every row with a decision.
    dates: Vec<NaiveDate>,
}

impl SharedInputs {
    fn new(market: &ComparisonMarket<'_>) -> SharedInputs {
        let ComparisonMarket { panel, rows, mandate, .. } = market;
        let date = |row| market_date(panel.view(row).end_s());
        SharedInputs {
            plan: CapitalPlan::new(panel, mandate.stocks.len(), &mandate.portfolio),
            dates: (rows.start..rows.end - 1).map(date).collect(),
        }
    }
}

/// Desired position in one stock.
#[derive(Clone, Copy, Debug)]
struct TargetPosition {
    /// From -1 to 1, as a fraction of the stock's capital.
    target: f64,
    conviction: f32,
}

impl From<&Decision> for TargetPosition {
    fn from(decision: &Decision) -> TargetPosition {
        TargetPosition { target: decision.target, conviction: decision.confidence as f32 }
    }
}

/// The account of one who wants `wanted`, `[row, stock]`, as [`super::account::BacktestAccount`]
/// has it without a meta-policy.
fn backtest(
    market: &ComparisonMarket<'_>,
    by_row: &SharedInputs,
    wanted: &[TargetPosition],
) -> BacktestRecord {
    let ComparisonMarket { panel, rows, mandate, limits } = market;
    let stocks = mandate.stocks.len();
    let asked = by_row.dates.len() * stocks;
    assert_eq!(wanted.len(), asked, "what is wanted at every row but the last");
    let least = if mandate.env.long_only { 0.0 } else { -1.0 };
    let request = |(wanted, &capital): (&TargetPosition, &f64)| PositionRequest {
        position: f64::max(wanted.target, least),
        conviction: wanted.conviction,
        capital,
    };
    let mut backtest = Backtest::start(&mandate.stocks, &panel.view(rows.start), &mandate.env);
    let mut drawdown = DrawdownStop::default();
    let (mut requests, mut orders) = (Vec::with_capacity(stocks), Vec::with_capacity(stocks));
    for (i, row) in (rows.start..rows.end - 1).enumerate() {
        let (view, now) = (panel.view(row), &wanted[i * stocks..][..stocks]);
        requests.clear();
        requests.extend(now.iter().zip(by_row.plan.at(&view).shares).map(request));
        arbitrate(&requests, limits, &mut orders);
        if drawdown.observe(backtest.last_reward(), by_row.dates[i], &mandate.portfolio) {
            stop(&mut orders);
        }
        backtest.order(&view, &orders);
        backtest.advance(&panel.view(row + 1));
    }
    backtest.into_record()
}

/// A strategy's decisions and their back-test.
struct StrategyAccount {
    signals: Signals,
    record: BacktestRecord,
}

fn run_alone(
    market: &ComparisonMarket<'_>,
    by_row: &SharedInputs,
    kind: &StrategyKind,
) -> Result<StrategyAccount, StrategyError> {
    let signals = signals(market, kind.build_default(market.mandate.stocks.len())?.as_mut())?;
    let record = backtest(market, by_row, &wanted(&signals));
    Ok(StrategyAccount { signals, record })
}

/// The reason without the strategy's name, which the table shows in its own column.
fn reason(error: &StrategyError) -> String {
    match error {
        StrategyError::Failed { what, hint, .. } => format!("{what}; {hint}"),
        other => other.to_string(),
    }
}

/// A strategy's decisions over the traded rows, after it has seen the rows before them.
fn signals(
    market: &ComparisonMarket<'_>,
    strategy: &mut dyn Strategy,
) -> Result<Signals, StrategyError> {
    let (stocks, cancel) = (market.mandate.stocks.len(), Cancel::new());
    let (mut bars, mut latest) = (PanelBars::default(), vec![Decision::NONE; stocks]);
    let mut decisions = Vec::new();
    for row in 0..market.rows.end - 1 {
        strategy.decide(&bars.at(&market.panel.view(row), stocks), &cancel, &mut latest)?;
        if market.rows.contains(&row) {
            decisions.extend_from_slice(&latest);
        }
    }
    Ok(Signals::new(stocks, decisions))
}

fn wanted(signals: &Signals) -> Vec<TargetPosition> {
    (0..signals.rows()).flat_map(|t| signals.at(t)).map(TargetPosition::from).collect()
}

fn run_ensemble<'a>(
    market: &ComparisonMarket<'_>,
    by_row: &SharedInputs,
    method: EnsembleMethod,
    members: &[&'a StrategyAccount],
) -> BacktestRecord {
    let member = |alone: &&'a StrategyAccount| Member {
        signals: &alone.signals,
        weight: 1.0,
        rewards: &alone.record.reward[..alone.signals.rows()],
    };
    let members: Vec<Member<'_>> = members.iter().map(member).collect();
    let signals = combine(method, &members, &weights(method, &members, WINDOW_BARS));
    backtest(market, by_row, &wanted(&signals))
}

#[cfg(test)]
mod tests;
