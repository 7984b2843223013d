//! A made-up run for the tests of this layer: a random walk, traded at random.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::RunConfig;
use crate::eval::comparison::{Contender, ContenderRole};
use crate::eval::contributions::{Contributions, ExpertContribution, StockContribution};
use crate::eval::inference::{Inference, SharpeEstimate, Trial, Trials};
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::eval::parts::{DataPart, PartResult};
use crate::features::relations::QuarterRelation;
use crate::features::relations::opportunity::PairTests;
use crate::market::Symbol;
use crate::portfolio::allocation::{Allocation, Allocations};
use crate::portfolio::meta_policy::Regret;
use crate::portfolio::risk::Reason;

use super::html::HtmlReport;
use super::metrics_log::MetricsLine;
use super::plot::EquityCurves;
use super::relationships::Relationships;
use super::summary::{PeriodTests, RunSummary};

pub(super) struct ExampleRun {
    pub(super) config: RunConfig,
    pub(super) run: RunSummary,
    pub(super) eval: Metrics,
    pub(super) benchmark: Metrics,
    pub(super) inference: Inference,
    pub(super) record: BacktestRecord,
    pub(super) benchmark_equity: Vec<f64>,
    /// Buy and hold, and the DQN alone.
    pub(super) held: BacktestRecord,
    pub(super) dqn: BacktestRecord,
    pub(super) lines: Vec<MetricsLine>,
    pub(super) relationships: Relationships,
    pub(super) everyone: Vec<Contender>,
    pub(super) parts: Vec<PartResult>,
    pub(super) allocations: Allocations,
    pub(super) contributions: Contributions,
}

impl ExampleRun {
    pub(super) fn curves(&self) -> EquityCurves<'_> {
        EquityCurves { portfolio: &self.record, benchmark: &self.held, dqn: Some(&self.dqn) }
    }

    pub(super) fn report<'a>(&'a self, notices: &'a [String]) -> HtmlReport<'a> {
        HtmlReport {
            config: &self.config,
            run: Some(&self.run),
            eval: &self.eval,
            benchmark: &self.benchmark,
            inference: &self.inference,
            record: &self.record,
            held: &self.held,
            dqn: Some(&self.dqn),
            lines: &self.lines,
            relationships: Some(&self.relationships),
            everyone: &self.everyone,
            parts: &self.parts,
            allocations: &self.allocations,
            contributions: &self.contributions,
            next_orders: &[],
            importance: &[],
            belief: None,
            previous: None,
            notices,
        }
    }
}

/// Text of the cells of all rows that have a name.
pub(super) fn body_cells(page: &str) -> Vec<Vec<String>> {
    let rows = page.split("<tr><th scope=\"row\">").skip(1);
    let cells = |row: &str| -> Vec<String> {
        let row = format!(">{}", row.split("</tr>").next().unwrap_or_default());
        let mut ends: Vec<&str> = row.split("</t").collect();
        ends.pop();
        ends.iter().filter_map(|end| Some(end.rsplit_once('>')?.1.to_string())).collect()
    };
    rows.map(cells).collect()
}

const SYMBOLS: [&str; 5] = ["AAPL", "MSFT", "GOOGL", "AMZN", "META"];
const CASH: f64 = 1_000_000.0;

/// `stocks` of up to five real symbols (more get invented ones) over `bars` hourly bars of 2020,
/// seven a day.
pub(super) fn run(stocks: usize, bars: usize) -> ExampleRun {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let symbols: Vec<Symbol> = (0..stocks)
        .map(|i| SYMBOLS.get(i).map_or(format!("X{i}"), |s| s.to_string()).parse().unwrap())
        .collect();
    let config = RunConfig { stocks: symbols.clone(), ..RunConfig::default() };
    let (record, benchmark_equity) = walk(&mut rng, symbols.clone(), bars);
    let held = BacktestRecord { equity: benchmark_equity.clone(), ..record.clone() };
    let half = |equity: &f64| 0.5 * (CASH + equity);
    let dqn = BacktestRecord { equity: record.equity.iter().map(half).collect(), ..record.clone() };
    let trials = Trials { own: vec![Trial::new(Some(10), &record)], earlier: Vec::new() };
    ExampleRun {
        run: RunSummary {
            seed: 1,
            stocks: symbols.clone(),
            env_steps: 1_965_600,
            env_steps_by_stock: BTreeMap::new(),
            gradient_steps: 7_480,
            wall_s: 151.25,
            env_steps_per_s: 12_995.7,
            orders_changed: [(Reason::GrossLimit, 3)].into(),
            pair_tests: PeriodTests {
                train: PairTests { pairs: 3, tests: 21, passed: 2 },
                eval: PairTests { pairs: 3, tests: 9, passed: 0 },
            },
            notices: Vec::new(),
        },
        eval: metrics(&record.equity, 6.4, 4_312),
        benchmark: metrics(&benchmark_equity, 0.004, stocks as u64),
        inference: Inference::new(&record, &held, &trials, &mut rng),
        record,
        benchmark_equity,
        held,
        dqn,
        lines: learning(&mut rng, 240),
        relationships: relationships(&mut rng, symbols.clone()),
        everyone: everyone(),
        parts: parts(),
        allocations: allocations(bars, stocks),
        contributions: contributions(&symbols),
        config,
    }
}

