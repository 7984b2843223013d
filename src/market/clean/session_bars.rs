//! Assigns bars to sessions, determines their ends, and resamples them.

use chrono::NaiveDate;

use super::convention::{Convention, time_text};
use super::day::DateRows;
use super::outliers::OutlierFilter;
use super::{BadRows, CleanRow, RowFault};
use crate::market::bar::{Bar, BarSeries, Period, Symbol};
use crate::market::calendar::{Calendar, Session};
use crate::market::error::MarketError;
use crate::wording::counted;

/// The rows of all days, with further columns.
#[derive(Clone, Copy)]
pub(super) struct CleanRows<'a> {
    pub rows: &'a [CleanRow],
    pub columns: &'a [String],
    /// `[row, column]`; NaN where unknown.
    pub extras: &'a [f32],
}

/// Which bars to keep, and the output length.
pub(super) struct SessionRules<'a> {
    pub(crate) convention: &'a Convention,
    pub(crate) period: &'a Period,
    pub(crate) bar_minutes: u32,
    pub(crate) calendar: Calendar,
    pub(crate) extended_hours: bool,
}

pub(super) struct BuiltSeries {
    pub(crate) series: BarSeries,
    /// Number of rows outside the hours kept.
    pub(crate) extended_rows: usize,
    /// Among them, bars that begin before the close.
    pub(crate) straddling: usize,
    pub(crate) notes: Vec<String>,
}

/// The bars of the period that overlap their day's session (or the extended one), resampled. A bar
/// ends when its interval does, at the latest with the session.
///
/// Resampled bars start at multiples of their length from the open (of the extended hours, if kept)
/// and never reach into the next session.
///
/// A further column has the value of the bar's last row, or the last one known in a bar up to then.
///
/// Each stored bar passes `outliers` before it is put together with others.
///
/// An hourly bar from 15:30 includes trades after the close if the symbol has such trades at all.
/// It then counts as extended hours: cut off at a close of 16:00 it would show prices of 16:30.
pub(super) fn build(
    symbol: &Symbol,
    all: CleanRows<'_>,
    days: &[DateRows],
    rules: &SessionRules,
    bad: &mut BadRows,
    outliers: &mut Option<OutlierFilter>,
) -> Result<BuiltSeries, MarketError> {
    check_length(rules)?;
    let CleanRows { rows, columns, extras } = all;
    let after_hours = days.iter().any(|day| {
        let last = day.labels(rows).next_back().map(|label| rules.convention.interval(day, label));
        !day.closed && last.is_some_and(|(start, _)| start >= day.length_s())
    });
    let bars = rows.len() * rules.convention.native_minutes() as usize / rules.bar_minutes as usize;
    let series = BarSeries::with_capacity(symbol.clone(), bars + days.len()).with_columns(columns);
    let mut merged = Merger { series, known: vec![f32::NAN; columns.len()] };
    let (mut extended_rows, mut outside, mut straddling) = (0, 0, 0);
    let mut closed_days = Vec::new();
    let mut last_end_s = i64::MIN;
    for day in days {
        if !rules.period.contains(day.date) {
            outside += day.rows.len();
            continue;
        }
        if day.closed {
            closed_days.push(day.date);
        }
        let hours = match rules.extended_hours {
            true => rules.calendar.extended_session(day.date),
            false => day.regular,
        };
        for i in day.rows.clone() {
            let row = &rows[i];
            let (start, end) = rules.convention.interval(day, row.label_s - day.regular.open_s);
            let (start_s, end_s) = (start + day.regular.open_s, end + day.regular.open_s);
            let beyond = end_s > hours.close_s && after_hours && !rules.extended_hours;
            if start_s >= hours.close_s || end_s <= hours.open_s || beyond {
                extended_rows += 1;
                straddling += usize::from(beyond && start_s < hours.close_s);
                continue;
            }
            if start_s < last_end_s {
                let why = "overlaps the bar before it";
                bad.add(symbol.as_str(), Some(row.label_s), RowFault::Overlap, why)?;
                continue;
            }
            last_end_s = end_s;
            let row = match outliers {
                Some(filter) => filter.next(*row, day.date, end_s.min(hours.close_s)),
                None => Some(*row),
            };
            let Some(row) = row else { continue };
            let extras = &extras[i * columns.len()..][..columns.len()];
            let pause_s = day.pause.map(|[from_s, _]| day.regular.open_s + from_s);
            let end_s = rules.end_s(start_s.max(hours.open_s), end_s, hours);
            // What begins before a pause is over when it begins.
            let ends_before = pause_s.filter(|&pause_s| start_s < pause_s);
            merged.add(&row, extras, ends_before.map_or(end_s, |pause_s| end_s.min(pause_s)));
        }
    }
    let notes = notes(&closed_days, outside, straddling, rules.calendar);
    Ok(BuiltSeries { series: merged.series, extended_rows, straddling, notes })
}

