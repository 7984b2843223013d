//! Dates below an axis of bars: as fine as the labels have room, and none over another.

use chrono::{Datelike, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::LABEL;
use super::header::text_width;
use crate::market::calendar::MarketClock;

/// Between two labels, pixels.
const GAP: f64 = 8.0;
/// More labels than about this would crowd a wide axis, even where they fit.
const MAX_DATES: usize = 13;

#[derive(Clone, Copy)]
enum TickLevel {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    /// So many hours.
    Hours(u32),
}

/// From fine to coarse; the finest whose labels have room is taken.
const LEVELS: [TickLevel; 8] = [
    TickLevel::Hours(1),
    TickLevel::Hours(2),
    TickLevel::Hours(4),
    TickLevel::Day,
    TickLevel::Week,
    TickLevel::Month,
    TickLevel::Quarter,
    TickLevel::Year,
];

impl TickLevel {
    /// Equal for bars between the same two ticks.
    fn key(self, time: NaiveDateTime) -> (i32, u32) {
        let months = time.year() * 12 + time.month0() as i32;
        let day = time.num_days_from_ce();
        match self {
            TickLevel::Year => (time.year(), 0),
            TickLevel::Quarter => (months.div_euclid(3), 0),
            TickLevel::Month => (months, 0),
            TickLevel::Week => ((day - 1).div_euclid(7), 0),
            TickLevel::Day => (day, 0),
            TickLevel::Hours(hours) => (day, time.hour() / hours),
        }
    }

    /// The year stands on the first label and where it changes.
    fn label(self, time: NaiveDateTime, new_year: bool) -> String {
        let format = match self {
            TickLevel::Year => "%Y",
            TickLevel::Quarter | TickLevel::Month if new_year => "%b %Y",
            TickLevel::Quarter | TickLevel::Month => "%b",
            TickLevel::Week | TickLevel::Day if new_year => "%-d %b %Y",
            TickLevel::Week | TickLevel::Day => "%-d %b",
            TickLevel::Hours(_) => "%H:%M",
        };
        time.format(format).to_string()
    }
}

/// Bars that are labelled, by their number, and the labels, centred on them. `room` is the width of
/// the axis, `margin` what a label may reach beyond its end, pixels.
pub(super) fn date_ticks(end_s: &[i64], room: f64, margin: f64) -> Vec<(f64, String)> {
    let mut clock = MarketClock::new();
    let mut time = |&end_s: &i64| {
        let (date, tod_s) = clock.at(end_s);
        date.and_time(NaiveTime::MIN) + TimeDelta::seconds(tod_s)
    };
    let times: Vec<NaiveDateTime> = end_s.iter().map(&mut time).collect();
    let starts_day = |&bar: &usize| bar == 0 || times[bar].date() != times[bar - 1].date();
    let days: Vec<usize> = (0..times.len()).filter(starts_day).collect();
    let bar = room / times.len().saturating_sub(1).max(1) as f64;
    let least = 0.7 * room / MAX_DATES as f64;
    let axis = DateAxis { times: &times, days: &days, bar, least };
    let is_one_day = days.len() <= 1;
    // Hours of several days would go without their dates.
    let is_possible = |level: &TickLevel| is_one_day || !matches!(level, TickLevel::Hours(_));
    let fits = |level: &TickLevel| is_possible(level) && axis.has_room(*level);
    let level = LEVELS.into_iter().find(fits).unwrap_or(TickLevel::Year);
    let mut labels = axis.labels(level, |last, next| axis.distance(last, next) >= 0.0);
    let end = |label: &Label| axis.bar * label.bar as f64 + label.width / 2.0;
    if labels.len() > 1 && labels.last().is_some_and(|last| end(last) > room + margin) {
        labels.pop();
    }
    labels.into_iter().map(|label| (label.bar as f64, label.text)).collect()
}

struct Label {
    /// Index of the bar.
    bar: usize,
    text: String,
    /// Pixels.
    width: f64,
}

struct DateAxis<'a> {
    /// `[bar]`, New York.
    times: &'a [NaiveDateTime],
    /// Bars with which a day begins.
    days: &'a [usize],
    /// Pixels from one bar to the next.
    bar: f64,
    /// Pixels that are between the middles of two labels at least.
    least: f64,
}

