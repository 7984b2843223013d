//! Bars of other exchanges: days, hours and holidays of their own.

use std::fmt::Write;

use serde_json::Value;

use crate::bad_input::refused;
use crate::program::{Place, fed, run, succeed};

/// `symbol`.csv: a bar at each of `labels` on each of `dates`, with prices that go up and down.
fn write_table(place: &Place, symbol: &str, dates: &[&str], labels: &[&str]) {
    let mut text = String::from("Datetime,Open,High,Low,Close,Volume\n");
    let mut close = 100.0;
    for (i, (date, label)) in
        dates.iter().flat_map(|date| labels.iter().map(move |label| (date, label))).enumerate()
    {
        let open = close;
        close = 100.0 + (i * i % 17) as f64 / 10.0;
        let (high, low) = (f64::max(open, close) + 0.2, f64::min(open, close) - 0.2);
        writeln!(text, "{date} {label},{open},{high},{low},{close},{}", 1_000 + i).unwrap();
    }
    std::fs::write(place.path(&format!("{symbol}.csv")), text).unwrap();
}

/// What `data check` found about the only stock, and whether it was all right.
fn checked(place: &Place, calendar: &str) -> (Value, bool) {
    let check =
        ["data", "check", "--data", "data", "--format", "json", "--quiet", "--calendar", calendar];
    let output = run(&mut place.program(&check));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    (found["stocks"][0].clone(), output.status.success())
}

/// A local time as it is written: in UTC, and the exchange's date.
fn written(local: &str) -> String {
    let time = chrono::DateTime::parse_from_rfc3339(local).unwrap();
    format!("{},{}", time.to_utc().format("%Y-%m-%dT%H:%M:%SZ"), &local[..10])
}

/// The times and dates of the bars that a strategy saw.
fn bar_times(place: &Place, calendar: &str, [first, last]: [&str; 2]) -> Vec<String> {
    let run = [
        "strategies",
        "run",
        "--strategies",
        "RSI",
        "--stocks",
        "AAA",
        "--data",
        "data",
        "--calendar",
        calendar,
        "--start_date",
        first,
        "--end_date",
        last,
        "--output",
        "run",
        "--ledger",
        "none",
        "--quiet",
    ];
    succeed(&mut place.program(&run));
    let lines = place.text("run/signals.csv");
    let cells = lines.lines().skip(1).map(|line| line.splitn(3, ',').take(2).collect::<Vec<_>>());
    cells.map(|cells| cells.join(",")).collect()
}

/// Golden Week: 29 April and 3 to 5 May are holidays, 30 April, 1 and 2 May are not. Tokyo trades
/// from 9:00 to 15:00 with a pause from 11:30 to 12:30, after which hourly bars begin anew. All of
/// it is in the night of New York, across midnight.
#[test]
fn hours_in_tokyo_are_those_of_tokyo() {
    let place = Place::new();
    let dates = ["2020-04-27", "2020-04-28", "2020-04-30", "2020-05-01", "2020-05-07"];
    let labels = ["09:00", "10:00", "11:00", "12:30", "13:30", "14:30"];
    write_table(&place, "AAA", &dates, &labels);
    let said =
        succeed(&mut place.program(&["import", "AAA.csv", "--calendar", "XTKS", "--data", "data"]));
    assert!(said.contains("30 bars of 60 min of AAA, 5 day files written"), "{said}");
    assert!(place.path("data/stocks_intraday/AAA/2020/04/AAA_2020-04-27.parquet").is_file());
    let (found, is_right) = checked(&place, "xtks");
    assert!(is_right, "{found}");
    let counts = ["sessions", "bars", "bar_minutes"].map(|key| found[key].as_u64());
    assert_eq!(counts, [Some(5), Some(30), Some(60)], "{found}");
    // A bar is known when it is over: the one from 11:00 when the pause begins.
    let times = bar_times(&place, "XTKS", ["2020-04-27", "2020-05-07"]);
    let day = ["10:00", "11:00", "11:30", "13:30", "14:30", "15:00"];
    let expected: Vec<String> = dates
        .iter()
        .flat_map(|date| day.iter().map(move |time| written(&format!("{date}T{time}:00+09:00"))))
        .collect();
    assert_eq!(times, expected);
}

