//! HTTP as the Azure crates get it: connections that are kept and reused, and bodies that are
//! bounded and looked through before an XML reader sees them. The server is not trusted: it may be
//! another than the connection string's author meant.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::headers::{CONTENT_RANGE, Headers};
use azure_core::{HttpClient, Request, Response, ResponseBody, TransportOptions};
use futures::{StreamExt, stream};
use reqwest::redirect::Policy;

use super::super::MOST_CONNECTIONS;

/// A page of 5,000 blobs takes 6 MB, and 46 MB if each has all the metadata that a blob may have.
const MOST_LISTING_BYTES: usize = 64 << 20;
/// Azure's errors are a few hundred bytes; of more, the code in the header says enough.
const MOST_ERROR_BYTES: usize = 64 << 10;
/// Azure's own limit is 5,000.
const MOST_ITEMS: usize = 10_000;
const MOST_TAG_BYTES: usize = 4 << 10;
const MOST_ATTRIBUTES: usize = 16;
/// A blob's metadata lie five deep.
const MOST_DEPTH: usize = 16;

/// Servers close idle connections after minutes; Azurite after five seconds.
const IDLE: Duration = Duration::from_secs(4);

#[derive(Debug)]
struct PooledTransport(reqwest::Client);

/// A transport with its own connections.
pub(super) fn pooled() -> azure_core::Result<TransportOptions> {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(MOST_CONNECTIONS)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        // A redirect must not receive a signature.
        .redirect(Policy::none())
        .build()
        .map_err(|error| Error::new(ErrorKind::Other, error))?;
    Ok(TransportOptions::new(Arc::new(PooledTransport(client))))
}

#[async_trait]
impl HttpClient for PooledTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let response = self.0.execute_request(request).await?;
        let (status, headers, body) = response.deconstruct();
        if !status.is_success() {
            let (bytes, _) = first_bytes(body, MOST_ERROR_BYTES).await?;
            return Ok(whole(status, headers, bytes));
        }
        if request.url().query_pairs().any(|(name, value)| name == "comp" && value == "list") {
            let (bytes, is_all) = first_bytes(body, MOST_LISTING_BYTES).await?;
            if !is_all {
                return Err(lie("a page of a listing is larger than 64 MB"));
            }
            check_listing(&bytes).map_err(lie)?;
            return Ok(whole(status, headers, bytes));
        }
        check_range(&headers)?;
        Ok(Response::new(status, headers, Box::pin(body)))
    }
}

fn whole(status: azure_core::StatusCode, headers: Headers, bytes: Vec<u8>) -> Response {
    let bytes = stream::once(async { Ok(bytes.into()) });
    Response::new(status, headers, Box::pin(bytes))
}

fn lie(what: &'static str) -> Error {
    Error::message(ErrorKind::DataConversion, what)
}

/// The first bytes of a body, at most `most`, and whether that is all of it.
async fn first_bytes(mut body: ResponseBody, most: usize) -> azure_core::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let part = part?;
        let room = most - bytes.len();
        bytes.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            return Ok((bytes, false));
        }
    }
    Ok((bytes, true))
}

/// A range, where there is one, is `bytes FIRST-LAST/LENGTH` from the blob's first byte on, since
/// nothing else is asked for but by the crate, which counts on from the last range.
fn check_range(headers: &Headers) -> azure_core::Result<()> {
    let Some(range) = headers.get_optional_str(&CONTENT_RANGE) else { return Ok(()) };
    let numbers = range.strip_prefix("bytes ").and_then(|rest| {
        let (first, rest) = rest.split_once('-')?;
        let (last, length) = rest.split_once('/')?;
        let number = |text: &str| text.parse::<u64>().ok();
        Some((number(first)?, number(last)?, number(length)?))
    });
    match numbers {
        Some((first, last, length)) if first <= last && last < length => Ok(()),
        // Azurite says so of an empty blob.
        _ if range == "bytes 0--1/0" => Ok(()),
        _ => Err(lie("the range of an answer makes no sense")),
    }
}

