//! [`Comm`] over MPI. Only the main thread calls it (`MPI_THREAD_FUNNELED`).

mod board;
mod copy;
mod mailbox;
mod nodes;
mod window;

use std::cell::{Ref, RefCell};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::collective::{CommunicatorCollectives, Root};
use mpi::datatype::PartitionMut;
use mpi::environment::{Universe, initialize_with_threading};
use mpi::point_to_point::{Destination, Source};
use mpi::topology::{Communicator, SimpleCommunicator};

use board::Board;
use nodes::{Nodes, wait_for};

use super::comm::{self, Comm, CommError, OnMessage, Stamp};
use super::heartbeat::connect::{self, Invitation};
use super::heartbeat::peer::Peer;
use super::heartbeat::start::Start;
use super::heartbeat::{EXIT_LOST, PULSE, Patience, Post, Watch};
use super::mailbox::{Line, Mailbox};
use super::ranks::Ranks;
use super::tree::{self, Node, Part};

/// Messages of [`Comm::stream_to_root`].
const WORK: i32 = 1;
const WORK_DONE: i32 = 2;
/// MPI counts are 32-bit, so long messages go in pieces of this many bytes.
const PIECE_BYTES: usize = 64 << 20;

/// Between two looks for what a rank waits for.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Others that are about to come are waited for without a pause, but not in their way.
const NO_PAUSE: Duration = Duration::from_micros(500);
/// Pauses are so small a part of the time waited already.
const PATIENCE_PART: u32 = 16;
/// How long a rank waits with yields for the others of its node before it sleeps, where every rank
/// has a core of its own. Where not, it sleeps at once, for others have use for the core.
const AWAKE: Duration = Duration::from_micros(100);

pub struct MpiComm {
    world: SimpleCommunicator,
    nodes: Nodes,
    /// The nodes are not what the hardware says; see [`MpiComm::start`].
    pretended_nodes: bool,
    rank: usize,
    size: usize,
    awake: Duration,
    /// None before the first exchange, and where this rank is alone on its node.
    board: RefCell<Option<Board>>,
    /// A message between nodes, with its stamp, reused.
    message: RefCell<Vec<f32>>,
    /// Finalizes MPI when it is dropped.
    _universe: Universe,
    /// Dropped last: others may hang until all have finalized.
    watch: Option<Watch>,
}

