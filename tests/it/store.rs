//! Stores: a common contract, network faults, the cache, and no leaked credentials.
//!
//! Tests of the Azure store run against Azurite, at the connection string in
//! `DQN_TEST_AZURE_CONNECTION_STRING`.

mod fetch;
mod hostile;
mod pooled;
pub(crate) mod server;

use std::io;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use azure_storage::prelude::{BlobSasPermissions, SasToken};
use azure_storage::{CloudLocation, ConnectionString};
use azure_storage_blobs::prelude::{ClientBuilder, ContainerClient};
use chrono::NaiveDate;
use dqn_trader::market::store::{AzureStore, DayFile, LocalStore, Store, day_key};
use dqn_trader::market::{Period, Symbol};

use server::Server;

fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn key(name: &str, day: &str) -> String {
    day_key(&symbol(name), date(day))
}

fn list(store: &dyn Store, name: &str, start: &str, end: &str) -> Vec<DayFile> {
    store.list(&symbol(name), &Period { start: date(start), end: date(end) }).unwrap()
}

pub(crate) fn azurite() -> String {
    std::env::var("DQN_TEST_AZURE_CONNECTION_STRING").unwrap_or_else(|_| {
        panic!(
            "DQN_TEST_AZURE_CONNECTION_STRING is not set: run scripts/test.sh, which starts Azurite"
        )
    })
}

fn account_key(connection_string: &str) -> &str {
    ConnectionString::new(connection_string).unwrap().account_key.unwrap()
}

/// Runs a request of the Azure crate. On this thread and without logging, because the crate logs
/// signatures and one test reads the log.
pub(crate) fn block_on<T>(future: impl Future<Output = azure_core::Result<T>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let silence = tracing::subscriber::NoSubscriber::new();
    tracing::subscriber::with_default(silence, || runtime.block_on(future)).unwrap()
}

/// A new container in Azurite, and its name.
pub(crate) fn new_container() -> (ContainerClient, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let name = format!("test-{since:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let text = azurite();
    let parsed = ConnectionString::new(&text).unwrap();
    let location = CloudLocation::Custom {
        account: parsed.account_name.unwrap().into(),
        uri: parsed.blob_endpoint.expect("Azurite's address in BlobEndpoint").into(),
    };
    let credentials = parsed.storage_credentials().unwrap();
    let client = ClientBuilder::with_location(location, credentials).container_client(&name);
    block_on(client.create().into_future());
    (client, name)
}

/// The contract of every store.
fn store_contract(store: &dyn Store) {
    assert_eq!(store.symbols().unwrap(), []);
    assert_eq!(list(store, "AAPL", "2019-01-01", "2021-12-31"), []);

    let days = ["2020-01-31", "2019-12-31", "2020-02-03", "2020-01-03"];
    for day in days {
        store.put(&key("AAPL", day), day.as_bytes()).unwrap();
    }
    store.put(&key("AAP", "2020-01-03"), b"another stock").unwrap();
    store.put(&key("BRK.B", "2020-01-03"), b"").unwrap();
    store.put("stocks_intraday/AAPL/2020/01/README.txt", b"not a day").unwrap();

    // Round trip, including an empty file and one beyond the Azure crate's part size of 16 MiB.
    assert_eq!(store.get(&key("AAPL", "2020-01-31")).unwrap(), b"2020-01-31");
    assert_eq!(store.get(&key("BRK.B", "2020-01-03")).unwrap(), b"");
    let large: Vec<u8> = (0..20_000_003_u32).map(|i| (i % 251) as u8).collect();
    store.put(&key("BIG", "2020-01-03"), &large).unwrap();
    assert!(store.get(&key("BIG", "2020-01-03")).unwrap() == large);
    assert_eq!(list(store, "BIG", "2020-01-03", "2020-01-03")[0].size_bytes, 20_000_003);

    // Listed by date, both bounds included, across months and years.
    let dates = |start, end| -> Vec<String> {
        let files = list(store, "AAPL", start, end);
        for file in &files {
            assert_eq!(file.key, key("AAPL", &file.date.to_string()));
            assert_eq!(file.size_bytes, 10);
        }
        files.iter().map(|file| file.date.to_string()).collect()
    };
    assert_eq!(dates("2020-01-03", "2020-01-31"), ["2020-01-03", "2020-01-31"]);
    assert_eq!(dates("2020-01-04", "2020-01-30"), [""; 0]);
    assert_eq!(dates("2020-01-31", "2020-02-03"), ["2020-01-31", "2020-02-03"]);
    assert_eq!(dates("2019-12-31", "2020-01-03"), ["2019-12-31", "2020-01-03"]);
    let sorted = ["2019-12-31", "2020-01-03", "2020-01-31", "2020-02-03"];
    assert_eq!(dates("1990-01-01", "2030-01-01"), sorted);

    // Unknown symbols have no files; every symbol is listed once.
    assert_eq!(list(store, "NONE", "2019-01-01", "2021-12-31"), []);
    let names: Vec<_> = store.symbols().unwrap().iter().map(Symbol::to_string).collect();
    assert_eq!(names, ["AAP", "AAPL", "BIG", "BRK.B"]);

    // An ETag stays the same with the content and changes with it, even at equal size.
    let etag = || list(store, "AAP", "2020-01-03", "2020-01-03")[0].etag.clone();
    let first = etag();
    assert_eq!(etag(), first);
    thread::sleep(Duration::from_millis(50));
    store.put(&key("AAP", "2020-01-03"), b"ANOTHER STOCK").unwrap();
    assert_ne!(etag(), first);
    assert_eq!(store.get(&key("AAP", "2020-01-03")).unwrap(), b"ANOTHER STOCK");

    assert_eq!(store.find(&key("AAP", "2020-01-03")).unwrap().unwrap(), b"ANOTHER STOCK");
    assert_eq!(store.find(&key("AAPL", "2020-01-04")).unwrap(), None);
    let missing = store.get(&key("AAPL", "2020-01-04")).unwrap_err().to_string();
    assert!(missing.contains(&key("AAPL", "2020-01-04")), "{missing}");
    assert!(missing.contains("no such"), "{missing}");
}

#[test]
fn a_local_folder_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    store_contract(&LocalStore::open(dir.path()).unwrap());
}

