//! Accounts that trade a stretch of bars after another, beside each other.

use std::ops::Range;

use chrono::NaiveDate;

use super::ComparisonMarket;
use crate::env::costs::Costs;
use crate::eval::backtest::Backtest;
use crate::eval::metrics::{AccountTotals, BacktestRecord, Metrics};
use crate::eval::trades::{add_costs_paid, costs_paid};
use crate::market::calendar::market_date;
use crate::portfolio::drawdown::DrawdownStop;
use crate::portfolio::meta_policy::CapitalPlan;
use crate::portfolio::risk::{PositionOrder, PositionRequest, arbitrate, stop};
use crate::strategy::ensemble::{EnsembleMethod, Weigher, combined};
use crate::strategy::{Cancel, Decision, PanelBars, Strategy, StrategyError, StrategyKind};

/// The market, and what depends on it only and is the same for all accounts.
pub(super) struct SharedInputs<'a> {
    market: &'a ComparisonMarket<'a>,
    plan: CapitalPlan,
    costs: Costs,
    /// New York date of every row with a decision.
    dates: Vec<NaiveDate>,
}

impl<'a> SharedInputs<'a> {
    pub(super) fn new(market: &'a ComparisonMarket<'a>) -> SharedInputs<'a> {
        let ComparisonMarket { panel, rows, mandate, .. } = market;
        let date = |row| market_date(panel.view(row).end_s());
        SharedInputs {
            market,
            plan: CapitalPlan::new(panel, mandate.stocks.len(), &mandate.portfolio),
            costs: Costs::new(&mandate.env),
            dates: (rows.start..rows.end - 1).map(date).collect(),
        }
    }

    pub(super) fn costs(&self) -> &Costs {
        &self.costs
    }

    /// The rows of the panel at which is decided.
    pub(super) fn decisions(&self) -> Range<usize> {
        self.market.rows.start..self.market.rows.end - 1
    }

    /// They in parts of so many.
    pub(super) fn stretches(&self, bars: usize) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.decisions();
        (start..end).step_by(bars).map(move |first| first..end.min(first.saturating_add(bars)))
    }

    fn stocks(&self) -> usize {
        self.market.mandate.stocks.len()
    }
}

/// Desired position in one stock.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetPosition {
    /// From -1 to 1, as a fraction of the stock's capital.
    pub(super) target: f64,
    pub(super) conviction: f32,
}

impl From<&Decision> for TargetPosition {
    fn from(decision: &Decision) -> TargetPosition {
        TargetPosition { target: decision.target, conviction: decision.confidence as f32 }
    }
}

/// What a row of the comparison tells of an account.
#[derive(Clone, Debug)]
pub(super) struct AccountFigures {
    pub(super) daily_returns: Vec<f64>,
    pub(super) metrics: Metrics,
    /// As [`costs_paid`].
    pub(super) costs: f64,
}

impl AccountFigures {
    pub(super) fn new(record: &BacktestRecord, costs: &Costs) -> AccountFigures {
        AccountFigures {
            daily_returns: record.daily_returns(),
            metrics: Metrics::from_record(record),
            costs: costs_paid(record, costs),
        }
    }
}

/// An account as [`crate::eval::account::BacktestAccount`] has it without a meta-policy.
pub(super) struct ContenderAccount<'a> {
    shared: &'a SharedInputs<'a>,
    backtest: Backtest,
    drawdown: DrawdownStop,
    /// Reused buffers, `[stock]`.
    requests: Vec<PositionRequest>,
    orders: Vec<PositionOrder>,
}

impl<'a> ContenderAccount<'a> {
    /// In cash at the first row.
    pub(super) fn new(shared: &'a SharedInputs<'a>) -> ContenderAccount<'a> {
        let ComparisonMarket { panel, rows, mandate, .. } = shared.market;
        ContenderAccount {
            shared,
            backtest: Backtest::start(&mandate.stocks, &panel.view(rows.start), &mandate.env),
            drawdown: DrawdownStop::default(),
            requests: Vec::with_capacity(shared.stocks()),
            orders: Vec::with_capacity(shared.stocks()),
        }
    }

    /// Decides at every row of `stretch`, which follows the one before, for what is `wanted`,
    /// `[row, stock]`.
    pub(super) fn trade(
        &mut self,
        stretch: &Range<usize>,
        mut wanted: impl Iterator<Item = TargetPosition>,
    ) {
        let SharedInputs { market, plan, dates, .. } = self.shared;
        let ComparisonMarket { panel, rows, mandate, limits } = market;
        let least = if mandate.env.long_only { 0.0 } else { -1.0 };
        let request = |(wanted, &capital): (TargetPosition, &f64)| PositionRequest {
            position: f64::max(wanted.target, least),
            conviction: wanted.conviction,
            capital,
        };
        for row in stretch.clone() {
            let view = panel.view(row);
            let shares = plan.at(&view).shares;
            self.requests.clear();
            self.requests.extend(wanted.by_ref().take(shares.len()).zip(shares).map(request));
            assert_eq!(self.requests.len(), shares.len(), "what is wanted of every stock");
            arbitrate(&self.requests, limits, &mut self.orders);
            let (gain, date) = (self.backtest.last_reward(), dates[row - rows.start]);
            if self.drawdown.observe(gain, date, &mandate.portfolio) {
                stop(&mut self.orders);
            }
            self.backtest.order(&view, &self.orders);
            self.backtest.advance(&panel.view(row + 1));
        }
    }

    pub(super) fn into_record(self) -> BacktestRecord {
        self.backtest.into_record()
    }
}