fn walk(rng: &mut ChaCha8Rng, stocks: Vec<Symbol>, bars: usize) -> (BacktestRecord, Vec<f64>) {
    let n = stocks.len();
    let mut record = BacktestRecord::new(stocks);
    let mut benchmark = Vec::new();
    let mut price = vec![100.0; n];
    let mut position = vec![0.0; n];
    let (mut cash, mut peak) = (CASH, CASH);
    for t in 0..bars {
        let last = record.equity.last().copied().unwrap_or(CASH);
        let mut traded = 0.0;
        if t > 0 {
            let market = rng.random_range(-0.004..0.0041);
            for price in &mut price {
                *price *= 1.0 + market + rng.random_range(-0.003..0.003);
            }
            let i = rng.random_range(0..n);
            let wanted =
                (rng.random_range(-1_i32..=2) as f64) * (last / n as f64 / price[i]).floor();
            traded = (wanted - position[i]).abs() * price[i];
            cash -= (wanted - position[i]) * price[i] + 1e-4 * traded;
            position[i] = wanted;
        }
        let equity = cash + position.iter().zip(&price).map(|(q, p)| q * p).sum::<f64>();
        peak = peak.max(equity);
        record.end_s.push(bar_end(t));
        record.equity.push(equity);
        record.cash.push(cash);
        record.reward.push(equity / last - 1.0);
        record.turnover.push(traded / last);
        record.trades.push(u32::from(traded > 0.0));
        record.drawdown.push(equity / peak - 1.0);
        record.position.extend(&position);
        record.price.extend(&price);
        record.open.extend(&price);
        benchmark.push(CASH * price.iter().sum::<f64>() / (100.0 * n as f64));
    }
    (record, benchmark)
}

/// 2020-01-02 15:30 UTC, then seven bars on each weekday.
fn bar_end(t: usize) -> i64 {
    let (day, bar) = ((t / 7) as i64, (t % 7) as i64);
    1_577_979_000 + 86_400 * (day + 2 * ((day + 3) / 5)) + 3_600 * bar
}

fn metrics(equity: &[f64], turnover: f64, trades: u64) -> Metrics {
    let mut peak = equity[0];
    let mut max_drawdown = 0.0_f64;
    for value in equity {
        peak = peak.max(*value);
        max_drawdown = max_drawdown.min(value / peak - 1.0);
    }
    let portfolio_return = equity[equity.len() - 1] / equity[0] - 1.0;
    Metrics {
        total_reward: (1.0 + portfolio_return).ln(),
        portfolio_return,
        sharpe: Some(portfolio_return / 0.2),
        sortino: Some(portfolio_return / 0.14),
        calmar: (max_drawdown < 0.0).then(|| portfolio_return / -max_drawdown),
        max_drawdown,
        volatility: Some(0.2),
        turnover,
        trades,
        exposure: 0.62,
    }
}

/// Good in sample, flat on the validation days.
fn parts() -> Vec<PartResult> {
    let day = |text: &str| text.parse().expect("a date");
    let benchmark = metrics(&[100.0, 105.0], 0.01, 2);
    let good = Metrics { max_drawdown: -0.123, ..metrics(&[100.0, 223.4], 4.312, 900) };
    let still = Metrics { sharpe: None, max_drawdown: 0.0, ..metrics(&[100.0, 87.7], 0.0, 0) };
    let part = |part, start, end, dqn| PartResult {
        part,
        start: day(start),
        end: day(end),
        dqn,
        benchmark: benchmark.clone(),
    };
    vec![
        part(DataPart::Training, "2018-01-02", "2019-09-13", good.clone()),
        part(DataPart::Validation, "2019-09-16", "2019-12-31", still.clone()),
        part(DataPart::Evaluation, "2020-01-02", "2020-12-31", still),
    ]
}

/// One of each sort, as wide as they get; the last never traded.
fn everyone() -> Vec<Contender> {
    let (value, low, high) = (Some(1.256), Some(-0.7), Some(3.1));
    let sharpe = SharpeEstimate { value, low, high, block_days: Some(2.0) };
    let wide = Metrics {
        max_drawdown: -0.123,
        portfolio_return: 0.123,
        ..metrics(&[100.0, 110.0], 21.5, 12_345)
    };
    let contender = |name: &str, role| Contender {
        name: name.into(),
        role,
        metrics: Some(wide.clone()),
        costs: Some(0.123),
        sharpe: Some(sharpe.clone()),
        error: None,
    };
    let (metrics, costs, sharpe) = (None, None, None);
    let error = Some("a pair needs two stocks".into());
    let still = Metrics { sharpe: None, portfolio_return: 0.0, trades: 0, ..wide.clone() };
    vec![
        contender("RSI", ContenderRole::Strategy),
        Contender { metrics, costs, sharpe, error, ..contender("Pairs", ContenderRole::Strategy) },
        contender("inverse variance", ContenderRole::Ensemble),
        Contender {
            metrics: Some(still),
            sharpe: Some(SharpeEstimate::default()),
            ..contender("DQN", ContenderRole::Dqn)
        },
        contender("buy-and-hold", ContenderRole::BuyAndHold),
    ]
}

