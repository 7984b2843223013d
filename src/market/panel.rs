//! The aligned panel `[time, stock, feature]` in a memory-mapped Arrow IPC file, and
//! [`MarketView`], the only way in which a policy sees it.

mod file;

use std::path::Path;

use super::bar::{BarSeries, Symbol};
use super::error::MarketError;
use file::Mapped;

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

/// The grid of several stocks' series. A merge: its time is that of writing the grid down.
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

/// What a panel file is written from. Arrays are row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelData {
    pub stocks: Vec<Symbol>,
    pub feature_names: Vec<String>,
    /// `[time]`
    pub end_s: Vec<i64>,
    /// `[time, stock]`; where a stock has no bar, open = high = low = close = its last close; NaN
    /// before its first bar.
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
    mapped: Mapped,
}

impl Panel {
    /// Writes beside `path` and renames, so that a reader sees a whole file or none. Beyond `data`
    /// itself this takes memory for a few megabytes of rows at a time.
    ///
    /// # Panics
    /// Where the arrays' lengths do not fit together, times do not increase or a feature is not
    /// finite.
    pub fn write(path: &Path, data: &PanelData) -> Result<(), MarketError> {
        file::write(path, data)
    }

    /// Maps a file that [`Panel::write`] wrote; one that is truncated or foreign is an error that
    /// says to delete it.
    pub fn open(path: &Path) -> Result<Panel, MarketError> {
        Ok(Panel { mapped: Mapped::open(path)? })
    }

    /// Number of times.
    pub fn rows(&self) -> usize {
        self.mapped.rows
    }

    pub fn stocks(&self) -> &[Symbol] {
        &self.mapped.header.stocks
    }

    pub fn feature_names(&self) -> &[String] {
        &self.mapped.header.feature_names
    }

    pub fn note(&self) -> &str {
        &self.mapped.header.note
    }