impl MpiComm {
    /// Starts MPI. `ranks_per_node` treats every so many ranks as a machine of their own, to try on
    /// one machine what happens between several.
    pub fn start(ranks_per_node: Option<usize>) -> Result<MpiComm, CommError> {
        let broken = |what: &str| CommError::Mpi {
            what: what.into(),
            todo: "start the program with mpirun, or use --mode single".into(),
        };
        let (universe, threading) = initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| broken("it was started twice"))?;
        if threading < Threading::Funneled {
            return Err(broken("this library has no MPI_THREAD_FUNNELED"));
        }
        wake_on_time();
        let world = universe.world();
        let nodes = Nodes::of(&world, ranks_per_node)
            .ok_or_else(|| broken("the ranks could not be split by machine"))?;
        let sharing = world.split_shared(0).size() as usize;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(MpiComm {
            rank: world.rank() as usize,
            size: world.size() as usize,
            world,
            nodes,
            pretended_nodes: ranks_per_node.is_some(),
            awake: if sharing > cores { Duration::ZERO } else { AWAKE },
            board: RefCell::default(),
            message: RefCell::default(),
            _universe: universe,
            watch: None,
        })
    }

    /// From now on a rank that dies or hangs ends the job, with a line by one of `names`. Returns
    /// on rank 0 a line about the ranks that cannot be watched, should there be any.
    pub fn watch(&mut self, patience: Patience, names: &[String], start: &Start) -> Option<String> {
        let is_one_machine = self.nodes.here().len() == self.size;
        let opened = self.is_root().then(|| connect::open(is_one_machine));
        let invitation = opened.as_ref().and_then(|opened| opened.as_ref().ok());
        let invitation = invitation.and_then(|(_, invitation)| serde_json::to_vec(invitation).ok());
        let mut bytes = invitation.unwrap_or_default();
        self.broadcast_bytes(&mut bytes);
        let invitation: Option<Invitation> = serde_json::from_slice(&bytes).ok();
        let (peers, failures) = match (&opened, &invitation) {
            (Some(Ok((listener, _))), Some(invitation)) => {
                let all_tried = AtomicBool::new(false);
                let workers = self.size - 1;
                let missing = |rank: usize| start.wait_for(&names[rank]);
                std::thread::scope(|scope| {
                    let accepting = scope.spawn(|| {
                        connect::accept(listener, invitation, workers, &all_tried, missing)
                    });
                    let failures = self.gather_bytes(b"");
                    all_tried.store(true, Ordering::Relaxed);
                    (accepting.join().unwrap_or_default(), failures)
                })
            }
            (None, Some(invitation)) => match connect::join(invitation, self.rank) {
                Ok(peer) => (vec![peer], self.gather_bytes(b"")),
                Err(e) => (Vec::new(), self.gather_bytes(e.to_string().as_bytes())),
            },
            _ => (Vec::new(), self.gather_bytes(b"no port could be opened")),
        };
        self.start_watch(patience, names, peers, failures)
    }

    fn start_watch(
        &mut self,
        patience: Patience,
        names: &[String],
        peers: Vec<Peer>,
        failures: Vec<Vec<u8>>,
    ) -> Option<String> {
        if !peers.is_empty() {
            let post = Post {
                rank: self.rank,
                names: names.to_vec(),
                patience,
                pulse: &PULSE,
                say: |line| eprintln!("{line}"),
                end: || SimpleCommunicator::world().abort(EXIT_LOST),
            };
            self.watch = Some(Watch::start(post, peers));
        }
        let (rank, failure) =
            failures.iter().enumerate().rfind(|(_, failure)| !failure.is_empty())?;
        Some(format!(
            "{} has no connection to rank 0 ({}): should it hang, nobody will notice; \
             let the machines reach each other's TCP ports",
            names[rank],
            String::from_utf8_lossy(failure)
        ))
    }

    /// Ranks that share this one's machine, itself included.
    pub fn ranks_here(&self) -> usize {
        self.nodes.here().len()
    }

    /// Ends every rank at once. For failures that the other ranks cannot know of.
    pub fn abort_all(code: i32) -> ! {
        PULSE.leave();
        SimpleCommunicator::world().abort(code)
    }

    /// Waits until all ranks have come here, without keeping a core busy: one may be at work for
    /// minutes.
    fn meet(&self) {
        wait_for(self.world.immediate_barrier());
    }

    /// The node's board with room for so many floats in every slot and in the notice; None where
    /// this rank is alone. The node's ranks call it with the same numbers.
    fn board(&self, slot: usize, notice: usize) -> Result<Option<Ref<'_, Board>>, CommError> {
        if self.nodes.here().len() == 1 {
            return Ok(None);
        }
        let room = self.board.borrow().as_ref().map_or([0, 0], Board::room);
        if room[0] < slot || room[1] < notice {
            // The old one goes first: two may be more than there is room for.
            self.board.replace(None);
            let wanted = [room[0].max(slot), room[1].max(notice)];
            let board = Board::new(&self.nodes.node, wanted[0], wanted[1], self.awake)?;
            self.board.replace(Some(board));
        }
        Ok(Ref::filter_map(self.board.borrow(), Option::as_ref).ok())
    }

    fn leads(&self) -> bool {
        self.nodes.leaders.is_some()
    }

    /// Fills a message with what this rank and the others of its node have for rank 0, each rank's
    /// part at the place that `at` gives. For leaders.
    fn collect(
        &self,
        stamp: Stamp,
        board: Option<&Board>,
        mine: &[f32],
        counts: &[usize],
        mut place: impl FnMut(usize, &[f32]),
    ) -> Result<(), CommError> {
        place(self.rank, mine);
        let Some(board) = board else { return Ok(()) };
        board.empty(|slots| {
            for (&rank, slot) in self.nodes.here()[1..].iter().zip(slots) {
                let (head, body) = slot.split_at(Stamp::LEN);
                stamp.check(head, rank)?;
                place(rank, &body[..counts[rank]]);
            }
            Ok(())
        })
    }

    /// Adds what the node's ranks have left of their stocks to what other nodes send, and sends on
    /// what is left then; on rank 0 that is the sum. For leaders.
    fn sum_between<'a>(
        &self,
        stamp: Stamp,
        parts: Vec<Part<'a>>,
        (stocks, block): (usize, usize),
        total: &mut [f32],
    ) -> Result<(), CommError> {
        let mut parts = tree::merge(parts, stocks);
        let mut arrived: Vec<Vec<f32>> = Vec::new();
        if let Some(leaders) = self.nodes.between() {
            let (own, count) = (self.nodes.own, self.nodes.ranks.len());
            // Of nodes in a row every second one takes what the next one has, then every fourth.
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

    fn broadcast_in(communicator: &SimpleCommunicator, bytes: &mut Vec<u8>) {
        let root = communicator.process_at_rank(0);
        let mut len = bytes.len() as u64;
        root.broadcast_into(&mut len);
        bytes.resize(len as usize, 0);
        for piece in bytes.chunks_mut(PIECE_BYTES) {
            root.broadcast_into(piece);
        }
    }
}

/// Linux wakes a thread up to 50 us later than it asked for, to save power; that is as long as a
/// whole exchange may take.
fn wake_on_time() {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes a number of nanoseconds and changes nothing but this thread's wake-ups. Where
    // it fails, threads wake later.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000 as libc::c_ulong);
    }
}

