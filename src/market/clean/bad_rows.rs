//! Rows that are left out, counted by what is wrong with them.

use std::collections::BTreeMap;

use crate::market::calendar;
use crate::market::error::MarketError;
use crate::market::judge::shortened;
use crate::wording::counted;

/// Maximum number of bad rows of which a description is kept.
const MAX_NAMED: usize = 1000;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowFault {
    NoTime,
    OtherDay,
    Duplicate,
    OutOfOrder,
    Values,
    Overlap,
}

impl RowFault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            RowFault::NoTime => "no time",
            RowFault::OtherDay => "of another day",
            RowFault::Duplicate => "duplicate",
            RowFault::OutOfOrder => "out of order",
            RowFault::Values => "bad values",
            RowFault::Overlap => "overlapping",
        }
    }
}

/// Rejected rows, and a description of the first few; with `strict`, the first one is an error.
pub(super) struct BadRows {
    strict: bool,
    pub(super) count: usize,
    pub(super) kinds: BTreeMap<RowFault, usize>,
    pub(super) named: Vec<String>,
}

impl BadRows {
    pub(super) fn new(strict: bool) -> BadRows {
        BadRows { strict, count: 0, kinds: BTreeMap::new(), named: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        place: &str,
        label_s: Option<i64>,
        kind: RowFault,
        why: &str,
    ) -> Result<(), MarketError> {
        let at = label_s.map_or("a row without a time".to_string(), calendar::iso_market_time);
        if self.strict {
            return Err(MarketError::File {
                file: place.into(),
                what: format!("bad row: {at}: {why}"),
                hint: "fix the file, or run without --strict to skip such rows".into(),
                cause: None,
            });
        }
        self.count += 1;
        *self.kinds.entry(kind).or_default() += 1;
        if self.named.len() < MAX_NAMED {
            // The time of a row tells its file, unless it is wrong.
            let is_placed = !matches!(kind, RowFault::NoTime | RowFault::OtherDay);
            let file = if is_placed { String::new() } else { format!("{place}: ") };
            self.named.push(format!("{file}{at}: {why}"));
        }
        Ok(())
    }

    pub(super) fn note(&self) -> Option<String> {
        let words = format!("{} left out", counted(self.count, "bad row"));
        let named: Vec<&str> = self.named.iter().map(String::as_str).collect();
        (self.count > 0).then(|| shortened(&words, &named, self.count))
    }
}
