//! Symbols, periods and bars.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::error::MarketError;

/// Prices that can be computed with: sums over thousands of shares and years stay finite, and so do
/// shares per unit of cash.
const PRICES: RangeInclusive<f64> = 1e-9..=1e12;
/// Maximum volume of a bar.
const MAX_VOLUME: f64 = 1e18;

/// Whether a number can be a price.
pub(crate) fn is_price(value: f64) -> bool {
    PRICES.contains(&value)
}

/// Whether a number can be a volume.
pub(crate) fn is_volume(value: f64) -> bool {
    (0.0..=MAX_VOLUME).contains(&value)
}

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
    /// Names of the further columns of the day files that were asked for.
    pub columns: Vec<String>,
    /// `[bar, column]`: their last known values; NaN before the first.
    pub extras: Vec<f32>,
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
            columns: Vec::new(),
            extras: Vec::new(),
        }
    }

    /// The series, still empty, with further columns.
    pub fn with_columns(mut self, columns: &[String]) -> BarSeries {
        assert!(self.is_empty(), "the bars that there are lack these columns");
        self.columns = columns.to_vec();
        self
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

    /// The further columns' values at a bar.
    pub fn extra(&self, i: usize) -> &[f32] {
        &self.extras[i * self.columns.len()..][..self.columns.len()]
    }

    /// Appends a bar; the values of further columns are unknown.
    pub fn push(&mut self, bar: Bar) {
        self.end_s.push(bar.end_s);
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
        self.extras.resize(self.len() * self.columns.len(), f32::NAN);
    }

    /// Appends a bar with the further columns' values.
    pub fn push_with(&mut self, bar: Bar, extras: &[f32]) {
        assert_eq!(extras.len(), self.columns.len(), "a value for each column");
        self.push(bar);
        let first = self.extras.len() - extras.len();
        self.extras[first..].copy_from_slice(extras);
    }

    /// Removes the first `count` bars.
    pub fn drop_first(&mut self, count: usize) {
        self.end_s.drain(..count);
        self.extras.drain(..count * self.columns.len());
        for column in
            [&mut self.open, &mut self.high, &mut self.low, &mut self.close, &mut self.volume]
        {
            column.drain(..count);
        }
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
    fn further_columns_go_with_their_bars() {
        let columns = ["vix".into(), "mood".into()];
        let mut series = BarSeries::new("A".parse().unwrap()).with_columns(&columns);
        let bar = |end_s| Bar { end_s, open: 1.0, high: 1.0, low: 1.0, close: 1.0, volume: 0.0 };
        series.push_with(bar(1), &[17.0, 0.5]);
        series.push(bar(2));
        series.push_with(bar(3), &[19.0, -0.5]);
        assert_eq!(series.extra(0), [17.0, 0.5]);
        assert!(series.extra(1).iter().all(|value| value.is_nan()));
        series.drop_first(2);
        assert_eq!(
            (series.len(), &series.end_s[..], series.extra(0)),
            (1, &[3][..], &[19.0, -0.5][..])
        );
    }

    #[test]
    fn symbols_are_upper_case_and_cannot_leave_their_folder() {
        assert_eq!("brk.b".parse::<Symbol>().unwrap().as_str(), "BRK.B");
        for bad in ["", "..", "A/B", "A B", "ABCDEFGHIJKLMNOPQ", "Ä"] {
            assert!(bad.parse::<Symbol>().is_err(), "{bad}");
        }
    }
}
