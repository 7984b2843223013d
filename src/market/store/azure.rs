//! Day files in an Azure Blob container, or in Azurite.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::mpsc;

use azure_core::error::ErrorKind;
use azure_core::prelude::{Metadata, NextMarker};
use azure_core::{RetryOptions, StatusCode};
use azure_storage::CloudLocation;
use azure_storage_blobs::container::operations::list_blobs::ListBlobsResponse;
use azure_storage_blobs::prelude::{ClientBuilder, ContainerClient};
use chrono::Datelike;
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::connection::{Secrets, StorageAccount};
use super::retry_policy::{
    CONNECTING, RUNNING, RequestFailure, RequestFault, RetryPolicy, with_retries,
};
use super::{DayFile, MOST_FILE_BYTES, ROOT, Store, folder_symbol, key_date, sha256_hex};
use crate::errors::Cause;
use crate::market::bar::{Period, Symbol};
use crate::market::error::MarketError;
use crate::market::runtime::silent_runtime;

/// Periods of up to this many calendar years are listed year by year, longer ones at once.
const YEARS_LISTED_ONE_BY_ONE: i32 = 4;

/// A blob up to this size is read by one request, and so is of one version. The crate's default
/// parts of 16 MiB end with one below 4 MiB, for which it requests a CRC-64, which Azurite does not
/// support.
const ONE_REQUEST_BYTES: u64 = 1 << 32;

/// Of 5,000 blobs each: 200 years of day files are 11 pages.
const MOST_PAGES: usize = 1_000;

/// Metadata key of the SHA-256 of a blob's content, in hex.
const SHA256: &str = "sha256";

/// What a listing returns.
#[derive(Clone, Copy)]
enum Listing {
    /// The folders of the next level.
    Folders,
    Blobs,
    /// Blobs with their metadata.
    Metadata,
}

/// What is known of a blob's content without reading it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BlobDigest {
    pub(crate) size_bytes: u64,
    /// Hex; None if the writer did not store it.
    pub(crate) sha256: Option<String>,
}

/// Day files in an Azure Blob container. Requests run on a small tokio runtime of its own, and
/// calls block until their request is done.
pub struct AzureStore {
    account: String,
    container_name: String,
    /// Scheme, host and port, for messages.
    endpoint: String,
    container: ContainerClient,
    secrets: Secrets,
    /// None after the drop only.
    runtime: Option<Runtime>,
}

impl AzureStore {
    /// Connects and lists one page, so that a malformed connection string, a wrong key, a missing
    /// container or an unreachable host is an error here, within about ten seconds.
    pub fn connect(connection_string: &str, container: &str) -> Result<AzureStore, MarketError> {
        check_container_name(container)?;
        let account = StorageAccount::parse(connection_string)?;
        if let Some(named) = account.container.as_deref().filter(|named| *named != container) {
            return Err(MarketError::Store {
                place: "Azure connection string".into(),
                what: format!("its endpoint is that of the container {named:?}"),
                hint: format!("give --container {named}, or end the endpoint with the host"),
                cause: None,
            });
        }
        let location = CloudLocation::Custom {
            account: account.name.clone(),
            uri: account.endpoint.as_str().trim_end_matches('/').into(),
        };
        // `patiently` retries, including the reading of bodies.
        let client = ClientBuilder::with_location(location, account.credentials)
            .retry(RetryOptions::none())
            .container_client(container);
        let runtime = silent_runtime("azure").map_err(|error| MarketError::Store {
            place: "tokio runtime".into(),
            what: format!("cannot be started: {error}"),
            hint: "allow this process more threads".into(),
            cause: Some(Cause::new(error)),
        })?;
        let store = AzureStore {
            endpoint: account.endpoint.origin().ascii_serialization(),
            account: account.name,
            container_name: container.into(),
            container: client,
            secrets: account.secrets,
            runtime: Some(runtime),
        };
        store.page(CONNECTING, &format!("{ROOT}/"), Listing::Folders, None)?;
        Ok(store)
    }

    /// One page of the blobs that begin with `prefix`.
    fn page(
        &self,
        policy: RetryPolicy,
        prefix: &str,
        shape: Listing,
        marker: Option<NextMarker>,
    ) -> Result<ListBlobsResponse, MarketError> {
        let mut request = self.container.list_blobs().prefix(prefix.to_string());
        match shape {
            Listing::Folders => request = request.delimiter("/"),
            Listing::Blobs => {}
            Listing::Metadata => request = request.include_metadata(true),
        }
        if let Some(marker) = marker {
            request = request.marker(marker);
        }
        let page = self.run(policy, move || {
            let mut pages = request.clone().into_stream();
            async move {
                let page = pages.next().await;
                page.unwrap_or_else(|| Err(azure_core::Error::message(ErrorKind::Io, "no page")))
            }
        });
        page.map_err(|failure| self.error(failure, None))
    }

