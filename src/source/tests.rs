use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::*;
use crate::market::bar::Bar;
use crate::market::calendar;
use crate::market::calendar::Calendar;
use crate::market::options::{BarLabel, LabelOrigin, OutlierRule};
use crate::market::parquet::encode_day;
use crate::market::store::DayFile;

/// Day files in memory.
#[derive(Default)]
struct MemoryStore {
    files: BTreeMap<String, (DayFile, Vec<u8>)>,
}

impl Store for MemoryStore {
    fn place(&self) -> String {
        "memory".into()
    }

    fn list(&self, symbol: &Symbol, period: &Period) -> Result<Vec<DayFile>, MarketError> {
        let folder = format!("{symbol}/");
        let files = self.files.values().map(|(file, _)| file.clone());
        Ok(files.filter(|f| f.key.starts_with(&folder) && period.contains(f.date)).collect())
    }

    fn symbols(&self) -> Result<Vec<Symbol>, MarketError> {
        let mut names: Vec<&str> = self.files.keys().filter_map(|k| k.split('/').next()).collect();
        names.dedup();
        names.into_iter().map(str::parse).collect()
    }

    fn get(&self, key: &str) -> Result<Vec<u8>, MarketError> {
        Ok(self.files[key].1.clone())
    }

    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError> {
        Ok(self.files.get(key).map(|(_, bytes)| bytes.clone()))
    }

    fn put(&self, _: &str, _: &[u8]) -> Result<(), MarketError> {
        unreachable!("loading writes nothing")
    }
}

impl MemoryStore {
    /// A day of five-minute bars that opens at `price`.
    fn with_day(mut self, symbol: &str, day: &str, price: f64) -> MemoryStore {
        let date: NaiveDate = day.parse().unwrap();
        let session = calendar::session(date).unwrap();
        let mut series = BarSeries::new(symbol.parse().unwrap());
        for (i, start_s) in (session.open_s..session.close_s).step_by(300).enumerate() {
            let open = price + 0.01 * i as f64;
            let (high, low, close) = (open + 0.02, open - 0.01, open + 0.01);
            series.push(Bar { end_s: start_s + 300, open, high, low, close, volume: 100.0 });
        }
        let bytes = encode_day(&series, 5).unwrap();
        let key = format!("{symbol}/{day}");
        let etag = format!("{price}");
        let file = DayFile { key: key.clone(), date, etag, size_bytes: bytes.len() as u64 };
        self.files.insert(key, (file, bytes));
        self
    }

    fn source(self) -> DataSource {
        DataSource::Store(Arc::new(self))
    }
}

fn options() -> LoadOptions {
    LoadOptions {
        bar_minutes: None,
        bar_label: BarLabel::Auto,
        label_origin: LabelOrigin::default(),
        calendar: Calendar::Nyse,
        extended_hours: false,
        strict: false,
        clean: OutlierRule::Off,
        columns: Vec::new(),
        cache_dir: None,
    }
}

