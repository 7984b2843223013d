//! Trading days that were asked for and are not there.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::{BarFinding, FindingKind};
use crate::market::bar::{BarSeries, Period};
use crate::market::calendar::{Calendar, MarketClock};
use crate::wording::counted;

/// Trading days by which bars may begin late, or end early, without being said to.
const AT_ENDS: usize = 5;
/// Maximum number of days listed.
const MAX_LISTED: usize = 3;
/// Years for which the calendar's rules hold.
const YEARS: [i32; 2] = [1990, 2100];

/// Whether a stock begins or ends inside `period`, and other trading days that have no bars.
pub(crate) fn presence(series: &BarSeries, period: &Period, calendar: Calendar) -> Vec<BarFinding> {
    let (Some(&first_s), Some(&last_s)) = (series.end_s.first(), series.end_s.last()) else {
        return Vec::new();
    };
    let mut clock = MarketClock::new();
    let mut has = BTreeSet::new();
    let mut last = None;
    for &end_s in &series.end_s {
        let date = clock.at(end_s).0;
        if last.replace(date) != Some(date) {
            has.insert(date);
        }
    }
    let (Some(&first), Some(last)) = (has.first(), last) else { return Vec::new() };
    let [from, until] = YEARS.map(|year| NaiveDate::from_yo_opt(year, 1).unwrap_or_default());
    let ruled = Period { start: period.start.max(from), end: period.end.min(until) };
    let days: Vec<NaiveDate> = calendar.sessions_in(&ruled).map(|(date, _)| date).collect();
    let finding = |kind, text: String| BarFinding { kind, from_s: first_s, until_s: last_s, text };
    let mut found = Vec::new();
    let late = days.iter().filter(|&&day| day < first).count();
    if late > AT_ENDS {
        let text = format!(
            "bars begin on {first}, {late} trading days after the period ({}); until then there is \
             nothing to trade",
            period.start
        );
        found.push(finding(FindingKind::Begins, text));
    }
    let early = days.iter().filter(|&&day| day > last).count();
    if early > AT_ENDS {
        let text = format!(
            "bars end on {last}, {early} trading days before the period ({}): delisted, or files \
             are missing; from then on there is nothing to trade",
            period.end
        );
        found.push(finding(FindingKind::Ends, text));
    }
    let is_told =
        |day: &NaiveDate| (*day < first && late > AT_ENDS) || (*day > last && early > AT_ENDS);
    let absent: Vec<String> = days
        .iter()
        .filter(|day| !has.contains(*day) && !is_told(day))
        .map(NaiveDate::to_string)
        .collect();
    if !absent.is_empty() {
        let named = absent[..absent.len().min(MAX_LISTED)].join(", ");
        let more = match absent.len().saturating_sub(MAX_LISTED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!(
            "no bars on {} of {}: {named}{more}",
            absent.len(),
            counted(days.len(), "trading day")
        );
        found.push(finding(FindingKind::Absent, text));
    }
    found
}
