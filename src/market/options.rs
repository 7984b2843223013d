//! How bars are to be read, and what was found on the way.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bar::Symbol;

/// Whether a bar's timestamp names its start or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BarLabel {
    /// Found from the first and last labels of the sessions.
    Auto,
    Start,
    End,
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
