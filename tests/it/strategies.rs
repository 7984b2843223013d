//! `dqn-trader strategies`.

use serde_json::Value;

use crate::program::{Place, fed, run, said};

#[test]
fn the_list_names_every_strategy_with_its_parameters() {
    let place = Place::new();
    let table = said(&place, &["list"]);
    for part in ["RSI: long once", "overbought      70", "2 to 100000", "\nBuy and Hold: "] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let wide = table.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
    let json: Vec<Value> =
        serde_json::from_str(&said(&place, &["list", "--format", "json"])).unwrap();
    let names: Vec<&str> = json.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    let first = ["RSI", "MACD", "Bollinger Bands", "Momentum", "Mean Reversion", "Pairs"];
    assert_eq!(names[..6], first);
    let period = &json[0]["parameters"][0];
    assert_eq!((&period["name"], &period["default"]), (&"period".into(), &14.into()));
    assert_eq!(period["unit"], "bars");
}

/// Two months of half-hour bars of a synthetic market.
const MARKET: [&str; 11] = [
    "--data",
    "synthetic:pairs",
    "--stocks",
    "AAA",
    "BBB",
    "--bar-minutes",
    "30",
    "--start_date",
    "2019-01-02",
    "--end_date",
    "2019-02-28",
];

fn on_market<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &MARKET].concat()
}

#[test]
fn a_run_is_a_table_four_files_and_json() {
    let place = Place::new();
    let strategies = ["run", "--strategies", "RSI", "MACD", "Bollinger Bands", "pairs"];
    let weights = ["--ensemble", "weighted", "--weights", "0.4", "0.4", "0.1", "0.1"];
    let args = [&on_market(&strategies)[..], &weights, &["--output", "out"]].concat();
    let table = said(&place, &args);
    for part in ["Bollinger Bands  ", "\nPairs ", "\nensemble ", "\nbenchmark ", "4 of 4"] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let json: Value = serde_json::from_str(&place.text("out/strategies.json")).unwrap();
    assert_eq!(json["execution_stats"]["successful_strategies"], 4);
    assert_eq!(json["ensemble_result"]["ensemble_config"]["strategies"][3], "Pairs");
    assert_eq!(json["individual_results"]["MACD"]["inference"]["trials"]["count"], 5);
    assert_eq!(json["data"]["bar_minutes"], 30);
    let csv = place.text("out/signals.csv");
    let mut lines = csv.lines();
    let head = lines.next().unwrap();
    assert!(head.starts_with("timestamp,date,stock,close,RSI,RSI confidence,MACD,"), "{head}");
    let days = 40;
    assert_eq!(lines.count(), days * 13 * 2);
    let page = place.text("out/report.html");
    for name in ["ensemble", "RSI", "MACD", "Bollinger Bands", "Pairs"] {
        assert!(page.contains(&format!("<h2>{name}</h2>")), "{name}");
        assert!(page.contains(&format!("<th scope=\"row\">{name}</th>")), "{name}");
    }
    assert_eq!(page.matches("<h3>Monthly returns</h3>").count(), 5);
    // Round trips add up to what each account earned of a million.
    let trades = place.text("out/trades.csv");
    let trips: Vec<Vec<&str>> = trades.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(trips[0][10..], ["profit", "expert"]);
    let results = &json["individual_results"];
    for (name, result) in [("RSI", &results["RSI"]), ("Pairs", &results["Pairs"])]
        .into_iter()
        .chain([("ensemble", &json["ensemble_result"])])
    {
        let own: Vec<_> = trips.iter().filter(|trip| trip[11] == name).collect();
        let sum: f64 = own.iter().map(|trip| trip[10].parse::<f64>().unwrap()).sum();
        let earned = 1e6 * result["performance_metrics"]["total_return"].as_f64().unwrap();
        let rounding = 0.01 * own.len() as f64;
        assert!(!own.is_empty() && (sum - earned).abs() < rounding, "{name}: {sum} {earned}");
    }
    // The same figures again, and the earlier files are kept.
    let again: Value =
        serde_json::from_str(&said(&place, &[&args[..], &["--format", "json"]].concat())).unwrap();
    let metrics = |json: &Value| json["individual_results"]["RSI"]["performance_metrics"].clone();
    assert_eq!(metrics(&again), metrics(&json));
    assert_eq!(again["ensemble_result"]["inference"], json["ensemble_result"]["inference"]);
    assert!(place.path("out/earlier/1/signals.csv").exists());
    assert_eq!(place.text("out/signals.csv"), csv);
}

