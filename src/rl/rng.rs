//! Random streams. One seed; a counter-based stream for every purpose and stock, so that no draw of
//! one depends on how often another drew.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    Weights = 1,
    Exploration,
    Replay,
    Inference,
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
