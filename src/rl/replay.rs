//! Prioritized and uniform replay of windows of consecutive bars. A window is stored as the panel
//! row of its first bar, because neither prices nor observations depend on actions.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sum_tree::{Descent, SumTree};
use crate::compute::huge_pages::copy_with_capacity;

/// Added to every |TD error|, so that no window has probability 0. OpenAI Baselines, `deepq`.
const PRIORITY_EPSILON: f32 = 1e-6;
/// Initial capacity, in windows.
const INITIAL_CAPACITY: usize = 1 << 10;

/// A sampled minibatch, one entry per row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Slots, for [`Replay::update_priorities`].
    pub slots: Vec<u32>,
    /// Panel rows of the windows' first bars.
    pub starts: Vec<u32>,
    /// Importance weights, divided by their maximum over the batch. Schaul et al. (2016), section
    /// 3.4.
    pub weights: Vec<f32>,
    /// Reused buffer.
    descents: Vec<Descent>,
}

/// A ring buffer of windows with priorities. Schaul et al. (2016), proportional variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    capacity: usize,
    alpha: f64,
    starts: Vec<u32>,
    /// Slot of the next window.
    next_slot: usize,
    /// p^alpha of every slot; None if all are equal (alpha 0).
    tree: Option<SumTree>,
    /// The largest p^alpha so far.
    max_priority: f64,
}

impl Replay {
    /// `alpha` 0 is uniform replay. Memory grows as needed up to `capacity` windows.
    pub fn new(capacity: usize, alpha: f64) -> Replay {
        assert!(capacity > 0 && u32::try_from(capacity).is_ok(), "slots are numbered by u32");
        assert!((0.0..=1.0).contains(&alpha), "alpha is between 0 and 1, not {alpha}");
        Replay {
            capacity,
            alpha,
            starts: Vec::new(),
            next_slot: 0,
            tree: (alpha > 0.0).then(SumTree::default),
            max_priority: 1.0,
        }
    }

    /// With the same capacity and priorities, and nothing stored.
    pub(crate) fn emptied(&self) -> Replay {
        Replay::new(self.capacity, self.alpha)
    }

    /// Number of transitions that are stored.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the window that begins at panel row `start`, with the largest priority so far;
    /// overwrites the oldest when full.
    pub fn push(&mut self, start: u32) {
        let slot = self.next_slot;
        if slot == self.starts.len() {
            if slot == self.starts.capacity() {
                let room = (2 * slot).clamp(INITIAL_CAPACITY, INITIAL_CAPACITY.max(self.capacity));
                self.starts = copy_with_capacity(&self.starts, room);
            }
            self.starts.push(start);
        } else {
            self.starts[slot] = start;
        }
        if let Some(tree) = &mut self.tree {
            tree.set(slot, self.max_priority);
        }
        self.next_slot = (slot + 1) % self.capacity;
    }

    /// Stratified proportional sampling of `batch` windows into `sample` (reused): row i is
    /// drawn from the i-th of `batch` equal shares of the sum of priorities. Panics if the replay
    /// is empty.
    pub fn sample(&self, batch: usize, beta: f64, rng: &mut ChaCha8Rng, sample: &mut Sample) {
        assert!(!self.is_empty(), "nothing was stored yet");
        sample.slots.clear();
        sample.starts.clear();
        sample.weights.clear();
        let shares = (0..batch).map(|row| (row as f64 + rng.random::<f64>()) / batch as f64);
        match &self.tree {
            Some(tree) => {
                sample.descents.clear();
                let total = tree.total();
                sample.descents.extend(shares.map(|share| Descent::new(share * total)));
                tree.find_all(&mut sample.descents);
                sample.slots.extend(sample.descents.iter().map(|found| found.slot() as u32));
            }
            None => {
                let last = self.len() - 1;
                let slot = |share: f64| ((share * self.len() as f64) as usize).min(last) as u32;
                sample.slots.extend(shares.map(slot));
            }
        }
        sample.starts.extend(sample.slots.iter().map(|&slot| self.starts[slot as usize]));
        match &self.tree {
            Some(tree) => importance_weights(tree, &sample.slots, beta, &mut sample.weights),
            None => sample.weights.resize(batch, 1.0),
        }
    }