fn pause_after(waited: Duration) {
    if waited < NO_PAUSE {
        std::thread::yield_now();
    } else {
        std::thread::sleep((waited / PATIENCE_PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}

/// Where each of several messages begins when they stand one after the other.
fn starts(counts: &[usize]) -> Vec<usize> {
    let before = |at: &mut usize, &count: &usize| {
        *at += count;
        Some(*at - count)
    };
    counts.iter().scan(0, before).collect()
}

/// Stamp, number of parts, their nodes, their values.
fn pack(stamp: Stamp, parts: &[Part<'_>], message: &mut Vec<f32>) {
    let bits = |number: usize| f32::from_bits(number as u32);
    message.clear();
    message.extend_from_slice(&stamp.to_floats());
    message.push(bits(parts.len()));
    for Part { node, .. } in parts {
        message.extend([bits(node.first), bits(node.level as usize)]);
    }
    parts.iter().for_each(|part| message.extend_from_slice(part.values));
}

/// The parts of a message whose stamp was checked.
fn unpacked(message: &mut [f32], block: usize) -> impl Iterator<Item = Part<'_>> {
    let (count, rest) = message[Stamp::LEN..].split_at_mut(1);
    let (nodes, values) = rest.split_at_mut(2 * count[0].to_bits() as usize);
    let nodes = nodes.chunks_exact(2).map(|node| {
        let [first, level] = [node[0], node[1]].map(f32::to_bits);
        Node { first: first as usize, level }
    });
    nodes.zip(values.chunks_exact_mut(block)).map(|(node, values)| Part { node, values })
}

impl Comm for MpiComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn library(&self) -> String {
        let told = mpi::environment::library_version().unwrap_or_default();
        // Open MPI says more, about who built it when.
        told.trim_end_matches('\0').split([',', '\n']).next().unwrap_or_default().into()
    }

    fn gather(
        &self,
        stamp: Stamp,
        mine: &[f32],
        counts: &[usize],
        all: &mut [f32],
    ) -> Result<(), CommError> {
        assert_eq!(mine.len(), counts[self.rank]);
        let longest = counts.iter().max().map_or(0, |longest| longest + Stamp::LEN);
        let board = self.board(longest, 0)?;
        let board = board.as_deref();
        if let (false, Some(board)) = (self.leads(), board) {
            board.fill(|slot| {
                slot[..Stamp::LEN].copy_from_slice(&stamp.to_floats());
                slot[Stamp::LEN..][..mine.len()].copy_from_slice(mine);
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
                let (head, mut rest) = message.split_at(Stamp::LEN);
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

    fn scatter(
        &self,
        stamp: Stamp,
        all: &[f32],
        counts: &[usize],
        mine: &mut [f32],
    ) -> Result<(), CommError> {
        assert_eq!(mine.len(), counts[self.rank]);
        let here = self.nodes.here();
        let length = |ranks: &[usize]| ranks.iter().map(|&rank| counts[rank]).sum::<usize>();
        let board = self.board(0, Stamp::LEN + length(here))?;
        let board = board.as_deref();
        // Where this rank's part stands among those of its node.
        let before = length(&here[..here.partition_point(|&rank| rank < self.rank)]);
        let mut take = |message: &[f32]| {
            stamp.check(&message[..Stamp::LEN], 0)?;
            mine.copy_from_slice(&message[Stamp::LEN + before..][..counts[self.rank]]);
            Ok(())
        };
        if let (false, Some(board)) = (self.leads(), board) {
            return board.read(take);
        }
        let mut message = self.message.borrow_mut();
        if self.is_root() {
            assert_eq!(all.len(), counts.iter().sum::<usize>());
            let starts = starts(counts);
            let deal = |ranks: &[usize], message: &mut Vec<f32>| {
                message.clear();
                message.extend_from_slice(&stamp.to_floats());
                let part = |&rank: &usize| &all[starts[rank]..][..counts[rank]];
                ranks.iter().map(part).for_each(|part| message.extend_from_slice(part));
            };
            if let Some(leaders) = self.nodes.between() {
                for (node, ranks) in self.nodes.ranks.iter().enumerate().skip(1) {
                    deal(ranks, &mut message);
                    nodes::send(leaders, node, &message);
                }
            }
            deal(here, &mut message);
        } else if let Some(leaders) = self.nodes.between() {
            nodes::receive(leaders, 0, &mut message);
        }
        if let Some(board) = board {
            board.put_up(|notice| notice[..message.len()].copy_from_slice(&message));
        }
        take(&message)
    }

    fn broadcast(&self, stamp: Stamp, values: &mut [f32]) -> Result<(), CommError> {
        let board = self.board(0, Stamp::LEN + values.len())?;
        let board = board.as_deref();
        if let (false, Some(board)) = (self.leads(), board) {
            return board.read(|notice| {
                let (head, body) = notice.split_at(Stamp::LEN);
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
            nodes::spread(leaders, &mut message);
            head.copy_from_slice(&message[..Stamp::LEN]);
            values.copy_from_slice(&message[Stamp::LEN..]);
        }
        if let Some(board) = board {
            board.put_up(|notice| {
                notice[..Stamp::LEN].copy_from_slice(&head);
                notice[Stamp::LEN..][..values.len()].copy_from_slice(values);
            });
        }
        stamp.check(&head, 0)
    }

    fn sum(
        &self,
        stamp: Stamp,
        mine: &mut [f32],
        ranks: Ranks,
        total: &mut [f32],
    ) -> Result<(), CommError> {
        let (stocks, block) = (ranks.stocks, total.len());
        let left_of = |rank: usize| tree::left_of(ranks.owned(rank), stocks);
        // Of stocks in a row at most two nodes per level are left.
        let most = 2 * (usize::BITS - stocks.leading_zeros()) as usize;
        let longest = ranks.most_owned().min(most) * block + Stamp::LEN;
        let board = self.board(longest, 0)?;
        let own = ranks.owned(self.rank).zip(mine.chunks_exact_mut(block));
        let own = own.map(|(stock, values)| Part { node: Node::of(stock), values });
        let parts = tree::merge(own.collect(), stocks);
        match board.as_deref() {
            Some(board) if !self.leads() => {
                board.fill(|slot| {
                    slot[..Stamp::LEN].copy_from_slice(&stamp.to_floats());
                    let places = slot[Stamp::LEN..].chunks_exact_mut(block);
                    places.zip(&parts).for_each(|(place, part)| place.copy_from_slice(part.values));
                });
                Ok(())
            }
            Some(board) => board.empty(|slots| {
                let mut parts = parts;
                for (&rank, slot) in self.nodes.here()[1..].iter().zip(slots) {
                    let (head, body) = slot.split_at_mut(Stamp::LEN);
                    stamp.check(head, rank)?;
                    let blocks = left_of(rank).into_iter().zip(body.chunks_exact_mut(block));
                    parts.extend(blocks.map(|(node, values)| Part { node, values }));
                }
                self.sum_between(stamp, parts, (stocks, block), total)
            }),
            None => self.sum_between(stamp, parts, (stocks, block), total),
        }
    }

    fn broadcast_bytes(&self, bytes: &mut Vec<u8>) {
        self.meet();
        MpiComm::broadcast_in(&self.world, bytes);
    }

    fn gather_bytes(&self, mine: &[u8]) -> Vec<Vec<u8>> {
        self.meet();
        let root = self.world.process_at_rank(0);
        // Never empty: Rust's pointer to no bytes is the address that Open MPI keeps for
        // MPI_IN_PLACE.
        let message = [&[0u8], mine].concat();
        let len = message.len() as i32;
        if !self.is_root() {
            root.gather_into(&len);
            root.gather_varcount_into(&message[..]);
            return Vec::new();
        }
        let mut lens = vec![0i32; self.size];
        root.gather_into_root(&len, &mut lens[..]);
        let counts: Vec<usize> = lens.iter().map(|&len| len as usize).collect();
        let starts = starts(&counts);
        let displacements: Vec<i32> = starts.iter().map(|&start| start as i32).collect();
        let mut all = vec![0u8; counts.iter().sum()];
        let mut partition = PartitionMut::new(&mut all[..], &lens[..], &displacements[..]);
        root.gather_varcount_into_root(&message[..], &mut partition);
        let part = |(&count, &start): (&usize, &usize)| all[start..][1..count].to_vec();
        counts.iter().zip(&starts).map(part).collect()
    }

    fn stream_to_root(
        &self,
        work: &mut dyn FnMut(&mut dyn FnMut(&[u8])),
        on_message: &mut OnMessage<'_>,
    ) {
        let root = self.world.process_at_rank(0);
        if !self.is_root() {
            work(&mut |bytes| {
                root.send_with_tag(bytes, WORK);
                PULSE.work();
            });
            root.send_with_tag(&[0u8][..], WORK_DONE);
            return;
        }
        work(&mut |bytes| on_message(0, bytes.to_vec()));
        let mut working = self.size - 1;
        let mut since = Instant::now();
        while working > 0 {
            if self.world.any_process().immediate_probe().is_none() {
                PULSE.wait();
                pause_after(since.elapsed());
                continue;
            }
            PULSE.work();
            since = Instant::now();
            let (bytes, status) = self.world.any_process().receive_vec::<u8>();
            match status.tag() {
                WORK => on_message(status.source_rank() as usize, bytes),
                _ => working -= 1,
            }
        }
    }

    fn mailbox(&self) -> Option<&dyn Mailbox> {
        self.is_root().then_some(self)
    }

    fn line(&self) -> Option<&dyn Line> {
        (!self.is_root()).then_some(self)
    }

    fn share_file(&self, path: &Path) -> Result<PathBuf, CommError> {
        let here = match (self.pretended_nodes, self.nodes.own) {
            (true, node) if node > 0 => copy::beside(path, node),
            _ => path.to_path_buf(),
        };
        let copied = match self.nodes.between() {
            Some(leaders) => copy::between_nodes(leaders, path, &here),
            None => Ok(()),
        };
        let todo = "free space there, or name another folder with --cache";
        comm::agree(self, copied.map_err(|e| format!("{}: {e}; {todo}", here.display())))?;
        Ok(here)
    }
}
