//! Gradients made small for slow networks. What a message leaves out of a gradient is added to the
//! next one (error feedback: Seide et al. 2014; that it keeps the rate of convergence, Stich,
//! Cordonnier and Jaggi 2018), so that in the long run everything is sent.

use serde::{Deserialize, Serialize};

use crate::config::Compression;

/// One sender's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Compressor {
    kind: Compression,
    /// Numbers that are sent of a gradient; all unless the kind is top-k.
    kept: usize,
    /// Not sent yet; empty where everything is.
    owed: Vec<f32>,
    /// What was owed before the last gradient. Not kept: by then its answer is known.
    #[serde(skip)]
    owed_before: Vec<f32>,
}

impl Compressor {
    /// For gradients of `len` numbers, of which top-k sends the part `kept`, at least one.
    pub(crate) fn new(kind: Compression, len: usize, kept: f64) -> Compressor {
        let kept = match kind {
            Compression::TopK => ((len as f64 * kept).ceil() as usize).clamp(1, len.max(1)),
            _ => len,
        };
        let owed = if kind == Compression::None { Vec::new() } else { vec![0.0; len] };
        Compressor { kind, kept, owed, owed_before: Vec::new() }
    }

    /// Appends `gradient` to a message. `gradient` is left with what was sent.
    pub(crate) fn pack(&mut self, gradient: &mut [f32], message: &mut Vec<u8>) {
        self.owed_before.clone_from(&self.owed);
        match self.kind {
            Compression::None => floats_to_bytes(gradient, message),
            Compression::Bf16 => {
                for (value, owed) in gradient.iter_mut().zip(&mut self.owed) {
                    let whole = *value + *owed;
                    let half = to_bf16(whole);
                    *value = from_bf16(half);
                    *owed = whole - *value;
                    message.extend(half.to_le_bytes());
                }
            }
            Compression::TopK => self.pack_largest(gradient, message),
        }
    }

    /// The last gradient was not used, and is made anew: what was owed before it is owed again.
    pub(crate) fn take_back(&mut self) {
        self.owed = std::mem::take(&mut self.owed_before);
    }

    fn pack_largest(&mut self, gradient: &mut [f32], message: &mut Vec<u8>) {
        for (value, owed) in gradient.iter().zip(&mut self.owed) {
            *owed += *value;
        }
        let mut order: Vec<u32> = (0..gradient.len() as u32).collect();
        let size = |at: &u32| self.owed[*at as usize].abs();
        // Of equal ones the first, so that the choice does not depend on how they are sorted.
        let larger_first = |a: &u32, b: &u32| size(b).total_cmp(&size(a)).then(a.cmp(b));
        if self.kept < order.len() {
            order.select_nth_unstable_by(self.kept - 1, larger_first);
            order.truncate(self.kept);
        }
        order.sort_unstable();
        gradient.fill(0.0);
        for at in order {
            let value = std::mem::take(&mut self.owed[at as usize]);
            gradient[at as usize] = value;
            message.extend(at.to_le_bytes());
            message.extend(value.to_le_bytes());
        }
    }
}

/// Reads what [`Compressor::pack`] wrote. None where it is not that of `gradient.len()` numbers.
pub(crate) fn unpack(kind: Compression, bytes: &[u8], gradient: &mut [f32]) -> Option<()> {
    match kind {
        Compression::None => bytes_to_floats(bytes, gradient),
        Compression::Bf16 => {
            let (halves, rest) = bytes.as_chunks::<2>();
            if !rest.is_empty() || halves.len() != gradient.len() {
                return None;
            }
            for (value, half) in gradient.iter_mut().zip(halves) {
                *value = from_bf16(u16::from_le_bytes(*half));
            }
            Some(())
        }
        Compression::TopK => {
            gradient.fill(0.0);
            let (entries, rest) = bytes.as_chunks::<8>();
            for &[a, b, c, d, e, f, g, h] in entries {
                let at = u32::from_le_bytes([a, b, c, d]) as usize;
                *gradient.get_mut(at)? = f32::from_le_bytes([e, f, g, h]);
            }
            rest.is_empty().then_some(())
        }
    }
}

/// Appends numbers to a message as they are.
pub(crate) fn floats_to_bytes(values: &[f32], message: &mut Vec<u8>) {
    message.reserve(4 * values.len());
    message.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// None where the bytes are not of so many numbers.
pub(crate) fn bytes_to_floats(bytes: &[u8], values: &mut [f32]) -> Option<()> {
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || floats.len() != values.len() {
        return None;
    }
    for (value, bytes) in values.iter_mut().zip(floats) {
        *value = f32::from_le_bytes(*bytes);
    }
    Some(())
}

fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // Rounding could carry a NaN over to infinity.
        return (bits >> 16) as u16 | 0x40;
    }
    let odd = (bits >> 16) & 1;
    ((bits + 0x7fff + odd) >> 16) as u16
}

