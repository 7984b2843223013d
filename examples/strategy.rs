//! A strategy of one's own over a year of made-up bars: `cargo run --release --example strategy`

use std::sync::Arc;

use dqn_trader::market::{Bar, MarketData, Period, Symbol};
use dqn_trader::runner::{ParametersByStrategy, RunnerConfig, StrategyRequest, StrategyRunner};
use dqn_trader::strategy::{Decision, PerStock, Rule};
use dqn_trader::synthetic::SyntheticMarket;

/// Long while the close is above its exponential mean, short below it.
#[derive(Clone)]
struct AboveMean {
    mean: Option<f64>,
}

impl Rule for AboveMean {
    fn update(&mut self, bar: &Bar) -> Decision {
        let before = self.mean.unwrap_or(bar.close);
        self.mean = Some(before + 0.05 * (bar.close - before));
        Decision::new((bar.close - before).signum(), 0.5)
    }
}

fn main() -> anyhow::Result<()> {
    let stocks: Vec<Symbol> = vec!["AAA".parse()?, "BBB".parse()?];
    let period = Period { start: "2019-01-02".parse()?, end: "2019-12-31".parse()? };
    let market = SyntheticMarket::parse("momentum")?;
    let bars = stocks.iter().map(|symbol| market.bars(&stocks, symbol, &period, 30)).collect();
    let data = Arc::new(MarketData::new(bars)?);
    let mine = StrategyRequest::from(("mine", PerStock::new(AboveMean { mean: None }, 2)));
    let (runner, none) =
        (StrategyRunner::new(RunnerConfig::default())?, ParametersByStrategy::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    for result in runtime.block_on(runner.run_each(vec![mine, "RSI".into()], &data, &none)) {
        let found = result.performance_metrics.ok_or_else(|| anyhow::anyhow!("it failed"))?;
        println!("{}: return {:+.1} %", result.strategy_name, 100.0 * found.total_return);
    }
    Ok(())
}