impl DateAxis<'_> {
    /// Bars with which a stretch of the level begins.
    fn starts(&self, level: TickLevel) -> Vec<usize> {
        let begins =
            |&bar: &usize| bar == 0 || level.key(self.times[bar]) != level.key(self.times[bar - 1]);
        match level {
            TickLevel::Hours(_) => (0..self.times.len()).filter(begins).collect(),
            _ => self.days.iter().copied().filter(begins).collect(),
        }
    }

    /// Those that may stand after the last one before them.
    fn labels(&self, level: TickLevel, may_follow: impl Fn(&Label, &Label) -> bool) -> Vec<Label> {
        let label = |bar: usize, last: Option<usize>| {
            let time = self.times[bar];
            let text =
                level.label(time, last.is_none_or(|last| self.times[last].year() != time.year()));
            let width = f64::from(text_width(&text, LABEL));
            Label { bar, text, width }
        };
        let mut starts = self.starts(level);
        if let [first, second, ..] = starts[..] {
            let overlap = self.distance(&label(first, None), &label(second, Some(first))) < 0.0;
            // The first stretch may be a fragment, such as the last days of a month.
            let is_fragment = starts
                .get(2)
                .is_none_or(|third| ((second - first) as f64) < 0.7 * (third - second) as f64);
            if overlap && is_fragment {
                starts.remove(0);
            }
        }
        let mut labels: Vec<Label> = Vec::new();
        for bar in starts {
            let next = label(bar, labels.last().map(|last| last.bar));
            if labels.last().is_none_or(|last| may_follow(last, &next)) {
                labels.push(next);
            }
        }
        labels
    }

    /// Pixels between two labels beyond what has to be there.
    fn distance(&self, one: &Label, other: &Label) -> f64 {
        self.bar * (other.bar - one.bar) as f64 - self.needed(one, other)
    }

    fn needed(&self, one: &Label, other: &Label) -> f64 {
        self.least.max((one.width + other.width) / 2.0 + GAP)
    }

    /// Whether the labels of a level could all stand if its stretches were of equal length. A short
    /// one, as a week of holidays is, goes without its label.
    fn has_room(&self, level: TickLevel) -> bool {
        let labels = self.labels(level, |_, _| true);
        let [first, .., last] = &labels[..] else { return true };
        let mean = self.bar * (last.bar - first.bar) as f64 / (labels.len() - 1) as f64;
        let fit = |pair: &[Label]| self.needed(&pair[0], &pair[1]) <= mean;
        labels.len() <= MAX_DATES && labels.windows(2).all(fit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Days, NaiveDate};

    /// Of the wide picture and of the narrow one, about.
    const WIDE: f64 = 890.0;
    const NARROW: f64 = 270.0;
    const MARGIN: f64 = 28.0;

    /// Bars at 15:00 UTC on `days` days in a row from a date on.
    fn daily(year: i32, month: u32, day: u32, days: u64) -> Vec<i64> {
        let first =
            NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(15, 0, 0).unwrap();
        (0..days).map(|d| (first + Days::new(d)).and_utc().timestamp()).collect()
    }

    /// `bars` bars `minutes` apart on each of `days` days.
    fn intraday(days: i64, bars: i64, minutes: i64) -> Vec<i64> {
        let first = daily(2024, 3, 4, 1)[0] - 1_800;
        let of_day = |day| (0..bars).map(move |bar| first + 86_400 * day + 60 * minutes * bar);
        (0..days).flat_map(of_day).collect()
    }

    fn texts(end_s: &[i64], room: f64) -> Vec<String> {
        date_ticks(end_s, room, MARGIN).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn dates_suit_the_length_of_the_period() {
        let months = [
            "Jan 2020", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let year = daily(2020, 1, 2, 365);
        assert_eq!(texts(&year, WIDE), months);
        assert_eq!(texts(&year, NARROW), ["Jan 2020", "Apr", "Jul", "Oct"]);
        assert_eq!(date_ticks(&year, WIDE, MARGIN)[1].0, 30.0, "1 February is 30 days later");
        let from_late_month = daily(2019, 11, 28, 120);
        for room in [WIDE, NARROW] {
            assert_eq!(texts(&from_late_month, room), ["Dec 2019", "Jan 2020", "Feb", "Mar"]);
        }
        let weeks = ["1 Mar 2024", "4 Mar", "11 Mar", "18 Mar", "25 Mar"];
        let month = daily(2024, 3, 1, 31);
        assert_eq!(texts(&month, WIDE), weeks);
        assert_eq!(texts(&month, NARROW)[..], ["4 Mar 2024", "11 Mar", "18 Mar", "25 Mar"]);
        let decades = texts(&daily(2000, 1, 1, 8_000), NARROW);
        assert_eq!(decades[..3], ["2000", "2004", "2008"]);
    }

    #[test]
    fn one_day_has_hours_and_several_have_dates() {
        let hours = ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"];
        assert_eq!(texts(&intraday(1, 7, 60), WIDE), hours);
        let full = ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00"];
        assert_eq!(texts(&intraday(1, 13, 30), NARROW), full);
        assert_eq!(texts(&intraday(2, 7, 60), NARROW), ["4 Mar 2024", "5 Mar"]);
        assert_eq!(texts(&intraday(4, 1, 60), NARROW), ["4 Mar 2024", "5 Mar", "6 Mar", "7 Mar"]);
        assert_eq!(texts(&intraday(1, 1, 60), NARROW), ["09:30"]);
        assert!(texts(&[], NARROW).is_empty());
    }

    /// Whatever the period, at both widths: nothing overlaps, nothing is cut, something is there.
    #[test]
    fn no_label_overlaps_another_or_is_cut() {
        for room in [NARROW, 510.0, WIDE] {
            for days in (1..40).chain([60, 120, 250, 366, 500, 731, 1_100, 2_000, 3_653, 12_000]) {
                for (first, per_day) in [(1, 1), (15, 7), (28, 13)] {
                    let end_s: Vec<i64> = daily(2015, 12, first, days)
                        .into_iter()
                        .flat_map(|end_s| (0..per_day).map(move |bar| end_s + 1_800 * bar))
                        .collect();
                    let found = date_ticks(&end_s, room, MARGIN);
                    let bar = room / (end_s.len() - 1).max(1) as f64;
                    let half = |text: &str| f64::from(text_width(text, LABEL)) / 2.0;
                    let edges: Vec<[f64; 2]> = found
                        .iter()
                        .map(|(at, text)| [at * bar - half(text), at * bar + half(text)])
                        .collect();
                    let what =
                        format!("{days} days, {per_day} bars a day, {room} pixels: {found:?}");
                    assert!(!found.is_empty() && found.len() <= 20, "{what}");
                    assert!(edges.windows(2).all(|pair| pair[1][0] - pair[0][1] >= GAP), "{what}");
                    let is_cut = edges.len() > 1 && edges[edges.len() - 1][1] > room + MARGIN;
                    assert!(!is_cut && edges[0][0] > -50.0, "{what}");
                }
            }
        }
    }
}
