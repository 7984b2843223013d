//! Quality checks of stored bars.

mod coverage;

use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use serde::Serialize;

use super::bar::{Period, Symbol};
use super::calendar::{Calendar, market_date};
use super::clean::{Anomaly, Cleaner, Inspection, Split};
use super::error::MarketError;
use super::judge::{BarFinding, FindingKind};
use super::options::{LoadOptions, LoadReport};
use super::parquet::{INT96, decode_day};
use super::store::origin::Origin;
use super::store::{DayFile, Store, fetch_days};
use crate::market::options::BarLabel;
use crate::wording::counted;
use coverage::Coverage;
pub(crate) use coverage::ThinDay;

/// Concurrent fetches, and bytes fetched ahead of use.
const FETCHES_AT_ONCE: usize = 16;
const FETCH_AHEAD_BYTES: u64 = 32 << 20;
/// Maximum number of days, files or splits listed in a sentence.
const MAX_LISTED: usize = 3;
/// Maximum number of findings of one kind about prices that are listed.
const MAX_PRICES: usize = 1000;
/// Trading days that a stock may begin or end apart from the others.
const MAX_APART: usize = 5;

/// Scope and strictness of a check.
#[derive(Clone, Debug)]
pub(crate) struct CheckOptions<'a> {
    /// None: from the first day stored.
    pub(crate) start: Option<NaiveDate>,
    /// None: to the last day stored.
    pub(crate) end: Option<NaiveDate>,
    /// Current time, UTC seconds; bars of days that are not over do not count as missing.
    pub(crate) now_s: i64,
    /// When the market is open.
    pub(crate) calendar: Calendar,
    /// Minimum fraction of a day's bars: below it a finding is `Wrong`, above it a `Note`.
    pub(crate) least_coverage: f64,
    pub(crate) cache: Option<&'a Path>,
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The data should not be used as it is.
    Wrong,
    /// For information.
    Note,
}

/// One finding, in a sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Severity,
    /// Such as `missing days` or `splits`.
    pub(crate) about: String,
    pub(crate) text: String,
}

/// Findings about one stock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Checked {
    pub(crate) stock: Symbol,
    /// Period compared with the calendar; None without files.
    pub(crate) period: Option<Period>,
    pub(crate) day_files: usize,
    /// Number of exchange sessions in the period.
    pub(crate) sessions: usize,
    /// First and last day with bars.
    pub(crate) days: Option<[NaiveDate; 2]>,
    pub(crate) missing_sessions: Vec<NaiveDate>,
    /// Number of bars in regular hours.
    pub(crate) bars: usize,
    pub(crate) bar_minutes: Option<u32>,
    /// Whether labels name a bar's start or end, and how that is known.
    pub(crate) bar_label: Option<BarLabel>,
    pub(crate) bar_label_reason: Option<String>,
    /// Missing bars on days that have bars.
    pub(crate) missing_bars: usize,
    pub(crate) expected_bars: usize,
    /// Days with missing bars, in order.
    pub(crate) incomplete_days: Vec<ThinDay>,
    pub(crate) bad_rows: usize,
    /// The first 1000, each with its time and what is wrong.
    pub(crate) named_rows: Vec<String>,
    pub(crate) extended_hours_rows: usize,
    pub(crate) splits: Vec<Split>,
    /// Doubtful prices and volumes, at most 1000 of each kind.
    pub(crate) prices: Vec<BarFinding>,
    /// How the files were made, if known.
    pub(crate) origin: Option<Origin>,
    pub(crate) findings: Vec<Finding>,
}

impl Checked {
    pub(crate) fn is_wrong(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Severity::Wrong)
    }

    fn add(&mut self, level: Severity, about: &str, text: impl Into<String>) {
        self.findings.push(Finding { level, about: about.into(), text: text.into() });
    }
}

