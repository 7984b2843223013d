//! Work shared out to threads.

use rayon::prelude::*;
use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};

use super::network::single_thread;

/// To make a pool of `count` threads with, each with one libtorch thread; 0: one per core.
pub fn pool(count: usize) -> ThreadPoolBuilder {
    ThreadPoolBuilder::new().num_threads(count).start_handler(|_| single_thread())
}

/// As many threads as asked for, or as there are cores for 0, each with one libtorch thread. The
/// one that calls is one of them where there are several: work that it shares out begins at once,
/// and nothing has to wake it when that is done.
pub fn start(threads: usize) -> Result<(), ThreadPoolBuildError> {
    single_thread();
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores() } else { threads };
    // An only one has to be free for what others hand over to it.
    let pool = if threads > 1 { pool(threads).use_current_thread() } else { pool(threads) };
    pool.build_global()
}

/// Does `work` for all `tasks`, at the same time where this thread is one of several. They share
/// nothing, so the outcome is the same either way.
pub fn side_by_side<T: Send>(tasks: Vec<T>, work: impl Fn(T) + Sync + Send) {
    if tasks.len() > 1 && has_company() {
        // One by one: who is done takes over what is left to others.
        tasks.into_par_iter().with_max_len(1).for_each(work);
    } else {
        tasks.into_iter().for_each(work);
    }
}

/// Both, at the same time where this thread is one of several.
pub fn both(one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
    if has_company() {
        rayon::join(one, other);
    } else {
        one();
        other();
    }
}

/// A thread that is none of the pool's would have to wait for it, where others may be at work.
fn has_company() -> bool {
    rayon::current_num_threads() > 1 && rayon::current_thread_index().is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_task_is_done_once_with_and_without_company() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (sum, pairs) = (AtomicUsize::new(0), AtomicUsize::new(0));
            pool.install(|| {
                side_by_side((1..=10).collect(), |task| {
                    sum.fetch_add(task, Ordering::Relaxed);
                    let pair = |x: usize| pairs.fetch_add(x * task, Ordering::Relaxed);
                    both(|| _ = pair(1), || _ = pair(10));
                });
            });
            assert_eq!((sum.into_inner(), pairs.into_inner()), (55, 605));
        }
    }
}