/// The decisions of a stream equal those of a run.
#[test]
fn a_stream_decides_like_a_run() {
    let place = Place::new();
    let mine = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/strategies.toml");
    let names = ["--strategies", "RSI", "Pairs", "Against the z-score"];
    let voting = ["--ensemble", "voting", "--params", mine];
    let run_args = [&["run"][..], &names, &voting, &["--output", "out"]].concat();
    said(&place, &on_market(&run_args));
    let (text, mut input) = (place.text("out/signals.csv"), String::new());
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|row| row.split(',').collect()).collect();
    for pair in rows.chunks(2) {
        let price = |row: &[&str]| {
            let close: f64 = row[3].parse().unwrap();
            serde_json::json!({ "open": close, "high": close, "low": close, "close": close })
        };
        let bars = serde_json::json!({ "AAA": price(&pair[0]), "BBB": price(&pair[1]) });
        input += &format!("{}\n", serde_json::json!({ "timestamp": pair[0][0], "bars": bars }));
    }
    let stream =
        [&["strategies", "stream", "--stocks", "AAA", "BBB"][..], &names, &voting].concat();
    let output = fed(&place, &stream, &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), rows.len());
    let mut held = 0;
    for (answer, row) in answers.lines().zip(&rows) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!((&answer["timestamp"], &answer["stock"]), (&row[0].into(), &row[2].into()));
        for (i, name) in ["RSI", "Pairs", "Against the z-score", "ensemble"].iter().enumerate() {
            let decision = &answer["decisions"][name];
            let number = |cell: &str| cell.parse::<f64>().unwrap();
            assert_eq!(decision["target"].as_f64().unwrap(), number(row[4 + 2 * i]), "{answer}");
            assert_eq!(decision["confidence"].as_f64().unwrap(), number(row[5 + 2 * i]));
            held += usize::from(number(row[4 + 2 * i]) != 0.0);
        }
    }
    assert!(held > 1_000, "{held}");
}

/// A date, and a midnight of coins, which is a time like any other.
#[test]
fn a_stream_may_have_daily_bars_and_midnights() {
    let place = Place::new();
    let stream = ["strategies", "stream", "--strategies", "RSI", "--stocks", "AAA"];
    let bar = |time: &str| {
        let prices = "\"open\": 1, \"high\": 1, \"low\": 1, \"close\": 1";
        format!("{{\"timestamp\": {time}, \"stock\": \"AAA\", {prices}}}\n")
    };
    let times = ["\"2020-01-02\"", "\"2020-01-03T00:00:00Z\"", "1578096000000", "\"2020-01-06\""];
    let output = fed(&place, &stream, &times.map(bar).concat());
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), answers.lines().count()), (Some(0), 4), "{answers}");
}

