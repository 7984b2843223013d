//! Bars in JSON: as data services answer, and as pandas writes tables.
//!
//! Wherever they stand in the document, five shapes are known: a list of objects (or one per line),
//! an object of objects by time (Alpha Vantage), an object of lists or of objects by row (Finnhub,
//! pandas), `columns` beside `data` (pandas' `split`), and `timestamp` beside `indicators` (Yahoo).

use serde_json::{Map, Value};

use super::file_error;
use super::layout;
use super::text::{TextColumn, TextTable};
use crate::market::error::MarketError;

/// Names of the stock beside or above its bars.
const SYMBOL_NAMES: [&str; 5] = ["2. Symbol", "symbol", "ticker", "Symbol", "Ticker"];
/// Where a document is not searched any deeper.
const MAX_DEPTH: usize = 12;
/// Name of the column for times that are keys.
const KEY: &str = "timestamp";

/// All tables of bars in a document, or in one document per line.
pub(super) fn tables(text: &str, file: &str) -> Result<Vec<TextTable>, MarketError> {
    let document = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => Value::Array(lines(text).ok_or_else(|| {
            file_error(file, format!("is not JSON: {error}"), "give the whole document")
        })?),
    };
    let mut found = Vec::new();
    search(&document, None, 0, &mut found);
    if found.is_empty() {
        let what = match message(&document) {
            Some(text) => format!("is an answer without bars: {text:?}"),
            None => "is JSON without bars".into(),
        };
        return Err(file_error(file, what, "give a table with open, high, low and close"));
    }
    found.into_iter().map(|records| records.table(file)).collect()
}

