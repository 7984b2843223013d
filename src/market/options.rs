//! Options of loading bars, and the report about them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bar::Symbol;
use super::calendar::Calendar;
use super::judge::{self, BarFinding};

/// Stocks that are named before "and so many more".
const NAMED_STOCKS: usize = 8;
/// Maximum number of lines about doubtful bars.
const MAX_DOUBTS: usize = 20;

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

/// What is done with a bar that is further from the close before than bars before it make likely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum OutlierRule {
    /// It stays as it is.
    #[default]
    Off,
    /// Its prices are clipped to the bound
    Winsorize,
    /// It is left out
    Drop,
}

/// Who set what timestamps mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelOrigin {
    /// The settings that were read from a file: the user's, or those of the run whose model trades
    #[default]
    Settings,
    /// The user, by the flag
    Flag,
    /// The training period of the same run, in whose bars it was found
    Training,
    /// The journal of the account, whose first bars were read like this
    Journal,
}

impl LabelOrigin {
    const ALL: [LabelOrigin; 4] =
        [LabelOrigin::Settings, LabelOrigin::Flag, LabelOrigin::Training, LabelOrigin::Journal];

    /// In a clause.
    pub(crate) fn words(self) -> &'static str {
        match self {
            LabelOrigin::Settings => "set in config.toml",
            LabelOrigin::Flag => "set by --bar-label",
            LabelOrigin::Training => "as in the training period",
            LabelOrigin::Journal => "as when the account began",
        }
    }
}

/// How to read bars.
#[derive(Clone, Debug, Serialize)]
pub struct LoadOptions {
    /// None: as stored.
    pub bar_minutes: Option<u32>,
    /// What timestamps mean; they are converted to ends.
    pub bar_label: BarLabel,
    /// Who set it, where it is not Auto. Not part of what bars depend on.
    #[serde(skip)]
    pub label_origin: LabelOrigin,
    /// When the market is open.
    pub calendar: Calendar,
    /// Keep bars outside regular hours, in New York 09:30 to 16:00.
    pub extended_hours: bool,
    /// Bad rows and doubtful prices are errors; else rows are counted and left out, prices noted.
    pub strict: bool,
    /// What is done with outliers.
    pub clean: OutlierRule,
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
            label_origin: LabelOrigin::default(),
            calendar: Calendar::Nyse,
            extended_hours: false,
            strict: false,
            clean: OutlierRule::Off,
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
    /// Rows rejected as bad; `doubts` lists the first few.
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
    /// What was assumed or left out, such as the time zone. One sentence each.
    pub notes: Vec<String>,
    /// What a reader of results must know of the bars: bad rows, suspected splits, spikes, days
    /// that are not there. One sentence each, with the market's times.
    pub doubts: Vec<String>,
}

impl LoadReport {
    /// Says that the label was set by `origin`, where a report of the same bars names another.
    pub(crate) fn set_by(&mut self, origin: LabelOrigin) {
        let texts = self.notes.iter_mut().chain([&mut self.bar_label_reason]);
        for text in texts {
            for other in LabelOrigin::ALL {
                *text = text.replace(other.words(), origin.words());
            }
        }
    }

    /// Adds doubts about the bars.
    pub(crate) fn doubt(&mut self, findings: &[BarFinding]) {
        self.doubts.extend(judge::lines(findings));
    }
}

/// Doubts about all stocks, a line each, with the stocks of which it is said first; at most
/// [`MAX_DOUBTS`], and how many more there are.
pub(crate) fn doubts<'a>(reports: impl IntoIterator<Item = &'a LoadReport>) -> Vec<String> {
    let mut lines = by_sentence(reports, |report| report.doubts.clone());
    if lines.len() > MAX_DOUBTS {
        let more = lines.len() - MAX_DOUBTS;
        lines.truncate(MAX_DOUBTS);
        lines.push(format!("{more} more doubts about the bars: see dqn-trader data check."));
    }
    lines
}

/// What `say` says of each stock; stocks of which the same is said share a line.
pub(crate) fn by_sentence<'a>(
    reports: impl IntoIterator<Item = &'a LoadReport>,
    say: impl Fn(&LoadReport) -> Vec<String>,
) -> Vec<String> {
    let mut sentences: Vec<(String, Vec<&Symbol>)> = Vec::new();
    for report in reports {
        for sentence in say(report) {
            match sentences.iter_mut().find(|(said, _)| *said == sentence) {
                Some((_, symbols)) if symbols.contains(&&report.symbol) => (),
                Some((_, symbols)) => symbols.push(&report.symbol),
                None => sentences.push((sentence, vec![&report.symbol])),
            }
        }
    }
    let line = |(sentence, symbols): (String, Vec<&Symbol>)| {
        let named: Vec<&str> = symbols.iter().take(NAMED_STOCKS).map(|s| s.as_str()).collect();
        let more = match symbols.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}: {sentence}", named.join(", "))
    };
    sentences.into_iter().map(line).collect()
}

/// Progress of one stock's load.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    /// Days read so far.
    pub days_done: usize,
    /// Days of the period that the store has.
    pub days_total: usize,
}
