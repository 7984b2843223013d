//! Limits on what a language model uses: 110 tokens an answer, three answers a day, four days.

use serde_json::{Value, json};

use super::language_models::trader;
use super::server::{Asked, Reply, Server, body, calls};
use super::{agents, configure, lines, position, said};
use crate::program::Place;

fn model(place: &Place, server: &Server, out: &str, budget: Value) {
    let model = json!({
        "signature": "model", "basemodel": "m", "openai_base_url": server.url(),
        "price_per_mtok": { "input": 1.0, "output": 10.0 },
    });
    let more = json!({
        "date_range": { "init_date": "2019-01-02", "end_date": "2019-01-08" },
        "log_config": { "log_path": out },
        "agent_config": { "base_delay": 0.01, "budget": budget },
    });
    configure(place, json!([model]), more);
}

/// `date action symbol amount` of every record but the first.
fn trades(place: &Place, out: &str) -> Vec<String> {
    let one = |record: &Value| {
        let action = &record["this_action"];
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let words = [&record["date"], &action["action"], &action["symbol"]].map(text).join(" ");
        format!("{words} {}", action["amount"])
    };
    lines(&position(place, out, "model"))[1..].iter().map(one).collect()
}

#[test]
fn a_model_is_not_asked_beyond_its_budget() {
    for (then, last) in [
        ("hold", &["2019-01-07 no_trade  0", "2019-01-08 no_trade  0"][..]),
        ("sell", &["2019-01-07 sell AAA 10", "2019-01-07 sell BBB 10", "2019-01-08 no_trade  0"]),
    ] {
        let (place, server) = (Place::new(), Server::start(trader));
        model(&place, &server, "out", json!({ "tokens_per_run": 440, "then": then }));
        let (table, _) = said(&mut agents(&place, &[]), 0);
        // Three answers on the first day, and the fourth that reaches the limit.
        assert_eq!(server.count(), 4);
        let verb = if then == "hold" { "held" } else { "sold" };
        let told = format!(
            "model: the budget of 440 tokens was used up on 2019-01-04; in the 2 sessions after \
             that it was not asked, and its shares were {verb}."
        );
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(line(&table).contains(&told), "{table}");
        let first = ["2019-01-03 buy AAA 10", "2019-01-03 buy BBB 10", "2019-01-04 no_trade  0"];
        assert_eq!(trades(&place, "out"), [&first[..], last].concat());
        // The same is said when there is nothing left to do.
        let (table, _) = said(&mut agents(&place, &[]), 0);
        assert!(line(&table).contains(&told) && server.count() == 4, "{table}");
    }
}

#[test]
fn a_session_ends_at_its_limit_and_keeps_its_orders() {
    for (budget, requests) in [
        (json!({ "tokens_per_session": 220 }), 8),
        (json!({ "tokens_per_session": 221 }), 12),
        // An answer costs 100 in and 10 out: 0.0001 + 0.0001.
        (json!({ "cost_per_session": 0.0004 }), 8),
        (json!({ "bytes_per_session": 1 }), 4),
    ] {
        let (place, server) = (Place::new(), Server::start(trader));
        model(&place, &server, "out", budget.clone());
        let (table, _) = said(&mut agents(&place, &[]), 0);
        assert_eq!(server.count(), requests, "{budget}");
        let cost = format!("a cost of {:.4}", 0.0002 * requests as f64);
        assert!(table.contains(&cost), "{table}");
        let has_orders = requests > 4;
        assert_eq!(trades(&place, "out").contains(&"2019-01-03 buy BBB 10".into()), has_orders);
    }
}

#[test]
fn calls_of_an_answer_are_limited() {
    let server = Server::start(|asked: &Asked| match asked.transpose() {
        0 => trader(asked),
        _ => calls(&[
            ("buy", r#"{"symbol": "AAA", "amount": 1}"#),
            ("buy", r#"{"symbol": "BBB", "amount": 1}"#),
        ]),
    });
    let place = Place::new();
    model(&place, &server, "out", json!({ "calls_per_answer": 1 }));
    said(&mut agents(&place, &["--quiet"]), 0);
    let asked = server.asked.lock().unwrap();
    let told = asked.iter().find(|asked| asked.transpose() == 2).unwrap().notify();
    assert_eq!(told[1], json!({ "error": "an answer may have 1 calls" }));
    assert!(trades(&place, "out").iter().all(|trade| !trade.contains("BBB")));
}

/// Some endpoints report no tokens.
#[test]
fn tokens_that_are_not_reported_are_estimated() {
    let server = Server::start(|asked: &Asked| {
        let Reply::Http(status, headers, text) = trader(asked) else { unreachable!() };
        let mut whole: Value = serde_json::from_str(&text).unwrap();
        whole["usage"] = Value::Null;
        Reply::Http(status, headers, whole.to_string())
    });
    let place = Place::new();
    model(&place, &server, "out", json!({ "tokens_per_run": 1 }));
    let (table, _) = said(&mut agents(&place, &[]), 0);
    assert_eq!(server.count(), 1);
    assert!(table.contains("reported no tokens for 1 of 1 request"), "{table}");
    assert!(body(json!({})).contains("usage"));
}

#[test]
fn a_budget_that_cannot_be_kept_is_an_error() {
    let server = Server::start(trader);
    let place = Place::new();
    for (budget, part) in [
        (json!({ "tokens_per_run": 0 }), "agent_config.budget.tokens_per_run: is out of range"),
        (json!({ "cost_per_run": -1 }), "agent_config.budget.cost_per_run: is out of range"),
        (json!({ "then": "panic" }), "unknown variant `panic`"),
        (json!({ "tokens_per_run": -5 }), "; see docs/agents.md"),
        (json!({ "token_per_run": 5 }), "did you mean tokens_per_run?"),
    ] {
        model(&place, &server, "out", budget);
        let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        assert!(stderr.contains(part) && stderr.lines().count() == 1, "{stderr}");
        assert!(!stderr.contains("comma"), "{stderr}");
    }
    model(&place, &server, "out", json!({ "cost_per_run": 1 }));
    let text = place.text("agents.json").replace("price_per_mtok", "price_per_token");
    std::fs::write(place.path("agents.json"), text).unwrap();
    let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
    assert!(stderr.contains("limits money, and model has no price; give the model"), "{stderr}");
    assert_eq!(server.count(), 0);
}
