//! Calls as Python: `buy(symbol="AAPL", amount=3)`, alone on a line, in a list or in a block of
//! code.

use serde_json::{Map, Value};

use super::TextCall;
use crate::agents::llm::arguments::tool_name;

/// Names of arguments without one.
const BY_PLACE: [&str; 3] = ["symbol", "amount", "interval"];

/// The calls of every line, or of the whole text, that consists of nothing else.
pub(super) fn calls(text: &str) -> Vec<TextCall> {
    let text = text.replace("<|python_tag|>", "\n").replace("<|eom_id|>", "");
    let text = text.replace("<|eot_id|>", "");
    let is_fence = |line: &&str| !line.trim_start().starts_with("```");
    let lines: Vec<&str> = text.lines().filter(is_fence).collect();
    if let Some(calls) = only_calls(&lines.join("\n")) {
        return calls;
    }
    lines.iter().filter_map(|line| only_calls(line)).flatten().collect()
}

/// None if `text` has anything but calls of tools.
fn only_calls(text: &str) -> Option<Vec<TextCall>> {
    let between = |c: char| c.is_whitespace() || matches!(c, '[' | ']' | ',' | ';' | '`');
    let mut rest = text.trim_matches(between);
    let mut calls = Vec::new();
    while !rest.is_empty() {
        let inner = rest.strip_prefix("print(").unwrap_or(rest);
        let (name, after) = inner.split_once('(')?;
        let name = name.trim().trim_end_matches(".call");
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
        if tool_name(name).is_none() || !name.chars().all(is_name) {
            return None;
        }
        let (arguments, after) = arguments(after)?;
        let after = if inner == rest { after } else { after.trim_start().strip_prefix(')')? };
        calls.push(TextCall::new(name, &Value::Object(arguments)));
        rest = after.trim_start_matches(between);
    }
    (!calls.is_empty()).then_some(calls)
}

/// The arguments up to the closing parenthesis, and what follows it.
fn arguments(text: &str) -> Option<(Map<String, Value>, &str)> {
    let mut fields = Map::new();
    let mut rest = text.trim_start();
    for place in 0.. {
        if let Some(after) = rest.strip_prefix(')') {
            return Some((fields, after));
        }
        let end = rest.find(['=', ',', ')', '"', '\''])?;
        let (name, value) = match rest[end..].strip_prefix('=') {
            Some(value) => (rest[..end].trim(), value.trim_start()),
            None => (*BY_PLACE.get(place)?, rest),
        };
        let (value, after) = value_of(value)?;
        fields.insert(name.into(), value);
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    None
}

/// A literal, and what follows it.
fn value_of(text: &str) -> Option<(Value, &str)> {
    let quote = text.chars().next()?;
    if matches!(quote, '"' | '\'') {
        let (inner, after) = text[1..].split_once(quote)?;
        return Some((Value::String(inner.into()), after));
    }
    let end = text.find([',', ')'])?;
    let value = match text[..end].trim() {
        "None" | "null" => Value::Null,
        word => Value::String(word.into()),
    };
    Some((value, &text[end..]))
}
