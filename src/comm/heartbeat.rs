//! Ends the job when a rank dies or hangs. A thread of every worker and one of rank 0 exchange
//! heartbeats over TCP several times a second. A heartbeat carries the number of communication
//! calls that the main thread has started and finished.
//!
//! A connection that closes without a farewell is a death. A missing heartbeat means a stopped
//! process, or a lost machine or network: a slow rank still sends heartbeats. A main thread in an
//! endless loop can only be told from a long computation by its duration, so that limit is wide.

pub(crate) mod connect;
mod datagrams;
pub(crate) mod peer;
pub(crate) mod startup_deadline;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTERM;
use signal_hook::{flag, low_level};

use datagrams::Datagrams;
use peer::{ALIVE, LEAVING, Peer, STOPPING};

/// Heartbeat interval. Short compared with the second that launchers leave between SIGTERM and
/// SIGKILL.
const ROUND: Duration = Duration::from_millis(100);
/// Launchers kill the ranks about a second after SIGTERM. Deaths in this window are not reported.
const LAUNCHER_KILLS: std::ops::Range<Duration> =
    Duration::from_millis(500)..Duration::from_millis(2_500);
/// Workers other than the first wait this long before they report rank 0, so that only one does.
const SECOND_SPEAKER: Duration = Duration::from_secs(2);
/// Exit code of a job that ended because a rank died or hangs. [`super::launch::launch`] restarts
/// after it.
pub(crate) const EXIT_LOST: i32 = 3;
/// A process that could not end the job exits by itself after this time.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// The pulse of this process.
pub(crate) static PULSE: Pulse = Pulse::new();

/// State of the main thread, shared with its watch.
pub(crate) struct Pulse {
    /// Communication calls started and finished: odd while this rank waits for others.
    moves: AtomicU64,
    is_watched: AtomicBool,
    leaving: AtomicBool,
    /// The other ranks have been notified.
    left: AtomicBool,
    stop: OnceLock<Arc<AtomicBool>>,
}

impl Pulse {
    pub(crate) const fn new() -> Pulse {
        Pulse {
            moves: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            left: AtomicBool::new(false),
            stop: OnceLock::new(),
        }
    }

    /// Marks this rank as waiting for others.
    pub(crate) fn wait(&self) {
        self.moves.fetch_or(1, Ordering::Relaxed);
    }

    /// Marks this rank as working, or as having started the next piece of work.
    pub(crate) fn work(&self) {
        self.moves.store((self.moves.load(Ordering::Relaxed) | 1) + 1, Ordering::Relaxed);
    }

    /// Sets the flag that requests this rank to stop.
    pub(crate) fn set_stop_flag(&self, stop: Arc<AtomicBool>) {
        // Fails for a second run in the same process, which does not occur.
        let _ = self.stop.set(stop);
    }