/// Reads and checks all files of a stock. `progress(done, total)` counts days.
///
/// # Errors
/// Only if the store cannot be read; any problem with files is a finding.
pub(crate) fn check(
    store: &Arc<dyn Store>,
    symbol: &Symbol,
    options: &CheckOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Checked, MarketError> {
    let requested = Period {
        start: options.start.unwrap_or(NaiveDate::MIN),
        end: options.end.unwrap_or(NaiveDate::MAX),
    };
    let files = store.list(symbol, &requested)?;
    let mut found = Checked::without_files(symbol, files.len());
    match Origin::read(store.as_ref(), symbol) {
        Ok(origin) => found.origin = origin,
        Err(error @ MarketError::File { .. }) => {
            found.add(Severity::Wrong, "origin", error.to_string());
        }
        Err(error) => return Err(error),
    }
    if found.origin.as_ref().is_some_and(|origin| origin.rewriting) {
        let text = "the files are being replaced and are of two kinds: run the fetch or upload \
                    that was stopped again";
        found.add(Severity::Wrong, "origin", text);
    }
    let (Some(first), Some(last)) = (files.first(), files.last()) else {
        found.add(Severity::Wrong, "missing days", format!("{} has no day files", store.place()));
        return Ok(found);
    };
    let start = options.start.unwrap_or(first.date);
    let period = Period { start, end: options.end.unwrap_or(last.date) };
    found.period = Some(period);
    let cleaner = read(store, symbol, files, options, &mut found, progress)?;
    let calendar = options.calendar;
    let load = LoadOptions { calendar, ..LoadOptions::default() };
    match cleaner.inspect(&period, &load) {
        Err(error) => found.add(Severity::Wrong, "bars", error.to_string()),
        Ok((series, report, inspection)) => {
            let is_over =
                |date: &NaiveDate| calendar.extended_session(*date).close_s <= options.now_s;
            let coverage = Coverage::measure(&series, &inspection, &period, calendar, is_over);
            found.judge_coverage(&coverage, options.least_coverage);
            let ends = series.end_s.first().zip(series.end_s.last());
            found.days = ends.map(|(&first, &last)| [first, last].map(market_date));
            let closed = closed_days(&series.end_s, calendar);
            found.judge_rows(report, inspection, &closed);
        }
    }
    Ok(found)
}

/// Feeds every readable file to a cleaner.
fn read(
    store: &Arc<dyn Store>,
    symbol: &Symbol,
    files: Vec<DayFile>,
    options: &CheckOptions,
    found: &mut Checked,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Cleaner, MarketError> {
    let mut cleaner = Cleaner::new(symbol.clone(), false);
    let total = files.len();
    let mut unreadable = Vec::new();
    let days =
        fetch_days(Arc::clone(store), files, options.cache, FETCHES_AT_ONCE, FETCH_AHEAD_BYTES);
    for (done, day) in days.enumerate() {
        let (file, bytes) = day?;
        match decode_day(&bytes, &file.key) {
            Ok(rows) => cleaner.add_day(&file.key, file.date, &rows)?,
            Err(error) => unreadable.push(error.to_string()),
        }
        progress(done + 1, total);
    }
    if let Some(first) = unreadable.first() {
        let text = format!("{} cannot be read, first {first}", counted(unreadable.len(), "file"));
        found.add(Severity::Wrong, "files", text);
    }
    Ok(cleaner)
}

/// Dates with bars on which the exchange was closed.
fn closed_days(end_s: &[i64], calendar: Calendar) -> Vec<NaiveDate> {
    let mut days: Vec<NaiveDate> = end_s.iter().map(|&end_s| market_date(end_s)).collect();
    days.dedup();
    days.retain(|&date| calendar.session(date).is_none());
    days
}

impl Checked {
    fn without_files(symbol: &Symbol, day_files: usize) -> Checked {
        Checked {
            stock: symbol.clone(),
            period: None,
            day_files,
            sessions: 0,
            days: None,
            missing_sessions: Vec::new(),
            bars: 0,
            bar_minutes: None,
            bar_label: None,
            bar_label_reason: None,
            missing_bars: 0,
            expected_bars: 0,
            incomplete_days: Vec::new(),
            bad_rows: 0,
            named_rows: Vec::new(),
            extended_hours_rows: 0,
            splits: Vec::new(),
            prices: Vec::new(),
            origin: None,
            findings: Vec::new(),
        }
    }

    fn judge_coverage(&mut self, coverage: &Coverage, least: f64) {
        self.sessions = coverage.sessions;
        self.missing_sessions.clone_from(&coverage.missing_sessions);
        self.expected_bars = coverage.expected_bars;
        self.missing_bars = coverage.incomplete.iter().map(|day| day.missing).sum();
        self.incomplete_days.clone_from(&coverage.incomplete);
        if !self.missing_sessions.is_empty() {
            let text = format!(
                "no bars on {} of {}: {}",
                self.missing_sessions.len(),
                counted(self.sessions, "trading day"),
                named(&self.missing_sessions)
            );
            self.add(Severity::Wrong, "missing days", text);
        }
        let is_thin = |day: &&ThinDay| day.coverage() < least;
        let (thin, slight): (Vec<&ThinDay>, Vec<&ThinDay>) =
            coverage.incomplete.iter().partition(|day| is_thin(day));
        for (level, days) in [(Severity::Wrong, thin), (Severity::Note, slight)] {
            if days.is_empty() {
                continue;
            }
            let missing: usize = days.iter().map(|day| day.missing).sum();
            let words: Vec<String> = days.iter().map(|day| day.to_string()).collect();
            let text = format!(
                "{} missing on {}: {}",
                counted(missing, "bar"),
                counted(days.len(), "day"),
                named(&words)
            );
            self.add(level, "missing bars", text);
        }
    }

    /// A problem for each finding, up to [`MAX_PRICES`] of a kind.
    fn judge_prices(&mut self, findings: &[BarFinding]) {
        for same in findings.chunk_by(|a, b| a.kind == b.kind) {
            let kind = same[0].kind;
            let (level, about) = match kind {
                FindingKind::NoVolume => (Severity::Note, "volume"),
                _ => (Severity::Wrong, "prices"),
            };
            for finding in same.iter().take(MAX_PRICES) {
                self.add(level, about, format!("{}: {}", kind.words(1), finding.text));
                self.prices.push(finding.clone());
            }
            if same.len() > MAX_PRICES {
                let more = kind.words(same.len() - MAX_PRICES);
                self.add(level, about, format!("{more} more"));
            }
        }
    }

    fn judge_rows(&mut self, report: LoadReport, found: Inspection, closed: &[NaiveDate]) {
        self.bars = report.bars;
        self.bar_minutes = Some(report.native_minutes);
        self.bar_label = Some(report.bar_label);
        self.bad_rows = report.bad_rows;
        self.extended_hours_rows = report.extended_rows;
        self.splits.clone_from(&found.splits);
        if !found.bad_rows.is_empty() {
            let kinds: Vec<String> = found
                .bad_rows
                .iter()
                .map(|(kind, count)| format!("{count} {}", kind.name()))
                .collect();
            let first = named_of(&found.named_rows, report.bad_rows);
            self.add(Severity::Wrong, "bad rows", format!("{}: {first}", kinds.join(", ")));
        }
        self.named_rows.clone_from(&found.named_rows);
        if found.unsorted_files > 0 {
            let text = format!(
                "rows of {} are not in order of time",
                counted(found.unsorted_files, "file")
            );
            self.add(Severity::Note, "order", text);
        }
        self.judge_prices(&found.findings);
        for split in &found.splits {
            self.add(Severity::Wrong, "splits", split.to_string());
        }
        for Anomaly { about, text } in found.anomalies {
            self.add(Severity::Wrong, about, text);
        }
        if !closed.is_empty() {
            let text = format!(
                "{} with bars on which the exchange was closed: {}; --calendar always is for \
                 markets that never close",
                counted(closed.len(), "day"),
                named(closed)
            );
            self.add(Severity::Wrong, "calendar", text);
        }
        if report.bar_label_reason.starts_with("undetermined") {
            let text = format!("start or end of a bar: {}", report.bar_label_reason);
            self.add(Severity::Note, "label", text);
        }
        self.bar_label_reason = Some(report.bar_label_reason);
        let about_zones = |note: &&String| {
            ["times have no zone", INT96].iter().any(|text| note.starts_with(text))
        };
        for note in report.notes.iter().filter(about_zones) {
            self.add(Severity::Note, "time zone", note.clone());
        }
        if found.straddling {
            let text = "bars that reach from before the close into extended hours were left out";
            self.add(Severity::Note, "missing bars", text);
        }
    }
}

/// Notes where a stock begins after the others that were checked, or ends before them.
pub(crate) fn compare(all: &mut [Checked], calendar: Calendar) {
    let days: Vec<[NaiveDate; 2]> = all.iter().filter_map(|stock| stock.days).collect();
    let (Some(from), Some(until)) =
        (days.iter().map(|days| days[0]).min(), days.iter().map(|days| days[1]).max())
    else {
        return;
    };
    for stock in all {
        let Some([first, last]) = stock.days else { continue };
        let between =
            |start, end| calendar.sessions_in(&Period { start, end }).count().saturating_sub(1);
        let (late, early) = (between(from, first), between(last, until));
        if late > MAX_APART {
            let text = format!("begins on {first}, {late} trading days after other stocks");
            stock.add(Severity::Note, "begins", text);
        }
        if early > MAX_APART {
            let text = format!(
                "ends on {last}, {early} trading days before other stocks: delisted, or files are \
                 missing"
            );
            stock.add(Severity::Note, "ends", text);
        }
    }
}

/// The first few, for a sentence.
fn named<T: ToString>(all: &[T]) -> String {
    named_of(all, all.len())
}

/// The first few of `count`, which may be more than there are.
fn named_of<T: ToString>(all: &[T], count: usize) -> String {
    let first: Vec<String> = all.iter().take(MAX_LISTED).map(T::to_string).collect();
    let more = count.saturating_sub(MAX_LISTED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    first.join(", ") + &rest
}

#[cfg(test)]
mod tests;
