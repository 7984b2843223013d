//! Bars that come as lines of JSON, one stock or several to a line.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use crate::errors::Cause;
use crate::market::bar::{is_price, is_volume};
use crate::market::{Bar, MarketError, Symbol};
use crate::market::{calendar, times};

/// Far more than the bars of a thousand stocks take.
const MAX_LINE_BYTES: u64 = 4 << 20;
/// A line as it should be, for those whose lines cannot be read.
const EXAMPLE: &str = "{\"timestamp\": \"2020-01-02T10:00:00-05:00\", \"stock\": \"AAPL\", \
                       \"open\": 74, \"high\": 75, \"low\": 73.9, \"close\": 74.6, \"volume\": 1e6}";

/// Values of further columns of a bar; None where unknown.
type ColumnValues = BTreeMap<String, Option<f64>>;

/// Bars that end together.
pub(crate) struct BarLine {
    /// As it was written.
    pub(crate) timestamp: Value,
    /// UTC seconds.
    pub(crate) end_s: i64,
    /// At most one of each stock.
    pub(crate) bars: Vec<StockBar>,
}

/// A stock's bar, as a line has it.
pub(crate) struct StockBar {
    pub(crate) symbol: Symbol,
    pub(crate) bar: Bar,
    columns: ColumnValues,
}

/// A line as it is written: a stock's bar, or the bars of several stocks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// When the bar ends: text as in 2020-01-02T10:00:00-05:00, or a number since 1970.
    timestamp: Value,
    stock: Option<Symbol>,
    open: Option<f64>,
    high: Option<f64>,
    low: Option<f64>,
    close: Option<f64>,
    volume: Option<f64>,
    #[serde(default)]
    columns: ColumnValues,
    bars: Option<BTreeMap<Symbol, Prices>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    #[serde(default)]
    volume: f64,
    #[serde(default)]
    columns: ColumnValues,
}

/// The next line that is not blank, without its end; None at the end of `input`. `number` counts the
/// lines.
///
/// Errors: `input` cannot be read, or the line is too long or no text; none names the line.
pub(crate) fn next_line(
    input: &mut impl BufRead,
    number: &mut u64,
) -> Result<Option<String>, MarketError> {
    loop {
        let mut bytes = Vec::new();
        *number += 1;
        let read = input.take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes);
        let read = read.map_err(|error| MarketError::Store {
            place: "standard input".into(),
            what: error.to_string(),
            hint: "check the program before the pipe".into(),
            cause: Some(Cause::new(error)),
        })?;
        if read == 0 {
            return Ok(None);
        }
        if bytes.len() as u64 > MAX_LINE_BYTES {
            let what = format!("is longer than {MAX_LINE_BYTES} bytes");
            return Err(wrong(what, "end each bar with a newline"));
        }
        let line = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8", "write JSON"))?;
        if !line.trim().is_empty() {
            return Ok(Some(line.trim_end_matches(['\n', '\r']).into()));
        }
    }
}

impl BarLine {
    /// Reads a line of `strategies stream`; as [`BarLine::parse_by`].
    pub(crate) fn parse(text: &str) -> Result<BarLine, MarketError> {
        BarLine::parse_by(text, "docs/strategies.md")
    }

    /// Reads a line. `page`: where a reader finds how lines are written.
    ///
    /// Errors: it is no JSON of a bar, its time cannot be read, or a price or volume is none; none
    /// names the line.
    pub(crate) fn parse_by(text: &str, page: &str) -> Result<BarLine, MarketError> {
        let hint = || format!("give one bar per line, such as {EXAMPLE}; see {page}");
        // Fields without names, as of an array, would be taken in their order.
        if !text.trim_start().starts_with('{') {
            return Err(wrong("not a whole JSON object", hint()));
        }
        let written: Written =
            serde_json::from_str(text).map_err(|error| wrong(unreadable(&error), hint()))?;
        let end_s = end_of(&written.timestamp)?;
        let bars = written.prices()?.into_iter().map(|(symbol, prices)| {
            let bar = sound(&symbol, end_s, &prices)?;
            Ok(StockBar { symbol, bar, columns: prices.columns })
        });
        let bars = bars.collect::<Result<_, MarketError>>()?;
        Ok(BarLine { timestamp: written.timestamp, end_s, bars })
    }
}

impl StockBar {
    /// The values of the columns of these names, NaN where unknown.
    ///
    /// Errors: the bar lacks one.
    pub(crate) fn extras(&self, names: &[String]) -> Result<Vec<f32>, MarketError> {
        let value = |name: &String| match self.columns.get(name) {
            Some(value) => Ok(value.map_or(f32::NAN, |x| x as f32)),
            None => Err(missing(&self.symbol, name)),
        };
        names.iter().map(value).collect()
    }
}

impl Written {
    fn prices(&self) -> Result<Vec<(Symbol, Prices)>, MarketError> {
        let Written { stock, open, high, low, close, volume, columns, bars, .. } = self;
        match (stock, bars, open.zip(*high).zip(low.zip(*close))) {
            (None, Some(bars), None) => {
                if !columns.is_empty() {
                    return Err(wrong(
                        "columns beside bars belong to none of them",
                        "give them with each stock",
                    ));
                }
                Ok(bars.iter().map(|(symbol, prices)| (symbol.clone(), prices.clone())).collect())
            }
            (Some(stock), None, Some(((open, high), (low, close)))) => {
                let volume = volume.unwrap_or(0.0);
                let columns = columns.clone();
                Ok(vec![(stock.clone(), Prices { open, high, low, close, volume, columns })])
            }
            _ => Err(wrong(
                "neither a stock's bar nor several",
                "give either stock, open, high, low and close, or bars with these for each stock",
            )),
        }
    }
}

