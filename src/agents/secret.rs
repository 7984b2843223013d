//! A key that is never shown.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Has no `Serialize` and no `Display`, and its `Debug` is redacted: it cannot get into a file or a
/// message by accident.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// None if `text` is blank.
    pub(crate) fn new(text: &str) -> Option<Secret> {
        let text = text.trim();
        (!text.is_empty()).then(|| Secret(text.to_string()))
    }

    /// The key itself, for sending it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Removes the key from `text`, which may come from an endpoint that repeats it.
    pub(crate) fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Its errors do not contain the value.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Secret(text.trim().to_string())),
            _ => Err(serde::de::Error::custom("a key is text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show() {
        let secret: Secret = serde_json::from_str("\" sk-very-secret \"").unwrap();
        assert_eq!(secret.reveal(), "sk-very-secret");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)).matches("secret").count(), 0);
        assert_eq!(secret.scrub("bad key sk-very-secret."), "bad key ***.");
        let error = serde_json::from_str::<Secret>("[\"sk-very-secret\"]").unwrap_err();
        assert!(!error.to_string().contains("sk-"), "{error}");
        assert_eq!(Secret::new("  "), None);
    }
}
