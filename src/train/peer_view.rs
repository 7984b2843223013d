//! What a trained network makes of a stock's peers: the learned graph of relations.

use std::ops::Range;

use anyhow::Result;

use super::dataset::PreparedData;
use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::rl::agent::Agent;
use crate::rl::device::Device;
use crate::rl::engines::engine;
use crate::rl::network::NetworkShape;

/// Rows over which the means are taken.
const ROWS: usize = 1_024;

/// Rows of a panel of which at most so many are looked at, evenly spread.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    pub(crate) rows: Range<usize>,
    pub(crate) most: usize,
}

/// With more stocks than this, fewer rows of each are looked at, and the time does not grow further.
const MANY_STOCKS: usize = 20;
/// Rows from which a mean says something.
const FEW_ROWS: usize = 24;

/// How many of `most` rows are looked at for each of so many stocks.
pub(super) fn rows_for(most: usize, stocks: usize) -> usize {
    (most * MANY_STOCKS / stocks.max(MANY_STOCKS)).max(most.min(FEW_ROWS))
}

impl Sampling {
    /// As many rows as say enough of a whole period.
    pub(crate) fn of_period(data: &PreparedData) -> Sampling {
        Sampling { rows: data.note.rows.clone(), most: ROWS }
    }
}

/// Both `[stock][peer]`, None where the stock does not see the peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerView {
    /// Attention weight, mean over heads and time.
    pub attention: Vec<Vec<Option<f64>>>,
    /// By how much the peer moves the value of being long over being short, a return per bar: the
    /// mean absolute change when its features are set to their mean.
    pub influence: Vec<Vec<Option<f64>>>,
}

impl PeerView {
    /// On rank 0; empty on the others. Of a network of `shape` with `weights` at some rows of `data`;
    /// `agents` are those of this rank's stocks.
    pub(crate) fn gather(
        comm: &dyn Comm,
        data: &PreparedData,
        Sampling { rows, most }: Sampling,
        (shape, weights): (&NetworkShape, &[f32]),
        agents: &mut [(usize, &mut Agent)],
    ) -> Result<PeerView> {
        let stocks = shape.stocks;
        let fit = &data.note.fit;
        let nothing = vec![vec![None; stocks]; stocks];
        let mut view = PeerView { attention: nothing.clone(), influence: nothing };
        let per_stock = fit.peers.first().map_or(0, Vec::len);
        if per_stock == 0 || !shape.config.attention {
            return Ok(view);
        }
        let stride = rows.len().div_ceil(rows_for(most, stocks));
        let sampled: Vec<u32> = rows.step_by(stride).map(|row| row as u32).collect();
        let mut mine = Vec::new();
        let engine = engine(shape, weights, Device::Cpu)?;
        for (_, agent) in agents {
            mine.extend(agent.attention(&*engine, &data.panel, &sampled).unwrap_or_default());
            mine.extend(agent.influence(&*engine, &data.panel, &sampled).unwrap_or_default());
        }
        let ranks = Ranks { stocks, size: comm.size() };
        let width = 2 * per_stock;
        let all = if comm.is_root() { stocks * width } else { 0 };
        let mut by_stock = vec![0.0; all];
        let stamp = MessageStamp { tag: Tag::Attention, time: 0 };
        comm.gather(stamp, &mine, &ranks.counts(width), &mut by_stock)?;
        if !comm.is_root() {
            return Ok(PeerView::default());
        }
        for (stock, numbers) in by_stock.chunks_exact(width).enumerate() {
            let return_std = f64::from(fit.scaler.return_std[stock]);
            let (attention, influence) = numbers.split_at(per_stock);
            for (&peer, (&weight, &moved)) in
                fit.peers[stock].iter().zip(attention.iter().zip(influence))
            {
                view.attention[stock][peer] = Some(f64::from(weight));
                view.influence[stock][peer] = Some(f64::from(moved) * return_std);
            }
        }
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stocks_have_fewer_rows_each() {
        let found = [1, 20, 40, 500, 5_000].map(|stocks| rows_for(1_024, stocks));
        assert_eq!(found, [1_024, 1_024, 512, 40, 24]);
        assert_eq!(rows_for(10, 500), 10);
    }
}