/// Whether a listing is XML of Azure's kind: few attributes, little depth, no entities. Readers take
/// long or much memory over other XML (RUSTSEC-2026-0194, RUSTSEC-2026-0195).
fn check_listing(xml: &[u8]) -> Result<(), &'static str> {
    let (mut at, mut depth, mut items) = (0, 0_usize, 0_usize);
    while let Some(start) = find(xml, at, b"<") {
        let rest = &xml[start..];
        at = start + 1;
        if rest.starts_with(b"<?") {
            at = find(xml, at, b"?>").ok_or(NOT_AZURES)?;
        } else if rest.starts_with(b"<!--") {
            at = find(xml, start + 4, b"-->").ok_or(NOT_AZURES)?;
        } else if rest.starts_with(b"<!") {
            return Err("a listing declares entities or a document type");
        } else {
            let tag = tag_at(rest)?;
            at = start + tag.len();
            if tag.starts_with(b"</") {
                depth = depth.checked_sub(1).ok_or(NOT_AZURES)?;
                continue;
            }
            // Of <EnumerationResults><Blobs>.
            items += usize::from(depth == 2);
            depth += usize::from(!tag.ends_with(b"/>"));
            if depth > MOST_DEPTH || items > MOST_ITEMS {
                return Err("a page of a listing is too deep or too long");
            }
        }
    }
    Ok(())
}

const NOT_AZURES: &str = "a listing is not well-formed XML";

/// The tag that `xml` begins with.
fn tag_at(xml: &[u8]) -> Result<&[u8], &'static str> {
    let (mut quote, mut attributes) = (None, 0);
    for (index, &byte) in xml.iter().enumerate().take(MOST_TAG_BYTES) {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'=') => attributes += 1,
            (None, b'>') if attributes <= MOST_ATTRIBUTES => return Ok(&xml[..=index]),
            (None, b'>') => break,
            (None, _) => {}
        }
    }
    Err("a listing has a tag without an end or with too many attributes")
}

/// Where `what` begins in `bytes`, from `at` on.
fn find(bytes: &[u8], at: usize, what: &[u8]) -> Option<usize> {
    let first = what.first()?;
    let mut from = at;
    loop {
        let start = from + bytes.get(from..)?.iter().position(|byte| byte == first)?;
        if bytes[start..].starts_with(what) {
            return Some(start);
        }
        from = start + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azures_listings_pass() {
        let blob = "<Blob><Name>a&amp;b</Name><Properties><Etag>0x1</Etag><Content-MD5 /></Properties>\
                    <Metadata><sha256>ab</sha256></Metadata></Blob>";
        let page = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
             ServiceEndpoint=\"https://a.b/?x=1&gt;2\" ContainerName='c>d'><!-- a > b --><Blobs>{}\
             </Blobs><NextMarker /></EnumerationResults>",
            blob.repeat(5_000)
        );
        assert_eq!(check_listing(page.as_bytes()), Ok(()));
        assert_eq!(check_listing(b"<EnumerationResults><Blobs/></EnumerationResults>"), Ok(()));
    }

    #[test]
    fn hostile_xml_is_refused_in_linear_time() {
        let attributes: String = (0..200_000).map(|i| format!(" a{i}=\"1\"")).collect();
        let cases = [
            (format!("<E{attributes}><Blobs/></E>"), "attributes"),
            ("<a>".repeat(1_000_000), "deep"),
            (format!("<E><B>{}</B></E>", "<C/>".repeat(10_001)), "too long"),
            ("<!DOCTYPE l [<!ENTITY a \"b\">]><E>&a;</E>".into(), "entities"),
            ("<E><![CDATA[x]]></E>".into(), "entities"),
            (format!("<E {}", "x".repeat(5_000)), "without an end"),
            ("<E a=\"".into(), "without an end"),
            ("</E>".into(), "well-formed"),
            ("<!-- never".into(), "well-formed"),
            ("<?xml never".into(), "well-formed"),
        ];
        for (xml, expected) in cases {
            let said = check_listing(xml.as_bytes()).unwrap_err();
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }

    #[test]
    fn ranges_are_numbers_in_order() {
        let check = |text: &'static str| {
            let mut headers = Headers::new();
            headers.insert(CONTENT_RANGE, text);
            check_range(&headers).is_ok()
        };
        for good in ["bytes 0-9/10", "bytes 5-9/20", "bytes 0--1/0"] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "bytes x-y/z",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes 0-18446744073709551615/5",
            "bytes 0-99999999999999999999/5",
            "0-9/10",
            "",
        ] {
            assert!(!check(bad), "{bad}");
        }
        assert!(check_range(&Headers::new()).is_ok());
    }
}
