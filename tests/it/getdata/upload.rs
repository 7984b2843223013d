//! Upload of a folder's day files to Azure, for which Azurite stands in.

use std::collections::BTreeMap;
use std::path::Path;

use dqn_trader::ingest::DayBars;
use dqn_trader::market::store::origin::{Origin, OriginKind};
use dqn_trader::market::store::{AzureStore, LocalStore, Store, day_key};

use super::service::{Server, bars, period, plain, symbol};
use super::{refused, with_key};
use crate::program::{Place, succeed};
use crate::store::{azurite, block_on, new_container};

/// Half-hour bars of January 2020 as day files, with prices times `factor`.
fn write(folder: &Path, name: &str, factor: f64) -> LocalStore {
    std::fs::create_dir_all(folder).unwrap();
    let store = LocalStore::open(folder).unwrap();
    let mut days: BTreeMap<_, DayBars> = BTreeMap::new();
    for (label_s, mut bar) in bars(name, "2020-01", 30) {
        bar[..4].iter_mut().for_each(|price| *price *= factor);
        let date = dqn_trader::market::calendar::market_date(label_s);
        days.entry(date).or_default().0.insert(label_s, bar);
    }
    for (date, day) in days {
        let key = day_key(&symbol(name), date);
        store.put(&key, &day.encode(&key).unwrap()).unwrap();
    }
    store
}

fn origin(begun: &str, adjusted: bool) -> Origin {
    let kind = OriginKind::AlphaVantage { adjusted, extended_hours: false };
    Origin::new(kind, 30, begun.into())
}

fn upload(place: &Place, container: &str, more: &[&str]) -> std::process::Command {
    let args = [&["data", "upload", "data", "--container", container], more].concat();
    let mut command = place.program(&args);
    command.env("AZURE_STORAGE_CONNECTION_STRING", azurite());
    command
}

/// Whether the container has exactly the folder's files of a stock.
fn is_same(here: &dyn Store, there: &dyn Store, name: &str) -> bool {
    let all = period("2000-01-01", "2100-01-01");
    let content = |store: &dyn Store| -> BTreeMap<String, Vec<u8>> {
        let files = store.list(&symbol(name), &all).unwrap();
        files.into_iter().map(|f| (f.key.clone(), store.get(&f.key).unwrap())).collect()
    };
    content(here) == content(there)
}

#[test]
fn only_missing_files_are_uploaded() {
    let place = Place::new();
    let (client, container) = new_container();
    let here = write(&place.path("data"), "AAA", 1.0);
    write(&place.path("data"), "BBB", 1.0);
    let there = AzureStore::connect(&azurite(), &container).unwrap();
    // Files that an interrupted run has already uploaded.
    let files = here.list(&symbol("AAA"), &period("2020-01-01", "2020-01-31")).unwrap();
    for file in &files[..6] {
        there.put(&file.key, &here.get(&file.key).unwrap()).unwrap();
    }
    // Written by another program, without a digest.
    for file in &files[6..8] {
        let bytes = here.get(&file.key).unwrap();
        block_on(client.blob_client(&file.key).put_block_blob(bytes).into_future());
    }
    let said = succeed(&mut upload(&place, &container, &[]));
    assert!(said.contains("AAA: 13 files uploaded") && said.contains("8 already there"), "{said}");
    assert!(said.contains("BBB: 21 files uploaded"), "{said}");
    assert!(is_same(&here, &there, "AAA") && is_same(&here, &there, "BBB"));
    let said = succeed(&mut upload(&place, &container, &["--stocks", "AAA"]));
    assert!(said.contains("AAA: 0 files uploaded") && said.contains("21 already there"), "{said}");

    // Same size, other content.
    let key = &files[3].key;
    let mut day = DayBars::decode(&here.get(key).unwrap(), key).unwrap();
    *day.0.values_mut().next().unwrap() = [70.0, 71.0, 69.0, 70.5, 1.0];
    here.put(key, &day.encode(key).unwrap()).unwrap();
    let said = succeed(&mut upload(&place, &container, &["--stocks", "AAA", "--at-once", "1"]));
    assert!(said.contains("AAA: 1 file uploaded"), "{said}");
    assert!(is_same(&here, &there, "AAA"));

    // A file with fewer bars does not replace the existing one.
    day.0.pop_first();
    here.put(key, &day.encode(key).unwrap()).unwrap();
    let line =
        refused(&mut upload(&place, &container, &["--quiet"]), &["kept 1 blob with more bars"]);
    assert!(line.contains(key.as_str()) && line.contains("--replace"), "{line}");
    assert!(!is_same(&here, &there, "AAA"));
    succeed(&mut upload(&place, &container, &["--quiet", "--replace"]));
    assert!(is_same(&here, &there, "AAA"));
}

