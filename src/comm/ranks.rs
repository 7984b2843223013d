//! Assignment of stocks to ranks.

use std::fmt::Display;
use std::ops::Range;

/// Number of stocks that a rank's name lists before "and n more".
const NAMED_STOCKS: usize = 4;

/// Contiguous assignment of `stocks` to the worker ranks, in equal shares up to one stock. With
/// `size == 1`, rank 0 owns all stocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// Number of stocks of the run.
    pub stocks: usize,
    /// Number of ranks, rank 0 included.
    pub size: usize,
}

impl Ranks {
    /// Worker ranks in order.
    fn workers(&self) -> Range<usize> {
        if self.size == 1 { 0..1 } else { 1..self.size }
    }

    /// The stocks that `rank` owns; empty for the server.
    pub fn owned(&self, rank: usize) -> Range<usize> {
        let workers = self.workers();
        if !workers.contains(&rank) {
            return 0..0;
        }
        let first = |worker: usize| worker * self.stocks / workers.len();
        first(rank - workers.start)..first(rank - workers.start + 1)
    }

    /// The largest number of stocks that a rank owns.
    pub fn most_owned(&self) -> usize {
        self.stocks.div_ceil(self.workers().len())
    }

    /// The name of a rank in messages.
    pub fn name(&self, rank: usize, symbols: &[impl Display]) -> String {
        let owned = self.owned(rank);
        let named = owned.clone().take(NAMED_STOCKS);
        let named: Vec<String> = named.map(|stock| symbols[stock].to_string()).collect();
        match owned.len() - named.len() {
            _ if rank == 0 => "rank 0 (the parameter server)".into(),
            0 => format!("rank {rank} ({})", named.join(", ")),
            more => format!("rank {rank} ({} and {more} more)", named.join(", ")),
        }
    }

    /// Number of elements that each rank sends for `per_stock` elements per stock.
    pub fn counts(&self, per_stock: usize) -> Vec<usize> {
        (0..self.size).map(|rank| self.owned(rank).len() * per_stock).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stocks_are_assigned_contiguously_to_worker_ranks() {
        let ranks = Ranks { stocks: 5, size: 3 };
        assert_eq!([0, 1, 2].map(|rank| ranks.owned(rank)), [0..0, 0..2, 2..5]);
        assert_eq!((ranks.counts(2), ranks.most_owned()), (vec![0, 4, 6], 3));
        assert_eq!(Ranks { stocks: 3, size: 1 }.owned(0), 0..3);
        for size in 2..9 {
            let ranks = Ranks { stocks: 8, size };
            let assigned: Vec<usize> = (0..size).flat_map(|rank| ranks.owned(rank)).collect();
            assert_eq!(assigned, (0..8).collect::<Vec<_>>());
            assert!(
                (1..size).all(|rank| (1..=ranks.most_owned()).contains(&ranks.owned(rank).len()))
            );
        }
    }

    #[test]
    fn a_rank_is_named_by_its_stocks() {
        let symbols = ["A", "B", "C", "D", "E", "F"];
        let names = |size: usize, rank| Ranks { stocks: 6, size }.name(rank, &symbols);
        assert_eq!(names(4, 0), "rank 0 (the parameter server)");
        assert_eq!(names(4, 2), "rank 2 (C, D)");
        assert_eq!(names(2, 1), "rank 1 (A, B, C, D and 2 more)");
    }
}
