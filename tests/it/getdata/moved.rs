//! Consistency of a stored range: splits, dividends, adjusted versus raw prices.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use dqn_trader::ingest::alpha_vantage::{
    ApiKey, FetchError, Form, SeriesKind, Service, ServiceOptions,
};
use dqn_trader::ingest::{FetchRequest, FetchStats, Fetcher};
use dqn_trader::market::parquet::decode_day;
use dqn_trader::market::store::origin::Origin;
use dqn_trader::market::store::{LocalStore, Store, day_key};

use super::service::{Bar, Reply, Request, Server, bars, period, says, series, symbol};
use super::{KEY, day_files};

/// A market with adjusted history, whose service can stop or omit bars.
struct Market {
    /// Shares after the split per share before it: the divisor of all prices before `split_s`.
    ratio: AtomicI64,
    split_s: AtomicI64,
    /// Bars that end later do not exist yet.
    now_s: AtomicI64,
    /// Number of requests left until the daily limit.
    left: AtomicUsize,
    /// Maximum number of bars per day.
    bars_a_day: AtomicUsize,
}

impl Market {
    fn new(now: &str) -> Arc<Market> {
        let market = Market {
            ratio: AtomicI64::new(1),
            split_s: AtomicI64::new(i64::MAX),
            now_s: AtomicI64::new(0),
            left: AtomicUsize::new(usize::MAX),
            bars_a_day: AtomicUsize::new(usize::MAX),
        };
        let market = Arc::new(market);
        market.go_to(now);
        market
    }

    fn go_to(&self, now: &str) {
        let now: chrono::DateTime<chrono::Utc> = now.parse().unwrap();
        self.now_s.store(now.timestamp(), Ordering::SeqCst);
    }

    fn split(&self, ratio: i64, date: &str) {
        let at: chrono::DateTime<chrono::Utc> = format!("{date}T00:00:00Z").parse().unwrap();
        self.split_s.store(at.timestamp(), Ordering::SeqCst);
        self.ratio.store(ratio, Ordering::SeqCst);
    }

    fn bars(&self, request: &Request) -> Vec<Bar> {
        let get = |value: &AtomicI64| value.load(Ordering::SeqCst);
        let adjusted = request.line.contains("adjusted=true");
        let mut bars = bars(&request.symbol, &request.month, request.minutes);
        bars.retain(|(label_s, _)| label_s + 60 * request.minutes <= get(&self.now_s));
        for (label_s, bar) in &mut bars {
            // Adjusted history is on the scale of the new shares.
            let is_scaled = adjusted && *label_s < get(&self.split_s);
            let ratio = if is_scaled { get(&self.ratio) as f64 } else { 1.0 };
            bar[..4].iter_mut().for_each(|price| *price /= ratio);
        }
        let most = self.bars_a_day.load(Ordering::SeqCst);
        let mut day = (0, 0);
        bars.retain(|(label_s, _)| {
            let date = label_s / 86_400;
            day = if day.0 == date { (date, day.1 + 1) } else { (date, 1) };
            day.1 <= most
        });
        bars
    }

    fn serve(self: &Arc<Market>) -> Server {
        let market = self.clone();
        Server::start(move |request| match market.left.load(Ordering::SeqCst) {
            0 => says("Information", "our standard API rate limit is 25 requests per day."),
            left => {
                market.left.store(left - 1, Ordering::SeqCst);
                match market.bars(request) {
                    none if none.is_empty() => Reply::Body("{}".into()),
                    bars => series(request, &bars),
                }
            }
        })
    }
}

struct Place {
    dir: tempfile::TempDir,
    server: Server,
    market: Arc<Market>,
}

