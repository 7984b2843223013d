//! An asynchronous run in one process: the server here, the workers in threads of their own.

use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, anyhow};

use super::evaluator::Evaluator;
use super::server::{AsyncServer, ServerIo};
use super::worker::{self, AsyncWorker, Host, WorkerContext};
use crate::comm::CommError;
use crate::comm::mailbox::{SERVER_GONE, local};
use crate::compute::threads::pool;
use crate::train::callbacks::Callbacks;
use crate::train::snapshot::StockState;

/// What a thread hands over of its stocks for a checkpoint.
type States = Vec<(usize, StockState)>;

pub(crate) fn run(
    root: &mut AsyncServer<'_>,
    async_workers: &mut [AsyncWorker],
    context: &WorkerContext<'_>,
    callbacks: &mut dyn Callbacks,
    evaluations: &mut Evaluator,
) -> Result<()> {
    let all = rayon::current_num_threads();
    let count = all.clamp(1, async_workers.len());
    let (mailbox, lines) = local(count);
    let (hosts, written): (Vec<_>, Vec<_>) = (0..count).map(|_| channel()).unzip();
    std::thread::scope(|scope| {
        let of_thread = groups(async_workers, count).into_iter().zip(lines).zip(hosts);
        let spawned: Vec<_> = of_thread
            .map(|((group, line), states)| {
                let work = move || -> Result<()> {
                    // Its own: others' threads are busy with others' stocks.
                    let pool = pool((all / count).max(1)).build()?;
                    // The line belongs to it: should the work break off, the server hears it.
                    pool.install(move || {
                        worker::work(group, context, &line, &mut ThreadHost { states })
                    })
                };
                scope.spawn(work)
            })
            .collect();
        let collect = &mut || collect(&written);
        let served =
            root.serve(&mut ServerIo { mailbox: &mailbox, callbacks, evaluations, collect });
        // Should it have failed, the workers hear it.
        drop(mailbox);
        let joined = spawned.into_iter().map(|thread| match thread.join() {
            Ok(worked) => worked,
            Err(_) => Err(anyhow!("a worker failed")),
        });
        let causes: Vec<_> = joined.filter_map(Result::err).filter(is_cause).collect();
        causes.into_iter().next().map_or(served, Err)
    })
}

/// Not what comes of it that the server is gone.
fn is_cause(error: &anyhow::Error) -> bool {
    !matches!(error.downcast_ref(), Some(CommError::Shared(what)) if what == SERVER_GONE)
}

/// `count` groups of equal length, or of one less.
fn groups<T>(mut rest: &mut [T], count: usize) -> Vec<&mut [T]> {
    let mut groups = Vec::new();
    for left in (1..=count).rev() {
        let (group, after) = rest.split_at_mut(rest.len().div_ceil(left));
        groups.push(group);
        rest = after;
    }
    groups
}

/// What every thread writes, in the order of the stocks.
fn collect(written: &[Receiver<States>]) -> Result<States> {
    let states = written.iter().map(|thread| thread.recv().context("a worker failed"));
    let mut all: States = states.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    all.sort_by_key(|(stock, _)| *stock);
    Ok(all)
}

/// A thread's: the server's thread writes for all.
struct ThreadHost {
    states: Sender<States>,
}

impl Host for ThreadHost {
    fn checkpoint(&mut self, _env_steps: u64, stocks: States) -> Result<()> {
        self.states.send(stocks).map_err(|_| anyhow!(SERVER_GONE))
    }

    fn synchronize(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_of_nearly_equal_length() {
        let mut stocks = [0, 1, 2, 3, 4];
        assert_eq!(groups(&mut stocks, 4), [&[0, 1][..], &[2], &[3], &[4]]);
        assert_eq!(groups(&mut stocks, 2), [&[0, 1, 2][..], &[3, 4]]);
        assert_eq!(groups(&mut stocks, 1), [&[0, 1, 2, 3, 4][..]]);
    }

    /// As after a panic: the others' threads live on, so nobody else would say it.
    #[test]
    fn a_thread_that_broke_off_is_not_waited_for() {
        let (hosts, written): (Vec<Sender<States>>, Vec<_>) = (0..2).map(|_| channel()).unzip();
        let mut hosts = hosts.into_iter().map(|states| ThreadHost { states });
        let (mut first, second) = (hosts.next().unwrap(), hosts.next().unwrap());
        first.checkpoint(7, Vec::new()).unwrap();
        drop(second);
        assert_eq!(collect(&written).err().unwrap().to_string(), "a worker failed");
    }
}
