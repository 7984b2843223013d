//! Lines of bars that cannot be what a model was trained on.

use anyhow::{Result, bail};
use chrono::{NaiveDate, Utc};

use crate::config::RunConfig;
use crate::market::Symbol;
use crate::market::calendar::{Calendar, Session, iso_market_time, market_date};

/// The hours and the length that a model's bars have.
pub(crate) struct LineCheck {
    calendar: Calendar,
    extended_hours: bool,
    bar_minutes: u32,
    /// `[stock]`: end of its last bar, UTC seconds.
    last_s: Vec<i64>,
}

impl LineCheck {
    /// Of the bars of a run whose settings name their length.
    pub(crate) fn new(config: &RunConfig, bar_minutes: u32) -> LineCheck {
        LineCheck {
            calendar: config.data.calendar,
            extended_hours: config.data.extended_hours,
            bar_minutes,
            last_s: vec![i64::MIN; config.stocks.len()],
        }
    }

    /// Checks the next bar of a stock, which may repeat earlier ones. Returns when it ends: where days
    /// are whole, midnight is a second earlier, as for bars of a store, so that a day's last bar is of
    /// its date.
    ///
    /// Errors: it ends outside the hours of the model's market, in the future, or too soon after the
    /// bar before.
    pub(crate) fn check(&mut self, stock: usize, symbol: &Symbol, end_s: i64) -> Result<i64> {
        let time = iso_market_time(end_s);
        let before = self.hours(market_date(end_s - 1));
        let end_s = if before.close_s + 1 == end_s { before.close_s } else { end_s };
        let date = market_date(end_s);
        let hours = self.hours(date);
        if end_s <= hours.open_s || end_s > hours.close_s {
            bail!(
                "{symbol}: {time} is outside the hours of the model's bars, {} to {}; a timestamp is \
                 the end of its bar",
                iso_market_time(hours.open_s),
                iso_market_time(hours.close_s)
            );
        }
        let bar_s = 60 * i64::from(self.bar_minutes);
        if end_s - Utc::now().timestamp() > bar_s {
            bail!(
                "{symbol}: {time} is in the future; check the clock and the zone of the timestamps"
            );
        }
        let pause = self.calendar.pause(date);
        let is_cut = end_s == hours.close_s || pause.is_some_and(|pause| end_s == pause.open_s);
        let since_s = end_s.saturating_sub(self.last_s[stock]);
        if since_s > 0 && since_s < bar_s && !is_cut {
            bail!(
                "{symbol}: {time} is {} after the bar before, but the model was trained on \
                 {}-minute bars; send bars of that length",
                duration_text(since_s),
                self.bar_minutes
            );
        }
        self.last_s[stock] = self.last_s[stock].max(end_s);
        Ok(end_s)
    }

    fn hours(&self, date: NaiveDate) -> Session {
        match self.extended_hours {
            true => self.calendar.extended_session(date),
            false => self.calendar.usual_session(date),
        }
    }
}

fn duration_text(seconds: i64) -> String {
    match seconds % 60 {
        0 if seconds == 60 => "a minute".into(),
        0 => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::times::read_text;

    fn checked(minutes: u32, ends: &[&str]) -> Result<()> {
        let symbol: Symbol = "AAA".parse().unwrap();
        let config = RunConfig { stocks: vec![symbol.clone()], ..RunConfig::default() };
        let mut check = LineCheck::new(&config, minutes);
        ends.iter().try_for_each(|end| check.check(0, &symbol, read_text(end).unwrap()).map(drop))
    }

    #[test]
    fn bars_of_the_model_s_length_pass() {
        // Half an hour; an hour, of which the last is half a one; days; a half day.
        for (minutes, ends) in [
            (30, &["2020-03-02T10:00:00-05:00", "2020-03-02T10:30:00-05:00"][..]),
            (60, &["2020-03-02T15:30:00-05:00", "2020-03-02T16:00:00-05:00"]),
            (390, &["2020-11-25T16:00:00-05:00", "2020-11-27T13:00:00-05:00"]),
            // A bar that comes again, and one that comes late.
            (
                30,
                &[
                    "2020-03-02T11:00:00-05:00",
                    "2020-03-02T10:30:00-05:00",
                    "2020-03-02T11:00:00-05:00",
                ],
            ),
        ] {
            assert!(checked(minutes, ends).is_ok(), "{ends:?}");
        }
    }

    #[test]
    fn a_day_that_is_whole_ends_a_second_before_midnight() {
        let symbol: Symbol = "AAA".parse().unwrap();
        let mut config = RunConfig { stocks: vec![symbol.clone()], ..RunConfig::default() };
        config.data.extended_hours = true;
        config.data.calendar = Calendar::Always;
        let mut check = LineCheck::new(&config, 60);
        // Dates are New York's in this process.
        let ends = [3, 4, 5, 6].map(|hour| format!("2020-03-03T0{hour}:00:00Z"));
        let ends = ends.map(|end| read_text(&end).unwrap());
        let calendar = Calendar::Always.extended_session("2020-03-02".parse().unwrap());
        let found = ends.map(|end_s| check.check(0, &symbol, end_s).unwrap());
        let expected =
            ends.map(|end_s| if end_s == calendar.close_s + 1 { end_s - 1 } else { end_s });
        assert_eq!(found, expected);
    }

    #[test]
    fn hours_lengths_and_the_future_are_refused() {
        for (ends, words) in [
            (&["2020-03-02T09:30:00-05:00"][..], "outside the hours"),
            (&["2020-03-02T16:01:00-05:00"], "outside the hours"),
            (&["2020-11-27T13:30:00-05:00"], "outside the hours"),
            (
                &["2020-03-02T10:00:00-05:00", "2020-03-02T10:05:00-05:00"],
                "5 minutes after the bar",
            ),
            (&["2190-03-02T10:00:00-05:00"], "in the future"),
        ] {
            let error = checked(30, ends).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
