//! Names and arguments of calls, as models write them: `functions.buy`, `ticker`, `"3"`. What can
//! mean one thing only is accepted; the rest is answered in words.

use serde_json::{Map, Value, json};

/// The tools' names.
pub(crate) const TOOLS: [&str; 5] = ["get_prices", "get_positions", "buy", "sell", "finish"];
/// Other names of tools, without underscores.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("getprice", "get_prices"),
    ("getpricelocal", "get_prices"),
    ("getposition", "get_positions"),
    ("getportfolio", "get_positions"),
    ("buystock", "buy"),
    ("buyshares", "buy"),
    ("sellstock", "sell"),
    ("sellshares", "sell"),
];
/// Each argument's names, lower case and without underscores.
const SYMBOL: &[&str] =
    &["symbol", "ticker", "tickersymbol", "stock", "stocksymbol", "symbols", "tickers", "asset"];
const AMOUNT: &[&str] = &[
    "amount",
    "quantity",
    "qty",
    "shares",
    "numshares",
    "numberofshares",
    "sharecount",
    "size",
    "units",
    "count",
];
const COUNT: &[&str] = &["count", "n", "limit", "bars", "days", "periods", "lookback", "number"];
const INTERVAL: &[&str] = &["interval", "timeframe", "period", "granularity", "resolution"];
/// How often arguments may be JSON text inside JSON text.
const MOST_ENCODINGS: usize = 4;
/// Fields that hold all arguments, where they are the only field.
const WRAPPERS: [&str; 5] = ["arguments", "parameters", "args", "input", "kwargs"];

/// The tool that `name` means, as in `functions.buy:0`, `default_api:buy` or `Get-Prices`.
pub(crate) fn tool_name(name: &str) -> Option<&'static str> {
    let known = |part: &str| {
        let plain = plain(part);
        let other = || OTHER_NAMES.iter().find(|(other, _)| *other == plain).map(|(_, tool)| *tool);
        TOOLS.into_iter().find(|tool| self::plain(tool) == plain).or_else(other)
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    known(name.trim())
        .or_else(|| name.split(|c| !is_part(c)).rev().find_map(known))
        .or_else(|| name.rsplit("__").find_map(known))
}

/// Lower case, without underscores and hyphens.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The arguments of a call as an object: text is parsed, nothing at all is no argument. Errors say
/// what the model should write.
pub(crate) fn read(given: &Value) -> Result<Value, String> {
    let mut value = given.clone();
    for _ in 0..MOST_ENCODINGS {
        let Value::String(text) = &value else { break };
        let text = unfenced(text);
        if text.is_empty() {
            return Ok(json!({}));
        }
        value = serde_json::from_str(text)
            .map_err(|e| format!("the arguments are not JSON ({e}); write a JSON object"))?;
    }
    match value {
        Value::Null => Ok(json!({})),
        Value::Object(fields) => Ok(Value::Object(unwrapped(fields))),
        Value::Array(mut all) if all.len() == 1 && all[0].is_object() => Ok(all.remove(0)),
        Value::Array(all) if all.is_empty() => Ok(json!({})),
        _ => Err("the arguments are not a JSON object".into()),
    }
}

/// Without the fence of a block of code.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```").and_then(|text| text.strip_suffix("```")) else {
        return text;
    };
    inner.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim()
}

/// The object inside of one that has it as its only field, or as the `properties` of a schema.
fn unwrapped(mut fields: Map<String, Value>) -> Map<String, Value> {
    let only = (fields.len() == 1).then(|| fields.keys().next().cloned()).flatten();
    let properties = fields.get("type").is_some_and(|kind| kind == "object");
    let wrapper = only
        .filter(|name| WRAPPERS.contains(&name.as_str()))
        .or(properties.then(|| "properties".to_string()));
    match wrapper.map(|name| (name.clone(), fields.remove(&name))) {
        Some((_, Some(Value::Object(inner)))) => inner,
        Some((name, Some(other))) => match read(&other) {
            Ok(Value::Object(inner)) if other.is_string() => inner,
            _ => {
                fields.insert(name, other);
                fields
            }
        },
        _ => fields,
    }
}

