//! Dates in the format of the configuration and the position file.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// `2020-01-02` or `2020-01-02 10:00:00`, the market's time. Leading zeros may be missing when it is
/// read, as in files of AI-Trader.
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
        let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | ' ' | 'T');
        let wrong = || format!("{text:?} is not a date");
        if !text.chars().all(is_plain) || text.find('-') != Some(4) {
            return Err(wrong());
        }
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(StepTime::from_date(date));
        }
        let forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
        let at = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        // A leap second is no time of a bar.
        let at = at.filter(|at| at.and_utc().timestamp_subsec_nanos() < 1_000_000_000);
        at.map(StepTime::from_datetime).ok_or_else(wrong)
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
        // As AI-Trader's configurations have them.
        for (text, expected) in [
            ("2020-1-2", "2020-01-02"),
            ("2025-01-7 9:30:00", "2025-01-07 09:30:00"),
            (" 2020-01-02 10:00 ", "2020-01-02 10:00:00"),
            ("2020-01-02T10:00:00", "2020-01-02 10:00:00"),
        ] {
            assert_eq!(text.parse::<StepTime>().unwrap().to_string(), expected, "{text}");
        }
        for text in [
            "2020-02-30",
            "2020-01-02 25:00",
            "20-01-02",
            "02.01.2020",
            "01/02/2020",
            "+2020-01-02",
            "2020-01-02 23:59:60",
            "2020-01-02 10",
            "",
            "x",
        ] {
            assert!(text.parse::<StepTime>().is_err(), "{text}");
        }
        let day: StepTime = "2020-01-02".parse().unwrap();
        let evening: StepTime = "2020-01-02 20:00:00".parse().unwrap();
        assert!(evening.last_moment() < day.last_moment());
    }
}
