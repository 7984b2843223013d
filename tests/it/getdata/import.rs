//! Import of tables into day files.

use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;

use dqn_trader::ingest::ImportOptions;
use dqn_trader::market::Period;
use dqn_trader::market::calendar::{iso_market_time, sessions_in};
use dqn_trader::market::store::LocalStore;

use super::service::{Bar, bars};
use super::{day_files, refused};
use crate::program::{Place, run, succeed};

fn january() -> Vec<Bar> {
    bars("AAA", "2020-01", 30)
}

/// Rows as a table; `row` formats each from date, time of day and prices.
fn table(header: &str, bars: &[Bar], row: impl Fn(&str, &str, &[f64; 5]) -> String) -> String {
    let mut text = format!("{header}\n");
    for (label_s, values) in bars {
        let time = iso_market_time(*label_s);
        writeln!(text, "{}", row(&time[..10], &time[11..19], values)).unwrap();
    }
    text
}

fn plain(bars: &[Bar]) -> String {
    table("timestamp,open,high,low,close,volume", bars, |date, time, [o, h, l, c, v]| {
        format!("{date} {time},{o},{h},{l},{c},{v}")
    })
}

fn import(place: &Place, args: &[&str]) -> std::process::Command {
    place.program(&[&["import"], args].concat())
}

#[test]
fn all_table_formats_give_the_same_day_files() {
    let place = Place::new();
    let all = january();
    std::fs::write(place.path("AAA_2020-01.csv"), plain(&all)).unwrap();
    let said = succeed(&mut import(&place, &["AAA_2020-01.csv", "--data", "plain"]));
    assert!(said.contains("273 bars of 30 min of AAA, 21 day files written"), "{said}");
    let expected = day_files(&place.path("plain"));
    assert_eq!(expected.len(), 21);
    assert!(expected.contains_key("stocks_intraday/AAA/2020/01/AAA_2020-01-31.parquet"));

    // Newest first, with other column names in another order, separated by semicolons.
    let backwards: Vec<Bar> = all.iter().rev().copied().collect();
    let odd = table(
        "\"5. Volume\";Date;Time;\"1. open\";\"2. high\";\"3. low\";\"4. close\";note",
        &backwards,
        |date, time, [o, h, l, c, v]| format!("{v};{date};{time};{o};{h};{l};{c};\"x; y\""),
    );
    std::fs::write(place.path("odd.csv"), odd).unwrap();
    succeed(&mut import(&place, &["odd.csv", "--symbol", "aaa", "--data", "odd", "--quiet"]));
    assert!(day_files(&place.path("odd")) == expected);

    // Two stocks in one table, times with offsets, one bad row.
    let mut both =
        table("ticker,datetime,open,high,low,close,volume", &all, |date, time, [o, h, l, c, v]| {
            format!("AAA,{date}T{time}-05:00,{o},{h},{l},{c},{v}")
        });
    both += &table("", &all, |date, time, [o, h, l, c, v]| {
        format!("BBB,{date}T{time}-05:00,{o},{h},{l},{c},{v}")
    });
    both += "BBB,2020-01-31T16:00:00-05:00,1,2,3,,5\n";
    std::fs::write(place.path("both.csv"), both).unwrap();
    let said = succeed(&mut import(&place, &["both.csv", "--data", "both"]));
    assert!(said.contains("1 bad row left out, first 2020-01-31T16:00:00-05:00"), "{said}");
    let mut files = day_files(&place.path("both"));
    assert_eq!(files.len(), 42);
    files.retain(|name, _| name.contains("/AAA/"));
    assert!(files == expected);
    let strict = ["both.csv", "--data", "strict", "--strict"];
    refused(&mut import(&place, &strict), &["both.csv", "bad row of BBB", "--strict"]);
    assert!(day_files(&place.path("strict")).is_empty());

    // Files of the program itself can be imported again; existing files stay unchanged.
    let folder = place.path("plain/stocks_intraday/AAA/2020/01");
    let names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().to_string_lossy().into_owned())
        .collect();
    let mut args: Vec<&str> = names.iter().map(String::as_str).collect();
    args.extend(["--data", "again", "--quiet"]);
    succeed(&mut import(&place, &args));
    assert!(day_files(&place.path("again")) == expected);
    let said = succeed(&mut import(&place, &["AAA_2020-01.csv", "--data", "again"]));
    assert!(said.contains("0 day files written, 21 unchanged"), "{said}");
    let check = ["data", "check", "--data", "again", "--quiet"];
    let output = run(&mut place.program(&check));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_day_that_comes_in_two_parts_becomes_whole() {
    let place = Place::new();
    let all = january();
    // Another program split the day's file in the middle of the session.
    std::fs::write(place.path("whole.csv"), plain(&all)).unwrap();
    std::fs::write(place.path("first.csv"), plain(&all[..135])).unwrap();
    std::fs::write(place.path("second.csv"), plain(&all[133..])).unwrap();
    succeed(&mut import(&place, &["whole.csv", "--symbol", "AAA", "--data", "whole"]));
    let parts = ["first.csv", "second.csv", "--symbol", "AAA", "--data", "parts"];
    succeed(&mut import(&place, &parts));
    assert!(day_files(&place.path("parts")) == day_files(&place.path("whole")));
}