fn notes(
    closed_days: &[NaiveDate],
    outside: usize,
    straddling: usize,
    calendar: Calendar,
) -> Vec<String> {
    let market = calendar.to_string().to_uppercase();
    let mut notes = Vec::new();
    if let Some(first) = closed_days.first() {
        notes.push(format!(
            "{} with bars on which the {market} was closed (first {first}): kept, with normal \
             hours; --calendar always keeps all hours",
            counted(closed_days.len(), "day")
        ));
    }
    if outside > 0 {
        notes.push(format!("{} dated outside the period left out", counted(outside, "row")));
    }
    if straddling > 0 {
        notes.push(format!(
            "{} that began before the close and ended in extended hours left out",
            counted(straddling, "bar")
        ));
    }
    notes
}

/// Checks that bars of the requested length can be built from the stored ones.
fn check_length(rules: &SessionRules) -> Result<(), MarketError> {
    let native = i64::from(rules.convention.native_minutes());
    let wanted = i64::from(rules.bar_minutes);
    // A bar of the whole session can be made of any.
    let session = i64::from(rules.calendar.session_minutes());
    let whole_session = wanted == session && !rules.extended_hours;
    if wanted == native || whole_session {
        return Ok(());
    }
    let [open_s, _] = rules.calendar.hours();
    let [extended_s, _] = rules.calendar.extended_hours();
    let anchor_s = if rules.extended_hours { extended_s } else { open_s };
    let off_s =
        (rules.convention.phase_s + open_s - anchor_s).rem_euclid(rules.convention.native_s);
    let problem = if wanted < native {
        format!("the data has bars of {native} minutes, from which shorter ones cannot be made")
    } else if wanted % native != 0 {
        format!("{wanted} is not a multiple of the data's {native} minutes")
    } else if off_s != 0 {
        let anchor = time_text(anchor_s);
        format!(
            "the data's {native}-minute bars do not start at {anchor}, where the new ones would"
        )
    } else {
        return Ok(());
    };
    Err(MarketError::Input {
        what: format!("--bar-minutes {wanted}: {problem}"),
        hint: format!("leave it out or use {native}"),
    })
}

impl SessionRules<'_> {
    /// End of the output bar that contains this bar. `start_s` lies in `hours`.
    fn end_s(&self, start_s: i64, end_s: i64, hours: Session) -> i64 {
        let length_s = 60 * i64::from(self.bar_minutes);
        let end_s = if length_s == self.convention.native_s {
            end_s
        } else {
            hours.open_s + ((start_s - hours.open_s) / length_s + 1) * length_s
        };
        end_s.min(hours.close_s)
    }
}

/// Merges consecutive bars with the same end.
struct Merger {
    series: BarSeries,
    /// `[column]`: last known values; NaN before the first.
    known: Vec<f32>,
}

impl Merger {
    fn add(&mut self, row: &CleanRow, extras: &[f32], end_s: i64) {
        for (known, &value) in self.known.iter_mut().zip(extras) {
            *known = if value.is_finite() { value } else { *known };
        }
        let series = &mut self.series;
        if series.end_s.last() != Some(&end_s) {
            let CleanRow { open, high, low, close, volume, .. } = *row;
            series.push_with(Bar { end_s, open, high, low, close, volume }, &self.known);
            return;
        }
        let last = series.len() - 1;
        series.extras[last * self.known.len()..].copy_from_slice(&self.known);
        series.high[last] = series.high[last].max(row.high);
        series.low[last] = series.low[last].min(row.low);
        series.close[last] = row.close;
        series.volume[last] += row.volume;
    }
}
