//! Rows split by the market's dates.

use std::ops::Range;

use chrono::NaiveDate;

use super::CleanRow;
use crate::market::calendar::{Calendar, MarketClock, Session};

/// The rows of one date.
pub(super) struct DateRows {
    pub(crate) date: NaiveDate,
    pub(crate) rows: Range<usize>,
    /// Regular hours; the usual ones if the calendar has no session.
    pub(crate) regular: Session,
    /// Start and end of the session's pause, seconds from the open.
    pub(crate) pause: Option<[i64; 2]>,
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

/// Splits rows, ordered by time, at the market's midnights.
pub(super) fn days(rows: &[CleanRow], calendar: Calendar) -> Vec<DateRows> {
    let mut days: Vec<DateRows> = Vec::new();
    let mut clock = MarketClock::new();
    for (i, row) in rows.iter().enumerate() {
        let (date, _) = clock.at(row.label_s);
        match days.last_mut() {
            Some(day) if day.date == date => day.rows.end = i + 1,
            _ => {
                let regular = calendar.usual_session(date);
                let pause = calendar.pause(date);
                days.push(DateRows {
                    date,
                    rows: i..i + 1,
                    regular,
                    pause: pause
                        .map(|pause| [pause.open_s, pause.close_s].map(|s| s - regular.open_s)),
                    closed: calendar.session(date).is_none(),
                });
            }
        }
    }
    days
}
