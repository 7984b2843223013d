//! Bars in JSON: as data services answer, and as pandas writes tables.
//!
//! Wherever they stand in the document, six shapes are known: a list of objects (or one per line),
//! an object of objects by time (Alpha Vantage), an object of lists or of objects by row (Finnhub,
//! pandas), `columns` beside `data` (pandas' `split`), `timestamp` beside `indicators` (Yahoo), all in
//! [`shapes`]; and a list of lists, whose values have no names ([`unnamed`]).

mod shapes;
mod unnamed;

use serde_json::{Map, Value};

use super::layout;
use super::text::{TextColumn, TextTable, TextTables};
use super::{TableOptions, file_error};
use crate::market::columns::BarColumns;
use crate::market::error::MarketError;

/// Names of the stock beside or above its bars.
const SYMBOL_NAMES: [&str; 6] = ["2. Symbol", "symbol", "ticker", "Symbol", "Ticker", "instrument"];
/// What says something of the bars beside it.
const META_NAMES: [&str; 2] = ["Meta Data", "meta"];
/// Where a document is not searched any deeper.
const MAX_DEPTH: usize = 12;
/// Name of the column for times that are keys.
const KEY: &str = "timestamp";
/// Name of the column for a zone that stands beside the bars.
const ZONE: &str = "timezone";

/// All tables of bars in a document, or in one document per line.
pub(super) fn tables(
    text: &str,
    file: &str,
    options: &TableOptions,
) -> Result<TextTables, MarketError> {
    let document = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => Value::Array(lines(text).ok_or_else(|| {
            file_error(file, format!("is not JSON: {error}"), "give the whole document")
        })?),
    };
    let mut found = Vec::new();
    search(&document, None, 0, &mut found);
    if found.is_empty() {
        return Err(nothing(&document, file));
    }
    // Beside bars with names, rows without are something else.
    if found.iter().any(|records| !records.names.is_empty()) {
        found.retain(|records| !records.names.is_empty());
    }
    let is_unnamed = found.iter().all(|records| records.names.is_empty());
    if options.columns.is_some() && !is_unnamed {
        let what = "is JSON, whose values have names: --columns is for tables without";
        return Err(file_error(file, what.into(), "leave it out"));
    }
    let incomplete: usize = found.iter().map(|records| records.incomplete).sum();
    let mut kind = "JSON".to_string();
    let mut tables = Vec::with_capacity(found.len());
    for records in found {
        if records.names.is_empty() {
            kind = format!("JSON of rows without names{}", records.layout_words());
        }
        tables.push(records.table(file, options)?);
    }
    let notes = match incomplete {
        0 => Vec::new(),
        count => vec![format!("left out: {count} of bars that were not over")],
    };
    Ok(TextTables { tables, kind, notes, ..TextTables::default() })
}

/// The error of a document without bars.
fn nothing(document: &Value, file: &str) -> MarketError {
    let of_oanda = |name: &str| document.get("candles")?.get(0)?.get(name)?.get("o");
    if of_oanda("bid").or_else(|| of_oanda("ask")).is_some() {
        let what = "has bid or ask prices, and none between them".to_string();
        return file_error(file, what, "request them from Oanda with price=M");
    }
    let what = match message(document) {
        Some(text) => format!("is an answer without bars: {text:?}"),
        None => "is JSON without bars".into(),
    };
    file_error(file, what, "give a table with open, high, low and close")
}

