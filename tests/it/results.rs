//! The result files of a run, read as their users read them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use dqn_trader::strategy::Registry;

use crate::program::{Place, run, short, succeed, write_day_files_with};

fn trained() -> Place {
    let place = Place::new();
    let mut args = short(&["--stocks", "AAPL", "MSFT", "GOOGL", "--episodes", "3", "--quiet"]);
    args.extend(["--eval-every", "2", "--fee-bps", "1.5", "--slippage-bps", "0.5"]);
    // A policy that trades, believed or not.
    args.extend(["--set", "learner.validation_share=0", "--seed", "2"]);
    succeed(&mut place.program(&args));
    place
}

fn json(place: &Place, name: &str) -> serde_json::Value {
    serde_json::from_str(&place.text(name)).unwrap()
}

/// Output of a Python script; the test script's Python has PyTorch and TensorBoard.
fn python(place: &Place, script: &str, folders: &[&str]) -> String {
    let python = std::env::var("DQN_TEST_PYTHON").unwrap_or_else(|_| {
        panic!("DQN_TEST_PYTHON is not set: run scripts/test.sh, which makes that Python")
    });
    let script = format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let folders = folders.iter().map(|folder| place.path(folder));
    let output = run(Command::new(python).arg(script).args(folders));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn every_file_exists_with_the_expected_content() {
    let place = trained();
    let names = [
        "config.toml",
        "metrics.jsonl",
        "portfolio_ep2.csv",
        "portfolio_ep3.csv",
        "allocations.csv",
        "trades.csv",
        "summary.json",
        "relationships.csv",
        "relationships_by_quarter.csv",
        "importance.csv",
        "report.html",
        "trained_model.pth",
        "policy.pt",
        "policy_check.json",
        "features.json",
        "checkpoints",
    ];
    for name in names {
        assert!(place.path("results").join(name).exists(), "{name}");
    }
    let leftovers = std::fs::read_dir(place.path("results")).unwrap().flatten();
    for entry in leftovers {
        let name = entry.file_name().into_string().unwrap();
        assert!(
            names.contains(&name.as_str()) || name.starts_with("events.out.tfevents."),
            "{name}"
        );
    }

    let summary = json(&place, "results/summary.json");
    assert_eq!(summary["run"]["stocks"], serde_json::json!(["AAPL", "MSFT", "GOOGL"]));
    for key in ["seed", "env_steps", "gradient_steps", "wall_s", "env_steps_per_s"] {
        assert!(summary["run"][key].is_number(), "run.{key}");
    }
    for side in ["eval", "benchmark"] {
        for key in [
            "total_reward",
            "portfolio_return",
            "sharpe",
            "sortino",
            "calmar",
            "max_drawdown",
            "volatility",
            "turnover",
            "trades",
            "exposure",
        ] {
            let value = &summary[side][key];
            assert!(value.is_number() || value.is_null() && key != "trades", "{side}.{key}");
        }
    }
    assert!(summary["benchmark"]["trades"] == 3, "buy-and-hold buys each stock once");
    let inference = &summary["inference"];
    let verdicts = ["evidence of an edge", "no evidence of an edge", "worse than doing nothing"];
    assert!(verdicts.contains(&inference["verdict"].as_str().unwrap()), "{inference}");
    assert_eq!(inference["sharpe"]["value"], summary["eval"]["sharpe"]);
    // The evaluation before was not chosen among.
    assert_eq!(inference["trials"]["own"].as_array().unwrap().len(), 1);
    assert_eq!(inference["trials"]["own"][0]["episode"], 3);

    let parts = summary["parts"].as_array().unwrap();
    let said = |field: &str| parts.iter().map(|part| part[field].as_str().unwrap()).collect();
    let (names, starts, ends): (Vec<&str>, Vec<&str>, Vec<&str>) =
        (said("part"), said("start"), said("end"));
    // Too few days to hold some of them back.
    assert_eq!(names, ["training", "evaluation"]);
    assert!(starts[0] < ends[0] && ends[0] < starts[1] && starts[1] < ends[1], "{parts:?}");
    // Who contributed adds up to what was earned of a million.
    let contributions = &summary["contributions"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let sum_of =
        |values: &serde_json::Value| -> f64 { values.as_array().unwrap().iter().map(number).sum() };
    let mut earned_in_all = 0.0;
    for stock in contributions["stocks"].as_array().unwrap() {
        let of_experts = sum_of(&stock["by_expert"]) + number(&stock["other"]);
        assert!((of_experts - number(&stock["profit"])).abs() < 1e-6, "{stock}");
        earned_in_all += number(&stock["profit"]);
    }
    let grown = 1e6 * number(&summary["eval"]["portfolio_return"]);
    assert!((earned_in_all - grown).abs() < 1e-3, "{earned_in_all} of {grown}");
    let experts = contributions["experts"].as_array().unwrap();
    let weights: f64 = experts.iter().map(|one| number(&one["mean_weight"])).sum();
    assert!((weights - 1.0).abs() < 1e-6, "{weights}");
    let regret = &contributions["regret"];
    assert!(number(&regret["regret"]) <= number(&regret["bound"]), "{regret}");

    let everyone = summary["everyone"].as_array().unwrap();
    let alone = everyone.iter().find(|one| one["role"] == "dqn").unwrap();
    let earned = |metrics: &serde_json::Value| metrics["portfolio_return"].as_f64().unwrap();
    let (row, part) = (earned(&alone["metrics"]), earned(&parts[1]["dqn"]));
    assert!((row - part).abs() < 1e-9, "{row} {part}");
    let roles = |role: &str| everyone.iter().filter(|one| one["role"] == role).count();
    let strategies = Registry::standard().kinds().len();
    let found = (roles("strategy"), roles("ensemble"), everyone.len());
    assert_eq!(found, (strategies, 5, strategies + 5 + 3));
    for one in everyone {
        assert_eq!(one["sharpe"]["low"].is_null(), one["metrics"]["sharpe"].is_null(), "{one}");
        assert!(one["costs"].as_f64().is_some_and(|costs| costs >= 0.0), "{one}");
    }
    let page = place.text("results/report.html");
    assert_eq!(page.matches("<th scope=\"row\">ensemble, ").count(), 5);
    for title in [
        "Equity and drawdown",
        "Monthly returns",
        "At the next open",
        "Results",
        "Skill or luck",
        "Experts",
        "Month by month",
        "Worst drawdowns",
        "Trades",
        "Prices and trades",
        "What moves each decision",
        "Relationships",
        "Learning",
        "Settings",
    ] {
        assert_eq!(page.matches(&format!("<h2>{title}</h2>")).count(), 1, "{title}");
    }
    assert!(!page.contains("<h2>Since the last run</h2>"), "there is none");
    // Every feature of every stock, and of its peers.
    let names = &json(&place, "results/features.json")["names"];
    let importance = place.text("results/importance.csv");
    assert_eq!(importance.lines().count(), 1 + 3 * 2 * names.as_array().unwrap().len());

    let lines: Vec<serde_json::Value> = place
        .text("results/metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["event"].is_null())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(last["episode"], 3);
    assert_eq!(last["env_steps"], summary["run"]["env_steps"]);
    assert_eq!(last["gradient_steps"], summary["run"]["gradient_steps"]);
    for line in &lines {
        for key in ["env_steps_per_s", "epsilon", "reward"] {
            assert!(line[key].is_number(), "{key} in {line}");
        }
    }

    let relationships = place.text("results/relationships.csv");
    let rows: Vec<Vec<&str>> =
        relationships.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["stock", "peer", "influence_bps", "attention", "correlation", "lead_lag"]);
    assert_eq!(rows.len(), 1 + 3 * 2);
    let of_aapl: f64 =
        rows.iter().filter(|row| row[0] == "AAPL").map(|row| row[3].parse::<f64>().unwrap()).sum();
    assert!((of_aapl - 1.0).abs() < 1e-5, "attention of AAPL to its peers sums to {of_aapl}");
}

/// Independent of the program's own accounting: everything is computed from the file's columns and
/// the costs.
#[test]
fn the_portfolio_file_adds_up_in_every_row() {
    let place = trained();
    let text = place.text("results/portfolio_ep3.csv");
    let mut lines = text.lines();
    let header = "timestamp,date,equity,cash,reward,turnover,drawdown,benchmark_equity,\
                  AAPL_position,AAPL_price,MSFT_position,MSFT_price,GOOGL_position,GOOGL_price";
    assert_eq!(lines.next().unwrap(), header);
    let rows: Vec<Vec<f64>> =
        lines.map(|line| line.split(',').skip(2).map(|x| x.parse().unwrap()).collect()).collect();
    assert!(rows.len() > 300);
    assert_eq!((rows[0][0], rows[0][1], rows[0][5]), (1e6, 1e6, 1e6));
    let mut peak = 0.0f64;
    let mut before: Option<&Vec<f64>> = None;
    for (i, row) in rows.iter().enumerate() {
        let [equity, cash, reward, turnover, drawdown] = row[..5] else { panic!("row {i}") };
        let value: f64 = row[6..].chunks_exact(2).map(|held| held[0] * held[1]).sum();
        assert!((cash + value - equity).abs() < 0.005, "row {i}: {cash} + {value} is not {equity}");
        peak = peak.max(equity);
        assert!((drawdown - (equity / peak - 1.0)).abs() < 1e-9, "row {i}: drawdown");
        let Some(last) = before.replace(row) else { continue };
        assert!((reward - (equity / last[0] - 1.0)).abs() < 1e-9, "row {i}: reward");
        let positions = |row: &[f64]| row[6..].iter().step_by(2).copied().collect::<Vec<f64>>();
        let traded = positions(row) != positions(last);
        assert_eq!(traded, turnover > 0.0, "row {i}: turnover {turnover}");
        if !traded {
            assert_eq!(cash, last[1], "row {i}: cash moves only when something is traded");
        }
    }
    let trades = rows.iter().filter(|row| row[3] > 0.0).count();
    assert!(trades > 3, "the policy never traded, so this test says little");
}

#[test]
fn pytorch_opens_the_model_and_gets_the_same_q_values() {
    let place = trained();
    let said = python(&place, "check_model.py", &["results"]);
    assert!(said.contains("\"encoder.0.weight\": [64, "), "{said}");
    assert!(said.contains("\"scaler.return_std\": [3]"), "{said}");
    assert!(said.contains("ok"), "{said}");
}

/// What is ordered after the last bar of a short evaluation is what a longer one trades next.
#[test]
fn orders_for_the_next_open_are_those_that_are_filled() {
    let place = trained();
    let all = place.text("results/portfolio_ep3.csv");
    let rows: Vec<Vec<&str>> = all.lines().map(|line| line.split(',').collect()).collect();
    let stocks = ["AAPL", "MSFT", "GOOGL"];
    let position = |row: &[&str], stock: &str| -> f64 {
        let name = format!("{stock}_position");
        row[rows[0].iter().position(|column| *column == name).unwrap()].parse().unwrap()
    };
    let days: BTreeSet<&str> = rows[1..].iter().map(|row| row[1]).collect();
    let mut orders = 0;
    for day in days.iter().rev().skip(1).take(12) {
        let evaluate = ["evaluate", "--model", "results", "--eval_end", day, "--quiet"];
        let output = run(&mut place.program(&[&evaluate[..], &["--ledger", "none"]].concat()));
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let next = rows.iter().position(|row| row[1] > *day && row[1] != "date").unwrap();
        let mut expected = BTreeMap::new();
        for stock in stocks {
            let traded = position(&rows[next], stock) - position(&rows[next - 1], stock);
            if traded != 0.0 {
                expected.insert(stock.to_string(), (traded, position(&rows[next], stock)));
            }
        }
        let text = place.text("results/evaluation/orders.csv");
        let found: BTreeMap<String, (f64, f64)> = text
            .lines()
            .skip(1)
            .map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                assert_eq!(cells[1], *day, "{line}");
                let sign = if cells[3] == "buy" { 1.0 } else { -1.0 };
                let number = |place: usize| cells[place].parse::<f64>().unwrap();
                (cells[2].into(), (sign * number(4), number(6)))
            })
            .collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{day}");
        for (stock, (shares, after)) in &expected {
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
            assert!(near(found[stock].0, *shares) && near(found[stock].1, *after), "{day} {stock}");
        }
        orders += expected.len();
        assert!(said.contains("next open: "), "{said}");
    }
    assert!(orders > 0, "nothing was ever ordered");
}

