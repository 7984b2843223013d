//! A setting of one number, or of several among which a run chooses.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One number, or several to choose from; in TOML `4.0` or `[4.0, 12.0]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices(pub Vec<f64>);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, or a list of numbers to choose from")]
enum OneOrMore {
    One(f64),
    More(Vec<f64>),
}

impl Serialize for Choices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0[..] {
            [one] => OneOrMore::One(one),
            _ => OneOrMore::More(self.0.clone()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Choices, D::Error> {
        Ok(match OneOrMore::deserialize(deserializer)? {
            OneOrMore::One(one) => Choices(vec![one]),
            OneOrMore::More(more) => Choices(more),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Settings {
        decay: Choices,
    }

    #[test]
    fn a_number_is_a_single_choice() {
        for (text, expected) in [
            ("decay = 4.0\n", &[4.0][..]),
            ("decay = 4\n", &[4.0]),
            ("decay = [4, 12.5]\n", &[4.0, 12.5]),
        ] {
            let found: Settings = toml::from_str(text).unwrap();
            assert_eq!(found.decay.0, expected, "{text}");
            let again: Settings = toml::from_str(&toml::to_string(&found).unwrap()).unwrap();
            assert_eq!(again.decay, found.decay);
        }
        let error = toml::from_str::<Settings>("decay = \"much\"").unwrap_err();
        assert!(error.message().contains("a number, or a list of numbers"), "{error}");
    }
}
