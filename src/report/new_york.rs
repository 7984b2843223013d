//! New York wall-clock time of bar ends, cheap enough for a row-by-row file.

use std::fmt::Write;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::America::New_York;

/// Looks the offset up once per hour of UTC: New York's clocks change on whole hours of UTC.
pub(super) struct NewYorkClock {
    hour: i64,
    offset_s: i64,
}

impl NewYorkClock {
    pub(super) fn new() -> NewYorkClock {
        NewYorkClock { hour: 0, offset_s: offset_s(0) }
    }

    pub(super) fn local(&mut self, utc_s: i64) -> NaiveDateTime {
        let hour = utc_s.div_euclid(3_600);
        if hour != self.hour {
            *self = NewYorkClock { hour, offset_s: offset_s(utc_s) };
        }
        naive(utc_s + self.offset_s)
    }

    /// Appends ISO 8601 with the offset, as in `2020-01-02T09:31:00-05:00`.
    pub(super) fn push_iso(&mut self, text: &mut String, utc_s: i64) {
        let local = self.local(utc_s);
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        let minutes = self.offset_s.abs() / 60;
        // Writing to a String does not fail.
        let _ = write!(text, "{local:?}{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
}

fn naive(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc()
}

fn offset_s(utc_s: i64) -> i64 {
    New_York.offset_from_utc_datetime(&naive(utc_s)).fix().local_minus_utc().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_daylight_saving() {
        let mut clock = NewYorkClock::new();
        let mut iso = |utc_s| {
            let mut text = String::new();
            clock.push_iso(&mut text, utc_s);
            text
        };
        // `TZ=America/New_York date -d @<s> --iso-8601=seconds`; clocks changed on 2020-03-08 and
        // 2020-11-01.
        assert_eq!(iso(1_577_975_460), "2020-01-02T09:31:00-05:00");
        assert_eq!(iso(1_583_650_799), "2020-03-08T01:59:59-05:00");
        assert_eq!(iso(1_583_650_800), "2020-03-08T03:00:00-04:00");
        assert_eq!(iso(1_604_210_399), "2020-11-01T01:59:59-04:00");
        assert_eq!(iso(1_604_210_400), "2020-11-01T01:00:00-05:00");
    }
}
