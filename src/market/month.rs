//! Calendar months, the unit in which the data service returns its series.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use super::bar::Period;
use super::error::MarketError;

/// A month of a year, written `2020-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct YearMonth {
    first: NaiveDate,
}

impl YearMonth {
    /// The month of a date.
    pub fn from_date(date: NaiveDate) -> YearMonth {
        YearMonth { first: date.with_day(1).unwrap_or(date) }
    }

    /// All calendar days of the month.
    pub fn period(self) -> Period {
        let next = self.first.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
        Period { start: self.first, end: next.pred_opt().unwrap_or(self.first) }
    }

    /// All months that overlap a period, in order.
    pub fn all_in(period: &Period) -> Vec<YearMonth> {
        let mut months = Vec::new();
        let mut month = YearMonth::from_date(period.start);
        while month.first <= period.end {
            months.push(month);
            let Some(next) = month.first.checked_add_months(Months::new(1)) else { break };
            month = YearMonth { first: next };
        }
        months
    }
}

impl fmt::Display for YearMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first.format("%Y-%m"))
    }
}

impl FromStr for YearMonth {
    type Err = MarketError;

    fn from_str(text: &str) -> Result<YearMonth, MarketError> {
        let first = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d");
        first.map(|first| YearMonth { first }).map_err(|_| MarketError::Input {
            what: format!("{text:?} is not a month"),
            hint: "write it as in 2020-01".into(),
        })
    }
}

impl TryFrom<String> for YearMonth {
    type Error = MarketError;

    fn try_from(text: String) -> Result<YearMonth, MarketError> {
        text.parse()
    }
}

impl From<YearMonth> for String {
    fn from(month: YearMonth) -> String {
        month.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_touches_the_months_of_its_first_and_last_day() {
        let period = Period { start: day("2019-11-30"), end: day("2020-02-01") };
        let names: Vec<String> = YearMonth::all_in(&period).iter().map(|m| m.to_string()).collect();
        assert_eq!(names, ["2019-11", "2019-12", "2020-01", "2020-02"]);
        let february = YearMonth::from_date(day("2020-02-17"));
        assert_eq!(february.period(), Period { start: day("2020-02-01"), end: day("2020-02-29") });
        assert_eq!("2020-02".parse(), Ok(february));
        assert!("2020-13".parse::<YearMonth>().is_err());
    }
}