/// Half-hour bars of cointegrated pairs, with autocorrelations and features over sessions; five-minute bars, whose returns
/// reach back by sessions.
#[test]
fn python_computes_the_same_features_and_values() {
    let more = [
        "features.autocorrelation_bars=[30,5]",
        "features.volatility_sessions=[5,1]",
        "features.rsi_sessions=[3]",
        "features.return_sessions=[1,3]",
        "features.arbitrage_bars=200",
        "features.warmup_bars=500",
    ];
    let stocks = ["AAA", "BBB", "CCC", "DDD"];
    for (market, minutes, sets) in
        [("pairs", "30", &more[..]), ("sample", "5", &["features.warmup_bars=600"])]
    {
        let place = Place::new();
        let days = ["--start_date", "2017-06-01", "--end_date", "2018-06-29"];
        let bars = ["--bar-minutes", minutes, "--data", "data", "--quiet", "--stocks"];
        succeed(&mut place.program(&[&["synth", market][..], &days, &bars, &stocks].concat()));
        let mut train = vec!["--data", "data", "--episodes", "1", "--quiet", "--ledger", "none"];
        train.extend(["--start_date", "2018-01-02", "--end_date", "2018-04-30"]);
        train.extend(["--eval_start", "2018-05-01", "--eval_end", "2018-06-29", "--stocks"]);
        train.extend(stocks);
        sets.iter().for_each(|set| train.extend(["--set", set]));
        succeed(&mut place.program(&train));
        let said = python(&place, "check_features.py", &["results", "data"]);
        assert!(said.contains("features: ") && said.contains("values: "), "{said}");
    }
    // One stock alone, with further columns of its files, by the minute.
    let place = Place::new();
    let columns = ["vix", "mood"].map(String::from);
    write_day_files_with(&place.path("data"), &["AAA"], ("2018-01-02", "2018-02-09"), &columns);
    let mut train = vec!["--data", "data", "--episodes", "1", "--quiet", "--ledger", "none"];
    train.extend(["--start_date", "2018-01-05", "--end_date", "2018-01-31", "--stocks", "AAA"]);
    train.extend(["--eval_start", "2018-02-01", "--eval_end", "2018-02-09"]);
    train.extend(["--set", "features.columns=[\"vix\",\"mood\"]"]);
    succeed(&mut place.program(&train));
    let said = python(&place, "check_features.py", &["results", "data"]);
    assert!(said.contains("features: ") && said.contains("values: "), "{said}");
}

