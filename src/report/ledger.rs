//! The ledger of trials: whatever was judged on the same bars, by any command and into any folder.
//! Who tries twenty things one by one has tried twenty.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::ReportError;
use crate::eval::inference::Trial;
use crate::eval::metrics::BacktestRecord;

/// Below the cache.
const NAME: &str = "trials.jsonl";
/// In place of a path: nothing is read or noted.
const NONE: &str = "none";

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// See [`bars_key`].
    bars: String,
    /// The command and what it judged, for a reader.
    what: String,
    trial: Trial,
}

/// A file to which every judged account is added.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// None: off.
    path: Option<PathBuf>,
    /// Named by the user, who wants to know if it cannot be written.
    is_named: bool,
}

impl Ledger {
    /// The file that `flag` names, `none` for none; without a flag that in the folder `cache`.
    ///
    /// Errors: the file that `flag` names cannot be written.
    pub(crate) fn open(flag: Option<&Path>, cache: &Path) -> Result<Ledger, ReportError> {
        let path = match flag {
            Some(path) if path == Path::new(NONE) => None,
            Some(path) => Some(path.to_path_buf()),
            None => Some(cache.join(NAME)),
        };
        let is_named = flag.is_some();
        if let Some(path) = path.as_ref().filter(|_| is_named) {
            append(path, b"")?;
        }
        Ok(Ledger { path, is_named })
    }

    /// What was judged on the bars of `record` before. Lines that cannot be read are passed over;
    /// where there is no file, nothing was.
    pub(crate) fn trials(&self, record: &BacktestRecord) -> Vec<Trial> {
        let text = self.path.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let bars = bars_key(record);
        let lines = text.as_deref().unwrap_or_default().lines();
        let entries = lines.filter_map(|line| serde_json::from_str::<Entry>(line).ok());
        entries.filter(|entry| entry.bars == bars).map(|entry| entry.trial).collect()
    }

    /// Adds what was judged, all trials on the bars of their record, unless they are there already:
    /// `what` says by which command, and what it was.
    ///
    /// Errors: the file that the user named cannot be written. In a cache that can only be read there
    /// is a warning.
    pub(crate) fn note<'a>(
        &self,
        judged: impl IntoIterator<Item = (&'a BacktestRecord, &'a [Trial], String)>,
    ) -> Result<(), ReportError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut text = String::new();
        for (record, trials, what) in judged {
            let bars = bars_key(record);
            let mut known = self.trials(record);
            for trial in trials {
                if known.iter().any(|known| known.repeats(trial)) {
                    continue;
                }
                let (bars, what) = (bars.clone(), what.clone());
                let entry = Entry { bars, what, trial: trial.clone() };
                text += &serde_json::to_string(&entry).expect("an entry becomes JSON");
                text.push('\n');
                known.push(entry.trial);
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        match append(path, text.as_bytes()) {
            Err(error) if !self.is_named => {
                tracing::warn!("{error}; later runs will not count this one");
                Ok(())
            }
            written => written,
        }
    }
}

/// One write at the end of the file: lines of two programs do not mix.
fn append(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
    };
    let what = "cannot note what was tried";
    write().map_err(|cause: io::Error| ReportError {
        hint: "name another file with --ledger, or none".into(),
        ..ReportError::new(path, what, cause)
    })
}

/// Tells evaluations apart by their stocks, times and prices.
fn bars_key(record: &BacktestRecord) -> String {
    let mut hasher = Sha256::new();
    for stock in &record.stocks {
        hasher.update(stock.as_str());
        hasher.update([0]);
    }
    record.end_s.iter().for_each(|end_s| hasher.update(end_s.to_le_bytes()));
    record.price.iter().for_each(|price| hasher.update(price.to_le_bytes()));
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn what_is_tried_on_the_same_bars_is_found_again_once() {
        let place = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(None, &place.path().join("cache")).unwrap();
        let (one, other) = (example::run(2, 400).record, example::run(2, 401).record);
        let trial = |sharpe: f64| Trial { sharpe: Some(sharpe), ..Trial::unknown() };
        assert!(ledger.trials(&one).is_empty());
        let (first, second) = (trial(1.0), trial(2.0));
        let alone = std::slice::from_ref(&first);
        let run = || "run".to_string();
        ledger
            .note([(&one, alone, run()), (&other, std::slice::from_ref(&second), run())])
            .unwrap();
        ledger.note([(&one, &[first.clone(), second.clone(), first.clone()][..], run())]).unwrap();
        assert_eq!(ledger.trials(&one), [first.clone(), second.clone()]);
        assert_eq!(ledger.trials(&other), std::slice::from_ref(&second));
        // Of a line that was cut off the others are left.
        let path = place.path().join("cache/trials.jsonl");
        let text = fs::read_to_string(&path).unwrap() + "{\"bars\": \"";
        fs::write(&path, text).unwrap();
        assert_eq!(ledger.trials(&one).len(), 2);

        let off = Ledger::open(Some(Path::new("none")), place.path()).unwrap();
        off.note([(&one, alone, run())]).unwrap();
        assert!(off.trials(&one).is_empty() && !place.path().join("none").exists());
        let named = Ledger::open(Some(&place.path().join("mine.jsonl")), place.path()).unwrap();
        named.note([(&one, alone, run())]).unwrap();
        assert_eq!(named.trials(&one).len(), 1);
        // What the user named must be there; a cache that cannot be written is no reason to fail.
        let below = place.path().join("mine.jsonl/below");
        let error = Ledger::open(Some(&below), place.path()).unwrap_err().to_string();
        assert!(error.contains("mine.jsonl") && error.contains("cannot note"), "{error}");
        assert!(error.ends_with("--ledger, or none"), "{error}");
        let unwritable = Ledger::open(None, &below).unwrap();
        unwritable.note([(&one, alone, run())]).unwrap();
    }
}
