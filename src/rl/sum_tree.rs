//! A sum tree over priorities: proportional sampling in logarithmic time. Schaul et al. (2016),
//! appendix B.2.1.

use serde::{Deserialize, Serialize};

/// A complete binary tree in one array: node 1 is the root, the children of node i are 2i and 2i +
/// 1, and the leaves are the priorities by slot.
///
/// Every inner node is the sum of its two children as they are now, never its old value plus a
/// difference, so a tree depends on its leaves alone and cannot drift, whatever happened to it
/// before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SumTree {
    /// `2 * capacity` nodes; node 0 is unused.
    nodes: Vec<f64>,
}

impl Default for SumTree {
    fn default() -> SumTree {
        SumTree { nodes: vec![0.0; 2] }
    }
}

impl SumTree {
    /// Slots there is room for: a power of two. [`SumTree::set`] makes more.
    pub fn capacity(&self) -> usize {
        self.nodes.len() / 2
    }

    /// Sum of all priorities.
    pub fn total(&self) -> f64 {
        self.nodes[1]
    }

    /// The priority of a slot; 0 where none was set.
    pub fn priority(&self, slot: usize) -> f64 {
        if slot < self.capacity() { self.nodes[self.capacity() + slot] } else { 0.0 }
    }

    /// Panics unless `priority` is finite and not negative.
    pub fn set(&mut self, slot: usize, priority: f64) {
        assert!(priority.is_finite() && priority >= 0.0, "a priority cannot be {priority}");
        if slot >= self.capacity() {
            self.grow(slot + 1);
        }
        let mut node = self.capacity() + slot;
        self.nodes[node] = priority;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    /// The slot in whose share of `[0, total)` the number `prefix` falls: the first whose priority,
    /// added to all before it, exceeds `prefix`. A slot of priority 0 is never found, not even
    /// where rounding carried `prefix` up to the total. Panics when all priorities are 0 or
    /// `prefix` is negative.
    pub fn find(&self, prefix: f64) -> usize {
        assert!(self.total() > 0.0, "nothing can be drawn when all priorities are 0");
        assert!(prefix >= 0.0, "a prefix sum cannot be {prefix}");
        let mut rest = prefix;
        let mut node = 1;
        while node < self.capacity() {
            let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
            // The sum of this node is positive, so one child is. A left child of 0 fails the strict
            // comparison; a right child of 0, which only a rounded `rest` could lead to, is ruled
            // out by name.
            if rest < left || right == 0.0 {
                node *= 2;
            } else {
                rest -= left;
                node = 2 * node + 1;
            }
        }
        node - self.capacity()
    }

    fn grow(&mut self, slots: usize) {
        let old = self.capacity();
        let capacity = slots.next_power_of_two();
        let mut nodes = vec![0.0; 2 * capacity];
        nodes[capacity..capacity + old].copy_from_slice(&self.nodes[old..]);
        for node in (1..capacity).rev() {
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1];
        }
        self.nodes = nodes;
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Says the same by adding up from the left.
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
        assert_eq!(tree.capacity(), 8);
        assert_eq!(tree.total(), 3.5);
        let shares = [(0.0, 0), (0.99, 0), (1.0, 2), (2.99, 2), (3.0, 3), (3.49, 3)];
        for (prefix, slot) in shares {
            assert_eq!(tree.find(prefix), slot, "{prefix}");
        }
        assert_eq!(tree.priority(2), 2.0);
        assert_eq!(tree.priority(4_000), 0.0);
    }

    /// Whole numbers below 2^53 add without rounding, so tree and oracle must agree exactly.
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

    /// Sums nudged by differences would be off after a million changes over sixteen orders of
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