impl Place {
    fn new(now: &str) -> Place {
        let market = Market::new(now);
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        Place { dir, server: market.serve(), market }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn store(&self) -> LocalStore {
        LocalStore::open(&self.data()).unwrap()
    }

    fn fetch(&self, end: &str) -> Result<FetchStats, FetchError> {
        self.fetch_as(end, true, false)
    }

    fn fetch_as(&self, end: &str, adjusted: bool, rewrite: bool) -> Result<FetchStats, FetchError> {
        let manners = ServiceOptions {
            requests_per_minute: 60_000,
            form: Form::Json,
            timeout: Duration::from_secs(10),
            first_pause: Duration::from_millis(1),
            limit_pause: Duration::from_millis(1),
        };
        let key = ApiKey::new(KEY).unwrap();
        let service = Service::new(&self.server.url(), key, manners).unwrap();
        let series = SeriesKind { interval_minutes: 30, adjusted, extended_hours: false };
        let fetcher = Fetcher {
            service: &service,
            store: &self.store(),
            aside: &self.dir.path().join("aside"),
            request: &FetchRequest { series, period: period("2020-01-01", end), rewrite },
            now_s: self.market.now_s.load(Ordering::SeqCst),
            tell: &|_| (),
        };
        fetcher.stock(&symbol("AAA"))
    }

    /// Whether all stored closes equal the service's current ones.
    fn is_consistent(&self) -> bool {
        let mut files = 0;
        for month in ["2020-01", "2020-02", "2020-03", "2020-04"] {
            let line = "adjusted=true".to_string();
            let (symbol, month) = ("AAA".to_string(), month.to_string());
            let request = Request { symbol, month, minutes: 30, csv: false, line, before: 0 };
            for (label_s, bar) in self.market.bars(&request) {
                let date = dqn_trader::market::calendar::market_date(label_s);
                let key = day_key(&super::service::symbol("AAA"), date);
                let Some(bytes) = self.store().find(&key).unwrap() else { continue };
                let rows = decode_day(&bytes, &key).unwrap();
                let row = rows.label_s.iter().position(|stored| *stored == Some(label_s));
                let close = format!("{:.4}", bar[3]).parse::<f64>().unwrap();
                if row.is_some_and(|row| rows.close[row] != close) {
                    return false;
                }
                files += 1;
            }
        }
        files > 0
    }
}

fn months(list: &[u32]) -> Vec<String> {
    list.iter().map(|month| format!("AAA 2020-{month:02}")).collect()
}

fn message(result: Result<FetchStats, FetchError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_month_grows_night_by_night() {
    // Thursday noon in New York: Wednesday is the last complete day.
    let place = Place::new("2020-01-16T17:00:00Z");
    let stats = place.fetch("2020-12-31").unwrap();
    assert_eq!((stats.months, stats.files), (1, 10));
    assert_eq!(place.fetch("2020-12-31").unwrap(), FetchStats::default());
    assert_eq!(place.server.asked(), months(&[1]));
    place.market.go_to("2020-01-17T08:00:00Z");
    assert_eq!(place.fetch("2020-12-31").unwrap().files, 1);
    assert_eq!(place.fetch("2020-12-31").unwrap(), FetchStats::default());
    assert_eq!(place.server.asked(), months(&[1]));
    // The first days of a month alone do not show whether all prices have changed.
    place.market.go_to("2020-02-05T08:00:00Z");
    place.fetch("2020-12-31").unwrap();
    assert_eq!(place.server.asked(), months(&[1, 2]));
    place.market.go_to("2020-02-06T08:00:00Z");
    place.fetch("2020-12-31").unwrap();
    assert_eq!(place.server.asked(), months(&[2, 1]));
    assert_eq!(day_files(&place.data()).len(), 21 + 3);
    assert!(place.is_consistent());
}

#[test]
fn a_split_replaces_the_whole_range_at_once_and_not_before_it_is_whole() {
    let place = Place::new("2020-04-02T08:00:00Z");
    place.fetch("2020-12-31").unwrap();
    assert_eq!(place.server.asked(), months(&[1, 2, 3, 4]));
    let before = day_files(&place.data());
    assert_eq!(before.len(), 21 + 19 + 22 + 1);

    place.market.go_to("2020-04-21T08:00:00Z");
    place.market.split(4, "2020-04-20");
    place.market.left.store(4, Ordering::SeqCst);
    let error = message(place.fetch("2020-12-31"));
    assert!(error.contains("25 requests per day"), "{error}");
    assert!(day_files(&place.data()) == before, "nothing is replaced before the range is whole");
    assert_eq!(place.server.asked(), months(&[4, 1, 2, 3, 4]));

    // On the next day the rest is fetched, and March again in case it has changed since.
    place.market.left.store(usize::MAX, Ordering::SeqCst);
    let stats = place.fetch("2020-12-31").unwrap();
    assert_eq!((stats.rewritten, stats.files), (true, 21 + 19 + 22 + 13));
    assert_eq!(place.server.asked(), months(&[3, 4]));
    assert!(place.is_consistent());
    assert!(!place.dir.path().join("aside/AAA").exists());
    let origin = Origin::read(&place.store(), &symbol("AAA")).unwrap().unwrap();
    assert!(!origin.rewriting && origin.months.len() == 4);
    assert_eq!(place.fetch("2020-12-31").unwrap(), FetchStats::default());
}

#[test]
fn an_interrupted_replacement_is_finished_before_any_read() {
    let place = Place::new("2020-03-01T08:00:00Z");
    place.fetch("2020-02-29").unwrap();
    place.market.split(2, "2020-03-02");
    // As left by a killed run: the new range is staged, the store is marked, some files are
    // replaced.
    let aside = Place::new("2020-03-03T08:00:00Z");
    aside.market.split(2, "2020-03-02");
    aside.fetch("2020-02-29").unwrap();
    copy(&aside.data(), &place.dir.path().join("aside/AAA"));
    let mut origin = Origin::read(&aside.store(), &symbol("AAA")).unwrap().unwrap();
    origin.rewriting = true;
    origin.write(&place.store(), &symbol("AAA")).unwrap();
    let key = day_key(&symbol("AAA"), "2020-01-06".parse().unwrap());
    place.store().put(&key, &aside.store().get(&key).unwrap()).unwrap();
    assert!(!place.is_consistent());

    let program = crate::program::Place::new();
    let data = place.data();
    let train = ["--data", data.to_str().unwrap(), "--stocks", "AAA", "--quiet"];
    let dates = ["--start_date", "2020-01-02", "--end_date", "2020-01-31"];
    let evaluation = ["--eval_start", "2020-02-03", "--eval_end", "2020-02-28"];
    let args = [&train[..], &dates, &evaluation].concat();
    super::refused(
        &mut program.program(&args),
        &["AAA", "being replaced", "run the interrupted fetch"],
    );

    place.market.go_to("2020-03-03T08:00:00Z");
    let stats = place.fetch("2020-02-29").unwrap();
    assert!(stats.rewritten && place.is_consistent());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn adjusted_and_raw_do_not_mix() {
    let place = Place::new("2020-03-01T08:00:00Z");
    place.market.split(4, "2020-02-10");
    place.fetch("2020-01-31").unwrap();
    let before = day_files(&place.data());
    let error = message(place.fetch_as("2020-02-29", false, false));
    assert!(error.contains("adjusted, regular hours, 30 min, not raw"), "{error}");
    assert!(error.contains("--rewrite") && day_files(&place.data()) == before);
    let stats = place.fetch_as("2020-02-29", false, true).unwrap();
    assert_eq!((stats.rewritten, stats.files), (true, 40));
    let origin = Origin::read(&place.store(), &symbol("AAA")).unwrap().unwrap();
    assert_eq!(origin.to_string(), "raw, regular hours, 30 min");

    // Files of another program: whether they are adjusted is unknown.
    let other = Place::new("2020-03-01T08:00:00Z");
    for (name, bytes) in before {
        other.store().put(&name, &bytes).unwrap();
    }
    let error = message(other.fetch("2020-02-29"));
    assert!(error.contains("21 day files that this program did not fetch"), "{error}");
}

#[test]
fn good_data_is_not_replaced_by_worse() {
    let place = Place::new("2020-03-01T08:00:00Z");
    place.fetch("2020-01-31").unwrap();
    let january = day_files(&place.data());
    // January is fetched again with half of its bars: the stored ones are kept.
    place.market.bars_a_day.store(6, Ordering::SeqCst);
    place.fetch("2020-02-29").unwrap();
    assert_eq!(place.server.asked(), months(&[1, 1, 2]));
    let both = day_files(&place.data());
    assert!(january.iter().all(|(name, bytes)| both.get(name) == Some(bytes)));
    // A complete new range with fewer bars replaces nothing.
    let error = message(place.fetch_as("2020-02-29", true, true));
    assert!(error.contains("fewer bars than the stored files on 21 days"), "{error}");
    assert!(error.contains("2020-01-02: 180 minutes, stored 390"), "{error}");
    assert!(day_files(&place.data()) == both);
}
