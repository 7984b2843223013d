//! Numbers in sentences.

/// `1234567` as `1,234,567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// A number with what is counted: `1 order`, `1,234 orders`, `2 day files`. `noun` is the singular; its
/// plural ends in `s`, or in `ies` for `y` after a consonant.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    let words = match (number, stem) {
        (1, _) => noun.to_string(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{noun}s"),
    };
    format!("{} {words}", count(number as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_agrees_with_its_number() {
        let orders = [0, 1, 2, 1_234].map(|number| counted(number, "order"));
        assert_eq!(orders, ["0 orders", "1 order", "2 orders", "1,234 orders"]);
        let others = [(2, "strategy"), (1, "strategy"), (2, "day"), (3, "day file")];
        let others = others.map(|(number, noun)| counted(number, noun));
        assert_eq!(others, ["2 strategies", "1 strategy", "2 days", "3 day files"]);
    }
}
