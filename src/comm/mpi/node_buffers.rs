//! Communication between the ranks of a node through shared memory. Every rank has a slot that it
//! writes for the leader (the node's first rank), and the leader has a notice that all read. A
//! round trip costs one wake-up each way, where a library's collective wakes ranks several times or
//! spins.

use std::cell::Cell;
use std::time::Duration;

use mpi::topology::{Communicator, SimpleCommunicator};

use super::shared_window::SharedWindow;
use crate::comm::CommError;

/// Indices of the counters: slots written, notices published, slots consumed, notices read.
const FILLED: usize = 0;
const PUT_UP: usize = 1;
const EMPTIED: usize = 2;
const READ: usize = 3;
const GATES: usize = 4;

/// The notice is the first area; the slots of the ranks after the leader follow.
const NOTICE: usize = 0;

pub(crate) struct NodeBuffers {
    window: SharedWindow,
    /// This rank's index in its node.
    rank: usize,
    others: usize,
    /// How long a waiting rank yields before it sleeps.
    awake: Duration,
    /// Slots written by each rank so far, and notices published.
    filled: Cell<u32>,
    put_up: Cell<u32>,
}

impl NodeBuffers {
    /// Collective over `node`. `slot` and `notice` are capacities in floats.
    pub(crate) fn new(
        node: &SimpleCommunicator,
        slot: usize,
        notice: usize,
        awake: Duration,
    ) -> Result<NodeBuffers, CommError> {
        let others = node.size() as usize - 1;
        let areas: Vec<usize> = [notice].into_iter().chain((0..others).map(|_| slot)).collect();
        Ok(NodeBuffers {
            window: SharedWindow::new(node, GATES, &areas)?,
            rank: node.rank() as usize,
            others,
            awake,
            filled: Cell::new(0),
            put_up: Cell::new(0),
        })
    }

    /// Capacity of a slot and of the notice, in floats.
    pub(crate) fn room(&self) -> [usize; 2] {
        [self.window.len(NOTICE + 1), self.window.len(NOTICE)]
    }

    fn wait(&self, counter: usize, target: u32) {
        self.window.counter(counter).wait(target, self.awake);
    }

    fn by_all(&self, count: u32) -> u32 {
        count.wrapping_mul(self.others as u32)
    }

    /// Writes this rank's slot. Not for the leader.
    pub(crate) fn fill(&self, fill: impl FnOnce(&mut [f32])) {
        self.wait(EMPTIED, self.filled.get());
        // SAFETY: the leader has consumed it and reads it again only after the gate below.
        fill(unsafe { self.window.area(NOTICE + self.rank) });
        self.filled.set(self.filled.get().wrapping_add(1));
        self.window.counter(FILLED).add();
    }

    /// Waits for the slots of all other ranks and passes them to `empty` in rank order. For the
    /// leader.
    pub(crate) fn empty<T>(&self, empty: impl FnOnce(Vec<&mut [f32]>) -> T) -> T {
        self.filled.set(self.filled.get().wrapping_add(1));
        self.wait(FILLED, self.by_all(self.filled.get()));
        // SAFETY: all have written theirs and write again only after the gate below.
        let slots = (1..=self.others).map(|rank| unsafe { self.window.area(NOTICE + rank) });
        let result = empty(slots.collect());
        self.window.counter(EMPTIED).add();
        result
    }

    /// Publishes a notice for all other ranks. For the leader.
    pub(crate) fn publish(&self, write: impl FnOnce(&mut [f32])) {
        self.wait(READ, self.by_all(self.put_up.get()));
        // SAFETY: all have read the previous notice and read again only after the gate below.
        write(unsafe { self.window.area(NOTICE) });
        self.put_up.set(self.put_up.get().wrapping_add(1));
        self.window.counter(PUT_UP).add();
    }

    /// Waits for the leader's notice. Not for the leader.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&[f32]) -> T) -> T {
        self.put_up.set(self.put_up.get().wrapping_add(1));
        self.wait(PUT_UP, self.put_up.get());
        // SAFETY: the leader writes again only after all ranks have passed the gate below.
        let result = read(unsafe { self.window.area(NOTICE) });
        self.window.counter(READ).add();
        result
    }
}
