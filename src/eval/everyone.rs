//! Comparison of everything that could have traded an evaluation: every strategy of the registry
//! alone, ensembles of the rules, the DQN, the portfolio as it was traded, and buy-and-hold. All
//! use the same bars, costs, capital and limits, except that buy-and-hold only buys once.

use std::ops::Range;

use chrono::NaiveDate;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::backtest::Backtest;
use super::inference::Estimate;
use super::metrics::{Course, Metrics};
use super::rules::RULES;
use super::trades::costs_paid;
use crate::env::costs::Costs;
use crate::market::calendar::new_york_date;
use crate::market::panel::Panel;
use crate::portfolio::drawdown::DrawdownStop;
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::CapitalPlan;
use crate::portfolio::risk::{Wish, arbitrate, stop};
use crate::strategy::ensemble::{EnsembleMethod, Member, combine, weights};
use crate::strategy::{
    Cancel, Decision, Kind, PanelBars, Registry, Signals, Strategy, StrategyError,
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
pub enum Role {
    /// A strategy of the registry with default parameters.
    Strategy,
    /// An ensemble of [`RULES`].
    Ensemble,
    Dqn,
    /// As it was traded.
    Portfolio,
    BuyAndHold,
}

/// One row of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    pub name: String,
    pub role: Role,
    /// None if the strategy failed.
    pub metrics: Option<Metrics>,
    /// Fees and slippage, each as a fraction of the equity one bar earlier, summed.
    pub costs: Option<f64>,
    pub sharpe: Option<Estimate>,
    /// Why it failed, for example a pair strategy with one stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The market and settings that all rows share.
pub struct Market<'a> {
    pub panel: &'a Panel,
    /// Rows of the panel; decisions are made at all but the last.
    pub rows: Range<usize>,
    pub mandate: &'a Mandate,
    pub limits: &'a Limits,
}

/// Results that exist already.
pub struct Traded<'a> {
    /// Direction and conviction of the DQN, `[row, stock]`.
    pub dqn: &'a [(i8, f32)],
    pub portfolio: &'a Course,
    pub buy_and_hold: &'a Course,
    /// The portfolio's Sharpe ratio as reported elsewhere.
    pub sharpe: &'a Estimate,
}

/// Compares all of them: strategies in registry order, ensembles, DQN, portfolio, buy-and-hold.
pub fn everyone(market: &Market<'_>, traded: &Traded<'_>, rng: &mut ChaCha8Rng) -> Vec<Contender> {
    let by_row = Dealt::of(market);
    let registry = Registry::standard();
    let alone: Vec<_> =
        registry.kinds().par_iter().map(|kind| run_alone(market, &by_row, kind)).collect();
    let by_name = |name: &&str| registry.find(name).ok().map(|kind| &*kind.name);
    let rules: Vec<&str> = RULES.iter().filter_map(by_name).collect();
    let is_rule = |kind: &&Kind| rules.contains(&&*kind.name);
    let members = registry.kinds().iter().zip(&alone).filter(|(kind, _)| is_rule(kind));
    let members: Vec<&Alone> = members.filter_map(|(_, alone)| alone.as_ref().ok()).collect();
    let ensembles: Vec<Course> = ENSEMBLES
        .par_iter()
        .map(|(method, _)| run_ensemble(market, &by_row, *method, &members))
        .collect();
    let wanted = traded
        .dqn
        .iter()
        .map(|&(direction, conviction)| Wanted { target: f64::from(direction), conviction });
    let dqn = backtest(market, &by_row, &wanted.collect::<Vec<_>>());

    let mut courses: Vec<(&str, Role, Result<&Course, String>)> = Vec::new();
    for (kind, alone) in registry.kinds().iter().zip(&alone) {
        let course = alone.as_ref().map(|alone| &alone.course).map_err(reason);
        courses.push((&kind.name, Role::Strategy, course));
    }
    let named = ENSEMBLES.iter().zip(&ensembles);
    courses.extend(named.map(|((_, name), course)| (*name, Role::Ensemble, Ok(course))));
    courses.push(("DQN", Role::Dqn, Ok(&dqn)));
    courses.push(("portfolio", Role::Portfolio, Ok(traded.portfolio)));
    courses.push(("buy-and-hold", Role::BuyAndHold, Ok(traded.buy_and_hold)));
    contenders(courses, market, traded, rng)
}

