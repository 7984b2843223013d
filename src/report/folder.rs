//! The results folder: one run's files, each written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::errors::Cause;
use crate::files::{Durability, WRITING, write_whole};

/// A results file or folder that cannot be made, moved or written. Exit code 2.
#[derive(Debug, Error)]
#[error("{}: {what}: {cause}; {hint}", path.display())]
pub(crate) struct ReportError {
    pub(crate) path: PathBuf,
    pub(crate) what: String,
    #[source]
    pub(crate) cause: Cause,
    pub(crate) hint: String,
}

impl ReportError {
    pub(crate) fn new(path: impl Into<PathBuf>, what: &str, cause: io::Error) -> ReportError {
        let hint = match cause.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "make it writable or choose another folder with --output"
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some disk space (--resume then continues training) \
                 or choose another folder with --output"
            }
            io::ErrorKind::FileTooLarge => {
                "raise the limit on file sizes (ulimit -f), then continue with --resume"
            }
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                "there is a file of that name: move it or choose another folder with --output"
            }
            _ => "check that folder or choose another with --output",
        };
        let cause = Cause::new(cause);
        ReportError { path: path.into(), what: what.into(), cause, hint: hint.into() }
    }

    /// Of what kind the file system's error is.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.cause.get::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind)
    }
}

/// Files that a run writes under one fixed name; besides them [`is_own`] knows the numbered ones.
const OWN_FILES: [&str; 23] = [
    "config.toml",
    "metrics.jsonl",
    "summary.json",
    "allocations.csv",
    "trades.csv",
    "orders.csv",
    "relationships.csv",
    "relationships_by_quarter.csv",
    "importance.csv",
    "report.html",
    "trained_model.pth",
    "policy.pt",
    "policy_check.json",
    "features.json",
    "portfolio.csv",
    "strategies.json",
    "signals.csv",
    "optimization.json",
    "study.json",
    "comparison.json",
    "runs.csv",
    "journal.jsonl",
    "order_log.csv",
];
/// Folders that belong to a run: what it can be resumed from, what its model did in later
/// evaluations and on paper, and the runs of a study.
const OWN_FOLDERS: [&str; 4] = ["checkpoints", "evaluation", "trade", "runs"];
pub(super) const EARLIER: &str = "earlier";

/// Where the results of one run stand.
#[derive(Debug)]
pub(crate) struct ResultsFolder {
    path: PathBuf,
    moved: Option<String>,
}

impl ResultsFolder {
    /// Makes the folder and its parents. What an earlier run left there moves to `earlier/<n>/`,
    /// the lowest free n from 1 on; files of other names stay.
    ///
    /// Errors: the folder cannot be made or written, or a file stands in its place.
    pub(crate) fn create(output: &Path) -> Result<ResultsFolder, ReportError> {
        ResultsFolder::make(output)?;
        let moved = move_earlier_run(output)?;
        Ok(ResultsFolder { path: output.to_path_buf(), moved })
    }

    /// The folder of a run that is resumed: nothing is moved.
    pub(crate) fn open(output: &Path) -> Result<ResultsFolder, ReportError> {
        ResultsFolder::make(output)?;
        Ok(ResultsFolder { path: output.to_path_buf(), moved: None })
    }

    fn make(output: &Path) -> Result<(), ReportError> {
        let refused = |cause| ReportError::new(output, "cannot make the results folder", cause);
        fs::create_dir_all(output).map_err(refused)?;
        tempfile::tempfile_in(output)
            .map(drop)
            .map_err(|cause| ReportError::new(output, "cannot write results there", cause))
    }

    /// A sentence for the user when an earlier run's files were moved.
    pub(crate) fn notice(&self) -> Option<&str> {
        self.moved.as_deref()
    }

    /// Where the file `name` of this run stands or would stand.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes `name` so that a reader, or the next start after a crash, sees all of it or none of
    /// it.
    pub(crate) fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, ReportError> {
        self.fill_whole(name, |temporary| fs::write(temporary, bytes))
    }

    /// As [`Self::write_whole`], of a text that is too long to be made at once.
    pub(crate) fn write_parts(
        &self,
        name: &str,
        parts: impl IntoIterator<Item = String>,
    ) -> Result<PathBuf, ReportError> {
        self.fill_whole(name, |temporary| {
            let mut file = fs::File::create(temporary)?;
            parts.into_iter().try_for_each(|part| file.write_all(part.as_bytes()))
        })
    }

