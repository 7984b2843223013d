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
}

impl Ledger {
    /// The file that `flag` names, `none` for none; without a flag that in the folder `cache`.
    pub(crate) fn new(flag: Option<&Path>, cache: &Path) -> Ledger {
        let path = match flag {
            Some(path) if path == Path::new(NONE) => None,
            Some(path) => Some(path.to_path_buf()),
            None => Some(cache.join(NAME)),
        };
        Ledger { path }
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

    /// Adds what was judged, each on the bars of its record, unless it is there already: `what` says
    /// by which command, and what it was.
    ///
    /// Errors: the file cannot be written.
    pub(crate) fn note<'a>(
        &self,
        judged: impl IntoIterator<Item = (&'a BacktestRecord, &'a Trial, String)>,
    ) -> Result<(), ReportError> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |cause: io::Error| ReportError::new(path, "cannot note what was tried", cause);
        let mut text = String::new();
        for (record, trial, what) in judged {
            if self.trials(record).iter().any(|known| known.repeats(trial)) {
                continue;
            }
            let entry = Entry { bars: bars_key(record), what, trial: trial.clone() };
            let line = serde_json::to_string(&entry).map_err(|e| failed(io::Error::from(e)))?;
            text += &line;
            text.push('\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // One write at the end of the file: lines of two programs do not mix.
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)
    }
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
        let ledger = Ledger::new(None, &place.path().join("cache"));
        let (one, other) = (example::run(2, 400).record, example::run(2, 401).record);
        let trial = |sharpe: f64| Trial { sharpe: Some(sharpe), ..Trial::unknown() };
        assert!(ledger.trials(&one).is_empty());
        let (first, second) = (trial(1.0), trial(2.0));
        ledger.note([(&one, &first, "run".into()), (&other, &second, "run".into())]).unwrap();
        ledger.note([(&one, &first, "again".into()), (&one, &second, "run".into())]).unwrap();
        assert_eq!(ledger.trials(&one), [first.clone(), second.clone()]);
        assert_eq!(ledger.trials(&other), std::slice::from_ref(&second));
        // Of a line that was cut off the others are left.
        let path = place.path().join("cache/trials.jsonl");
        let text = fs::read_to_string(&path).unwrap() + "{\"bars\": \"";
        fs::write(&path, text).unwrap();
        assert_eq!(ledger.trials(&one).len(), 2);

        let off = Ledger::new(Some(Path::new("none")), place.path());
        off.note([(&one, &first, "run".into())]).unwrap();
        assert!(off.trials(&one).is_empty() && !place.path().join("none").exists());
        let named = Ledger::new(Some(&place.path().join("mine.jsonl")), place.path());
        named.note([(&one, &first, "run".into())]).unwrap();
        assert_eq!(named.trials(&one).len(), 1);
        let wrong = Ledger::new(Some(&place.path().join("mine.jsonl/below")), place.path());
        let error = wrong.note([(&one, &first, "run".into())]).unwrap_err().to_string();
        assert!(error.contains("mine.jsonl") && error.contains("cannot note"), "{error}");
    }
}
