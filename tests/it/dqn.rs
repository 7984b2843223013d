//! The trained DQN as a strategy.

use std::collections::BTreeMap;
use std::sync::Arc;

use dqn_trader::market::options::LoadOptions;
use dqn_trader::market::store::LocalStore;
use dqn_trader::market::{Bar, Period, Symbol};
use dqn_trader::source::{DataSource, load_bars};
use serde_json::{Value, json};

use crate::program::{Place, fed, run, said, short, succeed, write_day_files_with};

/// The days with bars; there are none before them, so that all that decide on them have seen the
/// same bars.
const FIRST: &str = "2018-01-02";
const LAST: &str = "2018-06-29";

/// A run of two stocks in `results`, on bars in `data`. Positions that are kept are never resized,
/// so that an account of all stocks shows the same positions as one account per stock.
fn trained() -> Place {
    trained_with(&[])
}

/// Like [`trained`], with further columns of the day files.
fn trained_with(columns: &[String]) -> Place {
    let place = Place::new();
    write_day_files_with(&place.path("data"), &["AAPL", "MSFT"], (FIRST, LAST), columns);
    let setting = format!("features.columns={columns:?}");
    let mut flags = short(&["--data", "data", "--stocks", "AAPL", "MSFT", "--episodes", "2"]);
    // Enough gradient steps for a policy that trades.
    flags.extend(["--set", "learner.learning_starts=64", "--batch-size", "32", "--quiet"]);
    flags.extend(["--fee-bps", "0", "--slippage-bps", "0", "--set", "env.rebalance_band=inf"]);
    // The DQN alone trades the portfolio, believed or not.
    flags.extend(["--set", "learner.validation_share=0"]);
    flags.extend(["--set", "portfolio.meta_policy.enabled=false", "--set", &setting]);
    succeed(&mut place.program(&flags));
    place
}

/// Its bars, with the stocks in another order than in the run.
const BARS: [&str; 11] = [
    "--data",
    "data",
    "--stocks",
    "MSFT",
    "AAPL",
    "--bar-minutes",
    "30",
    "--start_date",
    FIRST,
    "--end_date",
    LAST,
];

/// A column of a CSV file by timestamp and, in a file of several stocks, by stock.
fn column(text: &str, name: &str) -> BTreeMap<(String, String), f64> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = head.iter().position(|column| *column == name).unwrap();
    let stock = head.iter().position(|column| *column == "stock");
    let cell = |row: &str| {
        let row: Vec<&str> = row.split(',').collect();
        let stock = stock.map_or(String::new(), |stock| row[stock].into());
        ((row[0].into(), stock), row[place].parse().unwrap())
    };
    lines.map(cell).collect()
}

/// Every position that `evaluate` held after a bar's open is the one that the strategy wanted at
/// the previous bar. Also with features that are further columns of the day files.
#[test]
fn it_holds_the_positions_of_an_evaluation() {
    let columns = ["vix", "mood"].map(String::from);
    let place = trained_with(&columns);
    let settings = place.text("results/config.toml");
    assert!(settings.contains("columns = [\"vix\", \"mood\"]"), "{settings}");
    let period = ["--eval_start", FIRST, "--eval_end", LAST, "--allow-overlap"];
    let evaluate = ["evaluate", "--model", "results", "--output", "whole", "--quiet"];
    succeed(&mut place.program(&[&evaluate[..], &period].concat()));
    let strategies = ["run", "--strategies", "dqn", "RSI", "--model", "results"];
    let asked = [&strategies[..], &BARS, &["--output", "out"]].concat();
    let table = said(&place, &asked);
    assert!(table.contains("\nDQN ") && table.contains("2 of 2 strategies"), "{table}");
    let (signals, portfolio) = (place.text("out/signals.csv"), place.text("whole/portfolio.csv"));
    let targets = column(&signals, "DQN");
    let mut turns = 0;
    for stock in ["AAPL", "MSFT"] {
        let positions = column(&portfolio, &format!("{stock}_position"));
        let times: Vec<&String> = positions.keys().map(|(time, _)| time).collect();
        assert!(times.len() > 1_000, "{} bars", times.len());
        let mut last = 0.0;
        for step in times.windows(2) {
            let wanted = targets[&(step[0].clone(), stock.to_string())];
            let held = positions[&(step[1].clone(), String::new())];
            let direction = if held == 0.0 { 0.0 } else { held.signum() };
            assert_eq!(direction, wanted, "{stock} at {}", step[1]);
            turns += usize::from(wanted != last);
            last = wanted;
        }
        // During the warm-up of its features it holds nothing.
        let early = targets.iter().filter(|((time, of), _)| of == stock && time < times[0]);
        assert!(early.clone().count() > 100 && early.into_iter().all(|(_, target)| *target == 0.0));
    }
    assert!(turns > 20, "a policy that hardly trades says little: {turns} turns");

    // The same over ranks.
    let mut over = place.mpirun(2, &[&["strategies"], &asked[..], &["--quiet"]].concat());
    succeed(&mut over);
    assert_eq!(place.text("out/signals.csv"), signals);
    stream_is(&place, &signals, &columns);
    columns_belong_to_the_model(&place, &settings);
}

