//! What a server says about an error, in whichever form it says it.

use serde_json::Value;

/// Maximum length, characters.
const WORDS: usize = 300;
/// Fields that may hold the words, the most telling first.
const FIELDS: [&str; 14] = [
    "error",
    "message",
    "msg",
    "detail",
    "details",
    "errors",
    "error_message",
    "error_msg",
    "error_description",
    "Message",
    "reason",
    "description",
    "title",
    "errorMessage",
];
/// How deep the words may lie.
const MOST_DEPTH: u32 = 6;
/// How many of several errors are told.
const MOST_ERRORS: usize = 3;

/// A server's error.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServerError {
    /// On one line, with the error's code where it is a word.
    pub(crate) words: String,
    /// The HTTP status that the body names.
    pub(crate) status: Option<u16>,
    /// How long it asks to wait, seconds, in the body.
    pub(crate) wait_s: Option<f64>,
}

impl ServerError {
    /// What the body of an error response says; None if it says nothing.
    pub(crate) fn read(body: &[u8]) -> Option<ServerError> {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        if super::stream::is_stream(text) {
            return ServerError::find(&super::stream::joined(text));
        }
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            return ServerError::find(&value);
        }
        let words = shortened(&without_tags(text));
        (!words.is_empty()).then(|| ServerError { words, ..ServerError::default() })
    }

    /// What a body says; None if it is no error.
    pub(crate) fn find(body: &Value) -> Option<ServerError> {
        let said = words(body, MOST_DEPTH)?;
        let code = first_of(body, &["code", "status"], MOST_DEPTH);
        let status = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
        let status = status.and_then(|status| u16::try_from(status).ok());
        let word = first_of(body, &["code"], MOST_DEPTH).and_then(Value::as_str);
        let is_new = |word: &&str| !said.contains(*word) && word.parse::<f64>().is_err();
        let word = word.filter(is_new).map(|word| format!(" ({})", shortened(word)));
        let words = format!("{}{}", shortened(&said), word.unwrap_or_default());
        let delay = first_of(body, &["retryDelay"], MOST_DEPTH).and_then(Value::as_str);
        let wait_s = delay.and_then(|delay| delay.trim_end_matches('s').parse().ok());
        let wait_s = wait_s.filter(|wait| (0.0..=1e9).contains(wait));
        Some(ServerError { words, status: status.filter(|s| (100..1_000).contains(s)), wait_s })
    }
}

/// The words in `value`.
fn words(value: &Value, depth: u32) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::String(text) => {
            // Gateways put the other server's body into their own.
            let inner = serde_json::from_str(text).ok().filter(|v: &Value| v.is_object());
            let inner = inner.and_then(|inner| words(&inner, depth));
            inner.or_else(|| Some(text.trim().to_string())).filter(|text| !text.is_empty())
        }
        Value::Array(all) => {
            let told: Vec<String> =
                all.iter().filter_map(|one| words(one, depth)).take(MOST_ERRORS).collect();
            (!told.is_empty()).then(|| told.join("; "))
        }
        Value::Object(fields) => {
            let told = FIELDS.iter().find_map(|name| words(fields.get(*name)?, depth))?;
            // As FastAPI says where in the request it is.
            let place = fields.get("loc").and_then(Value::as_array).map(|parts| {
                let part = |part: &Value| part.as_str().map_or(part.to_string(), String::from);
                parts.iter().map(part).collect::<Vec<_>>().join(".")
            });
            let raw = fields.get("metadata").and_then(|more| words(more.get("raw")?, depth));
            let raw = raw.filter(|raw| !told.contains(raw.as_str()));
            let told = raw.map_or(told.clone(), |raw| format!("{told}: {raw}"));
            Some(place.map_or(told.clone(), |place| format!("{place}: {told}")))
        }
        _ => None,
    }
}

/// The first of `keys` in `value` or in what it holds.
fn first_of<'a>(value: &'a Value, keys: &[&str], depth: u32) -> Option<&'a Value> {
    let depth = depth.checked_sub(1)?;
    let held = |value: &Value| value.is_string() || value.is_number();
    match value {
        Value::Object(fields) => {
            let here = keys.iter().find_map(|key| fields.get(*key).filter(|value| held(value)));
            here.or_else(|| fields.values().find_map(|inner| first_of(inner, keys, depth)))
        }
        Value::Array(all) => all.iter().find_map(|inner| first_of(inner, keys, depth)),
        _ => None,
    }
}

/// The title of a page, or its text.
fn without_tags(text: &str) -> String {
    if !text.starts_with('<') {
        return text.into();
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").zip(lower.find("</title>"));
    if let Some(title) = title.and_then(|(start, end)| text.get(start + 7..end)) {
        return title.into();
    }
    let mut is_tag = false;
    let is_text = |c: &char| {
        let was_tag = is_tag;
        is_tag = (is_tag || *c == '<') && *c != '>';
        !was_tag && !is_tag
    };
    text.chars().filter(is_text).collect()
}

/// On one line of readable length.
pub(crate) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_of_an_error_says_its_words() {
        for (body, expected) in [
            (json!({ "error": "no model" }), "no model"),
            (json!({ "error": { "message": "no model", "code": null } }), "no model"),
            (json!([{ "error": { "code": 400, "message": "no model" } }]), "no model"),
            (json!({ "error": { "message": "no", "code": "some_code" } }), "no (some_code)"),
            (json!({ "object": "error", "message": "no model", "code": 400 }), "no model"),
            (json!({ "detail": "Not Found" }), "Not Found"),
            (
                json!({ "detail": [{ "loc": ["body", "messages", 1], "msg": "Field required" }] }),
                "body.messages.1: Field required",
            ),
            (json!({ "message": { "detail": [{ "msg": "one" }, { "msg": "two" }] } }), "one; two"),
            (
                json!({ "error": { "message": "Provider returned error", "metadata":
                    { "raw": "{\"error\": {\"message\": \"too long\"}}" } } }),
                "Provider returned error: too long",
            ),
            (json!({ "error": { "type": "x", "error": { "message": "deep" } } }), "deep"),
            (json!({ "errors": [{ "message": "a" }] }), "a"),
        ] {
            let found = ServerError::read(body.to_string().as_bytes()).unwrap();
            assert_eq!(found.words, expected, "{body}");
        }
        let of = |text: &str| ServerError::read(text.as_bytes()).map(|error| error.words);
        let page = "<html><head><title>502 Bad\n Gateway</title></head><body>x</body></html>";
        assert_eq!(of(page), Some("502 Bad Gateway".into()));
        assert_eq!(of("<p>out of <b>order</b></p>"), Some("out of order".into()));
        assert_eq!(of(" upstream\nis away "), Some("upstream is away".into()));
        assert_eq!(of(&"x".repeat(1_000)).map(|words| words.len()), Some(WORDS + 3));
        for nothing in ["", "{}", "[]", "null", "{\"choices\": []}", "{\"error\": null}"] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_body_may_name_a_status_and_a_wait() {
        let google = json!([{ "error": { "code": 429, "message": "slow", "details":
            [{ "retryDelay": "32.5s" }] } }]);
        let found = ServerError::find(&google).unwrap();
        assert_eq!((found.status, found.wait_s), (Some(429), Some(32.5)));
        let named = ServerError::find(&json!({ "error": { "message": "a", "code": "503" } }));
        assert_eq!(named.unwrap().status, Some(503));
    }
}
