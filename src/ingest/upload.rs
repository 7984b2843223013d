//! Uploads a folder's day files to an Azure container.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::day::DayBars;
use super::fetch::ALWAYS;
use super::run_concurrently;
use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::store::origin::Origin;
use crate::market::store::{AzureStore, BlobDigest, DayFile, LocalStore, Store, sha256_hex};
use crate::wording::counted;

pub(crate) struct UploadOptions<'a> {
    /// Concurrent uploads.
    pub(crate) at_once: usize,
    /// Overwrite blobs even by files with fewer bars.
    pub(crate) replace: bool,
    /// Called with the stock, the number of files done and the total.
    pub(crate) progress: &'a (dyn Fn(&Symbol, usize, usize) + Sync),
}

/// Work done for one stock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UploadStats {
    pub(crate) sent: usize,
    /// Number of blobs that already had the file's content.
    pub(crate) same: usize,
    /// Blobs that have more bars than the file and were not overwritten.
    pub(crate) kept: Vec<String>,
}

/// Uploads the files of a stock that the container lacks. An interrupted run can be resumed:
/// contents are compared by their SHA-256, which is stored with each blob.
pub(crate) fn upload(
    from: &LocalStore,
    to: &AzureStore,
    symbol: &Symbol,
    options: &UploadOptions,
) -> Result<UploadStats, MarketError> {
    let files = from.list(symbol, &ALWAYS)?;
    Origin::check_whole(from, symbol)?;
    let (here, there) = (Origin::read(from, symbol)?, Origin::read(to, symbol)?);
    let blobs = to.digests(symbol)?;
    check_kinds(symbol, to, here.as_ref(), there.as_ref())?;
    check_remote_only(symbol, to, here.as_ref(), there.as_ref(), &files, &blobs)?;
    let replaces = files.iter().any(|file| blobs.contains_key(&file.key));
    let is_rewrite = replaces && begun(here.as_ref()) != begun(there.as_ref());
    if is_rewrite && !options.replace {
        check_losses(from, to, symbol, &files, &blobs, options.at_once)?;
    }
    if let (Some(origin), true) = (&here, is_rewrite) {
        Origin { rewriting: true, ..origin.clone() }.write(to, symbol)?;
    }
    let sum = Mutex::new(UploadStats::default());
    let done = AtomicUsize::new(0);
    run_concurrently(&files, options.at_once, |file| {
        let outcome = send(from, to, file, blobs.get(&file.key), options.replace || is_rewrite)?;
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            UploadOutcome::Sent => sum.sent += 1,
            UploadOutcome::Same => sum.same += 1,
            UploadOutcome::Kept => sum.kept.push(file.key.clone()),
        }
        (options.progress)(symbol, done.fetch_add(1, Ordering::Relaxed) + 1, files.len());
        Ok(())
    })?;
    if let Some(origin) = here
        && Origin::read(to, symbol)?.as_ref() != Some(&origin)
    {
        origin.write(to, symbol)?;
    }
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.kept.sort();
    Ok(sum)
}

enum UploadOutcome {
    Sent,
    Same,
    Kept,
}

fn send(
    from: &LocalStore,
    to: &AzureStore,
    file: &DayFile,
    blob: Option<&BlobDigest>,
    replace: bool,
) -> Result<UploadOutcome, MarketError> {
    let bytes = from.get(&file.key)?;
    let content = match blob {
        None => None,
        Some(BlobDigest { sha256: Some(sha256), .. }) if *sha256 == sha256_hex(&bytes) => {
            return Ok(UploadOutcome::Same);
        }
        // The writer of this blob stored no digest, or the content differs.
        Some(_) => Some(to.get(&file.key)?),
    };
    if content.as_ref() == Some(&bytes) {
        return Ok(UploadOutcome::Same);
    }
    let new = DayBars::decode(&bytes, &file.key)?;
    // An unreadable blob is not good data.
    let old = content.and_then(|content| DayBars::decode(&content, &file.key).ok());
    if old.is_some_and(|old| old.0.len() > new.0.len()) && !replace {
        return Ok(UploadOutcome::Kept);
    }
    to.put(&file.key, &bytes)?;
    Ok(UploadOutcome::Sent)
}

/// When a stock's history was started, see [`Origin::begun`].
fn begun(origin: Option<&Origin>) -> Option<&str> {
    origin.map(|origin| origin.begun.as_str())
}

/// Checks that folder and container have the same kind of bars.
fn check_kinds(
    symbol: &Symbol,
    to: &AzureStore,
    here: Option<&Origin>,
    there: Option<&Origin>,
) -> Result<(), MarketError> {
    let (here, there) = match (here, there) {
        (_, None) => return Ok(()),
        (Some(here), Some(there))
            if (here.kind, here.interval_minutes) == (there.kind, there.interval_minutes) =>
        {
            return Ok(());
        }
        (here, Some(there)) => (here.map_or("of unknown kind".into(), Origin::to_string), there),
    };
    Err(MarketError::NoData {
        symbol: symbol.to_string(),
        what: format!("the files are {here}, those in {} are {there}", to.place()),
        hint: "choose another container with --container".into(),
    })
}

/// Checks that days which only the container has are consistent with the uploaded ones.
fn check_remote_only(
    symbol: &Symbol,
    to: &AzureStore,
    here: Option<&Origin>,
    there: Option<&Origin>,
    files: &[DayFile],
    blobs: &HashMap<String, BlobDigest>,
) -> Result<(), MarketError> {
    if here.is_none() || begun(here) == begun(there) {
        return Ok(());
    }
    let is_day = |key: &&String| key.ends_with(".parquet");
    let ours: HashSet<&str> = files.iter().map(|file| file.key.as_str()).collect();
    let remote_only = blobs.keys().filter(is_day).filter(|key| !ours.contains(key.as_str()));
    let Some(first) = remote_only.clone().min() else { return Ok(()) };
    Err(MarketError::NoData {
        symbol: symbol.to_string(),
        what: format!(
            "{} has {} that the folder lacks (first {first}), from another download: prices \
             adjusted at different times are not comparable",
            to.place(),
            counted(remote_only.count(), "day")
        ),
        hint: "fetch those days into the folder too, or choose another container with --container"
            .into(),
    })
}

/// Checks before a stock's files are replaced as a whole that no day loses bars.
fn check_losses(
    from: &LocalStore,
    to: &AzureStore,
    symbol: &Symbol,
    files: &[DayFile],
    blobs: &HashMap<String, BlobDigest>,
    at_once: usize,
) -> Result<(), MarketError> {
    let both: Vec<&DayFile> = files.iter().filter(|file| blobs.contains_key(&file.key)).collect();
    run_concurrently(&both, at_once, |file| {
        // An unreadable blob is not good data.
        let Ok(old) = DayBars::decode(&to.get(&file.key)?, &file.key) else { return Ok(()) };
        let new = DayBars::decode(&from.get(&file.key)?, &file.key)?;
        let (had, has) = (old.0.len(), new.0.len());
        if has >= had {
            return Ok(());
        }
        Err(MarketError::NoData {
            symbol: symbol.to_string(),
            what: format!(
                "its files in {} come from another download, and have {had} bars on {} where the \
                 folder has {has}; nothing was replaced",
                to.place(),
                file.date
            ),
            hint: "replace it with --replace, or choose another container with --container".into(),
        })
    })
}