/// Arguments by whatever names they have.
pub(crate) struct Arguments<'a>(pub(crate) &'a Value);

impl<'a> Arguments<'a> {
    fn find(&self, names: &[&str]) -> &'a Value {
        const NOTHING: &Value = &Value::Null;
        let Some(fields) = self.0.as_object() else { return NOTHING };
        let by = |name: &&str| fields.iter().find(|(key, _)| plain(key) == **name);
        names.iter().find_map(by).map_or(NOTHING, |(_, value)| value)
    }

    /// Symbols, none if there are none. Errors: one is no text.
    pub(crate) fn symbols(&self) -> Result<Vec<String>, String> {
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.trim().to_string()),
            // Shanghai's symbols are numbers.
            Value::Number(number) => Ok(number.to_string()),
            _ => Err("symbol is no text".to_string()),
        };
        let all = match self.find(SYMBOL) {
            Value::Null => Vec::new(),
            Value::Array(all) => all.iter().map(text).collect::<Result<_, _>>()?,
            one => vec![text(one)?],
        };
        Ok(all.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// Shares to trade.
    pub(crate) fn amount(&self) -> Result<u64, String> {
        let value = self.find(AMOUNT);
        if value.is_null() {
            return Err("amount is missing; write a whole number of shares".into());
        }
        let shares = whole_number(value).map_err(|what| {
            format!("amount {what}; amount is a whole number of shares above 0, as in 10")
        })?;
        if (1..=1_000_000_000_000).contains(&shares) {
            return Ok(shares);
        }
        Err("amount is not a whole number of shares above 0".into())
    }

    /// Number of bars; None where there is none.
    pub(crate) fn count(&self) -> Result<Option<u64>, String> {
        match self.find(COUNT) {
            Value::Null => Ok(None),
            value => match whole_number(value) {
                Ok(count) if count > 0 => Ok(Some(count)),
                _ => Err("count is not 1 or above".into()),
            },
        }
    }

    /// Whether bars are asked for, and not days; None where neither is.
    pub(crate) fn by_bar(&self) -> Result<Option<bool>, String> {
        let value = self.find(INTERVAL);
        if value.is_null() {
            return Ok(None);
        }
        match value.as_str().map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            Some("day" | "days" | "daily" | "1d" | "d" | "date") => Ok(Some(false)),
            Some("bar" | "bars" | "intraday") => Ok(Some(true)),
            Some("") => Ok(None),
            _ => Err("interval is neither \"day\" nor \"bar\"".into()),
        }
    }
}

