//! From an empty store to results, without the network: fetch, check, upload, train.

use std::process::Command;

use dqn_trader::market::Symbol;
use dqn_trader::synthetic::SyntheticMarket;

use super::service::{Bar, Server, bars, period, series};
use super::{KEY, day_files};
use crate::program::{Place, run, short, succeed};
use crate::store::{azurite, new_container};

const STOCKS: [&str; 2] = ["AAPL", "MSFT"];

/// A synthetic market behind the service.
fn market() -> Server {
    let stocks: Vec<Symbol> = STOCKS.map(|name| name.parse().unwrap()).into();
    let market = SyntheticMarket::parse("momentum").unwrap();
    Server::start(move |request| {
        let symbol: Symbol = request.symbol.parse().unwrap();
        let month: dqn_trader::market::YearMonth = request.month.parse().unwrap();
        let made = market.bars(&stocks, &symbol, &month.period(), request.minutes as u32);
        let bar = |bar: dqn_trader::market::Bar| -> Bar {
            let values = [bar.open, bar.high, bar.low, bar.close, bar.volume];
            (bar.end_s - 60 * request.minutes, values)
        };
        let made: Vec<Bar> = made.bars().map(bar).collect();
        series(request, &made)
    })
}

/// `scripts/nightly.sh` with its settings.
fn nightly(place: &Place, server: &Server, container: &str) -> Command {
    let flags = format!(
        "--service {} --requests-per-minute 60000 --retry-pause-s 0.01 --limit-pause-s 0.01",
        server.url()
    );
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/nightly.sh"));
    command
        .args(STOCKS)
        .env("PROGRAM", env!("CARGO_BIN_EXE_dqn-trader"))
        .env("XDG_CACHE_HOME", place.path("cache"))
        .env("DATA", place.path("bars"))
        .env("INTERVAL", "30min")
        .env("START", "2018-01-01")
        .env("END", "2018-06-30")
        .env("CHECK_FROM", "2018-01-02")
        .env("FETCH_FLAGS", flags)
        .env("CONTAINER", container)
        .env("ALPHAVANTAGE_API_KEY", KEY)
        .env("AZURE_STORAGE_CONNECTION_STRING", azurite());
    command
}

#[test]
fn fetch_check_upload_and_train_from_nothing_to_results() {
    let place = Place::new();
    let server = market();
    let (_, container) = new_container();
    let said = succeed(&mut nightly(&place, &server, &container));
    assert!(said.contains("AAPL: 6 months") && said.contains("MSFT: 125 files uploaded"), "{said}");
    assert_eq!(server.count(), 12);
    assert!(!said.contains(KEY), "{said}");

    let mut args = short(&["--stocks", "AAPL", "MSFT", "--episodes", "1"]);
    args.extend(["--data", "azure", "--container", &container]);
    let mut train = place.program(&args);
    let said = succeed(train.env("AZURE_STORAGE_CONNECTION_STRING", azurite()));
    assert!(said.contains("timestamps mark a bar's start"), "{said}");
    let summary: serde_json::Value =
        serde_json::from_slice(&place.read("results/summary.json")).unwrap();
    assert_eq!(summary["run"]["stocks"], serde_json::json!(STOCKS));
    assert!(place.path("results/trained_model.pth").exists());

    // The next night there is nothing new.
    let said = succeed(&mut nightly(&place, &server, &container));
    assert!(said.contains("MSFT: 0 files uploaded") && server.count() == 12, "{said}");
}

#[test]
fn bad_data_is_not_uploaded() {
    let place = Place::new();
    // One day lacks most of its bars.
    let server = Server::start(|request| {
        let mut bars = bars(&request.symbol, &request.month, request.minutes);
        let day = period("2018-03-07", "2018-03-07");
        let session = dqn_trader::market::calendar::session(day.start).unwrap();
        bars.retain(|(label_s, _)| *label_s < session.open_s || *label_s > session.open_s + 7_200);
        series(request, &bars)
    });
    let output = run(&mut nightly(&place, &server, "no-such-container"));
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("problem  missing bars: 5 bars missing on 1 day"), "{said}");
    assert!(said.contains("2018-03-07 has 8 of 13"), "{said}");
    assert_eq!(day_files(&place.path("bars")).len(), 250);

    let mut check = place.program(&["data", "check", "--quiet", "--format", "json"]);
    let output = run(check.arg("--data").arg(place.path("bars")));
    assert_eq!(output.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["right"], false);
    let stock = &found["stocks"][0];
    assert_eq!((&stock["stock"], &stock["missing_bars"]), (&"AAPL".into(), &5.into()));
    assert_eq!(stock["origin"]["kind"]["adjusted"], true);
    assert_eq!(stock["incomplete_days"][0]["date"], "2018-03-07");
}
