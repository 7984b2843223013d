//! Fetches a stock's months from the service into a store.
//!
//! A month is written day by day and then recorded in the stock's [`Origin`]; an interrupted run
//! resumes at the first month that is not recorded. Adjusted prices are as of the day on which they
//! are fetched. So before anything is added to them, some stored bars are fetched again; if they
//! have moved, all months are fetched again into a separate folder and replace the stored files
//! once they are complete.

use std::path::Path;

use chrono::{DateTime, NaiveDate, SecondsFormat};

use super::day::{Basis, Comparison, DayBars, RowsByDay};
use super::run_concurrently;
use crate::ingest::alpha_vantage::{FetchError, SeriesKind, Service};
use crate::market::bar::{Period, Symbol};
use crate::market::calendar::{extended_session, sessions_in};
use crate::market::error::MarketError;
use crate::market::month::YearMonth;
use crate::market::parquet::RawRows;
use crate::market::store::origin::{FetchedMonth, Origin, OriginKind};
use crate::market::store::{DayFile, Store, day_key};
use crate::wording::counted;

/// Maximum number of days without bars listed in a line.
const MAX_LISTED: usize = 3;
/// The service may add bars to a day until this long after 20:00.
const SETTLING_S: i64 = 6 * 3600;
/// A day without bars may still get some until this long after its session; later it counts as
/// empty.
const LATE_S: i64 = 4 * 86_400;
/// A month with fewer stored days does not suffice to detect moved prices: the service may adjust
/// some days late.
const PROBED_DAYS: usize = 5;
/// Concurrent writes of files.
pub(super) const PUTS_AT_ONCE: usize = 8;

/// The desired content of the store.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest {
    /// Interval, adjustment and hours of the bars.
    pub series: SeriesKind,
    /// Months that overlap the period are fetched whole, up to the last session.
    pub period: Period,
    /// Replace everything stored for the stock, whatever it is.
    pub rewrite: bool,
}

/// Work done for one stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchStats {
    /// Months that the store lacked and that were fetched.
    pub months: usize,
    /// Number of files written; unchanged ones are not rewritten.
    pub files: usize,
    /// Bars of these months.
    pub bars: usize,
    /// All files of the stock were replaced.
    pub rewritten: bool,
}

/// Fetches stocks into a store.
pub struct Fetcher<'a> {
    /// Where bars come from.
    pub service: &'a Service,
    /// Where day files are written.
    pub store: &'a dyn Store,
    /// Staging folder for replacements, with one subfolder per stock.
    pub aside: &'a Path,
    /// Which bars, and whether to replace what is stored.
    pub request: &'a FetchRequest,
    /// Current time, UTC seconds; a day is over at 20:00 in New York.
    pub now_s: i64,
    /// Receives lines for the user, such as a pause.
    pub tell: &'a dyn Fn(&str),
}

/// Result of adding months.
pub(super) enum AddOutcome {
    Done(FetchStats),
    /// Stored prices are on another basis: the median of new over stored closes.
    Moved(f64),
}

