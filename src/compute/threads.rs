//! Work shared out to threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder, Yield};

/// To wake more threads than these one by one would take longer than what they are to do.
const FEW: usize = 8;
/// So long a thread without work goes on looking for some, with yields, before it sleeps.
const AWAKE: Duration = Duration::from_micros(50);

/// To make a pool of `count` threads with; 0: one per core.
pub fn pool(count: usize) -> ThreadPoolBuilder {
    ThreadPoolBuilder::new().num_threads(count)
}

/// As many threads as asked for, or as there are cores for 0. The one that calls is one of them where
/// there are several: work that it shares out begins at once, and nothing has to wake it when that
/// is done.
pub fn start(threads: usize) -> Result<(), ThreadPoolBuildError> {
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
        halved(tasks, &work);
    } else {
        tasks.into_iter().for_each(work);
    }
}

/// Until one is left: who is done takes over what is left to others.
fn halved<T: Send>(mut tasks: Vec<T>, work: &(impl Fn(T) + Sync + Send)) {
    if tasks.len() < 2 {
        return tasks.into_iter().for_each(work);
    }
    let later = tasks.split_off(tasks.len() / 2);
    both(|| halved(tasks, work), || halved(later, work));
}

/// Both, at the same time where this thread is one of several.
fn both(one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
    if !has_company() {
        one();
        other();
        return;
    }
    call_company();
    let is_done = AtomicBool::new(false);
    let wait = || look_for_work(|| is_done.load(Ordering::Acquire));
    rayon::join(
        || {
            one();
            wait();
        },
        || {
            other();
            is_done.store(true, Ordering::Release);
        },
    );
}

/// Threads that look for work without being asked to.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// Sees to it that the other threads are awake: they sleep as soon as there is nothing to do, and to
/// wake one takes as long as a piece of work between two bars. Many are left to wake one another
/// as work comes.
fn call_company() {
    let others = rayon::current_num_threads() - 1;
    if others <= FEW && LOOKING.load(Ordering::Relaxed) < others {
        rayon::spawn_broadcast(|thread| {
            // The first one has its own work to do.
            if thread.index() > 0 {
                LOOKING.fetch_add(1, Ordering::Relaxed);
                look_for_work(|| false);
                LOOKING.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
}

/// Takes over work of others until `is_done`, or until there was none for a while.
fn look_for_work(is_done: impl Fn() -> bool) {
    let mut since = Instant::now();
    while !is_done() {
        match rayon::yield_now() {
            Some(Yield::Executed) => since = Instant::now(),
            _ if since.elapsed() > AWAKE => return,
            _ => std::thread::yield_now(),
        }
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