/// One line of pandas each, over a change of the clock.
#[test]
fn pandas_opens_every_table_with_one_line() {
    let place = Place::new();
    let eval = ["--eval_start", "2018-09-04", "--eval_end", "2018-12-28"];
    let market = ["--stocks", "AAPL", "MSFT", "--bar-minutes", "60", "--quiet"];
    let days = ["--start_date", "2018-01-02", "--end_date", "2018-08-31", "--episodes", "1"];
    succeed(&mut place.program(&[&market[..], &days, &eval].concat()));
    let rules = ["strategies", "run", "--strategies", "RSI", "--output", "signals"];
    let days = ["--start_date", "2018-09-04", "--end_date", "2018-12-28"];
    succeed(&mut place.program(&[&rules[..], &market, &days].concat()));
    let said = python(&place, "check_tables.py", &["results", "signals"]);
    assert!(said.contains("portfolio_ep1.csv, allocations.csv, signals.csv: UTC"), "{said}");
}

#[test]
fn tensorboard_reads_the_events() {
    let place = trained();
    let said = python(&place, "check_events.py", &["results"]);
    let text = place.text("results/metrics.jsonl");
    let lines = text.lines().filter(|line| !line.contains("\"event\"")).count();
    assert!(said.contains(&format!("\"train/reward\": [{lines},")), "{said}");
    assert!(said.contains("\"eval/return\": [2,"), "{said}");
}

