//! The C interface between the program and its libtorch library. This file is compiled into both;
//! any change to it changes [`VERSION`], and a library of another version is rejected.
//!
//! Numbers are f32 in row-major order, with the shapes of `Engine` in `src/rl/engine.rs`. Memory is
//! freed by the side that allocated it; neither keeps a pointer beyond a call. A function returns
//! whether it succeeded, and writes the reason of a failure to [`Failure`].

use std::ffi::c_void;

/// A digest of this file and of that with the description of a network.
pub(crate) const VERSION: u64 =
    digest(include_bytes!("table.rs")) ^ digest(include_bytes!("shape.rs"));

/// The only function that the library exports; a [`TableOf`].
pub(crate) const SYMBOL: &[u8] = b"dqn_trader_torch_table\0";

pub(crate) type TableOf = extern "C" fn() -> *const FunctionTable;

/// FNV-1a. Fowler, Noll and Vo.
const fn digest(text: &[u8]) -> u64 {
    let (mut hash, mut i) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while i < text.len() {
        hash = (hash ^ text[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

/// Input values.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct In<T> {
    data: *const T,
    len: usize,
}

/// Output values.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Out<T> {
    data: *mut T,
    len: usize,
}

impl<T> In<T> {
    pub(crate) fn new(values: &[T]) -> In<T> {
        In { data: values.as_ptr(), len: values.len() }
    }

    /// # Safety
    ///
    /// The values must still exist and must not be written to.
    pub(crate) unsafe fn get<'a>(self) -> &'a [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl<T> Out<T> {
    pub(crate) fn new(values: &mut [T]) -> Out<T> {
        Out { data: values.as_mut_ptr(), len: values.len() }
    }

    /// # Safety
    ///
    /// The values must still exist and must not be used elsewhere.
    pub(crate) unsafe fn get<'a>(self) -> &'a mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// Why a call failed: UTF-8, truncated if it is too long.
#[repr(C)]
pub(crate) struct Failure {
    text: [u8; 2_048],
    len: usize,
}

impl Failure {
    pub(crate) fn new() -> Failure {
        Failure { text: [0; 2_048], len: 0 }
    }

    pub(crate) fn set(&mut self, text: &str) {
        self.len = text.len().min(self.text.len());
        self.text[..self.len].copy_from_slice(&text.as_bytes()[..self.len]);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text[..self.len]).into_owned()
    }
}

/// Handle of the online and the target network, used by one thread at a time.
pub(crate) type Handle = *mut c_void;

/// A minibatch; see `MinibatchInputs` in `src/rl/engine.rs`.
#[repr(C)]
pub(super) struct RawMinibatch {
    pub slots: In<i64>,
    pub market: In<f32>,
    pub learned: u64,
}

/// Values of a minibatch, and d loss / d online value of the learned rows as output.
#[repr(C)]
pub(super) struct LossCall {
    pub online: In<f32>,
    pub target: In<f32>,
    pub gradient: Out<f32>,
}

/// The program's callback for a minibatch's values; `user` is its own pointer.
pub(crate) type RawOnValues = unsafe extern "C" fn(user: *mut c_void, call: &LossCall) -> bool;

/// `shape` is JSON; see `shape.rs`. `slots`: a stock's own index, then its peers'.
#[repr(C)]
pub(crate) struct FunctionTable {
    /// The first field in every version.
    pub(crate) version: u64,
    /// Number of CUDA devices.
    pub(crate) cuda_devices: unsafe extern "C" fn(count: &mut u64, &mut Failure) -> bool,
    /// Both networks with `weights`. `device`: a CUDA device, or -1 for the CPU.
    pub(crate) create: unsafe extern "C" fn(
        shape: In<u8>,
        weights: In<f32>,
        device: i64,
        handle: &mut Handle,
        &mut Failure,
    ) -> bool,
    pub(crate) destroy: unsafe extern "C" fn(Handle),
    /// Replaces the weights of the online or the target network.
    pub load: unsafe extern "C" fn(Handle, target: bool, weights: In<f32>, &mut Failure) -> bool,
    pub values: unsafe extern "C" fn(
        Handle,
        slots: In<i64>,
        market: In<f32>,
        values: Out<f32>,
        &mut Failure,
    ) -> bool,
    pub(crate) attention: unsafe extern "C" fn(
        Handle,
        slots: In<i64>,
        market: In<f32>,
        weights: Out<f32>,
        &mut Failure,
    ) -> bool,
    pub(crate) learn: unsafe extern "C" fn(
        Handle,
        minibatch: &RawMinibatch,
        on_values: RawOnValues,
        user: *mut c_void,
        gradient: Out<f32>,
        &mut Failure,
    ) -> bool,
    /// Writes the policy as TorchScript to `path`, in the bytes of the operating system.
    pub(crate) write_policy:
        unsafe extern "C" fn(shape: In<u8>, weights: In<f32>, path: In<u8>, &mut Failure) -> bool,
    /// Multiplies two f32 matrices `[side, side]` on this thread, `times` times.
    pub(crate) multiply: unsafe extern "C" fn(side: u64, times: u64, &mut Failure) -> bool,
}
