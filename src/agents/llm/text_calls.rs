//! Calls that a model writes into its text, because its server does not know the model's own form
//! of them. Every family of models has another: tags, JSON, special tokens, lines of Python.

mod markup;
mod python;
mod work;

use serde_json::{Map, Value, json};

use super::arguments::{self, tool_name};

/// Longer texts are not searched further.
const MOST_BYTES: usize = 64 << 10;
/// How much text before a JSON object may name its tool.
const NAME_BYTES: usize = 160;
/// Fields with the name of a tool.
const NAMES: [&str; 6] =
    ["name", "tool_name", "tool", "function", "function_name", "recipient_name"];
const ARGUMENTS: [&str; 7] =
    ["arguments", "parameters", "args", "input", "action_input", "tool_input", "params"];
/// Fields with calls inside.
const INSIDE: [&str; 6] =
    ["tool_calls", "tool_call", "function_call", "function_calls", "tool_uses", "calls"];
/// Signs that what follows is a call.
const MARKERS: [&str; 10] = [
    "[TOOL_CALLS]",
    "tool_call",
    "tool▁call",
    "<function",
    "<invoke",
    "<|python_tag|>",
    "<|tool",
    "<|action",
    "to=functions.",
    "Action:",
];
/// Words that may stand between a tool's name and its arguments.
const FILLERS: [&str; 16] = [
    "json",
    "args",
    "arguments",
    "parameters",
    "input",
    "action",
    "constrain",
    "message",
    "channel",
    "commentary",
    "tool_call_argument_begin",
    "tool_sep",
    "sep",
    "tool",
    "call",
    "begin",
];

/// A call found in text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TextCall {
    pub(crate) name: String,
    pub(crate) arguments: Result<Value, String>,
}

impl TextCall {
    fn new(name: &str, arguments: &Value) -> TextCall {
        TextCall { name: name.trim().into(), arguments: arguments::read(arguments) }
    }
}

/// The calls in `text`, in order; empty if there are none. What a model thinks aloud is no call.
pub(crate) fn find(text: &str) -> Vec<TextCall> {
    let text = without_thoughts(text);
    let end = text.floor_char_boundary(MOST_BYTES);
    let text = &text[..end];
    let mut calls = markup::calls(text);
    if calls.is_empty() {
        calls = in_json(text);
    }
    if calls.is_empty() {
        calls = python::calls(text);
    }
    calls
}

/// Whether `text` has the signs of a call.
pub(crate) fn is_call_like(text: &str) -> bool {
    let text = without_thoughts(text);
    MARKERS.iter().any(|marker| text.contains(marker))
}

/// The text after the model's thoughts.
fn without_thoughts(text: &str) -> &str {
    let ends = ["</think>", "</thinking>", "[/THINK]"];
    let end = ends.iter().filter_map(|end| text.rfind(end).map(|at| at + end.len())).max();
    match end {
        Some(end) => &text[end..],
        None if text.trim_start().starts_with("<think") => "",
        None => text,
    }
}

/// JSON objects and arrays that are calls, and objects of arguments behind the name of a tool.
fn in_json(text: &str) -> Vec<TextCall> {
    let mut calls = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(offset) = text[at..].find(['{', '[']) {
        let start = at + offset;
        let before = &text[from..start];
        let Some((value, end)) = value_at(text, start, is_marked(before)) else {
            at = start + 1;
            continue;
        };
        let found = calls_of(&value);
        let named = named_before(before).filter(|_| value.is_object() && found.is_empty());
        calls.extend(named.map(|name| TextCall::new(name, &value)));
        let is_mention = value.is_array() && found.is_empty();
        calls.extend(found);
        // An array that is no call may be a marker, as [TOOL_CALLS] is, or hold one.
        at = if is_mention { start + 1 } else { end };
        from = if is_mention { from } else { end };
    }
    calls
}

/// The JSON value at `start` and its end. Models forget closing braces, which are added where a
/// marker says that this is a call.
fn value_at(text: &str, start: usize, marked: bool) -> Option<(Value, usize)> {
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    match values.next()? {
        Ok(value) => {
            work::add(values.byte_offset());
            return Some((value, start + values.byte_offset()));
        }
        Err(error) => work::add(error.column()),
    }
    if !marked {
        return None;
    }
    let rest = &text[start..];
    let end = rest.find(['<', '`']).unwrap_or(rest.len());
    work::add(end);
    let closed = |ends: &&str| {
        work::add(end);
        serde_json::from_str(&format!("{}{ends}", rest[..end].trim())).ok()
    };
    let value = ["}", "}}", "]", "}]", "}}]"].iter().find_map(closed);
    value.map(|value| (value, start + end))
}

fn is_marked(before: &str) -> bool {
    let tail = &before[before.ceil_char_boundary(before.len().saturating_sub(NAME_BYTES))..];
    MARKERS.iter().any(|marker| tail.contains(marker))
}

/// The tool that the text before an object of arguments names, behind a marker.
fn named_before(before: &str) -> Option<&str> {
    if !is_marked(before) {
        return None;
    }
    let tail = &before[before.ceil_char_boundary(before.len().saturating_sub(NAME_BYTES))..];
    // [CALL_ID] is followed by a word of any letters.
    let tail = tail.split("[CALL_ID]").next().unwrap_or(tail);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    for word in tail.rsplit(|c| !is_name(c)).filter(|word| !word.is_empty()) {
        if tool_name(word).is_some() {
            return Some(word);
        }
        let plain = word.trim_end_matches(':').to_ascii_lowercase();
        if !FILLERS.contains(&plain.as_str()) {
            return None;
        }
    }
    None
}

/// The calls that a JSON value consists of.
fn calls_of(value: &Value) -> Vec<TextCall> {
    match value {
        Value::Array(all) => all.iter().flat_map(calls_of).collect(),
        Value::Object(fields) => {
            if let Some(inside) = INSIDE.iter().find_map(|name| fields.get(*name)) {
                return calls_of(inside);
            }
            if let Some(inside @ Value::Object(_)) = fields.get("function") {
                return calls_of(inside);
            }
            call_of(fields).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn call_of(fields: &Map<String, Value>) -> Option<TextCall> {
    let arguments = ARGUMENTS.iter().find_map(|name| fields.get(*name));
    let name = NAMES.iter().find_map(|name| fields.get(*name)?.as_str());
    // Results of tools have an action, too, so that it needs arguments beside it.
    let action = || fields.get("action")?.as_str().filter(|_| arguments.is_some());
    let name = name.or_else(action)?;
    let is_schema = |value: &Value| {
        let properties = value["properties"].as_object();
        properties.is_some_and(|all| all.values().any(Value::is_object))
    };
    match arguments {
        Some(arguments) if is_schema(arguments) => None,
        Some(arguments) => Some(TextCall::new(name, arguments)),
        None if tool_name(name).is_some() && !fields.contains_key("description") => {
            let is_argument = |key: &str| !NAMES.contains(&key) && !matches!(key, "type" | "id");
            let others = fields.iter().filter(|(key, _)| is_argument(key));
            let others: Map<String, Value> =
                others.map(|(key, value)| (key.clone(), value.clone())).collect();
            Some(TextCall::new(name, &json!(others)))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests;