impl Fetcher<'_> {
    /// Brings one stock to the desired state.
    pub fn stock(&self, symbol: &Symbol) -> Result<FetchStats, FetchError> {
        let origin = Origin::read(self.store, symbol)?;
        let stored = self.store.list(symbol, &ALWAYS)?;
        let months = YearMonth::all_in(&self.request.period);
        let aside = self.aside.join(symbol.as_str());
        let is_unfinished = origin.as_ref().is_some_and(|origin| origin.rewriting);
        if self.request.rewrite {
            return self.rewrite(symbol, &months, &stored, &aside);
        }
        self.check_kind(symbol, origin.as_ref(), &stored)?;
        if is_unfinished || self.is_begun(symbol, &aside) {
            (self.tell)(&format!("{symbol}: continues replacing its files"));
            return self.rewrite(symbol, &months, &stored, &aside);
        }
        match self.add(self.store, symbol, &months)? {
            AddOutcome::Done(stats) => Ok(stats),
            AddOutcome::Moved(ratio) => {
                (self.tell)(&format!(
                    "{symbol}: stored prices have moved by a factor of {ratio:.6} (a split or a \
                     dividend); all of it is fetched again"
                ));
                self.rewrite(symbol, &months, &stored, &aside)
            }
        }
    }

    /// Checks that the stored files are of the requested kind.
    fn check_kind(
        &self,
        symbol: &Symbol,
        origin: Option<&Origin>,
        stored: &[DayFile],
    ) -> Result<(), FetchError> {
        let place = self.store.place();
        let what = match origin {
            None if stored.is_empty() => return Ok(()),
            Some(origin) if self.request.series.matches(origin) => return Ok(()),
            None => format!(
                "{place} has {} that this program did not fetch; whether they are \
                 adjusted or raw is unknown",
                counted(stored.len(), "day file")
            ),
            Some(origin) => format!("{place} has bars that are {origin}, not {}", self.kind()),
        };
        Err(FetchError::Stock(MarketError::NoData {
            symbol: symbol.to_string(),
            what,
            hint: "choose another folder with --data, request the same kind, or replace all files \
                   of the stock with --rewrite"
                .into(),
        }))
    }

    pub(super) fn kind(&self) -> Origin {
        let SeriesKind { interval_minutes, adjusted, extended_hours } = self.request.series;
        let kind = OriginKind::AlphaVantage { adjusted, extended_hours };
        Origin::new(kind, interval_minutes, self.now())
    }

    fn now(&self) -> String {
        let now = DateTime::from_timestamp(self.now_s, 0).unwrap_or_default();
        now.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// The last completed session of a period.
    fn last_session(&self, period: &Period) -> Option<NaiveDate> {
        let over = |date: &NaiveDate| extended_session(*date).close_s <= self.now_s;
        sessions_in(period).map(|(date, _)| date).filter(over).last()
    }

    /// The last day of a month that the store should have.
    fn last_wanted(&self, month: YearMonth) -> Option<NaiveDate> {
        let (month, request) = (month.period(), &self.request.period);
        let (start, end) = (month.start.max(request.start), month.end.min(request.end));
        self.last_session(&Period { start, end })
    }

    /// Fetches the months that `store` lacks.
    pub(super) fn add(
        &self,
        store: &dyn Store,
        symbol: &Symbol,
        months: &[YearMonth],
    ) -> Result<AddOutcome, FetchError> {
        let known = Origin::read(store, symbol)?;
        let is_new = known.is_none();
        let mut origin = known.unwrap_or_else(|| self.kind());
        let is_missing = |month: &YearMonth| {
            let has = origin.months.get(month).map(|month| month.through);
            self.last_wanted(*month).is_some_and(|last| has.is_none_or(|has| has < last))
        };
        let missing: Vec<YearMonth> = months.iter().copied().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(AddOutcome::Done(FetchStats::default()));
        }
        let missing = self.probes_first(missing, &origin);
        let mut stats = FetchStats::default();
        for (i, &month) in missing.iter().enumerate() {
            let raw = self.service.month(&self.request.series, symbol, month, self.tell)?;
            let days = self.whole_days(symbol, month, &raw)?;
            if is_new && i == 0 {
                // Before the first day, so that an interrupted run never leaves days of unknown
                // kind.
                origin.write(store, symbol)?;
            }
            let files = match self.write_month(store, symbol, &days)? {
                MonthOutcome::Moved(ratio) if self.request.series.adjusted => {
                    return Ok(AddOutcome::Moved(ratio));
                }
                MonthOutcome::Moved(ratio) => return Err(raw_has_moved(symbol, month, ratio)),
                MonthOutcome::Files(files) => files,
            };
            let bars = days.days.values().map(|day| day.0.len()).sum();
            let fetched = self.fetched(month, &days, bars);
            // Not for a month that was only probed.
            if origin.months.get(&month).is_none_or(|has| has.through < fetched.through) {
                origin.months.insert(month, fetched);
                origin.write(store, symbol)?;
            }
            stats.months += 1;
            stats.files += files;
            stats.bars += bars;
            let of = missing.len();
            let (days_found, bars) = (counted(days.days.len(), "day"), counted(bars, "bar"));
            let line = format!("{symbol} {month}: {days_found}, {bars} ({} of {of})", i + 1);
            (self.tell)(&(line + &self.data_issues(month, &days)));
        }
        Ok(AddOutcome::Done(stats))
    }

    /// With adjusted prices, puts months first that have stored bars, to detect whether these have
    /// moved.
    fn probes_first(&self, missing: Vec<YearMonth>, origin: &Origin) -> Vec<YearMonth> {
        let (Some((&newest, _)), true) =
            (origin.months.last_key_value(), self.request.series.adjusted)
        else {
            return missing;
        };
        let both = missing.iter().rev().find(|month| origin.months.contains_key(month));
        let probe = both.copied().unwrap_or(newest);
        let mut order = vec![probe];
        if origin.months[&probe].days < PROBED_DAYS {
            order.extend(origin.months.range(..probe).next_back().map(|(&month, _)| month));
        }
        let rest: Vec<YearMonth> = missing.into_iter().filter(|m| !order.contains(m)).collect();
        order.extend(rest);
        order
    }

    /// The completed days; at least one.
    fn whole_days(
        &self,
        symbol: &Symbol,
        month: YearMonth,
        raw: &RawRows,
    ) -> Result<RowsByDay, FetchError> {
        let mut days = RowsByDay::from_rows(raw);
        days.days.retain(|date, _| extended_session(*date).close_s <= self.now_s);
        if days.days.is_empty() {
            return Err(FetchError::Stock(MarketError::Service {
                what: format!(
                    "has no good bars of {symbol} in {month} ({} bad ones{})",
                    days.bad_rows,
                    days.first_bad.map(|bad| format!(", {bad}")).unwrap_or_default()
                ),
                hint: "run again later".into(),
            }));
        }
        Ok(days)
    }

    fn fetched(&self, month: YearMonth, days: &RowsByDay, bars: usize) -> FetchedMonth {
        let since_s = |date: NaiveDate| self.now_s - extended_session(date).close_s;
        let settled = days.days.keys().rev().find(|date| since_s(**date) >= SETTLING_S).copied();
        let last = self.last_session(&month.period());
        // The response may lag behind the sessions that were over at the time of the request.
        let through = match last.filter(|&last| since_s(last) >= LATE_S) {
            Some(last) => last,
            None => settled.unwrap_or(month.period().start.pred_opt().unwrap_or_default()),
        };
        FetchedMonth { through, days: days.days.len(), bars, fetched: self.now() }
    }

    /// Problems of a month for the progress line: days without bars, bad rows.
    fn data_issues(&self, month: YearMonth, days: &RowsByDay) -> String {
        let period = month.period();
        let last = self.last_session(&period).unwrap_or(period.end);
        let sessions = sessions_in(&Period { end: last, ..period }).map(|(date, _)| date);
        let without: Vec<NaiveDate> = sessions.filter(|d| !days.days.contains_key(d)).collect();
        let mut text = String::new();
        if !without.is_empty() {
            let named: Vec<String> =
                without.iter().take(MAX_LISTED).map(|d| d.to_string()).collect();
            let more = if without.len() > MAX_LISTED { ", ..." } else { "" };
            let count = counted(without.len(), "trading day");
            text += &format!("; no bars on {count}: {}{more}", named.join(", "));
        }
        if let (Some(first), count) = (&days.first_bad, days.bad_rows) {
            text += &format!("; {} left out, first {first}", counted(count, "bad row"));
        }
        text
    }

    /// Merges days into those of a store, unless they are on another basis.
    fn write_month(
        &self,
        store: &dyn Store,
        symbol: &Symbol,
        days: &RowsByDay,
    ) -> Result<MonthOutcome, FetchError> {
        let mut comparison = Comparison::default();
        let mut changed: Vec<(String, Vec<u8>)> = Vec::new();
        let stored = days.stored(store, symbol)?;
        for (&date, new) in &days.days {
            let key = day_key(symbol, date);
            let mut bars = new.clone();
            if stored.contains(&date) {
                // An unreadable file is not good data.
                let old = DayBars::decode(&store.get(&key)?, &key).unwrap_or_default();
                comparison.add(&old, new);
                bars = old.updated(new);
                if bars == old {
                    continue;
                }
            }
            let bytes = bars.encode(&key)?;
            changed.push((key, bytes));
        }
        if let Basis::Moved(ratio) = comparison.basis() {
            return Ok(MonthOutcome::Moved(ratio));
        }
        run_concurrently(&changed, PUTS_AT_ONCE, |(key, bytes)| store.put(key, bytes))?;
        Ok(MonthOutcome::Files(changed.len()))
    }
}

/// Result of writing a month.
enum MonthOutcome {
    Files(usize),
    Moved(f64),
}

/// All dates.
pub(super) const ALWAYS: Period = Period { start: NaiveDate::MIN, end: NaiveDate::MAX };

fn raw_has_moved(symbol: &Symbol, month: YearMonth, ratio: f64) -> FetchError {
    FetchError::Stock(MarketError::NoData {
        symbol: symbol.to_string(),
        what: format!(
            "{month}: prices are {ratio:.6} times those stored, which raw prices never are"
        ),
        hint: "one of the two is not raw: fetch it into an empty folder and compare".into(),
    })
}
