//! Dates in the format of the configuration and the position file.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// `2020-01-02` or `2020-01-02 10:00:00`, New York time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepTime {
    pub(crate) date: NaiveDate,
    pub(crate) time: Option<NaiveTime>,
}

impl StepTime {
    pub(crate) fn from_date(date: NaiveDate) -> StepTime {
        StepTime { date, time: None }
    }

    pub(crate) fn from_datetime(at: NaiveDateTime) -> StepTime {
        StepTime { date: at.date(), time: Some(at.time()) }
    }

    /// The last second that it covers: a date covers its whole day.
    pub(crate) fn last_moment(&self) -> NaiveDateTime {
        let end_of_day = NaiveTime::from_hms_opt(23, 59, 59).expect("a time in the source");
        self.date.and_time(self.time.unwrap_or(end_of_day))
    }
}

impl fmt::Display for StepTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Some(time) => write!(f, "{} {}", self.date, time.format("%H:%M:%S")),
            None => write!(f, "{}", self.date),
        }
    }
}

impl FromStr for StepTime {
    type Err = String;

    fn from_str(text: &str) -> Result<StepTime, String> {
        let text = text.trim();
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map(StepTime::from_date);
        let time = |_| {
            NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map(StepTime::from_datetime)
        };
        let stamp = day.or_else(time).map_err(|_| format!("{text:?} is not a date"))?;
        // Only the canonical form is accepted: dates of the position file are compared as text.
        if stamp.to_string() == text { Ok(stamp) } else { Err(format!("{text:?} is not a date")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_parsed_and_formatted() {
        for text in ["2020-01-02", "2020-01-02 10:00:00"] {
            assert_eq!(text.parse::<StepTime>().unwrap().to_string(), text);
        }
        for text in ["2020-1-2", "2020-02-30", "2020-01-02 10:00", "2020-01-02T10:00:00", "", "x"] {
            assert!(text.parse::<StepTime>().is_err(), "{text}");
        }
        let day: StepTime = "2020-01-02".parse().unwrap();
        let evening: StepTime = "2020-01-02 20:00:00".parse().unwrap();
        assert!(evening.last_moment() < day.last_moment());
    }
}
