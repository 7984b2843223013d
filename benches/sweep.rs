//! A sweep of 1,000 parameter sets of RSI over 200,000 one-minute bars with costs, on 2 cores;
//! benches/sweep.sh compares it with vectorbt.
//!
//! ```text
//! sweep prepare WORK     bars and sets, for both programs
//! sweep run WORK OUT     the sweep, its time, and its results
//! sweep profile          the cost of each part of the sweep, and of full back-tests
//! ```

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use dqn_trader::config::EnvConfig;
use dqn_trader::env::costs::Costs;
use dqn_trader::eval::inference::Trial;
use dqn_trader::eval::metrics::Metrics;
use dqn_trader::eval::tape::{MarketTape, TapeScratch};
use dqn_trader::market::calendar::market_date;
use dqn_trader::market::{BarSeries, MarketData, Period, Symbol};
use dqn_trader::runner::backtest_signals;
use dqn_trader::runner::optimize::{
    Optimization, ParameterRange, PlanShare, Search, SearchPlan, SetResult,
};
use dqn_trader::strategy::{Cancel, Registry, Signals, StrategyKind, Targets};
use dqn_trader::synthetic::SyntheticMarket;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const BARS: usize = 200_000;
const THREADS: usize = 2;
/// Number of sets of which every trade is written.
const DETAILED: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prepare", work] => prepare(Path::new(work)),
        ["run", work, out] => run(Path::new(work), Path::new(out)),
        ["profile"] => profile(),
        _ => println!("see benches/sweep.sh"),
    }
}

/// Every bar opens at the previous close: vectorbt lends no cash, which an order would need if the
/// price rose before its fill.
fn bars() -> BarSeries {
    let symbol: Symbol = "AAPL".parse().expect("a symbol");
    let market = SyntheticMarket::parse("random_walk").expect("a market");
    let (start, end) = ("2018-01-02".parse(), "2020-06-30".parse());
    let period = Period { start: start.expect("a date"), end: end.expect("a date") };
    let all = market.bars(std::slice::from_ref(&symbol), &symbol, &period, 1);
    let mut bars = BarSeries::new(symbol);
    all.bars().take(BARS).for_each(|bar| bars.push(bar));
    assert_eq!(bars.len(), BARS, "the period is long enough");
    bars
}

/// Long or flat: vectorbt lends no cash to cover the cost of a reversal from short to long.
fn sweep() -> (Optimization, StrategyKind) {
    let span =
        |low: f64, high: f64, step: f64| ParameterRange::Span { low, high, step: Some(step) };
    let ranges = vec![
        ("period".into(), span(5.0, 50.0, 5.0)),
        ("oversold".into(), span(20.0, 38.0, 2.0)),
        ("overbought".into(), span(62.0, 80.0, 2.0)),
    ];
    let env = EnvConfig { long_only: true, ..EnvConfig::default() };
    let sweep = Optimization { ranges, search: Search::Grid, trials: 1, folds: 1, env };
    (sweep, Registry::standard().find("RSI").expect("a known strategy").clone())
}

fn plan(sweep: &Optimization, kind: &StrategyKind, data: &MarketData) -> SearchPlan {
    sweep.plan(kind, data, &mut ChaCha8Rng::seed_from_u64(1)).expect("a plan")
}

/// Sets whose trades are written, spread over the plan.
fn detailed(plan: &SearchPlan) -> impl Iterator<Item = usize> {
    (0..plan.sets.len()).step_by(plan.sets.len() / DETAILED)
}

fn prepare(work: &Path) {
    let bars = bars();
    let end_s: Vec<f64> = bars.end_s.iter().map(|&end_s| end_s as f64).collect();
    let numbers = [&end_s, &bars.open, &bars.close].into_iter().flatten();
    let bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
    let days: Vec<_> = bars.end_s.iter().map(|&end_s| market_date(end_s)).collect();
    let is_last = |t: &usize| days.get(*t) != Some(&days[*t - 1]);
    let data = MarketData::new(vec![bars]).expect("sound bars");
    let (sweep, kind) = sweep();
    let plan = plan(&sweep, &kind, &data);
    let names = ["period", "oversold", "overbought"];
    let values = plan.sets.iter().map(|set| names.map(|name| set.real(name)));
    let json = json!({
        "sets": values.collect::<Vec<_>>(),
        "detailed": detailed(&plan).collect::<Vec<_>>(),
        "day_ends": (1..=BARS).filter(is_last).collect::<Vec<_>>(),
        "cash": sweep.env.initial_cash,
        "fee": sweep.env.fee_bps * 1e-4,
        "slippage": sweep.env.slippage_bps * 1e-4,
    });
    write(&work.join("bars.f64"), &bytes);
    write(&work.join("plan.json"), json.to_string().as_bytes());
}

