//! Alpha Vantage's intraday series, one month per request.
//!
//! The service has no error codes: a rate limit, a wrong key and an unknown stock all come as a
//! sentence with HTTP 200 (see `answer`). The key is part of the URL, so URLs and anything that
//! quotes them never leave this file.

mod answer;
mod http;

use std::cell::Cell;
use std::fmt;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode, Url, redirect};
use thiserror::Error;
use tokio::runtime::Runtime;

use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::month::YearMonth;
use crate::market::parquet::RawRows;
use crate::market::runtime::silent_runtime;
use crate::market::store::origin::{Origin, OriginKind};
use crate::wording::counted;
use answer::{RateLimit, ServiceAnswer, read};
use http::{HttpFault, root_cause, whole_answer};

/// URL of the service.
pub(crate) const ADDRESS: &str = "https://www.alphavantage.co/query";
/// Environment variable with the key.
pub(crate) const KEY: &str = "ALPHAVANTAGE_API_KEY";
/// Placeholder for the key in `cloudkeys.example`.
const NO_KEY: &str = "your_alphavantage_key";

const NOT_LISTED: &str = "check the symbol (share classes are written as in BRK-B); if the stock \
                          was listed later or delisted earlier, adjust --start_date or --end_date";
/// Maximum requests for one month.
const TRIES: u32 = 5;
/// Maximum pauses for one month before a rate limit counts as the daily one.
const LIMIT_PAUSES: u32 = 3;

/// The user's key. It is never shown.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// From the environment.
    pub(crate) fn from_environment() -> Result<ApiKey, MarketError> {
        let key = std::env::var(KEY).unwrap_or_default();
        ApiKey::new(&key)
    }

    /// Errors: it is empty, the placeholder, or holds more than letters and digits.
    pub fn new(key: &str) -> Result<ApiKey, MarketError> {
        let key = key.trim();
        let wrong = |what: &str| MarketError::Input {
            what: format!("{KEY} {what}"),
            hint: "put your key (https://www.alphavantage.co/support/#api-key) into \
                   .cloudkeys/api_keys.env (see cloudkeys.example)"
                .into(),
        };
        if key.is_empty() || key == NO_KEY {
            return Err(wrong("is not set"));
        }
        // Any other character would be escaped in a URL and so escape `scrub`.
        if !key.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(wrong("holds more than letters and digits"));
        }
        Ok(ApiKey(key.into()))
    }

    /// `text` on one line, of bounded length and without the key, which the service likes to quote.
    fn scrub(&self, text: &str) -> String {
        const CHARS: usize = 240;
        let clean = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(&self.0, "***");
        let clean: String = clean.chars().filter(|c| !c.is_control()).collect();
        match clean.char_indices().nth(CHARS) {
            Some((end, _)) => format!("{}...", &clean[..end]),
            None => clean,
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// The kind of bars, the same for all stocks and months of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesKind {
    /// 1, 5, 15, 30 or 60.
    pub interval_minutes: u32,
    /// Adjusted for splits and dividends.
    pub adjusted: bool,
    /// 04:00 to 20:00 rather than 09:30 to 16:00.
    pub extended_hours: bool,
}

impl SeriesKind {
    /// Whether stored files are of this kind.
    pub(crate) fn matches(&self, origin: &Origin) -> bool {
        let SeriesKind { interval_minutes, adjusted, extended_hours } = *self;
        origin.interval_minutes == interval_minutes
            && origin.kind == OriginKind::AlphaVantage { adjusted, extended_hours }
    }
}

/// Requested data format. Error sentences always come as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Truncation is detectable.
    Json,
    /// A quarter of the size.
    Csv,
}

/// Request rate, timeouts and pauses.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Upper limit on the rate, which depends on the user's plan.
    pub requests_per_minute: u32,
    /// How the service is to send the bars.
    pub form: Form,
    /// Timeout of one request including its whole response.
    pub timeout: Duration,
    /// Pause after the first failure; doubles with each further one.
    pub first_pause: Duration,
    /// Pause after a per-minute rate limit.
    pub limit_pause: Duration,
}

impl Default for ServiceOptions {
    fn default() -> ServiceOptions {
        ServiceOptions {
            requests_per_minute: 5,
            form: Form::Json,
            timeout: Duration::from_secs(60),
            first_pause: Duration::from_secs(1),
            limit_pause: Duration::from_secs(61),
        }
    }
}

/// Why a month could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No other month can be fetched now, either.
    #[error(transparent)]
    All(MarketError),
    /// Months of other stocks may still be available.
    #[error(transparent)]
    Stock(MarketError),
}

/// An error of the store or the disk stops everything.
impl From<MarketError> for FetchError {
    fn from(error: MarketError) -> FetchError {
        FetchError::All(error)
    }
}

/// The service at one URL, with one key.
pub struct Service {
    address: Url,
    key: ApiKey,
    manners: ServiceOptions,
    client: Client,
    runtime: Runtime,
    /// Start of the last request.
    last: Cell<Option<Instant>>,
}

