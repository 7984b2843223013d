//! Where a table's columns are: by names in one or several header rows, or by what they hold.

use super::{file_error, guess};
use crate::market::columns::{BarColumns, listed, plain_name};
use crate::market::error::MarketError;
use crate::market::numbers::NumberStyle;
use crate::market::times::{self, TimeOptions};

/// Names of prices and volume in a header of several rows, one of which has the stocks.
const PRICE_NAMES: [&str; 6] = ["open", "high", "low", "close", "adj close", "volume"];
/// Rows of numbers, of which nearly all must be bars for a reading without a header.
const SHARE_OF_BARS: f64 = 0.95;

/// The columns of one stock in a table that may have those of several.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StockColumns {
    /// None: the only one, or named in a column.
    pub(super) symbol: Option<String>,
    pub(super) columns: BarColumns,
}

/// The levels of a name as pandas flattens them: `('Close', 'MSFT')`.
pub(super) fn levels_of(name: &str) -> Vec<String> {
    let inner = name.strip_prefix('(').and_then(|name| name.strip_suffix(')'));
    let Some(inner) = inner.filter(|inner| inner.contains(", ")) else {
        return vec![name.to_string()];
    };
    inner.split(", ").map(|part| part.trim_matches(['\'', '"']).to_string()).collect()
}

/// The columns of each stock by the names above them, `[column][header row]`.
///
/// # Errors
/// If no row of names has the prices and a time.
pub(super) fn stocks(names: &[Vec<String>], file: &str) -> Result<Vec<StockColumns>, MarketError> {
    let last: Vec<&str> =
        names.iter().map(|levels| levels.last().map_or("", String::as_str)).collect();
    let plain = BarColumns::new(&last, file);
    let several = names.iter().any(|levels| levels.len() > 1);
    match (plain, flattened(&last)) {
        (Ok(columns), _) => Ok(vec![StockColumns { symbol: None, columns }]),
        (Err(_), _) if several => by_levels(names, file),
        (Err(_), Some(levels)) => by_levels(&levels, file),
        (Err(error), None) => Err(error),
    }
}

/// The two parts of names such as `AAPL.Open` (R), `AAPL_Open` and `Open_AAPL`; None if there are no
/// four of them.
fn flattened(names: &[&str]) -> Option<Vec<Vec<String>>> {
    let is_price = |part: &str| PRICE_NAMES.contains(&plain_name(part).as_str());
    let parts = |name: &&str| {
        let pair = |parts: Option<(&str, &str)>| {
            let (first, last) = parts.filter(|(first, last)| is_price(first) != is_price(last))?;
            Some(vec![first.to_string(), last.to_string()])
        };
        let whole = || vec![name.to_string()];
        if is_price(name) {
            return whole();
        }
        pair(name.rsplit_once(['.', '_']))
            .or_else(|| pair(name.split_once('_')))
            .unwrap_or_else(whole)
    };
    let all: Vec<Vec<String>> = names.iter().map(parts).collect();
    (all.iter().filter(|parts| parts.len() == 2).count() >= 4).then_some(all)
}

/// Columns under several names: one of a price, the other of a stock, as yfinance writes them.
fn by_levels(names: &[Vec<String>], file: &str) -> Result<Vec<StockColumns>, MarketError> {
    let price_level = |levels: &Vec<String>| {
        levels.iter().position(|name| PRICE_NAMES.contains(&plain_name(name).as_str()))
    };
    // The index is the column that is no price.
    let time = names.iter().position(|levels| price_level(levels).is_none());
    let mut symbols: Vec<String> = Vec::new();
    let symbol_of = |levels: &Vec<String>| {
        let price = price_level(levels)?;
        let other = levels.iter().enumerate().find(|(i, name)| *i != price && !name.is_empty());
        Some(other.map(|(_, name)| name.clone()).unwrap_or_default())
    };
    for symbol in names.iter().filter_map(symbol_of) {
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
    }
    let time_name = |levels: &Vec<String>| {
        levels.iter().rev().find(|name| !name.is_empty()).map_or("date", String::as_str).to_string()
    };
    let mut stocks = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let own = |levels: &&Vec<String>| symbol_of(levels).as_ref() == Some(&symbol);
        let flat: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, levels)| match price_level(levels) {
                Some(price) if own(&levels) => levels[price].clone(),
                None if time == Some(i) => {
                    let name = time_name(levels);
                    if BarColumns::is_time(&name) { name } else { "date".into() }
                }
                _ => String::new(),
            })
            .collect();
        let flat: Vec<&str> = flat.iter().map(String::as_str).collect();
        let columns = BarColumns::new(&flat, file)?;
        stocks.push(StockColumns { symbol: Some(symbol).filter(|s| !s.is_empty()), columns });
    }
    if stocks.is_empty() {
        let last: Vec<&str> =
            names.iter().filter_map(|levels| levels.last().map(String::as_str)).collect();
        let what = format!("has no columns of prices (it has: {})", listed(&last));
        return Err(file_error(file, what, NAME_THEM));
    }
    Ok(stocks)
}

