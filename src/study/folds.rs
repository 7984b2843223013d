//! The periods of a walk-forward.

use chrono::{Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, StudyConfig, StudyWindow};
use crate::market::Period;
use crate::wording::counted;

/// A fold that is cut short by the end of the study is left out below this, unless it is the only
/// one.
const MIN_TEST_DAYS: i64 = 20;

/// What is learned from, and the days after it that are traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Learned from, the validation days among it.
    pub train: Period,
    /// Traded.
    pub test: Period,
}

/// All folds of `whole`, one after another, without gaps between the days that are traded.
///
/// Errors: there is no room for one.
pub fn folds(config: &StudyConfig, whole: Period) -> Result<Vec<Fold>, ConfigError> {
    let too_short = || {
        let what = format!(
            "{whole} has no room for {} of training and {} of trading",
            counted(config.train_months as usize, "month"),
            config.test_months
        );
        ConfigError::new("--train-months", what, "shorten them, or move --start_date or --eval_end")
    };
    let months = |date: NaiveDate, count: u32| date.checked_add_months(Months::new(count));
    let mut found = Vec::new();
    for number in 0.. {
        let moved = number * config.test_months;
        let (first, start) =
            (months(whole.start, moved), months(whole.start, moved + config.train_months));
        let next = months(whole.start, moved + config.train_months + config.test_months);
        let (Some(first), Some(start), Some(next)) = (first, start, next) else { break };
        if start > whole.end {
            break;
        }
        let test = Period { start, end: (next - Days::new(1)).min(whole.end) };
        let is_short = (test.end - test.start).num_days() < MIN_TEST_DAYS;
        if is_short && number > 0 {
            break;
        }
        let from = match config.window {
            StudyWindow::Rolling => first,
            StudyWindow::Growing => whole.start,
        };
        let embargo = Days::new(u64::from(config.embargo_days) + 1);
        let train = Period { start: from, end: start - embargo };
        if train.end < train.start {
            return Err(too_short());
        }
        found.push(Fold { train, test });
    }
    if found.is_empty() { Err(too_short()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(start: &str, end: &str) -> Period {
        Period { start: start.parse().unwrap(), end: end.parse().unwrap() }
    }

    fn words(config: &StudyConfig, whole: Period) -> Vec<(String, String)> {
        let found = folds(config, whole).unwrap();
        found.iter().map(|fold| (fold.train.to_string(), fold.test.to_string())).collect()
    }

    #[test]
    fn folds_follow_one_another_with_an_embargo() {
        let config = StudyConfig {
            train_months: 12,
            test_months: 3,
            embargo_days: 1,
            ..StudyConfig::default()
        };
        let whole = period("2018-01-01", "2018-12-31");
        assert_eq!(folds(&config, whole).unwrap_err().field, "--train-months");
        let whole = period("2018-01-01", "2019-08-20");
        let expected = [
            ("2018-01-01 to 2018-12-30", "2019-01-01 to 2019-03-31"),
            ("2018-04-01 to 2019-03-30", "2019-04-01 to 2019-06-30"),
            ("2018-07-01 to 2019-06-29", "2019-07-01 to 2019-08-20"),
        ];
        let expected = expected.map(|(train, test)| (train.to_string(), test.to_string()));
        assert_eq!(words(&config, whole), expected);
        let growing = StudyConfig { window: StudyWindow::Growing, embargo_days: 0, ..config };
        assert_eq!(words(&growing, whole)[2].0, "2018-01-01 to 2019-06-30");
    }

    #[test]
    fn days_that_are_left_over_make_no_fold() {
        let config = StudyConfig { train_months: 1, test_months: 1, ..StudyConfig::default() };
        assert_eq!(words(&config, period("2018-01-01", "2018-03-10")).len(), 1);
        assert_eq!(words(&config, period("2018-01-01", "2018-02-05")).len(), 1, "the only one");
        // 31 January has no day 31 a month later.
        assert_eq!(
            words(&config, period("2018-01-31", "2018-03-30"))[0].1,
            "2018-02-28 to 2018-03-30"
        );
    }
}
