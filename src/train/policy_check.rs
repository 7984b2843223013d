//! Observations with the values that libtorch gives them, so that whoever loads `policy.pt`
//! elsewhere can check that it gives the same.

use std::path::Path;

use anyhow::Result;

use super::dataset::PreparedData;
use super::model::Model;
use crate::market::calendar::iso_utc;
use crate::rl::device::Device;
use crate::rl::libtorch::TorchEngine;
use crate::rl::policy::{Observations, write_check};

/// Observations written out.
const COUNT: usize = 64;

/// Writes observations spread over the evaluation period and the stocks.
pub(crate) fn write(path: &Path, model: &Model, eval: &PreparedData) -> Result<()> {
    let stocks = model.shape.stocks;
    let rows = eval.note.rows.clone();
    let (mut market, mut stock, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..COUNT {
        let row = rows.start + (rows.len() - 1) * i / COUNT;
        market.extend_from_slice(eval.panel.view(row).all_features());
        stock.push(i % stocks);
        times.push(iso_utc(eval.panel.view(row).end_s()));
    }
    let begins = iso_utc(eval.panel.view(0).end_s());
    let engine = TorchEngine::new(&model.shape, &model.weights, Device::Cpu)?;
    let observations =
        Observations { market: &market, stock: &stock, times: &times, begins: &begins };
    Ok(write_check(&model.shape, &engine, observations, path)?)
}
