//! The cache of day files from a remote store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dqn_trader::market::store::{AzureStore, DayFile, LocalStore, Store, fetch_days};
use dqn_trader::market::{MarketError, Period, Symbol};

use super::{azurite, key, list, new_container};

/// A local folder that acts as a remote store and counts reads.
struct Remote {
    inner: LocalStore,
    gets: AtomicUsize,
}

impl Remote {
    fn with_days(folder: &Path, days: &[&str]) -> Arc<Remote> {
        let inner = LocalStore::open(folder).unwrap();
        for day in days {
            inner.put(&key("AAPL", day), day.as_bytes()).unwrap();
        }
        Arc::new(Remote { inner, gets: AtomicUsize::new(0) })
    }

    fn gets(&self) -> usize {
        self.gets.swap(0, Ordering::SeqCst)
    }
}

impl Store for Remote {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn list(&self, symbol: &Symbol, period: &Period) -> Result<Vec<DayFile>, MarketError> {
        self.inner.list(symbol, period)
    }

    fn symbols(&self) -> Result<Vec<Symbol>, MarketError> {
        self.inner.symbols()
    }

    fn get(&self, key: &str) -> Result<Vec<u8>, MarketError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get(key)
    }

    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError> {
        self.inner.find(key)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), MarketError> {
        self.inner.put(key, bytes)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

const DAYS: [&str; 3] = ["2020-01-03", "2020-01-06", "2020-01-07"];

/// The contents of AAPL's January 2020 through `cache`.
fn january(store: Arc<dyn Store>, cache: &Path) -> Vec<String> {
    let files = list(&*store, "AAPL", "2020-01-01", "2020-01-31");
    let days = fetch_days(store, files, Some(cache), 2, 1 << 20);
    days.map(|day| String::from_utf8(day.unwrap().1).unwrap()).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn fetched_files_are_not_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let store = Remote::with_days(dir.path(), &DAYS);
    assert_eq!(january(store.clone(), &cache), DAYS);
    assert_eq!(store.gets(), 3);
    assert_eq!(january(store.clone(), &cache), DAYS);
    assert_eq!(store.gets(), 0);
}

#[test]
fn a_changed_blob_is_fetched_again_and_the_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let store = Remote::with_days(dir.path(), &DAYS);
    january(store.clone(), &cache);
    store.gets();
    store.put(&key("AAPL", DAYS[1]), b"a later version").unwrap();
    assert_eq!(january(store.clone(), &cache), [DAYS[0], "a later version", DAYS[2]]);
    assert_eq!(store.gets(), 1);
}

#[test]
fn a_damaged_entry_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let store = Remote::with_days(dir.path(), &DAYS);
    january(store.clone(), &cache);
    store.gets();
    let entries = files_below(&cache);
    assert_eq!(entries.len(), 3);
    let whole = fs::read(&entries[0]).unwrap();
    fs::write(&entries[0], &whole[..whole.len() / 2]).unwrap();
    assert_eq!(january(store.clone(), &cache), DAYS);
    assert_eq!(store.gets(), 1);
    assert_eq!(fs::read(&entries[0]).unwrap(), whole, "mended");
}

#[test]
fn a_local_store_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    Remote::with_days(dir.path(), &DAYS);
    let store = Arc::new(LocalStore::open(dir.path()).unwrap());
    assert_eq!(january(store, &cache), DAYS);
    assert!(!cache.exists());
}

#[test]
fn azures_days_come_in_order_and_are_kept() {
    let (client, container) = new_container();
    let store = AzureStore::connect(&azurite(), &container).unwrap();
    let days: Vec<_> = (1..=31).map(|day| format!("2020-01-{day:02}")).collect();
    for day in &days {
        store.put(&key("AAPL", day), day.as_bytes()).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    assert_eq!(january(store.clone(), dir.path()), days);

    // After the blobs are deleted, only the cache can answer.
    let files = list(&*store, "AAPL", "2020-01-01", "2020-01-31");
    super::block_on(client.delete().into_future());
    let kept = fetch_days(store, files, Some(dir.path()), 4, 1 << 20);
    let kept: Vec<_> = kept.map(|day| String::from_utf8(day.unwrap().1).unwrap()).collect();
    assert_eq!(kept, days);
}
