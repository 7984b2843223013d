//! Requests to an endpoint, with retries. The only user of reqwest's client in this module.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::future::{Either, select};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Proxy, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tracing::subscriber::{NoSubscriber, with_default};

use super::endpoint::{addresses, key_header};
use super::failure::{RequestError, connection_error, retry_after};
use super::protocol::{ModelReply, ReplyError};
use super::proxy::{ChosenProxy, proxy_for};
use super::server_words::{ServerError, shortened};
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
/// A shorter key is a placeholder, and answers may contain it as an ordinary word.
const LEAST_KEY: usize = 12;
/// Fields of a message without which it says nothing.
const ESSENTIAL: [&str; 6] =
    ["role", "content", "tool_calls", "tool_call_id", "function_call", "name"];

pub(crate) struct LlmClient {
    http: reqwest::Client,
    runtime: Runtime,
    /// What the base URL may mean, and which of them is used.
    urls: Vec<Url>,
    current: Cell<usize>,
    /// The current one has answered, so it is the right one.
    is_found: Cell<bool>,
    proxy: Option<ChosenProxy>,
    key: Option<Secret>,
    model: String,
    config: SessionConfig,
    cancel: Cancel,
    /// From 1 to 1.25: spreads the retries of agents that were told to wait at the same time.
    spread: f64,
    /// Fields that the endpoint sends but does not want back.
    unwanted: RefCell<BTreeSet<String>>,
    /// Bytes of all bodies, sent and received.
    traffic: Cell<Traffic>,
}

