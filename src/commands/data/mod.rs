//! Getting bars into a store, and judging what is there.

mod check;
mod fetch;
mod upload;

use anyhow::{Result, anyhow};
use chrono::{SecondsFormat, Utc};

use super::file_store;
use crate::cli::{DataCommand, DataCommandArgs, ImportArgs, Surroundings};
use crate::market::ingest::{self, ImportOptions};
use crate::market::{Period, Symbol};
use crate::report::Progress;

pub use fetch::fetch;

/// Whether all is right: false where a check found something wrong.
pub fn data(
    args: &DataCommandArgs,
    surroundings: &Surroundings,
    progress: &Progress,
) -> Result<bool> {
    match &args.command {
        DataCommand::Check(args) => check::check(args, surroundings, progress),
        DataCommand::Upload(args) => upload::upload(args, progress).map(|()| true),
    }
}

/// Tables of the user's into day files.
pub fn import(args: &ImportArgs, progress: &Progress) -> Result<()> {
    let store = file_store(&args.data, &args.container)?;
    let options = ImportOptions {
        symbol: args.symbol.clone(),
        strict: args.strict,
        now: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        tell: &|line| progress.line(line),
    };
    let sum = ingest::import(store.as_ref(), &args.files, &options)?;
    progress.line(&format!(
        "{}: {} bars imported, {} bad rows left out; {} day files written, {} as they were",
        store.place(),
        sum.rows,
        sum.bad_rows,
        sum.written,
        sum.unchanged
    ));
    progress.finish();
    Ok(())
}

/// Every stock once, and a period that does not end before it begins.
fn check_wish(stocks: &[Symbol], period: &Period) -> Result<()> {
    let twice = stocks.iter().enumerate().find(|(i, symbol)| stocks[..*i].contains(symbol));
    if let Some((_, twice)) = twice {
        return Err(anyhow!("--stocks: {twice} is given twice; name every symbol once"));
    }
    if period.end < period.start {
        return Err(anyhow!(
            "--end_date: the period {period} ends before it begins; swap its dates"
        ));
    }
    Ok(())
}
