//! Day files in a local folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use chrono::Datelike;

use super::{DayFile, MOST_FILE_BYTES, ROOT, Store, folder_symbol, key_date};
use crate::errors::Cause;
use crate::files::{Durability, read_bounded, write_whole};
use crate::market::bar::{Period, Symbol};
use crate::market::error::MarketError;

/// Day files in `root/stocks_intraday`, or in `root` if that is the folder of the symbols.
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
    /// The folder with one folder per symbol, which `stocks_intraday` in keys refers to.
    base: PathBuf,
}

impl LocalStore {
    /// Opens an existing folder. Errors if `root` is not a folder.
    pub fn open(root: &Path) -> Result<LocalStore, MarketError> {
        match root.exists() {
            true => LocalStore::for_writing(root),
            false => Err(unusable(root, "no such folder")),
        }
    }

    /// Opens a folder for writing; one that does not exist is created with its first file. Errors
    /// if `root` is a file.
    pub fn for_writing(root: &Path) -> Result<LocalStore, MarketError> {
        if root.exists() && !root.is_dir() {
            return Err(unusable(root, "is a file, not a folder"));
        }
        Ok(LocalStore { root: root.to_path_buf(), base: symbols_folder(root) })
    }

    fn path(&self, key: &str) -> Result<PathBuf, MarketError> {
        let below = key.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
        let plain =
            |path: &str| Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
        match below {
            Some(below) if !below.is_empty() && plain(below) => Ok(self.base.join(below)),
            _ => Err(MarketError::File {
                file: key.into(),
                what: "is not the key of a day file".into(),
                hint: format!("keys look like {ROOT}/AAPL/2020/01/AAPL_2020-01-03.parquet"),
                cause: None,
            }),
        }
    }

    /// Names and paths in a folder; empty if the folder does not exist.
    fn entries(&self, folder: &Path) -> Result<Vec<(String, PathBuf)>, MarketError> {
        let failed = |error| self.failed("cannot be listed", folder, error);
        let listing = match fs::read_dir(folder) {
            Ok(listing) => listing,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed(error)),
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push((name, entry.path()));
            }
        }
        Ok(entries)
    }

    fn failed(&self, what: &str, path: &Path, error: std::io::Error) -> MarketError {
        MarketError::Store {
            place: path.display().to_string(),
            what: format!("{what}: {error}"),
            hint: "check the folder, its permissions and the free space".into(),
            cause: Some(Cause::new(error)),
        }
    }
}

impl Store for LocalStore {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self, symbol: &Symbol, period: &Period) -> Result<Vec<DayFile>, MarketError> {
        let years = period.start.year()..=period.end.year();
        let mut files = Vec::new();
        for (year, year_folder) in self.entries(&self.base.join(symbol.as_str()))? {
            if !year.parse().is_ok_and(|year: i32| years.contains(&year)) {
                continue;
            }
            for (month, month_folder) in self.entries(&year_folder)? {
                for (name, path) in self.entries(&month_folder)? {
                    let key = format!("{ROOT}/{symbol}/{year}/{month}/{name}");
                    let spelled = key.replace(".PARQUET", ".parquet");
                    let date = key_date(symbol, &spelled).filter(|d| period.contains(*d));
                    let Some(date) = date else {
                        continue;
                    };
                    let path = within_folder(path);
                    let (etag, size_bytes) =
                        stamp(&path).map_err(|e| self.failed("cannot be read", &path, e))?;
                    files.push(DayFile { key, date, etag, size_bytes });
                }
            }
        }
        // Of a day in both spellings the usual one counts.
        files.sort_by(|a, b| (a.date, &b.key).cmp(&(b.date, &a.key)));
        files.dedup_by_key(|file| file.date);
        Ok(files)
    }

    fn symbols(&self) -> Result<Vec<Symbol>, MarketError> {
        let mut symbols = Vec::new();
        for (name, folder) in self.entries(&self.base)? {
            if let Some(symbol) = folder_symbol(&name)
                && !self.entries(&folder)?.is_empty()
            {
                symbols.push(symbol);
            }
        }
        symbols.sort();
        Ok(symbols)
    }

    fn get(&self, key: &str) -> Result<Vec<u8>, MarketError> {
        let path = within_folder(self.path(key)?);
        // Whoever reads the folder's bytes is told by their lack.
        if path.is_dir() {
            return Ok(Vec::new());
        }
        read_bounded(&path, MOST_FILE_BYTES).map_err(|error| match error.kind() {
            ErrorKind::NotFound => MarketError::File {
                file: path.display().to_string(),
                what: "no such file".into(),
                hint: "check the data folder; the file may have been moved".into(),
                cause: Some(Cause::new(error)),
            },
            _ => self.failed("cannot be read", &path, error),
        })
    }

    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError> {
        let path = self.path(key)?;
        match read_bounded(&path, MOST_FILE_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("cannot be read", &path, error)),
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), MarketError> {
        let path = self.path(key)?;
        let folder = path.parent().unwrap_or(&self.base);
        fs::create_dir_all(folder)
            .and_then(|()| {
                write_whole(&path, Durability::Synced, |beside| fs::write(beside, bytes))
            })
            .map_err(|e| self.failed("cannot be written", &path, e))
    }
}