#[test]
fn azure_keeps_the_contract() {
    let (_, container) = new_container();
    let store = AzureStore::connect(&azurite(), &container).unwrap();
    assert_eq!(store.place(), format!("azure:devstoreaccount1/{container}"));
    store_contract(&store);
}

#[test]
fn a_shared_access_signature_is_accepted() {
    let (client, container) = new_container();
    AzureStore::connect(&azurite(), &container)
        .unwrap()
        .put(&key("AAPL", "2020-01-03"), b"day")
        .unwrap();
    let expiry = azure_core::date::parse_rfc3339("2099-12-31T00:00:00Z").unwrap();
    let read_only = BlobSasPermissions { read: true, list: true, ..Default::default() };
    let sas = block_on(client.shared_access_signature(read_only, expiry)).token().unwrap();
    let text = azurite();
    let endpoint = ConnectionString::new(&text).unwrap().blob_endpoint.unwrap();
    let text = format!("BlobEndpoint={endpoint};SharedAccessSignature={sas}");
    let store = AzureStore::connect(&text, &container).unwrap();
    assert_eq!(list(&store, "AAPL", "2020-01-01", "2020-01-31").len(), 1);
    assert_eq!(store.get(&key("AAPL", "2020-01-03")).unwrap(), b"day");

    let denied = store.put(&key("AAPL", "2020-01-03"), b"new").unwrap_err().to_string();
    assert!(denied.contains("access denied"), "{denied}");
    let signature = sas.split("sig=").nth(1).unwrap();
    assert!(!denied.contains(signature) && !format!("{store:?}").contains(signature), "{denied}");
}

#[test]
fn several_threads_get_at_once() {
    let (_, container) = new_container();
    let store = AzureStore::connect(&azurite(), &container).unwrap();
    for i in 1..=8_u8 {
        store.put(&key("AAPL", &format!("2020-01-0{i}")), &[i; 1000]).unwrap();
    }
    thread::scope(|scope| {
        for i in 1..=8_u8 {
            let store = &store;
            scope.spawn(move || {
                assert_eq!(store.get(&key("AAPL", &format!("2020-01-0{i}"))).unwrap(), [i; 1000]);
            });
        }
    });
}

