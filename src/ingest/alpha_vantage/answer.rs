//! Classifies the service's responses.
//!
//! A series comes as JSON (`Meta Data` and `Time SeriesKind (5min)`) or as CSV. Everything else is
//! a JSON object with one sentence in `Note`, `Information` or `Error Message`. The meaning of
//! these fields has changed over the years, so the wording decides. An unknown sentence stops the
//! fetch, like a rate limit, and skips nothing.

use chrono::NaiveDateTime;
use serde_json::{Map, Value};

use super::SeriesKind;
use crate::ingest::table::plain_csv;
use crate::market::bar::Symbol;
use crate::market::calendar::{market_date, market_time_to_utc};
use crate::market::month::YearMonth;
use crate::market::parquet::RawRows;

/// A response with HTTP status 200.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ServiceAnswer {
    /// The bars of the requested month; at least one.
    Rows(RawRows),
    /// No bars and no sentence.
    Empty,
    Limit(RateLimit, String),
    /// Not available with this key.
    Premium(String),
    WrongKey(String),
    /// A sentence that is not recognised.
    Unknown(String),
    /// This stock or month is not available.
    Error(String),
    /// Truncated, or of something else.
    Broken(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateLimit {
    /// Per second or per minute.
    Passing,
    /// Per day.
    Lasting,
}

pub(super) fn read(
    body: &[u8],
    series: &SeriesKind,
    symbol: &Symbol,
    month: YearMonth,
) -> ServiceAnswer {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    let answer = match text {
        "" => ServiceAnswer::Broken("an empty answer".into()),
        text if text.starts_with('{') => from_json(text, series, symbol),
        text => from_csv(text),
    };
    match answer {
        ServiceAnswer::Rows(rows) => rows_of_month(rows, month),
        other => other,
    }
}

/// The service has been known to ignore request parameters that it does not recognise.
fn rows_of_month(rows: RawRows, month: YearMonth) -> ServiceAnswer {
    let period = month.period();
    let other_month = rows.label_s.iter().flatten().find(|&&s| !period.contains(market_date(s)));
    match other_month {
        Some(&label_s) => ServiceAnswer::Broken(format!(
            "asked for {month}, it sent bars of {}",
            market_date(label_s)
        )),
        None => ServiceAnswer::Rows(rows),
    }
}

fn from_csv(text: &str) -> ServiceAnswer {
    let header = text.lines().next().unwrap_or_default();
    if !header.starts_with("timestamp,") {
        return ServiceAnswer::Broken("an answer that is neither JSON nor a series as CSV".into());
    }
    if text.lines().count() == 1 {
        return ServiceAnswer::Empty;
    }
    match plain_csv(text, "the answer") {
        Ok((_, Some(line))) => {
            ServiceAnswer::Broken(format!("the answer is cut short in line {line}"))
        }
        Ok((rows, None)) if rows.label_s.contains(&None) => {
            ServiceAnswer::Broken("a line of the answer has no time".into())
        }
        Ok((rows, None)) => ServiceAnswer::Rows(rows),
        Err(error) => ServiceAnswer::Broken(error.to_string()),
    }
}

fn from_json(text: &str, series: &SeriesKind, symbol: &Symbol) -> ServiceAnswer {
    let fields: Map<String, Value> = match serde_json::from_str(text) {
        Ok(fields) => fields,
        Err(error) => {
            return ServiceAnswer::Broken(format!("the response is not complete JSON: {error}"));
        }
    };
    let sentence = |name: &str| fields.get(name).and_then(Value::as_str);
    if let Some(text) = sentence("Error Message") {
        return if mentions(text, &["apikey", "api key"]) {
            ServiceAnswer::WrongKey(text.into())
        } else {
            ServiceAnswer::Error(text.into())
        };
    }
    if let Some(text) = sentence("Note").or_else(|| sentence("Information")) {
        return sense(text);
    }
    if fields.is_empty() {
        return ServiceAnswer::Empty;
    }
    match bars(&fields, series, symbol) {
        Ok(rows) if rows.is_empty() => ServiceAnswer::Empty,
        Ok(rows) => ServiceAnswer::Rows(rows),
        Err(what) => ServiceAnswer::Broken(what),
    }
}

/// Classifies a sentence. The one about the per-second limit also advertises premium plans and
/// mentions the daily limit, so the order of the tests matters.
fn sense(text: &str) -> ServiceAnswer {
    let says = |words: &[&str]| mentions(text, words);
    if says(&["invalid api call"]) {
        ServiceAnswer::Error(text.into())
    } else if says(&["demo purposes", "invalid or missing"]) {
        ServiceAnswer::WrongKey(text.into())
    } else if says(&["per second", "per minute", "call frequency", "call volume"])
        || says(&["minute-level", "sparingly", "burst pattern"])
    {
        ServiceAnswer::Limit(RateLimit::Passing, text.into())
    } else if says(&["premium endpoint", "premium feature"]) && !says(&["rate limit", "per day"]) {
        ServiceAnswer::Premium(text.into())
    } else if says(&["limit", "per day"]) {
        ServiceAnswer::Limit(RateLimit::Lasting, text.into())
    } else {
        ServiceAnswer::Unknown(text.into())
    }
}

fn mentions(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}

fn bars(
    fields: &Map<String, Value>,
    wanted: &SeriesKind,
    symbol: &Symbol,
) -> Result<RawRows, String> {
    let interval = format!("{}min", wanted.interval_minutes);
    let meta = fields.get("Meta Data").and_then(Value::as_object).ok_or("no Meta Data")?;
    let is = |field: &str| meta.get(field).and_then(Value::as_str).unwrap_or_default();
    if !is("2. Symbol").eq_ignore_ascii_case(symbol.as_str()) || is("4. Interval") != interval {
        let (symbol, interval) = (is("2. Symbol"), is("4. Interval"));
        return Err(format!("the answer is of {symbol:?} at {interval:?}"));
    }
    let zone = is("6. Time Zone");
    if !["US/Eastern", "America/New_York"].contains(&zone) {
        return Err(format!("times are in {zone:?} rather than US/Eastern"));
    }
    let name = format!("Time Series ({interval})");
    let bars = fields.get(&name).and_then(Value::as_object);
    let bars = bars.ok_or_else(|| format!("the answer has no {name:?}"))?;
    let mut rows = RawRows { naive: true, ..RawRows::default() };
    for (time, bar) in bars {
        let local = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S")
            .map_err(|_| format!("{time:?} is not a time"))?;
        let value = |field: &str| {
            let number = bar.get(field).and_then(|value| match value {
                Value::String(text) => text.trim().parse().ok(),
                value => value.as_f64(),
            });
            number.ok_or_else(|| format!("the bar of {time} has no {field:?}"))
        };
        let values = ["1. open", "2. high", "3. low", "4. close", "5. volume"].map(value);
        let [open, high, low, close, volume] = values;
        rows.push(Some(market_time_to_utc(local)), [open?, high?, low?, close?, volume?]);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> ServiceAnswer {
        let series = SeriesKind { interval_minutes: 5, adjusted: true, extended_hours: false };
        read(body.as_bytes(), &series, &"IBM".parse().unwrap(), "2020-01".parse().unwrap())
    }

    /// The service's sentences at different times, as reported by its users.
    #[test]
    fn sentences_are_understood_by_their_words() {
        let thanks = "Thank you for using Alpha Vantage!";
        let limit = |kind, text: &str| ServiceAnswer::Limit(kind, text.into());
        let per_minute = format!(
            "{thanks} Our standard API call frequency is 5 calls per minute and 500 calls per day."
        );
        let per_day = format!(
            "{thanks} Our standard API rate limit is 25 requests per day. Please subscribe to any \
             of the premium plans to instantly remove all daily rate limits."
        );
        let burst = format!(
            "{thanks} Please consider spreading out your free API requests more sparingly (1 \
             request per second). You may subscribe to any of the premium plans to lift the free \
             key rate limit (25 requests per day), raise the per-second burst limit, and instantly \
             unlock all premium endpoints"
        );
        let unspoken = format!(
            "{thanks} Please visit https://www.alphavantage.co/premium/ if you would like to have \
             a higher API call volume."
        );
        let paying = "Minute-level rate limit exceed. Please stay under the number of API requests \
                      for your premium subscription plan.";
        let crowd = "Burst pattern detected. Please consider spreading out your API requests more \
                     evenly across a 1-minute window.";
        let full = format!(
            "{thanks} The outputsize=full parameter value is a premium feature for the \
             TIME_SERIES_DAILY endpoint."
        );
        let call = "Invalid API call. Please retry or visit the documentation.";
        let premium = format!("{thanks} This is a premium endpoint. You may subscribe to ...");
        let demo = "The **demo** API key is for demo purposes only.";
        let cases = [
            ("Note", &*per_minute, limit(RateLimit::Passing, &per_minute)),
            ("Information", &per_day, limit(RateLimit::Lasting, &per_day)),
            ("Note", &per_day, limit(RateLimit::Lasting, &per_day)),
            ("Information", &burst, limit(RateLimit::Passing, &burst)),
            ("Information", &unspoken, limit(RateLimit::Passing, &unspoken)),
            ("Information", paying, limit(RateLimit::Passing, paying)),
            ("Information", crowd, limit(RateLimit::Passing, crowd)),
            ("Information", &premium, ServiceAnswer::Premium(premium.clone())),
            ("Information", &full, ServiceAnswer::Premium(full.clone())),
            ("Information", call, ServiceAnswer::Error(call.into())),
            ("Information", demo, ServiceAnswer::WrongKey(demo.into())),
            ("Information", "News.", ServiceAnswer::Unknown("News.".into())),
            (
                "Error Message",
                "Invalid API call.",
                ServiceAnswer::Error("Invalid API call.".into()),
            ),
            (
                "Error Message",
                "the parameter apikey is invalid or missing.",
                ServiceAnswer::WrongKey("the parameter apikey is invalid or missing.".into()),
            ),
        ];
        for (field, text, expected) in cases {
            let body = serde_json::json!({ field: text }).to_string();
            assert_eq!(answer(&body), expected, "{body}");
        }
    }

    const SERIES: &str = r#"{
        "Meta Data": {
            "1. Information": "Intraday (5min) open, high, low, close prices and volume",
            "2. Symbol": "IBM", "3. Last Refreshed": "2020-01-31 15:55:00",
            "4. Interval": "5min", "5. Output Size": "Full size", "6. Time Zone": "US/Eastern"
        },
        "Time Series (5min)": {
            "2020-01-31 15:55:00": {"1. open": "143.5000", "2. high": "143.9", "3. low": "143.1",
                                    "4. close": "143.73", "5. volume": "5512"},
            "2020-01-02 09:30:00": {"1. open": "135.0000", "2. high": "135.5", "3. low": "134.9",
                                    "4. close": "135.25", "5. volume": "81000"}
        }
    }"#;

    #[test]
    fn json_and_csv_give_the_same_rows() {
        let ServiceAnswer::Rows(json) = answer(SERIES) else { panic!("{:?}", answer(SERIES)) };
        // 2020-01-02 09:30 and 2020-01-31 15:55 EST.
        let mut labels: Vec<i64> = json.label_s.iter().flatten().copied().collect();
        labels.sort_unstable();
        assert_eq!(labels, [1_577_975_400, 1_580_504_100]);
        let csv = answer(
            "timestamp,open,high,low,close,volume\r\n\
             2020-01-31 15:55:00,143.5000,143.9,143.1,143.73,5512\r\n\
             2020-01-02 09:30:00,135.0000,135.5,134.9,135.25,81000\r\n",
        );
        let ServiceAnswer::Rows(csv) = csv else { panic!("{csv:?}") };
        let sorted = |rows: &RawRows| {
            let mut all: Vec<_> = (0..2).map(|i| (rows.label_s[i], rows.values(i))).collect();
            all.sort_by_key(|(label_s, _)| *label_s);
            all
        };
        assert_eq!(sorted(&json), sorted(&csv));
        assert_eq!(sorted(&json)[0].1, [135.0, 135.5, 134.9, 135.25, 81_000.0]);
    }

    #[test]
    fn what_is_cut_short_or_of_something_else_is_broken() {
        let is_broken = |body: &str| matches!(answer(body), ServiceAnswer::Broken(_));
        for length in (1..SERIES.len()).filter(|&length| SERIES.is_char_boundary(length)) {
            assert!(is_broken(&SERIES[..length]), "cut to {length}");
        }
        for (from, to) in [
            ("\"IBM\"", "\"MSFT\""),
            ("\"5min\"", "\"1min\""),
            ("Series (5min)", "Series (1min)"),
            ("US/Eastern", "UTC"),
            ("2020-01-02 09", "2020-02-03 09"),
            ("2020-01-02 09:30:00", "yesterday"),
            ("\"4. close\"", "\"4. open\""),
            ("\"143.73\"", "\"none\""),
        ] {
            assert!(is_broken(&SERIES.replacen(from, to, 1)), "{from}");
        }
        let header = "timestamp,open,high,low,close,volume";
        for body in [
            "",
            "<html><body>Bad Gateway</body></html>",
            &format!("{header}\n2020-01-31 15:55:00,143.5000,143"),
            &format!("{header}\n,143.5000,143.9,143.1,143.73,5512"),
        ] {
            assert!(is_broken(body), "{body}");
        }
        for body in ["{}", header, &format!("{header}\n")] {
            assert_eq!(answer(body), ServiceAnswer::Empty, "{body}");
        }
    }
}
