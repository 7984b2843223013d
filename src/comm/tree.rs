//! A sum over stocks whose order of additions depends on the stocks alone: a binary tree over stock
//! indices. A rank adds the siblings that it holds and passes on the remaining nodes, so the sum is
//! bit-identical for any number of ranks and any assignment of stocks to ranks.
//!
//! ```text
//!         0..8                 five stocks: leaf 4 is also node 4..8, which has no other leaf
//!     0..4      4..8
//!   0..2  2..4   |
//!   0  1  2  3   4
//! ```

use crate::compute::simd_dispatch::wide;
use crate::compute::threads::run_parallel;

/// Node of the tree: the stocks `first..first + 2^level` that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Index of the first stock.
    pub first: usize,
    /// 0 for a leaf; each level doubles the number of stocks.
    pub level: u32,
}

impl Node {
    /// The leaf of one stock.
    pub fn leaf(stock: usize) -> Node {
        Node { first: stock, level: 0 }
    }

    fn width(self) -> usize {
        1 << self.level
    }

    /// The highest ancestor that covers the same stocks: an only child is raised to its parent.
    fn raised(mut self, stocks: usize) -> Node {
        while self.first + self.width() >= stocks
            && self.first != 0
            && self.first.is_multiple_of(2 * self.width())
        {
            self.level += 1;
        }
        self
    }

    /// The parent of this node and `right`; None if they are not siblings.
    fn joined(self, right: Node) -> Option<Node> {
        let is_left = self.first.is_multiple_of(2 * self.width());
        let are_siblings = self.level == right.level && right.first == self.first + self.width();
        (is_left && are_siblings).then_some(Node { level: self.level + 1, ..self })
    }
}

/// The sum of a node's stocks.
pub struct PartialSum<'a> {
    /// Which stocks are in the sum.
    pub node: Node,
    /// The sum, one element per parameter; [`merge`] overwrites it.
    pub values: &'a mut [f32],
}

/// Elements that are summed over all parts at a time, to stay in the L1 cache.
const SLICE: usize = 2_048;

/// Adds siblings in place, in parallel over the thread pool. `parts` must be sorted by stock, out
/// of `stocks` in all. Returns the parts whose siblings are elsewhere; a single one if `parts`
/// cover all stocks.
pub fn merge<'a>(mut parts: Vec<PartialSum<'a>>, stocks: usize) -> Vec<PartialSum<'a>> {
    let (left, additions) = plan(parts.iter().map(|part| part.node), stocks);
    if rayon::current_num_threads() > 1 && !additions.is_empty() {
        let mut slices: Vec<Vec<&mut [f32]>> = Vec::new();
        for part in &mut parts {
            for (i, slice) in part.values.chunks_mut(SLICE).enumerate() {
                match slices.get_mut(i) {
                    Some(of_all) => of_all.push(slice),
                    None => slices.push(vec![slice]),
                }
            }
        }
        run_parallel(slices, |mut of_all| add_up(&mut of_all, &additions, 0..SLICE));
    } else {
        let mut all: Vec<&mut [f32]> = parts.iter_mut().map(|part| &mut *part.values).collect();
        let len = all.first().map_or(0, |values| values.len());
        for start in (0..len).step_by(SLICE) {
            add_up(&mut all, &additions, start..len.min(start + SLICE));
        }
    }
    let mut left = left.into_iter().peekable();
    let kept = parts.into_iter().enumerate().filter_map(|(i, part)| {
        let (node, _) = left.next_if(|&(_, index)| index == i)?;
        Some(PartialSum { node, ..part })
    });
    kept.collect()
}

/// The nodes that [`merge`] leaves of the `owned` stocks, out of `stocks` in all.
pub fn left_of(owned: impl Iterator<Item = usize>, stocks: usize) -> Vec<Node> {
    plan(owned.map(Node::leaf), stocks).0.into_iter().map(|(node, _)| node).collect()
}

/// The parts that are added, by their indices: to which, and which.
type Addition = (usize, usize);

/// The remaining nodes, each with the index of the part that holds its sum, and the additions in
/// order.
fn plan(nodes: impl Iterator<Item = Node>, stocks: usize) -> (Vec<(Node, usize)>, Vec<Addition>) {
    let (mut left, mut additions) = (Vec::<(Node, usize)>::new(), Vec::new());
    for (i, node) in nodes.enumerate() {
        let (mut node, mut at) = (node.raised(stocks), i);
        while let Some((parent, to)) =
            left.last().and_then(|&(before, to)| Some((before.joined(node)?, to)))
        {
            left.pop();
            additions.push((to, at));
            (node, at) = (parent.raised(stocks), to);
        }
        left.push((node, at));
    }
    (left, additions)
}

