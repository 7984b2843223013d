//! Requests to an endpoint, with retries. The only user of reqwest in this module.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use chrono::DateTime;
use futures::future::{Either, select};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tracing::subscriber::{NoSubscriber, with_default};

use super::protocol::{ModelReply, ReplyError, refusal};
use crate::agents::config::{LlmConfig, SessionConfig};
use crate::agents::secret::Secret;
use crate::strategy::Cancel;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A longer answer is rejected.
const MAX_BYTES: usize = 8 << 20;
/// Upper limit of the exponential backoff.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest wait that an endpoint may request; beyond it the agent fails and can resume later.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Polling interval for cancellation.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum length of an endpoint's error message, characters.
const WORDS: usize = 300;
/// A shorter key is a placeholder, and answers may contain it as an ordinary word.
const LEAST_KEY: usize = 12;
/// An error code that no retry can fix.
const QUOTA_EXCEEDED: &str = "insufficient_quota";

pub(crate) struct LlmClient {
    http: reqwest::Client,
    runtime: Runtime,
    url: Url,
    key: Option<Secret>,
    model: String,
    config: SessionConfig,
    cancel: Cancel,
    /// From 1 to 1.25: spreads the retries of agents that were told to wait at the same time.
    spread: f64,
}

/// Why a request failed.
enum RequestError {
    /// A retry may succeed. `wait` is the delay that the endpoint requests.
    Passing { what: String, wait: Option<Duration> },
    /// A retry cannot succeed; `hint` says what to do.
    Lasting { what: String, hint: &'static str },
}

impl LlmClient {
    pub(crate) fn new(
        endpoint: &LlmConfig,
        config: &SessionConfig,
        signature: &str,
        cancel: &Cancel,
    ) -> Result<LlmClient> {
        let mut url = endpoint.base_url.clone();
        url.set_path(&format!("{}/chat/completions", url.path().trim_end_matches('/')));
        let http = reqwest::Client::builder()
            .user_agent(concat!("dqn-trader/", env!("CARGO_PKG_VERSION")))
            // A redirect must not receive the key.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_secs_f64(config.request_timeout_s))
            .build()
            .context("the HTTP client cannot be created")?;
        let sum: u32 = signature.bytes().map(u32::from).sum();
        Ok(LlmClient {
            http,
            runtime: Builder::new_current_thread().enable_all().build()?,
            url,
            key: endpoint.api_key.clone(),
            model: endpoint.basemodel.clone(),
            config: config.clone(),
            cancel: cancel.clone(),
            spread: 1.0 + f64::from(sum % 26) / 100.0,
        })
    }

    /// The model's answer to a conversation. Errors: no answer after all retries, or cancelled.
    pub(crate) fn ask(&self, messages: &[Value], tools: &Value, turn: u32) -> Result<ModelReply> {
        let body = json!({
            "model": self.model, "messages": messages, "tools": tools, "tool_choice": "auto",
        });
        let body = serde_json::to_vec(&body)?;
        // The HTTP crates log addresses and headers.
        let quiet = NoSubscriber::new();
        let answer =
            with_default(quiet, || self.runtime.block_on(self.ask_with_retries(&body, turn)))?;
        let is_real = |key: &&Secret| key.reveal().len() >= LEAST_KEY;
        Ok(match self.key.as_ref().filter(is_real) {
            Some(key) => answer.map_text(&|text| key.scrub(text)),
            None => answer,
        })
    }

    async fn ask_with_retries(&self, body: &[u8], turn: u32) -> Result<ModelReply> {
        let mut tries = 0;
        loop {
            let fault = match self.unless_cancelled(self.try_once(body, turn)).await? {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            tries += 1;
            let (what, wait) = match fault {
                RequestError::Lasting { what, hint } => return Err(self.error(&what, hint)),
                RequestError::Passing { what, wait } => (what, wait),
            };
            if tries > self.config.max_retries {
                let what = format!("{what}, after {tries} tries");
                return Err(self.error(&what, "start again later: the agent resumes from there"));
            }
            if wait.is_some_and(|wait| wait > LONGEST_WAIT) {
                let seconds = wait.unwrap_or_default().as_secs();
                let what = format!("{what}, and it asks to wait {seconds} s");
                return Err(self.error(&what, "start again later: the agent resumes from there"));
            }
            let pause = self.backoff(tries).max(wait.unwrap_or_default());
            self.unless_cancelled(tokio::time::sleep(pause)).await?;
        }
    }

    /// Exponential backoff: `base_delay`, then doubled each time.
    fn backoff(&self, tries: u32) -> Duration {
        let doubled = self.config.base_delay_s * 2f64.powi(tries.min(30) as i32 - 1);
        Duration::from_secs_f64((doubled * self.spread).min(LONGEST_PAUSE.as_secs_f64()))
    }

    async fn try_once(&self, body: &[u8], turn: u32) -> Result<ModelReply, RequestError> {
        let mut request = self.http.post(self.url.clone());
        request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.reveal());
        }
        let response = request.send().await.map_err(|e| connection_error(&e))?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let body = read_body(response).await?;
        if !status.is_success() {
            return Err(self.status_error(status, wait, &body));
        }
        ModelReply::read(&body, turn).map_err(|none| match none {
            ReplyError::Broken(what) => {
                RequestError::Passing { what: format!("an answer cannot be read: {what}"), wait }
            }
            ReplyError::Refused { message, code } => {
                let what = self.clean(&message);
                // Proxy endpoints may send HTTP 200 before they know of an error.
                let code = code.and_then(|code| u16::try_from(code).ok());
                let code = code.and_then(|code| StatusCode::from_u16(code).ok());
                fault(code.unwrap_or(StatusCode::BAD_GATEWAY), what, wait)
            }
        })
    }

