//! Files that are written whole or not at all, and texts that are read within a limit.

pub(crate) mod parsing;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// Between the name and a random end of a file that is still being written.
pub(crate) const WRITING: &str = ".writing-";

/// Largest text that a person writes: settings, strategies, agents.
const MOST_TEXT_BYTES: u64 = 16 << 20;

/// The content of a file. Errors: it cannot be read, or is larger than `most` bytes.
pub(crate) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A file that grows, or a device, has no length to go by.
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = format!("is larger than {} MB", most >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(bytes)
}

/// The text of a file that a person wrote, without the mark that Windows' editors put before it.
/// Errors: it cannot be read, is larger than 16 MB, or is no UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_bounded(path, MOST_TEXT_BYTES)?;
    let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return wrong("is in UTF-16; save it as UTF-8");
    }
    let Ok(text) = String::from_utf8(bytes) else { return wrong("is not in UTF-8") };
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}

/// What a write waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The file and then the folder's entry of it are on the disk (fsync): a power cut leaves the
    /// old file or the new one.
    Synced,
    /// Nothing: for caches, whose files are verified when they are read and can be made again. A
    /// power cut may leave a damaged file, the end of the process does not.
    Unsynced,
}

/// Has `fill` write the file that it is given the path of, and moves that to `path`. A reader, or
/// the next start after a crash, sees the old file or the new one, never a part.
///
/// The temporary file lies in the folder of `path`, so that the move is one rename. Its name is
/// that of `path` with [`WRITING`] and something random in place of the extension. It is removed
/// where `fill` or the move fails; a process that is killed leaves it behind under that name. The
/// folder must exist.
pub(crate) fn write_whole(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let file = WholeFile::begin(path)?;
    fill(file.temporary())?;
    file.finish(durability)
}

/// A file that is being written; [`write_whole`] for those who cannot do it in one call. Dropped
/// before [`WholeFile::finish`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    temporary: TempPath,
}

impl WholeFile {
    /// Makes the temporary file, empty.
    pub(crate) fn begin(path: &Path) -> io::Result<WholeFile> {
        let stem = path.file_stem().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
        // `File::create_new`, because tempfile's own way hides the file from other users.
        let temporary = tempfile::Builder::new()
            .prefix(&format!("{stem}{WRITING}"))
            .make_in(folder_of(path), |path| File::create_new(path))?;
        Ok(WholeFile { path: path.into(), temporary: temporary.into_temp_path() })
    }

    /// Where to write to.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Moves what was written to its place.
    pub(crate) fn finish(self, durability: Durability) -> io::Result<()> {
        let synced = durability == Durability::Synced;
        if synced {
            File::open(&self.temporary)?.sync_all()?;
        }
        self.temporary.persist(&self.path).map_err(|e| e.error)?;
        if synced {
            File::open(folder_of(&self.path))?.sync_all()?;
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        for (durability, text) in [(Durability::Synced, "one"), (Durability::Unsynced, "two")] {
            write_whole(&path, durability, |beside| {
                assert_ne!(beside, path);
                fs::write(beside, text)
            })
            .unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["summary.json"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.pt");
        write_whole(&path, Durability::Synced, |beside| fs::write(beside, "good")).unwrap();
        let fail = |beside: &Path| {
            fs::write(beside, "half")?;
            Err(io::Error::other("the disk is gone"))
        };
        let error = write_whole(&path, Durability::Synced, fail).unwrap_err();
        assert_eq!(error.to_string(), "the disk is gone");
        // A writer may also have removed its file.
        write_whole(&path, Durability::Synced, |beside| fs::remove_file(beside)).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "good");
        assert_eq!(names(folder.path()), ["policy.pt"]);

        let below = folder.path().join("no-such-folder/policy.pt");
        write_whole(&below, Durability::Synced, |_| unreachable!()).unwrap_err();
        // A panic is a failed write, too.
        let panicking = || write_whole(&path, Durability::Synced, |_| panic!("on purpose"));
        std::panic::catch_unwind(panicking).unwrap_err();
        assert_eq!(names(folder.path()), ["policy.pt"]);
    }

    /// Killed over and over while it writes: the name is there whole, or not at all.
    #[test]
    fn a_killed_write_leaves_no_half_file_under_the_name() {
        const TEST: &str = "files::tests::writes_until_it_is_killed";
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = folder.path().join(format!("{round}.bin"));
            let mut writer = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--ignored", TEST])
                .env("DQN_TRADER_TEST_WRITES", &path)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let since = Instant::now();
            let has_begun = || !names(folder.path()).iter().all(|name| name.ends_with(".bin"));
            while !has_begun() && !path.exists() && since.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(700 * round));
            writer.kill().unwrap();
            writer.wait().unwrap();
            if let Ok(bytes) = fs::read(&path) {
                assert_eq!(bytes.len(), 4 * LEN, "round {round}");
                assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]), "round {round}");
            }
            for name in names(folder.path()).iter().filter(|name| name.contains(WRITING)) {
                fs::remove_file(folder.path().join(name)).unwrap();
            }
        }
    }

    const LEN: usize = 1 << 20;

    /// The process that the test before this one kills.
    #[test]
    #[ignore = "run and killed by another test"]
    fn writes_until_it_is_killed() {
        use std::io::Write;
        let Ok(path) = std::env::var("DQN_TRADER_TEST_WRITES") else { return };
        for byte in (0..=255).cycle() {
            write_whole(Path::new(&path), Durability::Synced, |beside| {
                let mut file = File::create(beside)?;
                (0..4).try_for_each(|_| file.write_all(&vec![byte; LEN]))
            })
            .unwrap();
        }
    }

    #[test]
    fn texts_are_read_without_a_mark_and_within_a_limit() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("text");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_text(&path).map_err(|e| e.to_string())
        };
        assert_eq!(read("\u{feff}seed = 1\r\n".as_bytes()).unwrap(), "seed = 1\r\n");
        assert!(read(b"\xff\xfes\0").unwrap_err().contains("UTF-16"));
        assert!(read(b"s\xe9ed").unwrap_err().contains("UTF-8"));
        assert_eq!(read_bounded(&path, 4).unwrap(), b"s\xe9ed");
        assert!(read_bounded(&path, 3).unwrap_err().to_string().contains("larger than"));
        let endless = read_bounded(Path::new("/dev/zero"), 1 << 20).unwrap_err().to_string();
        assert!(endless.contains("is larger than 1 MB"), "{endless}");
    }
}
