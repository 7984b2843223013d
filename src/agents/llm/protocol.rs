//! The chat-completions protocol with tool calls, as far as it is used here. Parsing is lenient,
//! because endpoints omit different fields.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// An answer of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModelReply {
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
    /// The endpoint's error message, and its code if it has one.
    Refused { message: String, code: Option<u64> },
    /// Invalid or incomplete.
    Broken(String),
}

impl ModelReply {
    /// Parses a response's body. `turn` makes ids for calls without one.
    pub(crate) fn read(body: &[u8], turn: u32) -> Result<ModelReply, ReplyError> {
        let broken = |what: &str| ReplyError::Broken(what.into());
        let body: Value =
            serde_json::from_slice(body).map_err(|e| broken(&format!("it is not JSON ({e})")))?;
        if let Some(refused) = refusal(&body) {
            return Err(refused);
        }
        let message = &body["choices"][0]["message"];
        if !message.is_object() {
            return Err(broken("it has no choices[0].message"));
        }
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        let call = |(i, call)| ToolCall::read(call, turn, i);
        let usage = serde_json::from_value(body["usage"].clone()).unwrap_or_default();
        Ok(ModelReply {
            content: text_of(&message["content"])
                .or(text_of(&message["refusal"]))
                .unwrap_or_default(),
            calls: calls.iter().enumerate().map(call).collect(),
            usage,
        })
    }

    /// Applies `change` to all text from the endpoint.
    pub(crate) fn map_text(mut self, change: &dyn Fn(&str) -> String) -> ModelReply {
        self.content = change(&self.content);
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
        let mut message = json!({ "role": "assistant", "content": self.content });
        if !self.calls.is_empty() {
            let call = |call: &ToolCall| {
                // Endpoints reject invalid JSON in arguments; the reply tells the model what was
                // wrong with them.
                let arguments = match &call.arguments {
                    Ok(arguments) => arguments.to_string(),
                    Err(_) => "{}".into(),
                };
                json!({
                    "id": call.id,
                    "type": "function",
                    "function": { "name": call.name, "arguments": arguments },
                })
            };
            message["tool_calls"] = self.calls.iter().map(call).collect();
        }
        message
    }
}

impl ToolCall {
    fn read(call: &Value, turn: u32, i: usize) -> ToolCall {
        let function = &call["function"];
        let arguments = match &function["arguments"] {
            Value::String(text) if text.trim().is_empty() => Ok(json!({})),
            Value::String(text) => {
                serde_json::from_str(text).map_err(|e| format!("the arguments are not JSON ({e})"))
            }
            Value::Null => Ok(json!({})),
            other => Ok(other.clone()),
        };
        let arguments = arguments.and_then(|value| match value {
            Value::Object(_) => Ok(value),
            Value::Null => Ok(json!({})),
            _ => Err("the arguments are not a JSON object".into()),
        });
        let id = call["id"].as_str().filter(|id| !id.is_empty());
        ToolCall {
            id: id.map_or_else(|| format!("call_{turn}_{i}"), String::from),
            name: function["name"].as_str().unwrap_or_default().into(),
            arguments,
        }
    }

    /// The result of a call as a message.
    pub(crate) fn reply(&self, content: &Value) -> Value {
        json!({ "role": "tool", "tool_call_id": self.id, "content": content.to_string() })
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

/// The field `error`, in an error response or with HTTP 200.
pub(crate) fn refusal(body: &Value) -> Option<ReplyError> {
    let error = body.get("error").filter(|error| !error.is_null())?;
    let message = error["message"].as_str().or(error.as_str()).unwrap_or("no reason given");
    let code = &error["code"];
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok());
    let word = code.as_str().filter(|_| number.is_none()).map(|word| format!(" ({word})"));
    let message = format!("{message}{}", word.unwrap_or_default());
    Some(ReplyError::Refused { message, code: number })
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
mod tests {
    use super::*;

    fn read(body: Value) -> Result<ModelReply, ReplyError> {
        ModelReply::read(body.to_string().as_bytes(), 3)
    }

    #[test]
    fn all_formats_of_answers_are_parsed() {
        let usual = read(json!({
            "choices": [{ "message": { "role": "assistant", "content": null, "tool_calls": [
                { "id": "a", "function": { "name": "buy", "arguments": "{\"symbol\": \"SPY\"}" } },
                { "id": null, "function": { "name": "sell", "arguments": { "amount": 2 } } },
                { "function": { "name": "buy", "arguments": "{\"symbol\"" } },
                { "function": { "name": "finish" } },
                { "function": { "name": "buy", "arguments": "[1]" } },
                "nonsense",
            ] } }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 },
        }))
        .unwrap();
        assert_eq!(usual.usage, Usage { prompt_tokens: 7, completion_tokens: 5 });
        let names: Vec<&str> = usual.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["buy", "sell", "buy", "finish", "buy", ""]);
        let ids: Vec<&str> = usual.calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(ids[..3], ["a", "call_3_1", "call_3_2"]);
        assert_eq!(usual.calls[0].arguments, Ok(json!({ "symbol": "SPY" })));
        assert_eq!(usual.calls[1].arguments, Ok(json!({ "amount": 2 })));
        assert!(usual.calls[2].arguments.is_err() && usual.calls[4].arguments.is_err());
        assert_eq!(usual.calls[3].arguments, Ok(json!({})));
        // What is sent back can be parsed again.
        let calls = usual.message()["tool_calls"].as_array().unwrap().clone();
        for call in &calls {
            let arguments = call["function"]["arguments"].as_str().unwrap();
            assert!(serde_json::from_str::<Value>(arguments).unwrap().is_object());
        }
        let parts = json!([{ "type": "text", "text": "one " }, { "type": "text", "text": "two" }]);
        let plain = read(json!({ "choices": [{ "message": { "content": parts } }] })).unwrap();
        assert_eq!((plain.content.as_str(), plain.calls.len()), ("one two", 0));
        assert_eq!(plain.message(), json!({ "role": "assistant", "content": "one two" }));
    }

    #[test]
    fn error_responses_are_distinguished() {
        for body in [json!({}), json!([]), json!({ "choices": [] }), json!({ "choices": [{}] })] {
            assert!(matches!(read(body.clone()), Err(ReplyError::Broken(_))), "{body}");
        }
        assert!(matches!(ModelReply::read(b"<html>", 0), Err(ReplyError::Broken(_))));
        let refused = |message: &str, code| ReplyError::Refused { message: message.into(), code };
        let error = |error: Value| read(json!({ "error": error })).unwrap_err();
        assert_eq!(error(json!({ "message": "no", "code": 429 })), refused("no", Some(429)));
        assert_eq!(error(json!("no")), refused("no", None));
        let quota = json!({ "message": "no", "code": "insufficient_quota" });
        assert_eq!(error(quota), refused("no (insufficient_quota)", None));
    }
}
