//! The result of an agent, computed from its position file and the bars alone, so that it does not
//! depend on interruptions of the run.

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::bars::{AgentBars, TradingStep};
use super::config::AgentsConfig;
use super::journal::{JournalRecord, TradeAction, TradeActionKind};
use super::ledger::{Side, cost_of};
use super::step_time::StepTime;
use crate::env::costs::Costs;
use crate::eval::backtest::buy_and_hold;
use crate::eval::inference::SharpeEstimate;
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::eval::trades::RoundTrip;
use crate::market::Symbol;
use crate::rl::rng::{Purpose, stream};

/// Seed of the bootstrap.
const SEED: u64 = 1;

/// Content of `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentMetrics {
    /// Name of the agent's folder.
    pub signature: String,
    /// Name for messages and tables.
    pub name: String,
    /// `dqn`, `strategy`, `ensemble` or `llm`.
    pub kind: String,
    /// Date of the first record; with the time where records are hourly.
    pub first_date: String,
    /// Date of the last record; with the time where records are hourly.
    pub last_date: String,
    /// Of the agent's own account.
    #[serde(flatten)]
    pub figures: PerformanceFigures,
    /// Why the figures say nothing about the agent, which then has no rank; None if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unranked: Option<String>,
    /// Language models only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenUsage>,
    /// Buy-and-hold over the same bars with the same costs, without intervals.
    pub benchmark: PerformanceFigures,
    /// Warnings about the figures.
    pub notices: Vec<String>,
}

/// An undefined value is None (null in JSON).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerformanceFigures {
    /// Cash plus the value of the positions, in the currency of the prices.
    pub initial_equity: f64,
    /// Equity after the last record, in the currency of the prices.
    pub final_equity: f64,
    /// Final over initial equity, minus 1.
    pub total_return: f64,
    /// Annualised, from daily returns, with its interval.
    pub sharpe: SharpeEstimate,
    /// At most 0; from daily values.
    pub max_drawdown: f64,
    /// Annualised.
    pub volatility: Option<f64>,
    /// Number of fills.
    pub trades: u64,
    /// Fees and slippage, in the currency of the prices.
    pub cost: f64,
    /// Number of daily returns.
    pub days: usize,
}

/// What a language model used over all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// Answered requests.
    pub requests: u64,
    /// Tokens sent to the model.
    pub prompt_tokens: u64,
    /// Tokens that the model wrote.
    pub completion_tokens: u64,
    /// Requests for which the endpoint reported no tokens: theirs are estimated from bytes.
    pub estimated: u64,
    /// Bytes of all requests and answers.
    pub bytes: u64,
    /// By the model's `price_per_mtok`; None without it.
    pub cost: Option<f64>,
    /// Calls of tools that were understood.
    pub understood: u64,
    /// Calls that were not.
    pub misread: u64,
}

impl PerformanceFigures {
    /// `interval`: whether to compute that of the Sharpe ratio, which takes longer than everything
    /// else.
    fn from_backtest(
        backtest: &BacktestRecord,
        trades: u64,
        cost: f64,
        interval: bool,
    ) -> PerformanceFigures {
        let metrics = Metrics::from_record(backtest);
        let returns = backtest.daily_returns();
        let sharpe = match interval {
            true => {
                let rng = &mut stream(SEED, Purpose::Inference, 0);
                SharpeEstimate::from_returns(&returns, backtest.days_per_year(), rng)
            }
            false => SharpeEstimate { value: metrics.sharpe, ..SharpeEstimate::default() },
        };
        let (first, last) = (backtest.equity.first(), backtest.equity.last());
        PerformanceFigures {
            initial_equity: first.copied().unwrap_or_default(),
            final_equity: last.copied().unwrap_or_default(),
            total_return: metrics.portfolio_return,
            sharpe,
            max_drawdown: metrics.max_drawdown,
            volatility: metrics.volatility,
            trades,
            cost,
            days: returns.len(),
        }
    }
}

