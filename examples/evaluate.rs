//! Lets the model that `examples/train.rs` saved trade another year:
//! `cargo run --release --example evaluate`

use std::path::Path;

use dqn_trader::source;
use dqn_trader::train::run::RunData;
use dqn_trader::train::trained::SavedRun;

fn main() -> anyhow::Result<()> {
    let mut run = SavedRun::read(Path::new("results/example"))?;
    (run.config.eval_start, run.config.eval_end) = ("2020-01-02".parse()?, "2020-12-31".parse()?);
    let (source, cache) = (source::open("synthetic:momentum", "")?, source::cache_folder(None));
    let data = RunData { source: &source, cache: &cache };
    let mut long = 0;
    let (_, evaluated) = run.evaluate(data, &mut (), &mut |decided| {
        long += decided.desk.orders(0).iter().filter(|order| order.direction > 0).count();
    })?;
    let metrics = &evaluated.metrics;
    println!("{long} orders to be long, {} trades", metrics.trades);
    println!("return       {:+.1} %", 100.0 * metrics.portfolio_return);
    println!("drawdown     {:.1} %", 100.0 * metrics.max_drawdown);
    println!("buy-and-hold {:+.1} %", 100.0 * evaluated.benchmark_metrics.portfolio_return);
    Ok(())
}
