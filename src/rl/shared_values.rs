//! Values of several stocks at the same bars: of a stock that many see, a bar is encoded once.

use super::engine::SharedBars;
use super::networks::Networks;
use crate::market::panel::Panel;

/// The stocks of a rank, with reused buffers.
#[derive(Clone, Debug)]
pub struct SharedValues {
    /// `[stock]`: the stock itself, then its peers.
    slots: Vec<Vec<usize>>,
    bars: SharedBars,
}

impl SharedValues {
    /// Of stocks with these slots.
    pub fn new(slots: Vec<Vec<usize>>) -> SharedValues {
        let mut symbols = slots.concat();
        symbols.sort_unstable();
        symbols.dedup();
        SharedValues { slots, bars: SharedBars { symbols, ..SharedBars::default() } }
    }

    /// Values of all positions after the decision at these rows, `[stock][row, action]`, as
    /// [`Agent::values`](super::agent::Agent::values) computes them for each stock.
    pub fn compute(
        &mut self,
        networks: &Networks,
        panel: &Panel,
        rows: &[u32],
        out: &mut [&mut Vec<f32>],
    ) {
        let SharedValues { slots, bars } = self;
        if slots.is_empty() {
            return;
        }
        panel.gather_features(rows, &bars.symbols, &mut bars.market);
        bars.rows = rows.len();
        networks.engine().values_of_all(slots, bars, out);
    }
}
