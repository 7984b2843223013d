//! The settings before flags change them: defaults, the environment and a file.

use std::path::Path;

use crate::config::{ConfigError, RunConfig};
use crate::files::read_text;
use crate::source::CONTAINER;

/// Reads a settings file, or `config.toml` in the folder of a run.
pub(super) fn read_config(path: &Path) -> Result<RunConfig, ConfigError> {
    let path = if path.is_dir() { path.join("config.toml") } else { path.to_path_buf() };
    let field = path.display().to_string();
    let text = read_text(&path).map_err(|e| {
        let hint = "name the folder of a run, or its config.toml";
        ConfigError::new(&field, e.to_string(), hint).caused_by(e)
    })?;
    settings(&text, &field)
}

/// The settings that `text` names, over the environment's, over the defaults.
/// `field` says in an error where the text is from.
pub(super) fn settings(text: &str, field: &str) -> Result<RunConfig, ConfigError> {
    let mut config = RunConfig::from_toml(text, field)?;
    let named: toml::Table = toml::from_str(text).unwrap_or_default();
    if named.get("data").is_none_or(|data| data.get("container").is_none()) {
        set(&mut config.data.container, &std::env::var(CONTAINER).ok());
    }
    Ok(config)
}

/// A flag that is given overrides the field.
pub(super) fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}
