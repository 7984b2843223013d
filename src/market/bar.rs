//! Symbols, periods and bars.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::error::MarketError;

/// One bar of one stock. Prices in the currency of the listing, volume in shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// End of the bar, UTC seconds since 1970; the bar is known from then on.
    pub end_s: i64,
    /// First trade.
    pub open: f64,
    /// Highest trade.
    pub high: f64,
    /// Lowest trade.
    pub low: f64,
    /// Last trade.
    pub close: f64,
    /// Shares traded.
    pub volume: f64,
}

/// The bars of one stock as columns of equal length, `end_s` strictly increasing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    /// The stock that all bars are of.
    pub symbol: Symbol,
    /// Ends of the bars, UTC seconds since 1970.
    pub end_s: Vec<i64>,
    /// First trade of each bar.
    pub open: Vec<f64>,
    /// Highest trade of each bar.
    pub high: Vec<f64>,
    /// Lowest trade of each bar.
    pub low: Vec<f64>,
    /// Last trade of each bar.
    pub close: Vec<f64>,
    /// Shares traded in each bar.
    pub volume: Vec<f64>,
}

impl BarSeries {
    /// An empty series.
    pub fn new(symbol: Symbol) -> BarSeries {
        BarSeries::with_capacity(symbol, 0)
    }

    /// An empty series with capacity for `bars` bars.
    pub fn with_capacity(symbol: Symbol, bars: usize) -> BarSeries {
        let column = || Vec::with_capacity(bars);
        BarSeries {
            symbol,
            end_s: Vec::with_capacity(bars),
            open: column(),
            high: column(),
            low: column(),
            close: column(),
            volume: column(),
        }
    }

    /// Number of bars.
    pub fn len(&self) -> usize {
        self.end_s.len()
    }

    /// Whether there are no bars.
    pub fn is_empty(&self) -> bool {
        self.end_s.is_empty()
    }

    /// Panics if there are not that many.
    pub fn bar(&self, i: usize) -> Bar {
        Bar {
            end_s: self.end_s[i],
            open: self.open[i],
            high: self.high[i],
            low: self.low[i],
            close: self.close[i],
            volume: self.volume[i],
        }
    }

    /// Appends a bar, which must end after the last one.
    pub fn push(&mut self, bar: Bar) {
        self.end_s.push(bar.end_s);
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
    }

    /// All bars in order of time.
    pub fn bars(&self) -> impl Iterator<Item = Bar> + '_ {
        (0..self.len()).map(|i| self.bar(i))
    }
}

/// A ticker: 1 to 16 of `A-Z 0-9 . -`, upper case, as in blob names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Symbol(String);

impl Symbol {
    /// Upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Symbol {
    type Err = MarketError;

    fn from_str(text: &str) -> Result<Symbol, MarketError> {
        let symbol = text.trim().to_ascii_uppercase();
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        let dots_only = symbol.chars().all(|c| c == '.');
        if symbol.is_empty() || symbol.len() > 16 || dots_only || !symbol.chars().all(allowed) {
            return Err(MarketError::Input {
                what: format!("{text:?} is not a stock symbol"),
                hint: "use 1 to 16 letters, digits, '.' and '-', as in AAPL or BRK.B".into(),
            });
        }
        Ok(Symbol(symbol))
    }
}

impl TryFrom<String> for Symbol {
    type Error = MarketError;

    fn try_from(text: String) -> Result<Symbol, MarketError> {
        text.parse()
    }
}

impl From<Symbol> for String {
    fn from(symbol: Symbol) -> String {
        symbol.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Days from `start` to `end`, both inclusive, as New York dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// First day.
    pub start: NaiveDate,
    /// Last day.
    pub end: NaiveDate,
}

impl Period {
    /// Whether a New York date is one of the days.
    pub fn contains(&self, date: NaiveDate) -> bool {
        self.start <= date && date <= self.end
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_upper_case_and_cannot_leave_their_folder() {
        assert_eq!("brk.b".parse::<Symbol>().unwrap().as_str(), "BRK.B");
        for bad in ["", "..", "A/B", "A B", "ABCDEFGHIJKLMNOPQ", "Ä"] {
            assert!(bad.parse::<Symbol>().is_err(), "{bad}");
        }
    }
}
