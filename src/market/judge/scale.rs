//! How much the prices of a stock usually move, around each bar. Quartiles and medians, so that
//! errors do not move it.

use std::ops::Range;

use crate::market::bar::BarSeries;
use crate::market::calendar::MarketClock;

/// Sessions on either side of a bar's own that say what is usual: about a month in all.
const SESSIONS_ASIDE: usize = 10;

/// Usual moves, computed where they are asked for.
pub(super) struct Scale<'a> {
    series: &'a BarSeries,
    /// Bars of each New York date.
    sessions: Vec<Range<usize>>,
    /// Upper quartile of the ranges of a session's bars, by session.
    ranges: Vec<Option<f64>>,
    /// Median of those around a session.
    usual_ranges: Vec<Option<f64>>,
    /// Median of the overnight moves around a session.
    usual_gaps: Vec<Option<f64>>,
}

impl<'a> Scale<'a> {
    pub(super) fn new(series: &'a BarSeries) -> Scale<'a> {
        let sessions = sessions(series);
        let none = vec![None; sessions.len()];
        let (ranges, usual_ranges, usual_gaps) = (none.clone(), none.clone(), none);
        Scale { series, sessions, ranges, usual_ranges, usual_gaps }
    }

    pub(super) fn sessions(&self) -> &[Range<usize>] {
        &self.sessions
    }

    /// Number of the session that a bar belongs to.
    pub(super) fn session(&self, bar: usize) -> usize {
        self.sessions.partition_point(|session| session.end <= bar)
    }

    /// Usual range of a bar around this one, the move from the close before included, as a fraction
    /// of the price.
    pub(super) fn range(&mut self, bar: usize) -> f64 {
        let session = self.session(bar);
        if let Some(known) = self.usual_ranges[session] {
            return known;
        }
        let mut around: Vec<f64> =
            self.around(session).map(|near| self.session_range(near)).collect();
        let usual = quantile(&mut around, 0.5);
        self.usual_ranges[session] = Some(usual);
        usual
    }

    /// Usual move from close to open around this bar's session, as a fraction of the price.
    pub(super) fn gap(&mut self, bar: usize) -> f64 {
        let session = self.session(bar);
        if let Some(known) = self.usual_gaps[session] {
            return known;
        }
        let BarSeries { open, close, .. } = self.series;
        let first_bars = self.around(session).map(|near| self.sessions[near].start);
        let mut gaps: Vec<f64> = first_bars
            .filter(|&bar| bar > 0)
            .map(|bar| distance(open[bar], close[bar - 1]))
            .collect();
        let usual = quantile(&mut gaps, 0.5);
        self.usual_gaps[session] = Some(usual);
        usual
    }

    fn around(&self, session: usize) -> Range<usize> {
        let end = (session + SESSIONS_ASIDE + 1).min(self.sessions.len());
        session.saturating_sub(SESSIONS_ASIDE)..end
    }

    fn session_range(&mut self, session: usize) -> f64 {
        if let Some(known) = self.ranges[session] {
            return known;
        }
        let BarSeries { high, low, close, .. } = self.series;
        let bars = self.sessions[session].clone();
        let of_bar = |bar: usize| match bar > bars.start {
            true => high[bar].max(close[bar - 1]) / low[bar].min(close[bar - 1]) - 1.0,
            false => high[bar] / low[bar] - 1.0,
        };
        let mut ranges: Vec<f64> = bars.clone().map(of_bar).collect();
        let quartile = quantile(&mut ranges, 0.75);
        self.ranges[session] = Some(quartile);
        quartile
    }
}

/// Bars of each New York date.
fn sessions(series: &BarSeries) -> Vec<Range<usize>> {
    let mut sessions: Vec<Range<usize>> = Vec::new();
    let (mut clock, mut last) = (MarketClock::new(), None);
    for (bar, &end_s) in series.end_s.iter().enumerate() {
        // The last bar of extended hours ends at 20:00, so no bar ends on the next date.
        let date = clock.at(end_s).0;
        match sessions.last_mut() {
            Some(session) if last == Some(date) => session.end = bar + 1,
            _ => sessions.push(bar..bar + 1),
        }
        last = Some(date);
    }
    sessions
}

/// By which fraction the larger of two prices exceeds the other.
pub(crate) fn distance(a: f64, b: f64) -> f64 {
    a.max(b) / a.min(b) - 1.0
}

/// The value below which a share of the others lies; 0 of none. Reorders them.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let nth = ((values.len() - 1) as f64 * share).round() as usize;
    *values.select_nth_unstable_by(nth, f64::total_cmp).1
}
