//! What `--data` means, and opening it.

use std::path::Path;
use std::sync::Arc;

use super::error::MarketError;
use super::load::DataSource;
use super::store::{AzureStore, LocalStore};
use super::synthetic::SyntheticMarket;

/// Holds the account key; read here and nowhere else, and never shown.
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";
const AZURE: &str = "azure";
const SYNTHETIC: &str = "synthetic:";

/// A source by its full name, as it is saved in `config.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `azure`, `synthetic:MARKET` or a folder.
    pub name: String,
    /// Nothing was asked for and there is no store: these are made-up prices.
    pub made_up_by_default: bool,
}

/// What is meant where nothing is said: Azure where its connection string is set, else the sample market.
pub fn resolve(asked: Option<&str>) -> Source {
    match asked {
        Some(name) => Source { name: name.into(), made_up_by_default: false },
        None if connection_string().is_some() => {
            Source { name: AZURE.into(), made_up_by_default: false }
        }
        None => Source { name: format!("{SYNTHETIC}sample"), made_up_by_default: true },
    }
}

/// Opens a source by its full name. `container` is used with Azure only.
pub fn open(name: &str, container: &str) -> Result<DataSource, MarketError> {
    if let Some(market) = name.strip_prefix(SYNTHETIC) {
        return Ok(DataSource::Synthetic(SyntheticMarket::parse(market)?));
    }
    if name == AZURE {
        let secret = connection_string().ok_or_else(|| MarketError::Input {
            what: format!("--data azure: {CONNECTION_STRING} is not set"),
            todo: "put it into .cloudkeys/api_keys.env (see cloudkeys.example) or name a folder with --data"
                .into(),
        })?;
        return Ok(DataSource::Store(Arc::new(AzureStore::connect(&secret, container)?)));
    }
    Ok(DataSource::Store(Arc::new(LocalStore::open(Path::new(name))?)))
}

fn connection_string() -> Option<String> {
    std::env::var(CONNECTION_STRING).ok().filter(|value| !value.trim().is_empty())
}