    /// As [`Self::write_whole`], for writers that want a path: `fill` writes the temporary file
    /// that it is given the path of.
    pub(crate) fn fill_whole(
        &self,
        name: &str,
        fill: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<PathBuf, ReportError> {
        let path = self.path(name);
        match write_whole(&path, Durability::Synced, fill) {
            Ok(()) => Ok(path),
            Err(cause) => Err(ReportError::new(path, "cannot write", cause)),
        }
    }
}

/// Whether a run writes an entry of this name into its folder, or was writing it when it was
/// killed.
fn is_own(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_episode = |stem: &str| stem.strip_prefix("portfolio_ep").is_some_and(is_number);
    if let Some((stem, _)) = name.split_once(WRITING) {
        let is_its = |own: &&str| Path::new(own).file_stem() == Some(stem.as_ref());
        return OWN_FILES.iter().any(is_its) || is_episode(stem);
    }
    OWN_FILES.contains(&name)
        || OWN_FOLDERS.contains(&name)
        || name.starts_with("events.out.tfevents.")
        || name.strip_suffix(".csv").is_some_and(is_episode)
}

fn move_earlier_run(output: &Path) -> Result<Option<String>, ReportError> {
    let unreadable = |cause| ReportError::new(output, "cannot list the results folder", cause);
    let mut own = Vec::new();
    for entry in fs::read_dir(output).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if name.to_str().is_some_and(is_own) {
            own.push(name);
        }
    }
    if own.is_empty() {
        return Ok(None);
    }
    own.sort();
    let earlier = make_numbered(&output.join(EARLIER))?;
    for name in &own {
        let from = output.join(name);
        fs::rename(&from, earlier.join(name))
            .map_err(|cause| ReportError::new(from, "cannot move an earlier run's file", cause))?;
    }
    Ok(Some(format!(
        "{} held an earlier run; its files are now in {}",
        output.display(),
        earlier.display()
    )))
}

/// Makes `parent/<n>` with the lowest free n from 1 on.
fn make_numbered(parent: &Path) -> Result<PathBuf, ReportError> {
    let refused = |path: &Path, cause| ReportError::new(path, "cannot make the folder", cause);
    fs::create_dir_all(parent).map_err(|cause| refused(parent, cause))?;
    let mut n = 1_u64;
    loop {
        let folder = parent.join(n.to_string());
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => n += 1,
            Err(cause) => return Err(refused(&folder, cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn makes_nested_folders_and_writes_whole() {
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(&place.path().join("a/b")).unwrap();
        assert_eq!(folder.notice(), None);
        folder.write_whole("summary.json", b"first, and longer").unwrap();
        let path = folder.write_whole("summary.json", b"second").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"second");
        assert_eq!(names(&place.path().join("a/b")), ["summary.json"]);
    }

    #[test]
    fn a_failed_write_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(place.path()).unwrap();
        folder.write_whole("policy.pt", b"good").unwrap();
        let failed = folder.fill_whole("policy.pt", |_| Err(io::Error::other("the disk is gone")));
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("policy.pt: cannot write: the disk is gone; "), "{message}");
        assert_eq!(fs::read(folder.path("policy.pt")).unwrap(), b"good");
        assert_eq!(names(place.path()), ["policy.pt"]);
    }

    #[test]
    fn an_earlier_run_moves_aside_and_the_users_files_stay() {
        let place = tempfile::tempdir().unwrap();
        let own = [
            "config.toml",
            "events.out.tfevents.1700000000.host",
            "metrics.jsonl",
            "portfolio_ep10.csv",
            "summary.writing-a1b2c3",
        ];
        let users = ["notes.txt", "portfolio_epic.csv", "portfolio_ep.csv"];
        for run in ["one", "two"] {
            for name in own.iter().chain(&users) {
                fs::write(place.path().join(name), run).unwrap();
            }
            fs::create_dir(place.path().join(OWN_FOLDERS[0])).unwrap();
            fs::write(place.path().join("checkpoints/last"), run).unwrap();
            let folder = ResultsFolder::create(place.path()).unwrap();
            let said = folder.notice().unwrap().to_string();
            assert!(said.contains("held an earlier run"), "{said}");
        }
        assert_eq!(
            names(place.path()),
            ["earlier", "notes.txt", "portfolio_ep.csv", "portfolio_epic.csv"]
        );
        for (n, run) in [("1", "one"), ("2", "two")] {
            let earlier = place.path().join(EARLIER).join(n);
            let mut expected = own.to_vec();
            expected.insert(0, OWN_FOLDERS[0]);
            assert_eq!(names(&earlier), expected);
            assert_eq!(fs::read_to_string(earlier.join("checkpoints/last")).unwrap(), run);
        }
        assert_eq!(ResultsFolder::create(place.path()).unwrap().notice(), None);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("taken");
        fs::write(&file, "").unwrap();
        for output in [file.clone(), file.join("below")] {
            let message = ResultsFolder::create(&output).unwrap_err().to_string();
            assert!(message.starts_with(&output.display().to_string()), "{message}");
            assert!(message.contains("there is a file of that name"), "{message}");
        }
    }
}
