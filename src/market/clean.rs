//! From decoded rows to a clean [`BarSeries`]: bad rows, label convention, sessions, resampling,
//! suspected splits.
//!
//! No bar depends on later bars, except through the conventions of the whole symbol: bar length,
//! label, and whether it has bars after the close ([`Convention`]).

mod anomalies;
mod bad_rows;
mod convention;
mod day;
mod outliers;
mod session_bars;
mod splits;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

pub(crate) use anomalies::Anomaly;
use bad_rows::{BadRows, RowFault};
pub(crate) use convention::Convention;
use outliers::OutlierFilter;
pub(crate) use splits::Split;

use super::bar::{BarSeries, Period, Symbol, is_price, is_volume};
use super::calendar::{self, Calendar, MarketClock};
use super::error::MarketError;
use super::judge::{self, BarFinding};
use super::options::{LoadOptions, LoadReport};
use super::parquet::RawRows;
use crate::wording::counted;

/// How far open or close may lie outside [low, high] before a row is bad, as a fraction of the
/// price. Adjustment for splits and dividends rounds each price separately; a basis point exceeds
/// any rounding and is below typical slippage. Within it, high and low are widened to include open
/// and close.
const ROUNDING: f64 = 1e-4;

/// A row that passed the checks; `label_s` is the stored time of the bar, UTC seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CleanRow {
    label_s: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
}

/// Results that only an inspection needs.
pub(crate) struct Inspection {
    pub(crate) convention: Convention,
    pub(crate) bad_rows: BTreeMap<RowFault, usize>,
    /// Descriptions of the first [`MAX_NAMED`] bad rows.
    pub(crate) named_rows: Vec<String>,
    /// Files whose rows were not in order of time.
    pub(crate) unsorted_files: usize,
    /// Doubts about the bars as stored.
    pub(crate) findings: Vec<BarFinding>,
    /// Bars that begin before the close and end in extended hours were dropped.
    pub(crate) straddling: bool,
    pub(crate) splits: Vec<Split>,
    pub(crate) anomalies: Vec<Anomaly>,
}

const MINUTES_PER_DAY: usize = 24 * 60;

/// Turns the day files of one stock, in date order, into one series.
pub(crate) struct Cleaner {
    symbol: Symbol,
    rows: Vec<CleanRow>,
    /// Further columns of the rows.
    columns: Vec<String>,
    /// `[row, column]`; NaN where unknown.
    extras: Vec<f32>,
    bad: BadRows,
    naive: bool,
    /// Some times had a zone.
    zoned: bool,
    /// What the files' reader said about them.
    remarks: BTreeSet<&'static str>,
    day_files: usize,
    /// Number of day files to come, if known.
    days_expected: usize,
    /// Files whose rows were not in order of time.
    unsorted_files: usize,
    clock: MarketClock,
}

impl Cleaner {
    pub(crate) fn new(symbol: Symbol, strict: bool) -> Cleaner {
        let bad = BadRows::new(strict);
        Cleaner {
            symbol,
            rows: Vec::new(),
            columns: Vec::new(),
            extras: Vec::new(),
            bad,
            naive: false,
            zoned: false,
            remarks: BTreeSet::new(),
            day_files: 0,
            days_expected: 0,
            unsorted_files: 0,
            clock: MarketClock::new(),
        }
    }

    /// Expects these further columns in every day's rows.
    pub(crate) fn with_columns(mut self, columns: &[String]) -> Cleaner {
        self.columns = columns.to_vec();
        self
    }

    /// Sets the number of day files to come. Memory is reserved for as many days like the first, so
    /// that rows do not have to be moved.
    pub(crate) fn expect_days(&mut self, count: usize) {
        self.days_expected = count;
    }

    /// Adds the rows of `file`, the day file of `date`, in order of time.
    ///
    /// # Panics
    /// If they were decoded with other further columns.
    pub(crate) fn add_day(
        &mut self,
        file: &str,
        date: NaiveDate,
        raw: &RawRows,
    ) -> Result<(), MarketError> {
        assert_eq!(raw.extras.len(), self.columns.len(), "rows with the columns that are expected");
        self.naive |= raw.naive;
        // The program itself writes files of these days with a zone.
        self.zoned |= !raw.naive && !calendar::changes_clock(date);
        self.remarks.extend(raw.remark);
        if self.day_files == 0 {
            // A file with more rows than a day has minutes does not predict the others' size.
            self.rows.reserve(raw.len().min(MINUTES_PER_DAY) * self.days_expected);
        }
        self.day_files += 1;
        self.rows.reserve(raw.len());
        let order = order_of_time(&raw.label_s);
        self.unsorted_files += usize::from(order.is_some());
        for place in 0..raw.len() {
            let i = order.as_ref().map_or(place, |order| order[place]);
            let Some(label_s) = raw.label_s[i] else {
                self.bad.add(file, None, RowFault::NoTime, "its time cannot be read")?;
                continue;
            };
            let row = CleanRow {
                label_s,
                open: raw.open[i],
                high: raw.high[i],
                low: raw.low[i],
                close: raw.close[i],
                volume: raw.volume[i],
            };
            // Files cut at UTC midnight contain hours of the previous day; anything further off is
            // a wrong time.
            let day = self.clock.at(label_s).0;
            let off_days = if day == date { 0 } else { (day - date).num_days().abs() };
            let why = match self.rows.last() {
                _ if off_days > 1 => {
                    Some((RowFault::OtherDay, "does not belong to the day of its file".to_string()))
                }
                Some(before) if label_s == before.label_s => {
                    Some((RowFault::Duplicate, "its time occurs twice".into()))
                }
                Some(before) if label_s < before.label_s => {
                    Some((RowFault::OutOfOrder, "its time goes back".into()))
                }
                _ => fault(&row).map(|why| (RowFault::Values, why)),
            };
            match why {
                Some((kind, why)) => self.bad.add(file, Some(label_s), kind, &why)?,
                None => {
                    self.rows.push(widened(row));
                    self.extras.extend(raw.extras.iter().map(|column| column[i] as f32));
                }
            }
        }
        Ok(())
    }

