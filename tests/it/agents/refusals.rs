//! Endpoints that refuse, and models that are never understood.

use serde_json::{Value, json};

use super::dialects::{call, http, models, text, with_calls};
use super::server::{Server, error, ok};
use super::{agents, said};
use crate::program::Place;

/// An endpoint that refuses says why, in whatever form; nothing is asked in vain.
#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let refusals: [(&str, &'static str, &str, &str); 9] = [
        (
            "vllm",
            "400 Bad Request",
            r#"{"object": "error", "message": "\"auto\" tool choice requires --tool-call-parser"}"#,
            "HTTP 400: \"auto\" tool choice requires --tool-call-parser",
        ),
        (
            "context",
            "400 Bad Request",
            r#"{"message": "This model's maximum context length is 2048 tokens. Try again."}"#,
            "maximum context length is 2048 tokens. Try again.; lower agent_config.max_steps",
        ),
        ("text", "400 Bad Request", r#"{"error": "model is asleep"}"#, "HTTP 400: model is asleep"),
        ("list", "403 Forbidden", r#"[{"error": {"message": "not here"}}]"#, "403: not here"),
        ("detail", "404 Not Found", r#"{"detail": "no such model"}"#, "404: no such model"),
        (
            "fields",
            "422 Unprocessable Entity",
            r#"{"detail": [{"loc": ["body", "tools"], "msg": "field required"}]}"#,
            "HTTP 422: body.tools: field required",
        ),
        (
            "page",
            "403 Forbidden",
            "<html><head><title>Access denied</title></head><body>x</body></html>",
            "HTTP 403: Access denied",
        ),
        ("plain", "400 Bad Request", "the gateway\nis closed", "HTTP 400: the gateway is closed"),
        (
            "inside",
            "200 OK",
            r#"{"error": {"message": "unpaid", "code": 402}}"#,
            "unpaid; see to the account",
        ),
    ];
    let server = Server::start(move |asked| {
        let found = refusals.iter().find(|(mode, ..)| *mode == asked.mode()).unwrap();
        http(found.1, found.2)
    });
    let place = Place::new();
    let modes = refusals.map(|(mode, ..)| mode);
    models(&place, &server, &modes, json!({}));
    let (out, _) = said(&mut agents(&place, &["--format", "json"]), 1);
    let out: Value = serde_json::from_str(&out).unwrap();
    for (mode, .., words) in refusals {
        let all = out["agents"].as_array().unwrap();
        let agent = all.iter().find(|agent| agent["signature"] == mode).unwrap();
        let told = agent["error"].as_str().unwrap();
        assert!(told.contains(words), "{mode}: {told}");
        assert_eq!(agent["ranked"], false);
    }
    assert_eq!(server.count(), refusals.len());
}

/// What is refused for the model's own answer is asked again, but not for ever.
#[test]
fn a_failed_generation_is_repeated_within_the_retries() {
    let words = "Failed to call a function (tool_use_failed)";
    let server = Server::start(move |_| error("400 Bad Request", "", words));
    let place = Place::new();
    models(
        &place,
        &server,
        &["groq"],
        json!({
        "agent_config": { "base_delay": 0.01, "max_retries": 2 } }),
    );
    let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
    assert!(stderr.contains(words) && stderr.contains("after 3 tries"), "{stderr}");
    assert_eq!(server.count(), 3);
}

/// A return of 0.0 % would look like a decision.
#[test]
fn a_model_that_is_never_understood_has_no_rank() {
    let server = Server::start(|asked| match asked.mode() {
        "mute" => text("I would rather not."),
        "garbled" => text("<tool_call>{'name': 'buy'}</tool_call>"),
        "stranger" => ok(with_calls(&[call("short", json!("{}"))])),
        _ => ok(with_calls(&[call("finish", json!("{}"))])),
    });
    let place = Place::new();
    models(&place, &server, &["mute", "garbled", "stranger", "calm"], json!({}));
    let (table, _) = said(&mut agents(&place, &[]), 0);
    for line in [
        "mute       llm   not ranked: it called no tool in 4 answers",
        "garbled    llm   not ranked: none of its 4 calls was understood",
        "stranger   llm   not ranked: none of its 4 calls was understood",
    ] {
        assert!(table.contains(line), "{line:?} is missing in\n{table}");
    }
    // One that decides to do nothing is ranked.
    assert!(table.contains("calm       llm     0.0%"), "{table}");
    let metrics: Value = serde_json::from_str(&place.text("out/mute/metrics.json")).unwrap();
    assert_eq!(metrics["unranked"], "it called no tool in 4 answers");
}
