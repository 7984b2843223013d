//! Day files in order, prefetched by several threads.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use super::{BlobCache, DayFile, Store};
use crate::market::error::MarketError;

/// Files requested ahead per fetching thread: enough that no thread waits for the reader.
const FILES_AHEAD_PER_THREAD: usize = 4;
/// Local files per job: waking a thread costs as much as reading one file.
const LOCAL_FILES_PER_JOB: usize = 16;

/// The content of `files`, in order. Up to `concurrency` files are fetched at a time, while their
/// listed sizes add up to at most `ahead_bytes` (a larger file is fetched alone). A remote store's
/// files are kept in `cache` and read from there the next time.
///
/// The first error ends the stream. Dropping the stream stops fetching: requests in flight are
/// finished in the background, and no others are started.
pub fn fetch_days(
    store: Arc<dyn Store>,
    files: Vec<DayFile>,
    cache: Option<&Path>,
    concurrency: usize,
    ahead_bytes: u64,
) -> DayStream {
    assert!(concurrency > 0, "nothing can be fetched by no thread");
    let files_per_job = if store.is_remote() { 1 } else { LOCAL_FILES_PER_JOB };
    let cache = cache.filter(|_| store.is_remote());
    let cache = cache.map(|folder| BlobCache::new(folder, &store.place()));
    let fetcher = Arc::new(DayFetcher { store, cache, stopped: AtomicBool::new(false) });
    let (jobs, queue) = mpsc::channel();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..concurrency.min(files.len().div_ceil(files_per_job)) {
        let (fetcher, queue) = (fetcher.clone(), queue.clone());
        thread::spawn(move || fetcher.serve(&queue));
    }
    let mut stream = DayStream {
        waiting: files.into(),
        ahead: VecDeque::new(),
        ready: VecDeque::new(),
        files_per_job,
        files_ahead: concurrency * FILES_AHEAD_PER_THREAD,
        ahead_bytes,
        jobs,
        fetcher,
    };
    stream.fetch_ahead();
    stream
}

/// See [`fetch_days`].
pub struct DayStream {
    /// Not requested yet.
    waiting: VecDeque<DayFile>,
    /// Requested: being fetched, or fetched and not yet taken.
    ahead: VecDeque<(Vec<DayFile>, mpsc::Receiver<Vec<Content>>)>,
    /// Files of the job that is being taken.
    ready: VecDeque<(DayFile, Content)>,
    files_per_job: usize,
    /// Bounds of `ahead`.
    files_ahead: usize,
    ahead_bytes: u64,
    jobs: mpsc::Sender<FetchJob>,
    fetcher: Arc<DayFetcher>,
}

type Content = Result<Vec<u8>, MarketError>;

/// Files to fetch, and the channel for their content.
struct FetchJob {
    files: Vec<DayFile>,
    reply: mpsc::SyncSender<Vec<Content>>,
}

impl DayStream {
    /// Requests as many files as the bounds allow, and at least one.
    fn fetch_ahead(&mut self) {
        let ahead = self.ahead.iter().flat_map(|(files, _)| files);
        let (mut count, mut bytes) =
            ahead.fold((0, 0_u64), |(n, bytes), file| (n + 1, bytes + file.size_bytes));
        loop {
            let mut files = Vec::new();
            while let Some(file) = self.waiting.front()
                && files.len() < self.files_per_job
            {
                bytes = bytes.saturating_add(file.size_bytes);
                let fits = count < self.files_ahead && bytes <= self.ahead_bytes;
                if !fits && count > 0 {
                    break;
                }
                count += 1;
                files.extend(self.waiting.pop_front());
            }
            if files.is_empty() {
                return;
            }
            let (reply, content) = mpsc::sync_channel(1);
            // A send only fails if every thread has panicked, which `next` then reports.
            let _ = self.jobs.send(FetchJob { files: files.clone(), reply });
            self.ahead.push_back((files, content));
        }
    }

    fn stop(&mut self) {
        self.fetcher.stopped.store(true, Ordering::Relaxed);
        self.waiting.clear();
        self.ahead.clear();
        self.ready.clear();
    }
}

