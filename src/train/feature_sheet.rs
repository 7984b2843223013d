//! `features.json`: what the inputs of `policy.pt` are and how its values become positions, for
//! programs that compute them elsewhere, as `python/dqn_trader.py` does.

use std::path::Path;

use serde::Serialize;

use super::dataset::PreparedData;
use super::model::Model;
use crate::config::{FeatureConfig, RunConfig};
use crate::env::costs::Costs;
use crate::features::pipeline::feature_names;
use crate::files::{Durability, write_whole};
use crate::market::Symbol;

/// Name of the file in a results folder.
pub(crate) const NAME: &str = "features.json";

#[derive(Serialize)]
struct FeatureSheet<'a> {
    stocks: &'a [Symbol],
    /// In the order of the network's inputs.
    names: Vec<String>,
    /// Per stock, nearest first: indices of `stocks`.
    peers: &'a [Vec<usize>],
    /// Length of a bar, minutes.
    bar_minutes: u32,
    /// Zone of the dates by which sessions are told apart.
    zone: String,
    /// Opening and close of a usual session, seconds after midnight in `zone`.
    session_s: [i64; 2],
    /// As in `config.toml`, with what depends on the length of bars settled.
    windows: FeatureConfig,
    scaler: ScalerSheet<'a>,
    belief: BeliefSheet<'a>,
    risk_aversion: f64,
    /// In the order of the network's outputs, fractions of a stock's capital.
    positions: &'a [f32],
    /// Of trading a stock's whole capital once, a fraction of it.
    cost: f64,
}

#[derive(Serialize)]
struct ScalerSheet<'a> {
    /// `[stock][feature]`.
    mean: Vec<&'a [f32]>,
    std: Vec<&'a [f32]>,
    /// `[stock]`: the unit of values.
    return_std: &'a [f32],
}

#[derive(Serialize)]
struct BeliefSheet<'a> {
    share: f32,
    drift: &'a [f32],
    /// Discount per bar.
    gamma: f64,
}

/// Writes the sheet of a model that was trained with these settings.
///
/// Errors: the file cannot be written.
pub(crate) fn write(
    path: &Path,
    config: &RunConfig,
    model: &Model,
    eval: &PreparedData,
) -> anyhow::Result<()> {
    let bar_minutes = eval.note.bar_minutes;
    let windows = config.features.for_bars(bar_minutes);
    let names = feature_names(&windows);
    let learner = config.learner.in_bars(bar_minutes);
    let scaler = &model.fit.scaler;
    let by_stock = |values| <[f32]>::chunks_exact(values, names.len()).collect();
    let (calendar, actions) = (config.data.calendar, config.env.action_set());
    let sheet = FeatureSheet {
        stocks: &config.stocks,
        peers: &model.fit.peers,
        bar_minutes,
        zone: calendar.zone().to_string(),
        session_s: calendar.hours(),
        scaler: ScalerSheet {
            mean: by_stock(&scaler.mean),
            std: by_stock(&scaler.std),
            return_std: &scaler.return_std,
        },
        belief: BeliefSheet {
            share: model.belief.share,
            drift: &model.belief.drift,
            gamma: learner.gamma,
        },
        risk_aversion: learner.risk_aversion,
        positions: actions.positions(),
        cost: Costs::new(&config.env).turnover_cost(),
        names,
        windows,
    };
    let text = serde_json::to_vec_pretty(&sheet)?;
    write_whole(path, Durability::Synced, |beside| std::fs::write(beside, &text))?;
    Ok(())
}
