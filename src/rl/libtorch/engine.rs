//! The engine on libtorch.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard};

use super::table::{Failure, FunctionTable, Handle, In, LossCall, Out, RawMinibatch};
use super::{TorchError, attempt, describe, functions};
use crate::rl::device::Device;
use crate::rl::engine::{Engine, MinibatchInputs, MinibatchValues, NetworkRole, OnValues};
use crate::rl::network::NetworkShape;

/// Both networks on libtorch, used by one thread at a time.
pub(crate) struct TorchEngine {
    table: &'static FunctionTable,
    pair: Mutex<NetworkPair>,
    shape: NetworkShape,
}

/// Owns the library's handle of both networks.
struct NetworkPair {
    table: &'static FunctionTable,
    handle: Handle,
}

// SAFETY: a pair may move between threads as long as only one uses it at a time.
unsafe impl Send for NetworkPair {}

impl Drop for NetworkPair {
    fn drop(&mut self) {
        // SAFETY: `create` made the handle, and it is not used afterwards.
        unsafe { (self.table.destroy)(self.handle) };
    }
}

impl TorchEngine {
    /// Both networks with `weights` on `device`.
    ///
    /// # Errors
    ///
    /// If the library is missing or of another version, or if libtorch lacks the device or memory.
    pub(crate) fn new(
        shape: &NetworkShape,
        weights: &[f32],
        device: Device,
    ) -> Result<TorchEngine, TorchError> {
        let (table, about, mut handle) = (functions()?, describe(shape), std::ptr::null_mut());
        let device = match device {
            Device::Cpu => -1,
            Device::Cuda(index) => i64::try_from(index).unwrap_or(i64::MAX),
        };
        let (about, weights) = (In::new(about.as_bytes()), In::new(weights));
        attempt(|failure| {
            // SAFETY: slices that outlive the call, as the table requires.
            unsafe { (table.create)(about, weights, device, &mut handle, failure) }
        })?;
        Ok(TorchEngine {
            table,
            pair: Mutex::new(NetworkPair { table, handle }),
            shape: shape.clone(),
        })
    }

    /// Calls a function of the table with the handle.
    ///
    /// # Panics
    ///
    /// If libtorch fails, for example when a GPU is out of memory.
    fn call(&self, call: impl FnOnce(Handle, &mut Failure) -> bool) {
        let pair = self.pair();
        attempt(|failure| call(pair.handle, failure)).unwrap_or_else(|e| panic!("libtorch: {e}"));
    }

    fn pair(&self) -> MutexGuard<'_, NetworkPair> {
        self.pair.lock().expect("another worker's network failed")
    }

    fn rows(&self, market: &[f32]) -> usize {
        market.len() / (self.shape.slots() * self.shape.features)
    }
}

/// Symbols in the type of the table.
fn symbols(slots: &[usize]) -> Vec<i64> {
    slots.iter().map(|&slot| slot as i64).collect()
}

impl Engine for TorchEngine {
    fn load(&mut self, which: NetworkRole, weights: &[f32]) {
        let (target, weights) = (which == NetworkRole::Target, In::new(weights));
        self.call(|pair, failure| {
            // SAFETY: slices that outlive the call, as the table requires; likewise below.
            unsafe { (self.table.load)(pair, target, weights, failure) }
        });
    }

    fn values(&self, slots: &[usize], market: &[f32], out: &mut Vec<f32>) {
        out.resize(self.rows(market) * self.shape.actions, 0.0);
        let slots = symbols(slots);
        let (slots, market, out) = (In::new(&slots), In::new(market), Out::new(out));
        self.call(|pair, failure| {
            // SAFETY: as in `load`.
            unsafe { (self.table.values)(pair, slots, market, out, failure) }
        });
    }

    fn attention(&self, slots: &[usize], market: &[f32], out: &mut Vec<f32>) {
        out.resize(self.rows(market) * (slots.len() - 1), 0.0);
        let slots = symbols(slots);
        let (slots, market, out) = (In::new(&slots), In::new(market), Out::new(out));
        self.call(|pair, failure| {
            // SAFETY: as in `load`.
            unsafe { (self.table.attention)(pair, slots, market, out, failure) }
        });
    }

    fn learn(
        &self,
        slots: &[usize],
        seen: &MinibatchInputs<'_>,
        on_values: &mut OnValues<'_>,
        gradient: &mut [f32],
    ) {
        let slots = symbols(slots);
        let minibatch = RawMinibatch {
            slots: In::new(&slots),
            market: In::new(seen.market),
            learned: seen.learned as u64,
        };
        let mut loss = Loss { on_values, panic: None };
        let (user, gradient) = ((&raw mut loss).cast::<c_void>(), Out::new(gradient));
        let learn = |pair, failure: &mut Failure| {
            // SAFETY: as in `load`; `on_minibatch_values` is the callback for `user`.
            unsafe {
                (self.table.learn)(pair, &minibatch, on_minibatch_values, user, gradient, failure)
            }
        };
        let outcome = {
            let pair = self.pair();
            attempt(|failure| learn(pair.handle, failure))
        };
        if let Some(panic) = loss.panic {
            resume_unwind(panic);
        }
        outcome.unwrap_or_else(|error| panic!("libtorch: {error}"));
    }
}

/// The loss function, and the panic in which it ended.
struct Loss<'a, 'b> {
    on_values: &'a mut OnValues<'b>,
    panic: Option<Box<dyn Any + Send>>,
}

/// The library's callback with the values of a minibatch. No panic crosses it.
unsafe extern "C" fn on_minibatch_values(user: *mut c_void, call: &LossCall) -> bool {
    // SAFETY: `user` is the `Loss` that `learn` passed; `learn` waits for the call.
    let loss = unsafe { &mut *user.cast::<Loss<'_, '_>>() };
    let on_values = &mut *loss.on_values;
    let work = AssertUnwindSafe(|| {
        // SAFETY: owned by the library and valid during this call.
        let (values, gradient) = unsafe {
            let values = MinibatchValues {
                online: call.online.get().to_vec(),
                target: call.target.get().to_vec(),
            };
            (values, call.gradient.get())
        };
        let mut found = Vec::with_capacity(gradient.len());
        on_values(&values, &mut found);
        gradient.copy_from_slice(&found);
    });
    loss.panic = catch_unwind(work).err();
    loss.panic.is_none()
}