    fn status_error(
        &self,
        status: StatusCode,
        wait: Option<Duration>,
        body: &[u8],
    ) -> RequestError {
        let refusal = serde_json::from_slice(body).ok().and_then(|body| refusal(&body));
        let message = match refusal {
            Some(ReplyError::Refused { message, .. }) => message,
            _ => status.canonical_reason().unwrap_or("no reason given").into(),
        };
        fault(status, format!("HTTP {}: {}", status.as_u16(), self.clean(&message)), wait)
    }

    /// The endpoint's message on one line, without the key, which some endpoints repeat.
    fn clean(&self, words: &str) -> String {
        let words = self.key.as_ref().map_or(words.to_string(), |key| key.scrub(words));
        let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(WORDS).collect()
    }

    fn error(&self, what: &str, hint: &str) -> anyhow::Error {
        anyhow!("{}: {what}; {hint}", self.url)
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let cancelled = async {
            while !self.cancel.is_cancelled() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        match select(std::pin::pin!(work), std::pin::pin!(cancelled)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(anyhow!("stopped while waiting for the model")),
        }
    }
}

/// Classifies a status: whether a retry may succeed, or what to do.
fn fault(status: StatusCode, what: String, wait: Option<Duration>) -> RequestError {
    let passing = matches!(status.as_u16(), 408 | 409 | 425 | 429 | 500..=599);
    if passing && !what.contains(QUOTA_EXCEEDED) {
        return RequestError::Passing { what, wait };
    }
    let hint = match status.as_u16() {
        401 | 403 => "check openai_api_key",
        404 => "check basemodel and openai_base_url",
        300..=399 => "put the URL that it redirects to into openai_base_url",
        402 | 429 => "see to the account",
        _ => "check basemodel, and that it knows tool calls",
    };
    RequestError::Lasting { what, hint }
}

/// The complete body. Errors: it is too long, or the connection failed.
async fn read_body(mut response: Response) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| connection_error(&e))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BYTES {
            let what = format!("an answer is longer than {} MiB", MAX_BYTES >> 20);
            return Err(RequestError::Lasting { what, hint: "check openai_base_url" });
        }
    }
    Ok(bytes)
}

/// The innermost cause, such as "Connection refused". The outer errors repeat the address.
fn connection_error(error: &reqwest::Error) -> RequestError {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if error.is_timeout() { "no answer in time".into() } else { cause.to_string() };
    RequestError::Passing { what, wait: None }
}

/// The requested delay: in milliseconds, in seconds, or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| (0.0..=1e9).contains(n));
    let milliseconds = headers.get("retry-after-ms").and_then(|value| number(value.to_str().ok()?));
    if let Some(milliseconds) = milliseconds {
        return Some(Duration::from_secs_f64(milliseconds / 1e3));
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let date = || {
        let until = SystemTime::from(DateTime::parse_from_rfc2822(text).ok()?);
        Some(until.duration_since(SystemTime::now()).unwrap_or_default())
    };
    number(text).map(Duration::from_secs_f64).or_else(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn all_formats_of_delays_are_parsed() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(of("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(of("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        let past = of("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        let far = of("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT").unwrap();
        assert!(far > LONGEST_WAIT);
        for nonsense in ["soon", "-1", "nan", ""] {
            assert_eq!(of("retry-after", nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn pauses_double() {
        let endpoint = LlmConfig {
            basemodel: "m".into(),
            base_url: Url::parse("http://127.0.0.1:1/v1").unwrap(),
            api_key: None,
        };
        let config = SessionConfig {
            max_steps: 1,
            max_retries: 3,
            base_delay_s: 0.5,
            request_timeout_s: 1.0,
        };
        let client = LlmClient::new(&endpoint, &config, "", &Cancel::new()).unwrap();
        let pauses = [1, 2, 3, 4, 30].map(|tries| client.backoff(tries).as_secs_f64());
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 60.0]);
        assert_eq!(client.url.as_str(), "http://127.0.0.1:1/v1/chat/completions");
    }
}
