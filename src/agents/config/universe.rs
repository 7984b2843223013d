//! The stocks of a configuration: a list, or a file that holds one.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::config::ConfigError;
use crate::files::read_text;
use crate::market::Symbol;

/// Keys with a list, the path of a file, or with a single symbol.
const SYMBOLS: [&str; 5] = ["stocks", "stock_symbols", "symbols", "tickers", "crypto_symbols"];
/// In these a word means a list, or a file.
const LISTS: [&str; 7] = [
    "universe",
    "stocks_file",
    "stock_file",
    "symbols_file",
    "universe_file",
    "stock_list",
    "stock_pool",
];
/// First lines of tables.
const TITLES: [&str; 5] = ["symbol", "symbols", "ticker", "stock", "code"];
const HINT: &str = "give a list, as [\"AAPL\", \"MSFT\"], or a file with a symbol per line";

/// Takes the stocks out of the other keys; None if there are none.
pub(super) fn universe(
    rest: &mut BTreeMap<String, Value>,
) -> Result<Option<Vec<Symbol>>, ConfigError> {
    let keys = SYMBOLS.iter().chain(&LISTS);
    let given: Vec<(&str, Value)> =
        keys.filter_map(|key| Some((*key, rest.remove(*key)?))).collect();
    let mut given = given.into_iter().filter(|(_, value)| !value.is_null());
    let Some((key, value)) = given.next() else { return Ok(None) };
    if let Some((other, _)) = given.next() {
        let what = format!("{other} names the stocks, too");
        return Err(ConfigError::new(key, what, "leave one of them out"));
    }
    match &value {
        Value::Array(all) => symbols(key, all).map(Some),
        Value::String(text) if is_path(text) => from_file(key, Path::new(text.trim())).map(Some),
        Value::String(text) if LISTS.contains(&key) && words(text).len() == 1 => {
            let what = format!("{} is neither a file nor a list", text.trim());
            Err(ConfigError::new(key, what, HINT))
        }
        Value::String(text) => symbols(key, &words(text)).map(Some),
        _ => Err(ConfigError::new(key, "is no list of symbols", HINT)),
    }
}

fn is_path(text: &str) -> bool {
    let text = text.trim();
    let ends = [".txt", ".csv", ".json", ".tsv", ".list"];
    text.contains('/') || ends.iter().any(|end| text.ends_with(end)) || Path::new(text).is_file()
}

fn words(text: &str) -> Vec<Value> {
    let split = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'));
    split.filter(|word| !word.is_empty()).map(Value::from).collect()
}

/// A JSON list, or lines that begin with a symbol; what follows a # is a comment.
fn from_file(key: &str, path: &Path) -> Result<Vec<Symbol>, ConfigError> {
    let place = format!("{key}: {}", path.display());
    let text =
        read_text(path).map_err(|e| ConfigError::new(&place, e.to_string(), HINT).caused_by(e))?;
    if let Ok(Value::Array(all)) = serde_json::from_str(&text) {
        return symbols(&place, &all);
    }
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let first = |line: &str| words(line).into_iter().next();
    let mut all: Vec<Value> = lines.filter_map(first).collect();
    let unquoted = |word: &Value| word.as_str().unwrap_or_default().trim_matches('"').to_string();
    let mut all: Vec<Value> = all.drain(..).map(|word| unquoted(&word).into()).collect();
    let is_title = |word: &Value| {
        let word = word.as_str().unwrap_or_default().to_ascii_lowercase();
        TITLES.contains(&word.as_str())
    };
    if all.first().is_some_and(is_title) {
        all.remove(0);
    }
    symbols(&place, &all)
}

fn symbols(place: &str, all: &[Value]) -> Result<Vec<Symbol>, ConfigError> {
    let one = |value: &Value| {
        let text = match value {
            Value::String(text) => text.trim_start_matches('$').to_string(),
            // Shanghai's symbols are numbers.
            Value::Number(number) => number.to_string(),
            _ => return Err(ConfigError::new(place, "is no list of symbols", HINT)),
        };
        text.parse::<Symbol>().map_err(|e| ConfigError::new(place, e.to_string(), HINT))
    };
    all.iter().map(one).collect()
}
