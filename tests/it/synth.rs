//! Synthetic markets as day files.

use std::sync::Arc;

use dqn_trader::market::options::LoadOptions;
use dqn_trader::market::store::LocalStore;
use dqn_trader::market::{BarSeries, Period, Symbol};
use dqn_trader::source::{DataSource, load_bars};
use dqn_trader::synthetic::SyntheticMarket;

use crate::program::{Place, run, succeed};

fn load(source: &DataSource, stocks: &[Symbol], minutes: Option<u32>) -> Vec<(BarSeries, u32)> {
    let options = LoadOptions { bar_minutes: minutes, strict: true, ..LoadOptions::default() };
    let period =
        Period { start: "2019-11-18".parse().unwrap(), end: "2019-12-06".parse().unwrap() };
    let one = |symbol: &Symbol| {
        let loaded = load_bars(source, stocks, symbol, &period, &options, &mut |_| ());
        let (series, report) = loaded.unwrap();
        (series, report.bar_minutes)
    };
    stocks.iter().map(one).collect()
}

/// Three weeks with Thanksgiving and the half day after it.
const PERIOD: [&str; 4] = ["--start_date", "2019-11-18", "--end_date", "2019-12-06"];

#[test]
fn files_of_synth_load_bit_for_bit() {
    let stocks: Vec<Symbol> = ["AAA", "BBB", "CCC"].map(|name| name.parse().unwrap()).into();
    let cases = [
        ("lead_lag-1:7", None),
        ("synthetic:pairs", Some(60)),
        ("leaked", Some(7)),
        ("regimes:2", Some(195)),
        ("random_walk", Some(5)),
        ("sample:3", None),
        ("sample", Some(30)),
    ];
    let place = Place::new();
    for (i, (market, minutes)) in cases.into_iter().enumerate() {
        let folder = format!("data{i}");
        let length = minutes.map(|minutes: u32| minutes.to_string());
        let mut args = vec!["synth", market, "--data", &folder, "--stocks", "AAA", "BBB", "CCC"];
        args.extend(PERIOD);
        args.extend(length.iter().flat_map(|length| ["--bar-minutes", length]));
        let told = succeed(&mut place.program(&args));
        assert!(told.contains("BBB: ") && told.contains("14 day files"), "{told}");
        let files = LocalStore::open(&place.path(&folder)).unwrap();
        let made = SyntheticMarket::parse(market.trim_start_matches("synthetic:")).unwrap();
        let made = load(&DataSource::Synthetic(made), &stocks, minutes);
        let read = load(&DataSource::Store(Arc::new(files)), &stocks, None);
        assert!(made == read, "{market} {minutes:?}");
    }
}

#[test]
fn existing_day_files_are_kept() {
    let place = Place::new();
    let args = |market| {
        let mut args = vec!["synth", market, "--data", "data", "--stocks", "AAA", "--quiet"];
        args.extend(PERIOD);
        args
    };
    assert_eq!(succeed(&mut place.program(&args("momentum"))), "");
    let file = "data/stocks_intraday/AAA/2019/12/AAA_2019-12-02.parquet";
    let before = place.read(file);
    let output = run(&mut place.program(&args("leaked")));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("day files of AAA already") && told.contains("2019-11-18"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(place.read(file), before);
}

#[test]
fn user_errors_are_one_line() {
    let place = Place::new();
    for (args, part) in [
        (&["moon"][..], "moon"),
        (&["pairs", "--stocks", "AAA"], "needs 2 stocks"),
        (&["lead_lag-3", "--stocks", "AAA", "BBB"], "needs 6 stocks"),
        (&["momentum", "--bar-minutes", "390"], "--bar-minutes"),
        (&["momentum", "--stocks", "AAA", "aaa"], "AAA is given twice"),
        (&["momentum", "--end_date", "2017-01-01"], "ends before it begins"),
        (&["momentum", "--start_date", "1980-01-01", "--end_date", "1981-01-01"], "1980-01-01"),
    ] {
        let mut words = vec!["synth", "--data", "data"];
        words.extend(args);
        let output = run(&mut place.program(&words));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains(part) && told.lines().count() == 1, "{args:?}: {told}");
    }
    let output = run(&mut place.program(&["synth", "momentum", "--data", "synthetic:sample"]));
    assert_eq!(output.status.code(), Some(2));
}