impl Iterator for DayStream {
    type Item = Result<(DayFile, Vec<u8>), MarketError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            let (files, contents) = self.ahead.pop_front()?;
            let contents = contents.recv().expect("a thread that fetches panicked");
            self.ready.extend(files.into_iter().zip(contents));
            self.fetch_ahead();
        }
        let (file, content) = self.ready.pop_front()?;
        match content {
            Ok(bytes) => Some(Ok((file, bytes))),
            Err(error) => {
                self.stop();
                Some(Err(error))
            }
        }
    }
}

impl Drop for DayStream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// State shared by the fetching threads.
struct DayFetcher {
    store: Arc<dyn Store>,
    cache: Option<BlobCache>,
    stopped: AtomicBool,
}

impl DayFetcher {
    /// Serves jobs until the queue is closed.
    fn serve(&self, queue: &Mutex<mpsc::Receiver<FetchJob>>) {
        loop {
            // The lock is held only while waiting: one thread waits for the next job, the others
            // for the lock.
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(FetchJob { files, reply }) = job else { return };
            let wanted = || !self.stopped.load(Ordering::Relaxed);
            let contents = files.iter().take_while(|_| wanted()).map(|file| self.fetch(file));
            // The receiver is gone if the stream was dropped meanwhile.
            let _ = reply.send(contents.collect());
        }
    }

