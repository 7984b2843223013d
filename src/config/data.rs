//! Settings of the bars that are read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::calendar::Calendar;
use crate::market::options::{BarLabel, LabelOrigin, LoadOptions, OutlierRule};

/// Section `[data]`: which bars are read, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// `azure`, `synthetic:MARKET` or a folder; None: Azure where a connection string is set, else
    /// the sample market.
    pub source: Option<String>,
    /// Azure Blob container.
    pub container: String,
    /// Length of a bar in minutes; None: as the data has it.
    pub bar_minutes: Option<u32>,
    /// Whether timestamps are the start or the end of their bars.
    pub bar_label: BarLabel,
    /// Who set it; not saved, because whoever reads it from a file has it from there.
    #[serde(skip)]
    pub label_origin: LabelOrigin,
    /// When the market is open, and in which zone its dates are.
    pub calendar: Calendar,
    /// Keep bars outside regular hours, in New York 09:30 to 16:00.
    pub extended_hours: bool,
    /// A bad row or a doubtful price is an error instead of being noted.
    pub strict: bool,
    /// What is done with bars far from the close before.
    pub clean: OutlierRule,
    /// Evaluate on days that were trained on. Such figures say nothing about the future.
    pub allow_overlap: bool,
}

impl DataConfig {
    /// `cache_dir` as in [`LoadOptions`]; without further columns.
    pub fn load_options(&self, cache_dir: Option<PathBuf>) -> LoadOptions {
        LoadOptions {
            bar_minutes: self.bar_minutes,
            bar_label: self.bar_label,
            label_origin: self.label_origin,
            calendar: self.calendar,
            extended_hours: self.extended_hours,
            strict: self.strict,
            clean: self.clean,
            columns: Vec::new(),
            cache_dir,
        }
    }
}

impl Default for DataConfig {
    fn default() -> DataConfig {
        DataConfig {
            source: None,
            container: "stock-data".into(),
            bar_minutes: None,
            bar_label: BarLabel::Auto,
            label_origin: LabelOrigin::default(),
            calendar: Calendar::Nyse,
            extended_hours: false,
            strict: false,
            clean: OutlierRule::Off,
            allow_overlap: false,
        }
    }
}
