//! Produces day files: fetches them from the data service, imports tables, uploads to Azure. Also
//! reads bars that come as lines (`bar_line`), of which no file is made.
//!
//! Two rules hold throughout. Good data is never replaced by worse: a day is merged from stored and
//! new bars (`DayBars::updated`), or replaced as a whole by one with at least as many bars. And
//! all files of a stock are of one kind: prices adjusted at different times are inconsistent (a
//! split or dividend between them rescales all earlier prices), so new bars are compared with
//! stored ones (`day::Comparison`), and the kind is recorded next to the files
//! ([`Origin`](crate::market::store::origin::Origin)).

pub mod alpha_vantage;
pub(crate) mod bar_line;
mod day;
mod fetch;
mod import;
mod rewrite;
mod table;
mod upload;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::market::error::MarketError;

pub use day::DayBars;
pub use fetch::{FetchRequest, FetchStats, Fetcher};
pub use import::{ImportOptions, ImportStats, import};
pub(crate) use upload::{UploadOptions, UploadStats, upload};

/// Runs `work` for each item, several at a time. The first error stops it; items in progress are
/// finished.
fn run_concurrently<T: Sync>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> Result<(), MarketError> + Sync,
) -> Result<(), MarketError> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let is_over = || failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if is_over() {
                        return;
                    }
                    if let Err(error) = work(item) {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        return;
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_worked_on_once_and_the_first_error_ends_it() {
        let items: Vec<usize> = (0..100).collect();
        let done = Mutex::new(vec![0; 100]);
        let count = |item: &usize| {
            done.lock().unwrap()[*item] += 1;
            Ok(())
        };
        for at_once in [1, 7, 1_000] {
            run_concurrently(&items, at_once, count).unwrap();
        }
        assert_eq!(*done.lock().unwrap(), vec![3; 100]);
        run_concurrently(&[], 3, |_: &usize| unreachable!()).unwrap();

        let begun = AtomicUsize::new(0);
        let fail = |item: &usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            let (what, hint) = ("no".into(), "fix it".into());
            let error = MarketError::File { file: item.to_string(), what, hint, cause: None };
            if *item < 5 { Ok(()) } else { Err(error) }
        };
        let error = run_concurrently(&items, 1, fail).unwrap_err();
        assert_eq!((error.to_string(), begun.into_inner()), ("5: no; fix it".into(), 6));
    }
}
