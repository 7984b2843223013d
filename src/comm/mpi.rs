//! [`Comm`] over MPI. Only the main thread calls it (`MPI_THREAD_FUNNELED`).

mod copy;
mod exchange;
mod mailbox;
mod node_buffers;
mod nodes;
mod shared_window;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::collective::{CommunicatorCollectives, Root};
use mpi::datatype::PartitionMut;
use mpi::environment::{Universe, initialize_with_threading};
use mpi::point_to_point::{Destination, Source};
use mpi::topology::{Communicator, SimpleCommunicator};

use exchange::Exchange;
use nodes::{Nodes, wait_for};

use super::comm::{self, Comm, MessageFor, MessageStamp, OnMessage, StreamWork};
use super::error::CommError;
use super::heartbeat::connect::{self, Invitation};
use super::heartbeat::peer::Peer;
use super::heartbeat::startup_deadline::StartupDeadline;
use super::heartbeat::{EXIT_LOST, HeartbeatMonitor, HeartbeatTimeouts, MonitorConfig, PULSE};
use super::mailbox::{Mailbox, ServerLink};
use super::ranks::Ranks;
use crate::errors::tell;

/// Message tags of [`Comm::stream_to_root`].
const WORK: i32 = 1;
const WORK_DONE: i32 = 2;
/// Message tag of [`Comm::scatter_bytes`].
const SHARE: i32 = 6;
/// MPI counts are 32-bit, so long messages are sent in chunks of this size.
const PIECE_BYTES: usize = 64 << 20;

/// Limits of the pause between two polls.
const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// For this long, a waiting rank yields instead of sleeping: most messages arrive sooner.
const NO_PAUSE: Duration = Duration::from_micros(500);
/// A pause is this fraction (1 / n) of the time waited so far.
const PATIENCE_PART: u32 = 16;
/// How long a rank yields before it sleeps while it waits for other ranks of its node, if there is
/// a core for every worker. Most waits are shorter, and waking up takes longer on an idle core.
/// With fewer cores than workers no core is idle, and yielding would slow down the working ranks.
const AWAKE: Duration = Duration::from_micros(100);

/// All ranks of an MPI job. Dropping it finalizes MPI.
pub struct MpiComm {
    world: SimpleCommunicator,
    exchange: Exchange,
    /// The nodes are simulated: see [`MpiComm::start`].
    pretended_nodes: bool,
    rank: usize,
    size: usize,
    /// Finalizes MPI when it is dropped.
    _universe: Universe,
    /// Dropped last, because a rank may hang until all ranks have finalized.
    watch: Option<HeartbeatMonitor>,
}