    /// Adds bars with exact `end_s`, as synthetic markets generate them, without further columns.
    pub(crate) fn add_bars(&mut self, bars: &BarSeries) {
        assert!(self.columns.is_empty(), "made-up bars have no further columns");
        self.rows.extend(bars.bars().map(|bar| CleanRow {
            label_s: bar.end_s,
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume: bar.volume,
        }));
    }

    /// The clean series and its report. `known` is the convention if it need not be detected.
    pub(crate) fn finish(
        mut self,
        period: &Period,
        options: &LoadOptions,
        known: Option<Convention>,
    ) -> Result<(BarSeries, LoadReport), MarketError> {
        let CleanedSeries { series, report, .. } = self.build(period, options, known)?;
        Ok((series, report))
    }

    /// Like [`Cleaner::finish`], for files to which bars are still added.
    pub(crate) fn finish_tail(
        mut self,
        period: &Period,
        options: &LoadOptions,
        known: Option<Convention>,
    ) -> Result<SeriesTail, MarketError> {
        let CleanedSeries { series, report, convention, days, .. } =
            self.build(period, options, known)?;
        let known_until_s = days.last().map_or(i64::MIN, |day| {
            let ends = day.labels(&self.rows).map(|label_s| convention.interval(day, label_s).1);
            day.regular.open_s + ends.max().unwrap_or(0)
        });
        Ok(SeriesTail { series, report, convention, known_until_s })
    }

    /// Like [`Cleaner::finish`], with all findings about the data.
    pub(crate) fn inspect(
        mut self,
        period: &Period,
        options: &LoadOptions,
    ) -> Result<(BarSeries, LoadReport, Inspection), MarketError> {
        let CleanedSeries { series, report, convention, straddling, findings, days } =
            self.build(period, options, None)?;
        let mixed = self.naive && self.zoned;
        let anomalies =
            anomalies::find_anomalies(&self.rows, &days, &convention, mixed, options.calendar);
        let splits = splits::suspected(&series);
        let BadRows { kinds: bad_rows, named: named_rows, .. } = self.bad;
        let inspection = Inspection {
            convention,
            bad_rows,
            named_rows,
            unsorted_files: self.unsorted_files,
            findings,
            straddling,
            splits,
            anomalies,
        };
        Ok((series, report, inspection))
    }

