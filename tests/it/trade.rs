//! Paper trading: what an evaluation decides, bar by bar, on an account that survives.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use dqn_trader::market::calendar::market_date;
use dqn_trader::market::parquet::encode_day;
use dqn_trader::market::store::{LocalStore, Store, day_key};
use dqn_trader::market::{BarSeries, Period, Symbol};
use dqn_trader::synthetic::SyntheticMarket;

use crate::bad_input::refused;
use crate::program::{Place, fed, run, succeed};

const STOCKS: [&str; 3] = ["AAA", "BBB", "CCC"];
/// Files that an evaluation of the same days writes, too.
const ITS_FILES: [&str; 4] = ["portfolio.csv", "allocations.csv", "trades.csv", "orders.csv"];
const ALL_FILES: [&str; 6] = [
    "portfolio.csv",
    "allocations.csv",
    "trades.csv",
    "orders.csv",
    "order_log.csv",
    "journal.jsonl",
];
const START: &str = "2018-05-01";
const END: &str = "2018-06-15";

/// Bars of ten minutes of a market in which there is something to trade. BBB has none on some days,
/// CCC begins on the third day of the account.
fn series() -> Vec<BarSeries> {
    let market = SyntheticMarket::parse("mean_reversion").unwrap();
    let symbols: Vec<Symbol> = STOCKS.iter().map(|s| s.parse().unwrap()).collect();
    let period = Period { start: "2018-01-02".parse().unwrap(), end: END.parse().unwrap() };
    let of_stock = |(stock, symbol): (usize, &Symbol)| {
        let all = market.bars(&symbols, symbol, &period, 10);
        let mut kept = BarSeries::new(symbol.clone());
        for bar in all.bars() {
            let date = market_date(bar.end_s).to_string();
            let is_missing = match stock {
                1 => date.ends_with("-11"),
                2 => ("2018-04-20".."2018-05-03").contains(&date.as_str()),
                _ => false,
            };
            if !is_missing {
                kept.push(bar);
            }
        }
        kept
    };
    symbols.iter().enumerate().map(of_stock).collect()
}

/// Writes the day files of `[first, last]`, of each day only bars that end by `until_s`.
fn write(folder: &Path, series: &[BarSeries], (first, last): (&str, &str), until_s: i64) {
    std::fs::create_dir_all(folder).unwrap();
    let store = LocalStore::open(folder).unwrap();
    for one in series {
        let mut day = BarSeries::new(one.symbol.clone());
        let put = |day: &mut BarSeries| {
            if let Some(&end_s) = day.end_s.first() {
                let key = day_key(&one.symbol, market_date(end_s));
                store.put(&key, &encode_day(day, 10).unwrap()).unwrap();
            }
            *day = BarSeries::new(one.symbol.clone());
        };
        for bar in one.bars().filter(|bar| bar.end_s <= until_s) {
            let date = market_date(bar.end_s);
            if !(first..=last).contains(&date.to_string().as_str()) {
                continue;
            }
            if day.end_s.last().is_some_and(|&before| market_date(before) != date) {
                put(&mut day);
            }
            day.push(bar);
        }
        put(&mut day);
    }
}

/// A model trained on half-hour bars that are made of the store's, and an evaluation.
fn trained(series: &[BarSeries]) -> Place {
    let place = Place::new();
    write(&place.path("whole"), series, ("2018-01-02", END), i64::MAX);
    let train = [
        "--mode",
        "single",
        "--data",
        "whole",
        "--bar-minutes",
        "30",
        "--start_date",
        "2018-01-02",
        "--end_date",
        "2018-04-30",
        "--eval_start",
        START,
        "--eval_end",
        END,
        "--episodes",
        "3",
        "--set",
        "features.warmup_bars=300",
        "--set",
        "portfolio.meta_policy.dqn_prior=0.5",
        "--output",
        "run",
        "--ledger",
        "none",
        "--quiet",
        "--stocks",
    ];
    succeed(&mut place.program(&[&train[..], &STOCKS].concat()));
    let evaluate = ["evaluate", "--model", "run", "--ledger", "none", "--quiet", "--output", "own"];
    succeed(&mut place.program(&evaluate));
    place
}

fn trade<'a>(data: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = ["trade", "--model", "run", "--data", data, "--output", output, "--start", START];
    [&common[..], more].concat()
}

fn assert_same(place: &Place, files: &[&str], one: &str, other: &str) {
    for name in files {
        let [one, other] = [one, other].map(|folder| place.text(&format!("{folder}/{name}")));
        assert!(one == other, "{name}: {} and {} bytes", one.len(), other.len());
    }
}

