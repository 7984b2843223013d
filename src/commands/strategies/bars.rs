//! The bars that strategies are run over.

use std::sync::Arc;

use anyhow::Result;
use rayon::prelude::*;

use crate::cli::{MarketArgs, Surroundings};
use crate::commands::{Setting, tell_reports};
use crate::config::EnvConfig;
use crate::dist::local::LocalComm;
use crate::market::MarketData;
use crate::market::load::load_bars;
use crate::report::Progress;
use crate::train::dataset::common_bar_minutes;

/// What is the same for all strategies of a command.
pub struct Market {
    pub data: Arc<MarketData>,
    pub env: EnvConfig,
    /// What a reader of the results must know before believing a figure.
    pub notices: Vec<String>,
    /// Source, period and length of bars, for the results.
    pub described: serde_json::Value,
    pub progress: Arc<Progress>,
}

pub fn read(args: &MarketArgs, surroundings: &Surroundings, progress: Progress) -> Result<Market> {
    let comm = LocalComm;
    let setting = Setting::new(&comm, args.resolve()?, surroundings, progress)?;
    let Setting { config, progress, notices, source, .. } = &setting;
    let (period, options) = (config.train_period(), setting.load_options());
    let one = |symbol| {
        load_bars(source, &config.stocks, symbol, &period, &options, &mut |at| {
            progress.data(symbol.as_str(), at.days_done, at.days_total);
        })
    };
    let loaded: Vec<_> = config.stocks.par_iter().map(one).collect::<Result<_, _>>()?;
    let (series, reports): (Vec<_>, Vec<_>) = loaded.into_iter().unzip();
    tell_reports(&reports, progress);
    let bar_minutes = common_bar_minutes(&reports)?;
    let described = serde_json::json!({
        "source": config.data.source,
        "period": period,
        "stocks": config.stocks,
        "bar_minutes": bar_minutes,
        "fee_bps": config.env.fee_bps,
        "slippage_bps": config.env.slippage_bps,
        "long_only": config.env.long_only,
    });
    let data = Arc::new(MarketData::new(series)?);
    let (env, notices) = (config.env.clone(), notices.clone());
    Ok(Market { data, env, notices, described, progress: Arc::new(setting.progress) })
}
