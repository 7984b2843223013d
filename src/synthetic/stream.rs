//! Counter-based random numbers: the draws for a date depend only on seed, purpose, key and date.

use chrono::{Datelike, NaiveDate};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// Words of a stream reserved for one date; a session of 1,440 bars needs less than half of them.
const WORDS_PER_DAY: u128 = 1 << 16;

/// Uniform and normal draws. ChaCha with 8 rounds, keyed by seed and purpose, with one stream per
/// key (a symbol).
pub(crate) struct Draws {
    rng: ChaCha8Rng,
    /// The second normal of a pair.
    spare: Option<f64>,
}

impl Draws {
    pub(crate) fn new(seed: u64, purpose: &str, key: &str) -> Draws {
        let digest =
            Sha256::new().chain_update(seed.to_le_bytes()).chain_update(purpose).finalize();
        let stream = Sha256::digest(key);
        let mut rng = ChaCha8Rng::from_seed(digest.into());
        rng.set_stream(stream[..8].iter().fold(0, |n, &byte| n << 8 | u64::from(byte)));
        Draws { rng, spare: None }
    }

    /// Moves to the first draw of a date.
    pub(crate) fn seek(&mut self, date: NaiveDate) {
        let day = date.num_days_from_ce().cast_unsigned();
        self.rng.set_word_pos(u128::from(day) * WORDS_PER_DAY);
        self.spare = None;
    }

    /// Uniform on (0, 1].
    pub(crate) fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        ((self.rng.next_u64() >> 11) + 1) as f64 * STEP
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Log-uniform between two positive numbers.
    pub(crate) fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Standard normal. Box & Muller (1958).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// A factor of mean 1 for the variance of a normal that makes it Student's t with 6 degrees of
    /// freedom (scaled to the same variance): 4 over a chi-squared with 6 degrees, which is -2 ln
    /// of the product of three uniforms.
    pub(crate) fn t6_variance(&mut self) -> f64 {
        -2.0 / (self.uniform() * self.uniform() * self.uniform()).ln()
    }

    /// High and low of a Brownian bridge from `open` to `close`, each from its distribution:
    /// Glasserman (2003), section 6.4, example 6.4.2.
    pub(crate) fn bridge_extremes(&mut self, open: f64, close: f64, variance: f64) -> (f64, f64) {
        let mut reach = || ((close - open).powi(2) - 2.0 * variance * self.uniform().ln()).sqrt();
        let (up, down) = (reach(), reach());
        let middle = open + close;
        let high = ((middle + up) / 2.0).max(open).max(close);
        let low = ((middle - down) / 2.0).min(open).min(close);
        (high, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2020, 1, day).unwrap()
    }

    #[test]
    fn a_date_has_its_draws_whatever_was_drawn_before() {
        let mut draws = Draws::new(1, "test", "A");
        draws.seek(date(2));
        let first = [draws.normal(), draws.uniform(), draws.normal()];
        draws.seek(date(3));
        let other = [draws.normal(), draws.uniform(), draws.normal()];
        draws.normal();
        draws.seek(date(2));
        assert_eq!(first, [draws.normal(), draws.uniform(), draws.normal()]);
        assert_ne!(first, other);
        for (seed, purpose, key) in [(2, "test", "A"), (1, "tests", "A"), (1, "test", "B")] {
            let mut draws = Draws::new(seed, purpose, key);
            draws.seek(date(2));
            assert_ne!(first[0], draws.normal());
        }
    }

    #[test]
    fn draws_have_the_moments_they_should() {
        let mut draws = Draws::new(1, "moments", "A");
        let n = 400_000;
        let mean = |f: &mut dyn FnMut() -> f64| (0..n).map(|_| f()).sum::<f64>() / n as f64;
        // Standard errors: 0.0005, 0.0022, 0.015 (kurtosis of a normal: sqrt(96 / n)) and 0.0016.
        assert!((mean(&mut || draws.uniform()) - 0.5).abs() < 0.002);
        assert!((mean(&mut || draws.normal().powi(2)) - 1.0).abs() < 0.01);
        assert!((mean(&mut || draws.normal().powi(4)) - 3.0).abs() < 0.08);
        assert!((mean(&mut || draws.t6_variance()) - 1.0).abs() < 0.01);
    }
}
