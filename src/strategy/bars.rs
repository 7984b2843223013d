//! The input of a strategy.

use crate::market::Bar;
use crate::market::panel::MarketView;

/// The bars of all stocks that ended at one time. It holds neither earlier nor later bars: a
/// strategy stores what it needs.
#[derive(Clone, Copy, Debug)]
pub struct BarsAt<'a> {
    end_s: i64,
    bars: &'a [Option<Bar>],
    columns: &'a [String],
    /// `[stock, column]`
    extras: &'a [f32],
}

impl<'a> BarsAt<'a> {
    /// `bars`, one per stock; None if a stock has no bar at this time.
    ///
    /// # Panics
    /// If a bar ended at another time.
    pub fn new(end_s: i64, bars: &'a [Option<Bar>]) -> BarsAt<'a> {
        let all_end_now = bars.iter().flatten().all(|bar| bar.end_s == end_s);
        assert!(all_end_now, "the bars of one time end at that time");
        BarsAt { end_s, bars, columns: &[], extras: &[] }
    }

    /// The same bars with further columns of the day files. `extras` `[stock, column]`: NaN where a
    /// value is unknown.
    ///
    /// # Panics
    /// If there is not one value for each stock and column.
    pub fn with_extras(self, columns: &'a [String], extras: &'a [f32]) -> BarsAt<'a> {
        assert_eq!(extras.len(), self.bars.len() * columns.len(), "a value for each column");
        BarsAt { columns, extras, ..self }
    }

    /// A further column's value for each stock, NaN where it is unknown; None if there is no such
    /// column.
    pub fn column(&self, name: &str) -> Option<impl Iterator<Item = f32> + use<'a>> {
        let place = self.columns.iter().position(|column| column == name)?;
        Some(self.extras.iter().skip(place).step_by(self.columns.len()).copied())
    }

    /// End of the bars, UTC seconds since 1970.
    pub fn end_s(&self) -> i64 {
        self.end_s
    }

    /// One per stock, always in the same order.
    pub fn bars(&self) -> &'a [Option<Bar>] {
        self.bars
    }
}

/// Converts rows of a panel to [`BarsAt`]. The buffer is reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct PanelBars(Vec<Option<Bar>>);

impl PanelBars {
    /// The first `stocks` stocks of the current row. If a stock has no bar, a panel repeats the
    /// last close and marks the row as not tradable. It also marks the bars before the features'
    /// warm-up ends, but those have volume or a price range.
    pub(crate) fn at(&mut self, view: &MarketView<'_>, stocks: usize) -> BarsAt<'_> {
        let end_s = view.end_s();
        self.0.clear();
        self.0.extend((0..stocks).map(|stock| {
            let bar = view.bar(stock);
            let has_bar = bar.tradable || bar.volume > 0.0 || bar.high > bar.low;
            has_bar.then_some(Bar {
                end_s,
                open: bar.open,
                high: bar.high,
                low: bar.low,
                close: bar.close,
                volume: bar.volume,
            })
        }));
        BarsAt::new(end_s, &self.0)
    }
}
