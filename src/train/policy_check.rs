//! Observations with the Q-values that the program gives them, so that whoever loads `policy.pt`
//! elsewhere can check that it gives the same.

use std::path::Path;

use tch::Tensor;

use super::dataset::Prepared;
use crate::interface::{ActionSet, PrivateState};
use crate::rl::agent::private_features;
use crate::rl::network::QNetwork;
use crate::rl::policy::{PolicyError, write_check};

/// Observations written out.
const COUNT: usize = 64;

/// Writes observations spread over the evaluation period and the stocks, in every position that
/// `actions` allow.
pub fn write(
    path: &Path,
    network: &QNetwork,
    actions: ActionSet,
    eval: &Prepared,
) -> Result<(), PolicyError> {
    let stocks = network.shape().stocks;
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
    let market = Tensor::from_slice(&market).reshape([COUNT as i64, stocks as i64, -1]);
    let private = Tensor::from_slice(&private).reshape([COUNT as i64, -1]);
    write_check(network, (&market, &stock, &private), path)
}