/// The folder of the symbol folders: `root` itself or `root/stocks_intraday`, since users name
/// either.
fn symbols_folder(root: &Path) -> PathBuf {
    let inner = root.join(ROOT);
    let is_named_so = || {
        // A folder that does not exist yet cannot be canonicalised.
        root.ends_with(ROOT) || root.canonicalize().is_ok_and(|path| path.ends_with(ROOT))
    };
    if !inner.is_dir() && (is_named_so() || holds_symbols(root)) {
        root.to_path_buf()
    } else {
        inner
    }
}

/// Whether `folder` contains a folder `SYMBOL/YYYY`.
fn holds_symbols(folder: &Path) -> bool {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let is_year = |name: &String| name.len() == 4 && name.bytes().all(|b| b.is_ascii_digit());
    names(folder)
        .iter()
        .filter(|name| folder_symbol(name).is_some())
        .any(|name| names(&folder.join(name)).iter().any(is_year))
}

fn unusable(root: &Path, what: &str) -> MarketError {
    MarketError::Store {
        place: root.display().to_string(),
        what: what.into(),
        hint: format!("give the folder that contains {ROOT}/"),
        cause: None,
    }
}

/// Spark writes a folder in place of a file: the one Parquet file that is in it. Any other path as it
/// is.
fn within_folder(path: PathBuf) -> PathBuf {
    let Ok(entries) = fs::read_dir(&path) else { return path };
    let is_part = |inner: &PathBuf| inner.extension().is_some_and(|end| end == "parquet");
    let mut parts = entries.flatten().map(|entry| entry.path()).filter(is_part);
    match (parts.next(), parts.next()) {
        (Some(one), None) => one,
        _ => path,
    }
}

/// ETag and size. The ETag is made of size and modification time, one of which changes with every
/// write.
fn stamp(path: &Path) -> std::io::Result<(String, u64)> {
    let meta = fs::metadata(path)?;
    let modified_ns = match meta.modified()?.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    Ok((format!("{:x}-{modified_ns}", meta.len()), meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "stocks_intraday/AAPL/2020/01/AAPL_2020-01-03.parquet";

    #[test]
    fn the_symbols_folder_is_found_whichever_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let above = dir.path().join("above");
        let plain = dir.path().join("plain");
        for folder in [above.join(ROOT).join("AAPL/2020/01"), plain.join("AAPL/2020/01")] {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("AAPL_2020-01-03.parquet"), b"day").unwrap();
        }
        for root in [above.clone(), above.join(ROOT), plain] {
            let store = LocalStore::open(&root).unwrap();
            assert_eq!(store.symbols().unwrap(), ["AAPL".parse().unwrap()], "{root:?}");
            assert_eq!(store.get(KEY).unwrap(), b"day", "{root:?}");
        }
    }

    #[test]
    fn a_missing_folder_and_a_file_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let missing = LocalStore::open(&dir.path().join("nowhere")).unwrap_err().to_string();
        assert!(missing.contains("nowhere: no such folder; "), "{missing}");
        fs::write(dir.path().join("file"), b"").unwrap();
        let file = LocalStore::open(&dir.path().join("file")).unwrap_err().to_string();
        assert!(file.contains("is a file, not a folder"), "{file}");
    }

    #[test]
    fn keys_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        for key in ["stocks_intraday/../secret", "/etc/passwd", "stocks_intraday/", "other/AAPL"] {
            assert!(store.get(key).unwrap_err().to_string().contains("is not the key"), "{key}");
            assert!(store.put(key, b"x").is_err(), "{key}");
        }
        assert!(!dir.path().join("secret").exists());
    }

    /// Windows' programs write the suffix in capitals, Spark a folder.
    #[test]
    fn suffixes_in_capitals_and_folders_with_one_file_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        store.put(KEY, b"usual").unwrap();
        let folder = dir.path().join("stocks_intraday/AAPL/2020/01");
        fs::write(folder.join("AAPL_2020-01-03.PARQUET"), b"twice").unwrap();
        fs::write(folder.join("AAPL_2020-01-06.PARQUET"), b"capitals").unwrap();
        let spark = folder.join("AAPL_2020-01-07.parquet");
        fs::create_dir(&spark).unwrap();
        fs::write(spark.join("_SUCCESS"), b"").unwrap();
        fs::write(spark.join("part-00000.snappy.parquet"), b"part").unwrap();
        // Nothing in it, or too much.
        fs::create_dir(folder.join("AAPL_2020-01-08.parquet")).unwrap();
        let year =
            Period { start: "2020-01-01".parse().unwrap(), end: "2020-12-31".parse().unwrap() };
        let files = store.list(&"AAPL".parse().unwrap(), &year).unwrap();
        let read: Vec<_> = files.iter().map(|file| store.get(&file.key).unwrap()).collect();
        assert_eq!(read, [&b"usual"[..], b"capitals", b"part", b""]);
        assert_eq!(files[2].size_bytes, 4);
    }

    #[test]
    fn put_leaves_nothing_beside_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        store.put(KEY, b"one").unwrap();
        store.put(KEY, b"two").unwrap();
        let folder = dir.path().join("stocks_intraday/AAPL/2020/01");
        let names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["AAPL_2020-01-03.parquet"]);
        assert_eq!(store.get(KEY).unwrap(), b"two");
    }
}
