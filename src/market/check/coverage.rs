//! Expected bars by the exchange's calendar against actual bars.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::NaiveDate;
use serde::Serialize;

use crate::market::bar::{BarSeries, Period};
use crate::market::calendar::{Calendar, Session, market_date};
use crate::market::clean::Inspection;

/// A day with missing bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ThinDay {
    pub(crate) date: NaiveDate,
    pub(crate) missing: usize,
    pub(crate) expected: usize,
}

impl ThinDay {
    /// Fraction of the expected bars that exist.
    pub(crate) fn coverage(&self) -> f64 {
        1.0 - self.missing as f64 / self.expected as f64
    }
}

impl fmt::Display for ThinDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} of {}", self.date, self.expected - self.missing, self.expected)
    }
}

pub(super) struct Coverage {
    pub(crate) sessions: usize,
    pub(crate) missing_sessions: Vec<NaiveDate>,
    /// Expected bars on days with bars.
    pub(crate) expected_bars: usize,
    pub(crate) incomplete: Vec<ThinDay>,
}

impl Coverage {
    /// Covers the days of the period that are over.
    pub(crate) fn measure(
        series: &BarSeries,
        inspection: &Inspection,
        period: &Period,
        calendar: Calendar,
        is_over: impl Fn(&NaiveDate) -> bool,
    ) -> Coverage {
        let mut has: BTreeMap<NaiveDate, BTreeSet<i64>> = BTreeMap::new();
        for &end_s in &series.end_s {
            has.entry(market_date(end_s)).or_default().insert(end_s);
        }
        let mut coverage = Coverage {
            sessions: 0,
            missing_sessions: Vec::new(),
            expected_bars: 0,
            incomplete: Vec::new(),
        };
        for (date, session) in calendar.sessions_in(period).filter(|(date, _)| is_over(date)) {
            coverage.sessions += 1;
            let Some(has) = has.get(&date) else {
                coverage.missing_sessions.push(date);
                continue;
            };
            let wanted = ends(session, calendar.pause(date), inspection);
            let missing = wanted.iter().filter(|end_s| !has.contains(end_s)).count();
            let expected = wanted.len();
            coverage.expected_bars += expected;
            if missing > 0 {
                coverage.incomplete.push(ThinDay { date, missing, expected });
            }
        }
        coverage
    }
}

/// Ends of a session's bars: the points of the grid, and the close; with a pause, those of the parts
/// before and after it.
fn ends(session: Session, pause: Option<Session>, inspection: &Inspection) -> Vec<i64> {
    let Session { open_s, close_s } = session;
    let convention = &inspection.convention;
    let step_s = convention.native_s;
    let Some(pause) = pause.filter(|_| !convention.daily) else {
        let (phase_s, straddling) = (convention.phase_s, inspection.straddling);
        return part_ends([open_s, close_s], open_s + phase_s, step_s, straddling);
    };
    let before = part_ends([open_s, pause.open_s], open_s + convention.phase_s, step_s, false);
    let phase_s = open_s + convention.phase_after_pause_s;
    let after = part_ends([pause.close_s, close_s], phase_s, step_s, inspection.straddling);
    [before, after].concat()
}

/// Ends of the bars from `from_s` to `until_s`: every `step_s`, one of them at `phase_s`, and
/// `until_s` unless a bar that goes on after it does not belong to the session.
fn part_ends([from_s, until_s]: [i64; 2], phase_s: i64, step_s: i64, straddling: bool) -> Vec<i64> {
    let first_s = from_s + (phase_s - from_s).rem_euclid(step_s);
    let first_s = if first_s == from_s { first_s + step_s } else { first_s };
    let mut ends: Vec<i64> = (first_s..until_s).step_by(step_s as usize).collect();
    let is_whole = (until_s - phase_s).rem_euclid(step_s) == 0;
    if is_whole || !straddling {
        ends.push(until_s);
    }
    ends
}
