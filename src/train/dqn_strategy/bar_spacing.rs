//! Whether bars come as long as those that a model was trained on. Nothing but their times tells.

use std::collections::BTreeMap;

use crate::market::calendar::{iso_market_time, market, market_date};

/// Steps from one time to the next that are looked at, at most.
const STEPS: usize = 20;

/// What is wrong, and what to do.
type SpacingError = (String, String);

/// Looks at the times of the first bars, which come before anything is decided.
pub(super) struct BarSpacingCheck {
    bar_minutes: u32,
    last_end_s: Option<i64>,
    steps_left: usize,
    /// How often times of one day were so many seconds apart.
    apart: BTreeMap<i64, usize>,
}

impl BarSpacingCheck {
    /// `settle_bars` is after how many bars the first decision can come.
    pub(crate) fn new(bar_minutes: u32, settle_bars: u32) -> BarSpacingCheck {
        let steps_left = STEPS.min((settle_bars as usize).saturating_sub(1)).max(1);
        BarSpacingCheck { bar_minutes, last_end_s: None, steps_left, apart: BTreeMap::new() }
    }

    pub(crate) fn check(&mut self, end_s: i64) -> Result<(), SpacingError> {
        let Some(last) = self.last_end_s.replace(end_s) else { return Ok(()) };
        if end_s <= last {
            let what = format!("bars that end at {} come in parts", iso_market_time(end_s));
            return Err((what, "give those of all stocks that end together at once".into()));
        }
        if self.steps_left == 0 {
            return Ok(());
        }
        self.steps_left -= 1;
        if market_date(last) == market_date(end_s) {
            *self.apart.entry(end_s - last).or_default() += 1;
        }
        if self.steps_left == 0 { self.judge() } else { Ok(()) }
    }

    /// The most frequent distance is a bar's length, the longest of several: the last bar of a
    /// session may be a shorter one.
    fn judge(&self) -> Result<(), SpacingError> {
        let most = self.apart.iter().max_by_key(|(_, count)| **count).map(|(apart, _)| apart / 60);
        let expected = i64::from(self.bar_minutes);
        let session = market().session_minutes();
        let is_so = match most {
            None => 2 * self.bar_minutes > session,
            // Of two bars a session the second may be the rest of it.
            Some(minutes) => {
                let rest = i64::from(session) - expected;
                minutes == expected || (expected > rest && minutes == rest)
            }
        };
        if is_so {
            return Ok(());
        }
        let found = most.map_or("a day".into(), |minutes| format!("{minutes} min"));
        let what = format!("bars come every {found}, those it was trained on every {expected} min");
        Err((what, format!("give bars of {expected} min (--bar-minutes {expected})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2020-03-02, 09:30 in New York.
    const OPEN_S: i64 = 1_583_159_400;

    /// Ten sessions with bars that end so many minutes after the open.
    fn said(bar_minutes: u32, ends: &[i64]) -> Result<(), SpacingError> {
        let mut pace = BarSpacingCheck::new(bar_minutes, 121);
        let times = (0..25).flat_map(|day| ends.iter().map(move |end| (day, end)));
        for (day, end) in times {
            // Daylight saving does not matter: days are told apart by their dates.
            pace.check(OPEN_S + day * 86_400 + end * 60)?;
        }
        Ok(())
    }

    fn every(minutes: i64) -> Vec<i64> {
        (1..).map(|i| i * minutes).take_while(|end| *end < 390).chain([390]).collect()
    }

    #[test]
    fn bars_of_the_models_length_pass_and_others_do_not() {
        for minutes in [1_u32, 5, 30, 60, 120, 130, 150, 180, 195, 240, 390] {
            assert_eq!(said(minutes, &every(minutes.into())), Ok(()), "{minutes}");
            for other in [1, 5, 30, 60, 130, 390].into_iter().filter(|m| *m != minutes) {
                let found = said(minutes, &every(other.into()));
                // One bar a day may be the first of two.
                let may_be = minutes > 195 && other == 390;
                assert_eq!(found.is_err(), !may_be, "{minutes} {other}");
            }
        }
        // Hours from ten o'clock on, as some sources have them.
        assert_eq!(said(60, &[30, 90, 150, 210, 270, 330, 390]), Ok(()));
        let (what, hint) = said(60, &every(30)).unwrap_err();
        assert_eq!(what, "bars come every 30 min, those it was trained on every 60 min");
        assert!(hint.contains("--bar-minutes 60"), "{hint}");
    }

    #[test]
    fn a_missing_bar_is_no_other_length() {
        let mut ends = every(30);
        ends.remove(4);
        assert_eq!(said(30, &ends), Ok(()));
    }

    #[test]
    fn time_moves_on() {
        let mut pace = BarSpacingCheck::new(30, 121);
        pace.check(OPEN_S).unwrap();
        let (what, _) = pace.check(OPEN_S).unwrap_err();
        assert_eq!(what, "bars that end at 2020-03-02T09:30:00-05:00 come in parts");
    }
}
