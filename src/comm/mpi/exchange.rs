//! Collectives over all ranks: within a node through its board, between nodes through their
//! leaders.

use std::cell::{Ref, RefCell};
use std::time::Duration;

use mpi::topology::Communicator;

use super::node_buffers::NodeBuffers;
use super::nodes::{self, Nodes};
use super::starts;
use crate::comm::CommError;
use crate::comm::comm::MessageStamp;
use crate::comm::ranks::Ranks;
use crate::comm::tree::{self, Node, PartialSum};

pub(crate) struct Exchange {
    nodes: Nodes,
    rank: usize,
    awake: Duration,
    /// None before the first call, and if this rank is alone on its node.
    board: RefCell<Option<NodeBuffers>>,
    /// Buffer for a message between nodes, including its stamp.
    message: RefCell<Vec<f32>>,
}

impl Exchange {
    /// A rank that waits for others of its node yields for `awake` and then sleeps.
    pub(crate) fn new(nodes: Nodes, awake: Duration) -> Exchange {
        let rank = nodes.here()[nodes.node.rank() as usize];
        Exchange { nodes, rank, awake, board: RefCell::default(), message: RefCell::default() }
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn is_root(&self) -> bool {
        self.rank == 0
    }

    pub(crate) fn gather(
        &self,
        stamp: MessageStamp,
        mine: &[f32],
        counts: &[usize],
        all: &mut [f32],
    ) -> Result<(), CommError> {
        assert_eq!(mine.len(), counts[self.rank]);
        let longest = counts.iter().max().map_or(0, |longest| longest + MessageStamp::LEN);
        let board = self.board(longest, 0)?;
        let board = board.as_deref();
        if let (false, Some(board)) = (self.leads(), board) {
            board.fill(|slot| {
                slot[..MessageStamp::LEN].copy_from_slice(&stamp.to_floats());
                slot[MessageStamp::LEN..][..mine.len()].copy_from_slice(mine);
            });
            return Ok(());
        }
        let mut message = self.message.borrow_mut();
        if !self.is_root() {
            message.clear();
            message.extend_from_slice(&stamp.to_floats());
            self.collect(stamp, board, mine, counts, |_, part| message.extend_from_slice(part))?;
            if let Some(leaders) = self.nodes.between() {
                nodes::send(leaders, 0, &message);
            }
            return Ok(());
        }
        assert_eq!(all.len(), counts.iter().sum::<usize>());
        let starts = starts(counts);
        let mut place = |rank: usize, part: &[f32]| {
            all[starts[rank]..][..part.len()].copy_from_slice(part);
        };
        self.collect(stamp, board, mine, counts, &mut place)?;
        if let Some(leaders) = self.nodes.between() {
            for (node, ranks) in self.nodes.ranks.iter().enumerate().skip(1) {
                nodes::receive(leaders, node, &mut message);
                let (head, mut rest) = message.split_at(MessageStamp::LEN);
                stamp.check(head, ranks[0])?;
                for &rank in ranks {
                    let (part, after) = rest.split_at(counts[rank]);
                    place(rank, part);
                    rest = after;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn scatter(
        &self,
        stamp: MessageStamp,
        all: &[f32],
        counts: &[usize],
        mine: &mut [f32],
    ) -> Result<(), CommError> {
        assert_eq!(mine.len(), counts[self.rank]);
        let here = self.nodes.here();
        let length = |ranks: &[usize]| ranks.iter().map(|&rank| counts[rank]).sum::<usize>();
        let board = self.board(0, MessageStamp::LEN + length(here))?;
        let board = board.as_deref();
        // Offset of this rank's part within its node's message.
        let before = length(&here[..here.partition_point(|&rank| rank < self.rank)]);
        let mut take = |message: &[f32]| {
            stamp.check(&message[..MessageStamp::LEN], 0)?;
            mine.copy_from_slice(&message[MessageStamp::LEN + before..][..counts[self.rank]]);
            Ok(())
        };
        if let (false, Some(board)) = (self.leads(), board) {
            return board.read(take);
        }
        let mut message = self.message.borrow_mut();
        if self.is_root() {
            assert_eq!(all.len(), counts.iter().sum::<usize>());
            let starts = starts(counts);
            let fill_message = |ranks: &[usize], message: &mut Vec<f32>| {
                message.clear();
                message.extend_from_slice(&stamp.to_floats());
                let part = |&rank: &usize| &all[starts[rank]..][..counts[rank]];
                ranks.iter().map(part).for_each(|part| message.extend_from_slice(part));
            };
            if let Some(leaders) = self.nodes.between() {
                for (node, ranks) in self.nodes.ranks.iter().enumerate().skip(1) {
                    fill_message(ranks, &mut message);
                    nodes::send(leaders, node, &message);
                }
            }
            fill_message(here, &mut message);
        } else if let Some(leaders) = self.nodes.between() {
            nodes::receive(leaders, 0, &mut message);
        }
        if let Some(board) = board {
            board.publish(|notice| notice[..message.len()].copy_from_slice(&message));
        }
        take(&message)
    }

    pub(crate) fn broadcast(
        &self,
        stamp: MessageStamp,
        values: &mut [f32],
    ) -> Result<(), CommError> {
        let board = self.board(0, MessageStamp::LEN + values.len())?;
        let board = board.as_deref();
        if let (false, Some(board)) = (self.leads(), board) {
            return board.read(|notice| {
                let (head, body) = notice.split_at(MessageStamp::LEN);
                stamp.check(head, 0)?;
                values.copy_from_slice(&body[..values.len()]);
                Ok(())
            });
        }
        let mut head = stamp.to_floats();
        if let Some(leaders) = self.nodes.between() {
            let mut message = self.message.borrow_mut();
            message.clear();
            message.extend_from_slice(&head);
            message.extend_from_slice(values);
            nodes::broadcast(leaders, &mut message);
            head.copy_from_slice(&message[..MessageStamp::LEN]);
            values.copy_from_slice(&message[MessageStamp::LEN..]);
        }
        if let Some(board) = board {
            board.publish(|notice| {
                notice[..MessageStamp::LEN].copy_from_slice(&head);
                notice[MessageStamp::LEN..][..values.len()].copy_from_slice(values);
            });
        }
        stamp.check(&head, 0)
    }

    pub(crate) fn sum(
        &self,
        stamp: MessageStamp,
        mine: &mut [f32],
        ranks: Ranks,
        total: &mut [f32],
    ) -> Result<(), CommError> {
        let (stocks, block) = (ranks.stocks, total.len());
        let left_of = |rank: usize| tree::left_of(ranks.owned(rank), stocks);
        // Contiguous stocks leave at most two nodes per level.
        let most = 2 * (usize::BITS - stocks.leading_zeros()) as usize;
        let longest = ranks.most_owned().min(most) * block + MessageStamp::LEN;
        let board = self.board(longest, 0)?;
        let own = ranks.owned(self.rank).zip(mine.chunks_exact_mut(block));
        let own = own.map(|(stock, values)| PartialSum { node: Node::leaf(stock), values });
        let parts = tree::merge(own.collect(), stocks);
        match board.as_deref() {
            Some(board) if !self.leads() => {
                board.fill(|slot| {
                    slot[..MessageStamp::LEN].copy_from_slice(&stamp.to_floats());
                    let places = slot[MessageStamp::LEN..].chunks_exact_mut(block);
                    places.zip(&parts).for_each(|(place, part)| place.copy_from_slice(part.values));
                });
                Ok(())
            }
            Some(board) => board.empty(|slots| {
                let mut parts = parts;
                for (&rank, slot) in self.nodes.here()[1..].iter().zip(slots) {
                    let (head, body) = slot.split_at_mut(MessageStamp::LEN);
                    stamp.check(head, rank)?;
                    let blocks = left_of(rank).into_iter().zip(body.chunks_exact_mut(block));
                    parts.extend(blocks.map(|(node, values)| PartialSum { node, values }));
                }
                self.sum_between(stamp, parts, (stocks, block), total)
            }),
            None => self.sum_between(stamp, parts, (stocks, block), total),
        }
    }

    /// The node's board with capacity for at least these floats per slot and in the notice; None if
    /// this rank is alone on its node. Collective: the node's ranks pass the same numbers.
    fn board(&self, slot: usize, notice: usize) -> Result<Option<Ref<'_, NodeBuffers>>, CommError> {
        if self.nodes.here().len() == 1 {
            return Ok(None);
        }
        let room = self.board.borrow().as_ref().map_or([0, 0], NodeBuffers::room);
        if room[0] < slot || room[1] < notice {
            // Free the old one first: there may not be room for both.
            self.board.replace(None);
            let wanted = [room[0].max(slot), room[1].max(notice)];
            let board = NodeBuffers::new(&self.nodes.node, wanted[0], wanted[1], self.awake)?;
            self.board.replace(Some(board));
        }
        Ok(Ref::filter_map(self.board.borrow(), Option::as_ref).ok())
    }

    fn leads(&self) -> bool {
        self.nodes.leaders.is_some()
    }

    /// Passes the data of this rank and of the others of its node to `place`, with their ranks. For
    /// leaders.
    fn collect(
        &self,
        stamp: MessageStamp,
        board: Option<&NodeBuffers>,
        mine: &[f32],
        counts: &[usize],
        mut place: impl FnMut(usize, &[f32]),
    ) -> Result<(), CommError> {
        place(self.rank, mine);
        let Some(board) = board else { return Ok(()) };
        board.empty(|slots| {
            for (&rank, slot) in self.nodes.here()[1..].iter().zip(slots) {
                let (head, body) = slot.split_at(MessageStamp::LEN);
                stamp.check(head, rank)?;
                place(rank, &body[..counts[rank]]);
            }
            Ok(())
        })
    }

    /// Adds the node's remaining parts to those of other nodes and sends the rest on; on rank 0 the
    /// rest is the sum. For leaders.
    fn sum_between<'a>(
        &self,
        stamp: MessageStamp,
        parts: Vec<PartialSum<'a>>,
        (stocks, block): (usize, usize),
        total: &mut [f32],
    ) -> Result<(), CommError> {
        let mut parts = tree::merge(parts, stocks);
        let mut arrived: Vec<Vec<f32>> = Vec::new();
        if let Some(leaders) = self.nodes.between() {
            let (own, count) = (self.nodes.own, self.nodes.ranks.len());
            // Binary reduction: every second node receives from the next one, then every fourth.
            let takes = |distance: &usize| own.is_multiple_of(2 * distance);
            let distances = std::iter::successors(Some(1), |distance| Some(2 * distance));
            let distances = distances.take_while(|&distance| distance < count);
            for distance in distances.clone().take_while(takes) {
                if own + distance < count {
                    let mut message = Vec::new();
                    nodes::receive(leaders, own + distance, &mut message);
                    stamp.check(&message, self.nodes.ranks[own + distance][0])?;
                    arrived.push(message);
                }
            }
            let others = arrived.iter_mut().flat_map(|message| unpacked(message, block));
            parts.extend(others);
            parts.sort_by_key(|part| part.node.first);
            parts = tree::merge(parts, stocks);
            if let Some(distance) = distances.clone().find(|distance| !takes(distance)) {
                let mut message = self.message.borrow_mut();
                pack(stamp, &parts, &mut message);
                nodes::send(leaders, own - distance, &message);
            }
        }
        if self.is_root() {
            let [sum] = &parts[..] else { unreachable!("rank 0 has the sum of all stocks") };
            total.copy_from_slice(sum.values);
        }
        Ok(())
    }
}

/// Message format: stamp, number of parts, their nodes, their values.
fn pack(stamp: MessageStamp, parts: &[PartialSum<'_>], message: &mut Vec<f32>) {
    let bits = |number: usize| f32::from_bits(number as u32);
    message.clear();
    message.extend_from_slice(&stamp.to_floats());
    message.push(bits(parts.len()));
    for PartialSum { node, .. } in parts {
        message.extend([bits(node.first), bits(node.level as usize)]);
    }
    parts.iter().for_each(|part| message.extend_from_slice(part.values));
}

/// The parts of a message whose stamp has been checked.
fn unpacked(message: &mut [f32], block: usize) -> impl Iterator<Item = PartialSum<'_>> {
    let (count, rest) = message[MessageStamp::LEN..].split_at_mut(1);
    let (nodes, values) = rest.split_at_mut(2 * count[0].to_bits() as usize);
    let nodes = nodes.chunks_exact(2).map(|node| {
        let [first, level] = [node[0], node[1]].map(f32::to_bits);
        Node { first: first as usize, level }
    });
    nodes.zip(values.chunks_exact_mut(block)).map(|(node, values)| PartialSum { node, values })
}
