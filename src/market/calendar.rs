//! When markets are open, and the dates and times of day of the one that is traded.
//!
//! The data decides which days exist; the calendar gives each day's session hours.

mod clock;
mod exchange;
mod nyse;

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use chrono::{Days, NaiveDate};
use chrono_tz::America::New_York;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::bar::Period;
use super::error::MarketError;
pub(crate) use clock::{MarketClock, changes_clock, iso_utc, time_of_day_s, zone_time_to_utc};
pub use clock::{iso_market_time, market_date};
pub(crate) use clock::{market_time, market_time_to_utc};
pub use exchange::Mic;
pub(crate) use nyse::{CLOSE_TOD_S, OPEN_TOD_S};

const DAY_S: i64 = 86_400;

/// A trading session, UTC seconds since 1970: `open_s` inclusive, `close_s` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Opening, inclusive.
    pub open_s: i64,
    /// Close, exclusive.
    pub close_s: i64,
}

/// When a market is open, and in which zone its dates are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Calendar {
    /// New York Stock Exchange: 09:30 to 16:00, its holidays and half days.
    #[default]
    Nyse,
    /// Every day from midnight to midnight in New York, as coins are traded.
    Always,
    /// Another exchange.
    Exchange(Mic),
}

/// The calendar of this process: all its bars are of one market.
static MARKET: OnceLock<Calendar> = OnceLock::new();

/// The calendar whose dates and times of day this process goes by.
pub(crate) fn market() -> Calendar {
    *MARKET.get_or_init(Calendar::default)
}

/// The zone of [`market`].
pub(crate) fn market_zone() -> Tz {
    market().zone()
}

impl Calendar {
    /// Makes the dates and times of day of this process those of the calendar. Every command does so
    /// as soon as its settings are known, before it reads bars.
    ///
    /// # Errors
    /// If this process goes by another one.
    pub fn adopt(self) -> Result<(), MarketError> {
        let adopted = *MARKET.get_or_init(|| self);
        if adopted == self {
            return Ok(());
        }
        Err(MarketError::Input {
            what: format!("days of {adopted} and of {self} cannot be put side by side"),
            hint: "use the same --calendar for all".into(),
        })
    }

    /// Zone of the dates and hours.
    pub(crate) fn zone(self) -> Tz {
        match self {
            Calendar::Nyse | Calendar::Always => New_York,
            Calendar::Exchange(mic) => mic.sessions().zone,
        }
    }

    /// Regular hours on a date; None if the market is closed.
    pub(crate) fn session(self, date: NaiveDate) -> Option<Session> {
        let is_open = match self {
            Calendar::Nyse => nyse::is_open(date),
            Calendar::Always => true,
            Calendar::Exchange(mic) => mic.sessions().is_open(date),
        };
        is_open.then(|| self.usual_session(date))
    }

    /// Regular hours if the market were open: used for bars on days that the calendar has as closed,
    /// since data may come from other venues.
    pub(crate) fn usual_session(self, date: NaiveDate) -> Session {
        let [open, close] = match self {
            Calendar::Nyse => [OPEN_TOD_S, nyse::close_tod_s(date)],
            Calendar::Always => return self.whole_day(date),
            Calendar::Exchange(mic) => mic.sessions().hours(date),
        };
        Session { open_s: self.at(date, open), close_s: self.at(date, close) }
    }

    /// The hours in which a session is interrupted, as in Tokyo at noon.
    pub(crate) fn pause(self, date: NaiveDate) -> Option<Session> {
        let Calendar::Exchange(mic) = self else { return None };
        let [open, close] = mic.sessions().pause(date)?;
        Some(Session { open_s: self.at(date, open), close_s: self.at(date, close) })
    }

    /// Regular and extended hours: in New York 04:00 to 20:00, elsewhere the whole day.
    pub(crate) fn extended_session(self, date: NaiveDate) -> Session {
        match self {
            Calendar::Nyse => Session {
                open_s: self.at(date, nyse::EXTENDED_OPEN_TOD_S),
                close_s: self.at(date, nyse::EXTENDED_CLOSE_TOD_S),
            },
            Calendar::Always | Calendar::Exchange(_) => self.whole_day(date),
        }
    }

