//! One run at a time writes into a results folder. The lock is the operating system's on an open
//! file, so it goes with the process that holds it, however that ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};

use super::folder::{ReportError, ResultsFolder};
use crate::errors::Cause;

const NAME: &str = ".lock";
/// Ranks whose launcher was killed live on for moments; the run that is resumed waits for them.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// A results folder that no other run writes into until this is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    folder: PathBuf,
    /// This lock made the folder.
    is_new: bool,
    _file: File,
}

impl FolderLock {
    /// Makes the folder if there is none, and tries whether it can be written: to be called before
    /// hours of work. Dropped, it leaves all as it was but for what others put there.
    ///
    /// Errors: the folder cannot be made or written, or another run has it.
    pub(crate) fn take(output: &Path) -> Result<FolderLock, ReportError> {
        let is_new = !output.exists();
        ResultsFolder::open(output)?;
        let path = output.join(NAME);
        let since = Instant::now();
        loop {
            match try_take(&path) {
                Ok(Some(file)) => {
                    return Ok(FolderLock { folder: output.into(), is_new, _file: file });
                }
                Ok(None) if since.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Ok(None) => return Err(already_locked(output, &path)),
                Err(cause) => return Err(ReportError::new(path, "cannot lock", cause)),
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Removed while it is still locked, so that nobody can hold a file that is gone: see
        // `try_take`. Should that fail, an unlocked file is left, which is no harm.
        let _ = fs::remove_file(self.folder.join(NAME));
        if self.is_new {
            // Fails where there is something in it by now, as it should.
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// None where another holds it.
fn try_take(path: &Path) -> io::Result<Option<File>> {
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // Some network file systems know no locks; a run there is worth more than its lock.
        Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => return Ok(Some(file)),
        Err(TryLockError::Error(e)) => return Err(e),
    }
    // Its last holder may have removed it between the opening and the locking.
    let here = file.metadata()?;
    if !fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (here.dev(), here.ino())) {
        return Ok(None);
    }
    file.set_len(0)?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let holder = format!("process {} on {}, since {now}", std::process::id(), host.trim());
    file.write_all(holder.as_bytes())?;
    Ok(Some(file))
}

fn already_locked(output: &Path, path: &Path) -> ReportError {
    let holder = fs::read_to_string(path).unwrap_or_default();
    let holder = if holder.is_empty() { "holder unknown".into() } else { holder };
    ReportError {
        path: output.into(),
        what: "another run is writing there".into(),
        cause: Cause::new(io::Error::new(ErrorKind::ResourceBusy, holder)),
        hint: "wait for it, stop it, or choose another folder with --output".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_holds_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let output = place.path().join("results");
        let lock = FolderLock::take(&output).unwrap();
        let message = FolderLock::take(&output).unwrap_err().to_string();
        let pid = format!("process {} on ", std::process::id());
        for part in ["results: another run is writing there", &pid, "since 2", "--output"] {
            assert!(message.contains(part), "{part:?} is missing in: {message}");
        }
        drop(lock);
        assert!(!output.exists(), "nothing was written, so nothing is left");
        fs::create_dir(&output).unwrap();
        drop(FolderLock::take(&output).unwrap());
        assert!(output.exists(), "this folder was there before");
    }

    #[test]
    fn what_a_killed_run_left_is_no_lock() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(NAME), "process 1 on elsewhere, since ever").unwrap();
        let lock = FolderLock::take(place.path()).unwrap();
        let holder = fs::read_to_string(place.path().join(NAME)).unwrap();
        assert!(holder.starts_with(&format!("process {} on", std::process::id())), "{holder}");
        drop(lock);
        assert!(!place.path().join(NAME).exists());
    }
}
