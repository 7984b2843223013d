//! Assignment of ranks to nodes, and messages between the leaders of nodes.

use std::time::Instant;

use mpi::collective::{CommunicatorCollectives, Root};
use mpi::datatype::Equivalence;
use mpi::point_to_point::{Destination, Source};
use mpi::request::{Request, Scope, scope};
use mpi::topology::{Color, Communicator, SimpleCommunicator};

use super::pause_after;
use crate::comm::heartbeat::PULSE;

const MESSAGE: i32 = 5;

/// Ranks that share memory form a node, led by the lowest of them. Rank 0 leads the first node.
pub(crate) struct Nodes {
    /// The ranks of this node.
    pub(crate) node: SimpleCommunicator,
    /// The leaders of all nodes; None on other ranks.
    pub(crate) leaders: Option<SimpleCommunicator>,
    /// Ascending ranks of each node, in the order of their leaders.
    pub(crate) ranks: Vec<Vec<usize>>,
    /// Index of this rank's node.
    pub(crate) own: usize,
}

impl Nodes {
    /// Collective over `world`. None if the ranks could not be split.
    pub(crate) fn split(
        world: &SimpleCommunicator,
        ranks_per_node: Option<usize>,
    ) -> Option<Nodes> {
        let rank = world.rank();
        let node = match ranks_per_node {
            Some(count) => world.split_by_color(Color::with_value(rank / count as i32))?,
            None => world.split_shared(rank),
        };
        let color = if node.rank() == 0 { Color::with_value(0) } else { Color::undefined() };
        let leaders = world.split_by_color(color);
        let mut own = [leaders.as_ref().map_or(0, |leaders| leaders.rank())];
        node.process_at_rank(0).broadcast_into(&mut own[..]);
        let mut node_of = vec![0; world.size() as usize];
        world.all_gather_into(&own[..], &mut node_of[..]);
        let of_node = |node: i32| {
            let ranks = node_of.iter().enumerate().filter(move |&(_, &of)| of == node);
            ranks.map(|(rank, _)| rank).collect()
        };
        let count = node_of.iter().max().map_or(0, |last| last + 1);
        let ranks = (0..count).map(of_node).collect();
        Some(Nodes { node, leaders, ranks, own: own[0] as usize })
    }

    /// The ranks of this node.
    pub(crate) fn here(&self) -> &[usize] {
        &self.ranks[self.own]
    }

    /// The leaders; None if there is a single node or this rank does not lead its own.
    pub(crate) fn between(&self) -> Option<&SimpleCommunicator> {
        self.leaders.as_ref().filter(|leaders| leaders.size() > 1)
    }
}

/// Sends to another leader; sleeps instead of spinning until it is received.
pub(crate) fn send(leaders: &SimpleCommunicator, to: usize, message: &[f32]) {
    let to = leaders.process_at_rank(to as i32);
    scope(|s| wait_for(to.immediate_send_with_tag(s, message, MESSAGE)));
}

/// Receives the next message of a leader, of any length, into `message`.
pub(crate) fn receive(leaders: &SimpleCommunicator, from: usize, message: &mut Vec<f32>) {
    let from = leaders.process_at_rank(from as i32);
    PULSE.wait();
    let since = Instant::now();
    let status = loop {
        match from.immediate_probe_with_tag(MESSAGE) {
            Some(status) => break status,
            None => pause_after(since.elapsed()),
        }
    };
    message.resize(status.count(f32::equivalent_datatype()) as usize, 0.0);
    from.receive_into_with_tag(&mut message[..], MESSAGE);
    PULSE.work();
}

/// Broadcasts the first leader's message to all.
pub(crate) fn broadcast(leaders: &SimpleCommunicator, message: &mut [f32]) {
    let root = leaders.process_at_rank(0);
    scope(|s| wait_for(root.immediate_broadcast_into(s, message)));
}

/// Sleeps instead of spinning, unlike the wait functions of MPI libraries.
pub(crate) fn wait_for<'a, D: ?Sized, S: Scope<'a>>(mut request: Request<'a, D, S>) {
    PULSE.wait();
    let since = Instant::now();
    while let Err(pending) = request.test() {
        request = pending;
        pause_after(since.elapsed());
    }
    PULSE.work();
}
