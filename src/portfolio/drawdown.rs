//! The drawdown stop.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::config::PortfolioConfig;

/// Halts an account whose equity at the close of a bar is more than `portfolio.drawdown_limit`
/// below its peak: it goes flat at the next open. It stays flat for the rest of that session and
/// for `portfolio.drawdown_pause_sessions` more sessions. It resumes with the first bar of the
/// session after them and with a new peak, so earlier losses no longer count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DrawdownStop {
    /// Relative to the equity at the start or at the last restart.
    equity: f64,
    peak: f64,
    date: Option<NaiveDate>,
    /// Sessions that have yet to begin before trading resumes; None while trading.
    waiting: Option<u32>,
}

impl Default for DrawdownStop {
    fn default() -> DrawdownStop {
        DrawdownStop { equity: 1.0, peak: 1.0, date: None, waiting: None }
    }
}

impl DrawdownStop {
    /// Takes in the bar that has just closed, in the session of `date`; `gain` is the simple return
    /// of the account's equity over it. Returns whether the account has to be flat.
    pub(crate) fn observe(&mut self, gain: f64, date: NaiveDate, config: &PortfolioConfig) -> bool {
        let begins = self.date.is_some_and(|last| last != date);
        self.date = Some(date);
        self.equity = (self.equity * (1.0 + gain)).max(0.0);
        if begins {
            self.waiting = match self.waiting {
                Some(0) => {
                    (self.equity, self.peak) = (1.0, 1.0);
                    None
                }
                waiting => waiting.map(|sessions| sessions - 1),
            };
        }
        self.peak = self.peak.max(self.equity);
        if self.waiting.is_none() && self.equity < self.peak * (1.0 - config.drawdown_limit) {
            self.waiting = Some(config.drawdown_pause_sessions);
        }
        self.waiting.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2020, 3, day).unwrap()
    }

    /// Up to 1.1, down to 0.99, which is just at a limit of 10 %, and then beyond it.
    #[test]
    fn an_account_stops_beyond_the_limit_and_starts_again_after_its_sessions() {
        let config = PortfolioConfig {
            drawdown_limit: 0.1,
            drawdown_pause_sessions: 2,
            ..PortfolioConfig::default()
        };
        let mut stop = DrawdownStop::default();
        let mut observe = |gain, day| stop.observe(gain, date(day), &config);
        assert!(!observe(0.1, 2));
        assert!(!observe(-0.0999, 2));
        assert!(observe(-0.001, 2));
        // Whatever happens, the rest of this session and two more pass before it trades again.
        assert!(observe(0.5, 2));
        assert!(observe(0.0, 3) && observe(0.0, 3));
        assert!(observe(0.0, 4));
        assert!(!observe(0.0, 5));
        // The drawdown counts from the restart.
        assert!(!observe(-0.09, 5));
        assert!(observe(-0.02, 6));
    }

    #[test]
    fn a_debt_is_a_loss_of_everything_and_no_limit_never_stops() {
        let mut config = PortfolioConfig { drawdown_limit: 0.5, ..PortfolioConfig::default() };
        config.drawdown_pause_sessions = 0;
        let mut stop = DrawdownStop::default();
        assert!(stop.observe(-1.2, date(2), &config));
        assert!(!stop.observe(0.0, date(3), &config));
        assert!(!stop.observe(-0.4, date(3), &config));
        config.drawdown_limit = f64::INFINITY;
        let mut never = DrawdownStop::default();
        assert!((2..20).all(|day| !never.observe(-0.9, date(day), &config)));
    }
}