/// Five experts, whose weights move slowly; a decision for every stock at every bar.
fn allocations(bars: usize, stocks: usize) -> Allocations {
    let names = ["RSI", "MACD", "Buy and Hold", "Flat", "DQN"];
    let row = |t: usize, stock: usize| {
        let hold = 0.5 - 0.2 * (t as f64 / bars as f64);
        let (weights, profits) = (vec![0.1, 0.05, hold, 0.05, 0.8 - hold], vec![0.0; names.len()]);
        let approved = hold / stocks as f64;
        Allocation {
            end_s: bar_end(t),
            stock,
            weights,
            profits,
            capital: 1.0 / stocks as f64,
            proposed: approved,
            approved,
            changed: Vec::new(),
            reason: None,
        }
    };
    let rows = (0..bars).flat_map(|t| (0..stocks).map(move |stock| (t, stock)));
    let rows = rows.map(|(t, stock)| row(t, stock)).collect();
    Allocations::of_rows(names.map(String::from).into(), rows)
}

fn contributions(stocks: &[Symbol]) -> Contributions {
    let expert = |name: &str, mean_weight, profit| ExpertContribution {
        name: name.into(),
        mean_weight,
        profit,
    };
    let part = 1.0 / stocks.len().max(1) as f64;
    let share = |stock: &Symbol| StockContribution {
        stock: stock.clone(),
        profit: part * 78_000.0,
        by_expert: vec![-1_000.0, part * 80_000.0, 0.0],
        other: part * 1_000.0,
    };
    Contributions {
        experts: vec![
            expert("RSI", 0.1, -3_000.0),
            expert("Buy and Hold", 0.5, 80_000.0),
            expert("DQN", 0.4, 0.0),
        ],
        stocks: stocks.iter().map(share).collect(),
        regret: Some(Regret {
            best_expert: "Buy and Hold".into(),
            regret: 0.031,
            bound: 0.61,
            periods: 251,
        }),
    }
}

fn learning(rng: &mut ChaCha8Rng, intervals: u64) -> Vec<MetricsLine> {
    let line = |i: u64, noise: f64| {
        let progress = i as f64 / intervals as f64;
        MetricsLine {
            episode: 1 + (10 * i / intervals) as u32,
            env_steps: 8_190 * (i + 1),
            gradient_steps: 31 * i,
            env_steps_per_s: 13_000.0,
            loss: (i > 3).then(|| 2e-5 * ((-3.0 * progress).exp() + 0.3 + 0.2 * noise)),
            mean_q: (i > 3).then_some(0.004 * progress.sqrt() + 2e-4 * noise),
            epsilon: 0.1,
            reward: 1e-5 * (2.0 * progress - 1.0 + 1.5 * noise),
            asynchronous: None,
        }
    };
    (0..intervals).map(|i| line(i, rng.random_range(-1.0..1.0))).collect()
}

fn relationships(rng: &mut ChaCha8Rng, stocks: Vec<Symbol>) -> Relationships {
    let n = stocks.len();
    let mut attention = Vec::new();
    let mut correlation = vec![vec![Some(1.0); n]; n];
    for i in 0..n {
        let weight: Vec<f64> = (0..n).map(|_| rng.random_range(0.1..1.0)).collect();
        let sum: f64 = weight.iter().sum();
        attention.push(weight.iter().map(|w| Some(w / sum)).collect());
        for j in 0..i {
            let value = Some(rng.random_range(-0.2..0.9));
            correlation[i][j] = value;
            correlation[j][i] = value;
        }
    }
    let influence = attention.clone();
    let lead_lag = correlation.clone();
    let mut quarters = Vec::new();
    for quarter in ["2019Q3", "2019Q4", "2020Q1"] {
        for (stock, peer) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).take(60) {
            let influence = (stock != peer).then(|| rng.random_range(1e-4..9e-4));
            let correlation = correlation[stock][peer];
            let (quarter, attention, lead_lag) = (quarter.to_string(), None, None);
            if stock != peer {
                quarters.push(QuarterRelation {
                    quarter,
                    stock,
                    peer,
                    influence,
                    attention,
                    correlation,
                    lead_lag,
                });
            }
        }
    }
    Relationships { stocks, influence, attention, correlation, lead_lag, quarters }
}
