//! Fetching months into day files, with all kinds of responses of the service.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use dqn_trader::ingest::alpha_vantage::{ApiKey, FetchError, SeriesKind, Service, ServiceOptions};

use super::service::{Reply, Request, Server, bars, plain, says, symbol};
use super::{KEY, day_files, refused, with_key};
use crate::program::{Place, succeed};

const PER_DAY: &str = "We have detected your API key as ABCD1234EFGH5678 and our standard API rate \
                       limit is 25 requests per day.";
const PER_MINUTE: &str = "Thank you for using Alpha Vantage! Our standard API call frequency is 5 \
                          calls per minute and 500 calls per day.";

/// A fetch of half-hour bars of `AAA` from January to April 2020, with further arguments.
fn fetch(place: &Place, server: &Server, data: &str, more: &[&str]) -> Command {
    let url = server.url();
    let mut args = vec!["fetch", "--data", data, "--service", &url, "--interval", "30min"];
    args.extend(["--start_date", "2020-01-01", "--end_date", "2020-04-30"]);
    args.extend(["--requests-per-minute", "60000", "--retry-pause-s", "0.01"]);
    args.extend(["--limit-pause-s", "0.01"]);
    if !more.contains(&"--stocks") {
        args.extend(["--stocks", "AAA"]);
    }
    args.extend(more);
    with_key(place, &args)
}

fn months(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|month| format!("AAA 2020-{month:02}")).collect()
}

/// The day files of an uninterrupted fetch.
fn undisturbed() -> &'static BTreeMap<String, Vec<u8>> {
    static FILES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
        let (place, server) = (Place::new(), Server::start(plain));
        succeed(&mut fetch(&place, &server, "data", &["--quiet"]));
        day_files(&place.path("data"))
    });
    &FILES
}

