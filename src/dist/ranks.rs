//! Which rank works for which stocks.

use crate::market::Symbol;

/// Stocks of a rank that are named before "and so many more".
const NAMED_STOCKS: usize = 4;

/// `stocks` dealt round robin to the worker ranks. With one rank, rank 0 does everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    pub stocks: usize,
    pub size: usize,
}

impl Ranks {
    /// Worker ranks, in order.
    fn workers(&self) -> std::ops::Range<usize> {
        if self.size == 1 { 0..1 } else { 1..self.size }
    }

    /// The stocks of a rank, ascending.
    pub fn owned(&self, rank: usize) -> Vec<usize> {
        let workers = self.workers();
        if !workers.contains(&rank) {
            return Vec::new();
        }
        (rank - workers.start..self.stocks).step_by(workers.len()).collect()
    }

    /// What a rank is called when something is to be said of it.
    pub fn name(&self, rank: usize, symbols: &[Symbol]) -> String {
        let owned = self.owned(rank);
        let named: Vec<&str> =
            owned.iter().take(NAMED_STOCKS).map(|&stock| symbols[stock].as_str()).collect();
        match owned.len() - named.len() {
            _ if rank == 0 => "rank 0 (the parameter server)".into(),
            0 => format!("rank {rank} ({})", named.join(", ")),
            more => format!("rank {rank} ({} and {more} more)", named.join(", ")),
        }
    }

    /// Elements that each rank sends when every stock has `per_stock`.
    pub fn counts(&self, per_stock: usize) -> Vec<usize> {
        (0..self.size).map(|rank| self.owned(rank).len() * per_stock).collect()
    }

    /// The rank that works for a stock.
    pub fn owner(&self, stock: usize) -> usize {
        let workers = self.workers();
        workers.start + stock % workers.len()
    }

    /// Stocks in the order in which a gather lines them up.
    pub fn gathered_order(&self) -> Vec<usize> {
        (0..self.size).flat_map(|rank| self.owned(rank)).collect()
    }
}

/// Blocks of `per_stock` elements, from the order of a gather to the order of the stocks.
pub fn to_stock_order(gathered: &[f32], order: &[usize], per_stock: usize, by_stock: &mut [f32]) {
    for (block, &stock) in gathered.chunks_exact(per_stock).zip(order) {
        by_stock[stock * per_stock..][..per_stock].copy_from_slice(block);
    }
}

/// The reverse of [`to_stock_order`].
pub fn to_gathered_order(
    by_stock: &[f32],
    order: &[usize],
    per_stock: usize,
    gathered: &mut [f32],
) {
    for (block, &stock) in gathered.chunks_exact_mut(per_stock).zip(order) {
        block.copy_from_slice(&by_stock[stock * per_stock..][..per_stock]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stocks_are_dealt_round_robin_to_the_ranks_after_the_server() {
        let ranks = Ranks { stocks: 5, size: 3 };
        assert_eq!(ranks.owned(0), Vec::<usize>::new());
        assert_eq!(ranks.owned(1), [0, 2, 4]);
        assert_eq!(ranks.owned(2), [1, 3]);
        assert_eq!(ranks.counts(2), [0, 6, 4]);
        assert_eq!(ranks.gathered_order(), [0, 2, 4, 1, 3]);
        for stock in 0..5 {
            assert!(ranks.owned(ranks.owner(stock)).contains(&stock));
        }
        assert_eq!(Ranks { stocks: 3, size: 1 }.owned(0), [0, 1, 2]);
    }

    #[test]
    fn a_rank_is_named_by_its_stocks() {
        let symbols: Vec<Symbol> =
            ["A", "B", "C", "D", "E", "F"].map(|s| s.parse().unwrap()).into();
        let names = |size: usize, rank| Ranks { stocks: 6, size }.name(rank, &symbols);
        assert_eq!(names(4, 0), "rank 0 (the parameter server)");
        assert_eq!(names(4, 2), "rank 2 (B, E)");
        assert_eq!(names(2, 1), "rank 1 (A, B, C, D and 2 more)");
    }

    #[test]
    fn reordering_there_and_back_changes_nothing() {
        let order = Ranks { stocks: 5, size: 3 }.gathered_order();
        let by_stock: Vec<f32> = (0..10).map(|x| x as f32).collect();
        let mut gathered = vec![0.0; 10];
        to_gathered_order(&by_stock, &order, 2, &mut gathered);
        assert_eq!(gathered[2..4], [4.0, 5.0]);
        let mut back = vec![0.0; 10];
        to_stock_order(&gathered, &order, 2, &mut back);
        assert_eq!(back, by_stock);
    }
}
