//! Servers that lie: each is one line, soon, and with little memory.

use std::time::{Duration, Instant};

use dqn_trader::market::store::{AzureStore, DayFile, Store};
use dqn_trader::market::{MarketError, Period};

use super::server::{self, Server};
use super::{date, key, symbol};

const SOON: Duration = Duration::from_secs(10);
const KEY: &str = "AAPL";

/// The one line of an error that came soon.
fn line<T>(began: Instant, result: Result<T, MarketError>) -> String {
    let Err(error) = result else { panic!("the lie was believed") };
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let line = error.to_string();
    assert!(!line.contains('\n') && line.len() < 400, "{line}");
    line
}

fn list(store: &AzureStore) -> Result<Vec<DayFile>, MarketError> {
    let period = Period { start: date("2020-01-01"), end: date("2020-12-31") };
    store.list(&symbol(KEY), &period)
}

#[test]
fn a_listing_without_an_end_is_left() {
    for changes in [false, true] {
        let day = key(KEY, "2020-01-03");
        let server = Server::start(move |line, before| {
            let marker = match changes {
                // Another one on every page.
                true => format!(
                    "{:x}-{before}",
                    line.len() * 31 + line.bytes().map(usize::from).sum::<usize>()
                ),
                false => "again".into(),
            };
            let marker = if line.contains("delimiter") { String::new() } else { marker };
            server::page(&[&day], &marker)
        });
        let store = AzureStore::connect(&server.connection_string(), "days").unwrap();
        let said = line(Instant::now(), list(&store));
        assert!(said.contains("the listing of stocks_intraday/AAPL/2020/ does not end"), "{said}");
        assert!(said.contains("check that the endpoint is Azure's"), "{said}");
    }
}

#[test]
fn hostile_xml_is_refused() {
    let attributes: String = (0..200_000).map(|i| format!(" a{i}=\"1\"")).collect();
    let cases = [
        (
            format!("<EnumerationResults{attributes}><Blobs/></EnumerationResults>"),
            "too many attributes",
        ),
        ("<a>".repeat(1_000_000), "too deep or too long"),
        (
            format!("<a><Blobs>{}</Blobs></a>", "<BlobPrefix/>".repeat(1_000_000)),
            "too deep or too long",
        ),
        (format!("<a><!--{}--></a>", "x".repeat(65 << 20)), "larger than 64 MB"),
        (
            "<!DOCTYPE l [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;\">]><EnumerationResults>&b;\
             </EnumerationResults>"
                .into(),
            "entities",
        ),
        ("hello".into(), "not Azure's"),
    ];
    for (xml, expected) in cases {
        let server = Server::start(move |_, _| server::listing(&xml));
        let began = Instant::now();
        let said = line(began, AzureStore::connect(&server.connection_string(), "days"));
        assert!(said.contains(expected), "{expected:?} is missing in: {said}");
        assert_eq!(server.count("comp=list"), 1, "a lie is not asked for again");
    }
}

/// A store on a server that answers for every blob what `answer` says, and lists three bytes for it.
fn blobs(answer: impl Fn() -> Option<String> + Send + 'static) -> (Server, AzureStore, DayFile) {
    let day = key(KEY, "2020-01-03");
    let server = Server::start(move |line, _| match line.contains("comp=list") {
        true if line.contains("delimiter") => server::page(&[], ""),
        true => server::page(&[&day], ""),
        false => answer(),
    });
    let store = AzureStore::connect(&server.connection_string(), "days").unwrap();
    let file = list(&store).unwrap().remove(0);
    assert_eq!(file.size_bytes, 3);
    (server, store, file)
}

#[test]
fn a_body_is_read_no_further_than_it_was_listed() {
    let (_server, store, file) = blobs(|| server::blob(&"x".repeat(100 << 20)));
    let said = line(Instant::now(), store.get_listed(&file));
    assert!(said.contains("listed with 3 bytes, there were more to read"), "{said}");
    assert!(said.starts_with(&file.key), "{said}");

    let (_server, store, file) = blobs(|| server::blob("da"));
    let said = line(Instant::now(), store.get_listed(&file));
    assert!(said.contains("listed with 3 bytes, read 2"), "{said}");

    let (server, store, file) = blobs(|| server::blob("day"));
    let huge = DayFile { size_bytes: 10 << 30, ..file.clone() };
    let said = line(Instant::now(), store.get_listed(&huge));
    assert!(said.contains("larger than 128 MB"), "{said}");
    assert_eq!(server.count(&file.key), 0, "it was not asked for");
    assert_eq!(store.get_listed(&file).unwrap(), b"day");
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    for range in ["bytes x-y/z", "bytes 2-0/3", "bytes 0-18446744073709551615/3", "0-2/3"] {
        let (_server, store, file) = blobs(move || server::ranged("day", range));
        let said = line(Instant::now(), store.get_listed(&file));
        assert!(said.contains("the range of an answer makes no sense"), "{range}: {said}");
    }
    // More is promised than was listed.
    for range in ["bytes 0-2/6", "bytes 0-2/1125899906842624"] {
        let (server, store, file) = blobs(move || server::ranged("day", range));
        let read = store.get_listed(&file);
        assert!(read.as_ref().is_ok_and(|bytes| bytes == b"day") || read.is_err(), "{range}");
        assert!(server.count(&file.key) <= 2, "{range}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let other = Server::start(|_, _| server::page(&[], ""));
    let address = other.address;
    let server = Server::start(move |_, _| server::redirect(&format!("http://{address}/fake")));
    let began = Instant::now();
    let said = line(began, AzureStore::connect(&server.connection_string(), "days"));
    assert!(said.contains("the request was refused (302"), "{said}");
    assert_eq!(other.count(""), 0);
}
