//! `dqn-trader agents`, and the library function behind it.

mod azure;
mod budgets;
mod dialects;
mod endpoints;
mod isolation;
mod language_models;
mod refusals;
mod seed_files;
mod server;
mod trained;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::program::{Place, run};

/// Writes `agents.json`: these models over a month of half-hour bars of a synthetic market, with
/// `more` top-level keys.
fn configure(place: &Place, models: Value, more: Value) {
    let mut config = json!({
        "agent_type": "BaseAgent",
        "date_range": { "init_date": "2019-01-02", "end_date": "2019-01-31" },
        "models": models,
        "agent_config": { "base_delay": 0.01, "initial_cash": 10000.0 },
        "log_config": { "log_path": "out" },
        "stocks": ["AAA", "BBB"],
        "data": "synthetic:momentum",
        "bar_minutes": 30,
        "lead_days": 30,
        "timeout_s": 100,
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    std::fs::write(place.path("agents.json"), config.to_string()).unwrap();
}

fn strategy(signature: &str, name: &str) -> Value {
    json!({ "signature": signature, "kind": "strategy", "strategy": name })
}

/// Two strategies and an ensemble of them.
fn three() -> Value {
    json!([
        strategy("momentum", "Momentum"),
        { "signature": "rsi", "kind": "strategy", "strategy": "RSI",
          "parameters": { "period": 5 } },
        { "signature": "both", "kind": "ensemble", "strategies": ["Momentum", "RSI"],
          "method": "inverse_variance", "window_bars": 50 },
        { "signature": "off", "enabled": false, "basemodel": "m" },
    ])
}

/// The program without a key or an endpoint in the environment.
fn agents(place: &Place, args: &[&str]) -> Command {
    let mut command = place.program(&[&["agents", "--config", "agents.json"], args].concat());
    for name in ["OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL", "INIT_DATE", "END_DATE"] {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1");
    command
}

/// Standard output and standard error of a command that must end with `code`.
fn said(command: &mut Command, code: i32) -> (String, String) {
    let output = run(command);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{stderr}");
    (String::from_utf8(output.stdout).unwrap(), stderr)
}

fn position(place: &Place, out: &str, signature: &str) -> String {
    place.text(&format!("{out}/{signature}/position/position.jsonl"))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Of the round trips of one account in `trades.csv`.
fn profits<'a>(trades: &'a str, owner: &'a str) -> impl Iterator<Item = f64> + use<'a> {
    let cells = trades.lines().skip(1).map(|row| row.split(',').collect::<Vec<&str>>());
    cells.filter(move |cells| cells[11] == owner).map(|cells| cells[10].parse().unwrap())
}

#[test]
fn agents_trade_in_parallel_and_are_ranked() {
    let place = Place::new();
    configure(&place, three(), json!({}));
    let (table, stderr) = said(&mut agents(&place, &[]), 0);
    for part in ["momentum  ", "\nrsi ", "\nboth ", "ensemble", "\nbenchmark ", "MADE-UP"] {
        assert!(format!("\n{table}").contains(part), "{part} is missing in\n{table}");
    }
    assert!(!table.contains("off") && stderr.contains("both: done in "), "{stderr}");
    for signature in ["momentum", "rsi", "both"] {
        let records = lines(&position(&place, "out", signature));
        let start = json!({
            "date": "2019-01-02", "id": 0, "positions": { "AAA": 0, "BBB": 0, "CASH": 10000.0 }
        });
        assert_eq!(records[0], start);
        assert_eq!(records[1]["date"], "2019-01-03");
        assert_eq!(records.last().unwrap()["date"], "2019-01-31");
        let (mut cash, mut bought) = (10_000.0, 0);
        for (id, record) in records.iter().enumerate() {
            assert_eq!(record["id"], id);
            let now = record["positions"]["CASH"].as_f64().unwrap();
            assert!(now >= 0.0);
            match record["this_action"]["action"].as_str() {
                Some("buy") => assert!(now < cash),
                Some("sell") => assert!(now > cash),
                _ => assert_eq!(now, cash),
            }
            bought += usize::from(record["this_action"]["action"] == "buy");
            cash = now;
        }
        assert!(bought > 0, "{signature} never bought");
        let metrics: Value =
            serde_json::from_str(&place.text(&format!("out/{signature}/metrics.json"))).unwrap();
        assert_eq!((&metrics["signature"], &metrics["days"]), (&json!(signature), &json!(20)));
        let trades = records
            .iter()
            .filter(|r| r["this_action"]["symbol"].as_str().is_some_and(|s| !s.is_empty()));
        assert_eq!(metrics["trades"], trades.count());
        assert!(metrics["cost"].as_f64().unwrap() > 0.0 && metrics["sharpe"]["low"].is_f64());
    }
    let records = lines(&position(&place, "out", "rsi"));
    let traded = records.iter().find(|record| record["this_action"]["action"] == "buy").unwrap();
    let day = traded["date"].as_str().unwrap();
    let log = lines(&place.text(&format!("out/rsi/log/{day}/log.jsonl")));
    assert_eq!(log[0]["signature"], "rsi");
    assert_eq!(log[0]["new_messages"][0]["role"], "assistant");
    let page = place.text("out/report.html");
    assert!(table.contains("\nwritten:\n  out/trades.csv\n  out/report.html\n"), "{table}");
    for signature in ["momentum", "rsi", "both"] {
        assert!(page.contains(&format!("<h2>{signature}</h2>")), "{signature}");
    }
    // All of January, but for the first day, on which the accounts begin.
    assert_eq!(page.matches("<th scope=\"row\">Jan 2019</th>").count(), 3);
    // The round trips of an agent add up to what its account earned.
    let trades = place.text("out/trades.csv");
    for signature in ["momentum", "rsi", "both"] {
        let metrics: Value =
            serde_json::from_str(&place.text(&format!("out/{signature}/metrics.json"))).unwrap();
        let [first, last] =
            ["initial_equity", "final_equity"].map(|name| metrics[name].as_f64().unwrap());
        let profits: Vec<f64> = profits(&trades, signature).collect();
        let sum: f64 = profits.iter().sum();
        assert!(!profits.is_empty() && (sum - (last - first)).abs() < 0.01 * profits.len() as f64);
    }
    // A single agent in this process; several agents in processes that execute the program again.
    configure(&place, three(), json!({ "log_config": { "log_path": "alone" } }));
    let (alone, _) = said(&mut agents(&place, &["--signature", "both", "--format", "json"]), 0);
    let alone: Value = serde_json::from_str(&alone).unwrap();
    assert_eq!(alone["agents"][0]["metrics"]["signature"], "both");
    assert!(alone["benchmark"]["metrics"]["total_return"].is_f64());
    assert_eq!(position(&place, "alone", "both"), position(&place, "out", "both"));
    assert!(place.path("alone/both/report.html").exists());
    assert!(!place.path("alone/report.html").exists(), "that of all stays");
    let out = place.path("executed");
    configure(&place, three(), json!({ "log_config": { "log_path": out } }));
    let report = executed(&place, Path::new(env!("CARGO_BIN_EXE_dqn-trader")));
    assert!(report.is_success());
    for signature in ["momentum", "rsi", "both"] {
        for file in ["position/position.jsonl", "metrics.json"] {
            let of = |out: &str| place.text(&format!("{out}/{signature}/{file}"));
            assert_eq!(of("executed"), of("out"), "{signature}, {file}");
        }
    }
}

/// Through the library, with `program` for every agent.
fn executed(place: &Place, program: &Path) -> dqn_trader::agents::AgentsReport {
    let runner = dqn_trader::agents::Runner {
        program: Some(program.into()),
        cache: place.path("cache/dqn-trader"),
        say: Box::new(|_| {}),
        ..Default::default()
    };
    runner.run(&place.path("agents.json"), None).unwrap()
}

/// Stopped on one day, killed with an incomplete line, and resumed up to a later day: the same
/// bytes as without interruption. In between the bars of the later days do not exist, so nothing
/// depends on them.
#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    for by_bar in [false, true] {
        let place = Place::new();
        let dates = match by_bar {
            true => {
                json!({ "init_date": "2019-01-02 12:00:00", "end_date": "2019-01-15 11:30:00" })
            }
            false => json!({ "init_date": "2019-01-02", "end_date": "2019-01-31" }),
        };
        let at = |out: &str| {
            let more = json!({ "log_config": { "log_path": out }, "date_range": dates });
            configure(&place, three(), more);
        };
        at("once");
        said(&mut agents(&place, &["--quiet"]), 0);
        at("parts");
        let half = if by_bar { "2019-01-08 15:00:00" } else { "2019-01-11" };
        let (_, stderr) = said(agents(&place, &[]).env("END_DATE", half), 0);
        let told = format!("END_DATE={half} in the environment overrides date_range.end_date");
        assert!(stderr.contains(&told), "{stderr}");
        let path = place.path("parts/rsi/position/position.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(position(&place, "once", "rsi").starts_with(&text));
        std::fs::write(&path, &text[..text.len() - 17]).unwrap();
        let (_, stderr) = said(&mut agents(&place, &[]), 0);
        let torn =
            stderr.lines().find(|line| line.contains("an incomplete last record of")).unwrap();
        assert!(torn.starts_with("rsi: ") && torn.contains("position.jsonl"), "{torn}");
        for signature in ["momentum", "rsi", "both"] {
            for file in ["position/position.jsonl", "metrics.json"] {
                let of = |out: &str| place.text(&format!("{out}/{signature}/{file}"));
                assert_eq!(of("parts"), of("once"), "{signature}, {file}");
            }
        }
        // Also with a later start: account and benchmark keep the original start.
        let mut later = agents(&place, &["--format", "json"]);
        let (json, stderr) = said(later.env("INIT_DATE", "2019-01-10"), 0);
        assert!(stderr.contains("rsi: nothing to do after 2019-01-"), "{stderr}");
        let json: Value = serde_json::from_str(&json).unwrap();
        let held = &json["benchmark"]["metrics"];
        for agent in json["agents"].as_array().unwrap() {
            assert_eq!(agent["metrics"]["benchmark"]["final_equity"], held["final_equity"]);
        }
        for file in ["position/position.jsonl", "metrics.json"] {
            let of = |out: &str| place.text(&format!("{out}/rsi/{file}"));
            assert_eq!(of("parts"), of("once"), "{file}");
        }
    }
}

/// An ensemble by performance has a long window. It must not use bars that were loaded for another
/// agent whose account started earlier.
#[test]
fn an_agents_decisions_do_not_depend_on_other_agents() {
    let place = Place::new();
    let all = json!(["Momentum", "RSI", "MACD", "Bollinger Bands"]);
    let models = json!([
        strategy("momentum", "Momentum"),
        { "signature": "best", "kind": "ensemble", "strategies": all, "method": "performance" },
    ]);
    let at = |out: &str| {
        configure(&place, models.clone(), json!({ "log_config": { "log_path": out } }));
    };
    let begun = |args: &[&str], first: &str, last: &str| {
        let mut command = agents(&place, args);
        said(command.env("INIT_DATE", first).env("END_DATE", last), 0);
    };
    at("alone");
    begun(&["--signature", "best", "--quiet"], "2019-01-15", "2019-01-31");
    at("company");
    begun(&["--signature", "momentum", "--quiet"], "2018-11-01", "2019-01-10");
    begun(&["--quiet"], "2019-01-15", "2019-01-31");
    assert_eq!(position(&place, "company", "best"), position(&place, "alone", "best"));
    let longer = lines(&position(&place, "company", "momentum"));
    let ends = (&longer[0]["date"], &longer.last().unwrap()["date"]);
    assert_eq!(ends, (&json!("2018-11-01"), &json!("2019-01-31")));
}

/// Files may not grow beyond two KiB.
#[test]
fn a_full_disk_ends_an_agent_which_can_be_resumed() {
    let place = Place::new();
    let models = json!([strategy("momentum", "Momentum")]);
    let at =
        |out: &str| configure(&place, models.clone(), json!({ "log_config": { "log_path": out } }));
    at("once");
    said(&mut agents(&place, &["--quiet"]), 0);
    at("parts");
    let args = ["agents", "--config", "agents.json", "--quiet"];
    let (_, stderr) = said(&mut crate::machine::limited(&place, 2_048, &args), 2);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in
        ["error: ", "position.jsonl: cannot be written; free some disk space", "File too large"]
    {
        assert!(stderr.contains(part), "{part:?} is missing in {stderr}");
    }
    let whole = position(&place, "once", "momentum");
    let part = position(&place, "parts", "momentum");
    assert!(whole.starts_with(&part) && part.len() <= 2_048 && whole.len() > 2_048);
    said(&mut agents(&place, &["--quiet"]), 0);
    assert_eq!(position(&place, "parts", "momentum"), whole);
}

#[test]
fn user_errors_are_one_line_and_nothing_starts() {
    let place = Place::new();
    let rsi = strategy("rsi", "RSI");
    for (models, more, args, part) in [
        (json!([rsi, rsi]), json!({}), &[][..], "rsi is given twice"),
        (json!([{ "name": "x", "kind": "strategy" }]), json!({}), &[], "x has none"),
        (json!([rsi]), json!({}), &["--signature", "rsj"], "no enabled model"),
        (json!([rsi, strategy("b", "MACD")]), json!({ "data": "nowhere" }), &[], "nowhere"),
        (json!([rsi]), json!({ "data": "synthetic:moon" }), &[], "moon"),
        (
            json!([rsi]),
            json!({ "universe": "nasdaq100", "stocks": null }),
            &[],
            "nasdaq100 is neither",
        ),
        (json!([rsi]), json!({ "calendar": "XSHG" }), &[], "`calendar` XSHG: made-up prices"),
        (json!([rsi]), json!({ "calendar": "always" }), &[], "calendar: is always, but"),
    ] {
        configure(&place, models, more);
        let (stdout, stderr) = said(&mut agents(&place, &[&["--quiet"], args].concat()), 2);
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{stderr}");
        assert_eq!((stderr.lines().count(), stdout.as_str()), (1, ""), "{stderr}");
        assert!(!place.path("out").exists());
    }
    std::fs::write(place.path("taken"), "a file").unwrap();
    std::fs::create_dir(place.path("half")).unwrap();
    std::fs::write(place.path("half/rsi"), "a file").unwrap();
    for models in [json!([rsi]), json!([strategy("b", "MACD"), rsi])] {
        for (log_path, named) in
            [("taken", "taken"), ("taken/of", "taken/of"), ("half", "half/rsi")]
        {
            configure(&place, models.clone(), json!({ "log_config": { "log_path": log_path } }));
            let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
            assert!(stderr.contains(&format!("log_config.log_path {named}: ")), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(!place.path("half/b").exists());
        }
    }
    let (_, stderr) = said(&mut place.program(&["agents"]), 2);
    assert!(stderr.contains("configs/default_config.json"), "{stderr}");
    configure(&place, json!([rsi]), json!({}));
    let (_, stderr) = said(agents(&place, &["--quiet"]).env("INIT_DATE", "2019-02-30"), 2);
    assert!(stderr.contains("INIT_DATE: \"2019-02-30\" is not a date"), "{stderr}");
}

/// The default configuration of the clone, run from the clone.
#[test]
fn the_default_configuration_runs() {
    let text = include_str!("../../configs/default_config.json");
    let place = Place::new();
    std::fs::create_dir(place.path("configs")).unwrap();
    std::fs::write(place.path("configs/default_config.json"), text).unwrap();
    let mut command = place.program(&["agents"]);
    let (table, _) = said(command.env("END_DATE", "2020-01-31").env_remove("INIT_DATE"), 0);
    assert!(table.contains("together") && table.contains("benchmark"), "{table}");
    assert!(place.path("data/agent_data/rsi/metrics.json").exists());
}