fn period(start: &str, end: &str) -> Period {
    Period { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

fn load(
    source: &DataSource,
    symbol: &str,
    period: &Period,
) -> Result<(BarSeries, LoadReport), MarketError> {
    load_bars(source, &[], &symbol.parse().unwrap(), period, &options(), &mut |_| ())
}

fn two_days() -> MemoryStore {
    MemoryStore::default().with_day("AAPL", "2020-08-28", 500.0).with_day(
        "AAPL",
        "2020-08-31",
        126.0,
    )
}

#[test]
fn days_become_one_series_and_progress_is_told() {
    let mut told = Vec::new();
    let aapl = "AAPL".parse().unwrap();
    let year = period("2020-01-01", "2020-12-31");
    let (series, report) =
        load_bars(&two_days().source(), &[], &aapl, &year, &options(), &mut |p| {
            told.push((p.days_done, p.days_total))
        })
        .unwrap();
    assert_eq!(told, [(0, 2), (1, 2), (2, 2)]);
    assert_eq!((series.len(), report.bars, report.day_files), (156, 156, 2));
    assert_eq!((series.open[0], series.close[77]), (500.0, 500.0 + 0.01 * 77.0 + 0.01));
    // 2020-08-28 09:35 EDT
    assert_eq!(series.end_s[0], 1_598_621_700);
    assert_eq!((report.bad_rows, report.extended_rows, report.bar_minutes), (0, 0, 5));
    assert_eq!(report.bar_label, BarLabel::Start);
    assert!(
        report
            .doubts
            .iter()
            .any(|n| n.starts_with("2020-08-31: opens at 126") && n.contains("4:1"))
    );
}

#[test]
fn only_the_period_is_loaded() {
    let day = period("2020-08-31", "2020-08-31");
    let (series, _) = load(&two_days().source(), "AAPL", &day).unwrap();
    assert_eq!((series.len(), series.open[0]), (78, 126.0));
}

#[test]
fn an_unknown_symbol_and_an_empty_period_say_what_there_is() {
    let source = two_days().with_day("AMZN", "2020-08-28", 1.0).source();
    let year = period("2020-01-01", "2020-12-31");
    let error = load(&source, "APPL", &year).unwrap_err();
    let says = "APPL: memory has no day files of this stock; check --stocks and --data; \
                near names that it has: AAPL";
    assert!(error.to_string().starts_with(says), "{error}");
    let error = load(&source, "ZZZ", &year).unwrap_err();
    assert!(error.to_string().ends_with("it has 2 stocks: AAPL, AMZN"), "{error}");
    let error = load(&source, "AAPL", &period("2019-01-01", "2019-12-31")).unwrap_err();
    let says = "AAPL: memory has no day files from 2019-01-01 to 2019-12-31; \
                it has 2 days, 2020-08-28 to 2020-08-31";
    assert_eq!(error.to_string(), says);
    let error = load(&source, "AAPL", &period("2020-12-31", "2020-01-01")).unwrap_err();
    assert!(matches!(error, MarketError::Input { .. }));
}

#[test]
fn a_damaged_day_names_its_file() {
    let mut store = two_days();
    if let Some((file, bytes)) = store.files.get_mut("AAPL/2020-08-31") {
        bytes.truncate(1000);
        file.size_bytes = 1000;
    }
    let error = load(&store.source(), "AAPL", &period("2020-01-01", "2020-12-31")).unwrap_err();
    assert!(
        error.to_string().starts_with("AAPL/2020-08-31: is not a whole Parquet file (1000 bytes)"),
        "{error}"
    );
}

#[test]
fn a_column_that_is_nowhere_is_named_with_its_file() {
    let year = period("2020-01-01", "2020-12-31");
    let options = LoadOptions { columns: vec!["vix".into()], ..options() };
    let refused = |source: &DataSource| {
        let aapl = "AAPL".parse().unwrap();
        let loaded =
            load_bars(source, &[aapl], &"AAPL".parse().unwrap(), &year, &options, &mut |_| ());
        loaded.unwrap_err().to_string()
    };
    let text = refused(&two_days().source());
    assert!(text.starts_with("AAPL/2020-08-28: has no column vix (it has: timestamp, "), "{text}");
    let text = refused(&DataSource::Synthetic(SyntheticMarket::parse("sample").unwrap()));
    assert!(
        text.contains("made-up prices have no column vix") && text.contains("--data"),
        "{text}"
    );
}

#[test]
fn the_fingerprint_changes_with_all_that_the_bars_depend_on() {
    let aapl: Symbol = "AAPL".parse().unwrap();
    let year = period("2020-01-01", "2020-12-31");
    let of = |store: MemoryStore, period: &Period, options: &LoadOptions| {
        fingerprint(&store.source(), &aapl, period, options).unwrap()
    };
    let base = of(two_days(), &year, &options());
    assert_eq!(base, of(two_days(), &year, &options()));
    let cached = LoadOptions { cache_dir: Some("anywhere".into()), ..options() };
    assert_eq!(base, of(two_days(), &year, &cached));
    let others = [
        of(two_days().with_day("AAPL", "2020-08-31", 127.0), &year, &options()),
        of(two_days().with_day("AAPL", "2020-09-01", 127.0), &year, &options()),
        of(two_days(), &period("2020-01-02", "2020-12-31"), &options()),
        of(two_days(), &year, &LoadOptions { bar_minutes: Some(15), ..options() }),
        of(two_days(), &year, &LoadOptions { extended_hours: true, ..options() }),
        of(two_days(), &year, &LoadOptions { bar_label: BarLabel::End, ..options() }),
        of(two_days(), &year, &LoadOptions { strict: true, ..options() }),
        of(two_days(), &year, &LoadOptions { clean: OutlierRule::Drop, ..options() }),
        of(two_days(), &year, &LoadOptions { columns: vec!["vix".into()], ..options() }),
        of(two_days(), &year, &LoadOptions { columns: vec!["mood".into()], ..options() }),
    ];
    assert!(others.iter().all(|other| *other != base));
    let made_up = |name: &str| {
        let source = DataSource::Synthetic(SyntheticMarket::parse(name).unwrap());
        fingerprint(&source, &aapl, &year, &options()).unwrap()
    };
    let names = ["sample:1", "sample:2", "momentum:1", "pairs:1", "pairs-1:1"];
    let prints: std::collections::BTreeSet<String> = names.map(made_up).into();
    assert_eq!(prints.len(), names.len());
}

#[test]
fn a_planted_market_has_its_bars_in_the_length_asked_for() {
    let stocks: Vec<Symbol> = ["A", "B"].map(|name| name.parse().unwrap()).into();
    let (day, half) = (period("2020-03-02", "2020-03-02"), period("2020-11-27", "2020-11-27"));
    let load = |market: &str, minutes, period: &Period| {
        let source = DataSource::Synthetic(SyntheticMarket::parse(market).unwrap());
        let options = LoadOptions { bar_minutes: minutes, ..options() };
        load_bars(&source, &stocks, &stocks[0], period, &options, &mut |_| ())
    };
    // 13 half hours; 7 hours of which the last is half an hour; likewise on a half day of 210
    // minutes.
    for (minutes, period, bars) in
        [(None, &day, 13), (Some(30), &day, 13), (Some(60), &day, 7), (Some(60), &half, 4)]
    {
        let (series, report) = load("momentum", minutes, period).unwrap();
        let length = minutes.unwrap_or(30);
        assert_eq!((report.native_minutes, report.bar_minutes), (length, length));
        assert_eq!(series.len(), bars);
        let session = calendar::session(period.start).unwrap();
        assert_eq!(series.end_s[0], session.open_s + 60 * i64::from(length));
        assert_eq!(series.end_s[bars - 1], session.close_s);
        assert!(series.close[..bars - 1] == series.open[1..], "a bar opens where one closed");
    }
    assert_eq!(load("momentum", None, &day).unwrap(), load("momentum", Some(30), &day).unwrap());
    let error = load("pairs-2", None, &day).unwrap_err().to_string();
    assert!(error.contains("needs 4 stocks"), "{error}");
}