#[test]
fn arbitrage_opportunities_are_events_that_pandas_reads() {
    let place = Place::new();
    let mut args = short(&["--data", "synthetic:pairs", "--stocks", "AAA", "BBB", "--quiet"]);
    args.extend(["--episodes", "1", "--set", "features.arbitrage_bars=200"]);
    succeed(&mut place.program(&args));
    let text = place.text("results/metrics.jsonl");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (events, intervals): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line["event"].is_string());
    for line in &intervals {
        assert!(line["reward"].is_number(), "{line}");
    }
    let count = |period: &str| events.iter().filter(|line| line["period"] == period).count();
    assert!(count("train") >= 3 && count("eval") >= 3, "{text}");
    for line in &events {
        assert_eq!((&line["stock"], &line["peer"]), (&"AAA".into(), &"BBB".into()));
        assert!(line["z_score"].as_f64().is_some_and(|z| z.abs() >= 2.0), "{line}");
        assert!(line["p_value"].as_f64().is_some_and(|p| p <= 0.01), "{line}");
    }
    let said = python(&place, "check_metrics.py", &["results"]);
    assert_eq!(said.trim(), format!("{} intervals, {} events", intervals.len(), events.len()));
}

#[test]
fn the_saved_configuration_runs_the_same_again() {
    let place = trained();
    let again = ["--config", "results/config.toml", "--output", "again", "--quiet"];
    succeed(&mut place.program(&again));
    for file in ["trained_model.pth", "portfolio_ep3.csv"] {
        let same = place.read(&format!("results/{file}")) == place.read(&format!("again/{file}"));
        assert!(same, "{file}");
    }
}

/// As in `dqn-trader ... | head -1`; on a full disk it is one, and the results are there.
#[test]
fn a_closed_standard_output_is_no_failure() {
    let place = Place::new();
    let args = short(&["--stocks", "AAPL", "--episodes", "1", "--quiet"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(place.program(&args).stdout(writer).status().unwrap().success());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let args = ["evaluate", "--model", "results", "--quiet"];
    let output = place.program(&args).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: standard output: No space left on device"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(place.path("results/evaluation/summary.json").exists());
}
