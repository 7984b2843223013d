//! One time as text.

use std::borrow::Cow;

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Weekday};
use chrono_tz::Tz;

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TimeText {
    Date(NaiveDate),
    /// Without a zone.
    Local(NaiveDateTime),
    Zoned {
        /// Milliseconds since 1970.
        utc_ms: i64,
        /// On the clock of its zone.
        local: NaiveDateTime,
    },
}

/// Which comes first in a date such as 01/02/2020.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateOrder {
    /// No such date occurs.
    Year,
    Month,
    Day,
}

impl DateOrder {
    pub(super) fn words(self) -> Cow<'static, str> {
        match self {
            DateOrder::Year => "year first".into(),
            DateOrder::Month => "month/day/year".into(),
            DateOrder::Day => "day/month/year".into(),
        }
    }

    /// The order under which every date exists. If both do, the one without weekends; dots mean the
    /// day first.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Result<DateOrder, String> {
        let mut example = None;
        // Of either order: whether a date does not exist, and whether one is on a weekend.
        let (mut impossible, mut weekend) = ([false; 2], [false; 2]);
        let mut dots = true;
        for text in texts {
            let Some((parts, separator)) = ambiguous(text) else { continue };
            example.get_or_insert(text);
            dots &= separator == b'.';
            for (i, [month, day]) in [[parts[0], parts[1]], [parts[1], parts[0]]].iter().enumerate()
            {
                match date(parts[2], *month, *day) {
                    None => impossible[i] = true,
                    Some(date) => weekend[i] |= is_weekend(date),
                }
            }
        }
        let Some(example) = example else { return Ok(DateOrder::Year) };
        match (impossible, weekend) {
            ([false, true], _) => Ok(DateOrder::Month),
            ([true, false], _) => Ok(DateOrder::Day),
            _ if dots => Ok(DateOrder::Day),
            (_, [false, true]) => Ok(DateOrder::Month),
            (_, [true, false]) => Ok(DateOrder::Day),
            _ => Err(format!(
                "day and month cannot be told apart in {:?}: give --time-format, as in \
                 \"%m/%d/%Y\"",
                super::shortened(example)
            )),
        }
    }
}

