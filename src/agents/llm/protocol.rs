//! The chat-completions protocol with tool calls, as far as it is used here. Parsing is lenient,
//! because endpoints omit different fields; what goes back is as it came, since some endpoints need
//! fields that no other has.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::arguments::{self, tool_name};
use super::server_words::{ServerError, shortened};
use super::{stream, text_calls};

/// Stands for an answer without a word, which endpoints refuse to read again.
const NO_WORDS: &str = "(no answer)";
/// Longer names of functions are refused by endpoints.
const LONGEST_NAME: usize = 64;

/// An answer of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModelReply {
    /// The message as it came, in a form that endpoints accept again.
    message: Value,
    /// Its text.
    pub(crate) content: String,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) usage: Usage,
}

/// A tool call requested by the model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The arguments, or why they are invalid.
    pub(crate) arguments: Result<Value, String>,
    place: CallPlace,
}

/// Where in a message a call was, which decides how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallPlace {
    /// In `tool_calls`.
    Tools,
    /// In `function_call`, as before there were tools.
    Function,
    /// In the text.
    Text,
}

/// Token counts of the endpoint; 0 if it reports none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    #[serde(default, deserialize_with = "or_zero")]
    pub(crate) prompt_tokens: u64,
    #[serde(default, deserialize_with = "or_zero")]
    pub(crate) completion_tokens: u64,
}

fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_u64().unwrap_or(0))
}

/// A response without an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ReplyError {
    /// The endpoint says why.
    Refused(ServerError),
    /// Invalid or incomplete.
    Broken(String),
}

impl ModelReply {
    /// Parses a response's body. `turn` makes ids for calls without one.
    pub(crate) fn read(body: &[u8], turn: u32) -> Result<ModelReply, ReplyError> {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        let body = match stream::is_stream(text) {
            true => stream::joined(text),
            false => serde_json::from_str(text).map_err(|e| {
                ReplyError::Broken(format!("it is not JSON ({e}): {}", shortened(text)))
            })?,
        };
        let choice = &body["choices"][0];
        if let (Value::Object(message), true) = (&choice["message"], body["error"].is_null()) {
            let usage = serde_json::from_value(body["usage"].clone()).unwrap_or_default();
            return Ok(ModelReply::from_message(message, usage, turn));
        }
        let said = ServerError::find(&body).or_else(|| ServerError::find(choice));
        let nothing = || ReplyError::Broken("it has no choices[0].message".into());
        Err(said.map_or_else(nothing, ReplyError::Refused))
    }

    fn from_message(came: &Map<String, Value>, usage: Usage, turn: u32) -> ModelReply {
        let is_kept = |value: &Value| !value.is_null() && value.as_array() != Some(&Vec::new());
        let fields = came.iter().filter(|(_, value)| is_kept(value));
        let mut message: Map<String, Value> =
            fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        message.insert("role".into(), "assistant".into());
        let content = text_of(&came.get("content").cloned().unwrap_or_default());
        let refusal = came.get("refusal").and_then(text_of);
        let said = content.or(refusal).unwrap_or_default();
        let mut calls = Vec::new();
        if let Some(Value::Array(raw)) = message.remove("tool_calls") {
            let read = raw.iter().enumerate().map(|(i, one)| ToolCall::read(one, turn, i));
            calls = read.collect();
            own_ids(&mut calls, turn);
            let replayed: Vec<Value> =
                calls.iter().zip(&raw).map(|(call, raw)| call.replayed(raw)).collect();
            message.insert("tool_calls".into(), replayed.into());
            message.entry("content").or_insert(Value::Null);
        } else if let Some(function) = message.get("function_call").filter(|one| one.is_object()) {
            let call = ToolCall::read(function, turn, 0);
            let function = call.replayed(&json!({ "function": function }))["function"].clone();
            message.insert("function_call".into(), function);
            message.entry("content").or_insert(Value::Null);
            calls.push(ToolCall { place: CallPlace::Function, ..call });
        } else {
            let found = text_calls::find(&said).into_iter().enumerate();
            calls = found.map(|(i, call)| ToolCall::from_text(call, turn, i)).collect();
            if said.trim().is_empty() {
                message.insert("content".into(), NO_WORDS.into());
            } else {
                message.entry("content").or_insert_with(|| said.clone().into());
            }
        }
        ModelReply { message: message.into(), content: said, calls, usage }
    }

    /// Applies `change` to all text from the endpoint.
    pub(crate) fn map_text(mut self, change: &dyn Fn(&str) -> String) -> ModelReply {
        self.content = change(&self.content);
        self.message = map_strings(self.message, change);
        for call in &mut self.calls {
            call.id = change(&call.id);
            call.name = change(&call.name);
            call.arguments = match std::mem::replace(&mut call.arguments, Ok(Value::Null)) {
                Ok(arguments) => Ok(map_strings(arguments, change)),
                Err(what) => Err(change(&what)),
            };
        }
        self
    }