    /// All pages of a listing.
    fn pages(&self, prefix: &str, shape: Listing) -> Result<Vec<ListBlobsResponse>, MarketError> {
        let mut pages = vec![self.page(RUNNING, prefix, shape, None)?];
        while let Some(marker) = pages.last().and_then(|page| page.next_marker.clone()) {
            if pages.len() == MOST_PAGES {
                return Err(MarketError::Store {
                    place: self.place(),
                    what: format!("the listing of {prefix} does not end after {MOST_PAGES} pages"),
                    hint: "check that the endpoint is Azure's".into(),
                    cause: None,
                });
            }
            pages.push(self.page(RUNNING, prefix, shape, Some(marker))?);
        }
        Ok(pages)
    }

    /// By key, size and SHA-256 of every blob of a stock. The SHA-256 is there if the program that
    /// wrote the blob stored it, as [`Store::put`] does.
    pub(crate) fn digests(
        &self,
        symbol: &Symbol,
    ) -> Result<HashMap<String, BlobDigest>, MarketError> {
        let mut digests = HashMap::new();
        for page in self.pages(&format!("{ROOT}/{symbol}/"), Listing::Metadata)? {
            for blob in page.blobs.blobs() {
                let metadata = blob.metadata.as_ref();
                let sha256 = metadata.and_then(|metadata| metadata.get(SHA256)).cloned();
                let size_bytes = blob.properties.content_length;
                digests.insert(blob.name.clone(), BlobDigest { size_bytes, sha256 });
            }
        }
        Ok(digests)
    }

    /// Runs a request on the runtime, with retries, and waits for it. May be called from any
    /// thread, including those of another runtime.
    fn run<T, F>(
        &self,
        policy: RetryPolicy,
        request: impl Fn() -> F + Send + 'static,
    ) -> Result<T, RequestFailure>
    where
        T: Send + 'static,
        F: Future<Output = azure_core::Result<T>> + Send + 'static,
    {
        let runtime =
            self.runtime.as_ref().expect("the runtime is there until the store is dropped");
        let (reply, answer) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let _ = reply.send(with_retries(policy, request).await);
        });
        answer.recv().expect("a request to Azure panicked")
    }

    /// A blob's content.
    fn read(&self, key: &str) -> Result<Vec<u8>, RequestFailure> {
        let blob = self.container.blob_client(key);
        let content = self.run(RUNNING, move || {
            let mut parts = blob.get().chunk_size(ONE_REQUEST_BYTES).into_stream();
            async move {
                let mut content = Vec::new();
                while let Some(part) = parts.next().await {
                    let mut data = part?.data;
                    while let Some(bytes) = data.next().await {
                        content.extend_from_slice(&bytes?);
                        if content.len() as u64 > MOST_FILE_BYTES {
                            return Err(azure_core::Error::message(
                                ErrorKind::DataConversion,
                                "the blob is larger than 1 GB",
                            ));
                        }
                    }
                }
                Ok(content)
            }
        });
        match content {
            // The crate requests a byte range, which an empty blob does not have.
            Err(RequestFailure {
                fault: RequestFault::Status { status: StatusCode::RequestedRangeNotSatisfiable, .. },
                ..
            }) => Ok(Vec::new()),
            content => content,
        }
    }

    /// The error shown to the user. `key`: the blob concerned.
    fn error(&self, failure: RequestFailure, key: Option<&str>) -> MarketError {
        let failure = failure.scrubbed(&self.secrets);
        let (what, hint) = self.explain(&failure.fault, failure.tries);
        let not_found = matches!(&failure.fault, RequestFault::Status { status: StatusCode::NotFound, code }
            if code != "ContainerNotFound");
        let cause = Some(Cause::new(failure));
        match key {
            Some(key) if not_found => MarketError::File {
                file: key.into(),
                what: format!("no such blob in {}", self.place()),
                hint: "check the container; the blob may have been deleted".into(),
                cause,
            },
            Some(key) => {
                let place = format!("{}, {key}", self.place());
                MarketError::Store { place, what, hint, cause }
            }
            None => MarketError::Store { place: self.place(), what, hint, cause },
        }
    }

    /// What is wrong and what to do about it.
    fn explain(&self, fault: &RequestFault, tries: u32) -> (String, String) {
        let host = &self.endpoint;
        let network = format!("check the network and that {host} is the right address");
        match fault {
            RequestFault::Status {
                status: StatusCode::Forbidden | StatusCode::Unauthorized,
                code,
            } => (
                format!("access denied ({code})"),
                "check AccountKey, or the signature's rights and expiry, in the connection \
                 string; the account's firewall; and this machine's clock"
                    .into(),
            ),
            RequestFault::Status { status: StatusCode::NotFound, code } => (
                format!("no such container ({code})"),
                format!("create {:?} or name another with --container", self.container_name),
            ),
            RequestFault::Status { status, code } if !fault.is_transient() => (
                format!("the request was refused ({} {code})", *status as u16),
                "check the connection string and the container's name".into(),
            ),
            RequestFault::Status { status, code } => (
                format!("the server failed {tries} times ({} {code})", *status as u16),
                "try again later".into(),
            ),
            RequestFault::Timeout => {
                (format!("no answer from {host}, tried {tries} times"), network)
            }
            RequestFault::Io { cause } => {
                (format!("{host} cannot be reached, tried {tries} times: {cause}"), network)
            }
            RequestFault::Other { cause } => {
                (format!("{host} gave an answer that is not Azure's: {cause}"), network)
            }
        }
    }
}

