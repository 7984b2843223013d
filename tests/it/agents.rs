//! `dqn-trader agents`, and the library behind it.

mod isolation;
mod language_models;
mod server;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::program::{Place, run, write_day_files};

/// Writes `agents.json`: these models over a month of half-hour bars of a made-up market, with
/// `more` at the top.
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

/// The program, as it is without a key or an endpoint in the environment.
fn agents(place: &Place, args: &[&str]) -> Command {
    let mut command = place.program(&[&["agents", "--config", "agents.json"], args].concat());
    for name in ["OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL", "INIT_DATE", "END_DATE"] {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1");
    command
}

/// What it says on standard output and on standard error, where it must end with `code`.
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

#[test]
fn agents_trade_side_by_side_and_stand_beside_each_other() {
    let place = Place::new();
    configure(&place, three(), json!({}));
    let (table, stderr) = said(&mut agents(&place, &[]), 0);
    for part in ["momentum  ", "\nrsi ", "\nboth ", "ensemble", "\nbuy-and-hold ", "MADE-UP"] {
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
    // One agent in this process; each in a process of the program that is executed again.
    configure(&place, three(), json!({ "log_config": { "log_path": "alone" } }));
    let (alone, _) = said(&mut agents(&place, &["--signature", "both", "--format", "json"]), 0);
    let alone: Value = serde_json::from_str(&alone).unwrap();
    assert_eq!(alone["agents"][0]["metrics"]["signature"], "both");
    assert!(alone["benchmark"]["metrics"]["total_return"].is_f64());
    assert_eq!(position(&place, "alone", "both"), position(&place, "out", "both"));
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

/// By the library, with `program` for every agent.
fn executed(place: &Place, program: &Path) -> dqn_trader::agents::Report {
    let runner = dqn_trader::agents::Runner {
        program: Some(program.into()),
        cache: place.path("cache/dqn-trader"),
        say: Box::new(|_| {}),
        ..Default::default()
    };
    runner.run(&place.path("agents.json"), None).unwrap()
}

/// Stopped on a day, killed with a torn line, and told to go on to a later day: the same bytes as
/// in one go. In between there are no bars at all of the days to come, so nothing depends on them.
#[test]
fn a_run_that_goes_on_ends_as_one_that_was_never_interrupted() {
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
        let torn = stderr.lines().find(|line| line.contains("a torn end of")).unwrap();
        assert!(torn.starts_with("rsi: ") && torn.contains("position.jsonl"), "{torn}");
        for signature in ["momentum", "rsi", "both"] {
            for file in ["position/position.jsonl", "metrics.json"] {
                let of = |out: &str| place.text(&format!("{out}/{signature}/{file}"));
                assert_eq!(of("parts"), of("once"), "{signature}, {file}");
            }
        }
        // Also where it is told to begin later: the account was begun before.
        let mut later = agents(&place, &[]);
        let (_, stderr) = said(later.env("INIT_DATE", "2019-01-10"), 0);
        assert!(stderr.contains("rsi: nothing to do after 2019-01-"), "{stderr}");
        for file in ["position/position.jsonl", "metrics.json"] {
            let of = |out: &str| place.text(&format!("{out}/rsi/{file}"));
            assert_eq!(of("parts"), of("once"), "{file}");
        }
    }
}

#[test]
fn bars_come_from_a_folder_and_from_azure_alike() {
    use dqn_trader::market::store::{AzureStore, LocalStore, Store};
    use dqn_trader::market::{Period, Symbol};
    let place = Place::new();
    let data = place.path("data");
    write_day_files(&data, &["AAA", "BBB"], "2019-01-02", "2019-01-31");
    let secret = crate::store::azurite();
    let (_, container) = crate::store::new_container();
    let azure = AzureStore::connect(&secret, &container).unwrap();
    let local = LocalStore::open(&data).unwrap();
    let period =
        Period { start: "2019-01-02".parse().unwrap(), end: "2019-01-31".parse().unwrap() };
    for symbol in ["AAA", "BBB"] {
        for file in local.list(&symbol.parse::<Symbol>().unwrap(), &period).unwrap() {
            azure.put(&file.key, &local.get(&file.key).unwrap()).unwrap();
        }
    }
    let models = json!([strategy("momentum", "Momentum"), strategy("rsi", "RSI")]);
    for (source, out) in [("data", "folder"), ("azure", "cloud")] {
        let more = json!({
            "data": source, "container": container, "log_config": { "log_path": out }
        });
        configure(&place, models.clone(), more);
        let mut command = agents(&place, &[]);
        let (table, stderr) = said(command.env("AZURE_STORAGE_CONNECTION_STRING", &secret), 0);
        assert!(!table.contains("MADE-UP"), "{table}");
        assert!(stderr.contains("bars of 30 min from 21 days"), "{stderr}");
    }
    for signature in ["momentum", "rsi"] {
        assert_eq!(position(&place, "cloud", signature), position(&place, "folder", signature));
    }
}

/// It holds what an evaluation of the same run over the same days holds, where that is long.
#[test]
fn a_trained_run_is_an_agent() {
    let place = Place::new();
    let period = ["--start_date", "2018-01-02", "--end_date", "2018-04-30"];
    let eval = ["--eval_start", "2018-05-01", "--eval_end", "2018-06-15"];
    let market = ["--data", "synthetic:momentum", "--stocks", "AAA", "BBB", "--bar-minutes", "30"];
    let warmup = ["--set", "features.warmup_bars=300", "--episodes", "6", "--quiet"];
    let trained = [&["--output", "trained"][..], &period, &eval, &market, &warmup].concat();
    crate::program::succeed(&mut place.program(&trained));
    let models = json!([
        { "signature": "dqn", "kind": "dqn", "results": "trained" }, strategy("rsi", "RSI"),
    ]);
    let more = json!({
        "date_range": { "init_date": "2018-05-01", "end_date": "2018-06-15" },
        "agent_config": { "initial_cash": 1_000_000.0 },
    });
    configure(&place, models.clone(), more);
    let (table, _) = said(&mut agents(&place, &[]), 0);
    assert!(table.contains("dqn ") && !table.contains("trained on days"), "{table}");
    let csv = String::from_utf8(place.read("trained/portfolio_ep6.csv")).unwrap();
    let head: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let column = |name: &str| head.iter().position(|known| *known == name).unwrap();
    let held: Vec<usize> = ["AAA", "BBB"].map(|s| column(&format!("{s}_position"))).into();
    let records = lines(&position(&place, "out", "dqn"));
    let mut long = 0;
    for record in &records[1..] {
        let day = record["date"].as_str().unwrap();
        let is_last =
            !records.iter().any(|r| r["date"] == day && r["id"].as_u64() > record["id"].as_u64());
        let Some(row) = csv.lines().rfind(|line| line.starts_with(day)).filter(|_| is_last) else {
            continue;
        };
        let row: Vec<&str> = row.split(',').collect();
        for (&column, symbol) in held.iter().zip(["AAA", "BBB"]) {
            let evaluated: f64 = row[column].parse().unwrap();
            let ours = record["positions"][symbol].as_u64().unwrap();
            assert_eq!(ours > 0, evaluated > 0.0, "{day}, {symbol}: {ours} and {evaluated}");
            long += u32::from(ours > 0);
        }
    }
    assert!(long > 10, "{long}");
    // Over days that it was trained on, that is said.
    let more = json!({
        "date_range": { "init_date": "2018-04-02", "end_date": "2018-04-30" },
        "log_config": { "log_path": "seen" },
    });
    configure(&place, models, more);
    let (table, _) = said(&mut agents(&place, &["--signature", "dqn"]), 0);
    assert!(table.contains("was trained on days of this period (2018-01-02 to"), "{table}");
}

#[test]
fn mistakes_are_one_line_and_nothing_starts() {
    let place = Place::new();
    let rsi = strategy("rsi", "RSI");
    for (models, more, args, part) in [
        (json!([rsi, rsi]), json!({}), &[][..], "rsi is given twice"),
        (json!([{ "name": "x", "kind": "strategy" }]), json!({}), &[], "x has none"),
        (json!([rsi]), json!({}), &["--signature", "rsj"], "no enabled model"),
        (json!([rsi, strategy("b", "MACD")]), json!({ "data": "nowhere" }), &[], "nowhere"),
        (json!([rsi]), json!({ "data": "synthetic:moon" }), &[], "moon"),
    ] {
        configure(&place, models, more);
        let (stdout, stderr) = said(&mut agents(&place, &[&["--quiet"], args].concat()), 2);
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{stderr}");
        assert_eq!((stderr.lines().count(), stdout.as_str()), (1, ""), "{stderr}");
        assert!(!place.path("out").exists());
    }
    let (_, stderr) = said(&mut place.program(&["agents"]), 2);
    assert!(stderr.contains("configs/default_config.json"), "{stderr}");
    configure(&place, json!([rsi]), json!({}));
    let (_, stderr) = said(agents(&place, &["--quiet"]).env("INIT_DATE", "2019-02-30"), 2);
    assert!(stderr.contains("INIT_DATE: \"2019-02-30\" is no date"), "{stderr}");
}

/// The one in the clone, from where it is run.
#[test]
fn the_default_configuration_runs() {
    let text = include_str!("../../configs/default_config.json");
    let place = Place::new();
    std::fs::create_dir(place.path("configs")).unwrap();
    std::fs::write(place.path("configs/default_config.json"), text).unwrap();
    let mut command = place.program(&["agents"]);
    let (table, _) = said(command.env("END_DATE", "2020-01-31").env_remove("INIT_DATE"), 0);
    assert!(table.contains("together") && table.contains("buy-and-hold"), "{table}");
    assert!(place.path("data/agent_data/rsi/metrics.json").exists());
}
