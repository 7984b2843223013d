//! Bars that are far from the close before, left out or clipped as they come: what is done with one
//! depends on bars before it only.
//!
//! A bar is far if one of its prices is further from the last accepted close than [`FACTOR`] usual
//! moves. A jump that lasts is accepted: of bars that are far, but near each other, the third in a
//! row is taken as it is.

use std::collections::VecDeque;

use chrono::NaiveDate;

use super::CleanRow;
use crate::market::calendar::iso_market_time;
use crate::market::judge::{distance, price, quantile, shortened};
use crate::market::options::OutlierRule;
use crate::wording::counted;

/// Bound in usual moves.
const FACTOR: f64 = 10.0;
/// Bounds are not below these fractions of the price, within a session and overnight.
const MIN_WITHIN: f64 = 0.05;
const MIN_OVERNIGHT: f64 = 0.1;
/// The far bar, in a row, that is accepted.
const ACCEPTED: usize = 3;
/// Sessions before anything is done, and those that are remembered.
const MIN_SESSIONS: usize = 10;
const MAX_SESSIONS: usize = 20;
/// The latest bars, whose median move counts where it is more than that of the sessions: a market
/// that turns wild is followed within a few bars.
const LATEST_BARS: usize = 7;
/// Maximum number of changed bars that are kept for a note.
const MAX_NAMED: usize = 3;

/// What is done with each bar in turn.
pub(super) struct OutlierFilter {
    rule: OutlierRule,
    /// Close of the bar before, and the last one that was near.
    before: Option<(f64, f64)>,
    session: Option<NaiveDate>,
    /// Farthest move of the session's bars but the first.
    moves: Vec<f64>,
    /// Median of those, of the latest sessions.
    sessions: VecDeque<f64>,
    /// Farthest moves of the first bars of sessions.
    overnight: VecDeque<f64>,
    latest: VecDeque<f64>,
    usual_within: f64,
    /// Close of the far bar before, and how many there were in a row.
    far: Option<(f64, usize)>,
    /// Ends of the bars that were changed, UTC seconds.
    changed: Vec<i64>,
    named: Vec<String>,
}

impl OutlierFilter {
    /// None if nothing is to be done.
    pub(super) fn new(rule: OutlierRule) -> Option<OutlierFilter> {
        (rule != OutlierRule::Off).then(|| OutlierFilter {
            rule,
            before: None,
            session: None,
            moves: Vec::new(),
            sessions: VecDeque::new(),
            overnight: VecDeque::new(),
            latest: VecDeque::new(),
            usual_within: 0.0,
            far: None,
            changed: Vec::new(),
            named: Vec::new(),
        })
    }

    /// The next bar, of the session of `date`, as it is to be used; None if it is left out.
    /// `end_s`: its end, UTC seconds.
    pub(super) fn next(&mut self, row: CleanRow, date: NaiveDate, end_s: i64) -> Option<CleanRow> {
        let opens = self.session.replace(date) != Some(date);
        if opens {
            self.end_session();
        }
        let Some((last, near)) = self.before else {
            self.before = Some((row.close, row.close));
            return Some(row);
        };
        let bound = self.bound(opens);
        self.learn(farthest(&row, last), opens);
        let in_a_row = match bound.filter(|&bound| farthest(&row, near) > bound) {
            None => 0,
            Some(bound) => match self.far {
                Some((close, count)) if distance(close, row.close) <= bound => count + 1,
                _ => 1,
            },
        };
        let (true, Some(bound)) = ((1..ACCEPTED).contains(&in_a_row), bound) else {
            self.far = None;
            self.before = Some((row.close, row.close));
            return Some(row);
        };
        self.far = Some((row.close, in_a_row));
        // A wick says nothing against the close.
        let is_near = distance(row.close, near) <= bound;
        self.before = Some((row.close, if is_near { row.close } else { near }));
        self.changed.push(end_s);
        if self.named.len() < MAX_NAMED {
            let [low, high, near] = [row.low, row.high, near].map(price);
            self.named.push(format!("{}: {low} to {high} after {near}", iso_market_time(end_s)));
        }
        (self.rule == OutlierRule::Winsorize).then(|| clipped(&row, near, bound))
    }

    /// What was done, if anything.
    pub(super) fn note(&self) -> Option<String> {
        let (flag, done) = match self.rule {
            OutlierRule::Winsorize => ("winsorize", "clipped"),
            OutlierRule::Drop | OutlierRule::Off => ("drop", "left out"),
        };
        let count = self.changed.len();
        let words = format!("--clean {flag}: {} {done}", counted(count, "bar"));
        let named: Vec<&str> = self.named.iter().map(String::as_str).collect();
        (count > 0).then(|| shortened(&words, &named, count))
    }

    /// Whether the bar with this end was left out or clipped.
    pub(super) fn has_changed(&self, end_s: i64) -> bool {
        self.changed.binary_search(&end_s).is_ok()
    }

    /// How far a bar may be; None before there is enough history.
    fn bound(&self, opens: bool) -> Option<f64> {
        if opens {
            let mut moves: Vec<f64> = self.overnight.iter().copied().collect();
            let usual = quantile(&mut moves, 0.5);
            return (moves.len() >= MIN_SESSIONS).then(|| MIN_OVERNIGHT.max(FACTOR * usual));
        }
        let mut latest: Vec<f64> = self.latest.iter().copied().collect();
        let usual = self.usual_within.max(quantile(&mut latest, 0.5));
        (self.sessions.len() >= MIN_SESSIONS).then(|| MIN_WITHIN.max(FACTOR * usual))
    }

    fn learn(&mut self, distance: f64, opens: bool) {
        if opens {
            push(&mut self.overnight, distance, MAX_SESSIONS);
        } else {
            self.moves.push(distance);
            push(&mut self.latest, distance, LATEST_BARS);
        }
    }

    fn end_session(&mut self) {
        if self.moves.is_empty() {
            return;
        }
        let usual = quantile(&mut self.moves, 0.5);
        self.moves.clear();
        push(&mut self.sessions, usual, MAX_SESSIONS);
        let mut sessions: Vec<f64> = self.sessions.iter().copied().collect();
        self.usual_within = quantile(&mut sessions, 0.5);
    }
}

fn push(latest: &mut VecDeque<f64>, value: f64, most: usize) {
    if latest.len() == most {
        latest.pop_front();
    }
    latest.push_back(value);
}

/// Distance of the price of a bar that is farthest from `close`, as a fraction.
fn farthest(row: &CleanRow, close: f64) -> f64 {
    distance(row.high, close).max(distance(row.low, close))
}

fn clipped(row: &CleanRow, near: f64, bound: f64) -> CleanRow {
    let clip = |price: f64| price.clamp(near / (1.0 + bound), near * (1.0 + bound));
    let CleanRow { open, high, low, close, .. } = *row;
    CleanRow { open: clip(open), high: clip(high), low: clip(low), close: clip(close), ..*row }
}

#[cfg(test)]
mod tests;
