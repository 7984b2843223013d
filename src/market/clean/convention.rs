//! Meaning of a symbol's timestamps: bar length, grid, and whether a label names a bar's start or
//! end.

use std::collections::BTreeMap;

use super::CleanRow;
use super::day::DateRows;
use crate::market::bar::Symbol;
use crate::market::calendar::{CLOSE_TOD_S, Calendar, MarketClock, OPEN_TOD_S};
use crate::market::error::MarketError;
use crate::market::options::{BarLabel, LoadOptions};
use crate::wording::counted;

/// One kind of label must outnumber the other by this factor to count as evidence.
const DOMINANCE: usize = 4;
/// The volume jumps at open and close under one reading must exceed those under the other by this
/// factor to decide.
const VOLUME_FACTOR: f64 = 4.0;

/// How to read the labels of one symbol.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Convention {
    /// Length of a bar, seconds.
    pub(crate) native_s: i64,
    /// Where bars begin: seconds from the open, modulo `native_s`. 0 if a bar begins with it; 1800 for
    /// hourly bars on full hours in New York. A bar that begins off this grid is cut at the next grid
    /// point, like the half hour before 10:00 in hourly bars.
    pub(crate) phase_s: i64,
    /// The same after a session's pause, where hourly bars may begin anew, as in Hong Kong at 13:00.
    pub(crate) phase_after_pause_s: i64,
    /// Start or End, never Auto.
    pub(crate) label: BarLabel,
    /// How the label was determined.
    pub(crate) reason: String,
    pub(crate) notes: Vec<String>,
    /// One bar a day, which is the day's session whatever its label.
    pub(crate) daily: bool,
}

impl Convention {
    /// Convention of bars that the program generated: labelled by their end, `minutes` long.
    pub(crate) fn for_synthetic(minutes: u32) -> Convention {
        Convention {
            native_s: 60 * i64::from(minutes),
            phase_s: 0,
            phase_after_pause_s: 0,
            label: BarLabel::End,
            reason: "the program made these bars itself".into(),
            notes: Vec::new(),
            daily: false,
        }
    }

    /// Detects the convention from all rows of a symbol. A label of the options other than Auto takes
    /// precedence; a contradiction is noted.
    pub(super) fn detect(
        symbol: &Symbol,
        rows: &[CleanRow],
        days: &[DateRows],
        options: &LoadOptions,
    ) -> Result<Convention, MarketError> {
        let LoadOptions { bar_label: wanted, label_origin, calendar, .. } = *options;
        let set = label_origin.words();
        if is_daily(rows, days) {
            return Ok(Convention {
                native_s: 60 * i64::from(calendar.session_minutes()),
                phase_s: 0,
                phase_after_pause_s: 0,
                label: BarLabel::Start,
                reason: "daily bars: each is the session of its date".into(),
                notes: Vec::new(),
                daily: true,
            });
        }
        let native_s = native_s(symbol, rows, days)?;
        let phase = |after_pause: bool| {
            let is_there = |day: &DateRows, s: i64| {
                day.pause.is_some_and(|[_, until_s]| s > until_s) == after_pause
            };
            mode(days.iter().flat_map(|day| {
                let labels = day.labels(rows).filter(move |&s| is_there(day, s));
                labels.map(|s| s.rem_euclid(native_s))
            }))
        };
        let phase_s = phase(false).unwrap_or(0);
        let phase_after_pause_s = phase(true).unwrap_or(phase_s);
        let (found, evidence) = label(rows, days, native_s, calendar);
        let mut notes = Vec::new();
        let (label, reason) = match (wanted, found) {
            (BarLabel::Auto, Some(found)) => (found, evidence),
            (BarLabel::Auto, None) => {
                (BarLabel::Start, format!("undetermined ({evidence}); assumed to be the start"))
            }
            (wanted, Some(found)) if wanted != found => {
                let flag = if wanted == BarLabel::Start { "start" } else { "end" };
                notes
                    .push(format!("timestamps are read as a bar's {flag} ({set}), but {evidence}"));
                (wanted, format!("{set}, although the data suggest otherwise"))
            }
            (wanted, _) => (wanted, set.into()),
        };
        Ok(Convention {
            native_s,
            phase_s,
            phase_after_pause_s,
            label,
            reason,
            notes,
            daily: false,
        })
    }

