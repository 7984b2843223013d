//! Day files in an Azure Blob container, or in Azurite.

mod listing;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use azure_core::prelude::Metadata;
use azure_core::{RetryOptions, StatusCode};
use azure_storage::CloudLocation;
use azure_storage_blobs::prelude::{ClientBuilder, ContainerClient};
use futures::StreamExt;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::connection::{Secrets, StorageAccount};
use super::retry_policy::{
    CONNECTING, RUNNING, RequestFailure, RequestFault, RetryPolicy, with_retries,
};
use super::{
    DayFile, MOST_CONNECTIONS, MOST_FILE_BYTES, ROOT, Store, folder_symbol, not_as_listed,
    sha256_hex,
};
use crate::errors::Cause;
use crate::market::bar::{Period, Symbol};
use crate::market::error::MarketError;
use crate::market::runtime::silent_runtime;
use listing::{KnownListings, Listing};

/// A blob up to this size is read by one request, and so is of one version. The crate's default
/// parts of 16 MiB end with one below 4 MiB, for which it requests a CRC-64, which Azurite does not
/// support.
const ONE_REQUEST_BYTES: u64 = 1 << 32;

/// A connection can be used again a moment after its answer was read; who asks before opens another.
const UNTIL_REUSABLE: Duration = Duration::from_millis(2);

/// Metadata key of the SHA-256 of a blob's content, in hex.
const SHA256: &str = "sha256";

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
    /// What was listed so far. A stock's files are taken for the same as long as this store is
    /// open, but for those that it writes itself.
    listings: KnownListings,
    /// Requests that may run at once, each with a connection.
    connections: Arc<Semaphore>,
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
        let transport = transport::pooled().map_err(|error| MarketError::Store {
            place: "HTTP client".into(),
            what: format!("cannot be created: {error}"),
            hint: "check this machine's certificates and proxy settings".into(),
            cause: None,
        })?;
        let client = ClientBuilder::with_location(location, account.credentials)
            .retry(RetryOptions::none())
            .transport(transport)
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
            listings: KnownListings::default(),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            runtime: Some(runtime),
        };
        store.page(CONNECTING, &format!("{ROOT}/"), Listing::Folders, None)?;
        Ok(store)
    }

    /// By key, size and SHA-256 of every blob of a stock. The SHA-256 is there if the program that
    /// wrote the blob stored it, as [`Store::put`] does.
    pub(crate) fn digests(
        &self,
        symbol: &Symbol,
    ) -> Result<HashMap<String, BlobDigest>, MarketError> {
        let mut digests = HashMap::new();
        self.each_page(&format!("{ROOT}/{symbol}/"), Listing::Metadata, |page| {
            for blob in page.blobs.blobs() {
                let metadata = blob.metadata.as_ref();
                let sha256 = metadata.and_then(|metadata| metadata.get(SHA256)).cloned();
                let size_bytes = blob.properties.content_length;
                digests.insert(blob.name.clone(), BlobDigest { size_bytes, sha256 });
            }
        })?;
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
        let connections = self.connections.clone();
        runtime.spawn(async move {
            // Waiting for it counts for no time limit.
            let connection = connections.acquire().await;
            let _ = reply.send(with_retries(policy, request).await);
            sleep(UNTIL_REUSABLE).await;
            drop(connection);
        });
        answer.recv().expect("a request to Azure panicked")
    }

    /// A blob's content, up to `most` bytes; None if it is longer.
    fn read(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, RequestFailure> {
        let blob = self.container.blob_client(key);
        let content = self.run(RUNNING, move || {
            let mut parts = blob.get().chunk_size(ONE_REQUEST_BYTES).into_stream();
            async move {
                let mut content = Vec::new();
                while let Some(part) = parts.next().await {
                    let mut data = part?.data;
                    while let Some(bytes) = data.next().await {
                        content.extend_from_slice(&bytes?);
                        if content.len() as u64 > most {
                            return Ok(None);
                        }
                    }
                }
                Ok(Some(content))
            }
        });
        match content {
            // The crate requests a byte range, which an empty blob does not have.
            Err(RequestFailure {
                fault: RequestFault::Status { status: StatusCode::RequestedRangeNotSatisfiable, .. },
                ..
            }) => Ok(Some(Vec::new())),
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
        self.days(symbol, period)
    }

    fn symbols(&self) -> Result<Vec<Symbol>, MarketError> {
        let root = format!("{ROOT}/");
        let mut symbols = Vec::new();
        self.each_page(&root, Listing::Folders, |page| {
            for folder in page.blobs.prefixes() {
                let name = folder.name.strip_prefix(&root).and_then(|n| n.strip_suffix('/'));
                symbols.extend(name.and_then(folder_symbol));
            }
        })?;
        symbols.sort();
        Ok(symbols)
    }

    fn get(&self, key: &str) -> Result<Vec<u8>, MarketError> {
        let content = self.read(key, MOST_FILE_BYTES);
        content.map_err(|failure| self.error(failure, Some(key)))?.ok_or_else(|| too_long(key))
    }

    fn get_listed(&self, file: &DayFile) -> Result<Vec<u8>, MarketError> {
        let DayFile { key, size_bytes, .. } = file;
        if *size_bytes > MOST_FILE_BYTES {
            return Err(too_long(key));
        }
        let content = self.read(key, *size_bytes);
        match content.map_err(|failure| self.error(failure, Some(key)))? {
            Some(bytes) if bytes.len() as u64 == *size_bytes => Ok(bytes),
            Some(bytes) => Err(not_as_listed(file, &format!("read {}", bytes.len()))),
            None => Err(not_as_listed(file, "there were more to read")),
        }
    }

    fn find(&self, key: &str) -> Result<Option<Vec<u8>>, MarketError> {
        match self.read(key, MOST_FILE_BYTES) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(too_long(key)),
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
        self.listings.forget(key);
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

fn too_long(key: &str) -> MarketError {
    MarketError::File {
        file: key.into(),
        what: format!("is larger than {} MB", MOST_FILE_BYTES >> 20),
        hint: "no day of bars is: remove or replace it".into(),
        cause: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
