//! QuantConnect Lean's files: rows of milliseconds since midnight and prices in ten-thousandths,
//! without a header; the date is in the file's name, and the stock in that of its folder.
//!
//! `equity/usa/minute/aapl/20200102_trade.zip` contains `20200102_aapl_minute_trade.csv`. Coins'
//! prices stand as they are, with times in UTC.

use std::borrow::Cow;

use super::scale::PriceScale;
use super::{TableOptions, file_error, layout};
use crate::market::error::MarketError;

const TEN_THOUSANDTHS: PriceScale =
    PriceScale::Certain(10_000.0, "ten-thousandths, as QuantConnect Lean's are");
const DAY_MS: u64 = 86_400_000;
/// Time, open, high, low, close, volume.
const WIDTH: usize = 6;
/// Bid and ask prices, with sizes.
const QUOTE_WIDTH: usize = 10;

/// What is known of a file of Lean's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LeanFile<'a> {
    /// As in the file's name: `20200102`.
    pub(super) date: &'a str,
    /// In lower case, as Lean's folders are.
    pub(super) symbol: Option<Cow<'a, str>>,
    pub(super) scale: PriceScale,
    /// The market's clock is UTC.
    pub(super) utc: bool,
}

/// Lean's file, by its name and first rows; None if it is another one.
///
/// # Errors
/// If it is one of Lean's that cannot be read without more being said.
pub(super) fn recognised<'a>(
    file: &'a str,
    rows: &[Vec<String>],
    options: &TableOptions,
) -> Result<Option<LeanFile<'a>>, MarketError> {
    let parts: Vec<&str> = file.split('/').collect();
    let is_clock = |cell: &String| cell.parse::<u64>().is_ok_and(|ms| ms < DAY_MS);
    if !rows.iter().all(|row| row.first().is_some_and(is_clock)) {
        return Ok(None);
    }
    let Some((date, between, kind)) = parts.last().and_then(|name| named(name)) else {
        let has_bars = rows.iter().all(|row| row.len() == WIDTH);
        if has_bars && rows.iter().any(|row| !layout::is_time(&row[0])) {
            let what = "has no date: column 1 holds milliseconds since midnight, it seems";
            let hint =
                "name it as QuantConnect Lean does, 20200102_trade.csv in a folder of the stock";
            return Err(file_error(file, what.into(), hint));
        }
        return Ok(None);
    };
    let has_width = |width: usize| rows.iter().all(|row| row.len() == width);
    if kind == "quote" && has_width(QUOTE_WIDTH + 1) {
        let what = "has QuantConnect Lean's quotes, of bid and ask";
        return Err(file_error(file, what.into(), "import its trades: a file ..._trade.zip"));
    }
    if kind != "trade" || !has_width(WIDTH) {
        return Ok(None);
    }
    let is_coin = parts.iter().any(|folder| folder.starts_with("crypto"));
    let is_whole = |cell: &String| cell.bytes().all(|byte| byte.is_ascii_digit());
    let scale = match (is_coin, rows.iter().flatten().all(is_whole)) {
        (true, _) => PriceScale::None,
        (false, true) => TEN_THOUSANDTHS,
        (false, false) if options.price_scale.is_some() => PriceScale::None,
        (false, false) => {
            let what = "is named as QuantConnect Lean's, but its prices are no ten-thousandths";
            let hint = "say what they count with --price-scale; 1 for whole units";
            return Err(file_error(file, what.into(), hint));
        }
    };
    let symbol = between.or_else(|| {
        let folder = parts.iter().rev().skip(1).find(|part| !part.ends_with(".zip"))?;
        (!folder.is_empty() && folder.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'))
            .then_some(*folder)
    });
    Ok(Some(LeanFile { date, symbol: symbol.map(Cow::Borrowed), scale, utc: is_coin }))
}