fn contenders(
    courses: Vec<(&str, Role, Result<&Course, String>)>,
    market: &Market<'_>,
    traded: &Traded<'_>,
    rng: &mut ChaCha8Rng,
) -> Vec<Contender> {
    let costs = Costs::of(&market.mandate.env);
    let returns = |course: &Result<&Course, String>| {
        course.as_ref().map_or(Vec::new(), |course| course.daily_returns())
    };
    let returns: Vec<Vec<f64>> = courses.iter().map(|(_, _, course)| returns(course)).collect();
    let mut estimates = Estimate::of_each(&returns, rng);
    // Equal returns must be reported with the same interval.
    let reported = traded.portfolio.daily_returns();
    for (estimate, _) in estimates.iter_mut().zip(&returns).filter(|(_, one)| **one == reported) {
        estimate.clone_from(traded.sharpe);
    }
    let contender = |((name, role, course), sharpe): (_, Estimate)| {
        let (name, course): (&str, Result<&Course, String>) = (name, course);
        Contender {
            name: name.into(),
            role,
            metrics: course.as_ref().ok().map(|course| Metrics::of(course)),
            costs: course.as_ref().ok().map(|course| costs_paid(course, &costs)),
            sharpe: course.is_ok().then_some(sharpe),
            error: course.err(),
        }
    };
    courses.into_iter().zip(estimates).map(contender).collect()
}

/// Data that depends on the market only and is the same for all accounts.
struct Dealt {
    plan: CapitalPlan,
    /// New York date of every row with a decision.
    dates: Vec<NaiveDate>,
}

impl Dealt {
    fn of(market: &Market<'_>) -> Dealt {
        let Market { panel, rows, mandate, .. } = market;
        let date = |row| new_york_date(panel.view(row).end_s());
        Dealt {
            plan: CapitalPlan::of(panel, mandate.stocks.len(), &mandate.portfolio),
            dates: (rows.start..rows.end - 1).map(date).collect(),
        }
    }
}

/// Desired position in one stock.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// From -1 to 1, as a fraction of the stock's capital.
    target: f64,
    conviction: f32,
}

impl From<&Decision> for Wanted {
    fn from(decision: &Decision) -> Wanted {
        Wanted { target: decision.target, conviction: decision.confidence as f32 }
    }
}

/// The account of one who wants `wanted`, `[row, stock]`: as [`super::account::Account`] has it,
/// but
/// for targets of less than a whole position.
fn backtest(market: &Market<'_>, by_row: &Dealt, wanted: &[Wanted]) -> Course {
    let Market { panel, rows, mandate, limits } = market;
    let stocks = mandate.stocks.len();
    let asked = by_row.dates.len() * stocks;
    assert_eq!(wanted.len(), asked, "what is wanted at every row but the last");
    let least = if mandate.env.long_only { 0.0 } else { -1.0 };
    let wish = |(wanted, capital): (&Wanted, &f64)| {
        let target = f64::max(wanted.target, least);
        let direction = i8::from(target > 0.0) - i8::from(target < 0.0);
        Wish { direction, conviction: wanted.conviction, capital: target.abs() * capital }
    };
    let mut backtest = Backtest::start(&mandate.stocks, &panel.view(rows.start), &mandate.env);
    let mut drawdown = DrawdownStop::default();
    let (mut wishes, mut orders) = (Vec::with_capacity(stocks), Vec::with_capacity(stocks));
    for (i, row) in (rows.start..rows.end - 1).enumerate() {
        let (view, now) = (panel.view(row), &wanted[i * stocks..][..stocks]);
        wishes.clear();
        wishes.extend(now.iter().zip(by_row.plan.at(&view).shares).map(wish));
        arbitrate(&wishes, limits, &mut orders);
        if drawdown.observe(backtest.last_reward(), by_row.dates[i], &mandate.portfolio) {
            stop(&mut orders);
        }
        backtest.order(&view, &orders);
        backtest.advance(&panel.view(row + 1));
    }
    backtest.into_course()
}

/// A strategy's decisions and their back-test.
struct Alone {
    signals: Signals,
    course: Course,
}

fn run_alone(market: &Market<'_>, by_row: &Dealt, kind: &Kind) -> Result<Alone, StrategyError> {
    let signals = signals(market, kind.build_default(market.mandate.stocks.len())?.as_mut())?;
    let course = backtest(market, by_row, &wanted(&signals));
    Ok(Alone { signals, course })
}

/// The reason without the strategy's name, which the table shows in its own column.
fn reason(error: &StrategyError) -> String {
    match error {
        StrategyError::Failed { what, hint, .. } => format!("{what}; {hint}"),
        other => other.to_string(),
    }
}

/// A strategy's decisions over the traded rows, after it has seen the rows before them.
fn signals(market: &Market<'_>, strategy: &mut dyn Strategy) -> Result<Signals, StrategyError> {
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

fn wanted(signals: &Signals) -> Vec<Wanted> {
    (0..signals.rows()).flat_map(|t| signals.at(t)).map(Wanted::from).collect()
}

fn run_ensemble<'a>(
    market: &Market<'_>,
    by_row: &Dealt,
    method: EnsembleMethod,
    members: &[&'a Alone],
) -> Course {
    let member = |alone: &&'a Alone| Member {
        signals: &alone.signals,
        weight: 1.0,
        rewards: &alone.course.reward[..alone.signals.rows()],
    };
    let members: Vec<Member<'_>> = members.iter().map(member).collect();
    let signals = combine(method, &members, &weights(method, &members, WINDOW_BARS));
    backtest(market, by_row, &wanted(&signals))
}

#[cfg(test)]
mod tests;
