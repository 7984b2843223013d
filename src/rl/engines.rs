//! Choice of the engine: the native one on the CPU, unless `network.engine` is torch; libtorch on
//! other devices.

use thiserror::Error;

use super::device::Device;
use super::engine::Engine;
use super::libtorch::{TorchEngine, TorchError};
use super::native::NativeEngine;
use super::network::NetworkShape;
use crate::config::EngineKind;

/// Why there is no engine for a network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EngineError {
    /// libtorch is missing, or it failed.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Names of the parameters.
    #[error("the native engine does not know the layers of {0}; set network.engine=torch")]
    Unknown(String),
}

/// An engine for both networks with `weights` on `device`.
///
/// # Errors
///
/// If libtorch is needed and cannot be loaded, or if the native engine lacks a layer.
pub(crate) fn engine(
    shape: &NetworkShape,
    weights: &[f32],
    device: Device,
) -> Result<Box<dyn Engine>, EngineError> {
    match (device, shape.config.engine) {
        (Device::Cpu, EngineKind::Native) => native(shape, weights),
        _ => Ok(Box::new(TorchEngine::new(shape, weights, device)?)),
    }
}

/// The native engine for both networks with `weights`, on the CPU.
///
/// # Errors
///
/// If it lacks a layer.
pub fn native(shape: &NetworkShape, weights: &[f32]) -> Result<Box<dyn Engine>, EngineError> {
    let engine = NativeEngine::new(shape, weights).map_err(EngineError::Unknown)?;
    Ok(Box::new(engine))
}

#[cfg(test)]
mod tests;
