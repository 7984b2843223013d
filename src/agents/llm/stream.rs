//! Answers as a stream of events (`data: {...}`), which some servers send unasked.

use serde_json::{Map, Value, json};

/// Whether `text` is a stream of events, which may begin with comments.
pub(crate) fn is_stream(text: &str) -> bool {
    ["data:", "event:", "id:", "retry:", ":"].iter().any(|start| text.starts_with(start))
}

/// The events joined to one answer, as if it had not been a stream. What is no JSON is left out.
pub(crate) fn joined(text: &str) -> Value {
    let mut message = Map::new();
    let mut whole = json!({});
    let mut has_message = false;
    for line in text.lines() {
        let Some(data) = line.trim().strip_prefix("data:") else { continue };
        let Ok(event) = serde_json::from_str::<Value>(data.trim()) else { continue };
        for key in ["error", "usage"].iter().filter(|key| !event[**key].is_null()) {
            whole[*key] = event[*key].clone();
        }
        let choice = &event["choices"][0];
        let piece = [&choice["delta"], &choice["message"]].into_iter().find(|one| one.is_object());
        for (name, value) in piece.and_then(Value::as_object).into_iter().flatten() {
            has_message = true;
            match name.as_str() {
                "tool_calls" => add_calls(&mut message, value),
                _ => add(&mut message, name, value),
            }
        }
        if piece.is_none() && event.get("choices").is_none() && event.get("message").is_some() {
            whole["error"] = event;
        }
    }
    if has_message {
        whole["choices"] = json!([{ "message": message }]);
    }
    whole
}

/// Text and lists grow, objects are joined, everything else is the last.
fn add(fields: &mut Map<String, Value>, name: &str, value: &Value) {
    match (fields.get_mut(name), value) {
        (_, Value::Null) => {}
        (Some(Value::String(text)), Value::String(more)) if name != "role" && name != "type" => {
            text.push_str(more);
        }
        (Some(Value::Array(all)), Value::Array(more)) => all.extend_from_slice(more),
        (Some(Value::Object(inner)), Value::Object(more)) => {
            more.iter().for_each(|(name, value)| add(inner, name, value));
        }
        _ => {
            fields.insert(name.into(), value.clone());
        }
    }
}

/// A piece belongs to the call with its index, unless it brings another id.
fn add_calls(message: &mut Map<String, Value>, pieces: &Value) {
    let entry = message.entry("tool_calls").or_insert_with(|| json!([]));
    let (Value::Array(calls), Some(pieces)) = (entry, pieces.as_array()) else { return };
    for piece in pieces.iter().filter_map(Value::as_object) {
        let index = piece.get("index");
        let id = piece.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let begins = |call: &Value| id.is_some_and(|id| call["id"].as_str() != Some(id));
        let of_index = |call: &&mut Value| index.is_none() || call.get("index") == index;
        let last = calls.iter_mut().rev().find(of_index).filter(|call| !begins(call));
        match last {
            Some(Value::Object(call)) => {
                for (name, value) in piece.iter().filter(|(name, _)| *name != "id") {
                    add(call, name, value);
                }
            }
            _ => calls.push(Value::Object(piece.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined() {
        let of = |delta: Value| format!("data: {}\n\n", json!({ "choices": [{ "delta": delta }] }));
        let call = |index: u32, id: Option<&str>, name: &str, arguments: &str| {
            of(json!({ "tool_calls": [{
                "index": index, "id": id, "type": "function",
                "function": { "name": name, "arguments": arguments },
            }] }))
        };
        let text = [
            ": PROCESSING\n\n".to_string(),
            of(json!({ "role": "assistant", "content": "" })),
            of(json!({ "reasoning_content": "I " })),
            of(json!({ "reasoning_content": "see." })),
            call(0, Some("a"), "buy", "{\"symbol\":"),
            call(0, None, "", " \"SPY\"}"),
            call(1, Some("b"), "finish", ""),
            // Another call under the same index.
            call(1, Some("c"), "sell", "{}"),
            "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 3}}\n\ndata: [DONE]\n".into(),
        ]
        .concat();
        assert!(is_stream(&text) && !is_stream("{}"));
        let whole = joined(&text);
        let message = &whole["choices"][0]["message"];
        assert_eq!(
            (&message["content"], &message["reasoning_content"]),
            (&json!(""), &json!("I see."))
        );
        let calls = message["tool_calls"].as_array().unwrap();
        let names: Vec<&Value> = calls.iter().map(|call| &call["function"]["name"]).collect();
        assert_eq!(names, ["buy", "finish", "sell"]);
        assert_eq!(calls[0]["function"]["arguments"], "{\"symbol\": \"SPY\"}");
        assert_eq!(
            (&calls[0]["type"], &whole["usage"]["prompt_tokens"]),
            (&json!("function"), &json!(3))
        );
    }

    #[test]
    fn an_error_in_a_stream_is_one() {
        let whole = joined("event: error\ndata: {\"error\": {\"message\": \"no\"}}\n");
        assert_eq!(whole, json!({ "error": { "message": "no" } }));
        assert_eq!(joined("data: [DONE]"), json!({}));
    }
}
