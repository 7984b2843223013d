//! What a run begins with, as its settings and data make it: the shape of its network, its desk, and
//! how the rules of the meta-policy stand.

use anyhow::Result;

use super::dataset::Prepared;
use crate::config::{NetworkConfig, RunConfig};
use crate::interface::ActionSet;
use crate::portfolio::desk::Desk;
use crate::portfolio::meta_policy::{CapitalPlan, MetaPolicy, Standing};
use crate::rl::agent::PRIVATE_FEATURES;
use crate::rl::network::NetworkShape;
use crate::train::worker::Lanes;

/// How the rules of the meta-policy stand after the training period; None where there is none.
pub fn rules_after(config: &RunConfig, train: &Prepared) -> Result<Option<Standing>> {
    let relations = &train.note.fit.relations;
    let Some(meta) = MetaPolicy::of(config, &train.panel, &relations.correlation)? else {
        return Ok(None);
    };
    let capital = CapitalPlan::of(&train.panel, config.stocks.len(), &config.portfolio);
    let rows = &train.note.rows;
    Ok(meta.standings(&train.panel, rows.start, &[rows.end], &capital).pop())
}

/// The desk of all lanes, and how the rules of its meta-policy stand after the last.
pub(super) fn desk(
    config: &RunConfig,
    train: &Prepared,
    plan: Lanes,
) -> Result<(Desk, Option<Standing>)> {
    let meta = MetaPolicy::of(config, &train.panel, &train.note.fit.relations.correlation)?;
    let capital = CapitalPlan::of(&train.panel, config.stocks.len(), &config.portfolio);
    let lanes = (0..plan.count).map(|lane| plan.row(lane, 0));
    let starts: Vec<usize> = lanes.chain([train.note.rows.end]).collect();
    let standings = match &meta {
        Some(meta) => meta.standings(&train.panel, train.note.rows.start, &starts, &capital),
        None => Vec::new(),
    };
    let desk = Desk::new(plan.count, capital, &config.portfolio, train.limits(config));
    Ok((desk.with(meta, &standings), standings.last().cloned()))
}

/// The peers that the network is shown: none without attention. Features that relate stocks keep
/// theirs.
pub fn network_peers(config: &NetworkConfig, peers: &[Vec<usize>]) -> Vec<Vec<usize>> {
    if config.attention { peers.to_vec() } else { vec![Vec::new(); peers.len()] }
}

/// The network of a run, as its data make it.
pub fn network_shape(config: &RunConfig, train: &Prepared) -> NetworkShape {
    NetworkShape {
        stocks: config.stocks.len(),
        features: train.panel.feature_names().len(),
        privates: PRIVATE_FEATURES,
        actions: ActionSet::new(config.env.long_only).len(),
        config: config.network.clone(),
        peers: network_peers(&config.network, &train.note.fit.peers),
    }
}