/// Settings with the columns in another order are those of another run.
fn columns_belong_to_the_model(place: &Place, settings: &str) {
    let swapped = settings.replace("[\"vix\", \"mood\"]", "[\"mood\", \"vix\"]");
    std::fs::write(place.path("results/config.toml"), swapped).unwrap();
    let output = run(&mut place.program(&["evaluate", "--model", "results", "--quiet"]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let trained = "was trained with features.columns = [\"vix\", \"mood\"]";
    assert!(stderr.contains(trained) && stderr.contains("not from the same run"), "{stderr}");
}

/// Input of a stream.
fn line(end_s: i64, bars: &serde_json::Map<String, Value>) -> String {
    format!("{}\n", json!({ "timestamp": end_s, "bars": bars }))
}

/// A stream of the same bars, one by one, leads to the same decisions.
fn stream_is(place: &Place, signals: &str, columns: &[String]) {
    let stocks: Vec<Symbol> = ["MSFT", "AAPL"].map(|name| name.parse().unwrap()).into();
    let (targets, confidences) = (column(signals, "DQN"), column(signals, "DQN confidence"));
    let source = DataSource::Store(Arc::new(LocalStore::open(&place.path("data")).unwrap()));
    let options =
        LoadOptions { bar_minutes: Some(30), columns: columns.to_vec(), ..LoadOptions::default() };
    let period = Period { start: FIRST.parse().unwrap(), end: LAST.parse().unwrap() };
    let mut together: BTreeMap<i64, serde_json::Map<String, Value>> = BTreeMap::new();
    for stock in &stocks {
        let loaded = load_bars(&source, &stocks, stock, &period, &options, &mut |_| {});
        let series = loaded.unwrap().0;
        for (i, Bar { end_s, open, high, low, close, volume }) in series.bars().enumerate() {
            // A value that is not known, which is the last one then, is null.
            let same = |k: usize| i > 0 && series.extra(i)[k] == series.extra(i - 1)[k];
            let value = |k: usize| if same(k) { Value::Null } else { json!(series.extra(i)[k]) };
            let values: serde_json::Map<String, Value> =
                columns.iter().enumerate().map(|(k, name)| (name.clone(), value(k))).collect();
            let bar = json!({ "open": open, "high": high, "low": low, "close": close,
                "volume": volume, "columns": values });
            together.entry(end_s).or_default().insert(stock.to_string(), bar);
        }
    }
    let input: String = together.iter().map(|(end_s, bars)| line(*end_s, bars)).collect();
    let stream = ["strategies", "stream", "--strategies", "DQN", "--model", "results"];
    let stream = [&stream[..], &["--stocks", "MSFT", "AAPL"]].concat();
    let output = fed(place, &stream, &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), targets.len());
    let mut times = targets.keys().map(|(time, _)| time).collect::<Vec<_>>();
    times.dedup();
    for (answers, time) in answers.lines().collect::<Vec<_>>().chunks(2).zip(times) {
        for answer in answers {
            let answer: Value = serde_json::from_str(answer).unwrap();
            let key = (time.clone(), answer["stock"].as_str().unwrap().to_string());
            let decision = &answer["decisions"]["DQN"];
            assert_eq!(decision["target"].as_f64(), Some(targets[&key]), "{key:?}");
            assert_eq!(decision["confidence"].as_f64(), Some(confidences[&key]), "{key:?}");
        }
    }

    // The columns that it was trained with have to be there.
    let (end_s, bars) = together.first_key_value().unwrap();
    let mut lacking = bars.clone();
    lacking["AAPL"]["columns"].as_object_mut().unwrap().remove("mood");
    let output = fed(place, &stream, &line(*end_s, &lacking));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("line 1: AAPL: the column mood is missing"), "{stderr}");

    // The DQN cannot decide on a part of the stocks' bars.
    let half = |stock: &str| {
        line(*end_s, &[(stock.to_string(), bars[stock].clone())].into_iter().collect())
    };
    let output = fed(place, &stream, &(half("MSFT") + &half("AAPL")));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("line 2: DQN: bars that end at 2018-01-02T10:00:00-05:00"), "{stderr}");
}

