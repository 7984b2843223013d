//! Help with the names of settings: which one was probably meant, and what its value must be.

/// Names less alike than this are not suggested.
const MIN_SIMILARITY: f64 = 0.8;

/// What is wrong and what to do where serde refused `key` with `message`. `known` are keys that
/// exist, such as `learner.gamma`.
pub(super) fn explain(key: &str, message: &str, known: &[String]) -> (String, String) {
    let Some(siblings) = unknown_field(message) else {
        return (format!("{key}: {}", in_words(message)), "correct it".into());
    };
    let section = key.rsplit_once('.').map(|(section, _)| section);
    let siblings = siblings.into_iter().map(|name| match section {
        Some(section) => format!("{section}.{name}"),
        None => name.to_string(),
    });
    no_setting(key, &siblings.chain(known.iter().cloned()).collect::<Vec<_>>())
}

/// The same where `key` is not among `known`.
pub(super) fn no_setting(key: &str, known: &[String]) -> (String, String) {
    let hint = match nearest(key, known) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "a run's config.toml has all settings".into(),
    };
    (format!("there is no setting {key}"), hint)
}

/// The keys of all settings in `table`, each with its section.
pub(super) fn keys(table: &toml::Table) -> Vec<String> {
    let of = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(section) => {
            keys(section).into_iter().map(|inner| format!("{key}.{inner}")).collect()
        }
        _ => vec![key.clone()],
    };
    table.iter().flat_map(of).collect()
}

/// The most similar of `known`, by the whole key or by its last part.
fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let similarity = |other: &str| {
        let whole = strsim::jaro_winkler(key, other);
        // A setting without its section is as good as named.
        let part = if key.contains('.') { 0.0 } else { strsim::jaro_winkler(key, &last(other)) };
        whole.max(part)
    };
    let scored = known.iter().map(|other| (similarity(other), other.as_str()));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= MIN_SIMILARITY).then_some(best.1)
}

/// The names that serde expected where it met one that it does not know.
fn unknown_field(message: &str) -> Option<Vec<&str>> {
    let (_, expected) = message.split_once("unknown field ")?.1.split_once(", expected ")?;
    Some(expected.split('`').skip(1).step_by(2).collect())
}

/// Rust's names of number types say nothing to a user.
fn in_words(message: &str) -> String {
    let mut message = message.to_string();
    for whole in ["u8", "u16", "u32", "u64", "usize"] {
        let expected = format!("expected {whole}");
        message = message.replace(&expected, "expected a whole number, at least 0");
    }
    message
        .replace("expected f64", "expected a number")
        .replace("expected f32", "expected a number")
}

/// The key that a line of a TOML `text` sets, with its section; `offset` is a byte within the line.
pub(super) fn key_at(text: &str, offset: usize) -> Option<String> {
    let before = text.get(..offset)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next()?.trim();
    if line.starts_with('[') {
        return Some(line.trim_matches(['[', ']']).trim().to_string());
    }
    let key = line.split('=').next()?.trim();
    let header = before[..start].lines().rev().map(str::trim).find(|line| line.starts_with('['));
    let section = header.map(|header| header.trim_matches(['[', ']']).trim());
    Some(section.map_or_else(|| key.to_string(), |section| format!("{section}.{key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_names_the_one_that_was_meant() {
        let known = ["learner.gamma", "env.fee_bps", "episodes"].map(String::from);
        let hint = |key: &str, message: &str| {
            let (what, hint) = explain(key, message, &known);
            assert_eq!(what, format!("there is no setting {key}"));
            hint
        };
        let message = "unknown field `gama`, expected one of `gamma`, `lanes`";
        assert_eq!(hint("learner.gama", message), "did you mean learner.gamma?");
        let message = "unknown field `gamma`, expected `seed`";
        assert_eq!(hint("gamma", message), "did you mean learner.gamma?");
        let message = "unknown field `qqq`, expected `seed`";
        assert_eq!(hint("x.qqq", message), "a run's config.toml has all settings");
    }

    #[test]
    fn a_value_of_the_wrong_type_says_what_is_expected() {
        let message = "invalid value: integer `-1`, expected u32";
        let (what, _) = explain("episodes", message, &[]);
        let expected = "invalid value: integer `-1`, expected a whole number, at least 0";
        assert_eq!(what, format!("episodes: {expected}"));
    }

    #[test]
    fn a_line_of_a_file_has_its_section() {
        let text = "seed = 1\n\n[learner]\ngamma = 0.9\ngama = 1\n[env.costs]\nx = 1\n";
        let at = |part: &str| key_at(text, text.find(part).unwrap());
        assert_eq!(at("seed").as_deref(), Some("seed"));
        assert_eq!(at("gama =").as_deref(), Some("learner.gama"));
        assert_eq!(at("x =").as_deref(), Some("env.costs.x"));
        assert_eq!(at("[env").as_deref(), Some("env.costs"));
    }
}
