//! Which rank works for which stocks.

use std::fmt::Display;
use std::ops::Range;

/// Stocks of a rank that are named before "and so many more".
const NAMED_STOCKS: usize = 4;

/// `stocks` dealt to the worker ranks in order, to each as many in a row, give or take one. With one
/// rank, rank 0 does everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    pub stocks: usize,
    pub size: usize,
}

impl Ranks {
    /// Worker ranks, in order.
    fn workers(&self) -> Range<usize> {
        if self.size == 1 { 0..1 } else { 1..self.size }
    }

    /// The stocks of a rank.
    pub fn owned(&self, rank: usize) -> Range<usize> {
        let workers = self.workers();
        if !workers.contains(&rank) {
            return 0..0;
        }
        let first = |worker: usize| worker * self.stocks / workers.len();
        first(rank - workers.start)..first(rank - workers.start + 1)
    }

    /// The most stocks that a rank has.
    pub fn most_owned(&self) -> usize {
        self.stocks.div_ceil(self.workers().len())
    }

    /// What a rank is called when something is to be said of it.
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

    /// Elements that each rank sends when every stock has `per_stock`.
    pub fn counts(&self, per_stock: usize) -> Vec<usize> {
        (0..self.size).map(|rank| self.owned(rank).len() * per_stock).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stocks_are_dealt_in_rows_to_the_ranks_after_the_server() {
        let ranks = Ranks { stocks: 5, size: 3 };
        assert_eq!([0, 1, 2].map(|rank| ranks.owned(rank)), [0..0, 0..2, 2..5]);
        assert_eq!((ranks.counts(2), ranks.most_owned()), (vec![0, 4, 6], 3));
        assert_eq!(Ranks { stocks: 3, size: 1 }.owned(0), 0..3);
        for size in 2..9 {
            let ranks = Ranks { stocks: 8, size };
            let dealt: Vec<usize> = (0..size).flat_map(|rank| ranks.owned(rank)).collect();
            assert_eq!(dealt, (0..8).collect::<Vec<_>>());
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
