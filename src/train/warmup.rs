//! How much is read ahead of a period.

use chrono::{Days, NaiveDate};

use crate::config::FeatureConfig;
use crate::market::BarSeries;
use crate::market::calendar::{market, market_date};

/// A long warm-up does not reach back to before the first year that a run may have.
const NO_BARS_BEFORE: NaiveDate = NaiveDate::from_ymd_opt(1_900, 1, 1).expect("a day");

/// At least so many bars, and the bars of at least so many sessions.
#[derive(Clone, Copy)]
pub(crate) struct Warmup {
    bars: u32,
    sessions: u32,
    bar_minutes: u32,
}

impl Warmup {
    /// What a period needs ahead of it so that indicators have settled and capital by equal risk
    /// is known.
    pub(crate) fn new(features: &FeatureConfig, risk_sessions: usize, bar_minutes: u32) -> Warmup {
        let risk = risk_sessions as u32 * bars_per_session(bar_minutes);
        Warmup {
            bars: features.warmup_bars.max(risk),
            sessions: features.for_bars(bar_minutes).warmup_sessions(),
            bar_minutes,
        }
    }

    /// The day from which on bars are read for a period that begins with `start`.
    pub(crate) fn first_day(&self, start: NaiveDate) -> NaiveDate {
        let first = start.checked_sub_days(Days::new(self.lead_days())).unwrap_or(NO_BARS_BEFORE);
        first.max(NO_BARS_BEFORE)
    }

    /// Calendar days that surely hold the warm-up.
    fn lead_days(&self) -> u64 {
        let sessions = self.bars.div_ceil(bars_per_session(self.bar_minutes)).max(self.sessions);
        (u64::from(sessions) + 3) * 7 / 5 + 7
    }

    /// Leaves exactly the warm-up before `start`, or as much of it as there is.
    pub(crate) fn keep(&self, series: &mut BarSeries, start: NaiveDate) {
        let before = |date: NaiveDate| series.end_s.partition_point(|&s| market_date(s) < date);
        let first = before(start);
        let mut session = first;
        for _ in 0..self.sessions {
            let Some(last) = session.checked_sub(1) else { break };
            session = before(market_date(series.end_s[last]));
        }
        let drop = first.saturating_sub(self.bars as usize).min(session);
        series.drop_first(drop);
    }
}

fn bars_per_session(bar_minutes: u32) -> u32 {
    (market().trading_minutes() / bar_minutes).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Period, Symbol};
    use crate::synthetic::SyntheticMarket;

    #[test]
    fn the_lead_holds_enough_bars_and_sessions_for_short_and_long_bars() {
        let bars = |bar_minutes| Warmup { bars: 480, sessions: 0, bar_minutes };
        // 480 one-minute bars are two sessions, hourly ones 80; a week has five.
        assert_eq!(bars(1).lead_days(), 5 * 7 / 5 + 7);
        assert_eq!(bars(60).lead_days(), 83 * 7 / 5 + 7);
        assert!(bars(390).lead_days() >= 480 * 7 / 5);
        let both = |bar_minutes| Warmup { sessions: 42, ..bars(bar_minutes) };
        assert_eq!(both(1).lead_days(), 45 * 7 / 5 + 7);
        assert_eq!(both(60).lead_days(), bars(60).lead_days());
    }

    /// Ten sessions of 30-minute bars, of which the second begins at noon.
    #[test]
    fn the_warm_up_is_whole_sessions_or_more_bars() {
        let symbol: Symbol = "A".parse().unwrap();
        let market = SyntheticMarket::parse("momentum").unwrap();
        let period =
            Period { start: "2019-01-02".parse().unwrap(), end: "2019-01-15".parse().unwrap() };
        let whole = market.bars(&[symbol.clone(), "B".parse().unwrap()], &symbol, &period, 30);
        let mut series = BarSeries::new(symbol);
        let early = whole.bars().enumerate().filter(|(i, _)| !(13..18).contains(i));
        early.for_each(|(_, bar)| series.push(bar));
        assert_eq!(series.len(), 10 * 13 - 5);
        // The last two sessions.
        let start: NaiveDate = "2019-01-14".parse().unwrap();
        let kept = |bars, sessions| {
            let mut series = series.clone();
            Warmup { bars, sessions, bar_minutes: 30 }.keep(&mut series, start);
            assert!(
                series.close.ends_with(&whole.close[8 * 13..]) && series.open.len() == series.len()
            );
            series.len() - 26
        };
        assert_eq!([kept(0, 0), kept(5, 0), kept(5, 1), kept(20, 1)], [0, 5, 13, 20]);
        assert_eq!([kept(0, 6), kept(0, 7), kept(0, 8), kept(0, 99)], [78, 86, 99, 99]);
        assert_eq!(kept(10_000, 2), 99);
    }
}
