//! A sum tree over priorities: proportional sampling in logarithmic time. Schaul et al. (2016),
//! appendix B.2.1.

use serde::{Deserialize, Serialize};

use crate::compute::huge_pages::copy_with_capacity;

/// Children per node: their sums fill two cache lines, and a million priorities need five levels,
/// where a binary tree needs twenty.
const FAN: usize = 16;

/// Every inner node is recomputed as the sum of its [`FAN`] children, never adjusted by a
/// difference, so the tree depends on the current priorities alone and cannot drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SumTree {
    /// Priorities by slot first, then sums of 16, of 256 and so on. A level's length is a multiple
    /// of [`FAN`], that of the last is FAN.
    levels: Vec<Vec<f64>>,
    total: f64,
}

impl Default for SumTree {
    fn default() -> SumTree {
        SumTree { levels: vec![vec![0.0; FAN]], total: 0.0 }
    }
}

impl SumTree {
    /// Number of allocated slots. [`SumTree::set`] allocates more.
    pub(crate) fn capacity(&self) -> usize {
        self.levels[0].len()
    }

    /// Sum of all priorities.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// The priority of a slot; 0 if none was set.
    pub(crate) fn priority(&self, slot: usize) -> f64 {
        self.levels[0].get(slot).copied().unwrap_or(0.0)
    }

    /// Sets the priority of a slot. Panics unless `priority` is finite and not negative.
    pub(crate) fn set(&mut self, slot: usize, priority: f64) {
        self.set_all(&[slot as u32], |_| Some(priority));
    }

    /// Sets every slot in `slots` to the result of `priority` for its index there; None leaves it
    /// unchanged. The sums are then recomputed; consecutive slots under the same node share one
    /// update.
    pub(crate) fn set_all(
        &mut self,
        slots: &[u32],
        mut priority: impl FnMut(usize) -> Option<f64>,
    ) {
        for (i, &slot) in slots.iter().enumerate() {
            let Some(priority) = priority(i) else { continue };
            assert!(priority.is_finite() && priority >= 0.0, "a priority cannot be {priority}");
            if slot as usize >= self.capacity() {
                self.grow(slot as usize + 1);
            }
            self.levels[0][slot as usize] = priority;
        }
        let mut share = FAN;
        for level in 1..self.levels.len() {
            let (below, above) = self.levels.split_at_mut(level);
            let (children, sums) = (&below[level - 1], &mut above[0]);
            let mut done = usize::MAX;
            for &slot in slots {
                let node = slot as usize / share;
                if node != done && node * FAN < children.len() {
                    sums[node] = sum(&children[node * FAN..][..FAN]);
                    done = node;
                }
            }
            share *= FAN;
        }
        self.total = sum(self.levels.last().expect("there is a level"));
    }

    /// The slot whose share of `[0, total)` contains `prefix`: the first at which the cumulative
    /// sum of priorities exceeds `prefix`. A slot of priority 0 is never found, even if rounding
    /// makes `prefix` equal to the total. Panics if all priorities are 0 or `prefix` is negative.
    #[cfg(test)]
    pub(crate) fn find(&self, prefix: f64) -> usize {
        let mut found = [Descent::new(prefix)];
        self.find_all(&mut found);
        found[0].slot()
    }

    /// The slot of each descent, as `SumTree::find` has it: level by level, so that memory latency overlaps, and
    /// consecutive descents through the same node share its prefix sums.
    pub(crate) fn find_all(&self, descents: &mut [Descent]) {
        assert!(self.total > 0.0, "nothing can be drawn when all priorities are 0");
        for number in (0..self.levels.len()).rev() {
            let below = number.checked_sub(1).map(|below| &self.levels[below]);
            let (mut sums, mut summed) = ([0.0; FAN], usize::MAX);
            for descent in &mut *descents {
                let children = &self.levels[number][descent.node * FAN..][..FAN];
                if descent.node != summed {
                    summed = descent.node;
                    sums = prefix_sums(children);
                }
                descent.step(children, &sums);
                if let Some(below) = below {
                    prefetch(&below[descent.node * FAN..][..FAN]);
                }
            }
        }
    }

    fn grow(&mut self, slots: usize) {
        let capacity = slots.next_power_of_two().max(FAN);
        self.levels[0] = copy_with_capacity(&self.levels[0], capacity);
        self.levels[0].resize(capacity, 0.0);
        self.levels.truncate(1);
        while let Some(last) = self.levels.last().filter(|last| last.len() > FAN) {
            let mut sums: Vec<f64> = last.chunks_exact(FAN).map(sum).collect();
            sums.resize(sums.len().next_multiple_of(FAN), 0.0);
            self.levels.push(sums);
        }
        self.total = sum(self.levels.last().expect("there is a level"));
    }
}

/// A descent from the root to a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Descent {
    /// The rest of the prefix sum within the node.
    rest: f64,
    node: usize,
}

impl Descent {
    pub(crate) fn new(prefix: f64) -> Descent {
        assert!(prefix >= 0.0, "a prefix sum cannot be {prefix}");
        Descent { rest: prefix, node: 0 }
    }

    /// The slot that was found.
    pub(crate) fn slot(&self) -> usize {
        self.node
    }

    /// Descends to one of the node's children. Branch-free, because the choice is unpredictable.
    fn step(&mut self, children: &[f64], sums: &[f64; FAN]) {
        let mut found: usize = sums.iter().map(|&sum| usize::from(sum <= self.rest)).sum();
        self.rest -= if found > 0 { sums[found - 1] } else { 0.0 };
        if found == FAN {
            // Sums are rounded: the excess belongs to the last child with a share.
            found = children.iter().rposition(|&sum| sum > 0.0).expect("a sum above 0");
            self.rest = children[found];
        }
        self.node = self.node * FAN + found;
    }
}

