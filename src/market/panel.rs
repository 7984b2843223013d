//! The aligned panel `[time, stock, feature]` in a memory-mapped Arrow IPC file, and [`MarketView`], the only way
//! in which a policy sees it.

use std::path::Path;

use super::bar::{BarSeries, Symbol};
use super::error::MarketError;

/// Series aligned on the union of their bar times.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Bar ends, UTC seconds, strictly increasing. Length T.
    pub end_s: Vec<i64>,
    /// Per stock, per time: index into that stock's series, or `NO_BAR`.
    pub bar_index: Vec<Vec<u32>>,
}

/// A stock has no bar at that time.
pub const NO_BAR: u32 = u32::MAX;

/// The grid of several stocks' series.
pub fn align(series: &[BarSeries]) -> Grid {
    let _ = series;
    todo!()
}

/// What a panel file is written from. Arrays are row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelData {
    pub stocks: Vec<Symbol>,
    pub feature_names: Vec<String>,
    /// `[time]`
    pub end_s: Vec<i64>,
    /// `[time, stock]`; where a stock has no bar, open = high = low = close = its last close; NaN before its first bar.
    pub open: Vec<f64>,
    pub high: Vec<f64>,
    pub low: Vec<f64>,
    pub close: Vec<f64>,
    /// `[time, stock]`; 0 where there is no bar.
    pub volume: Vec<f64>,
    /// `[time, stock]`: the stock has a bar and its features are settled, so it may be traded.
    pub tradable: Vec<bool>,
    /// `[time, stock, feature]`, scaled, finite.
    pub features: Vec<f32>,
    /// Text kept in the file with the data (a JSON document of the caller's).
    pub note: String,
}

/// A panel file, memory-mapped. Cheap to open; pages are shared by the processes of a machine.
pub struct Panel {
    _todo: (),
}

impl Panel {
    /// Writes beside `path` and renames.
    pub fn write(path: &Path, data: &PanelData) -> Result<(), MarketError> {
        let _ = (path, data);
        todo!()
    }

    pub fn open(path: &Path) -> Result<Panel, MarketError> {
        let _ = path;
        todo!()
    }

    /// Number of times.
    pub fn rows(&self) -> usize {
        todo!()
    }

    pub fn stocks(&self) -> &[Symbol] {
        todo!()
    }

    pub fn feature_names(&self) -> &[String] {
        todo!()
    }

    pub fn note(&self) -> &str {
        todo!()
    }

    /// First row whose bar ends at or after `end_s`; `rows()` where there is none.
    pub fn row_at(&self, end_s: i64) -> usize {
        let _ = end_s;
        todo!()
    }

    /// The market up to and including row `t`.
    pub fn view(&self, t: usize) -> MarketView<'_> {
        assert!(t < self.rows());
        MarketView { panel: self, t }
    }
}

/// The market as it was known at the close of row `t`. Nothing later can be reached through it.
#[derive(Clone, Copy)]
pub struct MarketView<'a> {
    panel: &'a Panel,
    t: usize,
}

/// One stock at one time of the panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PanelBar {
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
    /// The stock has a bar here and its features are settled.
    pub tradable: bool,
}

impl<'a> MarketView<'a> {
    pub fn t(&self) -> usize {
        self.t
    }

    /// Bar end, UTC seconds.
    pub fn end_s(&self) -> i64 {
        let _ = self.panel;
        todo!()
    }

    pub fn bar(&self, stock: usize) -> PanelBar {
        let _ = stock;
        todo!()
    }

    /// `[feature]` of one stock at t.
    pub fn features(&self, stock: usize) -> &'a [f32] {
        let _ = stock;
        todo!()
    }

    /// `[stock, feature]` at t.
    pub fn all_features(&self) -> &'a [f32] {
        todo!()
    }

    /// The view `bars` rows earlier; None before the panel's first row.
    pub fn back(&self, bars: usize) -> Option<MarketView<'a>> {
        let t = self.t.checked_sub(bars)?;
        Some(MarketView { panel: self.panel, t })
    }
}
