//! Where settings begin: the defaults, the environment and a file, before flags change them.

use std::path::Path;

use super::one_line;
use crate::config::{ConfigError, RunConfig};
use crate::source::CONTAINER;

pub(super) fn read_config(path: &Path) -> Result<RunConfig, ConfigError> {
    let field = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| {
        let hint = "name a config.toml or the folder of a finished run";
        ConfigError::new(&field, e.to_string(), hint).caused_by(e)
    })?;
    settings(&text).map_err(|e| {
        let hint = "correct it, or start from a run's file";
        ConfigError::new(&field, one_line(&e.to_string()), hint).caused_by(e)
    })
}

/// The settings that `text` names, over the environment's, over the defaults.
pub(super) fn settings(text: &str) -> Result<RunConfig, toml::de::Error> {
    let mut config: RunConfig = toml::from_str(text)?;
    let named: toml::Table = toml::from_str(text)?;
    if named.get("data").is_none_or(|data| data.get("container").is_none()) {
        set(&mut config.data.container, &std::env::var(CONTAINER).ok());
    }
    Ok(config)
}

/// A flag that is given says what the field is.
pub(super) fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}
