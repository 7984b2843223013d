//! Disk cache of fetched blobs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use super::DayFile;
use crate::files::{Durability, write_whole};

/// Size of the digest at the end of an entry, bytes.
const DIGEST_BYTES: usize = 32;

/// Blobs in a folder, keyed by place, key and ETag.
///
/// An entry is named by place and key. It holds the content followed by the SHA-256 of place, key,
/// ETag and content, so one comparison shows whether it is the right version and undamaged. A new
/// version of a blob replaces the old one.
#[derive(Debug)]
pub(crate) struct BlobCache {
    folder: PathBuf,
    /// [`super::Store::place`] of the blobs' store.
    place: String,
    /// An unwritable disk is reported once, not once per blob.
    warned: AtomicBool,
}

impl BlobCache {
    /// Creates no folder until the first [`BlobCache::put`].
    pub(crate) fn new(folder: &Path, place: &str) -> BlobCache {
        BlobCache {
            folder: folder.to_path_buf(),
            place: place.into(),
            warned: AtomicBool::new(false),
        }
    }

    /// The content of `file`; None if it is not cached, of another version or damaged.
    pub(crate) fn get(&self, file: &DayFile) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(file)).ok()?;
        let content = bytes.len().checked_sub(DIGEST_BYTES)?;
        let digest = bytes.split_off(content);
        (digest == self.digest(file, &bytes)).then_some(bytes)
    }

    /// Stores `bytes` atomically. A failure is only a warning, since it costs time but does not
    /// affect results.
    pub(crate) fn put(&self, file: &DayFile, bytes: &[u8]) {
        let path = self.path(file);
        let entry = [bytes, self.digest(file, bytes).as_slice()].concat();
        // The digest is verified on reading, so there is no need to wait for the disk.
        let written = fs::create_dir_all(path.parent().unwrap_or(&self.folder)).and_then(|()| {
            write_whole(&path, Durability::Unsynced, |beside| fs::write(beside, &entry))
        });
        if let Err(error) = written
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("{}: downloads cannot be cached: {error}", self.folder.display());
        }
    }

    /// `{folder}/{2 hex digits}/{62 hex digits}`.
    fn path(&self, file: &DayFile) -> PathBuf {
        let digest = digest_of(&[self.place.as_bytes(), file.key.as_bytes()]);
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(&name[..2]).join(&name[2..])
    }

    fn digest(&self, file: &DayFile, bytes: &[u8]) -> [u8; DIGEST_BYTES] {
        digest_of(&[self.place.as_bytes(), file.key.as_bytes(), file.etag.as_bytes(), bytes])
    }
}

/// SHA-256 of the parts, each preceded by its length.
fn digest_of(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    fn file(etag: &str) -> DayFile {
        DayFile {
            key: "stocks_intraday/AAPL/2020/01/AAPL_2020-01-03.parquet".into(),
            date: NaiveDate::from_ymd_opt(2020, 1, 3).unwrap(),
            etag: etag.into(),
            size_bytes: 3,
        }
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        let folders = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        folders.flat_map(|f| fs::read_dir(f).unwrap()).map(|e| e.unwrap().path()).collect()
    }

    #[test]
    fn an_entry_is_of_one_place_key_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlobCache::new(dir.path(), "here");
        assert_eq!(cache.get(&file("1")), None);
        cache.put(&file("1"), b"one");
        assert_eq!(cache.get(&file("1")).unwrap(), b"one");
        assert_eq!(cache.get(&file("2")), None);
        assert_eq!(BlobCache::new(dir.path(), "there").get(&file("1")), None);

        cache.put(&file("2"), b"two");
        assert_eq!(cache.get(&file("2")).unwrap(), b"two");
        assert_eq!(cache.get(&file("1")), None, "the old version is gone");
        assert_eq!(entries(dir.path()).len(), 1);
    }

    #[test]
    fn damage_anywhere_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlobCache::new(dir.path(), "here");
        cache.put(&file("1"), b"one");
        let path = entries(dir.path()).remove(0);
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len(), 3 + DIGEST_BYTES);
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.get(&file("1")), None, "cut to {length} bytes");
        }
        for i in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[i] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(cache.get(&file("1")), None, "byte {i} flipped");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(cache.get(&file("1")).unwrap(), b"one");
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_nothing_but_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("file");
        fs::write(&in_the_way, b"").unwrap();
        let cache = BlobCache::new(&in_the_way, "here");
        cache.put(&file("1"), b"one");
        assert_eq!(cache.get(&file("1")), None);
    }
}
