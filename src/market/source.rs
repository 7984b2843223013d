//! What `--data` means, and opening it.

use std::path::Path;
use std::sync::Arc;

use super::error::MarketError;
use super::load::DataSource;
use super::store::{AzureStore, LocalStore};
use super::synthetic::SyntheticMarket;

/// Holds the account key; read here and nowhere else, and never shown.
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";
/// Names the container where neither a flag nor a settings file does.
pub const CONTAINER: &str = "AZURE_STORAGE_CONTAINER";
/// Names the container of a connection string.
pub const AZURE: &str = "azure";
/// Begins the name of a made-up market.
pub const SYNTHETIC: &str = "synthetic:";

/// The full name of what is meant, as it is saved in `config.toml`: `azure`, `synthetic:MARKET` or
/// a folder. Where nothing is said, Azure where its connection string is set, else the sample
/// market.
pub fn resolve(asked: Option<&str>) -> String {
    match asked {
        Some(name) if name == AZURE || name.starts_with(SYNTHETIC) => name.into(),
        // Whole, so that a saved configuration means the same folder wherever it is read.
        Some(folder) => {
            let whole = Path::new(folder).canonicalize();
            whole.map_or(folder.into(), |path| path.to_string_lossy().into_owned())
        }
        None if connection_string().is_some() => AZURE.into(),
        None => format!("{SYNTHETIC}sample"),
    }
}

/// Opens a source by its full name. `container` is used with Azure only.
pub fn open(name: &str, container: &str) -> Result<DataSource, MarketError> {
    if let Some(market) = name.strip_prefix(SYNTHETIC) {
        return Ok(DataSource::Synthetic(SyntheticMarket::parse(market)?));
    }
    if name == AZURE {
        let store = azure(container).map_err(|error| match error {
            MarketError::Input { what, todo } => MarketError::Input {
                what: format!("--data {AZURE}: {what}"),
                todo: format!("{todo}, or name a folder with --data"),
            },
            other => other,
        })?;
        return Ok(DataSource::Store(Arc::new(store)));
    }
    Ok(DataSource::Store(Arc::new(LocalStore::open(Path::new(name))?)))
}

/// A container of the account whose connection string is in the environment.
pub fn azure(container: &str) -> Result<AzureStore, MarketError> {
    let secret = connection_string().ok_or_else(|| MarketError::Input {
        what: format!("{CONNECTION_STRING} is not set"),
        todo: "put it into .cloudkeys/api_keys.env (see cloudkeys.example)".into(),
    })?;
    AzureStore::connect(&secret, container)
}

fn connection_string() -> Option<String> {
    std::env::var(CONNECTION_STRING).ok().filter(|value| !value.trim().is_empty())
}