    pub(crate) fn native_minutes(&self) -> u32 {
        (self.native_s / 60) as u32
    }

    /// Start and end of the bar of `day` with this label, all in seconds from the open.
    pub(super) fn interval(&self, day: &DateRows, label_s: i64) -> (i64, i64) {
        if self.daily {
            return (0, day.length_s());
        }
        // A label at the pause's end is the start of the bar after it; it is no bar's end.
        let after_pause = day.pause.is_some_and(|[_, until_s]| label_s >= until_s);
        let phase_s = if after_pause { self.phase_after_pause_s } else { self.phase_s };
        let past_grid_s = (label_s - phase_s).rem_euclid(self.native_s);
        match self.label {
            BarLabel::End if past_grid_s == 0 => (label_s - self.native_s, label_s),
            BarLabel::End => (label_s - past_grid_s, label_s),
            BarLabel::Start | BarLabel::Auto => (label_s, label_s - past_grid_s + self.native_s),
        }
    }
}

/// The most frequent value; the smallest in a tie.
fn mode(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut counts = BTreeMap::new();
    // Nearly all values repeat the previous one: runs are counted without a look-up.
    let (mut last, mut run) = (None, 0_usize);
    for value in values {
        if last == Some(value) {
            run += 1;
            continue;
        }
        if let Some(last) = last.replace(value) {
            *counts.entry(last).or_insert(0) += run;
        }
        run = 1;
    }
    if let Some(last) = last {
        *counts.entry(last).or_insert(0) += run;
    }
    counts.into_iter().rev().max_by_key(|&(_, count)| count).map(|(value, _)| value)
}

/// Whether there is one bar a day, always at the same time: of the market, as midnights and openings
/// are, or of UTC. One bar alone is daily if it is labelled with its date.
fn is_daily(rows: &[CleanRow], days: &[DateRows]) -> bool {
    // Nearly always the first days tell.
    if days.iter().any(|day| day.rows.len() != 1) {
        return false;
    }
    let mut clock = MarketClock::new();
    let local: Vec<i64> = rows.iter().map(|row| clock.at(row.label_s).1).collect();
    let in_local = local.windows(2).all(|pair| pair[0] == pair[1]);
    let time_of_day_s = |row: &CleanRow| row.label_s.rem_euclid(86_400);
    let in_utc = rows.windows(2).all(|pair| time_of_day_s(&pair[0]) == time_of_day_s(&pair[1]));
    match local[..] {
        [] => false,
        [alone] => alone == 0,
        _ => in_local || in_utc,
    }
}

/// The most frequent distance between two bars of a day.
fn native_s(symbol: &Symbol, rows: &[CleanRow], days: &[DateRows]) -> Result<i64, MarketError> {
    let gaps = days
        .iter()
        .flat_map(|day| rows[day.rows.clone()].windows(2).map(|w| w[1].label_s - w[0].label_s));
    let what = match mode(gaps) {
        Some(gap) if gap % 60 == 0 => return Ok(gap),
        Some(gap) => format!("its bars are {gap} seconds apart"),
        None => "it has no two good bars on one day".to_string(),
    };
    Err(MarketError::NoData {
        symbol: symbol.to_string(),
        what,
        hint: "give bars of whole minutes, or one bar a day with its date".into(),
    })
}