/// Inclusive prefix sums of the children.
fn prefix_sums(children: &[f64]) -> [f64; FAN] {
    let (mut sums, mut sum) = ([0.0; FAN], 0.0);
    for (to, &child) in sums.iter_mut().zip(children) {
        sum += child;
        *to = sum;
    }
    sums
}

/// Prefetches memory that is read soon.
fn prefetch(children: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    for line in children.chunks(8) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint with a readable address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = children;
}

/// In four partial sums, so that the order of addition is fixed and the sums are computed in
/// parallel.
fn sum(values: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    for four in values.as_chunks::<4>().0 {
        for (sum, value) in sums.iter_mut().zip(four) {
            *sum += value;
        }
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// An oracle that adds from the left.
    #[derive(Default)]
    struct NaiveSumTree(Vec<f64>);

    impl NaiveSumTree {
        fn set(&mut self, slot: usize, priority: f64) {
            self.0.resize(self.0.len().max(slot + 1), 0.0);
            self.0[slot] = priority;
        }

        fn total(&self) -> f64 {
            self.0.iter().sum()
        }

        fn find(&self, prefix: f64) -> usize {
            let mut sum = 0.0;
            let found = self.0.iter().position(|priority| {
                sum += priority;
                prefix < sum
            });
            found.expect("the prefix is below the total")
        }
    }

    fn tree_of(priorities: &[f64]) -> SumTree {
        let mut tree = SumTree::default();
        for (slot, &priority) in priorities.iter().enumerate() {
            tree.set(slot, priority);
        }
        tree
    }

    #[test]
    fn each_slot_owns_its_share_of_the_total() {
        let tree = tree_of(&[1.0, 0.0, 2.0, 0.5, 0.0]);
        assert_eq!(tree.capacity(), 16);
        assert_eq!(tree.total(), 3.5);
        let shares = [(0.0, 0), (0.99, 0), (1.0, 2), (2.99, 2), (3.0, 3), (3.49, 3)];
        for (prefix, slot) in shares {
            assert_eq!(tree.find(prefix), slot, "{prefix}");
        }
        assert_eq!(tree.priority(2), 2.0);
        assert_eq!(tree.priority(4_000), 0.0);
    }

    /// Integers below 2^53 are added without rounding, so tree and oracle must agree exactly.
    #[test]
    fn agrees_with_the_naive_tree_through_random_operations() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut tree, mut naive) = (SumTree::default(), NaiveSumTree::default());
        for operation in 0..20_000 {
            let slots = 1 + operation / 100;
            let zero = rng.random_bool(0.3);
            let priority = if zero { 0.0 } else { f64::from(rng.random_range(1..1_000_000)) };
            let slot = rng.random_range(0..slots);
            tree.set(slot, priority);
            naive.set(slot, priority);
            assert_eq!(tree.total(), naive.total());
            if tree.total() > 0.0 {
                let prefix = rng.random::<f64>() * tree.total();
                assert_eq!(tree.find(prefix), naive.find(prefix));
                let border = prefix.floor();
                assert_eq!(tree.find(border), naive.find(border));
            }
        }
        assert_eq!(tree.capacity(), 256);
    }

    #[test]
    fn many_set_at_once_are_as_if_set_one_by_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (mut one_by_one, mut at_once) = (tree_of(&[1.0; 700]), tree_of(&[1.0; 700]));
        for _ in 0..100 {
            let slots: Vec<u32> = (0..20).map(|_| rng.random_range(0..1_500)).collect();
            let new: Vec<Option<f64>> =
                (0..20).map(|_| rng.random_bool(0.8).then(|| rng.random::<f64>())).collect();
            at_once.set_all(&slots, |i| new[i]);
            for (&slot, new) in slots.iter().zip(&new) {
                if let &Some(new) = new {
                    one_by_one.set(slot as usize, new);
                }
            }
            assert_eq!(one_by_one, at_once);
        }
    }

    #[test]
    fn a_slot_of_priority_zero_is_never_drawn() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..300 {
            let mut tree = SumTree::default();
            for slot in 0..rng.random_range(1..40) {
                let magnitude = 10f64.powi(rng.random_range(-18..18));
                let priority =
                    if rng.random_bool(0.7) { 0.0 } else { magnitude * rng.random::<f64>() };
                tree.set(slot, priority);
            }
            if tree.total() == 0.0 {
                continue;
            }
            let below = tree.total().next_down();
            for prefix in [0.0, below, tree.total(), 2.0 * tree.total()] {
                assert!(tree.priority(tree.find(prefix)) > 0.0);
            }
            for _ in 0..100 {
                let slot = tree.find(rng.random::<f64>() * tree.total());
                assert!(tree.priority(slot) > 0.0);
            }
        }
    }

    /// Sums adjusted by differences would drift over a million changes across sixteen orders of
    /// magnitude.
    #[test]
    fn a_long_run_leaves_no_drift() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut tree = SumTree::default();
        for _ in 0..1_000_000 {
            let magnitude = 10f64.powi(rng.random_range(-8..8));
            tree.set(rng.random_range(0..500), magnitude * rng.random::<f64>());
        }
        let leaves: Vec<f64> = (0..500).map(|slot| tree.priority(slot)).collect();
        assert_eq!(tree, tree_of(&leaves));
        for slot in 0..500 {
            tree.set(slot, 0.0);
        }
        assert_eq!(tree.total(), 0.0);
    }

    #[test]
    #[should_panic(expected = "all priorities are 0")]
    fn an_empty_tree_has_nothing_to_draw() {
        SumTree::default().find(0.0);
    }

    #[test]
    #[should_panic(expected = "cannot be NaN")]
    fn a_priority_is_a_number() {
        SumTree::default().set(0, f64::NAN);
    }
}
