//! Why a request failed, and whether to repeat it.

use std::error::Error;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::server_words::ServerError;

/// An error code that no retry can fix.
const QUOTA_EXCEEDED: &str = "insufficient_quota";
/// Words, in lower case, of errors that say that the conversation is too long.
const TOO_LONG: [&str; 8] = [
    "context length",
    "context_length",
    "context window",
    "maximum context",
    "too many tokens",
    "prompt is too long",
    "reduce the length",
    "exceeds the maximum number of tokens",
];
/// Of errors about the model's answer, which may be another the next time, although the status says
/// that the request is wrong.
const PASSING: [&str; 15] = [
    "tool_use_failed",
    "failed_generation",
    "failed to call a function",
    "tool call validation failed",
    "failed to parse tool",
    "malformed function call",
    "malformed_function_call",
    "output_parse_failed",
    "content_filter",
    "content filter",
    "content management policy",
    "response was filtered",
    "responsibleaipolicyviolation",
    "temporarily",
    "try again",
];

/// Why a request failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RequestError {
    /// A retry may succeed. `wait` is the delay that the endpoint requests.
    Passing { what: String, wait: Option<Duration> },
    /// A retry cannot succeed; `hint` says what to do.
    Lasting { what: String, hint: &'static str, status: Option<u16> },
}

impl RequestError {
    pub(crate) fn passing(what: String) -> RequestError {
        RequestError::Passing { what, wait: None }
    }

    /// An error that no status describes.
    pub(crate) fn lasting(what: String, hint: &'static str) -> RequestError {
        RequestError::Lasting { what, hint, status: None }
    }

    /// Of a response with that status.
    pub(crate) fn of_status(
        status: StatusCode,
        said: Option<ServerError>,
        wait: Option<Duration>,
    ) -> RequestError {
        let said = said.unwrap_or_else(|| ServerError {
            words: status.canonical_reason().unwrap_or("no reason given").into(),
            ..ServerError::default()
        });
        let what = format!("HTTP {}: {}", status.as_u16(), said.words);
        let passing = matches!(status.as_u16(), 408 | 409 | 424 | 425 | 429 | 500..=599);
        classified(what, passing, status.as_u16(), wait.or(said.wait()))
    }

    /// Of an error in a response that says that all is well: gateways send the status before they
    /// know of an error.
    pub(crate) fn of_words(said: ServerError, wait: Option<Duration>) -> RequestError {
        let status = said.status.unwrap_or(502);
        let passing = !matches!(status, 401..=404);
        let wait = wait.or(said.wait());
        classified(said.words, passing, status, wait)
    }
}

impl ServerError {
    fn wait(&self) -> Option<Duration> {
        self.wait_s.map(Duration::from_secs_f64)
    }
}

fn classified(what: String, passing: bool, status: u16, wait: Option<Duration>) -> RequestError {
    let words = what.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let is_too_long = (400..500).contains(&status) && status != 429 && has(&TOO_LONG);
    let passing = passing || (matches!(status, 400 | 422) && has(&PASSING));
    if passing && !is_too_long && !words.contains(QUOTA_EXCEEDED) {
        return RequestError::Passing { what, wait };
    }
    let hint = match status {
        _ if is_too_long => "lower agent_config.max_steps, or take a model with a longer context",
        401 | 403 => "check openai_api_key",
        404 | 405 => "check basemodel and openai_base_url",
        300..=399 => "put the URL that it redirects to into openai_base_url",
        402 | 429 => "see to the account",
        407 => "check the user and password of the proxy",
        _ if has(&PASSING) => "it was repeated in vain: take another model",
        _ => "check basemodel, and that it knows tool calls",
    };
    RequestError::Lasting { what, hint, status: Some(status) }
}

/// The innermost cause, such as "Connection refused". The outer errors repeat the address.
pub(crate) fn connection_error(error: &reqwest::Error) -> RequestError {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if error.is_timeout() { "no answer in time".into() } else { cause.to_string() };
    RequestError::passing(what)
}

/// The requested delay: in milliseconds, in seconds, or as a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
        assert!(far > Duration::from_secs(1 << 20));
        for nonsense in ["soon", "-1", "nan", ""] {
            assert_eq!(of("retry-after", nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn errors_pass_or_last() {
        let said = |words: &str| ServerError { words: words.into(), ..ServerError::default() };
        let of = |status: u16, words: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            matches!(
                RequestError::of_status(status, Some(said(words)), None),
                RequestError::Passing { .. }
            )
        };
        for (status, words) in [
            (429, "slow down"),
            (503, "context length is unknown"),
            (400, "Failed to call a function. (tool_use_failed)"),
            (400, "The response was filtered (content_filter)"),
            (422, "Malformed function call"),
        ] {
            assert!(of(status, words), "{status} {words}");
        }
        for (status, words) in [
            (400, "\"auto\" tool choice requires --enable-auto-tool-choice"),
            (400, "This model's maximum context length is 2048 tokens; try again"),
            (401, "no"),
            (404, "no"),
            (429, "no (insufficient_quota)"),
        ] {
            assert!(!of(status, words), "{status} {words}");
        }
        let inside = |status| ServerError { status, ..said("no") };
        let passes = |status| {
            let error = RequestError::of_words(inside(status), None);
            matches!(error, RequestError::Passing { .. })
        };
        assert_eq!([None, Some(400), Some(429), Some(401)].map(passes), [true, true, true, false]);
    }
}