/// An account of which the bars of the last stretch are known, and figures of all.
struct FollowedAccount<'a> {
    account: ContenderAccount<'a>,
    totals: AccountTotals,
    costs: f64,
}

impl<'a> FollowedAccount<'a> {
    fn new(shared: &'a SharedInputs<'a>) -> FollowedAccount<'a> {
        let account = ContenderAccount::new(shared);
        let totals = AccountTotals::new(account.backtest.so_far());
        FollowedAccount { account, totals, costs: 0.0 }
    }

    fn trade(&mut self, stretch: &Range<usize>, wanted: impl Iterator<Item = TargetPosition>) {
        self.account.backtest.forget();
        self.account.trade(stretch, wanted);
        let record = self.account.backtest.so_far();
        self.totals.add(record);
        self.costs = add_costs_paid(self.costs, record, &self.account.shared.costs);
    }

    /// From the row at which the last stretch began to the one after it.
    fn last_stretch(&self) -> &BacktestRecord {
        self.account.backtest.so_far()
    }

    fn figures(&self) -> AccountFigures {
        AccountFigures {
            daily_returns: self.totals.daily_returns(),
            metrics: self.totals.metrics(),
            costs: self.costs,
        }
    }
}

/// What was decided over the last stretch, and what came of it.
pub(super) struct TradedDecisions<'a> {
    /// Of the last stretch, `[row, stock]`.
    decisions: Vec<Decision>,
    account: FollowedAccount<'a>,
}

impl<'a> TradedDecisions<'a> {
    fn new(shared: &'a SharedInputs<'a>) -> TradedDecisions<'a> {
        TradedDecisions { decisions: Vec::new(), account: FollowedAccount::new(shared) }
    }

    fn shared(&self) -> &'a SharedInputs<'a> {
        self.account.account.shared
    }

    /// After the decisions of `stretch` have been made.
    fn trade(&mut self, stretch: &Range<usize>) {
        self.account.trade(stretch, self.decisions.iter().map(TargetPosition::from));
    }

    pub(super) fn figures(&self) -> AccountFigures {
        self.account.figures()
    }

    /// As [`FollowedAccount::last_stretch`].
    pub(super) fn last_stretch(&self) -> &BacktestRecord {
        self.account.last_stretch()
    }
}

/// A strategy alone.
pub(super) struct StrategyRun<'a> {
    strategy: Box<dyn Strategy>,
    bars: PanelBars,
    latest: Vec<Decision>,
    pub(super) traded: TradedDecisions<'a>,
}

impl<'a> StrategyRun<'a> {
    /// With default parameters, after the rows before those that are traded. Errors: why it cannot
    /// be run.
    pub(super) fn new(
        shared: &'a SharedInputs<'a>,
        kind: &StrategyKind,
    ) -> Result<StrategyRun<'a>, String> {
        let stocks = shared.stocks();
        let mut run = StrategyRun {
            strategy: kind.build_default(stocks).map_err(reason)?,
            bars: PanelBars::default(),
            latest: vec![Decision::NONE; stocks],
            traded: TradedDecisions::new(shared),
        };
        (0..shared.market.rows.start).try_for_each(|row| run.decide(row))?;
        Ok(run)
    }

    fn decide(&mut self, row: usize) -> Result<(), String> {
        let panel = self.traded.shared().market.panel;
        let now = self.bars.at(&panel.view(row), self.latest.len());
        self.strategy.decide(&now, &Cancel::new(), &mut self.latest).map_err(reason)
    }

    /// Errors: why the strategy failed.
    pub(super) fn trade(&mut self, stretch: &Range<usize>) -> Result<(), String> {
        self.traded.decisions.clear();
        for row in stretch.clone() {
            self.decide(row)?;
            self.traded.decisions.extend_from_slice(&self.latest);
        }
        self.traded.trade(stretch);
        Ok(())
    }
}

/// The reason without the strategy's name, which the table shows in its own column.
fn reason(error: StrategyError) -> String {
    match error {
        StrategyError::Failed { what, hint, .. } => format!("{what}; {hint}"),
        other => other.to_string(),
    }
}

/// An ensemble of strategies that are given equal weights.
pub(super) struct EnsembleRun<'a> {
    method: EnsembleMethod,
    weigher: Weigher,
    pub(super) traded: TradedDecisions<'a>,
}

impl<'a> EnsembleRun<'a> {
    /// Errors: it has no members.
    pub(super) fn new(
        shared: &'a SharedInputs<'a>,
        method: EnsembleMethod,
        members: usize,
        window_bars: usize,
    ) -> Result<EnsembleRun<'a>, String> {
        if members == 0 {
            return Err("it has no members".into());
        }
        let weigher = Weigher::new(method, vec![1.0; members], window_bars);
        Ok(EnsembleRun { method, weigher, traded: TradedDecisions::new(shared) })
    }

    /// `members` have traded `stretch`.
    pub(super) fn trade(&mut self, stretch: &Range<usize>, members: &[&TradedDecisions<'_>]) {
        let (method, stocks) = (self.method, self.traded.shared().stocks());
        self.traded.decisions.clear();
        for t in 0..stretch.len() {
            let rewards = members.iter().map(|member| member.last_stretch().reward[t]);
            let weights = self.weigher.observe(rewards);
            self.traded.decisions.extend((0..stocks).map(|stock| {
                let decided = members.iter().map(|member| member.decisions[t * stocks + stock]);
                combined(method, decided, weights)
            }));
        }
        self.traded.trade(stretch);
    }
}
