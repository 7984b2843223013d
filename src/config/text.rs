//! Settings as text: a file, or one assignment of the command line.

use super::suggest::{explain, key_at, keys, no_setting};
use super::{ConfigError, RunConfig};

impl RunConfig {
    /// With one setting changed, as in `learner.gamma=0.95`.
    pub fn with_setting(&self, assignment: &str) -> Result<RunConfig, ConfigError> {
        let wrong = |(what, hint): (String, String)| ConfigError::new("--set", what, hint);
        let (key, text) = assignment
            .split_once('=')
            .ok_or_else(|| (format!("{assignment:?} has no '='"), "write KEY=VALUE".into()))
            .map_err(wrong)?;
        let (key, text) = (key.trim(), text.trim());
        let parsed: Result<toml::Table, _> = toml::from_str(&format!("value = {text}"));
        let value = match parsed {
            Ok(mut table) => table.remove("value").unwrap_or_else(|| text.into()),
            // A word without quotes is meant as text.
            Err(_) => toml::Value::String(text.into()),
        };
        let mut root = toml::Table::try_from(self)
            .map_err(|e| wrong((one_line(&e.to_string()), "write KEY=VALUE".into())))?;
        let known = keys(&root);
        let mut table = &mut root;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_string(), value);
                break;
            }
            table = table
                .get_mut(part)
                .and_then(toml::Value::as_table_mut)
                .ok_or_else(|| wrong(no_setting(key, &known)))?;
        }
        root.try_into().map_err(|e: toml::de::Error| wrong(explain(key, e.message(), &known)))
    }

    /// The settings in a TOML `text`, over the defaults. The error says which line is wrong and
    /// what to do about it; `field` names where the text is from.
    pub fn from_toml(text: &str, field: &str) -> Result<RunConfig, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let key = error.span().and_then(|span| Some((key_at(text, span.start)?, span)));
            let Some((key, span)) = key else {
                let hint = "correct it, or start from a run's config.toml";
                return ConfigError::new(field, one_line(error.message()), hint).caused_by(error);
            };
            let known = toml::Table::try_from(RunConfig::default()).unwrap_or_default();
            let (what, hint) = explain(&key, error.message(), &keys(&known));
            let line = text[..span.start].matches('\n').count() + 1;
            let what = format!("line {line}: {}", one_line(&what));
            ConfigError::new(field, what, hint).caused_by(error)
        })
    }
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}