/// The figures of the account described by `records`, including the initial one, and its highest
/// equity.
pub(crate) fn figures(
    config: &AgentsConfig,
    bars: &AgentBars,
    records: &[JournalRecord],
) -> Result<(PerformanceFigures, f64)> {
    let (backtest, trades, cost) = backtest(config, bars, records)?;
    let most = backtest.equity.iter().copied().fold(0.0, f64::max);
    Ok((PerformanceFigures::from_backtest(&backtest, trades, cost, true), most))
}

/// The account described by `records`, including the initial one, with an entry per step, and
/// buy-and-hold over the same steps. An entry's open is the price before slippage at which a stock
/// was traded in that step, where it was.
pub(crate) fn accounts(
    config: &AgentsConfig,
    bars: &AgentBars,
    records: &[JournalRecord],
) -> Result<[BacktestRecord; 2]> {
    let (account, _, _) = backtest(config, bars, records)?;
    let stamp = |record: Option<&JournalRecord>| {
        let date = record.context("the position file is empty")?.date.parse::<StepTime>();
        date.map_err(|e| anyhow!("{e}"))
    };
    let (first, last) = (stamp(records.first())?, stamp(records.last())?);
    let held = held(config, bars, &bars.recorded_steps(config.sessions, &first, &last))?;
    let mut at_steps = BacktestRecord::new(held.stocks.clone());
    let stocks = held.stocks.len();
    let mut row = 0;
    for &end_s in &account.end_s {
        row += held.end_s[row..].partition_point(|&at| at < end_s);
        row = row.min(held.end_s.len() - 1);
        let cells = row * stocks..(row + 1) * stocks;
        at_steps.end_s.push(end_s);
        at_steps.equity.push(held.equity[row]);
        at_steps.cash.push(held.cash[row]);
        at_steps.reward.push(held.reward[row]);
        at_steps.turnover.push(held.turnover[row]);
        at_steps.trades.push(held.trades[row]);
        at_steps.drawdown.push(held.drawdown[row]);
        at_steps.position.extend(&held.position[cells.clone()]);
        at_steps.price.extend(&held.price[cells.clone()]);
        at_steps.open.extend(&held.open[cells]);
    }
    Ok([account, at_steps])
}

/// The round trips of an account, fill by fill, in the order of their exits, those still open last.
/// `account`, of [`accounts`], has only what was held at the end of each step; `entered` and `left`
/// are its steps.
pub(crate) fn round_trips(
    config: &AgentsConfig,
    bars: &AgentBars,
    records: &[JournalRecord],
    account: &BacktestRecord,
) -> Result<Vec<RoundTrip>> {
    let dates = records.iter().map(|record| record.date.parse());
    let dates = dates.collect::<Result<Vec<StepTime>, String>>().map_err(|e| anyhow!("{e}"))?;
    let (Some(first), Some(last)) = (dates.first(), dates.last()) else { return Ok(Vec::new()) };
    let steps = bars.recorded_steps(config.sessions, first, last);
    let (stocks, costs) = (bars.stocks(), costs(config));
    let price = |row: usize, stock: usize| account.price[row * stocks.len() + stock];
    let enter = |stock: usize, entered: usize, shares: f64, price: f64, paid: f64| RoundTrip {
        stock,
        entered,
        left: None,
        direction: 1,
        shares,
        entry_price: price,
        exit_price: None,
        profit: -paid,
    };
    let mut held = records[0].positions.by_stock(stocks).map_err(unknown_symbol)?;
    let (mut open, mut done) = (vec![None; stocks.len()], Vec::new());
    for (stock, &shares) in held.iter().enumerate().filter(|(_, shares)| **shares > 0) {
        let (shares, price) = (shares as f64, price(0, stock));
        open[stock] = Some(enter(stock, 0, shares, price, shares * price));
    }
    for (pair, date) in records.windows(2).zip(&dates[1..]) {
        let (before, after) = (&pair[0], &pair[1]);
        let Some(fill) = Fill::of(before, after, stocks, &costs) else { continue };
        let moment = date.last_moment();
        let row = 1 + steps.partition_point(|step| step.stamp.last_moment() < moment);
        let now = after.positions.by_stock(stocks).map_err(unknown_symbol)?[fill.stock];
        held[fill.stock] = now;
        let trip = &mut open[fill.stock];
        match (fill.side, trip.as_mut()) {
            (Side::Buy, Some(trip)) => {
                trip.profit -= fill.paid;
                trip.shares = trip.shares.max(now as f64);
            }
            (Side::Buy, None) => {
                *trip = Some(enter(fill.stock, row, now as f64, fill.price, fill.paid));
            }
            (Side::Sell, Some(trip)) => trip.profit += fill.paid,
            (Side::Sell, None) => {}
        }
        if now == 0
            && let Some(trip) = trip.take()
        {
            done.push(RoundTrip { left: Some(row), exit_price: Some(fill.price), ..trip });
        }
    }
    let last = account.end_s.len().saturating_sub(1);
    done.extend(open.into_iter().flatten().map(|trip| {
        let worth = held[trip.stock] as f64 * price(last, trip.stock);
        RoundTrip { profit: trip.profit + worth, ..trip }
    }));
    Ok(done)
}

