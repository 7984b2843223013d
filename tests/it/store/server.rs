//! A server with just enough of Azure's protocol to fail in chosen ways.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::http::{response as plain, serve};

/// Answers every request by `answer`, one per connection, until the test process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` receives the request line and the number of earlier requests for the same resource,
    /// and returns the whole response; None: the connection stays open without one.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> Option<String> + Send + 'static) -> Server {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let address = serve(move |request| {
            let before = {
                let mut seen = seen.lock().unwrap();
                seen.push(request.line.clone());
                seen.iter().filter(|other| **other == request.line).count() - 1
            };
            answer(&request.line, before)
        });
        Server { address, requests }
    }

    pub(crate) fn connection_string(&self) -> String {
        connection_string(&format!("{}/fake", self.address))
    }

    /// Number of requests so far whose line contains `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }
}

/// A connection string with a fake key.
pub(crate) fn connection_string(endpoint: &str) -> String {
    format!("AccountName=fake;AccountKey=bm90IGEga2V5;BlobEndpoint=http://{endpoint}")
}

const DATE: &str = "Thu, 01 Jul 2021 10:44:59 GMT";

/// A response with the headers that Azure always sends.
fn response(status: &str, headers: &str, body: &str) -> String {
    let id = "00000000-0000-0000-0000-000000000000";
    plain(status, &format!("Date: {DATE}\r\nx-ms-request-id: {id}\r\n{headers}"), body)
}

/// An error such as `503 Service Unavailable`, `ServerBusy`.
pub(crate) fn error(status: &str, code: &str) -> Option<String> {
    Some(response(status, &format!("x-ms-error-code: {code}\r\n"), ""))
}

/// A blob's content.
pub(crate) fn blob(content: &str) -> Option<String> {
    Some(response("200 OK", &about_blob(), content))
}

/// The same as an answer to a request for a range.
pub(crate) fn ranged(content: &str, range: &str) -> Option<String> {
    let headers = format!("{}Content-Range: {range}\r\n", about_blob());
    Some(response("206 Partial Content", &headers, content))
}

fn about_blob() -> String {
    format!(
        "Last-Modified: {DATE}\r\nx-ms-creation-time: {DATE}\r\nETag: \"1\"\r\n\
         x-ms-blob-type: BlockBlob\r\nx-ms-server-encrypted: true\r\n"
    )
}

/// A blob was written.
pub(crate) fn written() -> Option<String> {
    let headers = format!(
        "Last-Modified: {DATE}\r\nETag: \"1\"\r\nx-ms-request-server-encrypted: true\r\n\
         Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    );
    Some(response("201 Created", &headers, ""))
}

pub(crate) fn redirect(to: &str) -> Option<String> {
    Some(response("302 Found", &format!("Location: {to}\r\n"), ""))
}

/// A listing of that text.
pub(crate) fn listing(body: &str) -> Option<String> {
    Some(response("200 OK", "Content-Type: application/xml\r\n", body))
}

/// A page of a listing; `next` is the marker of the following page, empty for the last.
pub(crate) fn page(names: &[&str], next: &str) -> Option<String> {
    let blobs: String = names
        .iter()
        .map(|name| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Creation-Time>{DATE}</Creation-Time>\
         <Last-Modified>{DATE}</Last-Modified><Etag>0x1</Etag><Content-Length>3</Content-Length>\
         <Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>\
         </Properties></Blob>"
            )
        })
        .collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\">\
         <Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
    );
    listing(&body)
}