impl Store for AzureStore {
    fn place(&self) -> String {
        format!("azure:{}/{}", self.account, self.container_name)
    }

    fn list(&self, symbol: &Symbol, period: &Period) -> Result<Vec<DayFile>, MarketError> {
        let mut files = Vec::new();
        for prefix in prefixes(symbol, period) {
            for page in self.pages(&prefix, Listing::Blobs)? {
                for blob in page.blobs.blobs() {
                    let date = key_date(symbol, &blob.name).filter(|d| period.contains(*d));
                    let Some(date) = date else { continue };
                    files.push(DayFile {
                        key: blob.name.clone(),
                        date,
                        etag: blob.properties.etag.to_string(),
                        size_bytes: blob.properties.content_length,
                    });
                }
            }
        }
        files.sort_by_key(|file| file.date);
        Ok(files)
    }

    fn symbols(&self) -> Result<Vec<Symbol>, MarketError> {
        let root = format!("{ROOT}/");
        let mut symbols = Vec::new();
        for page in self.pages(&root, Listing::Folders)? {
            for folder in page.blobs.prefixes() {
                let name = folder.name.strip_prefix(&root).and_then(|n| n.strip_suffix('/'));
                symbols.extend(name.and_then(folder_symbol));
            }
        }
        symbols.sort();
        Ok(symbols)
    }

    fn get(&self, key: &str) -> Result<Vec<u8>, MarketError> {
        self.read(key).map_err(|failure| self.error(failure, Some(key)))
    }

    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError> {
        match self.read(key) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(RequestFailure {
                fault: RequestFault::Status { status: StatusCode::NotFound, code },
                ..
            }) if code != "ContainerNotFound" => Ok(None),
            Err(failure) => Err(self.error(failure, Some(key))),
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), MarketError> {
        let blob = self.container.blob_client(key);
        let body = azure_core::Body::from(bytes.to_vec());
        let mut metadata = Metadata::new();
        metadata.insert(SHA256, sha256_hex(bytes));
        let done = self.run(RUNNING, move || {
            let request = blob.put_block_blob(body.clone()).metadata(metadata.clone());
            async move { request.await.map(|_| ()) }
        });
        done.map_err(|failure| self.error(failure, Some(key)))
    }

    fn is_remote(&self) -> bool {
        true
    }
}

impl fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureStore").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Drop for AzureStore {
    /// Does not wait, since a hanging name look-up cannot be cancelled.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Azure's rule: 3 to 63 lower-case letters, digits and single hyphens between them.
fn check_container_name(name: &str) -> Result<(), MarketError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    if (3..=63).contains(&name.len()) && name.chars().all(allowed) && !hyphens {
        return Ok(());
    }
    Err(MarketError::Store {
        place: format!("container {name:?}"),
        what: "this is not a valid container name".into(),
        hint: "use 3 to 63 lower-case letters, digits and single hyphens between them".into(),
        cause: None,
    })
}

/// Prefixes that together cover a stock's keys in a period, with one or a few requests each. A
/// stock has about 252 blobs a year, and a page holds 5,000.
fn prefixes(symbol: &Symbol, period: &Period) -> Vec<String> {
    let folder = format!("{ROOT}/{symbol}/");
    let (start, end) = (period.start, period.end);
    if (start.year(), start.month()) == (end.year(), end.month()) {
        vec![format!("{folder}{:04}/{:02}/", start.year(), start.month())]
    } else if end.year() - start.year() < YEARS_LISTED_ONE_BY_ONE {
        (start.year()..=end.year()).map(|year| format!("{folder}{year:04}/")).collect()
    } else {
        vec![folder]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    #[test]
    fn listings_are_narrowed_to_month_year_or_stock() {
        let symbol: Symbol = "AAPL".parse().unwrap();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let cases: [(&str, &str, &[&str]); 4] = [
            ("2020-02-03", "2020-02-28", &["2020/02/"]),
            ("2020-02-03", "2020-03-01", &["2020/"]),
            ("2018-12-31", "2020-01-01", &["2018/", "2019/", "2020/"]),
            ("2000-01-01", "2020-12-31", &[""]),
        ];
        for (start, end, expected) in cases {
            let period = Period { start: day(start), end: day(end) };
            let expected: Vec<_> =
                expected.iter().map(|tail| format!("stocks_intraday/AAPL/{tail}")).collect();
            assert_eq!(prefixes(&symbol, &period), expected);
        }
    }

    #[test]
    fn container_names_follow_azures_rules() {
        for good in ["stock-data", "abc", "0-9", &"a".repeat(63)] {
            assert!(check_container_name(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "Stock", "a_b", "-abc", "abc-", "a--b", "a/b", &"a".repeat(64)] {
            let message = check_container_name(bad).unwrap_err().to_string();
            assert!(message.contains("not a valid container name"), "{message}");
        }
    }
}