fn from_bf16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// 1 + 2^-8 lies halfway between 1 and 1 + 2^-7 and goes to the even one; a bit more goes up.
    #[test]
    fn halves_are_rounded_to_nearest_even() {
        let rounded = |value: f32| from_bf16(to_bf16(value));
        assert_eq!(rounded(1.0 + 2f32.powi(-8)), 1.0);
        assert_eq!(rounded(1.0 + 2f32.powi(-8) + 2f32.powi(-20)), 1.0 + 2f32.powi(-7));
        assert_eq!(rounded(1.0 + 3.0 * 2f32.powi(-8)), 1.0 + 2f32.powi(-6));
        assert_eq!(rounded(-0.15625), -0.15625);
        assert_eq!(rounded(f32::MAX), f32::INFINITY);
        assert!(rounded(f32::NAN).is_nan());
    }

    /// Of 3, -5, 1, 4 the largest two are sent, then 3 and what 1 has become.
    #[test]
    fn the_largest_go_first_and_the_others_are_owed() {
        let mut compressor = Compressor::new(Compression::TopK, 4, 0.5);
        let mut send = |gradient: [f32; 4]| {
            let (mut gradient, mut message) = (gradient, Vec::new());
            compressor.pack(&mut gradient, &mut message);
            assert_eq!(message.len(), 16);
            let mut received = [9.0; 4];
            unpack(Compression::TopK, &message, &mut received).unwrap();
            assert_eq!(received, gradient);
            received
        };
        assert_eq!(send([3.0, -5.0, 1.0, 4.0]), [0.0, -5.0, 0.0, 4.0]);
        assert_eq!(send([0.0, 0.5, 1.5, 0.5]), [3.0, 0.0, 2.5, 0.0]);
        assert_eq!(send([0.0; 4]), [0.0, 0.5, 0.0, 0.5]);
    }

    /// As if the gradient had not been: it is neither owed nor is what went with it lost.
    #[test]
    fn a_gradient_that_is_taken_back_leaves_no_trace() {
        for kind in [Compression::None, Compression::Bf16, Compression::TopK] {
            let mut compressor = Compressor::new(kind, 4, 0.5);
            let mut send = |gradient: [f32; 4], is_used: bool| {
                let (mut gradient, mut message) = (gradient, Vec::new());
                compressor.pack(&mut gradient, &mut message);
                if !is_used {
                    compressor.take_back();
                }
                gradient
            };
            send([3.0, -5.0, 1.0, 4.0], true);
            send([100.0, 0.001, 7.0, 0.0], false);
            send([0.0, 0.001, 50.0, 9.0], false);
            let expected = match kind {
                Compression::TopK => [3.0, 0.0, 2.5, 0.0],
                _ => [0.0, 0.5, 1.5, 0.5],
            };
            assert_eq!(send([0.0, 0.5, 1.5, 0.5], true), expected, "{kind:?}");
        }
    }

    /// Whatever is sent, after many gradients the sum of what was received is that of what was
    /// meant, but for what is owed at the end.
    #[test]
    fn in_the_long_run_everything_is_sent() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for (kind, bytes) in
            [(Compression::None, 400), (Compression::Bf16, 200), (Compression::TopK, 80)]
        {
            let mut compressor = Compressor::new(kind, 100, 0.1);
            let (mut meant, mut received) = (vec![0.0f64; 100], vec![0.0f64; 100]);
            let (mut unpacked, mut largest_owed) = ([0.0; 100], 0.0f64);
            for _ in 0..2_000 {
                let mut gradient: Vec<f32> =
                    (0..100).map(|i| 0.01 * i as f32 + rng.random_range(-1.0..1.0)).collect();
                meant.iter_mut().zip(&gradient).for_each(|(sum, &g)| *sum += f64::from(g));
                let mut message = Vec::new();
                compressor.pack(&mut gradient, &mut message);
                assert_eq!(message.len(), bytes);
                unpack(kind, &message, &mut unpacked).unwrap();
                received.iter_mut().zip(&unpacked).for_each(|(sum, &g)| *sum += f64::from(g));
            }
            for (meant, received) in meant.iter().zip(&received) {
                largest_owed = largest_owed.max((meant - received).abs());
            }
            let most = match kind {
                Compression::None => 0.0,
                Compression::Bf16 => 0.01,
                // About as much as comes in while all others have their turn.
                Compression::TopK => 30.0,
            };
            assert!(largest_owed <= most, "{kind:?}: {largest_owed}");
        }
    }

    #[test]
    fn a_message_of_another_length_is_refused() {
        let mut gradient = [0.0; 3];
        assert!(unpack(Compression::None, &[0; 8], &mut gradient).is_none());
        assert!(unpack(Compression::Bf16, &[0; 7], &mut gradient).is_none());
        assert!(unpack(Compression::TopK, &[9, 0, 0, 0, 0, 0, 0, 0], &mut gradient).is_none());
        assert!(unpack(Compression::TopK, &[0; 9], &mut gradient).is_none());
    }
}