fn run(work: &Path, out: &Path) {
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build_global().expect("one pool");
    let plan_file = work.join("plan.json");
    assert!(plan_file.exists(), "{}: run prepare first", plan_file.display());
    let data = MarketData::new(vec![bars()]).expect("sound bars");
    let (sweep, kind) = sweep();
    let plan = plan(&sweep, &kind, &data);
    let started = Instant::now();
    let tried = sweep.run_share(&kind, &data, &plan, PlanShare::ALL, &|_, _| ()).expect("a sweep");
    let seconds = started.elapsed().as_secs_f64();
    let name = format!("dqn-trader {}", env!("CARGO_PKG_VERSION"));
    println!("{name}: {seconds:.2} s");
    let one = |SetResult { set, outcome }: &SetResult| {
        json!({
            "set": set,
            "total_return": outcome.total_return,
            "trades": outcome.trades,
            "sharpe": outcome.trial.sharpe,
        })
    };
    let mut by_set = tried.clone();
    by_set.sort_by_key(|tried| tried.set);
    let orders = |set: usize| (set.to_string(), orders(&sweep, &kind, &plan, set, &data));
    let json = json!({
        "name": name,
        "seconds": seconds,
        "sets": by_set.iter().map(one).collect::<Vec<_>>(),
        "orders": detailed(&plan).map(orders).collect::<serde_json::Map<_, _>>(),
    });
    write(out, json.to_string().as_bytes());
}

/// Nanoseconds per bar on one thread, for a set in the middle of the plan.
fn profile() {
    let data = MarketData::new(vec![bars()]).expect("sound bars");
    let (sweep, kind) = sweep();
    let plan = plan(&sweep, &kind, &data);
    let (set, cancel) = (&plan.sets[plan.sets.len() / 2], Cancel::new());
    let strategy = || kind.build(set, 1).expect("a strategy");
    let readings = || kind.readings(set, &data, &cancel).expect("stages").expect("readings");
    let decided = || Signals::from_strategy(strategy().as_mut(), &data, &cancel).expect("signals");
    let signals = decided();
    let follow = || backtest_signals(&signals, &data, 0..BARS, &sweep.env, &cancel);
    let record = follow().expect("a course");
    println!("the plain way");
    part("decisions, bar by bar", &mut || drop(decided()));
    part("account, bar by bar", &mut || drop(follow()));
    part("metrics", &mut || {
        black_box(Metrics::from_record(&record));
    });
    part("trial (Sharpe ratio, timing)", &mut || {
        black_box(Trial::new(None, &record));
    });
    println!("the sweep, once");
    part("market", &mut || drop(MarketTape::new(&data, &sweep.env)));
    part("readings, per window", &mut || drop(readings()));
    println!("the sweep, per set");
    let (tape, readings) = (MarketTape::new(&data, &sweep.env), readings());
    let (targets, mut scratch) = (readings.targets(set), TapeScratch::default());
    part("targets from readings", &mut || drop(readings.targets(set)));
    part("targets without them", &mut || {
        drop(Targets::from_strategy(strategy().as_mut(), &data, &cancel));
    });
    part("account and figures", &mut || drop(tape.trade(&targets, &[BARS / 2], &mut scratch)));
}

/// Prints the fastest of several times.
fn part(name: &str, work: &mut dyn FnMut()) {
    let time = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    };
    let fastest = (0..7).map(|_| time(work)).fold(f64::INFINITY, f64::min);
    println!("  {name:<30} {:>6.1} ns per bar", fastest * 1e9 / BARS as f64);
}

/// Rows, shares (negative if sold) and prices of the orders of one set, from its back-test.
fn orders(
    sweep: &Optimization,
    kind: &StrategyKind,
    plan: &SearchPlan,
    set: usize,
    data: &MarketData,
) -> Value {
    let cancel = Cancel::new();
    let mut strategy = kind.build(&plan.sets[set], 1).expect("a strategy");
    let signals = Signals::from_strategy(strategy.as_mut(), data, &cancel).expect("signals");
    let rows = 0..data.rows();
    let record = backtest_signals(&signals, data, rows, &sweep.env, &cancel).expect("a course");
    let costs = Costs::new(&sweep.env);
    let (mut rows, mut shares, mut prices) = (Vec::new(), Vec::new(), Vec::new());
    for t in (1..record.position.len()).filter(|&t| record.trades[t] > 0) {
        let traded = record.position[t] - record.position[t - 1];
        rows.push(t);
        shares.push(traded);
        prices.push(costs.fill_price(record.open[t], traded));
    }
    json!([rows, shares, prices])
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
