//! The aligned panel `[time, stock, feature]` in a memory-mapped Arrow IPC file, and
//! [`MarketView`], the only access that a policy has to it.

mod checksum;
mod file;
#[cfg(test)]
pub(crate) mod fixtures;

#[cfg(test)]
pub(crate) use checksum::TRAILER_BYTES;

use std::ops::Range;
use std::path::Path;

use super::bar::{BarSeries, Symbol};
use super::error::MarketError;
use file::MappedPanel;

/// Series aligned on the union of their bar times.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Bar ends, UTC seconds, strictly increasing.
    pub end_s: Vec<i64>,
    /// `[stock][time]`: index into the stock's series, or `NO_BAR`.
    pub bar_index: Vec<Vec<u32>>,
}

/// Index of a stock without a bar at this time.
pub const NO_BAR: u32 = u32::MAX;

/// The grid of several stocks' series, by a merge in time linear in the size of the grid.
///
/// # Panics
/// If a series is too long or its bar times do not increase.
pub fn align(series: &[BarSeries]) -> Grid {
    for s in series {
        assert!(s.len() < NO_BAR as usize, "{}: too many bars", s.symbol);
        assert!(s.end_s.is_sorted_by(|a, b| a < b), "{}: bar times must increase", s.symbol);
    }
    let longest = series.iter().map(BarSeries::len).max().unwrap_or(0);
    let mut end_s = Vec::with_capacity(longest);
    let mut bar_index = vec![Vec::with_capacity(longest); series.len()];
    let mut next = vec![0; series.len()];
    let head = |next: &[usize]| {
        series.iter().zip(next).filter_map(|(s, &i)| s.end_s.get(i).copied()).min()
    };
    while let Some(now_s) = head(&next) {
        end_s.push(now_s);
        for ((s, i), index) in series.iter().zip(&mut next).zip(&mut bar_index) {
            if s.end_s.get(*i) == Some(&now_s) {
                index.push(*i as u32);
                *i += 1;
            } else {
                index.push(NO_BAR);
            }
        }
    }
    Grid { end_s, bar_index }
}

/// Content of a panel file. Arrays are row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelData {
    /// Symbols, in the order of the columns.
    pub stocks: Vec<Symbol>,
    /// Names, in the order of the last axis of `features`.
    pub feature_names: Vec<String>,
    /// `[time]`: bar ends, UTC seconds.
    pub end_s: Vec<i64>,
    /// `[time, stock]`. Without a bar, open = high = low = close = the stock's last close; NaN
    /// before its first bar.
    pub open: Vec<f64>,
    /// `[time, stock]`, like `open`.
    pub high: Vec<f64>,
    /// `[time, stock]`, like `open`.
    pub low: Vec<f64>,
    /// `[time, stock]`, like `open`.
    pub close: Vec<f64>,
    /// `[time, stock]`, shares; 0 without a bar.
    pub volume: Vec<f64>,
    /// `[time, stock]`: the stock has a bar with all features defined that have to be, so it may be
    /// traded.
    pub tradable: Vec<bool>,
    /// `[time, stock, feature]`, scaled, finite.
    pub features: Vec<f32>,
    /// Text stored in the file (a JSON document of the caller).
    pub note: String,
}

/// Header of a panel file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PanelAbout {
    pub(crate) stocks: Vec<Symbol>,
    pub(crate) feature_names: Vec<String>,
    pub(crate) rows: usize,
    /// As in [`PanelData`].
    pub(crate) note: String,
}

/// Some rows of a panel, laid out as in [`PanelData`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PanelRows {
    pub(crate) end_s: Vec<i64>,
    pub(crate) open: Vec<f64>,
    pub(crate) high: Vec<f64>,
    pub(crate) low: Vec<f64>,
    pub(crate) close: Vec<f64>,
    pub(crate) volume: Vec<f64>,
    pub(crate) tradable: Vec<bool>,
    pub(crate) features: Vec<f32>,
}

/// A memory-mapped panel file, whose pages are shared by all processes of a machine, or a few rows
/// in memory.
pub struct Panel {
    mapped: MappedPanel,
}

impl Panel {
    /// Writes atomically, through a temporary file that is renamed to `path`. Needs memory for a
    /// few megabytes of rows in addition to `data`.
    ///
    /// # Panics
    /// If the lengths of the arrays are inconsistent, times do not increase or a feature is not
    /// finite.
    pub fn write(path: &Path, data: &PanelData) -> Result<(), MarketError> {
        let about = PanelAbout {
            stocks: data.stocks.clone(),
            feature_names: data.feature_names.clone(),
            rows: data.end_s.len(),
            note: data.note.clone(),
        };
        let stocks = data.stocks.len();
        let width = stocks * data.feature_names.len();
        file::write(path, about, &|rows| {
            let cells = rows.start * stocks..rows.end * stocks;
            PanelRows {
                end_s: data.end_s[rows.clone()].to_vec(),
                open: data.open[cells.clone()].to_vec(),
                high: data.high[cells.clone()].to_vec(),
                low: data.low[cells.clone()].to_vec(),
                close: data.close[cells.clone()].to_vec(),
                volume: data.volume[cells.clone()].to_vec(),
                tradable: data.tradable[cells].to_vec(),
                features: data.features[rows.start * width..rows.end * width].to_vec(),
            }
        })
    }

