//! Retries of requests to Azure: the failures, and when to give up.

use std::error::Error;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use azure_core::StatusCode;
use azure_core::error::ErrorKind;
use tokio::time::{Instant, sleep, timeout};

use super::connection::Secrets;

/// Retry policy of one request.
#[derive(Clone, Copy)]
pub(super) struct RetryPolicy {
    pub(crate) tries: u32,
    pub(crate) try_timeout: Duration,
    /// Limit for all tries and the pauses between them.
    pub(crate) total: Duration,
}

/// While connecting, the user waits to learn whether the settings are right.
pub(super) const CONNECTING: RetryPolicy =
    RetryPolicy { tries: 5, try_timeout: Duration::from_secs(4), total: Duration::from_secs(9) };
pub(super) const RUNNING: RetryPolicy =
    RetryPolicy { tries: 5, try_timeout: Duration::from_secs(30), total: Duration::from_secs(90) };

/// Pause after the first try; doubles with each further try.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[error("{fault}, tried {tries} times")]
pub(super) struct RequestFailure {
    /// Failure of the last try.
    pub(crate) fault: RequestFault,
    pub(crate) tries: u32,
}

impl RequestFailure {
    /// Fit to be seen, whatever the HTTP client said.
    pub(crate) fn scrubbed(mut self, secrets: &Secrets) -> RequestFailure {
        if let RequestFault::Io { cause } | RequestFault::Other { cause } = &mut self.fault {
            *cause = secrets.scrub(cause);
        }
        self
    }
}

/// Holds words and not the client's own errors, which repeat the address and its signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestFault {
    /// The server refused. `code`: Azure's error code.
    #[error("HTTP status {status} ({code})")]
    Status { status: StatusCode, code: String },
    /// No complete response in time.
    #[error("no response in time")]
    Timeout,
    /// No connection, or it broke.
    #[error("no connection: {cause}")]
    Io { cause: String },
    /// An invalid response.
    #[error("invalid response: {cause}")]
    Other { cause: String },
}

impl RequestFault {
    fn from_azure(error: &azure_core::Error) -> RequestFault {
        match error.kind() {
            ErrorKind::HttpResponse { status, error_code } => {
                let code = error_code.as_deref().unwrap_or_default();
                let word = !code.is_empty() && code.chars().all(|c| c.is_ascii_alphanumeric());
                let code = if word { code } else { "no reason given" }.into();
                RequestFault::Status { status: *status, code }
            }
            ErrorKind::Io => RequestFault::Io { cause: root_cause(error) },
            _ => RequestFault::Other { cause: root_cause(error) },
        }
    }

    /// Whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            RequestFault::Status { status, .. } => matches!(
                status,
                StatusCode::RequestTimeout
                    | StatusCode::TooManyRequests
                    | StatusCode::InternalServerError
                    | StatusCode::BadGateway
                    | StatusCode::ServiceUnavailable
                    | StatusCode::GatewayTimeout
            ),
            RequestFault::Timeout | RequestFault::Io { .. } => true,
            RequestFault::Other { .. } => false,
        }
    }
}

/// The innermost error, such as "Connection refused"; the outer ones repeat the address.
fn root_cause(error: &azure_core::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Retries `request` after transient failures, within the policy's limits.
pub(super) async fn with_retries<T, F>(
    policy: RetryPolicy,
    request: impl Fn() -> F,
) -> Result<T, RequestFailure>
where
    F: Future<Output = azure_core::Result<T>>,
{
    let deadline = Instant::now() + policy.total;
    let mut tries = 0;
    loop {
        tries += 1;
        let left = deadline.saturating_duration_since(Instant::now());
        let fault = match timeout(left.min(policy.try_timeout), request()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => RequestFault::from_azure(&error),
            Err(_) => RequestFault::Timeout,
        };
        let pause = pause_after(tries, RandomState::new().hash_one(tries));
        if !fault.is_transient() || tries == policy.tries || Instant::now() + pause >= deadline {
            return Err(RequestFailure { fault, tries });
        }
        sleep(pause).await;
    }
}

/// Exponential backoff with jitter, so that ranks that failed together do not retry together:
/// between half and all of `FIRST_PAUSE` 2^(tries - 1), chosen by `random`. It affects only timing,
/// never results, so it may differ between runs.
fn pause_after(tries: u32, random: u64) -> Duration {
    let full = FIRST_PAUSE * 2_u32.pow(tries - 1);
    full.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn pauses_double_and_jitter_by_half() {
        let ms = |tries, random| pause_after(tries, random).as_millis();
        assert_eq!([ms(1, 0), ms(2, 0), ms(3, 0), ms(4, 0)], [100, 200, 400, 800]);
        assert_eq!([ms(1, u64::MAX), ms(4, u64::MAX)], [200, 1600]);
    }

    fn status(status: StatusCode, code: &str) -> azure_core::Error {
        ErrorKind::http_response(status, Some(code.into())).into_error()
    }

    /// Runs a request that fails with each of `errors` in turn and then succeeds.
    fn run(
        policy: RetryPolicy,
        errors: Vec<azure_core::Error>,
    ) -> (Result<(), RequestFailure>, u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let calls = AtomicU32::new(0);
        let errors = std::sync::Mutex::new(errors.into_iter());
        let result = runtime.block_on(with_retries(policy, || async {
            calls.fetch_add(1, Ordering::SeqCst);
            errors.lock().unwrap().next().map_or(Ok(()), Err)
        }));
        (result, calls.into_inner())
    }

    #[test]
    fn transient_faults_are_tried_again_and_others_are_final() {
        use StatusCode::*;
        for transient in [TooManyRequests, InternalServerError, BadGateway, ServiceUnavailable] {
            let (result, calls) = run(RUNNING, vec![status(transient, "ServerBusy")]);
            assert!(result.is_ok() && calls == 2, "{transient}: {calls} calls");
        }
        for lasting in [BadRequest, Forbidden, NotFound, Conflict, NotImplemented] {
            let (result, calls) = run(RUNNING, vec![status(lasting, "Word")]);
            assert!(result.is_err() && calls == 1, "{lasting}: {calls} calls");
        }
    }

    #[test]
    fn tries_and_time_are_bounded() {
        let short = RetryPolicy {
            tries: 3,
            try_timeout: Duration::from_millis(20),
            total: Duration::from_secs(5),
        };
        let busy = || status(StatusCode::ServiceUnavailable, "ServerBusy");
        let (result, calls) = run(short, (0..9).map(|_| busy()).collect());
        assert_eq!((result.unwrap_err().tries, calls), (3, 3));

        let hurried = RetryPolicy { total: Duration::from_millis(50), ..short };
        let (result, calls) = run(hurried, vec![busy()]);
        assert_eq!((result.unwrap_err().tries, calls), (1, 1), "no time for the first pause");

        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let hang = || std::future::pending::<azure_core::Result<()>>();
        let failure = runtime.block_on(with_retries(short, hang)).unwrap_err();
        assert!(
            matches!(failure, RequestFailure { fault: RequestFault::Timeout, tries: 3 }),
            "{failure:?}"
        );
    }

    #[test]
    fn only_a_plain_word_of_the_servers_is_repeated() {
        let code = |code: &str| match RequestFault::from_azure(&status(StatusCode::Forbidden, code))
        {
            RequestFault::Status { code, .. } => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code("AuthenticationFailed"), "AuthenticationFailed");
        assert_eq!(code("<b>sig=abc</b>"), "no reason given");
    }
}
