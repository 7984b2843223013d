//! The bars that strategies are run over.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use rayon::prelude::*;

use super::agreed;
use crate::cli::{GlobalArgs, MarketArgs};
use crate::comm::Comm;
use crate::commands::{CommandContext, report_loads};
use crate::config::{EnvConfig, RunConfig};
use crate::market::judge::presence;
use crate::market::options::{LoadOptions, LoadReport, doubts};
use crate::market::{BarSeries, MarketData, Symbol};
use crate::report::Progress;
use crate::report::ledger::Ledger;
use crate::source::{DataSource, load_bars};
use crate::train::loading::common_bar_minutes;

/// What is the same for all strategies of a command, on every rank.
pub(crate) struct StrategyMarket {
    pub(crate) data: Arc<MarketData>,
    pub(crate) env: EnvConfig,
    /// What a reader of the results must know before believing a figure.
    pub(crate) notices: Vec<String>,
    /// How many of them do not concern the bars, and were told at the start.
    pub(crate) told: usize,
    /// Source, period and length of bars, for the results.
    pub(crate) described: serde_json::Value,
    pub(crate) progress: Arc<Progress>,
    /// Where what is judged is counted.
    pub(crate) ledger: Ledger,
}

/// Each rank reads its share of the stocks, with further `columns` of the day files; then all have
/// all bars.
pub(super) fn read(
    comm: &dyn Comm,
    args: &MarketArgs,
    columns: Vec<String>,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<StrategyMarket> {
    let config = agreed(comm, args.resolve().map_err(Into::into))?;
    let setting = CommandContext::new(comm, config, global, progress)?;
    let CommandContext { config, progress, notices, source, .. } = &setting;
    let mine: Vec<usize> = (comm.rank()..config.stocks.len()).step_by(comm.size()).collect();
    let options =
        LoadOptions { columns, ..setting.config.data.load_options(Some(setting.cache.clone())) };
    let one = |&stock: &usize| {
        load(config, source, &options, &config.stocks[stock], progress).map(|read| (stock, read))
    };
    let loaded: Result<Vec<Read>> = mine.par_iter().map(one).collect();
    let loaded = shared(comm, agreed(comm, loaded)?)?;
    let (series, mut reports): (Vec<_>, Vec<_>) = loaded.into_iter().map(|(_, read)| read).unzip();
    for (one, report) in series.iter().zip(&mut reports) {
        report.doubt(&presence(one, &config.train_period(), config.data.calendar));
    }
    report_loads(reports.iter(), progress);
    let bar_minutes = agreed(comm, common_bar_minutes(&reports))?;
    let described = serde_json::json!({
        "source": config.data.source,
        "period": config.train_period(),
        "stocks": config.stocks,
        "bar_minutes": bar_minutes,
        "fee_bps": config.env.fee_bps,
        "slippage_bps": config.env.slippage_bps,
        "long_only": config.env.long_only,
    });
    let data = Arc::new(agreed(comm, MarketData::new(series).map_err(Into::into))?);
    let told = notices.len();
    let (env, notices) = (config.env.clone(), [notices.clone(), doubts(&reports)].concat());
    let ledger = setting.ledger.clone();
    let progress = Arc::new(setting.progress);
    Ok(StrategyMarket { data, env, notices, told, described, progress, ledger })
}

/// Number of a stock, and what was read of it.
type Read = (usize, (BarSeries, LoadReport));

fn load(
    config: &RunConfig,
    source: &DataSource,
    options: &LoadOptions,
    symbol: &Symbol,
    progress: &Progress,
) -> Result<(BarSeries, LoadReport)> {
    let period = config.train_period();
    Ok(load_bars(source, &config.stocks, symbol, &period, options, &mut |at| {
        progress.data(symbol.as_str(), at.days_done, at.days_total);
    })?)
}

/// What each rank read, on all of them, in the order of the stocks.
fn shared(comm: &dyn Comm, mine: Vec<Read>) -> Result<Vec<Read>> {
    if comm.size() == 1 {
        return Ok(mine);
    }
    let (mut parts, mut torn) = (Vec::new(), None);
    let packed: Vec<Vec<u8>> = mine.iter().map(postcard::to_stdvec).collect::<Result<_, _>>()?;
    comm.stream_to_root(
        &mut |send| packed.iter().for_each(|bytes| send(bytes)),
        &mut |rank, bytes| match postcard::from_bytes::<Read>(&bytes) {
            Ok(read) => parts.push(read),
            Err(_) => torn = Some(rank),
        },
    );
    let whole = torn.map_or(Ok(()), |rank| Err(anyhow!("rank {rank} sent a damaged message")));
    agreed(comm, whole)?;
    parts.sort_by_key(|(stock, _)| *stock);
    let mut bytes = postcard::to_stdvec(&parts)?;
    comm.broadcast_bytes(&mut bytes);
    Ok(postcard::from_bytes(&bytes)?)
}
