//! Which stock a row is of.

use std::collections::BTreeMap;
use std::path::Path;

use super::ImportOptions;
use crate::ingest::table::TablePart;
use crate::market::bar::Symbol;
use crate::market::error::MarketError;
use crate::market::parquet::RawRows;

/// Exchanges and other words that stand before a symbol in the names of files.
const BEFORE_SYMBOLS: [&str; 26] = [
    "BATS", "NASDAQ", "NYSE", "AMEX", "ARCA", "CBOE", "OTC", "TSX", "LSE", "XETR", "XNAS", "XNYS",
    "BINANCE", "COINBASE", "DAT", "ASCII", "EXPORT", "STOCK", "US", "M1", "M5", "M15", "M30", "H1",
    "D1", "OHLCV",
];

/// Rows by stock: according to a column or the file itself, the flag, or the file's name.
///
/// `--symbol` may rename the one stock of a file: old files have old names.
pub(super) fn by_symbol(
    parts: Vec<TablePart>,
    file: &str,
    options: &ImportOptions,
) -> Result<BTreeMap<Symbol, RawRows>, MarketError> {
    let wrong = |what: String, hint: &str| MarketError::File {
        file: file.into(),
        what,
        hint: hint.into(),
        cause: None,
    };
    let mut all: BTreeMap<Symbol, RawRows> = BTreeMap::new();
    let mut known: BTreeMap<String, Symbol> = BTreeMap::new();
    let mut unnamed = false;
    for TablePart { symbol, symbols, rows, .. } in parts {
        let stock = |row: usize| match &symbols {
            Some(symbols) => symbols[row].as_deref(),
            None => symbol.as_deref(),
        };
        for i in 0..rows.len() {
            let Some(name) = stock(i) else {
                let symbol = match &options.symbol {
                    Some(symbol) => symbol.clone(),
                    None if symbols.is_none() => named_by(Path::new(file)).ok_or_else(|| {
                        let what = "neither a column nor the file's name gives the symbol";
                        wrong(what.into(), "give it with --symbol, or name the file like AAPL.csv")
                    })?,
                    None => {
                        unnamed = true;
                        continue;
                    }
                };
                all.entry(symbol).or_default().push(rows.label_s[i], rows.values(i));
                continue;
            };
            let symbol = match known.get(name) {
                Some(symbol) => symbol.clone(),
                None => {
                    let symbol = symbol_of(name).ok_or_else(|| {
                        let shown: String = name.chars().take(40).collect();
                        let what = format!("row {}: {shown:?} is not a stock symbol", i + 1);
                        wrong(what, "fix the column, or pass it over with --columns")
                    })?;
                    known.insert(name.into(), symbol.clone());
                    symbol
                }
            };
            all.entry(symbol).or_default().push(rows.label_s[i], rows.values(i));
        }
    }
    if unnamed && options.strict {
        let what = "some rows have no symbol".to_string();
        return Err(wrong(what, "fix the file, or import without --strict to skip such rows"));
    }
    match &options.symbol {
        Some(symbol) if all.len() == 1 => {
            Ok(all.into_values().map(|rows| (symbol.clone(), rows)).collect())
        }
        Some(symbol) if all.len() > 1 => {
            let found: Vec<&str> = all.keys().take(4).map(Symbol::as_str).collect();
            let what = format!(
                "contains bars of {} stocks ({}, ...), but --symbol is {symbol}",
                all.len(),
                found.join(", ")
            );
            Err(wrong(what, "omit --symbol: the file names its stocks"))
        }
        _ => Ok(all),
    }
}

/// The symbol in a name as others write it: `AAPL.US`, `NASDAQ:AAPL`, `BTC/USD`, `EUR_USD`, `^GSPC`, `EURUSD=X`,
/// `AAPL US Equity`.
fn symbol_of(name: &str) -> Option<Symbol> {
    let name = name.rsplit(':').next().unwrap_or(name).trim();
    // Of a company's name, as in `Apple Inc`, no word is its symbol.
    let (name, others) = name.split_once(' ').unwrap_or((name, ""));
    if !others.is_empty() && name.contains(|c: char| c.is_lowercase()) {
        return None;
    }
    let upper = name.trim_start_matches('^').replace(['/', '_'], "-").to_ascii_uppercase();
    let bare = upper.strip_suffix(".US").or_else(|| upper.strip_suffix("=X")).unwrap_or(&upper);
    bare.replace('=', "-").parse().ok()
}

/// The symbol in a file name such as `AAPL.csv`, `AAPL_2020-01.parquet`, `intraday_5min_IBM`,
/// `BATS_AAPL, 5.csv`: the first part in capitals that is no exchange, or the whole name.
fn named_by(path: &Path) -> Option<Symbol> {
    let name = path.file_name()?.to_str()?;
    // `BRK.B_1min.csv` has two dots, and `aapl.us.txt` a country.
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    let stem = stem.strip_suffix(".us").or(stem.strip_suffix(".US")).unwrap_or(stem);
    let parts: Vec<&str> = stem.split(['_', ' ', ',']).filter(|part| !part.is_empty()).collect();
    let is_symbol = |part: &&&str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && !part.contains(|c: char| c.is_ascii_lowercase())
    };
    let symbols = || parts.iter().filter(is_symbol);
    let first = symbols().find(|part| !BEFORE_SYMBOLS.contains(part)).or(symbols().next());
    match first {
        Some(part) => part.parse().ok(),
        None if parts.len() == 1 && stem.chars().all(|c| c.is_ascii_alphabetic()) => {
            stem.parse().ok()
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_other_programs_are_understood() {
        for (name, symbol) in [
            ("aapl.us", "AAPL"),
            ("NASDAQ:MSFT", "MSFT"),
            ("BTC/USD", "BTC-USD"),
            ("EUR_USD", "EUR-USD"),
            ("^GSPC", "GSPC"),
            ("EURUSD=X", "EURUSD"),
            ("AAPL US Equity", "AAPL"),
            ("BRK.B", "BRK.B"),
        ] {
            assert_eq!(symbol_of(name).unwrap().as_str(), symbol, "{name}");
        }
        assert_eq!([symbol_of(""), symbol_of("Apple Inc")], [None, None]);
        assert_eq!(symbol_of("../x"), Some("..-X".parse().unwrap()));
    }

    #[test]
    fn file_names_tell_of_stocks() {
        for (name, symbol) in [
            ("AAPL.csv", Some("AAPL")),
            ("in/spy.csv", Some("SPY")),
            ("AAPL_2020-01-03.parquet", Some("AAPL")),
            ("intraday_5min_IBM.csv", Some("IBM")),
            ("BRK.B_1min.csv", Some("BRK.B")),
            ("BATS_AAPL, 5.csv", Some("AAPL")),
            ("NYSE.csv", Some("NYSE")),
            ("AAPL.US.csv", Some("AAPL")),
            ("STOCK_US_XNAS_AAPL.csv", Some("AAPL")),
            ("DAT_ASCII_IBM_M1_2020.csv", Some("IBM")),
            ("aapl.us.txt", Some("AAPL")),
            ("AAPL.csv.gz", Some("AAPL")),
            ("all.zip/AAPL_full_5min_adjsplit.txt", Some("AAPL")),
            ("2020_01.csv", None),
            ("my_bars.csv", None),
            ("bars-2020.csv", None),
        ] {
            let found = named_by(Path::new(name)).map(String::from);
            assert_eq!(found.as_deref(), symbol, "{name}");
        }
    }
}
