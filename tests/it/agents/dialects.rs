//! Endpoints and models that speak the protocol in ways of their own. Each is a path of one server.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::server::{Asked, Reply, Server, body, error, ok};
use super::{agents, configure, lines, position, said};
use crate::program::Place;

const BUY: &str = r#"{"symbol": "AAA", "amount": 3}"#;

pub(super) fn call(name: &str, arguments: Value) -> Value {
    json!({ "id": format!("id-{name}"), "type": "function",
        "function": { "name": name, "arguments": arguments } })
}

pub(super) fn with_calls(calls: &[Value]) -> Value {
    json!({ "role": "assistant", "content": null, "tool_calls": calls })
}

fn buy_and_finish() -> Value {
    with_calls(&[call("buy", json!(BUY)), call("finish", json!("{}"))])
}

fn look() -> Value {
    with_calls(&[call("get_prices", json!("{\"count\": 2}"))])
}

pub(super) fn text(text: &str) -> Reply {
    ok(json!({ "role": "assistant", "content": text }))
}

pub(super) fn http(status: &'static str, body: &str) -> Reply {
    Reply::Http(status, String::new(), body.into())
}

/// Every model looks, if its dialect is about that, buys three of AAA, and finishes.
const DIALECTS: [&str; 31] = [
    "plain",
    "reasoning",
    "signature",
    "empty",
    "empty-thought",
    "no-extra",
    "no-choice",
    "object-arguments",
    "twice-encoded",
    "no-ids",
    "same-ids",
    "null-arguments",
    "odd-names",
    "capitals",
    "aliases",
    "dollar",
    "decimal",
    "old-function",
    "flat-calls",
    "hermes",
    "llama",
    "mistral",
    "fenced",
    "bare",
    "deepseek-text",
    "qwen-coder",
    "python",
    "stream",
    "blank-lines",
    "no-choices-first",
    "refused-first",
];