/// A trade in one stock.
struct Fill {
    stock: usize,
    side: Side,
    amount: f64,
    /// Cash that it took or brought, costs included.
    paid: f64,
    /// Of a share, before slippage.
    price: f64,
}

impl Fill {
    /// What `after` records of a trade; None if it records none, or one in another stock.
    fn of(
        before: &JournalRecord,
        after: &JournalRecord,
        stocks: &[Symbol],
        costs: &Costs,
    ) -> Option<Fill> {
        let TradeAction { action, symbol, amount } = after.this_action.as_ref()?;
        let side = match action {
            TradeActionKind::Buy => Side::Buy,
            TradeActionKind::Sell => Side::Sell,
            TradeActionKind::NoTrade => return None,
        };
        let stock = stocks.iter().position(|stock| stock.as_str() == symbol)?;
        let paid = (before.positions.cash - after.positions.cash).abs();
        let (cost, amount) = (cost_of(side, paid, costs), *amount as f64);
        let value = match side {
            Side::Buy => paid - cost,
            Side::Sell => paid + cost,
        };
        Some(Fill { stock, side, amount, paid, price: value / amount })
    }
}

/// Buy-and-hold over `steps`: an equal share of the cash in every stock.
pub(crate) fn benchmark(
    config: &AgentsConfig,
    bars: &AgentBars,
    steps: &[TradingStep],
    interval: bool,
) -> Result<PerformanceFigures> {
    let backtest = held(config, bars, steps)?;
    let costs = costs(config);
    let mut cost = 0.0;
    for t in 1..backtest.equity.len() {
        let value = backtest.turnover[t] * backtest.equity[t - 1];
        cost += cost_of(Side::Buy, value + costs.fee(value), &costs);
    }
    let trades = backtest.trades.iter().map(|&trades| u64::from(trades)).sum();
    Ok(PerformanceFigures::from_backtest(&backtest, trades, cost, interval))
}

/// Buy-and-hold bar by bar.
fn held(config: &AgentsConfig, bars: &AgentBars, steps: &[TradingStep]) -> Result<BacktestRecord> {
    let rows = start_row(steps)..steps.last().map_or(1, |step| step.rows.end).min(bars.rows());
    let views = rows.map(|t| bars.view(t));
    buy_and_hold(bars.stocks(), views, &config.env()).context("there are no bars")
}

pub(crate) fn costs(config: &AgentsConfig) -> Costs {
    Costs { fee_bps: config.fee_bps, slippage_bps: config.slippage_bps }
}

/// The row at whose close the account starts: the last one before the first step.
fn start_row(steps: &[TradingStep]) -> usize {
    steps.first().map_or(0, |step| step.rows.start.saturating_sub(1))
}

