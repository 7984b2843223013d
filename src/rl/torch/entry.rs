//! The functions of the table: pointers become slices, and errors and panics become messages. No
//! panic leaves this library.

use std::any::Any;
use std::ffi::{OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::Path;
use std::sync::Once;

use tch::{Cuda, Device, Kind, Tensor};

use super::engine::{Minibatch, MinibatchValues, Pair};
use super::network::single_thread;
use super::policy;
use super::shape::Shape;
use super::table::{self, Failure, FunctionTable, Handle, In, LossCall, Out, RawOnValues, VERSION};

static TABLE: FunctionTable = FunctionTable {
    version: VERSION,
    cuda_devices,
    create,
    destroy,
    load,
    values,
    attention,
    learn,
    write_policy,
    multiply,
};

/// The name is [`table::SYMBOL`].
#[unsafe(no_mangle)]
pub(crate) extern "C" fn dqn_trader_torch_table() -> *const FunctionTable {
    &raw const TABLE
}

/// The error is a message.
type Outcome = Result<(), String>;

/// Runs `work` with one thread of libtorch; stores the message of an error or panic.
fn attempt(failure: &mut Failure, work: impl FnOnce() -> Outcome) -> bool {
    // The program reports the error; the default hook would report it a second time.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| set_hook(Box::new(|_| {})));
    let work = || {
        single_thread();
        work()
    };
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let outcome = outcome.unwrap_or_else(|panic| Err(text_of(&*panic)));
    outcome.inspect_err(|text| failure.set(text)).is_ok()
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("no message").into()
}

/// # Safety
///
/// `create` made the handle, and no other call uses it.
unsafe fn pair<'a>(handle: Handle) -> &'a mut Pair {
    // SAFETY: as above.
    unsafe { &mut *handle.cast::<Pair>() }
}

fn shape_from(text: &[u8]) -> Result<Shape, String> {
    let other = |error| format!("a network that this library does not know: {error}");
    Shape::from_json(text).map_err(other)
}

unsafe extern "C" fn cuda_devices(count: &mut u64, failure: &mut Failure) -> bool {
    attempt(failure, || {
        *count = u64::try_from(Cuda::device_count()).unwrap_or(0);
        Ok(())
    })
}

unsafe extern "C" fn create(
    shape: In<u8>,
    weights: In<f32>,
    device: i64,
    handle: &mut Handle,
    failure: &mut Failure,
) -> bool {
    // SAFETY: the program's slices, which are valid during this call; likewise below.
    let (shape, weights) = unsafe { (shape.get(), weights.get()) };
    attempt(failure, || {
        let device = usize::try_from(device).map_or(Device::Cpu, Device::Cuda);
        let pair = Pair::new(&shape_from(shape)?, weights, device);
        *handle = Box::into_raw(Box::new(pair)).cast::<c_void>();
        Ok(())
    })
}

unsafe extern "C" fn destroy(handle: Handle) {
    let free = || {
        // SAFETY: `create` made it from a box, and it is not used afterwards.
        drop(unsafe { Box::from_raw(handle.cast::<Pair>()) });
        Ok(())
    };
    attempt(&mut Failure::new(), free);
}

unsafe extern "C" fn load(
    handle: Handle,
    target: bool,
    weights: In<f32>,
    failure: &mut Failure,
) -> bool {
    // SAFETY: as in `create`.
    let (pair, weights) = unsafe { (pair(handle), weights.get()) };
    attempt(failure, || {
        pair.load(target, weights);
        Ok(())
    })
}

unsafe extern "C" fn values(
    handle: Handle,
    slots: In<i64>,
    market: In<f32>,
    values: Out<f32>,
    failure: &mut Failure,
) -> bool {
    // SAFETY: as in `create`.
    let (pair, slots) = unsafe { (pair(handle), slots.get()) };
    // SAFETY: as in `create`.
    let (market, values) = unsafe { (market.get(), values.get()) };
    attempt(failure, || {
        pair.values(slots, market, values);
        Ok(())
    })
}

unsafe extern "C" fn attention(
    handle: Handle,
    slots: In<i64>,
    market: In<f32>,
    weights: Out<f32>,
    failure: &mut Failure,
) -> bool {
    // SAFETY: as in `create`.
    let (pair, slots) = unsafe { (pair(handle), slots.get()) };
    // SAFETY: as in `create`.
    let (market, weights) = unsafe { (market.get(), weights.get()) };
    attempt(failure, || {
        pair.attention(slots, market, weights);
        Ok(())
    })
}

unsafe extern "C" fn learn(
    handle: Handle,
    minibatch: &table::RawMinibatch,
    on_values: RawOnValues,
    user: *mut c_void,
    gradient: Out<f32>,
    failure: &mut Failure,
) -> bool {
    // SAFETY: as in `create`.
    let (pair, gradient) = unsafe { (pair(handle), gradient.get()) };
    // SAFETY: as in `create`.
    let minibatch = unsafe {
        Minibatch {
            slots: minibatch.slots.get(),
            market: minibatch.market.get(),
            learned: minibatch.learned as usize,
        }
    };
    let mut loss = |values: &MinibatchValues, gradient: &mut [f32]| {
        let call = LossCall {
            online: In::new(&values.online),
            target: In::new(&values.target),
            gradient: Out::new(gradient),
        };
        // SAFETY: `user` belongs to `on_values`.
        let is_done = unsafe { on_values(user, &call) };
        if is_done { Ok(()) } else { Err(String::from("the loss was not computed")) }
    };
    attempt(failure, || pair.learn(&minibatch, &mut loss, gradient))
}

unsafe extern "C" fn write_policy(
    shape: In<u8>,
    weights: In<f32>,
    path: In<u8>,
    failure: &mut Failure,
) -> bool {
    // SAFETY: as in `create`.
    let (shape, weights, path) = unsafe { (shape.get(), weights.get(), path.get()) };
    attempt(failure, || {
        let path = Path::new(OsStr::from_bytes(path));
        policy::write(shape_from(shape)?, weights, path).map_err(|error| error.to_string())
    })
}

unsafe extern "C" fn multiply(side: u64, times: u64, failure: &mut Failure) -> bool {
    attempt(failure, || {
        let ones = Tensor::ones([side as i64; 2], (Kind::Float, Device::Cpu));
        (0..times).for_each(|_| drop(ones.matmul(&ones)));
        Ok(())
    })
}