impl Service {
    /// For requests to `address`. Errors: it is no https URL (http only on this machine), or no
    /// HTTP client can be made.
    pub fn new(
        address: &str,
        key: ApiKey,
        manners: ServiceOptions,
    ) -> Result<Service, MarketError> {
        let wrong = |what: String, hint: &str| MarketError::Service { what, hint: hint.into() };
        let address = Url::parse(address).map_err(|_| {
            wrong("its URL is invalid".into(), "write it as in https://www.alphavantage.co/query")
        })?;
        let host = address.host_str().unwrap_or_default();
        let is_here = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
        if address.scheme() != "https" && !(address.scheme() == "http" && is_here) {
            let what = format!("{host} would get the key unencrypted");
            return Err(wrong(what, "give an address that begins with https://"));
        }
        // A redirect would take the key to an unknown host.
        let mut client = Client::builder()
            .timeout(manners.timeout)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("dqn-trader/", env!("CARGO_PKG_VERSION")));
        if is_here {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| {
            let what = format!("the HTTP client cannot be created: {}", root_cause(&error));
            wrong(what, "fix the machine's CA certificates")
        })?;
        let runtime = silent_runtime("alpha-vantage").map_err(|error| {
            wrong(format!("no runtime can be started: {error}"), "allow this process more threads")
        })?;
        Ok(Service { address, key, manners, client, runtime, last: Cell::new(None) })
    }

    /// All bars of a stock's month, in any order; only their symbol, interval and month are
    /// checked. Keeps to the request rate, retries transient failures, and reports pauses through
    /// `tell`.
    pub fn month(
        &self,
        series: &SeriesKind,
        symbol: &Symbol,
        month: YearMonth,
        tell: &dyn Fn(&str),
    ) -> Result<RawRows, FetchError> {
        let (mut faults, mut pauses) = (0, 0);
        let what = format!("{symbol} {month}");
        loop {
            let fault = match self.ask(series, symbol, month) {
                Ok(ServiceAnswer::Rows(rows)) => return Ok(rows),
                Ok(ServiceAnswer::Limit(RateLimit::Passing, text)) if pauses < LIMIT_PAUSES => {
                    pauses += 1;
                    let wait_s = self.manners.limit_pause.as_secs_f64().ceil();
                    let text = self.key.scrub(&text);
                    tell(&format!("{what}: rate limit reached, waiting {wait_s} s: {text}"));
                    std::thread::sleep(self.manners.limit_pause);
                    continue;
                }
                Ok(ServiceAnswer::Broken(fault)) | Err(HttpFault::Passing(fault)) => fault,
                Ok(refusal) => return Err(self.fetch_error(refusal, symbol, month)),
                Err(HttpFault::Lasting(fault)) => {
                    return Err(self.give_up(&what, &fault, faults + 1));
                }
            };
            faults += 1;
            if faults >= TRIES {
                return Err(self.give_up(&what, &fault, faults));
            }
            std::thread::sleep(self.manners.first_pause * 2_u32.pow(faults - 1));
        }
    }

    /// The error for a response that is not a series.
    fn fetch_error(&self, answer: ServiceAnswer, symbol: &Symbol, month: YearMonth) -> FetchError {
        let service = |what: String, hint: &str| MarketError::Service { what, hint: hint.into() };
        let said = |text: &str| self.key.scrub(text);
        match answer {
            ServiceAnswer::Limit(_, text) => FetchError::All(service(
                format!("its limit is reached at {symbol} {month}: {}", said(&text)),
                "fetched data are kept; run the same command again later (a daily limit: \
                 tomorrow) to continue",
            )),
            ServiceAnswer::Premium(text) => FetchError::All(service(
                format!("refuses {symbol} {month} to this key: {}", said(&text)),
                "use the key of a plan that includes intraday series",
            )),
            ServiceAnswer::WrongKey(text) => FetchError::All(service(
                format!("refuses the key: {}", said(&text)),
                "correct ALPHAVANTAGE_API_KEY in .cloudkeys/api_keys.env",
            )),
            ServiceAnswer::Unknown(text) => FetchError::All(service(
                format!("answers {symbol} {month} with a sentence: {}", said(&text)),
                "fetched data are kept; if the key or the plan is the cause, fix it, then run \
                 the same command again to continue",
            )),
            ServiceAnswer::Error(text) => FetchError::Stock(service(
                format!("refuses {symbol} {month}: {}", said(&text)),
                NOT_LISTED,
            )),
            ServiceAnswer::Empty => FetchError::Stock(service(
                format!("has no bars of {symbol} in {month}"),
                NOT_LISTED,
            )),
            ServiceAnswer::Rows(_) | ServiceAnswer::Broken(_) => {
                unreachable!("these are no refusals")
            }
        }
    }

    fn give_up(&self, what: &str, fault: &str, tries: u32) -> FetchError {
        let times = counted(tries as usize, "attempt");
        let fault = self.key.scrub(fault);
        FetchError::All(MarketError::Service {
            what: format!("{what}: {fault} ({times})"),
            hint: "fetched data are kept; check the network, then run again to continue".into(),
        })
    }

    /// One request, delayed to keep to the request rate.
    fn ask(
        &self,
        series: &SeriesKind,
        symbol: &Symbol,
        month: YearMonth,
    ) -> Result<ServiceAnswer, HttpFault> {
        let interval = Duration::from_secs(60) / self.manners.requests_per_minute.max(1);
        if let Some(last) = self.last.get() {
            std::thread::sleep(interval.saturating_sub(last.elapsed()));
        }
        self.last.set(Some(Instant::now()));
        let (status, body) = self.get(self.url(series, symbol, month))?;
        match status {
            StatusCode::OK => Ok(read(&body, series, symbol, month)),
            StatusCode::TOO_MANY_REQUESTS => {
                Ok(ServiceAnswer::Limit(RateLimit::Passing, "too many requests (429)".into()))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Ok(ServiceAnswer::WrongKey(format!("access denied ({})", status.as_u16())))
            }
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Err(HttpFault::Passing(format!("the server failed ({})", status.as_u16())))
            }
            status => Err(HttpFault::Lasting(format!("answered {}", status.as_u16()))),
        }
    }

    /// URL of a request, including the key.
    fn url(&self, series: &SeriesKind, symbol: &Symbol, month: YearMonth) -> Url {
        let mut url = self.address.clone();
        url.query_pairs_mut()
            .append_pair("function", "TIME_SERIES_INTRADAY")
            .append_pair("symbol", symbol.as_str())
            .append_pair("interval", &format!("{}min", series.interval_minutes))
            .append_pair("month", &month.to_string())
            .append_pair("outputsize", "full")
            .append_pair("adjusted", if series.adjusted { "true" } else { "false" })
            .append_pair("extended_hours", if series.extended_hours { "true" } else { "false" })
            .append_pair("datatype", if self.manners.form == Form::Csv { "csv" } else { "json" })
            .append_pair("apikey", &self.key.0);
        url
    }

    /// Runs on the runtime's own threads, which do not log.
    fn get(&self, url: Url) -> Result<(StatusCode, Vec<u8>), HttpFault> {
        let client = self.client.clone();
        let (reply, answer) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            let _ = reply.send(whole_answer(&client, url).await);
        });
        answer.recv().expect("a request to Alpha Vantage panicked")
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.address.host_str().unwrap_or_default();
        f.debug_struct("Service").field("host", &host).field("key", &self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "ABCD1234EFGH5678";

    #[test]
    fn the_key_shows_nowhere() {
        let key = ApiKey::new(&format!(" {SECRET}\n")).unwrap();
        let text = format!("We have detected your API key as {SECRET}\nand more");
        assert_eq!(key.scrub(&text), "We have detected your API key as *** and more");
        assert!(key.scrub(&"x".repeat(1_000)).len() < 250);
        let service = Service::new(ADDRESS, key, ServiceOptions::default()).unwrap();
        let shown = format!("{service:?} {service:#?}");
        assert!(shown.contains("www.alphavantage.co") && !shown.contains(SECRET), "{shown}");
        for (wrong, says) in
            [("", "is not set"), (NO_KEY, "is not set"), ("a&b=c", "more than letters and digits")]
        {
            let error = ApiKey::new(wrong).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("cloudkeys"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_key_does_not_travel_in_the_open() {
        let new = |address: &str| {
            Service::new(address, ApiKey::new(SECRET).unwrap(), ServiceOptions::default())
                .map(|_| ())
        };
        assert!(new("http://127.0.0.1:1/query").is_ok());
        for (address, says) in [
            ("http://www.alphavantage.co/query", "unencrypted"),
            ("ftp://127.0.0.1/query", "unencrypted"),
            ("not an address", "its URL is invalid"),
        ] {
            let error = new(address).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains(SECRET), "{error}");
        }
    }

    #[test]
    fn a_request_says_what_is_wanted() {
        let manners = ServiceOptions { form: Form::Csv, ..ServiceOptions::default() };
        let service = Service::new(ADDRESS, ApiKey::new(SECRET).unwrap(), manners).unwrap();
        let series = SeriesKind { interval_minutes: 5, adjusted: false, extended_hours: true };
        let url = service.url(&series, &"BRK.B".parse().unwrap(), "2020-03".parse().unwrap());
        let expected = "https://www.alphavantage.co/query?function=TIME_SERIES_INTRADAY&\
                        symbol=BRK.B&interval=5min&month=2020-03&outputsize=full&adjusted=false&\
                        extended_hours=true&datatype=csv&apikey=ABCD1234EFGH5678";
        assert_eq!(url.as_str(), expected);
    }
}