    /// The answer as a message of the conversation.
    pub(crate) fn message(&self) -> Value {
        self.message.clone()
    }

    /// Whether its text has the signs of a call, but none that can be read.
    pub(crate) fn has_unread_call(&self) -> bool {
        self.calls.is_empty() && text_calls::is_call_like(&self.content)
    }

    /// The results of its calls as messages: as those of tools, or, for calls in text, as the
    /// user's answer to it.
    pub(crate) fn results(&self, results: &[Value]) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut told = Vec::new();
        for (call, result) in self.calls.iter().zip(results) {
            let (name, result) = (&call.name, result.to_string());
            match call.place {
                CallPlace::Tools => messages
                    .push(json!({ "role": "tool", "tool_call_id": call.id, "content": result })),
                CallPlace::Function => messages
                    .push(json!({ "role": "function", "name": sendable(name), "content": result })),
                CallPlace::Text => told.push(format!("{name}: {result}")),
            }
        }
        if !told.is_empty() {
            messages.push(json!({ "role": "user", "content": told.join("\n") }));
        }
        messages
    }
}

/// Gives each call an id of its own, of the nine letters and digits that Mistral wants.
fn own_ids(calls: &mut [ToolCall], turn: u32) {
    let mut taken = BTreeSet::new();
    for (i, call) in calls.iter_mut().enumerate() {
        if call.id.trim().is_empty() || taken.contains(&call.id) {
            call.id = made_up_id(turn, i);
        }
        taken.insert(call.id.clone());
    }
}

fn made_up_id(turn: u32, i: usize) -> String {
    format!("c{turn:04}{i:04}")
}

/// The name, where endpoints accept it; else that of the tool that it means.
fn sendable(name: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(is_plain) {
        return name;
    }
    tool_name(name).unwrap_or("unknown")
}

impl ToolCall {
    #[cfg(test)]
    pub(crate) fn new(name: &str, arguments: Result<Value, String>) -> ToolCall {
        ToolCall { id: "1".into(), name: name.into(), arguments, place: CallPlace::Tools }
    }

    fn read(call: &Value, turn: u32, i: usize) -> ToolCall {
        // Some servers leave `function` out.
        let function = if call["function"].is_object() { &call["function"] } else { call };
        let given = [&function["arguments"], &function["parameters"]];
        let given = given.into_iter().find(|given| !given.is_null()).unwrap_or(&Value::Null);
        let id = match &call["id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => made_up_id(turn, i),
        };
        ToolCall {
            id,
            name: function["name"].as_str().unwrap_or_default().into(),
            arguments: arguments::read(given),
            place: CallPlace::Tools,
        }
    }

    fn from_text(call: text_calls::TextCall, turn: u32, i: usize) -> ToolCall {
        let text_calls::TextCall { name, arguments } = call;
        ToolCall { id: made_up_id(turn, i), name, arguments, place: CallPlace::Text }
    }

    /// The call as it came, with an id, a name and arguments that can be sent: text of one JSON
    /// object. What was wrong with them is told in the call's result.
    fn replayed(&self, raw: &Value) -> Value {
        let object = |value: &Value| {
            let fields = value.as_object().into_iter().flatten();
            let kept = fields.filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
        };
        let mut call = object(raw);
        let mut function = object(raw.get("function").unwrap_or(&Value::Null));
        if function.is_empty() {
            for name in ["name", "arguments", "parameters"] {
                call.remove(name);
            }
        }
        let is_object = |text: &&str| serde_json::from_str::<Map<String, Value>>(text).is_ok();
        let came = function.get("arguments").and_then(Value::as_str).filter(is_object);
        let arguments = match (&self.arguments, came) {
            (Ok(_), Some(came)) => came.to_string(),
            (Ok(arguments), None) => arguments.to_string(),
            (Err(_), _) => "{}".into(),
        };
        function.insert("name".into(), sendable(&self.name).into());
        function.insert("arguments".into(), arguments.into());
        call.insert("id".into(), self.id.clone().into());
        call.entry("type").or_insert("function".into());
        call.insert("function".into(), function.into());
        call.into()
    }
}

fn map_strings(value: Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(all) => all.into_iter().map(|one| map_strings(one, change)).collect(),
        Value::Object(fields) => {
            let one = |(name, value): (String, Value)| (change(&name), map_strings(value, change));
            Value::Object(fields.into_iter().map(one).collect())
        }
        other => other,
    }
}

/// The text of a message, which may be split in parts.
fn text_of(content: &Value) -> Option<String> {
    let parts = || {
        let texts = content.as_array()?.iter().filter_map(|part| part["text"].as_str());
        Some(texts.collect::<Vec<_>>().join(""))
    };
    content.as_str().map(String::from).or_else(parts)
}

#[cfg(test)]
mod tests;
