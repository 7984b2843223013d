//! A server that speaks the chat-completions protocol, and fails in chosen ways.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// A question, as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub body: Value,
    pub authorization: String,
}

pub enum Reply {
    /// Status and headers, body.
    Http(&'static str, String, String),
    /// Half of what was announced.
    Cut(String),
    /// Nothing, and the line is held.
    Silence,
}

/// Answers every question by a function of it, until the test process ends.
pub struct Server {
    pub address: SocketAddr,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || serve(stream.unwrap(), &seen, &*answer));
            }
        });
        Server { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Reply) {
    let Some((line, authorization, body)) = request(&stream) else { return };
    assert_eq!(line, "POST /v1/chat/completions HTTP/1.1");
    let asked = {
        let mut seen = seen.lock().unwrap();
        let body = serde_json::from_slice(&body).unwrap();
        seen.push(Asked { body, authorization });
        seen.last().unwrap().clone()
    };
    let text = match answer(&asked) {
        Reply::Http(status, headers, body) => {
            let length = body.len();
            let headers = format!("Content-Length: {length}\r\nConnection: close\r\n{headers}");
            format!("HTTP/1.1 {status}\r\n{headers}\r\n{body}")
        }
        Reply::Cut(body) => {
            let (length, half) = (body.len(), &body[..body.len() / 2]);
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{half}")
        }
        Reply::Silence => {
            // Until the other side is gone.
            let _ = stream.read(&mut [0; 1]);
            return;
        }
    };
    // Whoever does not want to hear is no concern of the server's.
    let _ = stream.write_all(text.as_bytes());
}

/// First line, authorization and body.
fn request(stream: &TcpStream) -> Option<(String, String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut text = String::new();
        reader.read_line(&mut text).ok().filter(|&read| read > 0)?;
        Some((text.trim_end().to_string(), text.len()))
    };
    let (first, _) = line()?;
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let (header, _) = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => authorization = value.trim().to_string(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, authorization, body))
}

impl Asked {
    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().unwrap()
    }

    /// Answers that the model has given in this session.
    pub fn turn(&self) -> usize {
        self.messages().iter().filter(|message| message["role"] == "assistant").count()
    }

    /// The day that is asked about.
    pub fn day(&self) -> String {
        let opening = self.messages()[1]["content"].as_str().unwrap();
        opening.strip_prefix("Next is ").unwrap()[..10].to_string()
    }

    /// What the last calls came to.
    pub fn told(&self) -> Vec<Value> {
        let after = self.messages().iter().rposition(|message| message["role"] == "assistant");
        let replies = &self.messages()[after.map_or(0, |at| at + 1)..];
        let of_tools = replies.iter().filter(|message| message["role"] == "tool");
        of_tools.map(|m| serde_json::from_str(m["content"].as_str().unwrap()).unwrap()).collect()
    }
}

/// An answer that calls tools: names with arguments as they stand in the protocol, which is text.
pub fn calls(calls: &[(&str, &str)]) -> Reply {
    let one = |(i, (name, arguments)): (usize, &(&str, &str))| {
        json!({
            "id": format!("c{i}"), "type": "function",
            "function": { "name": name, "arguments": arguments },
        })
    };
    let calls: Vec<Value> = calls.iter().enumerate().map(one).collect();
    ok(json!({ "role": "assistant", "content": null, "tool_calls": calls }))
}

pub fn ok(message: Value) -> Reply {
    Reply::Http("200 OK", String::new(), body(message))
}

pub fn body(message: Value) -> String {
    json!({
        "id": "x", "object": "chat.completion",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
    })
    .to_string()
}

/// A refusal as endpoints word it.
pub fn error(status: &'static str, headers: &str, message: &str) -> Reply {
    Reply::Http(status, headers.into(), json!({ "error": { "message": message } }).to_string())
}