#[test]
fn a_wrong_key_and_a_missing_container_are_reported_at_once() {
    let (_, container) = new_container();
    let right = azurite();
    let wrong_key = "bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50";
    let wrong = right.replace(account_key(&right), wrong_key);
    let begin = Instant::now();
    let message = AzureStore::connect(&wrong, &container).unwrap_err().to_string();
    assert!(message.contains("access denied ("), "{message}");
    assert!(message.contains("AccountKey"), "{message}");
    assert!(!message.contains(wrong_key) && !message.contains('\n'), "{message}");

    let message = AzureStore::connect(&right, "no-such-container").unwrap_err().to_string();
    let place = "azure:devstoreaccount1/no-such-container: no such container (ContainerNotFound); ";
    assert!(message.starts_with(place), "{message}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());

    let message = AzureStore::connect(&right, "No_Container").unwrap_err().to_string();
    assert!(message.contains("not a valid container name"), "{message}");
}

/// A server with an empty container whose blobs come from `answer`, and a store on it.
fn faulty(answer: impl Fn(usize) -> Option<String> + Send + 'static) -> (Server, AzureStore) {
    let server = Server::start(move |line, before| {
        if line.contains("comp=list") { server::page(&[], "") } else { answer(before) }
    });
    let store = AzureStore::connect(&server.connection_string(), "days").unwrap();
    (server, store)
}

#[test]
fn transient_faults_are_retried() {
    let busy = |before| match before {
        0 | 1 => server::error("503 Service Unavailable", "ServerBusy"),
        _ => server::blob("the day"),
    };
    let (server, store) = faulty(busy);
    let name = key("AAPL", "2020-01-03");
    assert_eq!(store.get(&name).unwrap(), b"the day");
    assert_eq!(server.count(&name), 3);

    let cut_off = |before| match before {
        0 => server::blob("the day").map(|whole| whole[..whole.len() - 3].into()),
        _ => server::blob("the day"),
    };
    let (server, store) = faulty(cut_off);
    assert_eq!(store.get(&name).unwrap(), b"the day");
    assert_eq!(server.count(&name), 2);
}

#[test]
fn a_server_that_keeps_failing_is_abandoned_soon() {
    let (server, store) = faulty(|_| server::error("500 Internal Server Error", "InternalError"));
    let name = key("AAPL", "2020-01-03");
    let begin = Instant::now();
    let message = store.get(&name).unwrap_err().to_string();
    assert!(message.contains("the server failed 5 times (500 InternalError)"), "{message}");
    assert!(message.contains(&name), "{message}");
    assert_eq!(server.count(&name), 5);
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
}

#[test]
fn final_errors_are_not_retried() {
    let (server, store) = faulty(|_| server::error("404 Not Found", "BlobNotFound"));
    let name = key("AAPL", "2020-01-03");
    assert!(store.get(&name).unwrap_err().to_string().starts_with(&format!("{name}: no such")));
    assert_eq!(server.count(&name), 1);
}

#[test]
fn every_page_of_a_listing_is_asked_for() {
    let days: [Vec<String>; 2] = [
        vec![key("AAPL", "2020-01-06"), key("AAPL", "2020-01-07")],
        vec![key("AAPL", "2020-01-03")],
    ];
    let server = Server::start(move |line, _| {
        let names = |page: usize| days[page].iter().map(String::as_str).collect::<Vec<_>>();
        match line {
            _ if line.contains("marker=second") => server::page(&names(1), ""),
            _ if line.contains("delimiter") => server::page(&[], ""),
            _ => server::page(&names(0), "second"),
        }
    });
    let store = AzureStore::connect(&server.connection_string(), "days").unwrap();
    let files = list(&store, "AAPL", "2020-01-01", "2020-01-31");
    let dates: Vec<_> = files.iter().map(|file| file.date.to_string()).collect();
    assert_eq!(dates, ["2020-01-03", "2020-01-06", "2020-01-07"]);
    assert_eq!(server.count("marker=second"), 1);
}

#[test]
fn an_unreachable_host_is_reported_within_seconds() {
    let silent = Server::start(|_, _| None);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed_text = server::connection_string(&format!("{closed}/fake"));
    let unknown_text = server::connection_string("no-such.invalid").replace("http:", "https:");
    let cases = [
        (silent.connection_string(), format!("no answer from http://{}", silent.address)),
        (closed_text, format!("http://{closed} cannot be reached, tried 5 times: Connection ref")),
        (unknown_text, "https://no-such.invalid cannot be reached, tried".into()),
    ];
    thread::scope(|scope| {
        for (text, expected) in &cases {
            scope.spawn(move || {
                let begin = Instant::now();
                let message = AzureStore::connect(text, "days").unwrap_err().to_string();
                assert!(message.contains(expected), "{message}");
                assert!(message.starts_with("azure:fake/days: "), "{message}");
                assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
            });
        }
    });
}

/// Everything logged in this process, at every level.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLog;

impl io::Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_credential_reaches_a_log_or_an_error() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(|| ToLog)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::trace!("the log is being kept");

    let (_, container) = new_container();
    let right = azurite();
    let store = AzureStore::connect(&right, &container).unwrap();
    store.put(&key("AAPL", "2020-01-03"), b"day").unwrap();
    store.get(&key("AAPL", "2020-01-03")).unwrap();
    store.get(&key("AAPL", "2020-01-04")).unwrap_err();

    let (server, _) = faulty(|_| server::error("403 Forbidden", "AuthenticationFailed"));
    let signature = "c2lnbmF0dXJl%2B";
    let denied = format!(
        "BlobEndpoint=http://{}/fake;SharedAccessSignature=sv=1&sig={signature}",
        server.address
    );
    let store = AzureStore::connect(&denied, "days").unwrap();
    assert_eq!(server.count(&format!("sig={signature}")), 1, "the signature was used");
    let mut seen = store.get(&key("AAPL", "2020-01-03")).unwrap_err().to_string();
    let unreachable = "BlobEndpoint=http://127.0.0.1:1;SharedAccessSignature=sv=1&sig=";
    let text = format!("{unreachable}{signature}");
    seen += &AzureStore::connect(&text, "days").unwrap_err().to_string();
    seen += &format!("{store:?} {store:#?}");

    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is being kept"));
    for secret in [account_key(&right), "SharedKey", "c2lnbmF0dXJl", "sig="] {
        assert!(!log.contains(secret), "{secret} in the log");
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}