/// What the labels name, if it can be determined, and the evidence in a clause.
///
/// Start-labelled data has a label at the open or, for bars on full hours, before it;
/// end-labelled data has one at the close. If both occur, the data has extended hours: then
/// the same test is made at their start and end (in New York 04:00 and 20:00), and then with volume, which jumps up with the first
/// regular bar and down after the last.
fn label(
    rows: &[CleanRow],
    days: &[DateRows],
    native_s: i64,
    calendar: Calendar,
) -> (Option<BarLabel>, String) {
    let trading: Vec<&DateRows> = days.iter().filter(|day| !day.closed).collect();
    let total = trading.len();
    let count = |test: &dyn Fn(i64, i64, i64) -> bool| {
        let holds = |day: &&&DateRows| match (day.labels(rows).next(), day.labels(rows).next_back())
        {
            (Some(first), Some(last)) => test(first, last, day.length_s()),
            _ => false,
        };
        trading.iter().filter(holds).count()
    };
    let opening = count(&|first, _, _| first <= 0);
    let closing = count(&|_, last, length_s| last >= length_s);
    let decided = |at_open: usize, at_close: usize| match (at_open, at_close) {
        (open, close) if open > 0 && open >= DOMINANCE * close => Some(BarLabel::Start),
        (open, close) if close > 0 && close >= DOMINANCE * open => Some(BarLabel::End),
        _ => None,
    };
    let clause = |open: &str, at_open: usize, close: &str, at_close: usize| {
        format!(
            "there is a label at the {open} or before on {at_open} of {}, at the {close} or after \
             on {at_close}",
            counted(total, "day")
        )
    };
    let [open_s, _] = calendar.hours();
    let open = time_text(open_s);
    let plain = clause(&format!("open ({open})"), opening, "close", closing);
    if let Some(label) = decided(opening, closing) {
        return (Some(label), plain);
    }
    let [from_s, until_s] = calendar.extended_hours();
    let early = count(&|first, _, _| first <= from_s - open_s);
    let late = count(&|_, last, _| last >= until_s - open_s);
    if let (Some(label), true) = (decided(early, late), 10 * early.max(late) >= total) {
        return (
            Some(label),
            clause(
                &format!("start of extended hours ({})", time_text(from_s)),
                early,
                &format!("end ({})", time_text(until_s)),
                late,
            ),
        );
    }
    match volume_label(rows, &trading, native_s) {
        Some(BarLabel::End) => (
            Some(BarLabel::End),
            format!(
                "volume rises with the bar labelled one bar after {open} and falls with the one \
                 labelled one bar after the close"
            ),
        ),
        Some(label) => (
            Some(label),
            format!(
                "volume rises with the bar labelled {open} and falls with the one labelled at the \
                 close"
            ),
        ),
        None => (None, plain),
    }
}

/// `09:30`
pub(super) fn time_text(tod_s: i64) -> String {
    format!("{:02}:{:02}", tod_s / 3_600, tod_s % 3_600 / 60)
}

/// The reading under which volume jumps up at the open and down at the close, if one clearly fits
/// better.
fn volume_label(rows: &[CleanRow], days: &[&DateRows], native_s: i64) -> Option<BarLabel> {
    // Volume by distance from the open and from the close: -1, 0, 1 bars.
    let (mut at_open, mut at_close) = ([0.0_f64; 3], [0.0_f64; 3]);
    for day in days {
        for (label_s, row) in day.labels(rows).zip(&rows[day.rows.clone()]) {
            for (sums, from_s) in [(&mut at_open, 0), (&mut at_close, day.length_s())] {
                let distance_s = label_s - from_s;
                if distance_s % native_s == 0 && distance_s.abs() <= native_s {
                    sums[(distance_s / native_s + 1) as usize] += row.volume;
                }
            }
        }
    }
    let jump = |high: f64, low: f64| if high > 0.0 && low > 0.0 { (high / low).ln() } else { 0.0 };
    let start = jump(at_open[1], at_open[0]) + jump(at_close[0], at_close[1]);
    let end = jump(at_open[2], at_open[1]) + jump(at_close[1], at_close[2]);
    match start - end {
        d if d > VOLUME_FACTOR.ln() => Some(BarLabel::Start),
        d if d < -VOLUME_FACTOR.ln() => Some(BarLabel::End),
        _ => None,
    }
}

/// A note if times in New York without a zone start so late in the day that they are probably UTC.
pub(super) fn utc_suspicion(rows: &[CleanRow], days: &[DateRows]) -> Option<String> {
    const NOON_S: i64 = 12 * 3600 - OPEN_TOD_S;
    let late =
        days.iter().filter(|day| day.labels(rows).next().is_some_and(|s| s > NOON_S)).count();
    let after = days
        .iter()
        .filter(|day| day.labels(rows).next_back().is_some_and(|s| s > CLOSE_TOD_S - OPEN_TOD_S))
        .count();
    (!days.is_empty() && 10 * late >= 9 * days.len() && 10 * after >= 9 * days.len()).then(|| {
        "no bars before noon and many after the close: times without a zone look like UTC; \
         store them with their zone"
            .to_string()
    })
}