#[test]
fn a_bad_line_of_a_stream_is_named() {
    let place = Place::new();
    let stream = ["strategies", "stream", "--strategies", "rsi", "--stocks", "AAA"];
    let good =
        r#"{"timestamp": 1577977200, "stock": "AAA", "open": 1, "high": 1, "low": 1, "close": 1}"#;
    for (bad, part) in [
        ("{", "line 2: "),
        (good, "does not end after the one before"),
        (&good.replace("1577977200", "\"noon\""), "timestamp \"noon\" cannot be parsed"),
        (
            &good.replace("1577977200", "1577977260").replace("AAA", "BBB"),
            "BBB is not among --stocks",
        ),
        (
            &good.replace("1577977200", "1577977260").replace("\"low\": 1", "\"low\": 2"),
            "are not between low and high",
        ),
        (
            &good.replace("1577977200", "1577977260").replace("\"open\": 1", "\"open\": -1"),
            "from 1e-9 to 1e12",
        ),
        (r#"{"timestamp": 1577977260, "stock": "AAA"}"#, "give either"),
    ] {
        let output = fed(&place, &stream, &format!("{good}\n{bad}\n"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(stderr.starts_with("error: line 2: ") && stderr.contains(part), "{bad}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}

#[test]
fn a_search_shows_both_samples() {
    let place = Place::new();
    let ranges = ["--range", "period=5:20:5", "--range", "std_dev=1.5,2"];
    let search =
        [&["optimize", "--strategy", "bollinger"][..], &ranges, &["--folds", "2"]].concat();
    let table = said(&place, &[&on_market(&search)[..], &["--output", "out"]].concat());
    for part in ["8 parameter sets", "walk-forward, out of sample", "best of 8 sets"] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let json: Value = serde_json::from_str(&place.text("out/optimization.json")).unwrap();
    assert_eq!(json["sets"].as_array().unwrap().len(), 8);
    assert_eq!(json["folds"].as_array().unwrap().len(), 2);
    assert!(json["best_in_hindsight"]["inference"]["deflated_sharpe"].is_f64());
    let random = [&on_market(&search)[..], &["--search", "random", "--trials", "6"]].concat();
    let text = |threads| said(&place, &[&random[..], &["--threads", threads]].concat());
    assert_eq!(text("1"), text("2"));
    let quiet = [&["strategies"][..], &random, &["--quiet"]].concat();
    let output = run(&mut place.program(&quiet));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// The standard output of a run over `ranks` ranks, whose files are in `folder`.
fn over_ranks(place: &Place, ranks: usize, args: &[&str], folder: &str) -> String {
    let args = [&["strategies"][..], args, &["--quiet", "--output", folder]].concat();
    let output = match ranks {
        1 => run(&mut place.program(&args)),
        ranks => run(&mut place.mpirun(ranks, &args)),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{ranks} ranks: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_search_over_ranks_equals_one_process() {
    let place = Place::new();
    let ranges = ["--range", "period=3:9:2", "oversold=20,35", "overbought=60,75"];
    let search = [&["optimize", "--strategy", "RSI"][..], &ranges, &["--format", "json"]].concat();
    let search = on_market(&search);
    let said = over_ranks(&place, 1, &search, "one");
    assert!(said.contains("deflated_sharpe"), "{said}");
    for ranks in [2, 3] {
        let folder = format!("ranks{ranks}");
        assert_eq!(over_ranks(&place, ranks, &search, &folder), said);
        let file = |folder: &str| place.read(&format!("{folder}/optimization.json"));
        assert!(file(&folder) == file("one"), "{ranks} ranks");
    }
}

/// Only clock times may differ.
fn without_times(json: &Value) -> Value {
    match json {
        Value::Object(fields) => {
            let of_time = ["timestamp", "execution_time", "parallel_efficiency"];
            let others = fields.iter().filter(|(name, _)| !of_time.contains(&name.as_str()));
            others.map(|(name, value)| (name.clone(), without_times(value))).collect()
        }
        Value::Array(values) => values.iter().map(without_times).collect(),
        other => other.clone(),
    }
}

#[test]
fn strategies_over_ranks_equal_one_process() {
    let place = Place::new();
    place_file(&place, "mine.toml", "[parameters.RSI]\nperiod = 5\n");
    let names = ["run", "--strategies", "RSI", "MACD", "pairs", "hold", "--params", "mine.toml"];
    let all =
        on_market(&[&names[..], &["--ensemble", "performance", "--window-bars", "100"]].concat());
    over_ranks(&place, 1, &all, "one");
    let json = |folder: &str| -> Value {
        serde_json::from_str(&place.text(&format!("{folder}/strategies.json"))).unwrap()
    };
    assert_eq!(json("one")["individual_results"]["RSI"]["parameters_used"]["period"], 5);
    for ranks in [2, 3] {
        let folder = format!("ranks{ranks}");
        over_ranks(&place, ranks, &all, &folder);
        assert_eq!(without_times(&json(&folder)), without_times(&json("one")), "{ranks} ranks");
        let signals = |folder: &str| place.read(&format!("{folder}/signals.csv"));
        assert!(signals(&folder) == signals("one"), "{ranks} ranks");
    }
    // Pairs with one stock fails, on a rank that is not the first; there are more ranks than
    // strategies.
    let alone = ["run", "--strategies", "RSI", "pairs", "--data", "synthetic:sample", "--stocks"];
    let period = ["AAA", "--bar-minutes", "30", "--end_date", "2018-02-28"];
    let alone = [&alone[..], &period].concat();
    over_ranks(&place, 3, &alone, "alone");
    let results = &json("alone")["individual_results"];
    assert_eq!(results["Pairs"]["success"], false);
    assert!(results["Pairs"]["error"].as_str().unwrap().contains("a pair needs two stocks"));
    assert_eq!(results["RSI"]["success"], true);
}

#[test]
fn a_user_error_under_mpirun_is_one_line() {
    let place = Place::new();
    for (args, part) in [
        (&["optimize", "--strategy", "RSI", "--range", "period=1"][..], "from 2 to 100000"),
        (&["run", "--data", "nowhere"], "nowhere"),
        (&["list"], "one process, but mpirun started 2"),
    ] {
        let output = run(&mut place.mpirun(2, &[&["strategies"], args].concat()));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        let errors = stderr.lines().filter(|line| line.starts_with("error: "));
        let errors: Vec<&str> = errors.collect();
        assert!(errors.len() == 1 && errors[0].contains(part), "{args:?}: {stderr}");
    }
}

#[test]
fn user_errors_are_one_line() {
    let place = Place::new();
    place_file(&place, "bad.toml", "[parameters.RSI]\nperiod = 0");
    for (args, part) in [
        (&["run", "--strategies", "RSJ"][..], "did you mean RSI?"),
        (&["run", "--strategies", "RSI", "--weights", "1", "2"], "2 are given for 1 strategies"),
        (&["run", "--params", "bad.toml"], "parameter period: 0 is out of range"),
        (&["run", "--params", "none.toml"], "none.toml"),
        (&["run", "--max-concurrent", "0"], "must be a whole number from 1 to 1024"),
        (&["run", "--strategy-timeout", "0"], "strategy_timeout"),
        (&["run", "--start_date", "2019-02-01", "--end_date", "2019-01-01"], "--end_date"),
        (&["run", "--stocks", "AAA", "AAA"], "AAA is given twice"),
        (&["optimize", "--strategy", "RSI", "--range", "perod=3"], "did you mean period?"),
        (&["optimize", "--strategy", "RSI", "--range", "period"], "write NAME=LOW:HIGH"),
    ] {
        let output = run(&mut place.program(&[&["strategies"], args].concat()));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    }
}

fn place_file(place: &Place, name: &str, text: &str) {
    std::fs::write(place.path(name), text).unwrap();
}