#[test]
fn it_is_listed_searched_defined_in_files_and_part_of_ensembles() {
    let place = trained();
    let table = said(&place, &["list"]);
    assert!(table.contains("\nDQN: ") && table.contains("results folder of a training run"));
    let wide = table.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
    let list = said(&place, &["list", "--model", "results", "--format", "json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let dqn = list.iter().find(|kind| kind["name"] == "DQN").unwrap();
    let default = |name: &str| {
        let parameters = dqn["parameters"].as_array().unwrap();
        parameters.iter().find(|one| one["name"] == name).unwrap()["default"].clone()
    };
    assert_eq!((default("model"), default("threshold")), (json!("results"), json!(0.0)));

    let file = "[parameters.DQN]\nmodel = \"results\"\n\
                [strategies.Careful]\nkind = \"trained DQN\"\n\
                parameters = { model = \"results\", threshold = 1.5 }\n";
    std::fs::write(place.path("mine.toml"), file).unwrap();
    let names = ["run", "--strategies", "DQN", "careful", "RSI", "--params", "mine.toml"];
    let voting = ["--ensemble", "voting", "--output", "out", "--format", "json"];
    let asked = [&names[..], &BARS, &voting].concat();
    let results: Value = serde_json::from_str(&said(&place, &asked)).unwrap();
    let of = |name: &str| results["individual_results"][name].clone();
    assert_eq!(of("Careful")["parameters_used"]["threshold"], 1.5);
    assert_eq!(of("Careful")["parameters_used"]["file"], "trained_model.pth");
    assert_eq!(results["ensemble_result"]["ensemble_config"]["strategies"][1], "Careful");
    let trades = |name: &str| of(name)["performance_metrics"]["trades"].as_u64().unwrap();
    assert!(trades("Careful") < trades("DQN"), "{results}");
    let signals = place.text("out/signals.csv");
    let [dqn, careful, rsi, vote] =
        ["DQN", "Careful", "RSI", "ensemble"].map(|name| column(&signals, name));
    for (key, vote) in &vote {
        let balance: f64 = [&dqn, &careful, &rsi].iter().map(|one| one[key]).sum();
        assert_eq!(*vote, if balance == 0.0 { 0.0 } else { balance.signum() }, "{key:?}");
    }

    let search = ["optimize", "--strategy", "DQN", "--range", "threshold=0,1.5,100"];
    let search = [&search[..], &["--folds", "2", "--params", "mine.toml"]].concat();
    let asked = [&search[..], &BARS, &["--format", "json"]].concat();
    let found: Value = serde_json::from_str(&said(&place, &asked)).unwrap();
    let sets = found["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 3);
    for (set, name) in sets.iter().zip(["DQN", "Careful"]) {
        assert_eq!(set["parameters"]["model"], "results");
        assert_eq!(set["total_return"], of(name)["performance_metrics"]["total_return"]);
    }
    assert_eq!(sets[2]["trades"], 0);
}

#[test]
fn user_errors_are_one_line() {
    let place = trained();
    let dqn = ["run", "--strategies", "DQN", "--data", "data", "--end_date", LAST];
    let with = |more: &[&'static str]| [&dqn[..], more].concat();
    let thirty = ["--bar-minutes", "30", "--stocks", "AAPL", "MSFT"];
    let hourly = ["--bar-minutes", "60", "--stocks", "AAPL", "MSFT", "--model", "results"];
    for (args, part) in [
        (with(&thirty), "parameter model: is missing; give the results folder"),
        (with(&[&thirty[..], &["--model", "nowhere"]].concat()), "nowhere/config.toml: No such"),
        (
            with(&["--model", "results", "--stocks", "AAPL"]),
            "was trained on AAPL MSFT, not on AAPL",
        ),
        (with(&hourly), "bars come every 60 min, those it was trained on every 30 min"),
    ] {
        let output = run(&mut place.program(&[&["strategies"], &args[..], &["--quiet"]].concat()));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    }
}
