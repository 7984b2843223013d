//! Settings by their keys, to be compared with those of another run.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Settings that say where a run was made and not what it is.
const NOT_COMPARED: [&str; 4] = ["output", "machine", "checkpoint", "ranks"];

/// Every setting that decides what a run finds by its key, as in `env.fee_bps`, and its value as it
/// stands in `config.toml`.
pub(crate) fn settings_by_key(table: Table) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten("", &Value::Table(table), &mut flat);
    flat.retain(|key, _| !NOT_COMPARED.contains(&key.split('.').next().unwrap_or("")));
    flat
}

fn flatten(prefix: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, flat);
            }
        }
        _ => {
            flat.insert(prefix.into(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined_by_dots_and_places_are_left_out() {
        let text = "seed = 1\noutput = \"here\"\n[env]\nfee_bps = 1.5\npositions = [0.0, 1.0]\n";
        let found = settings_by_key(toml::from_str(text).unwrap());
        let expected = [("env.fee_bps", "1.5"), ("env.positions", "[0.0, 1.0]"), ("seed", "1")];
        let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(found, expected);
    }
}