/// The account with one entry per step, the number of trades and their cost.
fn backtest(
    config: &AgentsConfig,
    bars: &AgentBars,
    records: &[JournalRecord],
) -> Result<(BacktestRecord, u64, f64)> {
    let dates = records.iter().map(|record| record.date.parse());
    let dates = dates.collect::<Result<Vec<StepTime>, String>>().map_err(|e| anyhow!("{e}"))?;
    let (Some(first), Some(last)) = (dates.first(), dates.last()) else {
        return Err(anyhow!("the position file is empty"));
    };
    let steps = bars.recorded_steps(config.sessions, first, last);
    let stocks = bars.stocks();
    let mut backtest = BacktestRecord::new(stocks.to_vec());
    let costs = costs(config);
    let (mut trades, mut cost, mut peak) = (0, 0.0, 0.0_f64);
    let mut next = 1;
    for i in 0..=steps.len() {
        let step = i.checked_sub(1).map(|i| &steps[i]);
        let (mut traded, mut fills) = (0.0, 0);
        // Value at the open and shares, by stock.
        let mut filled = vec![(0.0, 0.0); stocks.len()];
        if let Some(step) = step {
            let until = step.stamp.last_moment();
            while next < records.len() && dates[next].last_moment() <= until {
                if let Some(fill) = Fill::of(&records[next - 1], &records[next], stocks, &costs) {
                    fills += 1;
                    traded += fill.paid;
                    cost += cost_of(fill.side, fill.paid, &costs);
                    filled[fill.stock].0 += fill.amount * fill.price;
                    filled[fill.stock].1 += fill.amount;
                }
                next += 1;
            }
        }
        trades += u64::from(fills);
        let row = step.map_or_else(|| start_row(&steps), |step| step.rows.end - 1);
        let (view, now) = (bars.view(row), &records[next - 1].positions);
        let held = now.by_stock(stocks).map_err(unknown_symbol)?;
        let before = backtest.equity.last().copied();
        let mut equity = now.cash;
        for (stock, &shares) in held.iter().enumerate() {
            backtest.hold(shares as f64, &view.bar(stock));
            equity += shares as f64 * backtest.price[backtest.price.len() - 1];
            let (value, amount) = filled[stock];
            if let Some(open) = backtest.open.last_mut().filter(|_| amount > 0.0) {
                *open = value / amount;
            }
        }
        peak = peak.max(equity);
        let relative =
            |value: f64| before.filter(|equity| *equity > 0.0).map_or(0.0, |b| value / b);
        backtest.end_s.push(view.end_s());
        backtest.equity.push(equity);
        backtest.cash.push(now.cash);
        backtest.reward.push(before.map_or(0.0, |before| relative(equity - before)));
        backtest.turnover.push(relative(traded));
        backtest.trades.push(fills);
        backtest.drawdown.push(equity / peak - 1.0);
    }
    Ok((backtest, trades, cost))
}

