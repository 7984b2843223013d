//! Options of loading bars, and the report about them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bar::Symbol;

/// Whether a bar's timestamp names its start or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum BarLabel {
    /// Detected from the first and last labels of the sessions.
    Auto,
    /// The time at which a bar begins
    Start,
    /// The time at which a bar ends
    End,
}

/// How to read bars.
#[derive(Clone, Debug, Serialize)]
pub struct LoadOptions {
    /// None: as stored.
    pub bar_minutes: Option<u32>,
    /// What timestamps mean; they are converted to ends.
    pub bar_label: BarLabel,
    /// Keep bars outside 09:30 to 16:00 New York time.
    pub extended_hours: bool,
    /// A bad row is an error instead of being counted and left out.
    pub strict: bool,
    /// Further columns of the day files, read into the series.
    pub columns: Vec<String>,
    /// Cache folder for fetched blobs, keyed by ETag; None: no cache. Not part of what bars depend
    /// on.
    #[serde(skip)]
    pub cache_dir: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            bar_minutes: None,
            bar_label: BarLabel::Auto,
            extended_hours: false,
            strict: false,
            columns: Vec::new(),
            cache_dir: None,
        }
    }
}

/// Findings while loading: shown to the user and saved with the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// The stock that was loaded.
    pub symbol: Symbol,
    /// Day files read.
    pub day_files: usize,
    /// Number of bars kept, after session filtering and resampling.
    pub bars: usize,
    /// Rows rejected as bad; `notes` lists the first few.
    pub bad_rows: usize,
    /// Rows dropped because they lie outside trading hours.
    pub extended_rows: usize,
    /// Stored bar length, minutes.
    pub native_minutes: u32,
    /// Returned bar length, minutes.
    pub bar_minutes: u32,
    /// Start or End, never Auto.
    pub bar_label: BarLabel,
    /// How the label was found, for the user.
    pub bar_label_reason: String,
    /// One sentence each: bad rows, suspected splits with their date, assumed time zone.
    pub notes: Vec<String>,
}

/// Progress of one stock's load.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    /// Days read so far.
    pub days_done: usize,
    /// Days of the period that the store has.
    pub days_total: usize,
}
