//! What a strategy sees.

use crate::market::Bar;
use crate::market::panel::MarketView;

/// The bars of all stocks that ended at one time. It holds nothing else, neither earlier bars nor
/// later ones: a strategy remembers what it needs.
#[derive(Clone, Copy, Debug)]
pub struct BarsAt<'a> {
    end_s: i64,
    bars: &'a [Option<Bar>],
}

impl<'a> BarsAt<'a> {
    /// `bars`, one per stock, None where a stock has no bar at this time.
    ///
    /// # Panics
    /// If a bar ended at another time.
    pub fn new(end_s: i64, bars: &'a [Option<Bar>]) -> BarsAt<'a> {
        let together = bars.iter().flatten().all(|bar| bar.end_s == end_s);
        assert!(together, "the bars of one time end at that time");
        BarsAt { end_s, bars }
    }

    /// When the bars ended, UTC seconds since 1970.
    pub fn end_s(&self) -> i64 {
        self.end_s
    }

    /// One per stock, always in the same order.
    pub fn bars(&self) -> &'a [Option<Bar>] {
        self.bars
    }
}

/// Rows of a panel as strategies take them in.
#[derive(Clone, Debug, Default)]
pub struct PanelBars(Vec<Option<Bar>>);

impl PanelBars {
    /// The first `stocks` stocks of the present row. A panel carries the last close on where a
    /// stock has no bar, and says that such a row is not tradable, as it does of the bars before
    /// features are settled. Those have volume or moved.
    pub fn at(&mut self, view: &MarketView<'_>, stocks: usize) -> BarsAt<'_> {
        let end_s = view.end_s();
        self.0.clear();
        self.0.extend((0..stocks).map(|stock| {
            let bar = view.bar(stock);
            let there = bar.tradable || bar.volume > 0.0 || bar.high > bar.low;
            there.then_some(Bar {
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
