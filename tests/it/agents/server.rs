//! A server that implements the chat-completions protocol and fails in chosen ways.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::http::{cut, response, serve};

/// A request as received.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// With the query; the whole URL where the server is used as a proxy.
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) authorization: String,
    pub(crate) api_key: String,
}

pub(crate) enum Reply {
    /// Status and headers, body.
    Http(&'static str, String, String),
    /// The first half of the announced body.
    Cut(String),
    /// No response; the connection stays open.
    Silence,
}

/// Answers every request by a function of it, until the test process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Server {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let address = serve(move |request| {
            let line = request.line.strip_suffix(" HTTP/1.1").unwrap();
            let path = line.strip_prefix("POST ").unwrap().to_string();
            let body = serde_json::from_slice(&request.body).unwrap();
            let (authorization, api_key) = (request.authorization, request.api_key);
            let asked = Asked { path, body, authorization, api_key };
            seen.lock().unwrap().push(asked.clone());
            match answer(&asked) {
                Reply::Http(status, headers, body) => Some(response(status, &headers, &body)),
                Reply::Cut(body) => Some(cut(&body)),
                Reply::Silence => None,
            }
        });
        Server { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Asked {
    pub(crate) fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().unwrap()
    }

    /// Number of answers of the model in this session.
    pub(crate) fn transpose(&self) -> usize {
        self.messages().iter().filter(|message| message["role"] == "assistant").count()
    }

    /// The first part of the path.
    pub(crate) fn mode(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    /// The answers of the model in this session.
    pub(crate) fn answers(&self) -> Vec<&Value> {
        self.messages().iter().filter(|message| message["role"] == "assistant").collect()
    }

    /// The day of the session.
    pub(crate) fn day(&self) -> String {
        let opening = self.messages()[1]["content"].as_str().unwrap();
        opening.strip_prefix("Next is ").unwrap()[..10].to_string()
    }

    /// The results of the last calls.
    pub(crate) fn notify(&self) -> Vec<Value> {
        let after = self.messages().iter().rposition(|message| message["role"] == "assistant");
        let replies = &self.messages()[after.map_or(0, |at| at + 1)..];
        let of_tools = replies.iter().filter(|message| message["role"] == "tool");
        of_tools.map(|m| serde_json::from_str(m["content"].as_str().unwrap()).unwrap()).collect()
    }
}

/// An answer that calls tools, given as names and arguments in JSON text, as in the protocol.
pub(crate) fn calls(calls: &[(&str, &str)]) -> Reply {
    let one = |(i, (name, arguments)): (usize, &(&str, &str))| {
        json!({
            "id": format!("c{i}"), "type": "function",
            "function": { "name": name, "arguments": arguments },
        })
    };
    let calls: Vec<Value> = calls.iter().enumerate().map(one).collect();
    ok(json!({ "role": "assistant", "content": null, "tool_calls": calls }))
}

pub(crate) fn ok(message: Value) -> Reply {
    Reply::Http("200 OK", String::new(), body(message))
}

pub(crate) fn body(message: Value) -> String {
    json!({
        "id": "x", "object": "chat.completion",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
    })
    .to_string()
}

/// An error as endpoints word it.
pub(crate) fn error(status: &'static str, headers: &str, message: &str) -> Reply {
    Reply::Http(status, headers.into(), json!({ "error": { "message": message } }).to_string())
}