fn is_weekend(date: NaiveDate) -> bool {
    use chrono::Datelike;
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The three numbers of a date that ends with its year, and the separator.
fn ambiguous(text: &str) -> Option<([u32; 3], u8)> {
    let mut scan = Scan(text.trim());
    scan.weekday();
    let (first, digits) = scan.number()?;
    let separator = scan.peek().filter(|byte| b"/.-".contains(byte))?;
    if digits > 2 {
        return None;
    }
    scan.skip(1);
    let (second, _) = scan.number()?;
    scan.one_of(b"/.-")?;
    let (year, digits) = scan.number()?;
    Some(([first, second, full_year(year, digits)?], separator))
}

/// `20` is 2020, and `85` is 1985.
fn full_year(year: u32, digits: usize) -> Option<u32> {
    match digits {
        4 => Some(year),
        2 if year < 70 => Some(2_000 + year),
        2 => Some(1_900 + year),
        _ => None,
    }
}

fn date(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// Reads one text; None if it is no time.
pub(super) fn parse(text: &str, order: DateOrder) -> Option<TimeText> {
    let mut scan = Scan(text.trim());
    scan.weekday();
    let day = scan.date(order)?;
    let utc_by_dash = scan.0.starts_with('-');
    scan.separator();
    if scan.0.is_empty() {
        return Some(TimeText::Date(day));
    }
    let local = day.and_time(scan.clock()?);
    let zone = if utc_by_dash && scan.0.is_empty() { Zone::Offset(0) } else { scan.zone()? };
    let utc = match zone {
        Zone::None => return Some(TimeText::Local(local)),
        Zone::Offset(east_s) => {
            FixedOffset::east_opt(east_s)?.from_local_datetime(&local).single()?.to_utc()
        }
        Zone::Named(zone) => zone.from_local_datetime(&local).earliest()?.to_utc(),
    };
    Some(TimeText::Zoned { utc_ms: utc.timestamp_millis(), local })
}

/// What a time, or a column beside it, says of its zone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Zone {
    None,
    /// Seconds east of UTC.
    Offset(i32),
    Named(Tz),
}

/// The zone of a text alone; None if it is none.
pub(super) fn zone(text: &str) -> Option<Zone> {
    Scan(text.trim()).zone()
}

/// What is left of a text.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.bytes().next()
    }

    /// Skips bytes that are known to be ASCII.
    fn skip(&mut self, bytes: usize) {
        self.0 = &self.0[bytes..];
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|byte| bytes.contains(byte))?;
        self.skip(1);
        Some(byte)
    }

    fn leading_digits(&self) -> usize {
        self.0.bytes().take_while(u8::is_ascii_digit).count()
    }

    fn digits(&mut self) -> &'a str {
        let (digits, rest) = self.0.split_at(self.leading_digits());
        self.0 = rest;
        digits
    }

    /// A number and how many digits it has.
    fn number(&mut self) -> Option<(u32, usize)> {
        let digits = self.digits();
        Some((digits.parse().ok()?, digits.len()))
    }

    fn letters(&mut self) -> &'a str {
        let end = self.0.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (letters, rest) = self.0.split_at(end);
        self.0 = rest;
        letters
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start();
    }

    /// Skips `Thu`, `Thursday,` and the like.
    fn weekday(&mut self) {
        let before = self.0;
        if self.letters().parse::<Weekday>().is_err() {
            self.0 = before;
            return;
        }
        self.0 = self.0.trim_start_matches([',', ' ', '.']);
    }

    /// What stands between a date and a time of day.
    fn separator(&mut self) {
        let before = self.0;
        self.0 = self.0.trim_start_matches([',', ' ', '\u{a0}']);
        if self.0.len() == before.len() && self.one_of(b"Tt-_").is_some() {
            self.spaces();
        }
    }

    fn date(&mut self, order: DateOrder) -> Option<NaiveDate> {
        if self.peek()?.is_ascii_alphabetic() {
            let month = month(self.letters())?;
            self.0 = self.0.trim_start_matches(['.', ' ', '-']);
            let (day, _) = self.number()?;
            self.0 = self.0.trim_start_matches([',', ' ', '-']);
            let (year, digits) = self.number()?;
            return date(full_year(year, digits)?, month, day);
        }
        if matches!(self.leading_digits(), 8 | 12 | 14) {
            // What follows is the time of day.
            let (day, rest) = self.0.split_at(8);
            self.0 = rest;
            let day: u32 = day.parse().ok()?;
            return date(day / 10_000, day / 100 % 100, day % 100);
        }
        let digits = self.digits();
        let first: u32 = digits.parse().ok()?;
        let separator = self.one_of(b"-/. ")?;
        if self.peek()?.is_ascii_alphabetic() {
            let month = month(self.letters())?;
            self.one_of(b"-/. ,");
            self.spaces();
            let (last, count) = self.number()?;
            return match digits.len() {
                4 => date(first, month, last),
                _ => date(full_year(last, count)?, month, first),
            };
        }
        if separator == b' ' {
            return None;
        }
        let (second, _) = self.number()?;
        self.one_of(b"-/.")?;
        let (third, count) = self.number()?;
        if digits.len() == 4 {
            return date(first, second, third);
        }
        let year = full_year(third, count)?;
        match order {
            DateOrder::Day => date(year, second, first),
            DateOrder::Month | DateOrder::Year => date(year, first, second),
        }
    }

    /// A time of day: `9:30`, `09:30:00.123`, `0930`, `093000`, with AM or PM.
    fn clock(&mut self) -> Option<NaiveTime> {
        let digits = self.digits();
        let number = || digits.parse::<u32>().ok();
        let [mut hour, minute, second] = match (digits.len(), self.peek()) {
            (1 | 2, Some(b':')) => {
                self.skip(1);
                let (minute, _) = self.number()?;
                let second = self.one_of(b":").map(|_| self.number());
                [number()?, minute, second.unwrap_or(Some((0, 0)))?.0]
            }
            (1 | 2, _) => [number()?, 0, 0],
            (3 | 4, _) => [number()? / 100, number()? % 100, 0],
            (5 | 6, _) => [number()? / 10_000, number()? / 100 % 100, number()? % 100],
            _ => return None,
        };
        let mut nanos = 0;
        if self.one_of(b".,").is_some() {
            nanos = format!("{:0<9.9}", self.digits()).parse().ok()?;
        }
        self.spaces();
        if let Some(is_evening) = self.half_of_day() {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if is_evening { 12 } else { 0 };
        }
        NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
    }

    /// Whether PM follows, or AM; `America/New_York` is neither.
    fn half_of_day(&mut self) -> Option<bool> {
        let before = self.0;
        let word = self.letters().to_ascii_lowercase();
        let is_evening = match word.as_str() {
            "am" => Some(false),
            "pm" => Some(true),
            _ => None,
        };
        if is_evening.is_none() {
            self.0 = before;
        }
        self.spaces();
        is_evening
    }

    /// The rest of the text.
    fn zone(&mut self) -> Option<Zone> {
        // `GMT-0500 (Eastern Standard Time)`, `-05:00[America/New_York]`
        let end = self.0.find(['(', '[']).filter(|&at| at > 0).unwrap_or(self.0.len());
        let text = self.0[..end].trim().trim_start_matches('[').trim_end_matches(']');
        let bare = ["UTC", "GMT", "Z", "z"].iter().find_map(|name| text.strip_prefix(name));
        match (text, bare) {
            ("", _) => Some(Zone::None),
            (_, Some("")) => Some(Zone::Offset(0)),
            ("EST", _) => Some(Zone::Offset(-5 * 3_600)),
            ("EDT", _) => Some(Zone::Offset(-4 * 3_600)),
            ("ET", _) => Some(Zone::Named(chrono_tz::America::New_York)),
            _ => match offset(bare.unwrap_or(text)) {
                Some(east_s) => Some(Zone::Offset(east_s)),
                None => text.parse().ok().map(Zone::Named),
            },
        }
    }
}

/// `+01`, `-0500`, `+05:30`
fn offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text[1..].replace(':', "");
    let known = matches!(digits.len(), 1 | 2 | 4 | 6);
    if !known || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = match digits.len() {
        1 | 2 => (number, 0),
        4 => (number / 100, number % 100),
        _ => (number / 10_000, number / 100 % 100),
    };
    Some(sign * (hours * 3_600 + minutes * 60))
}

/// A month by its English name, or its first three letters.
fn month(name: &str) -> Option<u32> {
    let short = name.get(..3)?;
    short.parse::<chrono::Month>().ok().map(|month| month.number_from_month())
}
