//! Rows split by New York date.

use std::ops::Range;

use chrono::NaiveDate;

use super::CleanRow;
use crate::market::calendar::{Calendar, NewYorkClock, Session};

/// The rows of one New York date.
pub(super) struct DateRows {
    pub(crate) date: NaiveDate,
    pub(crate) rows: Range<usize>,
    /// Regular hours; the usual ones if the calendar has no session.
    pub(crate) regular: Session,
    /// Whether the calendar has no session on this date.
    pub(crate) closed: bool,
}

impl DateRows {
    /// Labels in seconds from the open.
    pub(crate) fn labels<'a>(
        &self,
        rows: &'a [CleanRow],
    ) -> impl DoubleEndedIterator<Item = i64> + 'a {
        let open_s = self.regular.open_s;
        rows[self.rows.clone()].iter().map(move |row| row.label_s - open_s)
    }

    /// Length of the regular session, seconds.
    pub(crate) fn length_s(&self) -> i64 {
        self.regular.close_s - self.regular.open_s
    }
}

/// Splits rows, ordered by time, at New York midnights.
pub(super) fn days(rows: &[CleanRow], calendar: Calendar) -> Vec<DateRows> {
    let mut days: Vec<DateRows> = Vec::new();
    let mut clock = NewYorkClock::new();
    for (i, row) in rows.iter().enumerate() {
        let (date, _) = clock.at(row.label_s);
        match days.last_mut() {
            Some(day) if day.date == date => day.rows.end = i + 1,
            _ => days.push(DateRows {
                date,
                rows: i..i + 1,
                regular: calendar.usual_session(date),
                closed: calendar.session(date).is_none(),
            }),
        }
    }
    days
}
