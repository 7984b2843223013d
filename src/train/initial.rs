//! The weights with which a run begins: random ones, or those of a trained model.

use std::path::Path;

use anyhow::{Result, bail};

use super::trained::SavedRun;
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::config::RunConfig;
use crate::errors::message;
use crate::rl::network::NetworkShape;

/// The weights of the run that `config` names to begin with, the same on every rank; None where it
/// names none. `shape` is that of the network to be trained.
///
/// Errors: its folder holds no finished run; it is of other stocks, features or layers.
pub(super) fn given_weights(
    comm: &dyn Comm,
    config: &RunConfig,
    shape: &NetworkShape,
) -> Result<Option<Vec<f32>>> {
    let Some(folder) = &config.init_from else { return Ok(None) };
    let read = match comm.is_root() {
        true => read(folder, config, shape).map_err(|e| message(&e)),
        false => Ok(Vec::new()),
    };
    let mut bytes = postcard::to_stdvec(&agree(comm, read)?)?;
    comm.broadcast_bytes(&mut bytes);
    Ok(Some(postcard::from_bytes(&bytes)?))
}

fn read(folder: &Path, config: &RunConfig, shape: &NetworkShape) -> Result<Vec<f32>> {
    let SavedRun { config: trained, model } = SavedRun::read(folder)?;
    let differing = [
        ("stocks", trained.stocks != config.stocks),
        ("features", trained.features != config.features),
        ("positions", trained.env.action_set() != config.env.action_set()),
        ("network", model.shape.layout() != shape.layout()),
    ];
    if let Some((what, _)) = differing.iter().find(|(_, differs)| *differs) {
        bail!(
            "--init-from {}: that model is of other {what}; \
             begin with its settings: --config {}",
            folder.display(),
            folder.display()
        );
    }
    Ok(model.weights)
}