fn add_up(all: &mut [&mut [f32]], additions: &[Addition], range: std::ops::Range<usize>) {
    for &(to, from) in additions {
        let (before, after) = all.split_at_mut(from);
        let range = range.start..range.end.min(after[0].len());
        add(&after[0][range.clone()], &mut before[to][range]);
    }
}

wide! {
fn add(values: &[f32], sum: &mut [f32]) -> () {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values whose sum depends on the order of additions.
    fn values(stock: usize, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((stock * 31 + i * 7 + 1) as f32).sin() * 10f32.powi(stock as i32 % 5))
            .collect()
    }

    fn parts<'a>(blocks: &'a mut [Vec<f32>], owned: &[usize]) -> Vec<PartialSum<'a>> {
        let leaf = |(values, &stock): (&'a mut Vec<f32>, &usize)| PartialSum {
            node: Node::leaf(stock),
            values,
        };
        blocks.iter_mut().zip(owned).map(leaf).collect()
    }

    #[test]
    fn five_stocks_are_added_as_the_tree_says() {
        let mut blocks: Vec<Vec<f32>> = (0..5).map(|stock| values(stock, 3)).collect();
        let expected: Vec<f32> = (0..3)
            .map(|i| ((blocks[0][i] + blocks[1][i]) + (blocks[2][i] + blocks[3][i])) + blocks[4][i])
            .collect();
        let left = merge(parts(&mut blocks, &[0, 1, 2, 3, 4]), 5);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].values, expected);
    }

    #[test]
    fn nodes_without_a_sibling_remain() {
        let node = |first, level| Node { first, level };
        assert_eq!(left_of(2..7, 16), [node(2, 1), node(4, 1), node(6, 0)]);
        assert_eq!(left_of(2..7, 7), [node(2, 1), node(4, 2)]);
        assert_eq!(left_of([0, 2, 3].into_iter(), 4), [node(0, 0), node(2, 1)]);
        assert_eq!(left_of(0..1, 1), [node(0, 0)]);
        assert_eq!(left_of(0..0, 4), []);
        for stocks in 1..70 {
            assert_eq!(left_of(0..stocks, stocks).len(), 1, "{stocks}");
        }
    }

    /// For contiguous and round-robin assignments of stocks to ranks.
    #[test]
    fn the_sum_does_not_depend_on_who_holds_what() {
        const LEN: usize = SLICE + 5;
        for stocks in [1, 2, 3, 5, 8, 13] {
            let owned: Vec<usize> = (0..stocks).collect();
            let mut all: Vec<Vec<f32>> = owned.iter().map(|&stock| values(stock, LEN)).collect();
            let whole = merge(parts(&mut all, &owned), stocks)[0].values.to_vec();
            for ranks in 1..=stocks {
                for round_robin in [false, true] {
                    let of = |stock: usize| {
                        if round_robin { stock % ranks } else { stock * ranks / stocks }
                    };
                    let mut blocks: Vec<Vec<f32>> = owned.iter().map(|&s| values(s, LEN)).collect();
                    let mut held: Vec<Vec<PartialSum<'_>>> =
                        (0..ranks).map(|_| Vec::new()).collect();
                    for part in parts(&mut blocks, &owned) {
                        held[of(part.node.first)].push(part);
                    }
                    let mut merged: Vec<PartialSum<'_>> =
                        held.into_iter().flat_map(|parts| merge(parts, stocks)).collect();
                    merged.sort_by_key(|part| part.node.first);
                    let sum = merge(merged, stocks);
                    assert_eq!(sum.len(), 1, "{stocks} stocks, {ranks} ranks");
                    assert_eq!(
                        sum[0].values, whole,
                        "{stocks} stocks, {ranks} ranks, {round_robin}"
                    );
                }
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let sum = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut blocks: Vec<Vec<f32>> =
                (0..7).map(|stock| values(stock, 3 * SLICE + 9)).collect();
            let owned: Vec<usize> = (0..7).collect();
            pool.install(|| merge(parts(&mut blocks, &owned), 7)[0].values.to_vec())
        };
        assert_eq!(sum(1), sum(3));
    }
}