#[test]
fn unsuitable_tables_are_rejected_and_change_nothing() {
    let place = Place::new();
    let all = january();
    std::fs::write(place.path("AAA.csv"), plain(&all)).unwrap();
    succeed(&mut import(&place, &["AAA.csv", "--data", "data", "--quiet"]));
    let before = day_files(&place.path("data"));

    let quarter: Vec<Bar> = all
        .iter()
        .map(|(s, [o, h, l, c, v])| (*s, [o / 4.0, h / 4.0, l / 4.0, c / 4.0, v * 4.0]))
        .collect();
    std::fs::write(place.path("AAA_split.csv"), plain(&quarter)).unwrap();
    std::fs::write(place.path("AAA_5min.csv"), plain(&bars("AAA", "2020-01", 5))).unwrap();
    let daily: Vec<Bar> = all.iter().step_by(13).copied().collect();
    std::fs::write(place.path("AAA_daily.csv"), plain(&daily)).unwrap();
    std::fs::write(place.path("BBB.csv"), plain(&all)).unwrap();
    std::fs::write(place.path("bars.csv"), "no table at all\n").unwrap();
    std::fs::write(place.path("2020.csv"), plain(&all)).unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bad_no_close.parquet");
    std::fs::copy(fixture, place.path("AAA.parquet")).unwrap();
    let store = LocalStore::open(&place.path("data")).unwrap();
    let options = ImportOptions::new(String::new(), &|_| ());
    for (files, words) in [
        (&["AAA_split.csv"][..], &["AAA_split.csv", "0.250000 times", "another folder"][..]),
        (&["AAA_5min.csv"], &["bars of 5 min", "in bars of 30 min"]),
        (&["AAA_daily.csv"], &["daily bars, but", "has AAA in bars of 30 min"]),
        (&["BBB.csv", "bars.csv"], &["bars.csv", "has no column"]),
        (&["2020.csv"], &["neither a column nor the file's name gives the symbol", "--symbol"]),
        (&["AAA.parquet"], &["AAA.parquet", "close"]),
    ] {
        let files: Vec<PathBuf> = files.iter().map(|name| place.path(name)).collect();
        let error = dqn_trader::ingest::import(&store, &files, &options).unwrap_err();
        let error = error.to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    refused(&mut import(&place, &["nowhere.csv", "--data", "data"]), &["nowhere.csv"]);
    // Files that do not fit each other are rejected, too.
    for (second, word) in [("AAA_split.csv", "0.250000 times"), ("AAA_5min.csv", "bars of 5 min")] {
        let args = ["BBB.csv", "AAA.csv", second, "--data", "new"];
        refused(&mut import(&place, &args), &[second, word, "AAA.csv", "by itself"]);
        assert!(!place.path("new").exists());
    }
    assert!(day_files(&place.path("data")) == before);
}

/// Daily bars of two stocks as FinRL's downloader writes them: closes adjusted for a dividend, the
/// other prices not.
fn daily_table() -> String {
    let mut text = ",date,open,high,low,close,volume,tic,day\n".to_string();
    let period =
        Period { start: "2018-01-02".parse().unwrap(), end: "2020-12-31".parse().unwrap() };
    for (i, (date, _)) in sessions_in(&period).enumerate() {
        for (tic, level) in [("AAA", 50.0), ("BBB", 80.0)] {
            let price = level * (1.0 + 0.2 * (0.013 * i as f64 + level).sin());
            let close = price * (1.0 + 0.01 * (1.7 * i as f64 + level).sin());
            let (high, low) = (price.max(close) * 1.004, price.min(close) * 0.996);
            let adjusted = if i < 400 { close * 0.97 } else { close };
            writeln!(text, "{i},{date},{price},{high},{low},{adjusted},1000,{tic},0").unwrap();
        }
    }
    text
}

#[test]
fn daily_bars_are_imported_checked_and_trained_on() {
    let place = Place::new();
    std::fs::write(place.path("dow.csv"), daily_table()).unwrap();
    let said = succeed(&mut import(&place, &["dow.csv", "--data", "bars"]));
    assert!(said.contains("dates from date") && said.contains("stocks from tic"), "{said}");
    assert!(said.contains("756 daily bars of AAA, 756 day files written"), "{said}");
    assert!(said.contains("its closes alone are adjusted"), "{said}");
    let check = run(&mut place.program(&["data", "check", "--data", "bars", "--quiet"]));
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
    let data = ["--data", "bars", "--stocks", "AAA", "BBB", "--quiet", "--ledger", "none"];
    let days = ["--start_date", "2018-01-02", "--end_date", "2019-12-31"];
    let eval = ["--eval_start", "2020-01-02", "--eval_end", "2020-12-31", "--episodes", "1"];
    let train = [&["--mode", "single", "--output", "out"][..], &data, &days, &eval].concat();
    succeed(&mut place.program(&train));
    let summary = std::fs::read_to_string(place.path("out/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["inference"]["days"], 252, "a return a day, from the second session on");
    let strategies = [&["strategies", "run", "--strategies", "RSI"][..], &data, &days].concat();
    succeed(&mut place.program(&strategies));
}

/// Feather as pandas writes it, and a file in a compressed one.
#[test]
fn feather_and_compressed_files_are_read() {
    let place = Place::new();
    let feather = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/table.feather");
    let said = succeed(&mut import(&place, &[feather, "--data", "feather"]));
    assert!(said.contains("6 bars of 5 min of IBM"), "{said}");
    let few = [feather, "--data", "few", "--columns", "time,open,high,low,close"];
    refused(&mut import(&place, &few), &["--columns names 5 columns of 7", "- for the others"]);
    let parquet = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pandas_plain.parquet");
    succeed(&mut import(&place, &[parquet, "--symbol", "IBM", "--data", "plain"]));
    assert!(day_files(&place.path("feather")) == day_files(&place.path("plain")));

    let table = plain(&january());
    std::fs::write(place.path("AAA.csv"), &table).unwrap();
    succeed(&mut import(&place, &["AAA.csv", "--data", "csv"]));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(table.as_bytes()).unwrap();
    std::fs::write(place.path("AAA.csv.gz"), gz.finish().unwrap()).unwrap();
    succeed(&mut import(&place, &["AAA.csv.gz", "--data", "gz"]));
    assert!(day_files(&place.path("gz")) == day_files(&place.path("csv")));
}

/// A ticker that was renamed: old files have the old one.
#[test]
fn the_one_stock_of_a_file_can_be_renamed() {
    let place = Place::new();
    let all = january();
    let named = |ticker: &str, bars: &[Bar]| {
        table("ticker,timestamp,open,high,low,close,volume", bars, |date, time, [o, h, l, c, v]| {
            format!("{ticker},{date} {time},{o},{h},{l},{c},{v}")
        })
    };
    std::fs::write(place.path("fb.csv"), named("FB", &all)).unwrap();
    let said = succeed(&mut import(&place, &["fb.csv", "--symbol", "META", "--data", "data"]));
    assert!(said.contains("bars of 30 min of META"), "{said}");
    let meta = named("META", &all);
    let both = named("FB", &all) + meta.split_once('\n').unwrap().1;
    std::fs::write(place.path("both.csv"), both).unwrap();
    let refuse = ["both.csv", "--symbol", "META", "--data", "data"];
    refused(&mut import(&place, &refuse), &["contains bars of 2 stocks (FB, META", "--symbol"]);
}

/// One bar of ten times the price is said, and refused with --strict.
#[test]
fn doubtful_bars_are_named() {
    let place = Place::new();
    let mut all = january();
    all[100].1 = all[100].1.map(|value| 10.0 * value);
    std::fs::write(place.path("AAA.csv"), plain(&all)).unwrap();
    let said = succeed(&mut import(&place, &["AAA.csv", "--data", "data"]));
    let time = iso_market_time(all[100].0);
    assert!(said.contains(&format!("AAA.csv: AAA: spike: {time}")), "{said}");
    let strict = ["AAA.csv", "--data", "strict", "--strict"];
    refused(&mut import(&place, &strict), &["AAA: spike", &time, "--strict"]);
    assert!(day_files(&place.path("strict")).is_empty());
}