    /// Like [`Panel::write`], for data that does not exist as a whole: `rows` computes the
    /// requested rows, one part after the other.
    pub(crate) fn write_parts(
        path: &Path,
        about: PanelAbout,
        rows: &dyn Fn(Range<usize>) -> PanelRows,
    ) -> Result<(), MarketError> {
        file::write(path, about, rows)
    }

    /// A panel in memory of a few rows, without a file.
    ///
    /// # Panics
    /// As [`Panel::write`].
    pub(crate) fn in_memory(about: PanelAbout, rows: PanelRows) -> Panel {
        Panel { mapped: MappedPanel::in_memory(about, rows) }
    }

    /// Maps a file that [`Panel::write`] wrote, under the name it was written to. Verifies its
    /// checksum, which reads the whole file once. Changes to the file while it is mapped are not
    /// detected.
    ///
    /// Errors: the file is damaged, foreign or another panel's; the hint is to delete it.
    pub fn open(path: &Path) -> Result<Panel, MarketError> {
        Ok(Panel { mapped: MappedPanel::open(path)? })
    }

    /// Like [`Panel::open`], without verifying the checksum: for a file that this process, or its
    /// parent, has just verified or written.
    pub(crate) fn open_verified(path: &Path) -> Result<Panel, MarketError> {
        Ok(Panel { mapped: MappedPanel::open_verified(path)? })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.mapped.rows
    }

    /// In the order of the columns.
    pub fn stocks(&self) -> &[Symbol] {
        &self.mapped.header.stocks
    }

    /// In the order of the last axis of the features.
    pub fn feature_names(&self) -> &[String] {
        &self.mapped.header.feature_names
    }

    /// As [`PanelData::note`].
    pub fn note(&self) -> &str {
        &self.mapped.header.note
    }

    /// The market up to and including row `t`.
    pub fn view(&self, t: usize) -> MarketView<'_> {
        assert!(t < self.rows(), "row {t} of {}", self.rows());
        MarketView { panel: self, t }
    }

    /// Replaces `out` with `[row, stock, feature]` for the given rows and stocks, in order: the
    /// observations of a minibatch.
    pub(crate) fn gather_features(&self, rows: &[u32], stocks: &[usize], out: &mut Vec<f32>) {
        let count = self.feature_names().len();
        out.clear();
        out.reserve(rows.len() * stocks.len() * count);
        let whole_rows = stocks.iter().copied().eq(0..self.stocks().len());
        for &row in rows {
            let row = self.row_features(row as usize);
            if whole_rows {
                out.extend_from_slice(row);
                continue;
            }
            for &stock in stocks {
                out.extend_from_slice(&row[stock * count..(stock + 1) * count]);
            }
        }
    }

    fn end_s(&self, row: usize) -> i64 {
        let (batch, i) = self.mapped.locate(row);
        batch.end_s[i]
    }

    /// `[stock, feature]`.
    fn row_features(&self, row: usize) -> &[f32] {
        let (batch, i) = self.mapped.locate(row);
        let width = self.stocks().len() * self.feature_names().len();
        &batch.features[i * width..(i + 1) * width]
    }
}

/// The market as known at the close of row `t`. It gives no access to later data: it only moves
/// back, every slice it returns ends within row `t`, and the panel behind it is private to this
/// module.
#[derive(Clone, Copy)]
pub struct MarketView<'a> {
    panel: &'a Panel,
    t: usize,
}

/// One stock at one time of the panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PanelBar {
    /// First trade; without a bar, the last close.
    pub open: f64,
    /// Highest trade; without a bar, the last close.
    pub high: f64,
    /// Lowest trade; without a bar, the last close.
    pub low: f64,
    /// Last trade; NaN before the stock's first bar.
    pub close: f64,
    /// Shares; 0 without a bar.
    pub volume: f64,
    /// The stock has a bar here and all its features are defined that have to be.
    pub tradable: bool,
}

/// `stock` is an index into [`Panel::stocks`]; one out of range panics.
impl<'a> MarketView<'a> {
    /// The row that this view ends with.
    pub fn t(&self) -> usize {
        self.t
    }

    /// Bar end, UTC seconds.
    pub fn end_s(&self) -> i64 {
        self.panel.end_s(self.t)
    }

    /// The stock's bar at t, or its last close where it has none.
    pub fn bar(&self, stock: usize) -> PanelBar {
        let stocks = self.panel.stocks().len();
        assert!(stock < stocks, "stock {stock} of {stocks}");
        let (batch, row) = self.panel.mapped.locate(self.t);
        let i = row * stocks + stock;
        PanelBar {
            open: batch.open[i],
            high: batch.high[i],
            low: batch.low[i],
            close: batch.close[i],
            volume: batch.volume[i],
            tradable: batch.tradable[i] != 0,
        }
    }

    /// `[feature]` of one stock at t.
    pub fn features(&self, stock: usize) -> &'a [f32] {
        let count = self.panel.feature_names().len();
        &self.all_features()[stock * count..(stock + 1) * count]
    }

    /// `[stock, feature]` at t.
    pub fn all_features(&self) -> &'a [f32] {
        self.panel.row_features(self.t)
    }

    /// The view `bars` rows earlier; None before the panel's first row.
    pub fn back(&self, bars: usize) -> Option<MarketView<'a>> {
        let t = self.t.checked_sub(bars)?;
        Some(MarketView { panel: self.panel, t })
    }
}

#[cfg(test)]
mod tests;