    fn fetch(&self, file: &DayFile) -> Content {
        if let Some(bytes) = self.cache.as_ref().and_then(|cache| cache.get(file)) {
            return Ok(bytes);
        }
        let bytes = self.store.get_listed(file)?;
        if let Some(cache) = &self.cache {
            cache.put(file, &bytes);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::bar::{Period, Symbol};
    use chrono::{Days, NaiveDate};
    use std::sync::atomic::AtomicUsize;
    use std::time::{Duration, Instant};

    /// Returns each key's bytes; counts the calls, and how many run at once.
    #[derive(Default)]
    struct EchoStore {
        gets: AtomicUsize,
        running: AtomicUsize,
        most_running: AtomicUsize,
        is_remote: bool,
    }

    impl Store for EchoStore {
        fn place(&self) -> String {
            "echo".into()
        }

        fn list(&self, _: &Symbol, _: &Period) -> Result<Vec<DayFile>, MarketError> {
            Ok(Vec::new())
        }

        fn symbols(&self) -> Result<Vec<Symbol>, MarketError> {
            Ok(Vec::new())
        }

        fn get(&self, key: &str) -> Result<Vec<u8>, MarketError> {
            self.gets.fetch_add(1, Ordering::SeqCst);
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_running.fetch_max(running, Ordering::SeqCst);
            // Later keys answer sooner, so that the stream has to restore the order.
            let wait_ms = 20_u64.saturating_sub(2 * key.parse::<u64>().unwrap_or(0));
            thread::sleep(Duration::from_millis(wait_ms));
            self.running.fetch_sub(1, Ordering::SeqCst);
            if key == "bad" {
                let (what, hint) = ("no such file".into(), "mend it".into());
                return Err(MarketError::File { file: key.into(), what, hint, cause: None });
            }
            Ok(key.as_bytes().to_vec())
        }

        fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError> {
            self.get(key).map(Some)
        }

        fn put(&self, _: &str, _: &[u8]) -> Result<(), MarketError> {
            Ok(())
        }

        fn is_remote(&self) -> bool {
            self.is_remote
        }
    }

    impl EchoStore {
        fn remote() -> Arc<EchoStore> {
            Arc::new(EchoStore { is_remote: true, ..EchoStore::default() })
        }
    }

    fn files(keys: impl IntoIterator<Item = String>) -> Vec<DayFile> {
        let start = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        let file = |(i, key): (usize, String)| DayFile {
            date: start + Days::new(i as u64),
            etag: "1".into(),
            size_bytes: key.len() as u64,
            key,
        };
        keys.into_iter().enumerate().map(file).collect()
    }

    fn numbered(n: usize) -> Vec<DayFile> {
        files((0..n).map(|i| format!("{i:03}")))
    }

    #[test]
    fn files_come_in_order_and_several_at_once() {
        let store = EchoStore::remote();
        let stream = fetch_days(store.clone(), numbered(40), None, 4, 1 << 20);
        let keys: Vec<_> = stream.map(|day| day.unwrap()).collect();
        assert_eq!(keys.len(), 40);
        for (i, (file, bytes)) in keys.iter().enumerate() {
            assert_eq!(
                (file.key.as_str(), bytes.as_slice()),
                (format!("{i:03}").as_str(), file.key.as_bytes())
            );
        }
        assert_eq!(store.gets.load(Ordering::SeqCst), 40);
        let most = store.most_running.load(Ordering::SeqCst);
        assert!((2..=4).contains(&most), "{most} at once");
    }

    #[test]
    fn local_files_come_in_order_as_well() {
        for count in [1, 16, 17, 100] {
            let stream =
                fetch_days(Arc::new(EchoStore::default()), numbered(count), None, 4, 1 << 20);
            let keys: Vec<_> = stream.map(|day| day.unwrap().0.key).collect();
            assert_eq!(keys, (0..count).map(|i| format!("{i:03}")).collect::<Vec<_>>());
        }
        let keys = ["001", "bad", "003"].map(String::from);
        let days: Vec<_> =
            fetch_days(Arc::new(EchoStore::default()), files(keys), None, 4, 9).collect();
        assert_eq!(days.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn no_more_is_fetched_ahead_than_the_bounds_allow() {
        for (ahead_bytes, expected) in [(9, 3), (1, 1), (1 << 20, 8)] {
            let store = EchoStore::remote();
            let mut stream = fetch_days(store.clone(), numbered(30), None, 2, ahead_bytes);
            thread::sleep(Duration::from_millis(200));
            assert_eq!(store.gets.load(Ordering::SeqCst), expected, "{ahead_bytes} bytes");
            stream.next().unwrap().unwrap();
            thread::sleep(Duration::from_millis(100));
            assert_eq!(store.gets.load(Ordering::SeqCst), expected + 1, "{ahead_bytes} bytes");
            assert_eq!(stream.count(), 29);
        }
    }

    #[test]
    fn the_first_error_comes_in_its_place_and_ends_the_stream() {
        let store = EchoStore::remote();
        let keys = ["001", "bad", "003", "004"].map(String::from);
        let days: Vec<_> = fetch_days(store, files(keys), None, 2, 1 << 20).collect();
        assert_eq!(days.len(), 2);
        assert!(days[0].is_ok());
        assert!(days[1].as_ref().unwrap_err().to_string().starts_with("bad: "));
    }

    #[test]
    fn a_file_that_changed_since_it_was_listed_is_an_error() {
        let mut listed = numbered(1);
        listed[0].size_bytes = 7;
        let day = fetch_days(EchoStore::remote(), listed, None, 1, 1 << 20).next().unwrap();
        let message = day.unwrap_err().to_string();
        assert!(message.starts_with("000: listed with 7 bytes, read 3; "), "{message}");
    }

    #[test]
    fn dropping_the_stream_ends_its_threads() {
        let store = EchoStore::remote();
        let mut stream = fetch_days(store.clone(), numbered(200), None, 4, 1 << 20);
        stream.next().unwrap().unwrap();
        drop(stream);
        let begun = store.gets.load(Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Arc::strong_count(&store) > 1 {
            assert!(Instant::now() < deadline, "threads still hold the store");
            thread::sleep(Duration::from_millis(1));
        }
        let after = store.gets.load(Ordering::SeqCst) - begun;
        assert!(after <= 4, "{after} files were begun after the drop");
    }

    #[test]
    fn no_files_no_threads_no_days() {
        let store = EchoStore::remote();
        assert!(fetch_days(store.clone(), Vec::new(), None, 4, 1).next().is_none());
        assert_eq!(store.gets.load(Ordering::SeqCst), 0);
    }
}
