//! `dqn-trader data upload`

use anyhow::{Result, anyhow};

use crate::cli::UploadArgs;
use crate::commands::container_name;
use crate::ingest::{UploadOptions, UploadStats, upload as send};
use crate::market::store::{LocalStore, Store};
use crate::report::Progress;
use crate::source;
use crate::wording::counted;

/// Sends what the container lacks.
pub(crate) fn upload(args: &UploadArgs, progress: &Progress) -> Result<()> {
    let from = LocalStore::open(&args.from)?;
    let stocks = if args.stocks.is_empty() { from.symbols()? } else { args.stocks.clone() };
    if stocks.is_empty() {
        return Err(anyhow!(
            "{}: has no day files; give the folder that contains stocks_intraday/",
            from.place()
        ));
    }
    let to = source::azure(&container_name(&args.container))?;
    let options = UploadOptions {
        at_once: args.at_once as usize,
        replace: args.replace,
        progress: &|symbol, done, total| progress.data(symbol.as_str(), done, total),
    };
    let mut kept = Vec::new();
    for symbol in &stocks {
        let done = send(&from, &to, symbol, &options)?;
        let UploadStats { sent, same, .. } = done;
        let (place, sent) = (to.place(), counted(sent, "file"));
        progress.line(&format!("{symbol}: {sent} uploaded to {place}, {same} already there"));
        kept.extend(done.kept);
    }
    progress.finish();
    match kept.first() {
        None => Ok(()),
        Some(first) => Err(anyhow!(
            "kept {} with more bars than the files (first {first}); overwrite with --replace",
            counted(kept.len(), "blob")
        )),
    }
}