/// The error for a stock that is held but is not in the configuration.
pub(crate) fn unknown_symbol(symbol: String) -> anyhow::Error {
    anyhow!("the position file holds {symbol}, which is not among the stocks; add it to `stocks`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::bars::tests::bars;
    use crate::agents::journal::Positions;
    use crate::agents::tests::config;

    /// Three bars a day. Bought on the second day at 100 (a share costs 100 * 1.0001 * 1.0001),
    /// sold on the third at 120.
    #[test]
    fn an_account_by_hand() {
        let closes = [100.0, 100.0, 100.0, 100.0, 105.0, 110.0, 120.0, 120.0, 90.0];
        let bars = bars(&closes.map(|close| [close, 50.0]));
        let config = config();
        let record = |date: &str, id, this_action, shares, cash| JournalRecord {
            date: date.into(),
            id,
            this_action,
            positions: Positions::new(bars.stocks(), |stock| [shares, 0][stock], cash),
        };
        let action = |action| Some(TradeAction { action, symbol: "AAA".into(), amount: 10 });
        let (buy, sell) = (100.0 * 1.0001 * 1.0001, 120.0 * 0.9999 * 0.9999);
        let left = 10_000.0 - 10.0 * buy;
        let records = [
            record("2020-01-02", 0, None, 0, 10_000.0),
            record("2020-01-03", 1, action(TradeActionKind::Buy), 10, left),
            record("2020-01-06", 2, action(TradeActionKind::Sell), 0, left + 10.0 * sell),
        ];
        let (found, most) = figures(&config, &bars, &records).unwrap();
        assert!((most - (left + 10.0 * sell)).abs() < 1e-9, "{most}");
        assert_eq!((found.trades, found.days), (2, 2));
        let gain = 10.0 * (sell - buy);
        assert!((found.total_return - gain / 10_000.0).abs() < 1e-12);
        let cost = 10.0 * (buy - 100.0) + 10.0 * (120.0 - sell);
        assert!((found.cost - cost).abs() < 1e-9, "{} for {cost}", found.cost);
        // Equity of 10,000, then 10 shares at 110, then cash.
        let days = [left + 1_100.0, left + 10.0 * sell];
        let returns = [days[0] / 10_000.0 - 1.0, days[1] / days[0] - 1.0];
        let mean = (returns[0] + returns[1]) / 2.0;
        let std = (returns[0] - returns[1]).abs() / 2f64.sqrt();
        let sharpe = mean / std * 252f64.sqrt();
        assert!((found.sharpe.value.unwrap() / sharpe - 1.0).abs() < 1e-9);
        // Half of the cash in each stock: bought at 100 and 50, the first at 90 at the end.
        let (first, last) = ("2020-01-02".parse().unwrap(), "2020-01-06".parse().unwrap());
        let steps = bars.steps(config.sessions, &first, &last);
        let held = benchmark(&config, &bars, &steps, false).unwrap();
        let each = 1.0001 * 1.0001;
        let worth = 5_000.0 / each * (0.9 + 1.0);
        assert!((held.final_equity - worth).abs() < 1e-6, "{}", held.final_equity);
        let cost = 10_000.0 - 10_000.0 / each;
        assert!((held.cost - cost).abs() < 1e-6 && held.trades == 2, "{}", held.cost);

        let [account, beside] = accounts(&config, &bars, &records).unwrap();
        let opens: Vec<f64> = account.open.iter().step_by(2).copied().collect();
        assert!((opens[1] - 100.0).abs() < 1e-9 && (opens[2] - 120.0).abs() < 1e-9, "{opens:?}");
        assert_eq!(account.end_s, beside.end_s);
        assert!((beside.equity[2] - worth).abs() < 1e-6, "{:?}", beside.equity);
        let trips = round_trips(&config, &bars, &records, &account).unwrap();
        assert_eq!(trips.len(), 1);
        assert!((trips[0].profit - gain).abs() < 1e-9, "{:?} for {gain}", trips[0]);
        assert_eq!((trips[0].entered, trips[0].left, trips[0].shares), (1, Some(2), 10.0));

        // Sold and bought again on the day on which it was bought; held at the end.
        let again = left + 10.0 * 105.0 * 0.9999 * 0.9999;
        let end = again - 10.0 * 110.0 * 1.0001 * 1.0001;
        let records = [
            records[0].clone(),
            records[1].clone(),
            record("2020-01-03", 2, action(TradeActionKind::Sell), 0, again),
            record("2020-01-03", 3, action(TradeActionKind::Buy), 10, end),
        ];
        let [account, _] = accounts(&config, &bars, &records).unwrap();
        let trips = round_trips(&config, &bars, &records, &account).unwrap();
        let ends: Vec<_> = trips.iter().map(|trip| (trip.entered, trip.left)).collect();
        assert_eq!(ends, [(1, Some(1)), (1, None)]);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        near(trips[0].profit, again - 10_000.0);
        near(trips[0].exit_price.unwrap(), 105.0);
        near(trips[1].profit, end + 1_100.0 - again);
    }

    #[test]
    fn a_run_that_has_not_begun_has_no_ratios() {
        let bars = bars(&[[100.0, 50.0]; 3]);
        let positions = Positions::new(bars.stocks(), |_| 0, 10_000.0);
        let start =
            JournalRecord { date: "2020-01-02".into(), id: 0, this_action: None, positions };
        let (found, most) = figures(&config(), &bars, &[start]).unwrap();
        assert_eq!(most, 10_000.0);
        assert_eq!((found.total_return, found.sharpe.value, found.days), (0.0, None, 0));
    }
}
