//! Sessions of other exchanges, from a table.
//!
//! The table, `exchanges.txt`, is made by `scripts/make_exchange_table.py` from the Python package
//! `exchange_calendars`; its head says how it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use chrono::{Datelike, NaiveDate, NaiveTime};
use chrono_tz::Tz;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    parse(include_str!("exchanges.txt")).expect("the table of exchanges is well formed")
});

#[derive(Debug, Default)]
struct Table {
    exchanges: BTreeMap<Mic, Sessions>,
    aliases: BTreeMap<String, Mic>,
}

/// Market identifier code (ISO 10383) of an exchange whose sessions are known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mic([u8; 4]);

impl Mic {
    /// The exchange with this code, or another name of it, in capitals.
    pub(super) fn known(name: &str) -> Option<Mic> {
        let table = &*TABLE;
        let code = Mic::new(name).filter(|mic| table.exchanges.contains_key(mic));
        code.or_else(|| table.aliases.get(name).copied())
    }

    fn new(code: &str) -> Option<Mic> {
        let is_code = code.bytes().all(|letter| letter.is_ascii_uppercase());
        is_code.then_some(Mic(code.as_bytes().try_into().ok()?))
    }

    pub(super) fn sessions(self) -> &'static Sessions {
        &TABLE.exchanges[&self]
    }
}

impl fmt::Display for Mic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("codes are ASCII"))
    }
}

impl fmt::Debug for Mic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Opening and close, and the pause between, seconds after local midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    hours: [i64; 2],
    pause: Option<[i64; 2]>,
}

/// What a day has that others of its weekday have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exception {
    Closed,
    Open,
    /// Opening and close.
    Hours([i64; 2]),
}

/// Sessions of an exchange. Before the first known day and after the last, those of the nearest
/// weeks without holidays.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) zone: Tz,
    /// By first day: the days of the week with sessions, Monday first.
    weeks: Vec<(NaiveDate, [bool; 7])>,
    /// By first day.
    hours: Vec<(NaiveDate, Hours)>,
    exceptions: BTreeMap<NaiveDate, Exception>,
}

impl Sessions {
    fn new(zone: Tz) -> Sessions {
        Sessions { zone, weeks: Vec::new(), hours: Vec::new(), exceptions: BTreeMap::new() }
    }

    /// Adds a line of the table.
    fn add(&mut self, words: &[&str]) -> Option<()> {
        match *words {
            ["week", from, days] => {
                let days: Vec<bool> = days.bytes().map(|day| day == b'1').collect();
                self.weeks.push((from.parse().ok()?, days.try_into().ok()?));
            }
            ["hours", from, open, close, ref pause @ ..] => {
                let pause = match pause {
                    [pause] => Some(clock_range(pause)?),
                    _ => None,
                };
                let hours = [clock_s(open)?, clock_s(close)?];
                self.hours.push((from.parse().ok()?, Hours { hours, pause }));
            }
            [what, year, ref days @ ..] => {
                for day in days {
                    let (day, hours) = day.split_once('=').unwrap_or((day, ""));
                    let date = NaiveDate::parse_from_str(&format!("{year}{day}"), "%Y%m%d").ok()?;
                    let exception = match what {
                        "closed" => Exception::Closed,
                        "open" => Exception::Open,
                        "special" => Exception::Hours(clock_range(hours)?),
                        _ => return None,
                    };
                    self.exceptions.insert(date, exception);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether there is a session on a date.
    pub(super) fn is_open(&self, date: NaiveDate) -> bool {
        match self.exceptions.get(&date) {
            Some(Exception::Closed) => false,
            Some(Exception::Open | Exception::Hours(_)) => true,
            None => since(&self.weeks, date)[date.weekday().num_days_from_monday() as usize],
        }
    }

    /// Opening and close on a date if there is a session, seconds after midnight.
    pub(super) fn hours(&self, date: NaiveDate) -> [i64; 2] {
        match self.exceptions.get(&date) {
            Some(Exception::Hours(hours)) => *hours,
            _ => since(&self.hours, date).hours,
        }
    }

    /// The pause within a date's session.
    pub(super) fn pause(&self, date: NaiveDate) -> Option<[i64; 2]> {
        let [open, close] = self.hours(date);
        since(&self.hours, date).pause.filter(|&[from, until]| open < from && until < close)
    }

    /// The usual hours of the last known day.
    pub(super) fn latest_hours(&self) -> [i64; 2] {
        self.latest().hours
    }

    /// The usual pause of the last known day.
    pub(super) fn latest_pause(&self) -> Option<[i64; 2]> {
        self.latest().pause
    }

    fn latest(&self) -> Hours {
        self.hours.last().expect("every exchange has hours").1
    }
}

/// What is valid on a date; before the first entry, the first.
fn since<T: Copy>(entries: &[(NaiveDate, T)], date: NaiveDate) -> T {
    let after = entries.partition_point(|&(first, _)| first <= date);
    entries[after.saturating_sub(1)].1
}

/// None if a line is not as the head of the table says.
fn parse(text: &str) -> Option<Table> {
    let mut table = Table::default();
    let mut now = Mic(*b"    ");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["alias", name, of] => drop(table.aliases.insert(name.into(), Mic::new(of)?)),
            [code, zone, _, _] if Mic::new(code).is_some() => {
                now = Mic::new(code)?;
                table.exchanges.insert(now, Sessions::new(zone.parse().ok()?));
            }
            _ => table.exchanges.get_mut(&now)?.add(&words)?,
        }
    }
    Some(table)
}

/// Seconds after midnight of `09:30` or `0930`.
fn clock_s(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text, "%H:%M")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H%M"))
        .ok()?;
    Some((time - NaiveTime::MIN).num_seconds())
}

/// Both ends of `0900-1400`.
fn clock_range(text: &str) -> Option<[i64; 2]> {
    let (from, until) = text.split_once('-')?;
    Some([clock_s(from)?, clock_s(until)?])
}
