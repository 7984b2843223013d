//! The signal of `persistent`: what volume tells about a hidden AR(1).
//!
//! Volume shows the signal through noise, so the best guess takes in all volumes so far: the Kalman
//! filter (Hamilton 1994, section 13.2) in its steady state. Its expectation is itself an AR(1),
//! with the coefficient of the signal and independent normal steps. Returns tell a little, too, and
//! are ignored: with drift / sigma = 0.15 and tell / noise = 1.25 a return holds 1.4 % of the
//! information of a volume.

use crate::synthetic::return_process::HiddenSignal;

/// The expectation of the signal in the steady state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expectation {
    /// How much of a surprise in log volume it takes in.
    gain: f64,
    /// Standard deviation of its step from bar to bar, and of itself.
    pub step: f64,
    pub deviation: f64,
}

impl HiddenSignal {
    /// The variance before a volume is seen, p, is the positive root of the Riccati equation
    /// p = memory^2 p R / (p + R) + 1 - memory^2, with R = (noise / tell)^2.
    pub(crate) fn expectation(&self) -> Expectation {
        let HiddenSignal { memory, tell, noise, .. } = *self;
        let (kept, vague) = (memory * memory, (noise / tell).powi(2));
        let fresh = 1.0 - kept;
        let half = (fresh - (1.0 - kept) * vague) / 2.0;
        let before = half + (half * half + fresh * vague).sqrt();
        let gain = before / (before + vague);
        let known = 1.0 - (1.0 - gain) * before;
        Expectation { gain: gain / tell, step: (known * fresh).sqrt(), deviation: known.sqrt() }
    }

    /// Expectation of the signal at a bar, given that at the bar before and the bar's volume in
    /// shares.
    pub fn filter(&self, last: f64, volume: f64) -> f64 {
        let HiddenSignal { memory, tell, noise, shares, .. } = *self;
        let told = (volume / shares).ln() + (tell * tell + noise * noise) / 2.0;
        let expected = memory * last;
        expected + self.expectation().gain * (told - tell * expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: HiddenSignal =
        HiddenSignal { memory: 0.9, drift: 6e-4, sigma: 40e-4, tell: 0.5, noise: 0.4, shares: 1e6 };

    /// Iterated from the prior, textbook form: predict, weigh, correct.
    #[test]
    fn the_steady_state_is_where_the_filter_ends() {
        let mut variance: f64 = 1.0;
        let mut gain = 0.0;
        for _ in 0..200 {
            let before = 0.81 * variance + 0.19;
            gain = before * 0.5 / (0.25 * before + 0.16);
            variance = (1.0 - gain * 0.5) * before;
        }
        let found = HIDDEN.expectation();
        assert!((found.gain - gain).abs() < 1e-12, "{} {gain}", found.gain);
        assert!((found.deviation - (1.0 - variance).sqrt()).abs() < 1e-12);
        // A step takes in gain times the surprise, whose variance is 0.25 before + 0.16.
        let surprise: f64 = 0.25 * (0.81 * variance + 0.19) + 0.16;
        assert!((found.step - gain * surprise.sqrt()).abs() < 1e-12);
        // Without noise the signal itself is seen.
        let clear = HiddenSignal { noise: 1e-9, ..HIDDEN }.expectation();
        assert!(
            (clear.deviation - 1.0).abs() < 1e-9 && (clear.step - 0.19_f64.sqrt()).abs() < 1e-9
        );
    }

    /// A volume of 1e6 exp(0.5 * 1 - 0.205) is what s = 1 without noise would give.
    #[test]
    fn a_volume_moves_the_expectation_by_its_surprise() {
        let volume = 1e6 * 0.295_f64.exp();
        let gain = HIDDEN.expectation().gain;
        assert!((HIDDEN.filter(0.0, volume) - gain * 0.5).abs() < 1e-12);
        assert!((HIDDEN.filter(1.0 / 0.9, volume) - 1.0).abs() < 1e-12);
    }
}
