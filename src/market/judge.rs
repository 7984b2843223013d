//! Judges bars: prices and volumes that are most likely errors of the data, and days that are not
//! there.
//!
//! A finding is for people: it may use bars after the one that it is about, and changes no bar.
//! What acts on bars is [`super::clean`]'s, and looks back only.

mod presence;
mod scale;
mod spikes;
mod stale;

use serde::Serialize;

use super::bar::{BarSeries, Symbol};
use super::calendar::iso_market_time;
use super::error::MarketError;
pub(crate) use presence::presence;
use scale::Scale;
pub(crate) use scale::{distance, quantile};

/// Maximum number of bytes of a line that tells findings of one kind, where the first one fits.
const LINE_BYTES: usize = 300;

/// What is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FindingKind {
    /// All prices of a bar, or of some in a row, are far from those before and after, which agree.
    Spike,
    /// One trade is far from its bar and from the bars beside it: a high or low, maybe open or close, too.
    Wick,
    /// The price does not change for long.
    Frozen,
    /// No volume for long.
    NoVolume,
    /// The bars begin after the period that was asked for.
    Begins,
    /// The bars end before it.
    Ends,
    /// Trading days without bars.
    Absent,
}

impl FindingKind {
    /// Whether prices are doubtful: with `--strict` such bars are refused.
    pub(crate) fn is_of_prices(self) -> bool {
        matches!(self, FindingKind::Spike | FindingKind::Wick | FindingKind::Frozen)
    }

    /// The kind, in the words that precede one finding or several.
    pub(crate) fn words(self, count: usize) -> String {
        let [one, more] = match self {
            FindingKind::Spike => ["spike", "spikes"],
            FindingKind::Wick => ["wick", "wicks"],
            FindingKind::Frozen => ["frozen stretch", "frozen stretches"],
            FindingKind::NoVolume => ["stretch without volume", "stretches without volume"],
            FindingKind::Begins | FindingKind::Ends | FindingKind::Absent => return String::new(),
        };
        if count == 1 { one.into() } else { format!("{count} {more}") }
    }
}

/// One doubt about the bars of a stock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BarFinding {
    pub(crate) kind: FindingKind,
    /// End of the first bar that it is about, UTC seconds since 1970.
    pub(crate) from_s: i64,
    /// End of the last one.
    pub(crate) until_s: i64,
    /// When, and what was found; without the stock.
    pub(crate) text: String,
}

impl BarFinding {
    /// About bars `first` to `last`, both inclusive; `what` goes without the time.
    fn of_bars(
        kind: FindingKind,
        series: &BarSeries,
        (first, last): (usize, usize),
        what: &str,
    ) -> BarFinding {
        let (from_s, until_s) = (series.end_s[first], series.end_s[last]);
        let mut text = iso_market_time(from_s);
        if last > first {
            text += &format!(" to {}", iso_market_time(until_s));
        }
        text += &format!(": {what}");
        BarFinding { kind, from_s, until_s, text }
    }
}

/// All doubts about prices and volumes, by kind and in order of time. Bars of any length; sessions
/// are New York dates.
pub(crate) fn judge(series: &BarSeries) -> Vec<BarFinding> {
    let mut scale = Scale::new(series);
    let mut found = spikes::find(series, &mut scale);
    found.extend(stale::find(series, scale.sessions()));
    found.sort_by_key(|finding| (finding.kind, finding.from_s));
    found
}

/// A line for each kind of finding, which names the first ones and counts the others.
pub(crate) fn lines(findings: &[BarFinding]) -> Vec<String> {
    let by_kind = findings.chunk_by(|a, b| a.kind == b.kind);
    by_kind
        .map(|same| {
            let texts: Vec<&str> = same.iter().map(|finding| finding.text.as_str()).collect();
            match same[0].kind.words(same.len()) {
                words if words.is_empty() => texts.join("; "),
                words => shortened(&words, &texts, texts.len()),
            }
        })
        .collect()
}

/// `words: text; text; and 7 more`, with as many of the texts as fit into [`LINE_BYTES`], but one
/// at least. `count`: of all, should there be more than texts.
pub(crate) fn shortened(words: &str, texts: &[&str], count: usize) -> String {
    let mut line = words.to_string();
    let mut named = 0;
    for (i, text) in texts.iter().enumerate() {
        let between = if i == 0 { ": " } else { "; " };
        let room =
            LINE_BYTES.saturating_sub(if i + 1 < count { "; and 1000000 more".len() } else { 0 });
        if i > 0 && line.len() + between.len() + text.len() > room {
            break;
        }
        line += between;
        line += text;
        named += 1;
    }
    if named < count {
        line += &format!("; and {} more", count - named);
    }
    line
}

/// A price with six digits, which tell it well enough.
pub(crate) fn price(value: f64) -> String {
    format!("{value:.5e}").parse::<f64>().unwrap_or(value).to_string()
}

/// The error of `--strict` where prices are doubtful.
pub(crate) fn refuse(symbol: &Symbol, findings: &[BarFinding]) -> Result<(), MarketError> {
    let doubtful: Vec<&BarFinding> =
        findings.iter().filter(|finding| finding.kind.is_of_prices()).collect();
    let Some(first) = doubtful.first() else { return Ok(()) };
    let more = match doubtful.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more findings)"),
    };
    Err(MarketError::Doubtful {
        symbol: symbol.to_string(),
        what: format!("{}: {}{more}", first.kind.words(1), first.text),
        hint: "correct the file, use --clean, or run without --strict".into(),
    })
}

#[cfg(test)]
mod tests;