/// A document in each line.
fn lines(text: &str) -> Option<Vec<Value>> {
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    filled.map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a service says instead of bars.
fn message(document: &Value) -> Option<String> {
    let names = ["Error Message", "Note", "Information", "message", "error", "errorMessage"];
    let said = |value: &Value| value.as_str().or_else(|| value.get(0)?.as_str()).map(String::from);
    let text = names.iter().find_map(|name| said(document.get(name)?))?;
    Some(text.chars().take(120).collect())
}

/// Bars of one place in the document.
#[derive(Default)]
struct Records {
    symbol: Option<String>,
    /// `[column]`; empty where they have none.
    names: Vec<String>,
    /// `[row][column]`
    rows: Vec<Vec<String>>,
    /// The layout of columns without names, where the document tells which service it is of.
    known: Option<unnamed::Service>,
    /// Number of bars that were left out.
    incomplete: usize,
}

impl Records {
    /// None if the columns are not those of bars.
    fn new(names: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Option<Records> {
        has_prices(&names).then(|| Records { names, rows: rows.collect(), ..Records::default() })
    }

    /// With the stock and the zone that stand beside or above the bars.
    fn beside(self, symbol: Option<&str>, zone: Option<&str>) -> Records {
        Records { symbol: symbol.map(String::from), ..self }.beside_zone(zone)
    }

    fn beside_zone(mut self, zone: Option<&str>) -> Records {
        let has_zone = |names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            BarColumns::new(&names, "").is_ok_and(|columns| columns.zone.is_some())
        };
        if let (Some(zone), false) = (zone, self.names.is_empty() || has_zone(&self.names)) {
            self.names.push(ZONE.into());
            self.rows.iter_mut().for_each(|row| row.push(zone.into()));
        }
        self
    }

    /// Tells the service by what stands around rows without names. OKX's last bar may not be over.
    fn recognise(&mut self, members: &Map<String, Value>) {
        self.known = self.known.or_else(|| unnamed::Service::above(members, &self.rows));
        if let Some(unnamed::Service::Okx { .. }) = self.known {
            let all = self.rows.len();
            self.rows.retain(|row| row.last().is_some_and(|is_over| is_over == "1"));
            self.incomplete += all - self.rows.len();
        }
    }

    fn layout_words(&self) -> String {
        self.known.map_or(String::new(), |service| format!(" ({})", service.words()))
    }

    fn table(self, file: &str, options: &TableOptions) -> Result<TextTable, MarketError> {
        let Records { symbol, mut names, rows, known, .. } = self;
        let columns = if names.is_empty() {
            let columns = unnamed::columns(&rows, known, file, options)?;
            names = match &options.columns {
                Some(given) => given.clone(),
                None => layout::numbered(rows.first().map_or(0, Vec::len)),
            };
            columns
        } else {
            let levels: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
            layout::stocks(&levels, file)?.remove(0).columns
        };
        let mut cells = vec![TextColumn::default(); names.len()];
        for row in &rows {
            let row = row.iter().map(String::as_str).chain(std::iter::repeat(""));
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
            if let Some(records) = shapes::of_list(items).or_else(|| unnamed::of_rows(items)) {
                found.push(records.beside(symbol, None));
                return;
            }
            items.iter().for_each(|item| search(item, symbol, depth + 1, found));
        }
        Value::Object(members) => {
            let own = symbol_in(members).or(symbol);
            let zone = zone_in(members);
            let records = shapes::of_split(members)
                .or_else(|| shapes::of_columns(members))
                .or_else(|| shapes::of_times(members))
                .or_else(|| shapes::of_chart(members));
            if let Some(records) = records {
                found.push(records.beside(own, zone));
                return;
            }
            let first = found.len();
            // Some services have the bars of several stocks by symbol.
            let is_symbol = |key: &str| {
                (1..=12).contains(&key.len()) && !key.contains(|c: char| c.is_lowercase())
            };
            for (key, member) in members {
                let symbol = if is_symbol(key) { Some(key.as_str()) } else { own };
                search(member, symbol, depth + 1, found);
            }
            for records in &mut found[first..] {
                if records.names.is_empty() {
                    records.recognise(members);
                } else if zone.is_some() {
                    *records = std::mem::take(records).beside_zone(zone);
                }
            }
        }
        _ => {}
    }
}

/// The stock that is named in an object, or in one in it that describes it.
fn symbol_in(members: &Map<String, Value>) -> Option<&str> {
    let places = [Some(members), meta_in(members)];
    places
        .into_iter()
        .flatten()
        .find_map(|members| SYMBOL_NAMES.iter().find_map(|name| members.get(*name)?.as_str()))
}

fn meta_in(members: &Map<String, Value>) -> Option<&Map<String, Value>> {
    META_NAMES.iter().find_map(|name| members.get(*name)?.as_object())
}

/// The zone of the times, from the object that describes the bars: Twelve Data's, Alpha Vantage's.
fn zone_in(members: &Map<String, Value>) -> Option<&str> {
    let mut meta = meta_in(members)?.iter();
    let is_zone = |name: &str| name == "exchange_timezone" || name.ends_with("Time Zone");
    meta.find(|(name, _)| is_zone(name))?.1.as_str()
}
