//! The interface of an engine, which computes the networks. See [`super::engines`] for the choice
//! of engine.

/// Which of the two networks of a DQN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkRole {
    /// Chooses actions, and is trained.
    Online,
    /// Values end states; follows the online network with a delay.
    Target,
}

/// The inputs of a minibatch.
#[derive(Clone, Copy, Debug)]
pub struct MinibatchInputs<'a> {
    /// `[row, slot, feature]`, row-major.
    pub market: &'a [f32],
    /// The number of rows, the first ones, whose values are learned; the others are only valued.
    pub learned: usize,
}

/// Values of a minibatch, `[row, action]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinibatchValues {
    /// Of the network that is trained.
    pub online: Vec<f32>,
    /// Of the network from which is bootstrapped.
    pub target: Vec<f32>,
}

/// Receives the values of a minibatch, and writes d loss / d online value of the learned rows,
/// `[row, action]`, into the second argument.
pub type OnValues<'a> = dyn FnMut(&MinibatchValues, &mut Vec<f32>) + 'a;

/// Bars that several stocks see at the same times, and reused buffers.
#[derive(Clone, Debug, Default)]
pub struct SharedBars {
    /// Which symbols, in ascending order.
    pub symbols: Vec<usize>,
    /// Number of times.
    pub rows: usize,
    /// `[row, symbol, feature]`, row-major.
    pub market: Vec<f32>,
    /// `[symbol, row, embedding]`, of an engine that keeps them.
    pub(crate) embeddings: Vec<f32>,
}

impl SharedBars {
    /// Where a symbol is among [`SharedBars::symbols`].
    ///
    /// # Panics
    ///
    /// If it is not.
    pub(crate) fn place(&self, symbol: usize) -> usize {
        self.symbols.binary_search(&symbol).expect("a symbol of the slots")
    }
}

/// The online and the target network, shared by all stocks. `slots` are the stock itself, then its
/// peers; a value is that of a position after the decision.
pub trait Engine: Send + Sync {
    /// Replaces a network's weights, in the order of its [`Layout`](super::parameters::Layout).
    fn load(&mut self, which: NetworkRole, weights: &[f32]);

    /// Values of the online network: `market` `[row, slot, feature]` into `out` `[row, action]`.
    fn values(&self, slots: &[usize], market: &[f32], out: &mut Vec<f32>);

    /// Values of the online network of several stocks, equal to those of [`Engine::values`] to the last
    /// bit: `slots` `[stock]`, into `out` `[stock][row, action]`. A bar may be encoded once for all.
    fn values_of_all(
        &self,
        slots: &[Vec<usize>],
        bars: &mut SharedBars,
        out: &mut [&mut Vec<f32>],
    ) {
        let of_row = bars.market.len() / bars.rows.max(1);
        let width = of_row / bars.symbols.len().max(1);
        let mut seen = Vec::new();
        for (slots, out) in slots.iter().zip(out) {
            let places: Vec<usize> = slots.iter().map(|&symbol| bars.place(symbol)).collect();
            seen.clear();
            for row in bars.market.chunks_exact(of_row.max(1)) {
                places.iter().for_each(|place| seen.extend(&row[place * width..][..width]));
            }
            self.values(slots, &seen, out);
        }
    }

    /// The attention that the online network pays to each peer, as the mean over its heads:
    /// `market` `[row, slot, feature]` into `out` `[row, peer]`; each row sums to 1.
    ///
    /// # Panics
    ///
    /// If the network does not attend.
    fn attention(&self, slots: &[usize], market: &[f32], out: &mut Vec<f32>);

    /// Overwrites `gradient` with d loss / d parameters of the online network.
    fn learn(
        &self,
        slots: &[usize],
        seen: &MinibatchInputs<'_>,
        on_values: &mut OnValues<'_>,
        gradient: &mut [f32],
    );
}