/// The rows of a journal as lines for standard input: all stocks in one, or a line each.
fn lines(place: &Place, folder: &str, together: bool) -> String {
    let journal = place.text(&format!("{folder}/journal.jsonl"));
    let mut text = String::new();
    for line in journal.lines().skip(1) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let (end_s, bars) = (&line["row"][0], line["row"][1].as_object().unwrap());
        let prices = |bar: &serde_json::Value| {
            serde_json::json!({
                "open": bar[0], "high": bar[1], "low": bar[2], "close": bar[3], "volume": bar[4],
            })
        };
        if together {
            let bars: serde_json::Map<_, _> =
                bars.iter().map(|(stock, bar)| (stock.clone(), prices(bar))).collect();
            let row = serde_json::json!({ "timestamp": end_s, "bars": bars });
            writeln!(text, "{row}").unwrap();
            continue;
        }
        for (stock, bar) in bars {
            let mut one = prices(bar);
            one["timestamp"] = end_s.clone();
            one["stock"] = stock.clone().into();
            writeln!(text, "{one}").unwrap();
        }
    }
    text
}

/// From the store at once, from lines of either kind, from a store that grows while it is watched,
/// and killed on the way: an evaluation's files, to the last byte.
#[test]
fn bar_by_bar_it_decides_what_an_evaluation_decides() {
    let series = series();
    let place = trained(&series);
    let out = run(&mut place.program(&trade("whole", "once", &["--once", "--until", END])));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_same(&place, &ITS_FILES, "own", "once");
    let log = place.text("once/order_log.csv");
    assert!(log.lines().count() > 20, "it trades: {log}");
    assert_eq!(String::from_utf8(out.stdout).unwrap(), place.text("once/orders.csv"));

    // The DQN alone, and what its run found that it listens to.
    let json =
        |name: &str| -> serde_json::Value { serde_json::from_str(&place.text(name)).unwrap() };
    let (paper, evaluated) = (json("once/summary.json"), json("own/summary.json"));
    let everyone = evaluated["everyone"].as_array().unwrap();
    let dqn = everyone.iter().find(|one| one["role"] == "dqn").unwrap();
    assert_eq!(paper["dqn"], dqn["metrics"]);
    assert_ne!(paper["dqn"]["turnover"], paper["eval"]["turnover"]);
    let page = place.text("once/report.html");
    for part in ["the DQN alone and of the", "What moves each decision", "<h2>Relationships"] {
        assert!(page.contains(part), "{part}");
    }

    for (together, folder) in [(true, "rows"), (false, "single")] {
        let input = lines(&place, "once", together);
        let output = fed(&place, &trade("-", folder, &["--quiet"]), &input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_same(&place, &ALL_FILES[..5], "once", folder);
        // Each line's orders, as it comes.
        assert_eq!(String::from_utf8(output.stdout).unwrap(), log);
    }
    let at_end = trade("-", "at_end", &["--once", "--quiet"]);
    let output = fed(&place, &at_end, &lines(&place, "once", true));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), place.text("at_end/orders.csv"));

    // Half an hour of the day before the last is not whole yet when the command starts.
    let mut of_day =
        series[0].end_s.iter().filter(|&&s| market_date(s).to_string() == "2018-06-14");
    let cut_s = *of_day.nth(7).unwrap();
    write(&place.path("grows"), &series, ("2018-01-02", "2018-06-14"), cut_s);
    let args = trade("grows", "grown", &["--until", END, "--wait", "60"]);
    let mut child = start(&place, &args);
    let equity = |place: &Place| {
        let rows = std::fs::read_to_string(place.path("grown/portfolio.csv")).unwrap_or_default();
        rows.lines().count()
    };
    let whole = place.text("own/portfolio.csv");
    let rows = |until: &str| whole.lines().take_while(|row| !row.starts_with(until)).count();
    // Bars to 10:30; the one to 11:00 lacks its last ten minutes.
    let known = rows("2018-06-14T15:00");
    wait_for("the bar of 10:30", || equity(&place) == known);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(equity(&place), known, "a bar that is not whole was traded");
    write(&place.path("grows"), &series, ("2018-06-14", "2018-06-14"), i64::MAX);
    let known = rows("2018-06-15");
    wait_for("the end of the day", || equity(&place) == known);
    child.kill().unwrap();
    child.wait().unwrap();
    // The last stock's file comes when the others' bars have been seen.
    write(&place.path("grows"), &series[..2], ("2018-06-15", "2018-06-15"), i64::MAX);
    let mut child = start(&place, &args);
    std::thread::sleep(Duration::from_millis(900));
    write(&place.path("grows"), &series[2..], ("2018-06-15", "2018-06-15"), i64::MAX);
    assert!(child.wait().unwrap().success());
    assert_same(&place, &ALL_FILES, "once", "grown");
}