/// `n` counts the requests to this dialect, from 1.
fn speak(asked: &Asked, n: usize) -> Reply {
    let answers = asked.answers();
    let looked = !answers.is_empty();
    // A field that each earlier answer has to have.
    let all_have = |path: &str| {
        answers.iter().all(|answer| answer.pointer(path).is_some_and(|value| !value.is_null()))
    };
    let message = if looked { buy_and_finish() } else { look() };
    let finish = call("finish", json!("{}"));
    match asked.mode() {
        "reasoning" if !all_have("/reasoning_content") => {
            error("400 Bad Request", "", "Missing `reasoning_content` field")
        }
        "reasoning" => {
            let mut message = message;
            message["reasoning_content"] = json!("I think.");
            ok(message)
        }
        "signature" if !all_have("/tool_calls/0/extra_content/google/thought_signature") => http(
            "400 Bad Request",
            r#"[{"error": {"code": 400, "message": "missing a thought_signature"}}]"#,
        ),
        "signature" => {
            let mut message = message;
            for call in message["tool_calls"].as_array_mut().unwrap() {
                call["extra_content"] = json!({ "google": { "thought_signature": "c2ln" } });
            }
            ok(message)
        }
        "empty" | "empty-thought" => {
            let is_empty = |answer: &&Value| {
                answer["content"].as_str().is_none_or(str::is_empty)
                    && answer["tool_calls"].is_null()
            };
            if answers.iter().any(is_empty) {
                return error("400 Bad Request", "", "content or tool_calls must be set");
            }
            match looked {
                true => ok(buy_and_finish()),
                false if asked.mode() == "empty" => text(""),
                false => {
                    ok(json!({ "content": " ", "reasoning_content": "Hm.", "tool_calls": [] }))
                }
            }
        }
        "no-extra" if answers.iter().any(|answer| answer.get("reasoning").is_some()) => {
            error("400 Bad Request", "", "property 'messages.2.reasoning' is unsupported")
        }
        "no-extra" => {
            let mut message = message;
            message["reasoning"] = json!("I think.");
            ok(message)
        }
        "no-choice" if asked.body.get("tool_choice").is_some() => http(
            "422 Unprocessable Entity",
            r#"{"detail": "tool_choice: extra fields not permitted"}"#,
        ),
        "object-arguments" => {
            let is_text = |call: &Value| call["function"]["arguments"].is_string();
            let calls = answers.iter().flat_map(|one| one["tool_calls"].as_array().unwrap());
            assert!(calls.clone().all(is_text));
            match looked {
                false => ok(with_calls(&[call("get_prices", json!({ "symbol": "AAA" }))])),
                true => {
                    let order = json!({ "symbol": "AAA", "amount": "3" });
                    ok(with_calls(&[call("buy", order), finish]))
                }
            }
        }
        "twice-encoded" => {
            let twice = Value::String(Value::String(BUY.into()).to_string());
            ok(with_calls(&[call("buy", twice), finish]))
        }
        "no-ids" | "same-ids" => {
            let mut message = message;
            for call in message["tool_calls"].as_array_mut().unwrap() {
                call["id"] = json!(if asked.mode() == "no-ids" { "" } else { "x" });
            }
            let mut seen = Vec::new();
            for answer in answers {
                for call in answer["tool_calls"].as_array().unwrap() {
                    let id = call["id"].as_str().unwrap().to_string();
                    assert!(!id.is_empty() && !seen.contains(&id), "{id}");
                    seen.push(id);
                }
            }
            ok(message)
        }
        "null-arguments" => {
            let order = call("buy", json!(BUY));
            ok(with_calls(&[call("get_positions", Value::Null), order, call("finish", json!(""))]))
        }
        "odd-names" => {
            let names = answers.iter().flat_map(|one| one["tool_calls"].as_array().unwrap());
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            for call in names {
                assert!(call["function"]["name"].as_str().unwrap().chars().all(is_plain));
            }
            match looked {
                false => ok(with_calls(&[call("default_api:get_prices", json!("{}"))])),
                true => ok(with_calls(&[call("functions.buy", json!(BUY)), finish])),
            }
        }
        "capitals" => ok(with_calls(&[call("Buy", json!(BUY)), call("FINISH", json!("{}"))])),
        "aliases" => {
            let order = json!({ "ticker": "aaa", "quantity": 3 }).to_string();
            ok(with_calls(&[call("buy", json!(order)), finish]))
        }
        "dollar" => {
            let order = json!({ "symbol": "$AAA", "shares": "3" }).to_string();
            ok(with_calls(&[call("buy", json!(order)), finish]))
        }
        "decimal" => match looked {
            // Refused in words, after which the model writes it otherwise.
            false => {
                let order = json!({ "symbol": "AAA", "amount": "3,0" }).to_string();
                ok(with_calls(&[call("buy", json!(order))]))
            }
            true => {
                let told = asked.notify()[0]["error"].as_str().unwrap().to_string();
                assert!(told.contains("\"3,0\" has a comma"), "{told}");
                let order = json!({ "symbol": "AAA", "amount": 3.0 }).to_string();
                ok(with_calls(&[call("buy", json!(order)), finish]))
            }
        },
        "old-function" => {
            let (name, arguments) = if looked { ("finish", "{}") } else { ("buy", BUY) };
            let function = json!({ "name": name, "arguments": arguments });
            ok(json!({ "role": "assistant", "content": null, "function_call": function }))
        }
        "flat-calls" => {
            let order = json!({ "name": "buy", "parameters": { "symbol": "AAA", "amount": 3 } });
            ok(with_calls(&[order, finish]))
        }
        "hermes" => text(&format!(
            "<tool_call>\n{{\"name\": \"buy\", \"arguments\": {BUY}}}\n</tool_call>\n\
             <tool_call>\n{{\"name\": \"finish\", \"arguments\": {{}}}}\n</tool_call>"
        )),
        "llama" => text(&format!("<function=buy>{BUY}</function><function=finish>{{}}</function>")),
        "mistral" => text(&format!(
            "[TOOL_CALLS] [{{\"name\": \"buy\", \"arguments\": {BUY}}}, {{\"name\": \"finish\"}}]"
        )),
        "fenced" if looked => text("Done. <FINISH_SIGNAL>"),
        "fenced" => {
            text(&format!("I buy.\n```json\n{{\"name\": \"buy\", \"parameters\": {BUY}}}\n```\n"))
        }
        "bare" => text(&format!(
            "<think>sell?</think>{{\"name\": \"buy\", \"arguments\": {BUY}}} {{\"name\": \"finish\"}}"
        )),
        "deepseek-text" => text(&format!(
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>buy\n```json\n{BUY}\n```\
             <｜tool▁call▁end｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>finish\n```json\n{{}}\n```\
             <｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        )),
        "qwen-coder" => text(
            "<tool_call>\n<function=buy>\n<parameter=symbol>\nAAA\n</parameter>\n<parameter=amount>\n\
             3\n</parameter>\n</function>\n</tool_call><tool_call>\n<function=finish>\n</function>\n\
             </tool_call>",
        ),
        "python" => text("<|python_tag|>buy.call(symbol=\"AAA\", amount=3)\nfinish.call()"),
        "stream" => {
            let piece =
                |delta: Value| format!("data: {}\n\n", json!({ "choices": [{ "delta": delta }] }));
            let part = |index: usize, id: &str, name: &str, arguments: &str| {
                piece(json!({ "tool_calls": [{ "index": index, "id": id, "function":
                    { "name": name, "arguments": arguments } }] }))
            };
            let parts = [
                piece(json!({ "role": "assistant", "content": "" })),
                part(0, "a", "buy", "{\"symbol\": \"AAA\","),
                part(0, "", "", "\"amount\": 3}"),
                part(1, "b", "finish", "{}"),
                "data: [DONE]\n\n".into(),
            ];
            http("200 OK", &parts.concat())
        }
        "blank-lines" => http("200 OK", &format!("\n\n\n  \n{}", body(message))),
        "no-choices-first" if n == 1 => {
            http("200 OK", r#"{"id": "g", "choices": [], "usage": null}"#)
        }
        "refused-first" if n == 1 => {
            let words = "Failed to call a function. See 'failed_generation' for more details.";
            let error = json!({ "error": { "message": words, "code": "tool_use_failed" } });
            http("400 Bad Request", &error.to_string())
        }
        "refused-first" if n == 2 => http(
            "400 Bad Request",
            r#"{"error": {"message": "The response was filtered", "code": "content_filter"}}"#,
        ),
        "refused-first" if n == 3 => {
            http("200 OK", r#"{"error": {"message": "Provider returned error", "code": 400}}"#)
        }
        _ => ok(message),
    }
}

/// A model for each of the modes, over two days.
pub(super) fn models(place: &Place, server: &Server, modes: &[&str], more: Value) {
    let one = |mode: &&str| {
        json!({ "signature": mode, "basemodel": "m",
            "openai_base_url": format!("http://{}/{mode}/v1", server.address) })
    };
    let models: Vec<Value> = modes.iter().map(one).collect();
    let mut all = json!({
        "date_range": { "init_date": "2019-01-02", "end_date": "2019-01-03" },
        "agent_config": { "base_delay": 0.01, "max_steps": 4 },
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    configure(place, json!(models), all);
}

#[test]
fn every_dialect_trades() {
    let counts: Mutex<HashMap<String, usize>> = Mutex::default();
    let server = Server::start(move |asked| {
        let mut counts = counts.lock().unwrap();
        let n = counts.entry(asked.mode().into()).or_default();
        *n += 1;
        speak(asked, *n)
    });
    let place = Place::new();
    models(&place, &server, &DIALECTS, json!({}));
    let (table, _) = said(&mut agents(&place, &[]), 0);
    assert!(!table.contains("not ranked"), "{table}");
    for mode in DIALECTS {
        let records = lines(&position(&place, "out", mode));
        let expected = json!({ "action": "buy", "symbol": "AAA", "amount": 3 });
        assert_eq!((records.len(), &records[1]["this_action"]), (2, &expected), "{mode}");
    }
}
