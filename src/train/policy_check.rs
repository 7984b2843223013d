//! Observations with the Q-values that libtorch gives them, so that whoever loads `policy.pt`
//! elsewhere can check that it gives the same.

use std::path::Path;

use anyhow::Result;

use super::dataset::PreparedData;
use super::model::Model;
use crate::interface::{ActionSet, PrivateState};
use crate::rl::agent::private_features;
use crate::rl::device::Device;
use crate::rl::libtorch::TorchEngine;
use crate::rl::policy::{Observations, write_check};

/// Observations written out.
const COUNT: usize = 64;

/// Writes observations spread over the evaluation period and the stocks, in every position that
/// `actions` allow.
pub(crate) fn write(
    path: &Path,
    model: &Model,
    actions: ActionSet,
    eval: &PreparedData,
) -> Result<()> {
    let stocks = model.shape.stocks;
    let rows = eval.note.rows.clone();
    let (mut market, mut stock, mut private) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..COUNT {
        let row = rows.start + (rows.len() - 1) * i / COUNT;
        let own = i % stocks;
        let position = actions.action(i / stocks % actions.len()).direction();
        let state = PrivateState {
            position,
            bars_held: if position == 0 { 0 } else { i as u16 + 1 },
            unrealized_return: f32::from(position) * 0.001 * i as f32,
        };
        market.extend_from_slice(eval.panel.view(row).all_features());
        private.extend(private_features(&state, eval.note.fit.scaler.return_std[own]));
        stock.push(own);
    }
    let engine = TorchEngine::new(&model.shape, &model.weights, Device::Cpu)?;
    let observations = Observations { market: &market, stock: &stock, private: &private };
    Ok(write_check(&model.shape, &engine, observations, path)?)
}
