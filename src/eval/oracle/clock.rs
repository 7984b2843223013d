//! The signal of `clock`: what time of the session it is.

use crate::market::calendar;
use crate::synthetic::return_process::clock_sign;

/// Full sessions in bars of `bar_minutes` with an expected return of `drift` per bar, up in the
/// first half and down in the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SessionClock {
    pub drift: f64,
    pub bar_minutes: u32,
}

impl SessionClock {
    const SESSION_S: i64 = calendar::CLOSE_TOD_S - calendar::OPEN_TOD_S;

    /// Bars of a full session.
    pub(super) fn bars(&self) -> usize {
        self.bars_in(Self::SESSION_S)
    }

    fn bars_in(&self, seconds: i64) -> usize {
        seconds.max(0).unsigned_abs().div_ceil(60 * u64::from(self.bar_minutes)) as usize
    }

    /// Expected simple return of bar `bar` of a full session.
    pub(super) fn mean(&self, bar: usize) -> f64 {
        self.drift * clock_sign(bar, self.bars())
    }

    /// The bar that follows the one that ends at `end_s`, as one of a full session. One of a short
    /// session is the bar of a full one that is as far from the end of the same half. The session
    /// of tomorrow is taken for a full one.
    pub(super) fn next_bar(&self, end_s: i64) -> usize {
        let session = calendar::usual_session(calendar::market_date(end_s));
        let count = self.bars_in(session.close_s - session.open_s);
        let next = self.bars_in(end_s - session.open_s);
        if next >= count {
            0
        } else if clock_sign(next, count) > 0.0 {
            next + self.bars().div_ceil(2) - count.div_ceil(2)
        } else {
            next + self.bars() - count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since 1970 of a New York time.
    fn at(day: &str, hour: u32, minute: u32) -> i64 {
        let day: chrono::NaiveDate = day.parse().unwrap();
        calendar::market_time_to_utc(day.and_hms_opt(hour, minute, 0).unwrap())
    }

    #[test]
    fn the_next_bar_of_a_full_session() {
        let clock = SessionClock { drift: 5e-4, bar_minutes: 30 };
        assert_eq!(clock.bars(), 13);
        // In winter and in summer.
        for day in ["2019-12-02", "2019-07-01"] {
            assert_eq!(clock.next_bar(at(day, 10, 0)), 1);
            assert_eq!(clock.next_bar(at(day, 12, 30)), 6);
            assert_eq!(clock.next_bar(at(day, 13, 0)), 7);
            assert_eq!(clock.next_bar(at(day, 15, 30)), 12);
            assert_eq!(clock.next_bar(at(day, 16, 0)), 0);
        }
        assert_eq!([clock.mean(6), clock.mean(7)], [5e-4, -5e-4]);
        // Seven bars, of which the last is half an hour long.
        let hours = SessionClock { drift: 10e-4, bar_minutes: 60 };
        assert_eq!(hours.bars(), 7);
        assert_eq!(hours.next_bar(at("2019-12-02", 15, 30)), 6);
        assert_eq!(hours.next_bar(at("2019-12-02", 16, 0)), 0);
    }

    /// The day after Thanksgiving has seven half hours: four up, the last of which is bar 6 of a
    /// full session, and three down, the last of which is bar 12.
    #[test]
    fn the_next_bar_of_a_short_session() {
        let clock = SessionClock { drift: 5e-4, bar_minutes: 30 };
        let day = "2019-11-29";
        assert_eq!(clock.next_bar(at(day, 10, 0)), 4);
        assert_eq!(clock.next_bar(at(day, 11, 0)), 6);
        assert_eq!(clock.next_bar(at(day, 11, 30)), 10);
        assert_eq!(clock.next_bar(at(day, 12, 30)), 12);
        assert_eq!(clock.next_bar(at(day, 13, 0)), 0);
    }
}
