//! One stock's bars for a period, from wherever they are.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bar::{BarSeries, Period, Symbol};
use super::error::MarketError;
use super::store::Store;
use super::synthetic::SyntheticMarket;
use crate::config::BarLabel;

/// Where bars come from.
#[derive(Clone)]
pub enum DataSource {
    Store(Arc<dyn Store>),
    Synthetic(SyntheticMarket),
}

/// How bars are to be read.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// None: as the data has it.
    pub bar_minutes: Option<u32>,
    pub bar_label: BarLabel,
    pub extended_hours: bool,
    pub strict: bool,
    /// Folder in which fetched blobs are kept by ETag; None: nothing is kept.
    pub cache_dir: Option<PathBuf>,
}

/// What was found on the way: said to the user and kept beside the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    pub symbol: Symbol,
    pub day_files: usize,
    /// Bars kept, after sessions and resampling.
    pub bars: usize,
    /// Rows left out as bad; `notes` names the first few.
    pub bad_rows: usize,
    /// Rows outside trading hours that were left out.
    pub extended_rows: usize,
    /// Length of a bar as stored, minutes.
    pub native_minutes: u32,
    /// Length of a bar as returned, minutes.
    pub bar_minutes: u32,
    /// Start or End, never Auto; and how it is known.
    pub bar_label: BarLabel,
    pub bar_label_reason: String,
    /// One sentence each: bad rows, suspected splits with their date, time zone assumed.
    pub notes: Vec<String>,
}

/// Progress of one stock's load.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    pub days_done: usize,
    pub days_total: usize,
}

/// A digest of everything the bars of `symbol` in `period` depend on (names and ETags of the files, or the synthetic
/// market's parameters), without reading them. Equal digests mean equal bars.
pub fn fingerprint(
    source: &DataSource,
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
) -> Result<String, MarketError> {
    let _ = (source, symbol, period, options);
    todo!()
}

/// All bars of `symbol` in `period`, clean, in the session hours, of one length.
/// `market` is the whole list of stocks (a synthetic market plants relations between neighbours in it).
pub fn load_bars(
    source: &DataSource,
    market: &[Symbol],
    symbol: &Symbol,
    period: &Period,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<(BarSeries, LoadReport), MarketError> {
    let _ = (source, market, symbol, period, options, progress);
    todo!()
}
