//! Who computes a network: the native engine on the CPU unless `network.engine` asks for libtorch,
//! which computes on other devices.

use thiserror::Error;

use super::device::Device;
use super::direct::Direct;
use super::engine::Engine;
use super::libtorch::{Torch, TorchError};
use super::network::NetworkShape;
use crate::config::EngineKind;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EngineError {
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Names of parameters.
    #[error("the native engine does not know the layers of {0}; set network.engine=torch")]
    Unknown(String),
}

/// Both networks with `weights`, computed on `device`.
///
/// # Errors
///
/// Where libtorch is needed and cannot be had, and where the native engine lacks a layer.
pub fn engine(
    shape: &NetworkShape,
    weights: &[f32],
    device: Device,
) -> Result<Box<dyn Engine>, EngineError> {
    match (device, shape.config.engine) {
        (Device::Cpu, EngineKind::Native) => native(shape, weights),
        _ => Ok(Box::new(Torch::new(shape, weights, device)?)),
    }
}

/// Both networks with `weights`, computed on the CPU by the program itself.
///
/// # Errors
///
/// Where it lacks a layer.
pub fn native(shape: &NetworkShape, weights: &[f32]) -> Result<Box<dyn Engine>, EngineError> {
    let engine = Direct::new(shape, weights).map_err(EngineError::Unknown)?;
    Ok(Box::new(engine))
}

#[cfg(test)]
mod tests;
