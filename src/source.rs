//! Resolves, opens and reads the data source named by `--data`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::market::bar::{BarSeries, Period, Symbol};
use crate::market::calendar::Calendar;
use crate::market::clean::{Cleaner, Convention};
use crate::market::error::MarketError;
use crate::market::load::{digest, fingerprint_files, load_files};
use crate::market::options::{LoadOptions, LoadProgress, LoadReport};
use crate::market::store::{AzureStore, LocalStore, MOST_CONNECTIONS, Store};
use crate::synthetic::SyntheticMarket;

/// Environment variable with the account key; read only here, and never shown.
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";
/// Environment variable with the container, used if neither a flag nor a settings file names one.
pub(crate) const CONTAINER: &str = "AZURE_STORAGE_CONTAINER";
/// Name of the Azure source, whose connection string is in the environment.
pub(crate) const AZURE: &str = "azure";
/// Prefix of the name of a synthetic market.
pub(crate) const SYNTHETIC: &str = "synthetic:";

/// A source of bars.
#[derive(Clone)]
pub enum DataSource {
    /// Day files in a folder or in Azure.
    Store(Arc<dyn Store>),
    /// Bars that are made on request.
    Synthetic(SyntheticMarket),
}

impl DataSource {
    /// How many requests about different stocks are best made at once.
    pub(crate) fn requests_at_once(&self) -> usize {
        match self {
            DataSource::Store(store) if store.is_remote() => MOST_CONNECTIONS,
            DataSource::Store(_) | DataSource::Synthetic(_) => 1,
        }
    }
}

/// The full name of a source as saved in `config.toml`: `azure`, `synthetic:MARKET` or a folder.
/// Without a name it is Azure if the connection string is set, else the sample market.
pub fn resolve(asked: Option<&str>) -> String {
    match asked {
        Some(name) if name == AZURE || name.starts_with(SYNTHETIC) => name.into(),
        // Absolute, so that a saved configuration means the same folder wherever it is read.
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
            MarketError::Input { what, hint } => MarketError::Input {
                what: format!("--data {AZURE}: {what}"),
                hint: format!("{hint}, or name a folder with --data"),
            },
            other => other,
        })?;
        return Ok(DataSource::Store(Arc::new(store)));
    }
    Ok(DataSource::Store(Arc::new(LocalStore::open(Path::new(name))?)))
}

/// A container of the account whose connection string is in the environment.
pub(crate) fn azure(container: &str) -> Result<AzureStore, MarketError> {
    let secret = connection_string().ok_or_else(|| MarketError::Input {
        what: format!("{CONNECTION_STRING} is not set"),
        hint: match std::env::var_os("AZURE_STORAGE_ACCOUNT") {
            Some(_) => "az storage account show-connection-string prints it; \
                        put it into .cloudkeys/api_keys.env"
                .into(),
            None => "put it into .cloudkeys/api_keys.env (see cloudkeys.example)".into(),
        },
    })?;
    AzureStore::connect(&secret, container)
}

fn connection_string() -> Option<String> {
    std::env::var(CONNECTION_STRING).ok().filter(|value| !value.trim().is_empty())
}

/// Digest of everything the bars of `symbol` in `period` depend on (names and ETags of the files,
/// or the synthetic market's parameters), without reading them. Equal digests mean equal bars; for
/// a synthetic market, given equal lists of stocks.
pub(crate) fn fingerprint(
    source: &DataSource,
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
) -> Result<String, MarketError> {
    match source {
        DataSource::Synthetic(market) => {
            Ok(digest(symbol, period, options, [market.fingerprint(&[])]))
        }
        DataSource::Store(store) => fingerprint_files(store.as_ref(), symbol, period, options),
    }
}

/// All bars of `symbol` in `period`: clean, within session hours, of one length. `market` is the
/// whole list of stocks, since a synthetic market plants relations between neighbours.
pub fn load_bars(
    source: &DataSource,
    market: &[Symbol],
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<(BarSeries, LoadReport), MarketError> {
    match source {
        DataSource::Store(store) => load_files(store, symbol, period, options, progress),
        DataSource::Synthetic(synthetic) => {
            synthetic.check(market.len())?;
            if let calendar @ Calendar::Exchange(_) = options.calendar {
                return Err(MarketError::Input {
                    what: format!("--calendar {calendar}: made-up prices are those of New York"),
                    hint: "leave it out, or name day files of that exchange with --data".into(),
                });
            }
            if let Some(column) = options.columns.first() {
                return Err(MarketError::Input {
                    what: format!("features.columns: made-up prices have no column {column}"),
                    hint: "leave it out, or name day files that have it with --data".into(),
                });
            }
            let mut cleaner = Cleaner::new(symbol.clone(), options.strict);
            let minutes = synthetic.native_minutes(options.bar_minutes);
            cleaner.add_bars(&synthetic.bars(market, symbol, period, minutes));
            cleaner.finish(period, options, Some(Convention::for_synthetic(minutes)))
        }
    }
}

/// The folder for what can be made again, such as fetched files and panels: the one that is asked
/// for, or `dqn-trader` in the user's cache.
pub fn cache_folder(asked: Option<&Path>) -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let standard = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let usual = || standard().unwrap_or_else(std::env::temp_dir).join("dqn-trader");
    asked.map_or_else(usual, Path::to_path_buf)
}

#[cfg(test)]
mod tests;