    /// Announces that this rank exits, so that the others do not take it for dead. Returns once
    /// they have been notified; at once if there is no watch.
    pub(crate) fn leave(&self) {
        let is_watched = self.is_watched.load(Ordering::Relaxed);
        let since = Instant::now();
        self.leaving.store(true, Ordering::Relaxed);
        while is_watched && !self.left.load(Ordering::Relaxed) && since.elapsed() < 3 * ROUND {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Limits on silence and on work without communication; None: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeartbeatTimeouts {
    pub(crate) silent: Duration,
    pub(crate) stuck: Option<Duration>,
}

impl HeartbeatTimeouts {
    /// None if the watch is switched off. A quarter of `timeout_s` is kept for ending the job.
    pub(crate) fn from_seconds(timeout_s: f64, stuck_s: f64) -> Option<HeartbeatTimeouts> {
        let stuck = (stuck_s > 0.0).then(|| seconds(stuck_s));
        (timeout_s > 0.0).then(|| HeartbeatTimeouts { silent: seconds(0.75 * timeout_s), stuck })
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// State of a rank as another rank sees it.
#[derive(Clone, Copy, Debug)]
struct PeerStatus {
    rank: usize,
    is_gone: bool,
    silent_for: Duration,
    moves: u64,
    /// Time since `moves` last changed.
    unmoved_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum PeerFault {
    Died,
    Silent(Duration),
    /// Working for this long without communication.
    Stuck(Duration),
    /// All ranks wait for each other.
    Deadlock(Duration),
}

/// The first rank that has to end the job, and the reason.
fn trouble(seen: &[PeerStatus], timeouts: HeartbeatTimeouts) -> Option<(usize, PeerFault)> {
    let died = seen.iter().find(|one| one.is_gone).map(|one| (one.rank, PeerFault::Died));
    let silent = || {
        let one = seen.iter().find(|one| one.silent_for > timeouts.silent)?;
        Some((one.rank, PeerFault::Silent(one.silent_for)))
    };
    let stuck = || {
        let limit = timeouts.stuck?;
        let is_waiting = |one: &PeerStatus| one.moves % 2 == 1;
        let worker = seen.iter().find(|one| !is_waiting(one) && one.unmoved_for > limit);
        if let Some(one) = worker {
            return Some((one.rank, PeerFault::Stuck(one.unmoved_for)));
        }
        let all = seen.iter().all(|one| is_waiting(one) && one.unmoved_for > limit);
        let first = seen.first().filter(|_| all)?;
        Some((first.rank, PeerFault::Deadlock(first.unmoved_for)))
    };
    died.or_else(silent).or_else(stuck)
}

fn error_line(name: &str, trouble: PeerFault) -> String {
    let what = match trouble {
        PeerFault::Died => "died".to_string(),
        PeerFault::Silent(time) => format!(
            "sent no heartbeat for {:.0} s (ranks.timeout_s): \
             it was stopped, or its machine or network is down",
            time.as_secs_f64()
        ),
        PeerFault::Stuck(time) => format!(
            "has worked for {:.0} s without a message (ranks.stuck_s): it hangs",
            time.as_secs_f64()
        ),
        PeerFault::Deadlock(time) => format!(
            "and all others have waited for each other for {:.0} s (ranks.stuck_s)",
            time.as_secs_f64()
        ),
    };
    format!("error: {name} {what}; the job ends; --resume continues from the last checkpoint")
}

/// Parameters of a watch.
#[derive(Clone)]
pub(crate) struct MonitorConfig {
    pub(crate) rank: usize,
    /// Display name of every rank.
    pub(crate) names: Vec<String>,
    pub(crate) timeouts: HeartbeatTimeouts,
    pub(crate) pulse: &'static Pulse,
    /// Prints a line.
    pub(crate) say: fn(&str),
    /// Ends all ranks; need not return.
    pub(crate) end: fn(),
}

/// Runs until it is dropped.
pub(crate) struct HeartbeatMonitor {
    pulse: &'static Pulse,
    thread: Option<JoinHandle<()>>,
}

impl HeartbeatMonitor {
    /// `peers` are the workers on rank 0, and rank 0 on a worker.
    pub(crate) fn start(post: MonitorConfig, peers: Vec<Peer>) -> HeartbeatMonitor {
        let pulse = post.pulse;
        pulse.is_watched.store(true, Ordering::Relaxed);
        let own = OwnStatus::new();
        HeartbeatMonitor {
            pulse,
            thread: Some(std::thread::spawn(move || watch(&post, own, peers))),
        }
    }
}

impl Drop for HeartbeatMonitor {
    fn drop(&mut self) {
        self.pulse.leave();
        if let Some(thread) = self.thread.take() {
            // If it panicked, the panic hook has reported it and ended the job.
            let _ = thread.join();
        }
    }
}

fn watch(post: &MonitorConfig, mut own: OwnStatus, mut peers: Vec<Peer>) {
    let datagrams = Datagrams::beside(&peers);
    loop {
        let now = Instant::now();
        if now - own.round > post.timeouts.silent / 2 {
            // This process was stopped or starved of CPU: heartbeats that the others sent meanwhile
            // may not have been read yet.
            peers.iter_mut().for_each(|peer| (peer.heard, peer.moved) = (now, now));
        }
        own.poll(post, now);
        peers.iter_mut().for_each(|peer| peer.receive(now));
        datagrams.exchange(&mut peers, now);
        let is_leaving = post.pulse.leaving.load(Ordering::Relaxed);
        let word = match (is_leaving, own.stopping) {
            (true, _) => LEAVING,
            (false, Some(_)) => STOPPING,
            (false, None) => ALIVE,
        };
        peers.iter_mut().for_each(|peer| peer.send(word, own.moves));
        if is_leaving {
            post.pulse.left.store(true, Ordering::Relaxed);
            return;
        }
        if let Some(stop) = post.pulse.stop.get().filter(|_| post.rank == 0)
            && peers.iter().any(|peer| peer.is_stopping)
        {
            stop.store(true, Ordering::Relaxed);
        }
        // A rank that left has finished or has ended the job, so this rank should soon finish too.
        if peers.iter().any(|peer| peer.left.is_some_and(|at| now - at > post.timeouts.silent)) {
            end_job(post, &mut peers, None);
        }
        let others = peers.iter().filter(|peer| peer.left.is_none());
        let mut seen: Vec<PeerStatus> = others.map(|peer| peer.seen(now)).collect();
        if post.rank == 0 && seen.len() == peers.len() {
            seen.insert(0, own.seen(now));
        }
        let timeouts = match post.rank {
            0 => post.timeouts,
            // Only rank 0 sees all ranks and can judge who is stuck.
            _ => HeartbeatTimeouts { stuck: None, ..post.timeouts },
        };
        if let Some((rank, what)) = trouble(&seen, timeouts) {
            let is_news = what != PeerFault::Died || !own.is_being_killed(now);
            let line = is_news.then(|| error_line(&post.names[rank], what));
            end_job(post, &mut peers, line);
        }
        std::thread::sleep(ROUND);
    }
}

/// State of this rank.
struct OwnStatus {
    /// Time of the last round.
    round: Instant,
    moves: u64,
    moved: Instant,
    /// SIGTERM has arrived. A launcher that lost a rank sends it to the others at once; it must not
    /// end this rank before the lost one is reported.
    terminate: Arc<AtomicBool>,
    /// When this rank was first requested to stop.
    stopping: Option<Instant>,
}

impl OwnStatus {
    fn new() -> OwnStatus {
        let now = Instant::now();
        let terminate = Arc::new(AtomicBool::new(false));
        // If this fails, this rank may end before it has reported the lost one.
        let _ = flag::register(SIGTERM, terminate.clone());
        OwnStatus { round: now, moves: 0, moved: now, terminate, stopping: None }
    }

    fn poll(&mut self, post: &MonitorConfig, now: Instant) {
        self.round = now;
        let moves = post.pulse.moves.load(Ordering::Relaxed);
        if moves != self.moves {
            (self.moves, self.moved) = (moves, now);
        }
        let terminate = self.terminate.load(Ordering::Relaxed);
        let stop = post.pulse.stop.get();
        if self.stopping.is_none()
            && (terminate || stop.is_some_and(|stop| stop.load(Ordering::Relaxed)))
        {
            self.stopping = Some(now);
        }
        let is_over = self.stopping.is_some_and(|since| now - since > 3 * ROUND);
        if terminate && stop.is_none() && is_over {
            // Before the training loop, nothing else handles the signal. If this fails, launchers
            // send another.
            let _ = low_level::emulate_default_handler(SIGTERM);
        }
    }

    fn is_being_killed(&self, now: Instant) -> bool {
        self.stopping.is_some_and(|since| LAUNCHER_KILLS.contains(&(now - since)))
    }

    fn seen(&self, now: Instant) -> PeerStatus {
        PeerStatus {
            rank: 0,
            is_gone: false,
            silent_for: Duration::ZERO,
            moves: self.moves,
            unmoved_for: now - self.moved,
        }
    }
}

/// Prints the line, sends farewells and ends all ranks; if that fails, only this process.
fn end_job(post: &MonitorConfig, peers: &mut [Peer], line: Option<String>) -> ! {
    if post.rank > 1 && line.is_some() {
        std::thread::sleep(SECOND_SPEAKER);
    }
    if let Some(line) = line {
        (post.say)(&line);
    }
    peers.iter_mut().for_each(|peer| peer.send(LEAVING, 0));
    post.pulse.left.store(true, Ordering::Relaxed);
    let end = post.end;
    std::thread::spawn(end);
    std::thread::sleep(LAST_RESORT);
    end_process()
}

/// Exits without exit handlers, which may wait for the thread that hangs.
fn end_process() -> ! {
    low_level::exit(EXIT_LOST)
}

#[cfg(test)]
mod tests;