    fn build(
        &mut self,
        period: &Period,
        options: &LoadOptions,
        known: Option<Convention>,
    ) -> Result<CleanedSeries, MarketError> {
        let mut notes = Vec::new();
        if self.naive {
            notes.push(format!("times have no zone: read as {}", calendar::market_zone()));
        }
        notes.extend(self.remarks.iter().map(|remark| remark.to_string()));
        if self.unsorted_files > 0 {
            let files = counted(self.unsorted_files, "file");
            notes.push(format!("rows of {files} were not in order of time: sorted"));
        }
        let days = day::days(&self.rows, options.calendar);
        let convention = match known {
            Some(convention) => convention,
            None => Convention::detect(&self.symbol, &self.rows, &days, options)?,
        };
        notes.extend(convention.notes.iter().cloned());
        if self.naive && !convention.daily {
            notes.extend(match options.calendar {
                Calendar::Nyse => convention::utc_suspicion(&self.rows, &days),
                Calendar::Always => None,
                Calendar::Exchange(_) => anomalies::off_by_the_zone(&self.rows, &days, &convention),
            });
        }
        let bar_minutes = options.bar_minutes.unwrap_or(convention.native_minutes());
        let rules = session_bars::SessionRules {
            convention: &convention,
            period,
            bar_minutes,
            calendar: options.calendar,
            extended_hours: options.extended_hours,
        };
        let rows = session_bars::CleanRows {
            rows: &self.rows,
            columns: &self.columns,
            extras: &self.extras,
        };
        let outliers = || OutlierFilter::new(options.clean);
        let mut used = outliers();
        let built =
            session_bars::build(&self.symbol, rows, &days, &rules, &mut self.bad, &mut used)?;
        notes.extend(built.notes);
        let series = built.series;
        if series.is_empty() {
            let rows = counted(self.rows.len(), "row");
            let hours = if options.extended_hours { "extended" } else { "regular" };
            return Err(MarketError::NoData {
                symbol: self.symbol.to_string(),
                what: format!("no bars in {hours} hours from {period} ({rows} read)"),
                hint: "choose another period, the market's --calendar, or --extended-hours".into(),
            });
        }
        let mut findings = if bar_minutes == convention.native_minutes() {
            judge::judge(&series)
        } else {
            // An error of a minute is told with its minute, also where hours are asked for.
            let native = convention.native_minutes();
            let rules = session_bars::SessionRules { bar_minutes: native, ..rules };
            let (bad, clean) = (&mut BadRows::new(false), &mut outliers());
            let stored = session_bars::build(&self.symbol, rows, &days, &rules, bad, clean)?;
            judge::judge(&stored.series)
        };
        // What was clipped is told as that.
        let is_clipped = |end_s| used.as_ref().is_some_and(|used| used.has_changed(end_s));
        findings.retain(|finding| !is_clipped(finding.from_s));
        if options.strict {
            judge::refuse(&self.symbol, &findings)?;
        }
        let mut doubts = Vec::from_iter(self.bad.note());
        doubts.extend(splits::suspected(&series).iter().map(Split::to_string));
        doubts.extend(used.as_ref().and_then(OutlierFilter::note));
        doubts.extend(judge::lines(&findings));
        let report = LoadReport {
            symbol: self.symbol.clone(),
            day_files: self.day_files,
            bars: series.len(),
            bad_rows: self.bad.count,
            extended_rows: built.extended_rows,
            native_minutes: convention.native_minutes(),
            bar_minutes,
            bar_label: convention.label,
            bar_label_reason: convention.reason.clone(),
            notes,
            doubts,
        };
        let straddling = built.straddling > 0;
        Ok(CleanedSeries { series, report, convention, straddling, findings, days })
    }
}

/// The bars so far of a stock whose files grow.
pub(crate) struct SeriesTail {
    pub(crate) series: BarSeries,
    pub(crate) report: LoadReport,
    pub(crate) convention: Convention,
    /// End of the last row as stored, UTC seconds: a bar made of several that ends later is not
    /// whole yet.
    pub(crate) known_until_s: i64,
}

/// A clean series and what was found while cleaning.
struct CleanedSeries {
    series: BarSeries,
    report: LoadReport,
    convention: Convention,
    straddling: bool,
    findings: Vec<BarFinding>,
    days: Vec<day::DateRows>,
}

/// The order of rows by time, those without one first, rows of equal time as they are; None if they
/// are in order.
fn order_of_time(label_s: &[Option<i64>]) -> Option<Vec<usize>> {
    if label_s.iter().flatten().is_sorted() {
        return None;
    }
    let mut order: Vec<usize> = (0..label_s.len()).collect();
    order.sort_by_key(|&i| label_s[i]);
    Some(order)
}

/// What is wrong with open, high, low, close and volume; None if nothing is.
pub(crate) fn value_fault([open, high, low, close, volume]: [f64; 5]) -> Option<String> {
    fault(&CleanRow { label_s: 0, open, high, low, close, volume })
}

/// What is wrong with a row's numbers; None if nothing is.
fn fault(row: &CleanRow) -> Option<String> {
    let prices = [("open", row.open), ("high", row.high), ("low", row.low), ("close", row.close)];
    for (name, price) in prices {
        if !price.is_finite() {
            return Some(format!("{name} is not a number"));
        }
        if !is_price(price) {
            return Some(format!("{name} is {}", shown(price)));
        }
    }
    if !row.volume.is_finite() {
        return Some("volume is not a number".into());
    }
    if !is_volume(row.volume) {
        return Some(format!("volume is {}", shown(row.volume)));
    }
    if row.high < row.low * (1.0 - ROUNDING) {
        return Some(format!("high {} is below low {}", row.high, row.low));
    }
    for (name, price) in [("open", row.open), ("close", row.close)] {
        if price > row.high * (1.0 + ROUNDING) || price < row.low * (1.0 - ROUNDING) {
            return Some(format!("{name} {price} is outside low {} to high {}", row.low, row.high));
        }
    }
    None
}

/// A number, in a few digits also where it has hundreds.
fn shown(value: f64) -> String {
    let is_plain = value == 0.0 || (1e-9..1e15).contains(&value.abs());
    if is_plain { value.to_string() } else { format!("{value:e}") }
}

/// Widens high and low to include open and close.
fn widened(row: CleanRow) -> CleanRow {
    let high = row.high.max(row.open).max(row.close);
    let low = row.low.min(row.open).min(row.close);
    CleanRow { high, low, ..row }
}

#[cfg(test)]
mod tests;