#[test]
fn months_become_day_files_and_a_second_run_asks_for_nothing() {
    let place = Place::new();
    let server = Server::start(plain);
    let said = succeed(fetch(&place, &server, "json", &[]).env("RUST_LOG", "trace"));
    assert!(!said.contains(KEY), "the key shows: {said}");
    assert!(said.contains("AAA 2020-02: 19 days, 247 bars (2 of 4)"), "{said}");
    let line = server.last_line();
    for part in ["adjusted=true", "extended_hours=false", "outputsize=full", "datatype=json", KEY] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(server.asked(), months(1..=4));
    let files = day_files(&place.path("json"));
    // 21, 19, 22 and 21 trading days.
    assert_eq!(files.len(), 83);
    let day = "stocks_intraday/AAA/2020/03/AAA_2020-03-09.parquet";
    let rows = dqn_trader::market::parquet::decode_day(&files[day], day).unwrap();
    // Daylight saving time began the day before: 09:30 is 13:30 UTC.
    assert_eq!((rows.len(), rows.label_s[0]), (13, Some(1_583_760_600)));
    let made = bars("AAA", "2020-03", 30);
    let open = made.iter().find(|(label_s, _)| *label_s == 1_583_760_600).unwrap().1[0];
    assert_eq!(rows.open[0], format!("{open:.4}").parse::<f64>().unwrap());

    let said = succeed(&mut fetch(&place, &server, "json", &[]));
    assert!(said.contains("is up to date") && server.asked().is_empty(), "{said}");

    succeed(&mut fetch(
        &place,
        &server,
        "csv",
        &["--datatype", "csv", "--raw", "--extended-hours"],
    ));
    let line = server.last_line();
    for part in ["adjusted=false", "extended_hours=true", "datatype=csv"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(day_files(&place.path("csv")) == files);
}

#[test]
fn a_limit_per_minute_is_waited_for_and_after_one_per_day_a_later_run_resumes() {
    let place = Place::new();
    let server = Server::start(|request: &Request| match (&*request.month, request.before) {
        ("2020-02", 0) => says("Note", PER_MINUTE),
        ("2020-03", 0) => says("Information", PER_DAY),
        _ => plain(request),
    });
    let mut command = fetch(&place, &server, "data", &[]);
    let line = refused(&mut command, &["AAA 2020-03", "25 requests per day", "tomorrow"]);
    assert!(line.contains("key as ***"), "{line}");
    let asked = ["AAA 2020-01", "AAA 2020-02", "AAA 2020-02", "AAA 2020-03"];
    assert_eq!(server.asked(), asked);
    assert_eq!(day_files(&place.path("data")).len(), 40);

    // February is fetched again to check whether its prices have changed; then the missing months.
    let said = succeed(&mut fetch(&place, &server, "data", &[]));
    assert_eq!(server.asked(), months(2..=4), "{said}");
    assert!(&day_files(&place.path("data")) == undisturbed());

    let server = Server::start(|_| says("Note", PER_MINUTE));
    let mut command = fetch(&place, &server, "never", &["--quiet"]);
    refused(
        &mut command,
        &["AAA 2020-01", "5 calls per minute", "again later (a daily limit: tomorrow) to continue"],
    );
    assert_eq!(server.count(), 4, "three pauses");
    assert!(day_files(&place.path("never")).is_empty());
}

#[test]
fn slow_and_broken_responses_are_retried() {
    let place = Place::new();
    let body = |request: &Request| match plain(request) {
        Reply::Body(body) => body,
        _ => unreachable!(),
    };
    let server = Server::start(move |request| match (&*request.month, request.before) {
        ("2020-01", 0) => Reply::Status("503 Service Unavailable"),
        ("2020-01", 1) => Reply::Silence,
        ("2020-02", 0) => Reply::Cut(body(request)),
        ("2020-02", 1) => Reply::Body("<html>Bad Gateway</html>".into()),
        ("2020-02", 2) => Reply::Body(body(request).replace("2020-02-", "2020-03-")),
        ("2020-02", 3) => Reply::Body(body(request)[..500].into()),
        ("2020-03", 0) => Reply::Status("429 Too Many Requests"),
        _ => plain(request),
    });
    succeed(&mut fetch(&place, &server, "data", &["--timeout-s", "0.5"]));
    assert_eq!(server.count(), 3 + 5 + 2 + 1);
    assert!(&day_files(&place.path("data")) == undisturbed());

    for (reply, tries, words) in [
        ("500 Internal Server Error", 5, ["(5 attempts)", "the server failed (500)"]),
        ("404 Not Found", 1, ["(1 attempt)", "answered 404"]),
        ("302 Found", 1, ["(1 attempt)", "answered 302"]),
        ("403 Forbidden", 1, ["refuses the key", "ALPHAVANTAGE_API_KEY"]),
    ] {
        let server = Server::start(move |_| Reply::Status(reply));
        let error = ask(&server.url());
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(server.count(), tries, "{reply}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(&format!("http://{closed}/query"));
    let words = ["(5 attempts)", "Connection refused", "check the network"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// The error of fetching a month from an address.
fn ask(url: &str) -> String {
    let millisecond = Duration::from_millis(1);
    let manners = ServiceOptions {
        requests_per_minute: 60_000,
        first_pause: millisecond,
        limit_pause: millisecond,
        ..ServiceOptions::default()
    };
    let service = Service::new(url, ApiKey::new(KEY).unwrap(), manners).unwrap();
    let series = SeriesKind { interval_minutes: 30, adjusted: true, extended_hours: false };
    let month = "2020-01".parse().unwrap();
    let error = service.month(&series, &symbol("AAA"), month, &|_| ()).unwrap_err();
    assert!(matches!(error, FetchError::All(_)));
    error.to_string()
}

#[test]
fn one_stock_that_cannot_be_fetched_does_not_block_the_others() {
    let place = Place::new();
    let server = Server::start(|request: &Request| match (&*request.symbol, &*request.month) {
        ("BAD", _) => says("Error Message", "Invalid API call. Please retry."),
        ("NEW", "2020-01") => Reply::Body("{}".into()),
        _ => plain(request),
    });
    let stocks = ["--stocks", "BAD", "NEW", "AAA"];
    let line = refused(&mut fetch(&place, &server, "data", &stocks), &["2 stocks", "Invalid API"]);
    assert!(
        line.contains("has no bars of NEW in 2020-01") && line.contains("--start_date"),
        "{line}"
    );
    let files = day_files(&place.path("data"));
    assert!(files.len() == 83 && files.keys().all(|name| name.contains("/AAA_")));
    // With a later start, the young stock can be fetched.
    let later = ["--stocks", "NEW", "--start_date", "2020-02-01", "--quiet"];
    let mut command = fetch(&place, &server, "data", &later);
    succeed(&mut command);
    assert_eq!(day_files(&place.path("data")).len(), 83 + 62);
}

#[test]
fn a_killed_fetch_resumes_where_it_stopped() {
    let place = Place::new();
    let server = Server::start(|request: &Request| match (&*request.month, request.before) {
        ("2020-03", 0) => Reply::Silence,
        _ => plain(request),
    });
    let mut command = fetch(&place, &server, "data", &["--quiet"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while server.count() < 3 {
        assert!(since.elapsed() < Duration::from_secs(60), "no third request");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(server.asked(), months(1..=3));
    assert_eq!(day_files(&place.path("data")).len(), 40);
    // A file that was damaged meanwhile is fetched again.
    let day = place.path("data/stocks_intraday/AAA/2020/02/AAA_2020-02-05.parquet");
    std::fs::write(day, b"PAR1").unwrap();
    succeed(&mut fetch(&place, &server, "data", &["--quiet"]));
    assert_eq!(server.asked(), months(2..=4));
    assert!(&day_files(&place.path("data")) == undisturbed());
}

#[test]
fn user_errors_are_one_line() {
    let place = Place::new();
    let server = Server::start(plain);
    std::fs::write(place.path("taken"), "a file").unwrap();
    let mut keyless = fetch(&place, &server, "data", &[]);
    refused(keyless.env_remove("ALPHAVANTAGE_API_KEY"), &["ALPHAVANTAGE_API_KEY", "cloudkeys"]);
    for (more, words) in [
        (&["--interval", "2min"][..], &["--interval", "60min"][..]),
        (&["--stocks", "AAA", "aaa"], &["AAA is given twice"]),
        (&["--end_date", "2019-01-01"], &["--end_date", "ends before it begins"]),
        (&["--data", "synthetic:sample"], &["files cannot be written there"]),
        (&["--cache", "taken"], &["taken/fetch/", "choose another with --cache"]),
    ] {
        refused(&mut fetch(&place, &server, "data", more), words);
    }
    assert_eq!(server.count(), 0);
    let demo = "The **demo** API key is for demo purposes only.";
    let server = Server::start(move |_| says("Information", demo));
    refused(&mut fetch(&place, &server, "data", &["--quiet"]), &["refuses the key", "demo"]);
}