#[test]
fn inconsistent_ranges_are_not_mixed() {
    let place = Place::new();
    let (_, container) = new_container();
    let here = write(&place.path("data"), "AAA", 1.0);
    origin("2020-02-01T00:00:00Z", true).write(&here, &symbol("AAA")).unwrap();
    succeed(&mut upload(&place, &container, &["--quiet"]));
    let there = AzureStore::connect(&azurite(), &container).unwrap();
    assert_eq!(
        Origin::read(&there, &symbol("AAA")).unwrap(),
        Some(origin("2020-02-01T00:00:00Z", true))
    );

    // Fetched again after a split: all files are replaced.
    let here = write(&place.path("data"), "AAA", 0.5);
    origin("2020-03-01T00:00:00Z", true).write(&here, &symbol("AAA")).unwrap();
    let said = succeed(&mut upload(&place, &container, &[]));
    assert!(said.contains("AAA: 21 files uploaded"), "{said}");
    assert!(is_same(&here, &there, "AAA"));
    let now = Origin::read(&there, &symbol("AAA")).unwrap().unwrap();
    assert_eq!(now, origin("2020-03-01T00:00:00Z", true));

    // A day of the older range that the folder lacks would be mixed with the new ones.
    let key = day_key(&symbol("AAA"), "2020-01-06".parse().unwrap());
    let path = place.path("data").join(&key);
    let day = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    origin("2020-04-01T00:00:00Z", true).write(&here, &symbol("AAA")).unwrap();
    refused(
        &mut upload(&place, &container, &["--quiet"]),
        &["AAA", "1 day that", &key, "not comparable"],
    );
    std::fs::write(&path, day).unwrap();

    origin("2020-04-01T00:00:00Z", false).write(&here, &symbol("AAA")).unwrap();
    let words = ["AAA", "the files are raw", "are adjusted", "--container"];
    refused(&mut upload(&place, &container, &["--quiet"]), &words);
    let torn = Origin { rewriting: true, ..origin("2020-03-01T00:00:00Z", true) };
    torn.write(&here, &symbol("AAA")).unwrap();
    refused(&mut upload(&place, &container, &["--quiet"]), &["AAA", "being replaced"]);
    assert_eq!(Origin::read(&there, &symbol("AAA")).unwrap(), Some(now));
}

#[test]
fn a_fetch_into_azure_equals_one_into_a_folder() {
    let place = Place::new();
    let (_, container) = new_container();
    let server = Server::start(plain);
    let url = server.url();
    let fetch = |data, end| {
        let mut args = vec!["fetch", "--data", data, "--service", &url, "--interval", "30min"];
        args.extend(["--stocks", "AAA", "--start_date", "2020-01-01", "--end_date", end]);
        args.extend(["--requests-per-minute", "60000", "--container", &container]);
        let mut command = with_key(&place, &args);
        command.env("AZURE_STORAGE_CONNECTION_STRING", azurite());
        command
    };
    succeed(&mut fetch("azure", "2020-01-31"));
    succeed(&mut fetch("azure", "2020-02-29"));
    assert_eq!(server.asked(), ["AAA 2020-01", "AAA 2020-01", "AAA 2020-02"]);
    succeed(&mut fetch("data", "2020-02-29"));
    let here = LocalStore::open(&place.path("data")).unwrap();
    let there = AzureStore::connect(&azurite(), &container).unwrap();
    assert_eq!(here.list(&symbol("AAA"), &period("2020-01-01", "2020-03-01")).unwrap().len(), 40);
    assert!(is_same(&here, &there, "AAA"));
    // The same days, fetched at another time.
    let said = succeed(&mut upload(&place, &container, &[]));
    assert!(said.contains("AAA: 0 files uploaded") && said.contains("40 already there"), "{said}");
}

#[test]
fn upload_errors_are_one_line() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).unwrap();
    refused(&mut upload(&place, "any", &["--quiet"]), &["data", "no day files"]);
    write(&place.path("data"), "AAA", 1.0);
    let mut keyless = upload(&place, "any", &["--quiet"]);
    keyless.env_remove("AZURE_STORAGE_CONNECTION_STRING");
    refused(&mut keyless, &["AZURE_STORAGE_CONNECTION_STRING"]);
    refused(&mut upload(&place, "no-such-container", &["--quiet"]), &["no such container"]);
}