    /// Sets the priority of each sampled slot to (|TD error| + epsilon)^alpha; a slot sampled twice
    /// takes its last value. An error that is not finite is ignored here: its gradient stops the
    /// run.
    pub fn update_priorities(&mut self, slots: &[u32], td_errors: &[f32]) {
        assert_eq!(slots.len(), td_errors.len());
        let Some(tree) = &mut self.tree else { return };
        let filled = self.starts.len();
        tree.set_all(slots, |i| {
            assert!((slots[i] as usize) < filled, "slot {} was never filled", slots[i]);
            if !td_errors[i].is_finite() {
                return None;
            }
            let abs_error = td_errors[i].abs() + PRIORITY_EPSILON;
            let priority = f64::from(abs_error.powf(self.alpha as f32));
            self.max_priority = self.max_priority.max(priority);
            Some(priority)
        });
    }
}

/// w_i = (N P(i))^-beta / max_j w_j. Schaul et al. (2016), section 3.4, with the maximum over the
/// batch. N and the sum of priorities occur in every w and cancel, which leaves (p_min / p_i)^beta.
fn importance_weights(tree: &SumTree, slots: &[u32], beta: f64, weights: &mut Vec<f32>) {
    let priority = |&slot: &u32| tree.priority(slot as usize);
    let smallest = slots.iter().map(priority).fold(f64::INFINITY, f64::min);
    let weight = |slot| ((smallest / priority(slot)) as f32).powf(beta as f32);
    weights.extend(slots.iter().map(weight));
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// A replay with one window per entry and these |TD errors|.
    fn replay_of(td_errors: &[f32], alpha: f64) -> Replay {
        let mut replay = Replay::new(td_errors.len(), alpha);
        (0..td_errors.len()).for_each(|t| replay.push(t as u32));
        let slots: Vec<u32> = (0..td_errors.len() as u32).collect();
        replay.update_priorities(&slots, td_errors);
        replay
    }

    fn leaf(replay: &Replay, slot: usize) -> f64 {
        replay.tree.as_ref().expect("prioritized").priority(slot)
    }

    /// How often each slot is drawn in `batches` batches of `batch`.
    fn counts(replay: &Replay, batch: usize, batches: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut sample = Sample::default();
        let mut counts = vec![0.0; replay.len()];
        for _ in 0..batches {
            replay.sample(batch, 0.4, &mut rng, &mut sample);
            sample.slots.iter().for_each(|&slot| counts[slot as usize] += 1.0);
        }
        counts
    }

    fn chi_square(observed: &[f64], expected: impl Fn(usize) -> f64) -> f64 {
        let term = |(i, count): (usize, &f64)| (count - expected(i)).powi(2) / expected(i);
        observed.iter().enumerate().map(term).sum()
    }

    #[test]
    fn the_oldest_is_overwritten_when_full() {
        let mut replay = Replay::new(4, 0.6);
        (0..10).for_each(|t| replay.push(t));
        assert_eq!(replay.starts, [8, 9, 6, 7]);
        assert_eq!(replay.len(), 4);
        assert_eq!(replay.tree.as_ref().expect("prioritized").total(), 4.0);
    }

    #[test]
    fn a_new_window_has_the_largest_priority_so_far() {
        let mut replay = Replay::new(8, 0.5);
        (0..3).for_each(|t| replay.push(t));
        assert_eq!(leaf(&replay, 2), 1.0);
        replay.update_priorities(&[0, 1], &[-8.999_999, 0.25]);
        assert!((leaf(&replay, 0) - 3.0).abs() < 1e-6, "(|-9|)^0.5");
        assert!((leaf(&replay, 1) - 0.500_001).abs() < 1e-7, "(0.25 + 1e-6)^0.5");
        replay.update_priorities(&[0], &[0.0]);
        replay.push(3);
        assert!((leaf(&replay, 3) - 3.0).abs() < 1e-6, "the largest so far, not the largest now");
        assert!((leaf(&replay, 0) - 1e-3).abs() < 1e-9, "(0 + 1e-6)^0.5: rare, not impossible");
    }

    #[test]
    fn a_slot_sampled_twice_takes_its_last_value() {
        let mut replay = replay_of(&[1.0, 1.0], 1.0);
        replay.update_priorities(&[1, 0, 1], &[7.0, 2.0, 3.0]);
        assert!((leaf(&replay, 0) - 2.0).abs() < 2e-6);
        assert!((leaf(&replay, 1) - 3.0).abs() < 2e-6);
        replay.update_priorities(&[0, 1], &[f32::NAN, f32::INFINITY]);
        assert!((leaf(&replay, 0) - 2.0).abs() < 2e-6);
        assert!((leaf(&replay, 1) - 3.0).abs() < 2e-6);
    }

    /// Priorities 1, 4 and 16 with a sum of 21 and beta 0.5: (3 * 1/21)^-0.5 = 2.6458, (3 *
    /// 4/21)^-0.5 = 1.3229, (3 * 16/21)^-0.5 = 0.6614; divided by the largest, 1, 0.5 and 0.25.
    #[test]
    fn weights_are_those_of_the_paper() {
        let replay = replay_of(&[1.0, 4.0, 16.0], 1.0);
        let mut sample = Sample::default();
        replay.sample(42, 0.5, &mut ChaCha8Rng::seed_from_u64(5), &mut sample);
        assert_eq!((sample.slots.len(), sample.starts.len()), (42, 42));
        let by_slot = [1.0, 0.5, 0.25];
        for (row, &slot) in sample.slots.iter().enumerate() {
            assert!((sample.weights[row] - by_slot[slot as usize]).abs() < 1e-6);
            assert_eq!(sample.starts[row], slot);
        }
        // 42 strata over shares of 2, 8 and 32 strata: each is met exactly, up to the epsilon in
        // the priorities.
        assert_eq!(sample.slots.iter().filter(|&&slot| slot == 0).count(), 2);
        assert_eq!(sample.slots.iter().filter(|&&slot| slot == 1).count(), 8);

        replay.sample(42, 0.0, &mut ChaCha8Rng::seed_from_u64(5), &mut sample);
        assert!(sample.weights.iter().all(|&weight| weight == 1.0), "beta 0 corrects nothing");
    }

    #[test]
    fn frequencies_follow_priorities() {
        let td_errors = [0.1, 0.5, 1.0, 2.0, 0.3, 4.0, 8.0, 0.05];
        let replay = replay_of(&td_errors, 0.6);
        let powers = td_errors.map(|error: f32| (f64::from(error) + 1e-6).powf(0.6));
        let total: f64 = powers.iter().sum();
        let draws = 80_000.0;
        let expected = |slot: usize| draws * powers[slot] / total;
        // Batches of one are independent draws: chi-square with 7 degrees of freedom, 24.3 at 0.1
        // %.
        assert!(chi_square(&counts(&replay, 1, 80_000, 6), expected) < 24.3);
        // Stratification can only reduce the deviation.
        assert!(chi_square(&counts(&replay, 64, 1_250, 7), expected) < 24.3);
        let inverted = |slot: usize| expected(7 - slot);
        assert!(chi_square(&counts(&replay, 1, 80_000, 6), inverted) > 1_000.0);
    }

    #[test]
    fn alpha_zero_is_uniform_and_has_no_tree() {
        let replay = replay_of(&[0.1, 0.5, 1.0, 2.0, 0.3, 4.0, 8.0, 0.05], 0.0);
        assert!(replay.tree.is_none());
        assert!(chi_square(&counts(&replay, 1, 80_000, 8), |_| 10_000.0) < 24.3);
        let mut sample = Sample::default();
        replay.sample(3, 1.0, &mut ChaCha8Rng::seed_from_u64(9), &mut sample);
        assert_eq!(sample.weights, [1.0; 3]);
    }

    #[test]
    fn the_same_seed_draws_the_same_bits() {
        let run = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut replay = Replay::new(100, 0.6);
            let mut sample = Sample::default();
            let mut drawn = Vec::new();
            for t in 0..300 {
                replay.push(t);
                replay.sample(16, 0.4, &mut rng, &mut sample);
                drawn.extend(
                    sample.slots.iter().zip(&sample.weights).map(|(s, w)| (*s, w.to_bits())),
                );
                let errors: Vec<f32> = sample.slots.iter().map(|&s| s as f32 / 7.0).collect();
                replay.update_priorities(&sample.slots, &errors);
            }
            drawn
        };
        assert_eq!(run(10), run(10));
        assert_ne!(run(10), run(11));
    }

    #[test]
    #[should_panic(expected = "nothing was stored")]
    fn an_empty_replay_has_nothing_to_sample() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        Replay::new(4, 0.6).sample(1, 0.4, &mut rng, &mut Sample::default());
    }
}
