//! Listings of blobs: page by page, and each of a stock's at most once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::error::ErrorKind;
use azure_core::prelude::NextMarker;
use azure_storage_blobs::container::operations::list_blobs::ListBlobsResponse;
use chrono::Datelike;
use futures::StreamExt;

use super::super::retry_policy::{RUNNING, RetryPolicy};
use super::super::{DayFile, ROOT, Store, key_date};
use super::AzureStore;
use crate::market::bar::{Period, Symbol};
use crate::market::error::MarketError;

/// Periods of up to this many calendar years are listed year by year, longer ones at once.
const YEARS_LISTED_ONE_BY_ONE: i32 = 4;

/// Of 5,000 blobs each: 200 years of day files are 11 pages. Azure may return pages with less.
const MOST_PAGES: usize = 200;

/// What a listing returns.
#[derive(Clone, Copy)]
pub(super) enum Listing {
    /// The folders of the next level.
    Folders,
    Blobs,
    /// Blobs with their metadata.
    Metadata,
}

/// Day files by prefix, as they were listed; None while that is being done.
#[derive(Default)]
pub(super) struct KnownListings(Mutex<HashMap<String, Arc<KnownListing>>>);

type KnownListing = Mutex<Option<Arc<Vec<DayFile>>>>;

impl KnownListings {
    /// What `list` returns for a prefix, which it is called for once. Others who want the same
    /// meanwhile wait.
    fn get(
        &self,
        prefix: &str,
        list: impl FnOnce() -> Result<Vec<DayFile>, MarketError>,
    ) -> Result<Arc<Vec<DayFile>>, MarketError> {
        let entry = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(prefix.into()).or_default().clone()
        };
        let mut entry = entry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &*entry {
            return Ok(files.clone());
        }
        let files = Arc::new(list()?);
        *entry = Some(files.clone());
        Ok(files)
    }

    /// Listings that have or lack `key` are not known any more.
    pub(super) fn forget(&self, key: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|prefix, _| !key.starts_with(prefix.as_str()));
    }
}

impl AzureStore {
    /// One page of the blobs that begin with `prefix`.
    pub(super) fn page(
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

    /// Takes all pages of a listing, one after the other.
    pub(super) fn each_page(
        &self,
        prefix: &str,
        shape: Listing,
        mut take: impl FnMut(ListBlobsResponse),
    ) -> Result<(), MarketError> {
        let (mut marker, mut seen) = (None, HashSet::new());
        loop {
            let page = self.page(RUNNING, prefix, shape, marker)?;
            marker = page.next_marker.clone();
            take(page);
            let Some(next) = &marker else { return Ok(()) };
            if seen.len() == MOST_PAGES || !seen.insert(next.as_str().to_string()) {
                return Err(MarketError::Store {
                    place: self.place(),
                    what: format!("the listing of {prefix} does not end"),
                    hint: "check that the endpoint is Azure's".into(),
                    cause: None,
                });
            }
        }
    }

    /// The day files of one stock in a period, by date.
    pub(super) fn days(
        &self,
        symbol: &Symbol,
        period: &Period,
    ) -> Result<Vec<DayFile>, MarketError> {
        let mut files = Vec::new();
        for prefix in prefixes(symbol, period) {
            let listed = self.listings.get(&prefix, || self.days_below(symbol, &prefix))?;
            files.extend(listed.iter().filter(|file| period.contains(file.date)).cloned());
        }
        files.sort_by_key(|file| file.date);
        Ok(files)
    }

    fn days_below(&self, symbol: &Symbol, prefix: &str) -> Result<Vec<DayFile>, MarketError> {
        let mut by_date = HashMap::new();
        self.each_page(prefix, Listing::Blobs, |page| {
            for blob in page.blobs.blobs() {
                let is_below = blob.name.starts_with(prefix);
                let date = key_date(symbol, &blob.name).filter(|_| is_below);
                let Some(date) = date else { continue };
                let file = DayFile {
                    key: blob.name.clone(),
                    date,
                    etag: blob.properties.etag.to_string(),
                    size_bytes: blob.properties.content_length,
                };
                // One key a date: a server that lists it twice has it once.
                by_date.insert(date, file);
            }
        })?;
        Ok(by_date.into_values().collect())
    }
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
    fn a_listing_is_made_once_and_again_after_a_change_or_a_failure() {
        let known = KnownListings::default();
        let file = |key: &str| DayFile {
            key: key.into(),
            date: NaiveDate::MIN,
            etag: "1".into(),
            size_bytes: 1,
        };
        let made = std::cell::Cell::new(0);
        let list = |prefix: &str| {
            let files = known.get(prefix, || {
                made.set(made.get() + 1);
                Ok(vec![file(prefix)])
            });
            assert_eq!(files.unwrap()[0].key, prefix);
            made.get()
        };
        assert_eq!([list("r/A/2020/"), list("r/A/2020/"), list("r/A/2021/")], [1, 1, 2]);
        known.forget("r/A/2020/01/day");
        assert_eq!([list("r/A/2021/"), list("r/A/2020/")], [2, 3]);
        let failed = known.get("r/B/", || {
            Err(MarketError::Input { what: "no answer".into(), hint: "try again".into() })
        });
        assert!(failed.is_err());
        assert_eq!(list("r/B/"), 4);
    }
}
