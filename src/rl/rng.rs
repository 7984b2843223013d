//! Random streams. A single seed with a counter-based stream for every purpose and stock, so that
//! the draws of one stream do not depend on the number of draws of another.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The purpose of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights of the network.
    Weights = 1,
    /// Random actions of a stock's lanes.
    Exploration,
    /// Minibatches of a stock.
    Replay,
    /// Bootstrap and placebo tests.
    Inference,
    /// Shuffled features of a stock.
    Importance,
}

/// The stream of a purpose and a stock.
pub fn stream(seed: u64, purpose: Purpose, stock: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 32 | stock as u64);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn streams_differ_by_seed_purpose_and_stock_and_repeat() {
        let first = |seed, purpose, stock| stream(seed, purpose, stock).next_u64();
        let base = first(1, Purpose::Replay, 0);
        assert_eq!(base, first(1, Purpose::Replay, 0));
        assert_ne!(base, first(2, Purpose::Replay, 0));
        assert_ne!(base, first(1, Purpose::Exploration, 0));
        assert_ne!(base, first(1, Purpose::Replay, 1));
    }
}
