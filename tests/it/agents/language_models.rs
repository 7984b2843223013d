//! Language models behind an endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::server::{Asked, Reply, Server, body, calls, error, ok};
use super::{agents, configure, lines, position, said};
use crate::program::Place;

pub(super) const KEY: &str = "sk-test-1234567890";

/// One model behind `server`, over a few days.
pub(super) fn one_model(place: &Place, server: &Server, out: &str, session: Value) {
    let model = json!({
        "signature": "model", "basemodel": "maker/model-1", "openai_base_url": server.url(),
        "openai_api_key": KEY,
    });
    let mut agent_config = json!({ "base_delay": 0.01, "initial_cash": 10000.0 });
    for (key, value) in session.as_object().unwrap() {
        agent_config[key] = value.clone();
    }
    let more = json!({
        "date_range": { "init_date": "2019-01-02", "end_date": "2019-01-08" },
        "log_config": { "log_path": out },
        "agent_config": agent_config,
    });
    configure(place, json!([model]), more);
}

/// Reads prices, buys ten of each stock once, sells three on later days, and finishes.
pub(crate) fn trader(asked: &Asked) -> Reply {
    match (asked.transpose(), asked.day().as_str()) {
        (0, _) => calls(&[("get_prices", "{\"count\": 3}"), ("get_positions", "")]),
        (1, "2019-01-03") => calls(&[
            ("buy", r#"{"symbol": "AAA", "amount": 10}"#),
            ("buy", r#"{"symbol": "BBB", "amount": 10}"#),
        ]),
        (1, _) => calls(&[("sell", r#"{"symbol": "AAA", "amount": 3}"#)]),
        _ => calls(&[("finish", "{}")]),
    }
}

#[test]
fn a_model_looks_trades_and_ends_its_day() {
    let server = Server::start(trader);
    let place = Place::new();
    one_model(&place, &server, "out", json!({}));
    let (table, stderr) = said(agents(&place, &[]).env("RUST_LOG", "trace"), 0);
    assert!(
        table.contains("model: 12 requests, 1,200 prompt tokens, 120 completion tokens"),
        "{table}"
    );
    let records = lines(&position(&place, "out", "model"));
    let told: Vec<(&str, &str, u64)> = records[1..]
        .iter()
        .map(|record| {
            let action = &record["this_action"];
            let amount = action["amount"].as_u64().unwrap();
            (record["date"].as_str().unwrap(), action["symbol"].as_str().unwrap(), amount)
        })
        .collect();
    let expected = [
        ("2019-01-03", "AAA", 10),
        ("2019-01-03", "BBB", 10),
        ("2019-01-04", "AAA", 3),
        ("2019-01-07", "AAA", 3),
        ("2019-01-08", "AAA", 3),
    ];
    assert_eq!(told, expected);
    assert_eq!(records[5]["positions"]["AAA"], 1);
    for asked in server.asked.lock().unwrap().iter() {
        assert_eq!(asked.path, "/v1/chat/completions");
        assert_eq!(asked.authorization, format!("Bearer {KEY}"));
        assert_eq!(
            (&asked.body["model"], &asked.body["tool_choice"]),
            (&json!("maker/model-1"), &json!("auto"))
        );
        assert_eq!(asked.body["tools"].as_array().unwrap().len(), 5);
        // Nothing in its messages is from the day that it decides on.
        let day = asked.day();
        for message in &asked.messages()[2..] {
            // Null in an answer that calls tools.
            let text = message["content"].as_str().unwrap_or_default();
            for date in text.split("\"until\":\"").skip(1).map(|text| &text[..10]) {
                assert!(date < day.as_str(), "{date} before {day}");
            }
        }
    }
    assert!(
        stderr.contains("model: 4 sessions, one per day, of up to 10 answers: at most 40 requests")
    );
    let log = lines(&place.text("out/model/log/2019-01-03/log.jsonl"));
    assert_eq!(log[0]["new_messages"][0]["role"], "system");
    assert_eq!(log[1]["new_messages"][0]["usage"]["prompt_tokens"], 100);
    let fills = log.last().unwrap()["new_messages"][0]["content"].as_str().unwrap();
    assert!(fills.starts_with("bought 10 AAA at "), "{fills}");
}

/// The key is in the user's configuration, but in none of the program's files and output.
#[test]
fn a_key_is_written_nowhere() {
    let refusal = format!("Incorrect API key provided: {KEY}");
    let server = Server::start(move |_| error("401 Unauthorized", "", &refusal));
    let place = Place::new();
    one_model(&place, &server, "out", json!({}));
    let (stdout, stderr) = said(agents(&place, &[]).env("RUST_LOG", "trace"), 2);
    let told = stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(told.contains("HTTP 401: Incorrect API key provided: ***"), "{told}");
    assert!(told.contains("check openai_api_key"), "{told}");
    assert_eq!(server.count(), 1, "another try would not help");
    assert!(!stderr.contains(KEY) && !stdout.contains(KEY));
    // Not even if a model repeats it.
    let parrot = Server::start(|asked| match asked.transpose() {
        0 => calls(&[("buy", &format!("{{\"symbol\": \"{KEY}\", \"{KEY}\": [\"{KEY}\"]}}"))]),
        1 => ok(json!({ "role": "assistant", "content": format!("Your key is {KEY}.") })),
        _ => calls(&[(&format!("finish_{KEY}"), &format!("{KEY} is no JSON")), ("finish", "")]),
    });
    one_model(&place, &parrot, "said", json!({}));
    let (stdout, stderr) = said(agents(&place, &[]).env("RUST_LOG", "trace"), 0);
    assert!(!stderr.contains(KEY) && !stdout.contains(KEY));
    let log = place.text("said/model/log/2019-01-03/log.jsonl");
    assert!(log.contains("Your key is ***.") && log.contains("finish_***"), "{log}");
    std::fs::remove_file(place.path("agents.json")).unwrap();
    let grep = std::process::Command::new("grep").args(["-r", KEY]).arg(place.path("")).output();
    assert_eq!(grep.unwrap().stdout, b"", "the key stands in a file");
}

/// Each kind of transient error before each good answer.
#[test]
fn transient_errors_are_retried() {
    let trouble = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&trouble);
    let server = Server::start(move |asked| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        if n.is_multiple_of(2) {
            return trader(asked);
        }
        match n / 2 % 7 {
            0 => error("429 Too Many Requests", "Retry-After: 0.05\r\n", "slow down"),
            1 => error("503 Service Unavailable", "", "overloaded"),
            2 => Reply::Http("200 OK", String::new(), "<html>proxy</html>".into()),
            3 => Reply::Cut(body(json!({ "content": "half of it" }))),
            4 => Reply::Http("200 OK", String::new(), json!({ "choices": [] }).to_string()),
            5 => Reply::Http(
                "200 OK",
                String::new(),
                json!({ "error": { "message": "upstream", "code": 502 } }).to_string(),
            ),
            _ => Reply::Silence,
        }
    });
    let place = Place::new();
    one_model(&place, &server, "out", json!({ "request_timeout_s": 0.5 }));
    said(&mut agents(&place, &["--quiet"]), 0);
    assert!(server.count() > 20, "{}", server.count());
    let calm = Server::start(trader);
    one_model(&place, &calm, "calm", json!({}));
    said(&mut agents(&place, &["--quiet"]), 0);
    assert_eq!(position(&place, "out", "model"), position(&place, "calm", "model"));
}

/// The agent fails after some retries; a later run resumes, with the same file as a run without
/// errors.
#[test]
fn persistent_errors_end_the_agent_which_can_be_resumed() {
    let place = Place::new();
    let is_down = Arc::new(AtomicUsize::new(1));
    let down = Arc::clone(&is_down);
    let server = Server::start(move |asked| {
        let late = asked.day().as_str() >= "2019-01-07" && asked.transpose() == 2;
        if late && down.load(Ordering::SeqCst) == 1 {
            return error("529 Overloaded", "Retry-After: 0\r\n", "come back later");
        }
        trader(asked)
    });
    one_model(&place, &server, "out", json!({ "max_retries": 2 }));
    let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
    for part in ["model, 2019-01-07: ", "HTTP 529: come back later, after 3 tries", "resumes from"]
    {
        assert!(stderr.contains(part), "{part:?} is missing in {stderr}");
    }
    assert_eq!(lines(&position(&place, "out", "model")).last().unwrap()["date"], "2019-01-04");
    is_down.store(0, Ordering::SeqCst);
    said(&mut agents(&place, &["--quiet"]), 0);
    let calm = Server::start(trader);
    one_model(&place, &calm, "calm", json!({}));
    said(&mut agents(&place, &["--quiet"]), 0);
    assert_eq!(position(&place, "out", "model"), position(&place, "calm", "model"));
    // The tokens of the interrupted session are counted, too.
    let metrics = |out: &str| -> Value {
        serde_json::from_str(&place.text(&format!("{out}/model/metrics.json"))).unwrap()
    };
    assert_eq!(metrics("calm")["tokens"]["requests"], 12);
    assert_eq!(metrics("out")["tokens"]["requests"], 14);
    // An endpoint that requests a longer wait than allowed.
    let far = Server::start(|_| error("429 Too Many Requests", "Retry-After: 86400\r\n", "quota"));
    one_model(&place, &far, "far", json!({}));
    let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
    assert!(stderr.contains("HTTP 429: quota, and it asks to wait 86400 s"), "{stderr}");
    assert_eq!(far.count(), 1);
}

/// Invalid calls are answered with the reason; a session that the model never finishes is ended.
#[test]
fn invalid_calls_are_answered_and_a_session_has_an_end() {
    let server = Server::start(|asked| match asked.transpose() {
        0 => calls(&[
            ("buy", r#"{"symbol": "AAA", "amount""#),
            ("buy", r#"{"symbol": "AAA", "amount": 100000000}"#),
            ("sell", r#"{"symbol": "BBB", "amount": 1}"#),
            ("short", "{}"),
        ]),
        1 => ok(json!({ "role": "assistant", "content": "I hold on." })),
        _ => calls(&[("get_positions", "{}")]),
    });
    let place = Place::new();
    one_model(&place, &server, "out", json!({ "max_steps": 4 }));
    said(&mut agents(&place, &["--quiet"]), 0);
    let asked = server.asked.lock().unwrap();
    let first_day: Vec<&Asked> = asked.iter().filter(|asked| asked.day() == "2019-01-03").collect();
    assert_eq!(first_day.len(), 4);
    let told = first_day[1].notify();
    for (told, part) in
        told.iter().zip(["not JSON", "cash are left", "0 of BBB are left", "no tool"])
    {
        assert!(told["error"].as_str().unwrap().contains(part), "{told}");
    }
    let nudge = first_day[2].messages().last().unwrap();
    assert_eq!(nudge["role"], "user");
    assert!(nudge["content"].as_str().unwrap().contains("call finish"), "{nudge}");
    let records = lines(&position(&place, "out", "model"));
    assert_eq!(records.len(), 5);
    assert!(records[1..].iter().all(|record| record["this_action"]["action"] == "no_trade"));
}