    /// First row whose bar ends at or after `end_s`; `rows()` where there is none.
    pub fn row_at(&self, end_s: i64) -> usize {
        let (mut low, mut high) = (0, self.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.end_s(middle) < end_s {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The market up to and including row `t`.
    pub fn view(&self, t: usize) -> MarketView<'_> {
        assert!(t < self.rows(), "row {t} of {}", self.rows());
        MarketView { panel: self, t }
    }

    /// Replaces `out` by `[row, stock, feature]` for the rows and stocks named, in their order:
    /// what a minibatch of past transitions saw.
    pub fn gather_features(&self, rows: &[u32], stocks: &[usize], out: &mut Vec<f32>) {
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

    /// `[stock, feature]`
    fn row_features(&self, row: usize) -> &[f32] {
        let (batch, i) = self.mapped.locate(row);
        let width = self.stocks().len() * self.feature_names().len();
        &batch.features[i * width..(i + 1) * width]
    }
}

/// The market as it was known at the close of row `t`. Nothing later can be reached through it: it
/// moves back only, every slice it gives ends within row `t`, and the panel behind it is private to
/// this module.
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

/// `stock` is an index into [`Panel::stocks`]; one out of range panics.
impl<'a> MarketView<'a> {
    pub fn t(&self) -> usize {
        self.t
    }

    /// Bar end, UTC seconds.
    pub fn end_s(&self) -> i64 {
        self.panel.end_s(self.t)
    }

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
mod tests {
    use super::*;
    use crate::market::bar::Bar;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn series(symbol: &str, times: &[i64]) -> BarSeries {
        let mut series = BarSeries::new(symbol.parse().unwrap());
        for &end_s in times {
            series.push(Bar { end_s, open: 1.0, high: 1.0, low: 1.0, close: 1.0, volume: 1.0 });
        }
        series
    }

    pub(super) fn random_panel(rows: usize, stocks: usize, features: usize) -> PanelData {
        let mut rng = ChaCha8Rng::seed_from_u64(rows as u64);
        let mut price = |_| rng.random_range(1.0..500.0);
        let cells = rows * stocks;
        let mut data = PanelData {
            stocks: (0..stocks).map(|i| format!("S{i}").parse().unwrap()).collect(),
            feature_names: (0..features).map(|i| format!("feature {i}")).collect(),
            end_s: (0..rows as i64).map(|i| 1_600_000_000 + 60 * i).collect(),
            open: (0..cells).map(&mut price).collect(),
            high: (0..cells).map(&mut price).collect(),
            low: (0..cells).map(&mut price).collect(),
            close: (0..cells).map(&mut price).collect(),
            volume: (0..cells).map(&mut price).collect(),
            tradable: vec![],
            features: vec![],
            note: "{\"said\": \"ümlaut, \\\"quotes\\\"\"}".into(),
        };
        data.tradable = (0..cells).map(|_| rng.random_bool(0.9)).collect();
        data.features = (0..cells * features).map(|_| rng.random_range(-5.0..5.0)).collect();
        data
    }

    fn written(data: &PanelData) -> (tempfile::TempDir, Panel) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("panel.arrow");
        Panel::write(&path, data).unwrap();
        let panel = Panel::open(&path).unwrap();
        (folder, panel)
    }

    fn assert_holds(panel: &Panel, data: &PanelData) {
        let (stocks, count) = (data.stocks.len(), data.feature_names.len());
        assert_eq!(panel.rows(), data.end_s.len());
        assert_eq!(panel.stocks(), data.stocks);
        assert_eq!(panel.feature_names(), data.feature_names);
        assert_eq!(panel.note(), data.note);
        for t in 0..panel.rows() {
            let view = panel.view(t);
            assert_eq!(view.end_s(), data.end_s[t]);
            assert_eq!(view.all_features(), &data.features[t * stocks * count..][..stocks * count]);
            for stock in 0..stocks {
                let i = t * stocks + stock;
                let bar = view.bar(stock);
                let found = [bar.open, bar.high, bar.low, bar.close, bar.volume];
                let held = [data.open[i], data.high[i], data.low[i], data.close[i], data.volume[i]];
                assert_eq!(found.map(f64::to_bits), held.map(f64::to_bits));
                assert_eq!(bar.tradable, data.tradable[i]);
                assert_eq!(view.features(stock), &data.features[i * count..][..count]);
            }
        }
    }

    #[test]
    fn the_grid_is_the_union_of_the_bar_times() {
        let grid =
            align(&[series("A", &[10, 20, 40]), series("B", &[]), series("C", &[5, 20, 30])]);
        assert_eq!(grid.end_s, [5, 10, 20, 30, 40]);
        assert_eq!(grid.bar_index[0], [NO_BAR, 0, 1, NO_BAR, 2]);
        assert_eq!(grid.bar_index[1], [NO_BAR; 5]);
        assert_eq!(grid.bar_index[2], [0, NO_BAR, 1, 2, NO_BAR]);
        assert_eq!(align(&[]), Grid { end_s: vec![], bar_index: vec![] });
    }

    #[test]
    #[should_panic(expected = "bar times must increase")]
    fn a_series_out_of_order_is_no_grid() {
        align(&[series("A", &[10, 10])]);
    }

    #[test]
    fn a_panel_comes_back_bit_for_bit() {
        // 20,000 rows of these widths take several record batches, the last one short.
        for (rows, stocks, features) in [(0, 1, 1), (1, 1, 1), (20_000, 5, 32), (300, 17, 3)] {
            let mut data = random_panel(rows, stocks, features);
            if let Some(first) = data.open.first_mut() {
                *first = f64::NAN;
            }
            let (_folder, panel) = written(&data);
            assert_holds(&panel, &data);
        }
    }

    #[test]
    fn rows_are_found_by_time() {
        let mut data = random_panel(20_000, 5, 32);
        for (i, end_s) in data.end_s.iter_mut().enumerate() {
            *end_s += 86_400 * (i as i64 / 390);
        }
        let (_folder, panel) = written(&data);
        assert_eq!(panel.row_at(i64::MIN), 0);
        assert_eq!(panel.row_at(i64::MAX), 20_000);
        for t in (0..20_000).step_by(37) {
            assert_eq!(panel.row_at(data.end_s[t]), t);
            assert_eq!(panel.row_at(data.end_s[t] - 1), t);
            assert_eq!(panel.row_at(data.end_s[t] + 1), t + 1);
        }
    }

    #[test]
    fn a_view_reaches_no_row_after_its_own() {
        let mut data = random_panel(50, 3, 4);
        for t in 0..50 {
            for stock in 0..3 {
                data.close[t * 3 + stock] = t as f64;
                data.features[(t * 3 + stock) * 4..][..4].fill(t as f32);
            }
        }
        let (_folder, panel) = written(&data);
        for t in 0..50 {
            let view = panel.view(t);
            for bars in 0..60 {
                let Some(earlier) = view.back(bars) else {
                    assert!(bars > t);
                    continue;
                };
                assert_eq!(earlier.t(), t - bars);
                assert!(earlier.end_s() <= view.end_s());
                assert!((0..3).all(|stock| earlier.bar(stock).close <= t as f64));
                assert_eq!(earlier.all_features().len(), 3 * 4);
                assert!(earlier.all_features().iter().all(|&x| x <= t as f32));
            }
            assert!(view.back(usize::MAX).is_none());
        }
    }

    #[test]
    #[should_panic(expected = "stock 3 of 3")]
    fn a_stock_out_of_range_is_not_the_next_row() {
        let (_folder, panel) = written(&random_panel(50, 3, 4));
        panel.view(4).bar(3);
    }

    #[test]
    fn gathering_equals_reading_one_by_one() {
        let (_folder, panel) = written(&random_panel(9_000, 5, 32));
        let rows = [8_999, 0, 17, 17, 4_096];
        let mut gathered = vec![1.0; 3];
        for stocks in [&[0, 1, 2, 3, 4][..], &[3], &[4, 0, 2], &[0, 1]] {
            panel.gather_features(&rows, stocks, &mut gathered);
            let mut expected = Vec::new();
            for &row in &rows {
                for &stock in stocks {
                    expected.extend_from_slice(panel.view(row as usize).features(stock));
                }
            }
            assert_eq!(gathered, expected);
        }
    }

    #[test]
    fn a_panel_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Panel>();
        shared::<MarketView<'_>>();
    }
}