/// Standard output has no orders of bars that are caught up, but those of the last, and those of
/// bars that come.
#[test]
fn orders_that_were_filled_are_not_printed() {
    let series = series();
    let place = trained(&series);
    succeed(&mut place.program(&trade("whole", "all", &["--once", "--until", END, "--quiet"])));
    let (log, portfolio) = (place.text("all/order_log.csv"), place.text("all/portfolio.csv"));
    let times: Vec<&str> =
        portfolio.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
    let orders_at = |time: &str| -> String {
        let rows = log.lines().filter(|row| row.starts_with(time));
        rows.map(|row| format!("{row}\n")).collect()
    };
    let has_orders = |row: &usize| {
        let is_same_day = times[*row][..10] == times[row - 1][..10];
        is_same_day && !orders_at(times[*row]).is_empty()
    };
    let row = (1..times.len()).rev().find(has_orders).unwrap();
    let (before, last) = (times[row - 1], times[row]);
    let end_s = |time: &str| chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp();
    let header = log.split_inclusive('\n').next().unwrap();

    // The bar before an order is there, the bar with the order comes.
    write(&place.path("part"), &series, ("2018-01-02", &last[..10]), end_s(before));
    let args = trade("part", "watched", &["--wait", "5"]);
    let mut command = place.program(&args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let known = || {
        let rows = std::fs::read_to_string(place.path("watched/portfolio.csv")).unwrap_or_default();
        rows.lines().count().saturating_sub(1)
    };
    wait_for("the bar before", || known() == row);
    write(&place.path("part"), &series, (&last[..10], &last[..10]), end_s(last));
    wait_for("the last bar", || known() == row + 1);
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let expected = format!("{header}{}{}", orders_at(before), orders_at(last));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    // All at once, and asked again.
    for _ in 0..2 {
        let output = run(&mut place.program(&trade("part", "part_once", &["--once"])));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, format!("{header}{}", orders_at(last)));
        assert_eq!(printed, place.text("part_once/orders.csv"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !said.contains("nothing to trade"), "{said}");
    }

    // An account that has not begun.
    let begun = |data, start| {
        ["trade", "--model", "run", "--data", data, "--output", "later", "--once", "--start", start]
    };
    let output = run(&mut place.program(&begun("whole", "2018-07-02")));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("next open: nothing to trade"), "{said}");
    assert!(said.contains("begins on 2018-07-02, but the last day that has bars is 2018-06-15"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), header);
    assert_eq!(place.text("later/orders.csv"), header);
    std::fs::remove_dir_all(place.path("later")).unwrap();
    let words = ["begins on 2030-01-02", "2018-06-15", "earlier --start"];
    refused(&mut place.program(&begun("whole", "2030-01-02")), &words);
    let words = ["--start 2018-12-03 is after", "synthetic:sample", END, "--until"];
    refused(&mut place.program(&begun("synthetic:sample", "2018-12-03")), &words);
    assert!(!place.path("later").exists());
}