pub(super) const NAME_THEM: &str =
    "name the columns in their order with --columns, as in date,time,open,high,low,close,volume";

/// Whether a row holds values: a time, and numbers beside it.
pub(super) fn is_data(row: &[String]) -> bool {
    let Some(time) = row.iter().position(|cell| is_time(cell)) else { return false };
    let others = row.iter().enumerate().filter(|(column, _)| *column != time);
    others.filter(|(_, cell)| is_number(cell)).count() >= 2
}

/// Whether a row has a time and nothing beside it, where a bar has its prices.
pub(super) fn is_missing(row: &[String]) -> bool {
    let Some(time) = row.iter().position(|cell| is_time(cell)) else { return false };
    let is_none = |cell: &String| {
        matches!(cell.to_lowercase().as_str(), "" | "-" | "nan" | "null" | "none" | "n/a" | "na")
    };
    row[time + 1..].iter().filter(|cell| is_none(cell)).count() >= 4
}

/// Names of columns that have none.
pub(super) fn numbered(width: usize) -> Vec<String> {
    (1..=width).map(|column| format!("column {column}")).collect()
}

/// Whether a row holds numbers where a header has names.
pub(super) fn is_numeric(row: &[String]) -> bool {
    row.iter().filter(|cell| is_number(cell)).count() >= 3
}

fn is_number(cell: &str) -> bool {
    !NumberStyle::Point.parse(cell).is_nan() || !NumberStyle::Comma.parse(cell).is_nan()
}

/// Whether a text alone can be read as a time; day and month may be open.
pub(super) fn is_time(cell: &str) -> bool {
    let read = times::from_texts(std::iter::once(Some(cell)), &TimeOptions::default());
    match read {
        Ok(times) => times.label_s[0].is_some(),
        Err(why) => why.contains("told apart"),
    }
}

/// The columns of a table without a header, from some of its rows: perhaps a symbol, a time or a
/// date and a time of day, then the prices and perhaps volume. The prices are in the order that the
/// numbers decide ([`guess`]), else open, high, low and close.
///
/// # Errors
/// If the rows are no bars.
pub(super) fn without_header(
    rows: &[Vec<String>],
    file: &str,
) -> Result<StockColumns, MarketError> {
    let rows: Vec<&Vec<String>> = rows.iter().filter(|row| !is_missing(row)).collect();
    let unknown = || {
        let what = "has no header, and its rows are not a time, open, high, low, close and volume";
        file_error(file, what.into(), NAME_THEM)
    };
    let first = rows.first().ok_or_else(unknown)?;
    let width = first.len();
    let time = first.iter().position(|cell| is_time(cell)).unwrap_or(0);
    let is_symbol = |cell: &String| cell.starts_with(|c: char| c.is_ascii_alphabetic());
    let symbol = (0..time).find(|&column| is_symbol(&first[column]));
    let with_clock = [vec![time, time + 1], vec![time]];
    for times in with_clock.into_iter().filter(|times| times.len() == 1 || time + 1 < width) {
        if times.len() == 2 && !rows.iter().all(|row| is_clock_after_date(row, time)) {
            continue;
        }
        let start = time + times.len();
        if start + 4 > width {
            continue;
        }
        if let Some(columns) = guess::columns(&rows, &times, symbol) {
            return Ok(StockColumns { symbol: None, columns });
        }
        let prices = [start, start + 1, start + 2, start + 3];
        let bars = rows.iter().filter(|row| is_bar(row, prices)).count() as f64;
        if bars < SHARE_OF_BARS * rows.len() as f64 {
            continue;
        }
        // An adjusted close may stand between close and volume.
        let adjusted = Some(start + 4).filter(|&column| {
            column + 1 < width && rows.iter().all(|row| is_near(row, column, start + 3))
        });
        let volume = start + if adjusted.is_some() { 5 } else { 4 };
        let volume = Some(volume).filter(|&column| column < width);
        let columns = BarColumns {
            time: times,
            prices,
            volume,
            adjusted_close: adjusted,
            symbol,
            ..BarColumns::default()
        };
        return Ok(StockColumns { symbol: None, columns });
    }
    Err(unknown())
}

