//! Shared memory of the ranks of a node, with counters on which a rank can sleep.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mpi::ffi;
use mpi::raw::AsRaw;
use mpi::topology::{Communicator, SimpleCommunicator};

use crate::comm::CommError;
use crate::comm::heartbeat::PULSE;

/// Two cache lines: some processors prefetch in pairs.
const LINE_BYTES: usize = 128;
/// A sleeping rank polls again after this time, even if it was not woken.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// A counter in shared memory that only grows (and wraps).
pub(crate) struct SharedCounter<'a> {
    count: &'a AtomicU32,
    /// The target of the waiting ranks. All that wait at the same time wait for the same target.
    wanted: &'a AtomicU32,
}

impl SharedCounter<'_> {
    const BYTES: usize = LINE_BYTES;

    /// Increments the counter, and wakes the ranks that wait for the new value.
    pub(crate) fn add(&self) {
        // Sequentially consistent: either this call sees the target, or the waiting rank sees the
        // count.
        let count = self.count.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        if self.wanted.load(Ordering::SeqCst) == count {
            wake_all(self.count);
        }
    }

    /// Waits until the counter reaches `target`: yields for `awake`, then sleeps.
    pub(crate) fn wait(&self, target: u32, awake: Duration) {
        let reached = |count: u32| count.wrapping_sub(target) as i32 >= 0;
        if !reached(self.count.load(Ordering::SeqCst)) {
            PULSE.wait();
            self.wanted.store(target, Ordering::SeqCst);
            let since = Instant::now();
            loop {
                let count = self.count.load(Ordering::SeqCst);
                if reached(count) {
                    break;
                }
                if since.elapsed() < awake {
                    std::thread::yield_now();
                } else {
                    sleep_while(self.count, count);
                }
            }
        }
        PULSE.work();
    }
}

#[cfg(target_os = "linux")]
fn sleep_while(counter: &AtomicU32, is: u32) {
    let longest = libc::timespec {
        tv_sec: LONGEST_SLEEP.as_secs() as libc::time_t,
        tv_nsec: LONGEST_SLEEP.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the kernel reads a counter and a time that outlive the call. The caller checks the
    // counter again, whatever the result.
    unsafe {
        libc::syscall(libc::SYS_futex, counter.as_ptr(), libc::FUTEX_WAIT, is, &longest);
    }
}

#[cfg(target_os = "linux")]
fn wake_all(counter: &AtomicU32) {
    // SAFETY: the kernel changes only its list of sleeping threads.
    unsafe {
        libc::syscall(libc::SYS_futex, counter.as_ptr(), libc::FUTEX_WAKE, libc::c_int::MAX);
    }
}

#[cfg(not(target_os = "linux"))]
fn sleep_while(_: &AtomicU32, _: u32) {
    std::thread::sleep(Duration::from_micros(20).min(LONGEST_SLEEP));
}

#[cfg(not(target_os = "linux"))]
fn wake_all(_: &AtomicU32) {}

/// A block of memory that all ranks of a node share: gates, then areas of floats.
pub(crate) struct SharedWindow {
    window: ffi::MPI_Win,
    memory: *mut u8,
    counters: usize,
    /// Offset of each area in floats, and the end of the last.
    starts: Vec<usize>,
}

impl SharedWindow {
    /// Collective over `node`; `areas` are lengths in floats. Gates start at 0. Errors: the memory
    /// could not be allocated.
    pub(crate) fn new(
        node: &SimpleCommunicator,
        counters: usize,
        areas: &[usize],
    ) -> Result<SharedWindow, CommError> {
        const LINE: usize = LINE_BYTES / size_of::<f32>();
        let mut starts = vec![0];
        starts.extend(areas.iter().scan(0, |end, len| {
            *end += len.next_multiple_of(LINE);
            Some(*end)
        }));
        let bytes = counters * SharedCounter::BYTES + starts[areas.len()] * size_of::<f32>();
        let (window, memory) = allocate(node, bytes).ok_or_else(|| CommError::Mpi {
            what: format!(
                "cannot allocate {} KB of memory shared by the ranks of a machine",
                bytes.div_ceil(1 << 10)
            ),
            hint: "enlarge /dev/shm (in a container: --shm-size) or start fewer ranks".into(),
            cause: None,
        })?;
        let window = SharedWindow { window, memory, counters, starts };
        if node.rank() == 0 {
            for counter in (0..counters).map(|index| window.counter(index)) {
                counter.count.store(0, Ordering::SeqCst);
                counter.wanted.store(0, Ordering::SeqCst);
            }
        }
        mpi::collective::CommunicatorCollectives::barrier(node);
        Ok(window)
    }

    pub(crate) fn counter(&self, index: usize) -> SharedCounter<'_> {
        assert!(index < self.counters);
        // SAFETY: within the memory, aligned like its start, and only used as atomics.
        let at = |offset: usize| unsafe {
            AtomicU32::from_ptr(self.memory.add(index * SharedCounter::BYTES + offset).cast())
        };
        SharedCounter { count: at(0), wanted: at(LINE_BYTES / 2) }
    }

    /// Length of an area in floats; at least the requested length.
    pub(crate) fn len(&self, area: usize) -> usize {
        self.starts[area + 1] - self.starts[area]
    }

    /// # Safety
    ///
    /// The gates must ensure that no other rank reads or writes the area while this borrow lasts.
    #[expect(clippy::mut_from_ref, reason = "the memory belongs to several processes")]
    pub(crate) unsafe fn area(&self, area: usize) -> &mut [f32] {
        let start = self.counters * SharedCounter::BYTES + self.starts[area] * size_of::<f32>();
        // SAFETY: within the memory and aligned; all bit patterns are valid floats.
        unsafe { std::slice::from_raw_parts_mut(self.memory.add(start).cast(), self.len(area)) }
    }
}

impl Drop for SharedWindow {
    /// Collective over the node's ranks.
    fn drop(&mut self) {
        // SAFETY: it was created by `allocate`, and nothing borrows its memory any more.
        unsafe {
            ffi::MPI_Win_free(&mut self.window);
        }
    }
}

/// Memory allocated at the node's first rank, and its address in this rank.
fn allocate(node: &SimpleCommunicator, bytes: usize) -> Option<(ffi::MPI_Win, *mut u8)> {
    let own = if node.rank() == 0 { bytes } else { 0 };
    let mut memory: *mut u8 = std::ptr::null_mut();
    let (mut size, mut unit) = (0, 0);
    let at = (&raw mut memory).cast::<c_void>();
    // SAFETY: pointers to locals that outlive the calls; `at` is the location for an address, which
    // MPI's C interface types as `void *`. An error is returned instead of ending the program.
    unsafe {
        let mut window = ffi::RSMPI_WIN_NULL;
        let comm = node.as_raw();
        ffi::MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_RETURN);
        let info = ffi::RSMPI_INFO_NULL;
        let failed =
            ffi::MPI_Win_allocate_shared(own as ffi::MPI_Aint, 1, info, comm, at, &mut window);
        ffi::MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_ARE_FATAL);
        if failed != 0 || ffi::MPI_Win_shared_query(window, 0, &mut size, &mut unit, at) != 0 {
            return None;
        }
        Some((window, memory))
    }
}