/// A document in each line.
fn lines(text: &str) -> Option<Vec<Value>> {
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    filled.map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a service says instead of bars.
fn message(document: &Value) -> Option<String> {
    let names = ["Error Message", "Note", "Information", "message", "error", "errorMessage"];
    let text = names.iter().find_map(|name| document.get(name)?.as_str())?;
    Some(text.chars().take(120).collect())
}

/// Bars of one place in the document.
struct Records {
    symbol: Option<String>,
    names: Vec<String>,
    /// `[row][column]`
    rows: Vec<Vec<String>>,
}

impl Records {
    /// None if the columns are not those of bars.
    fn new(names: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Option<Records> {
        has_prices(&names).then(|| Records { symbol: None, names, rows: rows.collect() })
    }

    fn table(self, file: &str) -> Result<TextTable, MarketError> {
        let Records { symbol, names, rows } = self;
        let levels: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
        let columns = layout::stocks(&levels, file)?.remove(0).columns;
        let mut cells = vec![TextColumn::default(); names.len()];
        for row in &rows {
            cells.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        }
        Ok(TextTable { symbol, names, columns, cells, comma_if_open: false })
    }
}

fn has_prices(names: &[String]) -> bool {
    let levels: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    layout::stocks(&levels, "").is_ok()
}

/// A value as the text of a cell.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// Collects the bars of a value and of what is in it. `symbol`: the stock named above it.
fn search(value: &Value, symbol: Option<&str>, depth: usize, found: &mut Vec<Records>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Array(items) => {
            if let Some(records) = of_list(items) {
                found.push(Records { symbol: symbol.map(String::from), ..records });
                return;
            }
            items.iter().for_each(|item| search(item, symbol, depth + 1, found));
        }
        Value::Object(members) => {
            let own = symbol_in(members).or(symbol);
            let records = of_split(members)
                .or_else(|| of_columns(members))
                .or_else(|| of_times(members))
                .or_else(|| of_chart(members));
            if let Some(records) = records {
                found.push(Records { symbol: own.map(String::from), ..records });
                return;
            }
            // Some services have the bars of several stocks by symbol.
            let is_symbol = |key: &str| {
                (1..=12).contains(&key.len()) && !key.contains(|c: char| c.is_lowercase())
            };
            for (key, member) in members {
                let symbol = if is_symbol(key) { Some(key.as_str()) } else { own };
                search(member, symbol, depth + 1, found);
            }
        }
        _ => {}
    }
}

/// The stock that is named in an object, or in one in it that describes it.
fn symbol_in(members: &Map<String, Value>) -> Option<&str> {
    let meta = ["Meta Data", "meta"].iter().find_map(|name| members.get(*name)?.as_object());
    let places = [Some(members), meta];
    places
        .into_iter()
        .flatten()
        .find_map(|members| SYMBOL_NAMES.iter().find_map(|name| members.get(*name)?.as_str()))
}

/// `[{"time": ..., "open": ...}, ...]`
fn of_list(items: &[Value]) -> Option<Records> {
    let names: Vec<String> = items.first()?.as_object()?.keys().cloned().collect();
    let rows = items.iter().map(|item| names.iter().map(|name| cell(item.get(name))).collect());
    Records::new(names.clone(), rows)
}

/// `{"2020-01-02 09:30:00": {"1. open": ...}, ...}`
fn of_times(members: &Map<String, Value>) -> Option<Records> {
    let fields: Vec<&String> = members.values().next()?.as_object()?.keys().collect();
    let names = std::iter::once(KEY.into()).chain(fields.iter().map(|name| name.to_string()));
    let rows = members.iter().map(|(time, bar)| {
        let cells = fields.iter().map(|name| cell(bar.get(name)));
        std::iter::once(time.clone()).chain(cells).collect()
    });
    Records::new(names.collect(), rows)
}

/// `{"t": [...], "o": [...]}`, or by row, `{"open": {"0": ...}, ...}`, of which the keys are times
/// if there is no other column of them.
fn of_columns(members: &Map<String, Value>) -> Option<Records> {
    let cells = |value: &Value| -> Option<Vec<String>> {
        let plain = |value: &Value| !value.is_array() && !value.is_object();
        let cells: Vec<&Value> = match value {
            Value::Array(cells) => cells.iter().collect(),
            Value::Object(cells) => cells.values().collect(),
            _ => return None,
        };
        (!cells.is_empty() && cells.iter().all(|cell| plain(cell)))
            .then(|| cells.into_iter().map(|value| cell(Some(value))).collect())
    };
    let mut columns: Vec<(String, Vec<String>)> =
        members.iter().filter_map(|(name, value)| Some((name.clone(), cells(value)?))).collect();
    let keys = members.values().find_map(Value::as_object);
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    if let (false, Some(keys)) = (has_prices(&names), keys) {
        columns.insert(0, (KEY.into(), keys.keys().cloned().collect()));
    }
    let rows = columns.iter().map(|(_, cells)| cells.len()).min()?;
    let names = columns.iter().map(|(name, _)| name.clone()).collect();
    let row = |row: usize| columns.iter().map(|(_, cells)| cells[row].clone()).collect();
    Records::new(names, (0..rows).map(row))
}

/// `{"columns": [...], "index": [...], "data": [[...], ...]}`
fn of_split(members: &Map<String, Value>) -> Option<Records> {
    let names = members.get("columns")?.as_array()?;
    let mut names: Vec<String> = names.iter().map(|name| cell(Some(name))).collect();
    let data = members.get("data")?.as_array()?;
    let index = members.get("index").and_then(Value::as_array).filter(|_| !has_prices(&names));
    if index.is_some() {
        names.insert(0, KEY.into());
    }
    let rows = data.iter().enumerate().map(|(i, row)| {
        let key = index.map(|index| cell(index.get(i)));
        let cells = row.as_array().into_iter().flatten().map(|value| cell(Some(value)));
        key.into_iter().chain(cells).collect()
    });
    Records::new(names.clone(), rows)
}

/// Yahoo's chart: `timestamp` beside `indicators.quote[0]`.
fn of_chart(members: &Map<String, Value>) -> Option<Records> {
    let times = members.get("timestamp")?.as_array()?;
    let quote = members.get("indicators")?.get("quote")?.get(0)?.as_object()?;
    let names = std::iter::once(KEY.into()).chain(quote.keys().cloned());
    let rows = times.iter().enumerate().map(|(i, time)| {
        let cells = quote.values().map(|cells| cell(cells.get(i)));
        std::iter::once(cell(Some(time))).chain(cells).collect()
    });
    Records::new(names.collect(), rows)
}
