//! Access to libtorch through a separate library (`torch/`), which is loaded on first use: for
//! `policy.pt`, for a CUDA device and for `network.engine=torch`. Other processes do not pay for it
//! (decision 22).

mod engine;
#[cfg(feature = "torch")]
mod library;
// The library uses the rest.
#[allow(dead_code)]
#[path = "torch/table.rs"]
mod table;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::json;
use thiserror::Error;

pub(crate) use engine::TorchEngine;

use super::network::NetworkShape;
#[cfg(feature = "torch")]
use library::functions;
#[cfg(not(feature = "torch"))]
use table::FunctionTable;
use table::{Failure, In};

/// libtorch could not be loaded, or a call failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct TorchError(String);

impl TorchError {
    fn new(text: impl Into<String>) -> TorchError {
        TorchError(text.into())
    }
}

/// Loads the library unless it is loaded, so that a missing library is reported before hours of
/// work.
///
/// # Errors
///
/// If it is missing or of another version, or in a build without it.
pub(crate) fn open() -> Result<(), TorchError> {
    functions().map(|_| ())
}

/// Number of CUDA devices.
pub(crate) fn cuda_devices() -> Result<usize, TorchError> {
    let (table, mut count) = (functions()?, 0);
    attempt(|failure| {
        // SAFETY: the arguments satisfy the table's requirements.
        unsafe { (table.cuda_devices)(&mut count, failure) }
    })?;
    Ok(count as usize)
}

/// Writes the policy of a network with `weights` as TorchScript: see [`super::policy`].
pub(crate) fn write_policy(
    shape: &NetworkShape,
    weights: &[f32],
    path: &Path,
) -> Result<(), TorchError> {
    let (table, shape) = (functions()?, describe(shape));
    let (shape, weights) = (In::new(shape.as_bytes()), In::new(weights));
    let path = In::new(path.as_os_str().as_bytes());
    attempt(|failure| {
        // SAFETY: slices that outlive the call, as the table requires.
        unsafe { (table.write_policy)(shape, weights, path, failure) }
    })
}

/// Multiplies two matrices `[side, side]` of f32 on this thread, `times` times, to measure the
/// machine's limit.
pub fn multiply(side: usize, times: usize) -> Result<(), TorchError> {
    let table = functions()?;
    attempt(|failure| {
        // SAFETY: the arguments satisfy the table's requirements.
        unsafe { (table.multiply)(side as u64, times as u64, failure) }
    })
}

/// The network's description for the library, in JSON: its shape and its parameters.
pub fn describe(shape: &NetworkShape) -> String {
    let layout = shape.layout();
    let parameters = layout
        .parameters()
        .iter()
        .map(|p| json!({ "name": p.name, "shape": p.shape, "offset": p.offset, "len": p.len }));
    json!({
        "stocks": shape.stocks,
        "features": shape.features,
        "config": shape.config,
        "peers": shape.peers,
        "len": layout.len(),
        "parameters": parameters.collect::<Vec<_>>(),
    })
    .to_string()
}

/// Calls a function of the table.
fn attempt(call: impl FnOnce(&mut Failure) -> bool) -> Result<(), TorchError> {
    let mut failure = Failure::new();
    if call(&mut failure) { Ok(()) } else { Err(TorchError::new(failure.text())) }
}

/// This build has none.
#[cfg(not(feature = "torch"))]
fn functions() -> Result<&'static FunctionTable, TorchError> {
    let what = "this program was built without libtorch; build it with the feature \"torch\"";
    Err(TorchError::new(what))
}
