//! Calls as elements with a name: `<function=buy>`, `<invoke name="buy">`, `<tool_call>buy`.

use serde_json::{Map, Value};

use super::{TextCall, work};
use crate::agents::llm::arguments::tool_name;

/// What DeepSeek puts into each of its tags.
const NOISE: [&str; 3] = ["｜DSML｜", "minimax:", "antml:"];
/// Begin an element whose name follows.
const OPENERS: [&str; 5] =
    ["<function=", "<function(", "<function name=", "<invoke name=", "<tool_call>"];
const ENDS: [&str; 4] = ["</function>", "</invoke>", "</tool_call>", "</function_calls>"];

/// The calls among the elements of `text`.
pub(super) fn calls(text: &str) -> Vec<TextCall> {
    let mut text = text.to_string();
    for noise in NOISE {
        text = text.replace(noise, "");
    }
    let mut calls = Vec::new();
    let mut rest = &text[..];
    while let Some((begin, opener)) = first(rest, &OPENERS) {
        rest = &rest[begin + opener.len()..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let quoted = rest.trim_start_matches(['"', '\'', '\n', '\r', ' ']);
        let name = &quoted[..quoted.find(|c| !is_name(c)).unwrap_or(quoted.len())];
        // <tool_call> and then JSON, or another element.
        if name.is_empty() || (opener == "<tool_call>" && tool_name(name).is_none()) {
            continue;
        }
        let body = quoted[name.len()..].trim_start_matches(['"', '\'', ')', ' ']);
        let body = body.strip_prefix("/>").map_or(body, |_| "");
        let body = body.strip_prefix('>').unwrap_or(body);
        let next = first(body, &OPENERS).map_or(body.len(), |(next, _)| next);
        let body = &body[..next];
        let end = first(body, &ENDS).map_or(body.len(), |(end, _)| end);
        let body = &body[..end];
        let arguments = match fields(body) {
            Some(fields) => Value::Object(fields),
            None => Value::String(body.trim().into()),
        };
        calls.push(TextCall::new(name, &arguments));
    }
    calls
}

/// The first of `marks`, all of which begin with `<`, in `text`. Nothing behind it is looked at.
fn first<'a>(text: &str, marks: &[&'a str]) -> Option<(usize, &'a str)> {
    let at_mark = |(at, _)| {
        let here = marks.iter().filter(|mark| text[at..].starts_with(**mark));
        // At one place the longer mark.
        here.max_by_key(|mark| mark.len()).map(|mark| (at, *mark))
    };
    let found = text.match_indices('<').find_map(at_mark);
    work::add(found.map_or(text.len(), |(at, _)| at));
    found
}

/// Arguments as elements; None if there is none.
fn fields(body: &str) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    let mut rest = body;
    while let Some((at, opener)) =
        first(rest, &["<parameter=", "<parameter name=", "<arg_key>", "<param name="])
    {
        rest = rest[at + opener.len()..].trim_start_matches(['"', '\'', ' ']);
        let end = rest.find(['>', '<', '"', '\'']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_string();
        rest = match opener {
            "<arg_key>" => rest.split_once("<arg_value>").map_or("", |(_, value)| value),
            // Attributes may follow the name.
            _ => rest.split_once('>').map_or("", |(_, value)| value),
        };
        let end = rest.find('<').unwrap_or(rest.len());
        fields.insert(name, Value::String(rest[..end].trim().into()));
        rest = &rest[end..];
    }
    (!fields.is_empty()).then_some(fields)
}
