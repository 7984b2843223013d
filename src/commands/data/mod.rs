//! Getting bars into a store, and judging what is there.

mod check;
mod fetch;
mod upload;

use anyhow::Result;
use chrono::{SecondsFormat, Utc};

use super::file_store;
use crate::cli::{DataCommand, DataCommandArgs, GlobalArgs, ImportArgs};
use crate::ingest::{self, ImportOptions};
use crate::market::calendar::market_zone;
use crate::report::Progress;
use crate::wording::counted;

pub(crate) use fetch::fetch;

/// Whether all is right: false where a check found something wrong.
pub(crate) fn data(
    args: &DataCommandArgs,
    global: &GlobalArgs,
    progress: &Progress,
) -> Result<bool> {
    match &args.command {
        DataCommand::Check(args) => check::check(args, global, progress),
        DataCommand::Upload(args) => upload::upload(args, progress).map(|()| true),
    }
}

/// Tables of the user's into day files.
pub(crate) fn import(args: &ImportArgs, progress: &Progress) -> Result<()> {
    args.calendar.adopt()?;
    let store = file_store(&args.into)?;
    let options = ImportOptions {
        symbol: args.symbol.clone(),
        columns: args.columns.clone(),
        time_format: args.time_format.clone(),
        time_zone: args.time_zone.unwrap_or_else(market_zone),
        adjusted: args.adjusted,
        price_scale: args.price_scale.map(|scale| scale as f64),
        strict: args.strict,
        now: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        tell: &|line| progress.line(line),
    };
    let sum = ingest::import(store.as_ref(), &args.files, &options)?;
    progress.line(&format!(
        "{}: {} imported, {} skipped; {} written, {} unchanged",
        store.place(),
        counted(sum.rows, "bar"),
        counted(sum.bad_rows, "bad row"),
        counted(sum.written, "day file"),
        sum.unchanged
    ));
    progress.finish();
    Ok(())
}
