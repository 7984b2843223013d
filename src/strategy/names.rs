//! Names as typed by users.

/// Jaro-Winkler similarity from which a known name is suggested for an unknown one.
const NEAR: f64 = 0.75;

/// Letters and digits only, in lower case.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The name most similar to `asked`, if one is similar enough.
pub(crate) fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let asked = plain(asked);
    let similarity = |name: &str| strsim::jaro_winkler(&asked, &plain(name));
    let scored = names.map(|name| (similarity(name), name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(similarity, _)| *similarity >= NEAR).map(|(_, name)| name)
}