/// Killed with KILL after random times, and started again with the same lines.
#[test]
fn an_account_that_is_killed_goes_on_with_the_same_bytes() {
    let place = trained(&series());
    succeed(&mut place.program(&trade("whole", "once", &["--once", "--until", END, "--quiet"])));
    let input = lines(&place, "once", false);
    let never = fed(&place, &trade("-", "never_killed", &["--quiet"]), &input);
    assert!(never.status.success(), "{}", String::from_utf8_lossy(&never.stderr));
    for (i, share) in [0.3, 0.5, 0.5, 0.8].into_iter().enumerate() {
        let mut child = place.program(&trade("-", "killed", &["--quiet"]));
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let part = (input.len() as f64 * share) as usize;
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(&input.as_bytes()[..part]).unwrap();
        std::thread::sleep(Duration::from_millis(150 * (i as u64 + 1)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(place.path("killed/journal.jsonl").exists());
    // Of a file that was being written, and one of the user's.
    let [left, other] =
        ["allocations", "notes"].map(|stem| place.path(&format!("killed/{stem}.writing-NWYyDQ")));
    [&left, &other].into_iter().for_each(|path| std::fs::write(path, "half").unwrap());
    let output = fed(&place, &trade("-", "killed", &["--quiet"]), &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same(&place, &ALL_FILES, "never_killed", "killed");
    assert!(!left.exists() && other.exists());
}

/// What is late, corrected, wrong or of another account is said.
#[test]
fn what_cannot_be_as_it_should_is_named() {
    let place = trained(&series());
    succeed(&mut place.program(&trade("whole", "once", &["--once", "--until", END, "--quiet"])));
    let input = lines(&place, "once", false);
    let mut all: Vec<&str> = input.lines().collect();
    // A bar of the last day comes after the last, and the one before it again with another close.
    let late = all.remove(all.len() - 10);
    let mut corrected: serde_json::Value = serde_json::from_str(all[all.len() - 10]).unwrap();
    corrected["high"] = (corrected["high"].as_f64().unwrap() + 1.0).into();
    let corrected = corrected.to_string();
    let input = [&all[..], &[late, &corrected, ""]].concat().join("\n");
    let output = fed(&place, &trade("-", "late", &[]), &input);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("No order is sent anywhere"), "{said}");
    assert_eq!(said.matches("came after that time was decided").count(), 1, "{said}");
    assert_eq!(said.matches("was corrected after it was decided").count(), 1, "{said}");
    let again = fed(&place, &trade("-", "late", &[]), &input);
    let again = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.matches("was corrected after").count(), 0, "it was said: {again}");
    let summary: serde_json::Value =
        serde_json::from_str(&place.text("late/summary.json")).unwrap();
    let notices = summary["notices"].as_array().unwrap();
    let late = notices.iter().filter(|notice| !notice.to_string().contains("no bar on"));
    assert_eq!(late.count(), 2, "{summary}");

    // BBB has no bar on 11 May and 11 June.
    let summary = place.text("once/summary.json");
    assert!(summary.contains("BBB: no bar on 2018-05-11"), "{summary}");
    // Without its journal an account is over, and its files are kept.
    std::fs::write(place.path("late/journal.jsonl"), "{\"version\"").unwrap();
    let begun = fed(&place, &trade("-", "late", &[]), all[0]);
    let begun = String::from_utf8(begun.stderr).unwrap();
    assert!(begun.contains("late held an earlier run"), "{begun}");
    assert!(place.text("late/earlier/1/order_log.csv").lines().count() > 20);
    std::fs::remove_dir_all(place.path("late")).unwrap();
    fed(&place, &trade("-", "late", &["--quiet"]), &input);

    std::fs::write(place.path("input"), "{\"timestamp\":1530000000}\n").unwrap();
    let open = || std::fs::File::open(place.path("input")).unwrap();
    let wrong = trade("-", "late", &["--quiet"]);
    refused(place.program(&wrong).stdin(open()), &["line 1", "give either stock"]);
    for (text, words) in [
        ("hello\n".to_string(), "line 1: not a whole JSON object"),
        ("[1,2]\n".to_string(), "line 1: not a whole JSON object"),
        // Cut in the middle of the input, and at its end.
        (format!("{}\n{}\n{}\n", all[0], &all[1][..40], all[2]), "line 2: not a whole JSON object"),
        (format!("{}\n{}", all[0], &all[1][..28]), "line 2: not a whole JSON object"),
    ] {
        std::fs::write(place.path("input"), text).unwrap();
        let words = [words, "such as {\"timestamp\": ", "see docs/trade.md"];
        let error = refused(place.program(&wrong).stdin(open()), &words);
        assert_eq!(error.matches("line ").count(), 1, "{error}");
    }
    let line = STOCKS.iter().fold(all[0].to_string(), |line, stock| line.replace(stock, "ZZZ"));
    std::fs::write(place.path("input"), line).unwrap();
    refused(place.program(&wrong).stdin(open()), &["ZZZ", "not among the model's stocks"]);

    let started = |start| {
        ["trade", "--model", "run", "--data", "whole", "--output", "late", "--start", start]
    };
    refused(&mut place.program(&started("2018-05-02")), &["--start 2018-05-02", START, "--output"]);
    let fee = place.text("run/config.toml").replace("fee_bps = 1.0", "fee_bps = 2.0");
    std::fs::write(place.path("run/config.toml"), fee).unwrap();
    refused(&mut place.program(&started(START)), &["late", "other settings", "--output"]);
    for (more, words) in [
        (&["--calendar", "XETR"][..], &["--calendar", "leave it out"][..]),
        (&["--bar-minutes", "10"], &["--bar-minutes", "30-minute bars"]),
        (&["--until", "2018-01-01"], &["--until", "swap"]),
        (&["--wait=-1"], &["--wait", "from 0 to 86400"]),
    ] {
        refused(&mut place.program(&trade("whole", "new", more)), words);
    }
    let own = ["trade", "--model", "run", "--data", "whole", "--output", "run"];
    refused(&mut place.program(&own), &["--output", "own folder"]);
}

/// A wrong price is named when its day is over, before `data check` is asked.
#[test]
fn a_doubtful_bar_is_named_when_it_comes() {
    let mut series = series();
    let place = trained(&series);
    let day = |end_s: &i64| market_date(*end_s).to_string() == "2018-06-13";
    let bar = series[0].end_s.iter().position(day).unwrap() + 15;
    series[0].high[bar] *= 1.5;
    write(&place.path("wrong"), &series, ("2018-01-02", END), i64::MAX);
    let args = trade("wrong", "doubtful", &["--once", "--until", END]);
    let out = run(&mut place.program(&args));
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("AAA: wick: 2018-06-13T12:30:00-04:00: high "), "{said}");
    let summary = place.text("doubtful/summary.json");
    assert!(summary.contains("AAA: wick: 2018-06-13T12:30:00-04:00: high "), "{summary}");

    // Another folder, in which there is nothing, by mistake.
    std::fs::create_dir(place.path("nothing")).unwrap();
    let args = trade("nothing", "doubtful", &["--once"]);
    refused(&mut place.program(&args), &["nothing", "no day files", "--data"]);

    // Lines that are no bars of the model's hours or length.
    for (timestamp, words) in [
        ("2018-06-13T09:30:00-04:00", "outside the hours"),
        ("2018-06-13T10:10:00-04:00", "30-minute bars"),
    ] {
        let line = |timestamp: &str| {
            serde_json::json!({"timestamp": timestamp, "stock": "AAA", "open": 10, "high": 10,
                "low": 10, "close": 10, "volume": 10})
        };
        let text = format!("{}\n{}\n", line("2018-06-13T10:00:00-04:00"), line(timestamp));
        std::fs::write(place.path("input"), text).unwrap();
        let input = std::fs::File::open(place.path("input")).unwrap();
        let args = trade("-", "lines", &["--quiet"]);
        refused(place.program(&args).stdin(input), &["line 2", "AAA", words]);
    }
}

/// The page and the JSON beside it, for this machine's browsers only.
#[test]
fn a_live_page_shows_the_account() {
    let mut series = series();
    let place = trained(&series);
    let args = trade("whole", "live", &["--serve", "0"]);
    let mut command = place.program(&args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = said.next().unwrap().unwrap();
        if let Some((_, address)) = line.split_once("http://") {
            break address.trim_end_matches('/').to_string();
        }
    };
    let get = |path: &str, host: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let asked = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut account = String::new();
    wait_for("the last bar", || {
        account = get("/account.json", &address);
        account.contains("2018-06-15T20:00:00Z")
    });
    let whole = place.text("own/portfolio.csv");
    let equity: f64 = whole.lines().last().unwrap().split(',').nth(2).unwrap().parse().unwrap();
    assert!(account.contains(&format!("\"equity\":{equity}")), "{account}");
    let page = get("/", &address);
    assert!(page.starts_with("HTTP/1.1 200") && page.contains(&grouped(equity)), "{page}");
    assert!(page.contains("Orders for the next open") && page.contains("<svg "));
    // A notice is shown without a new bar.
    *series[0].high.last_mut().unwrap() += 1.0;
    write(&place.path("whole"), &series[..1], (END, END), i64::MAX);
    wait_for("the notice", || {
        get("/account.json", &address).contains("was corrected after it was decided")
    });
    assert!(get("/", "evil.example").starts_with("HTTP/1.1 403"));
    assert!(get("/../journal.jsonl", &address).starts_with("HTTP/1.1 404"));
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.path("live/summary.json").exists());
}

/// 1234567.891 as 1,234,567.89.
fn grouped(value: f64) -> String {
    let text = format!("{value:.2}");
    let (whole, cents) = text.split_once('.').unwrap();
    let groups: Vec<&str> = whole
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    format!("{}.{cents}", groups.join(","))
}

fn start(place: &Place, args: &[&str]) -> Child {
    let mut child = place.program(args).stdout(Stdio::piped()).spawn().unwrap();
    let stdout: ChildStdout = child.stdout.take().unwrap();
    std::thread::spawn(move || BufReader::new(stdout).lines().for_each(drop));
    child
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