impl MpiComm {
    /// Initializes MPI. `ranks_per_node` simulates nodes of that many ranks, to test communication
    /// between nodes on one machine. Errors: MPI was initialized before, lacks
    /// `MPI_THREAD_FUNNELED`, or cannot split the ranks by node.
    pub fn start(ranks_per_node: Option<usize>) -> Result<MpiComm, CommError> {
        let broken = |what: &str| CommError::Mpi {
            what: what.into(),
            hint: "start the program with mpirun, or use --mode single".into(),
            cause: None,
        };
        let (universe, threading) = initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| broken("it was initialized twice"))?;
        if threading < Threading::Funneled {
            return Err(broken("this library has no MPI_THREAD_FUNNELED"));
        }
        set_timer_slack();
        let world = universe.world();
        let nodes = Nodes::split(&world, ranks_per_node)
            .ok_or_else(|| broken("the ranks could not be split by machine"))?;
        let awake = if is_crowded(workers(nodes.here())) { Duration::ZERO } else { AWAKE };
        Ok(MpiComm {
            rank: world.rank() as usize,
            size: world.size() as usize,
            world,
            exchange: Exchange::new(nodes, awake),
            pretended_nodes: ranks_per_node.is_some(),
            _universe: universe,
            watch: None,
        })
    }

    /// Starts the heartbeat: from now on the job ends when a rank dies or hangs, with an error line
    /// that calls it by its entry in `names`. Rank 0 listens on `port`; 0: on a free one. Returns on
    /// rank 0 a warning if some ranks cannot be watched.
    pub(crate) fn watch(
        &mut self,
        timeouts: HeartbeatTimeouts,
        port: u16,
        names: &[String],
        start: &StartupDeadline,
    ) -> Option<String> {
        let is_one_machine = self.exchange.nodes().here().len() == self.size;
        let opened = self.is_root().then(|| connect::open(is_one_machine, port));
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
            _ => {
                (Vec::new(), self.gather_bytes(b"rank 0 could open no port; is ranks.port taken?"))
            }
        };
        self.start_watch(timeouts, names, peers, failures)
    }

    fn start_watch(
        &mut self,
        timeouts: HeartbeatTimeouts,
        names: &[String],
        peers: Vec<Peer>,
        failures: Vec<Vec<u8>>,
    ) -> Option<String> {
        if !peers.is_empty() {
            let post = MonitorConfig {
                rank: self.rank,
                names: names.to_vec(),
                timeouts,
                pulse: &PULSE,
                say: tell,
                end: || SimpleCommunicator::world().abort(EXIT_LOST),
            };
            self.watch = Some(HeartbeatMonitor::start(post, peers));
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

    /// Number of ranks on this rank's node, including itself.
    pub(crate) fn ranks_here(&self) -> usize {
        self.exchange.nodes().here().len()
    }

    /// Default number of threads of this rank; 0: one per core. Rank 0 computes features and
    /// decides while the workers wait, so it gets all cores. Workers share the cores of their node;
    /// with fewer cores than workers each gets a second thread, so that the last two cores can
    /// share the last worker's minibatch.
    pub(crate) fn usual_threads(&self) -> usize {
        let workers = workers(self.exchange.nodes().here());
        if self.is_root() {
            0
        } else if is_crowded(workers) {
            2
        } else {
            // Of the cores that the launcher assigned to this rank.
            (std::thread::available_parallelism().map_or(1, usize::from) / workers).max(1)
        }
    }

    /// Ends all ranks at once. For failures that the other ranks cannot know of.
    pub(crate) fn abort_all(code: i32) -> ! {
        PULSE.leave();
        SimpleCommunicator::world().abort(code)
    }

    /// A barrier that sleeps while it waits: other ranks may work for minutes.
    fn barrier(&self) {
        wait_for(self.world.immediate_barrier());
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

/// Number of workers among `ranks`.
fn workers(ranks: &[usize]) -> usize {
    ranks.iter().filter(|&&rank| rank > 0).count()
}

/// Whether there are more workers than online cores of this machine, regardless of CPU affinity.
fn is_crowded(workers: usize) -> bool {
    // SAFETY: takes and returns a number; below 0 if it is unknown.
    let cores = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(cores).is_ok_and(|cores| workers > cores)
}

/// Sets this thread's timer slack. By default Linux may wake a thread 50 us late to save power,
/// which is as long as a whole collective call.
fn set_timer_slack() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes nanoseconds and changes only this thread's timers. If it fails, wake-ups are
    // later.
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

/// Offset of each message in their concatenation.
fn starts(counts: &[usize]) -> Vec<usize> {
    let before = |at: &mut usize, &count: &usize| {
        *at += count;
        Some(*at - count)
    };
    counts.iter().scan(0, before).collect()
}

impl Comm for MpiComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn library(&self) -> String {
        let version = mpi::environment::library_version().unwrap_or_default();
        // Open MPI appends who built it and when.
        version.trim_end_matches('\0').split([',', '\n']).next().unwrap_or_default().into()
    }

    fn gather(
        &self,
        stamp: MessageStamp,
        mine: &[f32],
        counts: &[usize],
        all: &mut [f32],
    ) -> Result<(), CommError> {
        self.exchange.gather(stamp, mine, counts, all)
    }

    fn scatter(
        &self,
        stamp: MessageStamp,
        all: &[f32],
        counts: &[usize],
        mine: &mut [f32],
    ) -> Result<(), CommError> {
        self.exchange.scatter(stamp, all, counts, mine)
    }

    fn broadcast(&self, stamp: MessageStamp, values: &mut [f32]) -> Result<(), CommError> {
        self.exchange.broadcast(stamp, values)
    }

    fn sum(
        &self,
        stamp: MessageStamp,
        mine: &mut [f32],
        ranks: Ranks,
        total: &mut [f32],
    ) -> Result<(), CommError> {
        self.exchange.sum(stamp, mine, ranks, total)
    }

    fn broadcast_bytes(&self, bytes: &mut Vec<u8>) {
        self.barrier();
        MpiComm::broadcast_in(&self.world, bytes);
    }

    fn gather_bytes(&self, mine: &[u8]) -> Vec<Vec<u8>> {
        self.barrier();
        let root = self.world.process_at_rank(0);
        // Never empty: Rust's dangling pointer to an empty slice equals Open MPI's MPI_IN_PLACE.
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

    fn scatter_bytes(&self, message_for: &mut MessageFor<'_>) -> Vec<u8> {
        if self.is_root() {
            let mine = message_for(0);
            for rank in 1..self.size {
                let message = message_for(rank);
                let to = self.world.process_at_rank(rank as i32);
                to.send_with_tag(&(message.len() as u64), SHARE);
                for piece in message.chunks(PIECE_BYTES) {
                    to.send_with_tag(piece, SHARE);
                    PULSE.work();
                }
            }
            self.barrier();
            return mine;
        }
        let root = self.world.process_at_rank(0);
        PULSE.wait();
        let since = Instant::now();
        while root.immediate_probe_with_tag(SHARE).is_none() {
            pause_after(since.elapsed());
        }
        let (len, _) = root.receive_with_tag::<u64>(SHARE);
        let mut message = vec![0; len as usize];
        for piece in message.chunks_mut(PIECE_BYTES) {
            root.receive_into_with_tag(piece, SHARE);
            PULSE.work();
        }
        self.barrier();
        message
    }

    fn stream_to_root(&self, work: &mut StreamWork<'_>, on_message: &mut OnMessage<'_>) {
        let root = self.world.process_at_rank(0);
        if !self.is_root() {
            work(&mut |bytes| {
                root.send_with_tag(bytes, WORK);
                PULSE.work();
            });
            root.send_with_tag(&[0u8][..], WORK_DONE);
            // Whoever leaves before the others may send what rank 0 does not expect yet.
            self.barrier();
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
        self.barrier();
    }

    fn mailbox(&self) -> Option<&dyn Mailbox> {
        self.is_root().then_some(self)
    }

    fn server_link(&self) -> Option<&dyn ServerLink> {
        (!self.is_root()).then_some(self)
    }

    fn share_file(&self, path: &Path) -> Result<PathBuf, CommError> {
        let here = match (self.pretended_nodes, self.exchange.nodes().own) {
            (true, node) if node > 0 => copy::beside(path, node),
            _ => path.to_path_buf(),
        };
        let copied = match self.exchange.nodes().between() {
            Some(leaders) => copy::between_nodes(leaders, path, &here),
            None => Ok(()),
        };
        let hint = "free space there, or name another folder with --cache";
        comm::agree(self, copied.map_err(|e| format!("{}: {e}; {hint}", here.display())))?;
        Ok(here)
    }
}