/// What is wrong with the JSON of a line. Its number is for the caller to say.
fn unreadable(error: &serde_json::Error) -> String {
    let what = error.to_string().replace(" at line 1 column ", " at column ");
    match error.classify() {
        Category::Eof => "not a whole JSON object, it breaks off".into(),
        Category::Data => what,
        _ => format!("not a whole JSON object: {what}"),
    }
}

/// UTC seconds of a time as text, or as a number since 1970, by the rule for all files. A date is the
/// close of its session.
fn end_of(timestamp: &Value) -> Result<i64, MarketError> {
    let of_text = |text: &str| {
        let close = |date| calendar::market().usual_session(date).close_s;
        times::read_text(text).or_else(|| times::read_date(text).map(close))
    };
    let end_s = match timestamp {
        Value::String(text) => of_text(text),
        Value::Number(number) => number.as_f64().and_then(times::read_number),
        _ => None,
    };
    end_s.ok_or_else(|| {
        let shown: String = timestamp.to_string().chars().take(60).collect();
        wrong(
            format!("timestamp {shown} cannot be parsed"),
            "write the bar's end as 2020-01-02T10:00:00-05:00, or in seconds or milliseconds since \
             1970, or the date of a daily bar",
        )
    })
}

fn missing(symbol: &Symbol, column: &str) -> MarketError {
    wrong(
        format!("{symbol}: the column {column} is missing, with which the model was trained"),
        format!(
            "add \"columns\": {{\"{column}\": ...}} to the bar, null where the value is unknown"
        ),
    )
}

fn sound(symbol: &Symbol, end_s: i64, prices: &Prices) -> Result<Bar, MarketError> {
    let &Prices { open, high, low, close, volume, .. } = prices;
    let of_stock = |what: &str, hint: &str| Err(wrong(format!("{symbol}: {what}"), hint));
    if ![open, high, low, close].into_iter().all(is_price) {
        return of_stock("a price is not a number from 1e-9 to 1e12", "omit the bar");
    }
    if !is_volume(volume) {
        return of_stock("the volume is not a number from 0 to 1e18", "omit it");
    }
    if high < open.max(close) || low > open.min(close) {
        return of_stock("open and close are not between low and high", "omit the bar");
    }
    Ok(Bar { end_s, open, high, low, close, volume })
}

fn wrong(what: impl Into<String>, hint: impl Into<String>) -> MarketError {
    MarketError::Input { what: what.into(), hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        BarLine::parse_by(text, "docs/trade.md").map(drop).unwrap_err().to_string()
    }

    #[test]
    fn lines_come_without_their_ends() {
        let mut input = "one\n\n  \r\ntwo\r\nthree".as_bytes();
        let (mut number, mut found) = (0, Vec::new());
        while let Some(line) = next_line(&mut input, &mut number).unwrap() {
            found.push((number, line));
        }
        assert_eq!(found, [(1, "one".into()), (4, "two".into()), (5, "three".into())]);
    }

    #[test]
    fn the_example_is_a_bar() {
        let line = BarLine::parse(EXAMPLE).unwrap();
        assert_eq!((line.bars.len(), line.bars[0].symbol.as_str()), (1, "AAPL"));
    }

    #[test]
    fn what_is_no_whole_object_is_said_with_an_example() {
        let cut = &EXAMPLE[..28];
        for text in ["hello", "[1,2]", "5", "null", "\"text\"", "{", cut] {
            let error = error_of(text);
            assert!(error.starts_with("not a whole JSON object"), "{text}: {error}");
            assert!(error.ends_with(&format!("such as {EXAMPLE}; see docs/trade.md")), "{error}");
        }
        // Two on one line, the first of them cut short, too.
        for text in [format!("{EXAMPLE}{EXAMPLE}"), format!("{cut}{EXAMPLE}")] {
            let error = error_of(&text);
            assert!(error.starts_with("not a whole JSON object: "), "{error}");
            assert!(error.contains(" at column "), "{error}");
        }
        // An array of the fields' values is no object.
        assert!(error_of("[1577977200, \"AAPL\", 1, 1, 1, 1, 1, {}, null]").contains("whole"));
        let error = BarLine::parse("hello").map(drop).unwrap_err().to_string();
        assert!(error.ends_with("see docs/strategies.md"), "{error}");
    }

    #[test]
    fn a_wrong_field_is_said_without_a_number_of_the_line() {
        for (from, to, words) in [
            ("\"open\": 74", "\"open\": \"much\"", "\"much\", expected f64 at column "),
            ("\"open\"", "\"opening\"", "unknown field `opening`"),
            ("\"timestamp\": \"2020-01-02T10:00:00-05:00\", ", "", "missing field `timestamp`"),
        ] {
            let error = error_of(&EXAMPLE.replace(from, to));
            assert!(error.contains(words) && !error.contains(" line 1 "), "{error}");
            assert!(error.ends_with("see docs/trade.md"), "{error}");
        }
    }
}
