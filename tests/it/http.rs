//! A minimal HTTP server for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The first line.
    pub(crate) line: String,
    pub(crate) authorization: String,
    /// The header `api-key`.
    pub(crate) api_key: String,
    pub(crate) body: Vec<u8>,
}

/// Answers requests by `answer`, sequentially and one per connection, until the test process ends.
/// It returns the whole response; None: the connection stays open without one.
pub(crate) fn serve(answer: impl Fn(Request) -> Option<String> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(Mutex::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                let Some(request) = read(&stream) else { return };
                let response = answer.lock().unwrap()(request);
                // A client that gave up is not an error of the server.
                let _ = match response {
                    Some(response) => stream.write_all(response.as_bytes()),
                    // Until the client closes the connection.
                    None => stream.read(&mut [0; 1]).map(drop),
                };
            });
        }
    });
    address
}

/// Each of the `headers` ends with a line break.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    announced(status, headers, body, body.len())
}

/// The first half of a body whose full length is announced.
pub(crate) fn cut(body: &str) -> String {
    announced("200 OK", "", &body[..body.len() / 2], body.len())
}

fn announced(status: &str, headers: &str, body: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

/// None if the client disconnected before the request was complete.
fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut text = String::new();
        reader.read_line(&mut text).ok().filter(|&read| read > 0)?;
        Some(text.trim_end().to_string())
    };
    let line = next()?;
    let (mut length, mut authorization, mut api_key) = (0, String::new(), String::new());
    while let Some((name, value)) = next()?.split_once(':') {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => authorization = value.trim().to_string(),
            "api-key" => api_key = value.trim().to_string(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line, authorization, api_key, body })
}