/// Whether a row has a date without a time of day in column `date`, and a time of day after it.
pub(super) fn is_clock_after_date(row: &[String], date: usize) -> bool {
    let Some([day, clock]) = row.get(date..date + 2) else { return false };
    let alone = [Some(day.as_str())].into_iter();
    let is_date = match times::from_texts(alone, &TimeOptions::default()) {
        Ok(times) => times.dates,
        Err(why) => why.contains("told apart"),
    };
    let is_clock = clock.contains(':')
        || (3..=6).contains(&clock.len()) && clock.bytes().all(|byte| byte.is_ascii_digit());
    // A year first is told from any day; the day itself does not matter here.
    let noon = times::joined([Some("2020-01-02")].into_iter(), [Some(clock.as_str())].into_iter());
    let read = noon[0].as_deref().and_then(times::read_text);
    is_date && is_clock && read.is_some()
}

/// Whether two cells are of one size, as prices are and volumes are not.
fn is_near(row: &[String], one: usize, other: usize) -> bool {
    let style = NumberStyle::of(row.iter().map(String::as_str), true);
    let value = |column: usize| row.get(column).map_or(f64::NAN, |cell| style.parse(cell));
    (0.2..=1.2).contains(&(value(one) / value(other)))
}

fn is_bar(row: &[String], prices: [usize; 4]) -> bool {
    let style = NumberStyle::of(row.iter().map(String::as_str), true);
    let value = |column: usize| row.get(column).map_or(f64::NAN, |cell| style.parse(cell));
    let [open, high, low, close] = prices.map(value);
    low > 0.0 && high >= open.max(close) && low <= open.min(close)
}

/// The columns that `--columns` names.
pub(super) fn given(names: &[String], file: &str) -> Result<StockColumns, MarketError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let columns = BarColumns::new(&names, file).map_err(|error| {
        let what = format!("--columns: {}", error.what());
        file_error(file, what, "name a time, open, high, low and close; - passes a column over")
    })?;
    Ok(StockColumns { symbol: None, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(',').map(String::from).collect()).collect()
    }

    #[test]
    fn names_of_several_rows_are_stocks_and_prices() {
        let tuple = |name: &str| levels_of(name);
        assert_eq!(tuple("('Close', 'MSFT')"), ["Close", "MSFT"]);
        assert_eq!(tuple("Close (adj)"), ["Close (adj)"]);
        let levels = |name: [&str; 3]| name.map(String::from).to_vec();
        // As yfinance has two stocks, and grouped by stock.
        let names = [
            levels(["Price", "Ticker", "Date"]),
            levels(["Close", "AAPL", ""]),
            levels(["Close", "MSFT", ""]),
            levels(["High", "AAPL", ""]),
            levels(["High", "MSFT", ""]),
            levels(["Low", "AAPL", ""]),
            levels(["Low", "MSFT", ""]),
            levels(["Open", "AAPL", ""]),
            levels(["Open", "MSFT", ""]),
            levels(["Volume", "AAPL", ""]),
        ];
        let found = stocks(&names, "f").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].symbol.as_deref(), Some("AAPL"));
        assert_eq!((&found[0].columns.time[..], found[0].columns.prices), (&[0][..], [7, 3, 5, 1]));
        assert_eq!(found[0].columns.volume, Some(9));
        assert_eq!((found[1].columns.prices, found[1].columns.volume), ([8, 4, 6, 2], None));
    }

    #[test]
    fn columns_without_names_are_told_by_what_they_hold() {
        for (text, time, start) in [
            ("01/02/2020,09:30,10,11,9,10.5,100", vec![0, 1], 2),
            ("20200102,0930,10,11,9,10.5,100", vec![0, 1], 2),
            ("2020-01-02 09:30:00,10,11,9,10.5,100", vec![0], 1),
            ("2020-01-02,1000,1100,900,1050,100", vec![0], 1),
            ("AAPL,1577975400,10,11,9,10.5", vec![1], 2),
        ] {
            let found = without_header(&rows(text), "f").unwrap_or_else(|e| panic!("{e}"));
            assert_eq!((found.columns.time, found.columns.prices[0]), (time, start), "{text}");
        }
        // Open, close, high, low: not to be guessed.
        let error = without_header(&rows("2020-01-02 09:30,10,10.5,11,9,5"), "f").unwrap_err();
        assert!(error.to_string().contains("--columns"), "{error}");
        assert!(is_data(&rows("2020-01-02 09:30,10,11,9,10,5")[0]));
        assert!(!is_data(&rows("date,open,high,low,close,1")[0]));
    }
}
