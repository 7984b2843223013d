//! Messages of the loop: one block per stock, by rank while they travel and by stock where they are
//! read.

use anyhow::Result;

use crate::dist::ranks::{to_gathered_order, to_stock_order};
use crate::dist::{Comm, Ranks, Stamp};

/// Messages, reused from bar to bar. `mine` holds this rank's stocks, `gathered` all of them by
/// rank, `by_stock` all in the order of the stocks.
pub(super) struct Buffer {
    pub(super) per_stock: usize,
    counts: Vec<usize>,
    pub(super) mine: Vec<f32>,
    gathered: Vec<f32>,
    pub(super) by_stock: Vec<f32>,
}

impl Buffer {
    pub(super) fn new(per_stock: usize, ranks: Ranks, rank: usize) -> Buffer {
        let all = if rank == 0 { per_stock * ranks.stocks } else { 0 };
        Buffer {
            per_stock,
            counts: ranks.counts(per_stock),
            mine: vec![0.0; ranks.owned(rank).len() * per_stock],
            gathered: vec![0.0; all],
            by_stock: vec![0.0; all],
        }
    }

    pub(super) fn gather(&mut self, comm: &dyn Comm, stamp: Stamp, order: &[usize]) -> Result<()> {
        comm.gather(stamp, &self.mine, &self.counts, &mut self.gathered)?;
        if comm.is_root() {
            to_stock_order(&self.gathered, order, self.per_stock, &mut self.by_stock);
        }
        Ok(())
    }

    pub(super) fn scatter(&mut self, comm: &dyn Comm, stamp: Stamp, order: &[usize]) -> Result<()> {
        if comm.is_root() {
            to_gathered_order(&self.by_stock, order, self.per_stock, &mut self.gathered);
        }
        Ok(comm.scatter(stamp, &self.gathered, &self.counts, &mut self.mine)?)
    }
}