/// Accepts 10, 10.0, "10", "10.0" and "10 shares". Errors say what the value is instead.
fn whole_number(value: &Value) -> Result<u64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => {
            let text = text.trim();
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let is_unit = matches!(
                text[digits.len()..].to_ascii_lowercase().as_str(),
                "" | "shares" | "share"
            );
            if text.contains(',') {
                // 1,000 is a thousand to some and one to others.
                return Err(format!("{text:?} has a comma"));
            }
            match digits.trim().parse::<f64>() {
                Ok(number) if is_unit => number,
                _ => return Err(format!("{:?} is no number", short(text))),
            }
        }
        _ => return Err("is no number".into()),
    };
    if number.fract() != 0.0 || !(0.0..=9e15).contains(&number) {
        return Err(format!("{number} is not whole, or out of range"));
    }
    Ok(number as u64)
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// `$AAPL` and `NASDAQ:AAPL` as AAPL, and the same with the other signs between parts.
pub(crate) fn symbol_forms(text: &str) -> Vec<String> {
    let text = text.trim().trim_start_matches('$');
    let bare = text.rsplit(':').next().unwrap_or(text).trim();
    let mut forms = vec![text.to_string(), bare.to_string()];
    for sign in [".", "-"] {
        forms.push(bare.replace(['.', '-', '/', ' '], sign));
    }
    // As Reuters and others write it, AAPL.O or AAPL.US.
    if let Some((start, end)) = bare.rsplit_once('.')
        && matches!(end.to_ascii_uppercase().as_str(), "US" | "O" | "OQ" | "N" | "NYSE" | "NASDAQ")
    {
        forms.push(start.into());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools_have_many_spellings() {
        for (name, tool) in [
            ("buy", "buy"),
            (" Buy ", "buy"),
            ("functions.buy", "buy"),
            ("functions.buy:0", "buy"),
            ("default_api:get_prices", "get_prices"),
            ("default_api.sell", "sell"),
            ("getPrices", "get_prices"),
            ("GET-POSITIONS", "get_positions"),
            ("mcp__trade__buy", "buy"),
            ("buy<|channel|>commentary", "buy"),
            ("finish()", "finish"),
            ("buy_stock", "buy"),
        ] {
            assert_eq!(tool_name(name), Some(tool), "{name}");
        }
        for name in ["", "short", "buyer", "sell_short", "I would"] {
            assert_eq!(tool_name(name), None, "{name}");
        }
    }

    #[test]
    fn arguments_come_in_many_wrappings() {
        let expected = json!({ "symbol": "SPY", "amount": 3 });
        let text = expected.to_string();
        let twice = Value::String(text.clone()).to_string();
        for given in [
            expected.clone(),
            json!(text),
            json!(twice),
            json!(Value::String(twice).to_string()),
            json!([expected]),
            json!({ "arguments": expected }),
            json!({ "parameters": text }),
            json!({ "type": "object", "properties": expected }),
            json!(format!("```json\n{text}\n```")),
        ] {
            assert_eq!(read(&given), Ok(expected.clone()), "{given}");
        }
        for nothing in [json!(null), json!(""), json!(" "), json!("null"), json!("{}"), json!([])] {
            assert_eq!(read(&nothing), Ok(json!({})), "{nothing}");
        }
        for wrong in [json!("{\"symbol\""), json!([1]), json!(3), json!("SPY"), json!("{'a': 1}")] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_are_whole_numbers_in_any_form() {
        let of = |value: Value| Arguments(&json!({ "Quantity": value })).amount();
        for value in [json!(3), json!(3.0), json!("3"), json!(" 3.0 "), json!("3 shares")] {
            assert_eq!(of(value.clone()), Ok(3), "{value}");
        }
        for (value, part) in [
            (json!("1,0"), "has a comma"),
            (json!("1,000"), "has a comma"),
            (json!(2.5), "not whole"),
            (json!(-1), "not whole, or out of range"),
            (json!(0), "above 0"),
            (json!("all"), "is no number"),
            (json!("10%"), "is no number"),
            (json!("nan"), "is no number"),
            (json!(true), "is no number"),
            (json!(null), "is missing"),
        ] {
            let told = of(value.clone()).unwrap_err();
            assert!(told.contains(part), "{value}: {told}");
        }
    }

    #[test]
    fn arguments_have_other_names_too() {
        let all = json!({ "Ticker": "$spy", "num_shares": "2", "timeframe": "1d", "Limit": 5 });
        let all = Arguments(&all);
        assert_eq!((all.symbols(), all.amount()), (Ok(vec!["$spy".into()]), Ok(2)));
        assert_eq!((all.count(), all.by_bar()), (Ok(Some(5)), Ok(Some(false))));
        assert!(symbol_forms("$spy").contains(&"spy".into()));
        assert!(symbol_forms("NYSE:BRK.B").contains(&"BRK-B".into()));
        assert!(symbol_forms("AAPL.US").contains(&"AAPL".into()));
    }
}
