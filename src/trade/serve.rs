//! The account as a live page, for a browser on this machine.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::market::runtime::silent_runtime;

/// What is served at the moment.
#[derive(Default)]
struct Shown {
    /// Counts the changes.
    version: u64,
    page: Bytes,
    account: Bytes,
}

/// A server on the loopback interface; it ends when this is dropped.
pub(crate) struct LiveServer {
    shown: Arc<RwLock<Shown>>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl LiveServer {
    /// Listens on `port`, on a free one if it is 0.
    ///
    /// Errors: the port is taken, or may not be used.
    pub(crate) fn start(port: u16) -> Result<LiveServer> {
        let runtime = silent_runtime("serve").context("--serve")?;
        let listening = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        let listener = listening
            .with_context(|| format!("--serve {port}: choose another port, or 0 for a free one"))?;
        let address = listener.local_addr().context("--serve")?;
        let shown = Arc::new(RwLock::new(Shown::default()));
        runtime.spawn(serve(listener, address, Arc::clone(&shown)));
        Ok(LiveServer { shown, address, _runtime: runtime })
    }

    /// Where the page is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the page, and the account as JSON.
    pub(crate) fn show(&self, page: String, account: String) {
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        shown.version += 1;
        (shown.page, shown.account) = (page.into(), account.into());
    }
}

async fn serve(listener: TcpListener, address: SocketAddr, shown: Arc<RwLock<Shown>>) {
    loop {
        // A connection that was gone before it was accepted.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shown = Arc::clone(&shown);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, address, &shown);
                async { Ok::<_, Infallible>(response) }
            });
            // Browsers close connections as they like.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    address: SocketAddr,
    shown: &RwLock<Shown>,
) -> Response<Full<Bytes>> {
    // A page of another site whose name was made to mean this address is not to read the account.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let names = ["127.0.0.1", "localhost", "[::1]"];
    if !host
        .is_some_and(|host| names.iter().any(|name| host == format!("{name}:{}", address.port())))
    {
        return plain(StatusCode::FORBIDDEN, "this page is for a browser on the same machine\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "this page is for reading\n");
    }
    let shown = shown.read().unwrap_or_else(PoisonError::into_inner);
    match request.uri().path() {
        "/" => whole(StatusCode::OK, "text/html; charset=utf-8", shown.page.clone()),
        "/account.json" => whole(StatusCode::OK, "application/json", shown.account.clone()),
        "/version" => whole(StatusCode::OK, "text/plain", shown.version.to_string().into()),
        _ => plain(StatusCode::NOT_FOUND, "there are /, /account.json and /version\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    whole(status, "text/plain", Bytes::from_static(text.as_bytes()))
}

fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
             connect-src 'self'; img-src data:",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