impl LlmClient {
    pub(crate) fn new(
        endpoint: &LlmConfig,
        config: &SessionConfig,
        signature: &str,
        cancel: &Cancel,
    ) -> Result<LlmClient> {
        let urls = addresses(&endpoint.base_url);
        let proxy = proxy_for(&urls[0], &|name| std::env::var(name).ok())
            .map_err(|what| anyhow!("{what}; correct it, or add the endpoint to NO_PROXY"))?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("dqn-trader/", env!("CARGO_PKG_VERSION")))
            // A redirect must not receive the key.
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_secs_f64(config.request_timeout_s));
        if let Some(proxy) = &proxy {
            let told = || format!("{}: it cannot be used", proxy.describe());
            http = http.proxy(Proxy::all(proxy.url.clone()).with_context(told)?);
        }
        let sum: u32 = signature.bytes().map(u32::from).sum();
        Ok(LlmClient {
            http: http.build().context("the HTTP client cannot be created")?,
            runtime: Builder::new_current_thread().enable_all().build()?,
            urls,
            current: Cell::new(0),
            is_found: Cell::new(false),
            proxy,
            key: endpoint.api_key.clone(),
            model: endpoint.basemodel.clone(),
            config: config.clone(),
            cancel: cancel.clone(),
            spread: 1.0 + f64::from(sum % 26) / 100.0,
            unwanted: RefCell::default(),
            traffic: Cell::default(),
        })
    }

    /// The model's answer to a conversation. Errors: no answer after all retries, or cancelled.
    pub(crate) fn ask(&self, messages: &[Value], tools: &Value, turn: u32) -> Result<ModelReply> {
        // The HTTP crates log addresses and headers.
        let quiet = NoSubscriber::new();
        let asked = self.ask_with_retries(messages, tools, turn);
        let answer = with_default(quiet, || self.runtime.block_on(asked))?;
        let is_real = |key: &&Secret| key.reveal().len() >= LEAST_KEY;
        Ok(match self.key.as_ref().filter(is_real) {
            Some(key) => answer.map_text(&|text| key.scrub(text)),
            None => answer,
        })
    }

    /// What was sent and received since the last call, also in vain.
    pub(crate) fn take_traffic(&self) -> Traffic {
        self.traffic.take()
    }

    fn count(&self, sent: usize, received: usize) {
        let Traffic { sent_bytes, received_bytes } = self.traffic.get();
        self.traffic.set(Traffic {
            sent_bytes: sent_bytes + sent as u64,
            received_bytes: received_bytes + received as u64,
        });
    }

    async fn ask_with_retries(
        &self,
        messages: &[Value],
        tools: &Value,
        turn: u32,
    ) -> Result<ModelReply> {
        let mut tries = 0;
        loop {
            let body = self.body(messages, tools)?;
            let fault = match self.unless_cancelled(self.try_once(&body, turn)).await? {
                Ok(answer) => {
                    self.is_found.set(true);
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            let (what, wait) = match fault {
                RequestError::Lasting { what, hint, status } => {
                    if self.can_ask_otherwise(&what, status, messages) {
                        continue;
                    }
                    return Err(match self.is_absent(&what, status) {
                        true => self.error_at(&self.urls[..=self.current.get()], &what, hint),
                        false => self.error(&what, hint),
                    });
                }
                RequestError::Passing { what, wait } => (what, wait),
            };
            tries += 1;
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

    /// The request, without the fields that the endpoint does not want.
    fn body(&self, messages: &[Value], tools: &Value) -> Result<Vec<u8>> {
        let unwanted = self.unwanted.borrow();
        let mut messages = messages.to_vec();
        for message in messages.iter_mut().filter_map(Value::as_object_mut) {
            message.retain(|name, _| !unwanted.contains(name));
        }
        let mut body = json!({
            "model": self.model, "messages": messages, "tools": tools, "tool_choice": "auto",
        });
        if let (Some(body), true) = (body.as_object_mut(), unwanted.contains("tool_choice")) {
            body.remove("tool_choice");
        }
        Ok(serde_json::to_vec(&body)?)
    }

    /// After an error that lasts: whether there is another address, or a field to leave out, with
    /// which the same may succeed.
    fn can_ask_otherwise(&self, what: &str, status: Option<u16>, messages: &[Value]) -> bool {
        let words = what.to_ascii_lowercase();
        match status {
            Some(404 | 405) => {
                let next = self.current.get() + 1;
                let has_next = next < self.urls.len() && self.is_absent(what, status);
                if has_next {
                    self.current.set(next);
                }
                has_next
            }
            Some(400 | 422) => {
                // A field that is missing must not be left out.
                let wants_it = ["missing", "required", "must be passed", "must be provided"];
                if wants_it.iter().any(|part| words.contains(part)) {
                    return false;
                }
                let fields =
                    messages.iter().filter_map(Value::as_object).flat_map(|one| one.keys());
                let mut optional: BTreeSet<&str> =
                    fields.map(String::as_str).filter(|name| !ESSENTIAL.contains(name)).collect();
                optional.insert("tool_choice");
                let named = optional.into_iter().find(|name| words.contains(name));
                named.is_some_and(|name| self.unwanted.borrow_mut().insert(name.into()))
            }
            _ => false,
        }
    }

    /// Whether an error says that there is no endpoint at the current address. One that answered
    /// before, or that does not have the model, has been found.
    fn is_absent(&self, what: &str, status: Option<u16>) -> bool {
        // Servers repeat the path, which may contain the word.
        let words = what.replace(self.url().path(), "").to_ascii_lowercase();
        matches!(status, Some(404 | 405)) && !self.is_found.get() && !words.contains("model")
    }

    /// Exponential backoff: `base_delay`, then doubled each time.
    fn backoff(&self, tries: u32) -> Duration {
        let doubled = self.config.base_delay_s * 2f64.powi(tries.min(30) as i32 - 1);
        Duration::from_secs_f64((doubled * self.spread).min(LONGEST_PAUSE.as_secs_f64()))
    }

    async fn try_once(&self, body: &[u8], turn: u32) -> Result<ModelReply, RequestError> {
        let url = self.url();
        let mut request = self.http.post(url.clone());
        request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        if let Some(key) = &self.key {
            let (name, value) = key_header(url, key);
            request = request.header(name, value);
        }
        self.count(body.len(), 0);
        let response = request.send().await.map_err(|e| connection_error(&e))?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let body = read_body(response).await?;
        self.count(0, body.len());
        if !status.is_success() {
            return Err(self.status_error(status, wait, &body));
        }
        // Words are shortened, which could leave a part of a key.
        let again = |_| ModelReply::read(&self.scrubbed(&body), turn);
        ModelReply::read(&body, turn).or_else(again).map_err(|none| match none {
            ReplyError::Broken(what) => {
                let what = format!("an answer cannot be read: {}", self.clean(&what));
                RequestError::Passing { what, wait }
            }
            ReplyError::Refused(said) => RequestError::of_words(self.clean_error(said), wait),
        })
    }

    fn status_error(
        &self,
        status: StatusCode,
        wait: Option<Duration>,
        body: &[u8],
    ) -> RequestError {
        let said = ServerError::read(&self.scrubbed(body)).map(|said| self.clean_error(said));
        RequestError::of_status(status, said, wait)
    }

    /// A body without the key.
    fn scrubbed(&self, body: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(body);
        self.key.as_ref().map_or(text.to_string(), |key| key.scrub(&text)).into_bytes()
    }

    fn clean_error(&self, said: ServerError) -> ServerError {
        ServerError { words: self.clean(&said.words), ..said }
    }

    /// The endpoint's message on one line, without the key, which some endpoints repeat.
    fn clean(&self, words: &str) -> String {
        shortened(&self.key.as_ref().map_or(words.to_string(), |key| key.scrub(words)))
    }

    fn url(&self) -> &Url {
        &self.urls[self.current.get()]
    }

    fn error(&self, what: &str, hint: &str) -> anyhow::Error {
        self.error_at(std::slice::from_ref(self.url()), what, hint)
    }

    fn error_at(&self, urls: &[Url], what: &str, hint: &str) -> anyhow::Error {
        let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
        let through = self.proxy.as_ref().map(|proxy| format!(" through {}", proxy.describe()));
        anyhow!("{}{}: {what}; {hint}", urls.join(" and "), through.unwrap_or_default())
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

/// Bytes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

/// The complete body. Errors: it is too long, or the connection failed.
async fn read_body(mut response: Response) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| connection_error(&e))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BYTES {
            let what = format!("an answer is longer than {} MiB", MAX_BYTES >> 20);
            return Err(RequestError::lasting(what, "check openai_base_url"));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::config::Budget;

    fn client() -> LlmClient {
        let endpoint = LlmConfig {
            basemodel: "m".into(),
            base_url: Url::parse("http://127.0.0.1:1/x").unwrap(),
            api_key: None,
            price: None,
        };
        let config = SessionConfig {
            max_steps: 1,
            max_retries: 3,
            base_delay_s: 0.5,
            request_timeout_s: 1.0,
            budget: Budget::default(),
        };
        LlmClient::new(&endpoint, &config, "", &Cancel::new()).unwrap()
    }

    #[test]
    fn pauses_double() {
        let client = client();
        let pauses = [1, 2, 3, 4, 30].map(|tries| client.backoff(tries).as_secs_f64());
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 60.0]);
        assert_eq!(client.url().as_str(), "http://127.0.0.1:1/x/chat/completions");
    }

    #[test]
    fn what_an_endpoint_does_not_want_is_left_out_once() {
        let client = client();
        let messages = [json!({ "role": "assistant", "content": "a", "reasoning": "b" })];
        let refused = "HTTP 400: property 'messages.2.reasoning' is unsupported";
        assert!(client.can_ask_otherwise(refused, Some(400), &messages));
        let body: Value =
            serde_json::from_slice(&client.body(&messages, &json!([])).unwrap()).unwrap();
        assert_eq!(body["messages"], json!([{ "role": "assistant", "content": "a" }]));
        assert!(!client.can_ask_otherwise(refused, Some(400), &messages));
        let missing = "HTTP 400: missing `reasoning` field";
        assert!(!client.can_ask_otherwise(missing, Some(400), &messages));
        // The model is missing, not the address.
        assert!(!client.can_ask_otherwise("HTTP 404: model m not found", Some(404), &messages));
        let repeated = "HTTP 404: no /x/chat/completions";
        assert!(client.is_absent(repeated, Some(404)) && !client.is_absent(repeated, Some(400)));
        assert!(client.can_ask_otherwise("HTTP 404: Not Found", Some(404), &messages));
        assert_eq!(client.url().path(), "/x/v1/chat/completions");
        assert!(!client.can_ask_otherwise("HTTP 404: Not Found", Some(404), &messages));
    }
}
