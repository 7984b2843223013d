//! Bars that are most likely wrong, and stocks that end, are named wherever results are.

use dqn_trader::market::parquet::{decode_day, encode_day};
use dqn_trader::market::{Bar, BarSeries};
use serde_json::Value;

use crate::program::{Place, run, short, succeed, write_day_files};

const DAY: &str = "data/stocks_intraday/AAPL/2018/03/AAPL_2018-03-07.parquet";
/// The minute that ends at 12:00, with prices of ten times.
const SPIKE: &str = "AAPL: spike: 2018-03-07T12:00:00-05:00: close ";

/// Half a year of AAPL with a spike, and of MSFT, which ends ten trading days before the others.
fn place() -> Place {
    let place = Place::new();
    write_day_files(&place.path("data"), &["AAPL", "MSFT"], "2018-01-02", "2018-06-15");
    rewrite(&place, DAY, |bars| bars[149] = scaled(bars[149], 10.0));
    for day in ["04", "05", "06", "07", "08", "11", "12", "13", "14", "15"] {
        let name = format!("data/stocks_intraday/MSFT/2018/06/MSFT_2018-06-{day}.parquet");
        std::fs::remove_file(place.path(&name)).unwrap();
    }
    place
}

fn scaled(bar: Bar, by: f64) -> Bar {
    let Bar { open, high, low, close, .. } = bar;
    Bar { open: open * by, high: high * by, low: low * by, close: close * by, ..bar }
}

/// Writes a day file of one-minute bars anew.
fn rewrite(place: &Place, name: &str, change: impl Fn(&mut Vec<Bar>)) {
    let rows = decode_day(&place.read(name), name).unwrap();
    let mut bars: Vec<Bar> = (0..rows.len())
        .map(|i| Bar {
            end_s: rows.label_s[i].unwrap() + 60,
            open: rows.open[i],
            high: rows.high[i],
            low: rows.low[i],
            close: rows.close[i],
            volume: rows.volume[i],
        })
        .collect();
    change(&mut bars);
    let mut series = BarSeries::new("AAPL".parse().unwrap());
    bars.into_iter().for_each(|bar| series.push(bar));
    std::fs::write(place.path(name), encode_day(&series, 1).unwrap()).unwrap();
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

#[test]
fn data_check_names_doubtful_bars_and_stocks_that_end() {
    let place = place();
    let check = ["data", "check", "--data", "data", "--quiet"];
    let output = run(&mut place.program(&check));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("problem  prices: spike: 2018-03-07T12:00:00-05:00: close "), "{said}");
    assert!(said.contains("ends on 2018-06-01, 10 trading days before other stocks"), "{said}");
    let output = run(&mut place.program(&[&check[..], &["--format", "json"]].concat()));
    let stocks = json(&output.stdout)["stocks"].clone();
    assert_eq!(stocks[0]["prices"][0]["kind"], "spike");
    assert_eq!(stocks[0]["prices"][0]["from_s"], 1_520_442_000);
    assert_eq!(stocks[1]["prices"], serde_json::json!([]));

    // All bad rows are named, not the first three alone.
    rewrite(&place, DAY, |bars| bars[10..20].iter_mut().for_each(|bar| bar.open *= 2.0));
    let output = run(&mut place.program(&check));
    let said = String::from_utf8(output.stdout).unwrap();
    for minute in 40..50 {
        assert!(said.contains(&format!("2018-03-07T09:{minute}:00-05:00: open ")), "{said}");
    }
}

#[test]
fn data_notices_are_in_the_results_of_every_run() {
    let place = place();
    let data = ["--data", "data", "--stocks", "AAPL", "MSFT", "--episodes", "1"];
    let flags = short(&[&data[..], &["--set", "learner.learning_starts=64"]].concat());
    let said = succeed(&mut place.program(&flags));
    let ends = "MSFT: bars end on 2018-06-01, 10 trading days before the period (2018-06-15)";
    assert!(said.contains(SPIKE) && said.contains(ends), "{said}");
    let notices = json(&place.read("results/summary.json"))["run"]["notices"].to_string();
    assert!(notices.contains(SPIKE) && notices.contains(ends), "{notices}");
    let report = place.text("results/report.html");
    assert!(report.contains(SPIKE) && report.contains(ends));

    let dropped = [&flags[..], &["--clean", "drop", "--output", "dropped"]].concat();
    succeed(&mut place.program(&dropped));
    let notices = json(&place.read("dropped/summary.json"))["run"]["notices"].to_string();
    assert!(notices.contains("AAPL: --clean drop: 1 bar left out: 2018-03-07T12:00"), "{notices}");
    assert!(!notices.contains(SPIKE) && place.text("dropped/config.toml").contains("\"drop\""));

    let evaluate = ["evaluate", "--model", "results", "--eval_end", "2018-06-15", "--quiet"];
    succeed(&mut place.program(&evaluate));
    let notices = json(&place.read("results/evaluation/summary.json"))["notices"].to_string();
    assert!(notices.contains(ends), "{notices}");
    let days = ["--start_date", "2018-03-01", "--end_date", "2018-03-29", "--output", "rules"];
    let rules = ["strategies", "run", "--strategies", "RSI", "--data", "data", "--stocks", "AAPL"];
    succeed(&mut place.program(&[&rules[..], &days].concat()));
    let notices = json(&place.read("rules/strategies.json"))["notices"].to_string();
    assert!(notices.contains(SPIKE), "{notices}");
}

#[test]
fn strict_refuses_doubtful_data_before_anything_is_written() {
    let place = place();
    let data = ["--data", "data", "--stocks", "AAPL", "MSFT", "--strict", "--quiet"];
    let output = run(&mut place.program(&short(&data)));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(SPIKE) && said.contains("--clean") && said.len() < 300, "{said}");
    assert!(!place.path("results/summary.json").exists());
}