/// The Friday and Monday of Easter are closed, and the half day before New Year's Eve ends at 14:00.
/// Times with an offset are the same moments whatever the clock; clocks were put forward on 29 March.
#[test]
fn xetra_has_its_holidays_and_half_days() {
    let place = Place::new();
    let dates = ["2020-03-26", "2020-03-27", "2020-03-30", "2020-03-31"];
    let labels: Vec<String> =
        (0..17).map(|half| format!("{:02}:{:02}", 9 + half / 2, 30 * (half % 2))).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    write_table(&place, "AAA", &dates, &labels);
    let import = ["import", "AAA.csv", "--calendar", "XETR", "--data", "data", "--quiet"];
    succeed(&mut place.program(&import));
    let (found, is_right) = checked(&place, "XETR");
    assert!(is_right, "{found}");
    let times = bar_times(&place, "XETR", ["2020-03-26", "2020-03-31"]);
    assert_eq!(times.len(), 4 * 17);
    assert_eq!(times[0], written("2020-03-26T09:30:00+01:00"));
    assert_eq!(times[67], written("2020-03-31T17:30:00+02:00"));

    // Nothing is missing on Good Friday and Easter Monday; on the Tuesday after, everything is.
    write_table(&place, "AAA", &["2020-04-09", "2020-04-15"], &labels);
    succeed(&mut place.program(&import));
    let (found, is_right) = checked(&place, "XETR");
    assert!(!is_right);
    let missing: Vec<&str> = found["missing_sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|date| date.as_str().unwrap())
        .filter(|date| *date > "2020-04-09")
        .collect();
    assert_eq!(missing, ["2020-04-14"], "{found}");

    // Until 14:00 on 30 December: what comes later is not traded.
    write_table(&place, "AAA", &["2020-12-29", "2020-12-30"], &labels);
    succeed(&mut place.program(&import));
    let times = bar_times(&place, "XETR", ["2020-12-29", "2020-12-30"]);
    assert_eq!(times.len(), 17 + 10, "{times:?}");
    assert_eq!(times[26], written("2020-12-30T14:00:00+01:00"));
}

#[test]
fn a_model_learns_and_trades_the_days_of_its_exchange() {
    let place = Place::new();
    let start: chrono::NaiveDate = "2020-01-06".parse().unwrap();
    let days = start
        .iter_days()
        .take(360)
        .filter(|day| chrono::Datelike::weekday(day).number_from_monday() < 6);
    let days: Vec<String> = days.map(|day| day.to_string()).collect();
    let days: Vec<&str> = days.iter().map(String::as_str).collect();
    let labels = ["09:15", "10:15", "11:15", "12:15", "13:15", "14:15", "15:15"];
    write_table(&place, "AAA", &days, &labels);
    succeed(&mut place.program(&[
        "import",
        "AAA.csv",
        "--calendar",
        "XBOM",
        "--data",
        "data",
        "--quiet",
    ]));
    let train = [
        "--mode",
        "single",
        "--calendar",
        "XBOM",
        "--stocks",
        "AAA",
        "--data",
        "data",
        "--start_date",
        "2020-01-06",
        "--end_date",
        "2020-10-30",
        "--eval_start",
        "2020-11-02",
        "--eval_end",
        "2020-12-30",
        "--episodes",
        "1",
        "--output",
        "run",
        "--set",
        "features.warmup_bars=200",
        "--ledger",
        "none",
        "--quiet",
    ];
    succeed(&mut place.program(&train));
    assert!(place.text("run/config.toml").contains("calendar = \"XBOM\""));
    let own = place.text("run/portfolio_ep1.csv");
    // The session of half an hour from 15:15 is cut at the close.
    assert!(own.contains(&written("2020-12-30T15:30:00+05:30")), "{own}");
    succeed(&mut place.program(&["evaluate", "--model", "run", "--ledger", "none", "--quiet"]));
    assert_eq!(place.text("run/evaluation/portfolio.csv"), own);
    // As a strategy: only on bars of its exchange, and in a stream by its own calendar.
    let run = ["strategies", "run", "--strategies", "DQN", "--model", "run", "--stocks", "AAA"];
    let days = ["--data", "data", "--start_date", "2020-11-02", "--end_date", "2020-12-30"];
    let rest = ["--output", "signals", "--ledger", "none", "--quiet"];
    let of = |calendar: &'static [&'static str]| [&run[..], &days, &rest, calendar].concat();
    refused(&mut place.program(&of(&[])), &["no bars in regular hours", "--calendar"]);
    let always = of(&["--calendar", "always"]);
    refused(&mut place.program(&always), &["XBOM", "always", "--calendar"]);
    succeed(&mut place.program(&of(&["--calendar", "XBOM"])));
    let stream = ["strategies", "stream", "--strategies", "DQN", "--model", "run", "--stocks"];
    let other = [&stream[..], &["AAA", "--calendar", "XETR"]].concat();
    refused(&mut place.program(&other), &["XBOM", "XETR", "--calendar"]);
    let (signals, table) = (place.text("signals/signals.csv"), place.text("AAA.csv"));
    let rows: Vec<Vec<&str>> =
        signals.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let first = table.lines().position(|row| row.starts_with("2020-11-02")).unwrap();
    let mut input = String::new();
    for (bar, row) in table.lines().skip(first).zip(&rows) {
        let cells: Vec<f64> = bar.split(',').skip(1).map(|cell| cell.parse().unwrap()).collect();
        let bar = serde_json::json!({
            "timestamp": row[0], "stock": "AAA", "open": cells[0], "high": cells[1],
            "low": cells[2], "close": cells[3], "volume": cells[4],
        });
        writeln!(input, "{bar}").unwrap();
    }
    let output = fed(&place, &[&stream[..], &["AAA"]].concat(), &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), rows.len());
    for (answer, row) in answers.lines().zip(&rows) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let decided = &answer["decisions"]["DQN"];
        let cells = ["target", "confidence"].map(|name| decided[name].as_f64().unwrap());
        assert_eq!(cells, [4, 5].map(|place| row[place].parse::<f64>().unwrap()), "{row:?}");
    }
    refused(
        &mut place.program(&[
            "evaluate",
            "--model",
            "run",
            "--calendar",
            "nyse",
            "--ledger",
            "none",
        ]),
        &["calendar", "XBOM"],
    );
}

#[test]
fn a_calendar_that_is_none_and_made_up_prices_are_refused() {
    let place = Place::new();
    refused(&mut place.program(&["--calendar", "XMOON"]), &["XMOON", "XETR", "docs/data.md"]);
    let made_up = ["--calendar", "XLON", "--data", "synthetic:sample", "--stocks", "AAA"];
    refused(&mut place.program(&made_up), &["--calendar XLON", "New York"]);
    std::fs::write(place.path("run.toml"), "[data]\ncalendar = \"XMOON\"\n").unwrap();
    refused(&mut place.program(&["--config", "run.toml"]), &["run.toml", "no such calendar"]);
}
