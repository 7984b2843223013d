//! The graph of relations over time: what moves together, and what the network makes of it, in each
//! quarter of the training and evaluation periods.

use std::ops::Range;

use anyhow::Result;
use chrono::Datelike;

use super::dataset::PreparedData;
use super::peer_view::{PeerView, Sampling};
use crate::comm::Comm;
use crate::features::relations::{QuarterRelation, Relations};
use crate::market::calendar::market_date;
use crate::rl::agent::Agent;
use crate::rl::network::NetworkShape;

/// Rows of a quarter over which the network's means are taken.
const ROWS: usize = 128;

/// On rank 0, in the order of time, of stocks and of peers; empty on the others. Called on every
/// rank with the agents of its stocks. A quarter that begins in one period and ends in another is measured
/// in each.
pub(crate) fn gather(
    comm: &dyn Comm,
    periods: &[&PreparedData],
    network: (&NetworkShape, &[f32]),
    agents: &mut [(usize, &mut Agent)],
) -> Result<Vec<QuarterRelation>> {
    let mut relations = Vec::new();
    for &data in periods {
        let peers = data.note.fit.peers.iter().enumerate();
        let pairs: Vec<(usize, usize)> =
            peers.flat_map(|(stock, peers)| peers.iter().map(move |&peer| (stock, peer))).collect();
        for (quarter, rows) in quarters(data) {
            let measure = || Relations::of_pairs(&data.panel, rows.clone(), &pairs);
            let measured = comm.is_root().then(measure);
            let sampling = Sampling { rows, most: ROWS };
            let view = PeerView::gather(comm, data, sampling, network, agents)?;
            let Some(measured) = measured else { continue };
            let of_pair = |(&(stock, peer), [correlation, lead_lag]): (_, [Option<f64>; 2])| {
                let (stock, peer): (usize, usize) = (stock, peer);
                let (influence, attention) =
                    (view.influence[stock][peer], view.attention[stock][peer]);
                let quarter = quarter.clone();
                QuarterRelation {
                    quarter,
                    stock,
                    peer,
                    influence,
                    attention,
                    correlation,
                    lead_lag,
                }
            };
            relations.extend(pairs.iter().zip(measured).map(of_pair));
        }
    }
    Ok(relations)
}

/// The quarters of a period, and their rows.
fn quarters(data: &PreparedData) -> Vec<(String, Range<usize>)> {
    let name = |row: usize| {
        let date = market_date(data.panel.view(row).end_s());
        format!("{}Q{}", date.year(), date.month0() / 3 + 1)
    };
    let mut found: Vec<(String, Range<usize>)> = Vec::new();
    for row in data.note.rows.clone() {
        let now = name(row);
        match found.last_mut().filter(|(quarter, _)| *quarter == now) {
            Some((_, rows)) => rows.end = row + 1,
            None => found.push((now, row..row + 1)),
        }
    }
    found
}
