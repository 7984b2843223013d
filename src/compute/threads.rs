//! Parallel execution on a thread pool.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder, Yield};

/// Up to this many threads are woken at once; waking more would take longer than the work itself.
const FEW: usize = 8;
/// How long an idle thread yields in search of work before it sleeps.
const AWAKE: Duration = Duration::from_micros(50);

/// Builder of a pool of `count` threads (0: one per core).
pub(crate) fn pool(count: usize) -> ThreadPoolBuilder {
    ThreadPoolBuilder::new().num_threads(count)
}

/// Starts the global pool of `threads` threads (0: one per core). With several threads the calling
/// thread is one of them, so work that it splits starts at once, and it need not be woken at the
/// end. Errors: the pool exists already.
pub fn start(threads: usize) -> Result<(), ThreadPoolBuildError> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores() } else { threads };
    // A single pool thread must stay free for work that other threads hand to it.
    let pool = if threads > 1 { pool(threads).use_current_thread() } else { pool(threads) };
    pool.build_global()
}

/// Runs `work` on all `tasks`, in parallel if this thread belongs to a pool of several. The tasks
/// must be independent, so the result is the same either way.
pub(crate) fn run_parallel<T: Send>(tasks: Vec<T>, work: impl Fn(T) + Sync + Send) {
    if tasks.len() > 1 && has_other_threads() {
        split_in_halves(tasks, &work);
    } else {
        tasks.into_iter().for_each(work);
    }
}

/// Splits the tasks in halves recursively; an idle thread steals a half.
fn split_in_halves<T: Send>(mut tasks: Vec<T>, work: &(impl Fn(T) + Sync + Send)) {
    if tasks.len() < 2 {
        return tasks.into_iter().for_each(work);
    }
    let later = tasks.split_off(tasks.len() / 2);
    both(|| split_in_halves(tasks, work), || split_in_halves(later, work));
}

/// Runs both, in parallel if this thread belongs to a pool of several.
fn both(one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
    if !has_other_threads() {
        one();
        other();
        return;
    }
    wake_other_threads();
    let is_done = AtomicBool::new(false);
    let wait = || steal_work(|| is_done.load(Ordering::Acquire));
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

/// Threads that poll for work.
static STEALING: AtomicUsize = AtomicUsize::new(0);

/// Wakes the other threads. They sleep as soon as they are idle, and waking one takes as long as
/// the work of a bar. In a large pool the threads wake one another as work arrives.
fn wake_other_threads() {
    let others = rayon::current_num_threads() - 1;
    if others <= FEW && STEALING.load(Ordering::Relaxed) < others {
        rayon::spawn_broadcast(|thread| {
            // Thread 0 has its own work.
            if thread.index() > 0 {
                STEALING.fetch_add(1, Ordering::Relaxed);
                steal_work(|| false);
                STEALING.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
}

/// Steals work until `is_done`, or until there has been none for [`AWAKE`].
fn steal_work(is_done: impl Fn() -> bool) {
    let mut since = Instant::now();
    while !is_done() {
        match rayon::yield_now() {
            Some(Yield::Executed) => since = Instant::now(),
            _ if since.elapsed() > AWAKE => return,
            _ => std::thread::yield_now(),
        }
    }
}

/// Whether this thread belongs to a pool with other threads. A thread outside the pool would have
/// to wait for it while the pool may be busy.
fn has_other_threads() -> bool {
    rayon::current_num_threads() > 1 && rayon::current_thread_index().is_some()
}

/// Does `work` for all items on so many threads, which may wait for a server. The results are in the
/// order of the items.
pub(crate) fn at_once<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if threads < 2 || items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let per_thread = |thread: usize| items.iter().enumerate().skip(thread).step_by(threads);
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let start = |thread| {
            let work = &work;
            scope.spawn(move || {
                per_thread(thread).map(|(at, item)| (at, work(item))).collect::<Vec<_>>()
            })
        };
        let started: Vec<_> = (0..threads.min(items.len())).map(start).collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended
            .flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_task_runs_once_with_any_number_of_threads() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (sum, pairs) = (AtomicUsize::new(0), AtomicUsize::new(0));
            pool.install(|| {
                run_parallel((1..=10).collect(), |task| {
                    sum.fetch_add(task, Ordering::Relaxed);
                    let pair = |x: usize| pairs.fetch_add(x * task, Ordering::Relaxed);
                    both(|| _ = pair(1), || _ = pair(10));
                });
            });
            assert_eq!((sum.into_inner(), pairs.into_inner()), (55, 605));
        }
    }

    #[test]
    fn what_waits_is_done_at_once_and_in_order() {
        let items: Vec<u64> = (0..50).collect();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |item: &u64| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(2 + item % 3));
            running.fetch_sub(1, Ordering::SeqCst);
            2 * item
        };
        for threads in [1, 8, 99] {
            most.store(0, Ordering::SeqCst);
            let doubled: Vec<u64> = items.iter().map(|item| 2 * item).collect();
            assert_eq!(at_once(threads, &items, work), doubled);
            let most = most.load(Ordering::SeqCst);
            assert!(most <= threads.min(50) && (most > 1) == (threads > 1), "{threads}: {most}");
        }
        assert!(at_once(4, &[], work).is_empty());
    }
}
