//! Messages of the loop: one block per stock.

use anyhow::Result;

use crate::comm::{Comm, MessageStamp, Ranks};

/// Messages, reused from bar to bar: `mine` holds this rank's stocks, and `all` those of all ranks
/// in order, on rank 0.
pub(super) struct StockBuffer {
    pub(super) per_stock: usize,
    counts: Vec<usize>,
    pub(super) mine: Vec<f32>,
    pub(super) all: Vec<f32>,
}

impl StockBuffer {
    pub(super) fn new(per_stock: usize, ranks: Ranks, rank: usize) -> StockBuffer {
        let all = if rank == 0 { per_stock * ranks.stocks } else { 0 };
        StockBuffer {
            per_stock,
            counts: ranks.counts(per_stock),
            mine: vec![0.0; ranks.owned(rank).len() * per_stock],
            all: vec![0.0; all],
        }
    }

    pub(super) fn gather(&mut self, comm: &dyn Comm, stamp: MessageStamp) -> Result<()> {
        Ok(comm.gather(stamp, &self.mine, &self.counts, &mut self.all)?)
    }

    pub(super) fn scatter(&mut self, comm: &dyn Comm, stamp: MessageStamp) -> Result<()> {
        Ok(comm.scatter(stamp, &self.all, &self.counts, &mut self.mine)?)
    }
}
