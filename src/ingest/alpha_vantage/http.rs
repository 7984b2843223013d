//! Sends a request and reads its whole response.

use std::error::Error;

use reqwest::{Client, StatusCode, Url};

/// Size limit of a response. The largest is a month of one-minute bars with extended hours: 4 MB.
const ANSWER_BYTES: usize = 64 << 20;

/// Why there is no response.
pub(super) enum HttpFault {
    /// A retry may succeed.
    Passing(String),
    Lasting(String),
}

pub(super) async fn whole_answer(
    client: &Client,
    url: Url,
) -> Result<(StatusCode, Vec<u8>), HttpFault> {
    let fault = |error: reqwest::Error| {
        let what =
            if error.is_timeout() { "no whole answer in time".into() } else { root_cause(&error) };
        HttpFault::Passing(what)
    };
    let mut response = client.get(url).send().await.map_err(fault)?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(fault)? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_BYTES {
            return Err(HttpFault::Lasting("the answer does not end".into()));
        }
    }
    Ok((response.status(), body))
}

/// The innermost error, such as "Connection refused"; the outer ones repeat the URL.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // The outermost is reqwest's own, which contains the URL.
    let is_outermost = error.source().is_none();
    if is_outermost { "the request failed".into() } else { cause.to_string() }
}