    /// Dates and regular hours of all sessions of a period.
    pub(crate) fn sessions_in(
        self,
        period: &Period,
    ) -> impl Iterator<Item = (NaiveDate, Session)> + use<> {
        let end = period.end;
        let days = period.start.iter_days().take_while(move |&date| date <= end);
        days.filter_map(move |date| self.session(date).map(|session| (date, session)))
    }

    /// Opening and close of a usual session, seconds after local midnight.
    pub(crate) fn hours(self) -> [i64; 2] {
        match self {
            Calendar::Nyse => [OPEN_TOD_S, CLOSE_TOD_S],
            Calendar::Always => [0, DAY_S],
            Calendar::Exchange(mic) => mic.sessions().latest_hours(),
        }
    }

    /// Start and end of the extended hours of a usual day, seconds after local midnight.
    pub(crate) fn extended_hours(self) -> [i64; 2] {
        match self {
            Calendar::Nyse => [nyse::EXTENDED_OPEN_TOD_S, nyse::EXTENDED_CLOSE_TOD_S],
            Calendar::Always | Calendar::Exchange(_) => [0, DAY_S],
        }
    }

    /// Length of a usual session, minutes, with its pause.
    pub fn session_minutes(self) -> u32 {
        let [open, close] = self.hours();
        ((close - open) / 60) as u32
    }

    /// Minutes of a usual session in which there is trade.
    pub(crate) fn trading_minutes(self) -> u32 {
        let pause = match self {
            Calendar::Nyse | Calendar::Always => None,
            Calendar::Exchange(mic) => mic.sessions().latest_pause(),
        };
        self.session_minutes() - pause.map_or(0, |[from, until]| ((until - from) / 60) as u32)
    }

    /// From midnight to a second before the next one, so that a day's last bar is of its date.
    fn whole_day(self, date: NaiveDate) -> Session {
        Session { open_s: self.at(date, 0), close_s: self.at(date + Days::new(1), 0) - 1 }
    }

    fn at(self, date: NaiveDate, tod_s: i64) -> i64 {
        let midnight = date.and_time(chrono::NaiveTime::MIN);
        zone_time_to_utc(midnight + chrono::TimeDelta::seconds(tod_s), self.zone())
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Calendar::Nyse => f.write_str("nyse"),
            Calendar::Always => f.write_str("always"),
            Calendar::Exchange(mic) => mic.fmt(f),
        }
    }
}

impl FromStr for Calendar {
    type Err = String;

    /// `nyse`, `always`, or the market identifier code (ISO 10383) or a common name of an exchange,
    /// in any case.
    fn from_str(text: &str) -> Result<Calendar, String> {
        match text.to_ascii_uppercase().as_str() {
            "NYSE" | "XNYS" => Ok(Calendar::Nyse),
            "ALWAYS" => Ok(Calendar::Always),
            name => match Mic::known(name) {
                Some(mic) if mic.to_string() == "XNYS" => Ok(Calendar::Nyse),
                Some(mic) => Ok(Calendar::Exchange(mic)),
                None => {
                    Err("no such calendar: use nyse, always, or the market identifier code of \
                             an exchange, as XLON, XETR or XTKS; docs/data.md lists them"
                        .into())
                }
            },
        }
    }
}

impl TryFrom<String> for Calendar {
    type Error = String;

    fn try_from(text: String) -> Result<Calendar, String> {
        text.parse()
    }
}

impl From<Calendar> for String {
    fn from(calendar: Calendar) -> String {
        calendar.to_string()
    }
}

/// Regular hours of the New York Stock Exchange on a date; None on weekends and full holidays.
pub fn session(date: NaiveDate) -> Option<Session> {
    Calendar::Nyse.session(date)
}

/// Regular hours in New York if the exchange were open.
pub(crate) fn usual_session(date: NaiveDate) -> Session {
    Calendar::Nyse.usual_session(date)
}

/// 04:00 to 20:00 New York time.
pub(crate) fn extended_session(date: NaiveDate) -> Session {
    Calendar::Nyse.extended_session(date)
}

/// Dates and regular hours in New York of all sessions of a period.
pub fn sessions_in(period: &Period) -> impl Iterator<Item = (NaiveDate, Session)> + use<> {
    Calendar::Nyse.sessions_in(period)
}

#[cfg(test)]
mod tests;