/// Date, symbol and kind of `20200102_trade.csv` and `20200102_aapl_minute_trade.csv`.
fn named(name: &str) -> Option<(&str, Option<&str>, &str)> {
    let (date, rest) = name.strip_suffix(".csv")?.split_once('_')?;
    if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match rest.split('_').collect::<Vec<&str>>()[..] {
        [kind @ ("trade" | "quote")] => Some((date, None, kind)),
        [symbol, "minute", kind @ ("trade" | "quote")] => Some((date, Some(symbol), kind)),
        _ => None,
    }
}

/// What rows without a header may be of Lean's that its name does not tell: daily or hourly bars.
pub(super) fn doubt(rows: &[Vec<String>]) -> PriceScale {
    let is_stamp = |cell: &str| {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        cell.len() == 14
            && cell.as_bytes()[8] == b' '
            && cell.as_bytes()[11] == b':'
            && cell.split(' ').all(digits)
    };
    let is_whole = |cell: &String| cell.parse::<u64>().is_ok_and(|price| price >= 1_000);
    let is_one = |row: &Vec<String>| {
        row.len() == WIDTH && is_stamp(&row[0]) && row[1..5].iter().all(is_whole)
    };
    match !rows.is_empty() && rows.iter().all(is_one) {
        true => PriceScale::Doubtful(
            "has whole prices, and times as QuantConnect Lean writes them: perhaps ten-thousandths",
        ),
        false => PriceScale::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(',').map(String::from).collect()).collect()
    }

    #[test]
    fn a_file_is_recognised_by_its_name_and_its_rows() {
        let find = |file: &'static str, text: &str| {
            recognised(file, &rows(text), &TableOptions::default())
        };
        let bars = "34200000,2105000,2110000,2100000,2107500,1000";
        for (file, symbol) in [
            ("usa/minute/aapl/20200102_trade.zip/20200102_aapl_minute_trade.csv", Some("aapl")),
            ("aapl/20200102_trade.zip/20200102_trade.csv", Some("aapl")),
            ("aapl/20200102_trade.csv", Some("aapl")),
            ("20200102_trade.csv", None),
        ] {
            let found = find(file, bars).unwrap().unwrap();
            assert_eq!((found.date, found.symbol.as_deref()), ("20200102", symbol), "{file}");
            assert_eq!((found.scale, found.utc), (TEN_THOUSANDTHS, false));
        }
        let error = find("aapl/20200102.csv", bars).unwrap_err().to_string();
        assert!(error.contains("milliseconds since midnight"), "{error}");
        assert_eq!(find("aapl/20200102.csv", "20200102,1,2,0.5,1,9").unwrap(), None);
        assert_eq!(find("20200102_trade.csv", "86400000,1,1,1,1,1").unwrap(), None);
        assert_eq!(find("20200102_trade.csv", "34200000,1,1,1,1").unwrap(), None);
        let coin = "0,7000.5,7001,7000,7000.5,0.25";
        let path = "crypto/gdax/minute/btcusd/20200102_trade.zip/20200102_btcusd_minute_trade.csv";
        let found = find(path, coin).unwrap().unwrap();
        assert_eq!((found.scale, found.utc), (PriceScale::None, true));
        let error = find("aapl/20200102_trade.csv", coin).unwrap_err().to_string();
        assert!(error.contains("no ten-thousandths") && error.contains("--price-scale"), "{error}");
        let quotes = "34200000,1,1,1,1,5,1,1,1,1,5";
        let error = find("aapl/20200102_quote.csv", quotes).unwrap_err().to_string();
        assert!(error.contains("quotes") && error.contains("_trade.zip"), "{error}");
    }

    #[test]
    fn daily_bars_of_whole_prices_are_doubtful() {
        let is_doubt = |text: &str| matches!(doubt(&rows(text)), PriceScale::Doubtful(_));
        assert!(is_doubt("20200102 00:00,2960000,3006000,2954000,3003500,33870100"));
        assert!(!is_doubt("20200102 00:00,296.5,300,295,300,33870100"));
        assert!(!is_doubt("2020-01-02 00:00,2960000,3006000,2954000,3003500,33870100"));
    }
}
