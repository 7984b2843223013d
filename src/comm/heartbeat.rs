//! Ends the job when a rank dies or hangs. Every rank has a thread that is beside its work; those
//! of the workers and that of rank 0 say a word to each other over TCP several times a second, and
//! each says how many exchanges its main thread has begun and ended.
//!
//! A connection that closes without a word is a death. Silence is a process that is stopped, or a
//! machine or network that is gone: a slow rank's thread still speaks. A main thread that goes
//! round in circles can only be told from one at long work by the time it takes, so that limit is
//! a wide one.

pub mod connect;
pub mod peer;
pub mod start;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTERM;
use signal_hook::{flag, low_level};

use peer::{ALIVE, LEAVING, Peer};

/// Between two looks at the connections: short against the second that launchers leave to the ranks
/// between telling them to stop and killing them.
const ROUND: Duration = Duration::from_millis(100);
/// Launchers kill the ranks about a second after they told them to stop: deaths in this time are no
/// news.
const LAUNCHER_KILLS: std::ops::Range<Duration> =
    Duration::from_millis(500)..Duration::from_millis(2_500);
/// Workers other than the first leave it so much time to speak of rank 0.
const SECOND_SPEAKER: Duration = Duration::from_secs(2);
/// Exit code of a job that was ended because a rank died or hangs. Not one of those that are final
/// for [`super::launch::launch`].
pub const EXIT_LOST: i32 = 3;
/// After which a process whose job could not be ended ends itself.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// Of this process.
pub static PULSE: Pulse = Pulse::new();

/// What the main thread lets its watch know.
pub struct Pulse {
    /// Exchanges begun and ended: odd while this rank waits for others.
    moves: AtomicU64,
    is_watched: AtomicBool,
    leaving: AtomicBool,
    /// The others were told.
    left: AtomicBool,
    stop: OnceLock<Arc<AtomicBool>>,
}

impl Pulse {
    #[expect(clippy::new_without_default, reason = "a static needs a const function")]
    pub const fn new() -> Pulse {
        Pulse {
            moves: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            left: AtomicBool::new(false),
            stop: OnceLock::new(),
        }
    }

    /// From now on this rank waits for others.
    pub fn wait(&self) {
        self.moves.fetch_or(1, Ordering::Relaxed);
    }

    /// From now on it is at work, or at the next piece of it.
    pub fn work(&self) {
        self.moves.store((self.moves.load(Ordering::Relaxed) | 1) + 1, Ordering::Relaxed);
    }

    /// The flag by which this rank is told to stop.
    pub fn heed(&self, stop: Arc<AtomicBool>) {
        // A second run in the same process would keep the first one's flag; there is none.
        let _ = self.stop.set(stop);
    }

    /// This rank goes, and has said why if there is a reason: the others are told, so that they do
    /// not take it for dead. Returns when they were, or at once where there is no watch.
    pub fn leave(&self) {
        let is_watched = self.is_watched.load(Ordering::Relaxed);
        let since = Instant::now();
        self.leaving.store(true, Ordering::Relaxed);
        while is_watched && !self.left.load(Ordering::Relaxed) && since.elapsed() < 3 * ROUND {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// How long a rank may be silent, and how long at work without an exchange; None: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub silent: Duration,
    pub stuck: Option<Duration>,
}

impl Patience {
    /// None where nothing is to be watched. Of the time in which the job has to end, a quarter is
    /// for ending it.
    pub fn from_seconds(timeout_s: f64, stuck_s: f64) -> Option<Patience> {
        let stuck = (stuck_s > 0.0).then(|| seconds(stuck_s));
        (timeout_s > 0.0).then(|| Patience { silent: seconds(0.75 * timeout_s), stuck })
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Another rank, as it looks from here.
#[derive(Clone, Copy, Debug)]
struct Seen {
    rank: usize,
    is_gone: bool,
    silent_for: Duration,
    moves: u64,
    /// Since its moves changed.
    unmoved_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Died,
    Silent(Duration),
    /// At work for so long.
    Stuck(Duration),
    /// It waits, and so do all others.
    Deadlock(Duration),
}

/// The first rank that has to end the job, and why.
fn trouble(seen: &[Seen], patience: Patience) -> Option<(usize, Trouble)> {
    let died = seen.iter().find(|one| one.is_gone).map(|one| (one.rank, Trouble::Died));
    let silent = || {
        let one = seen.iter().find(|one| one.silent_for > patience.silent)?;
        Some((one.rank, Trouble::Silent(one.silent_for)))
    };
    let stuck = || {
        let limit = patience.stuck?;
        let is_waiting = |one: &Seen| one.moves % 2 == 1;
        let worker = seen.iter().find(|one| !is_waiting(one) && one.unmoved_for > limit);
        if let Some(one) = worker {
            return Some((one.rank, Trouble::Stuck(one.unmoved_for)));
        }
        let all = seen.iter().all(|one| is_waiting(one) && one.unmoved_for > limit);
        let first = seen.first().filter(|_| all)?;
        Some((first.rank, Trouble::Deadlock(first.unmoved_for)))
    };
    died.or_else(silent).or_else(stuck)
}

fn told(name: &str, trouble: Trouble) -> String {
    let what = match trouble {
        Trouble::Died => "died".to_string(),
        Trouble::Silent(time) => format!(
            "sent no heartbeat for {:.0} s (ranks.timeout_s): \
             it was stopped, or its machine or network is down",
            time.as_secs_f64()
        ),
        Trouble::Stuck(time) => format!(
            "has worked for {:.0} s without a message (ranks.stuck_s): it hangs",
            time.as_secs_f64()
        ),
        Trouble::Deadlock(time) => format!(
            "and all others have waited for each other for {:.0} s (ranks.stuck_s)",
            time.as_secs_f64()
        ),
    };
    format!("error: {name} {what}; the job ends; --resume continues from the last checkpoint")
}

/// What a watch has to know.
#[derive(Clone)]
pub struct Post {
    pub rank: usize,
    /// What every rank is called.
    pub names: Vec<String>,
    pub patience: Patience,
    pub pulse: &'static Pulse,
    /// Prints a line.
    pub say: fn(&str),
    /// Ends all ranks; need not return.
    pub end: fn(),
}

/// Watches until it is dropped.
pub struct Watch {
    pulse: &'static Pulse,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Rank 0 has the workers for `peers`, each of them rank 0.
    pub fn start(post: Post, peers: Vec<Peer>) -> Watch {
        let pulse = post.pulse;
        pulse.is_watched.store(true, Ordering::Relaxed);
        let own = Own::new();
        Watch { pulse, thread: Some(std::thread::spawn(move || watch(&post, own, peers))) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.pulse.leave();
        if let Some(thread) = self.thread.take() {
            // Should it have panicked, its hook has said so and ended the job.
            let _ = thread.join();
        }
    }
}

fn watch(post: &Post, mut own: Own, mut peers: Vec<Peer>) {
    loop {
        let now = Instant::now();
        if now - own.round > post.patience.silent / 2 {
            // This process was itself stopped, or had no share of its machine: what the others said
            // in the meantime may not have come yet.
            peers.iter_mut().for_each(|peer| (peer.heard, peer.moved) = (now, now));
        }
        own.look(post, now);
        peers.iter_mut().for_each(|peer| peer.listen(now));
        let is_leaving = post.pulse.leaving.load(Ordering::Relaxed);
        let word = if is_leaving { LEAVING } else { ALIVE };
        peers.iter_mut().for_each(|peer| peer.say(word, own.moves));
        if is_leaving {
            post.pulse.left.store(true, Ordering::Relaxed);
            return;
        }
        // One that left is done, or has ended the job; then this rank is done soon, too.
        if peers.iter().any(|peer| peer.left.is_some_and(|at| now - at > post.patience.silent)) {
            end_job(post, &mut peers, None);
        }
        let others = peers.iter().filter(|peer| peer.left.is_none());
        let mut seen: Vec<Seen> = others.map(|peer| peer.seen(now)).collect();
        if post.rank == 0 && seen.len() == peers.len() {
            seen.insert(0, own.seen(now));
        }
        let patience = match post.rank {
            0 => post.patience,
            // Rank 0 judges by what all ranks do.
            _ => Patience { stuck: None, ..post.patience },
        };
        if let Some((rank, what)) = trouble(&seen, patience) {
            let is_news = what != Trouble::Died || !own.is_being_killed(now);
            let line = is_news.then(|| told(&post.names[rank], what));
            end_job(post, &mut peers, line);
        }
        std::thread::sleep(ROUND);
    }
}

/// This rank, as its own watch sees it.
struct Own {
    /// The last round.
    round: Instant,
    moves: u64,
    moved: Instant,
    /// A launcher that lost a rank sends the others this signal at once; it must not end this one
    /// before it has named that rank.
    terminate: Arc<AtomicBool>,
    /// Told to stop since then.
    stopping: Option<Instant>,
}

impl Own {
    fn new() -> Own {
        let now = Instant::now();
        let terminate = Arc::new(AtomicBool::new(false));
        // Without it, this rank may be ended before it has named another.
        let _ = flag::register(SIGTERM, terminate.clone());
        Own { round: now, moves: 0, moved: now, terminate, stopping: None }
    }

    fn look(&mut self, post: &Post, now: Instant) {
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
            // Before the loop nobody else heeds the signal. Should this fail, a second one comes.
            let _ = low_level::emulate_default_handler(SIGTERM);
        }
    }

    fn is_being_killed(&self, now: Instant) -> bool {
        self.stopping.is_some_and(|since| LAUNCHER_KILLS.contains(&(now - since)))
    }

    fn seen(&self, now: Instant) -> Seen {
        Seen {
            rank: 0,
            is_gone: false,
            silent_for: Duration::ZERO,
            moves: self.moves,
            unmoved_for: now - self.moved,
        }
    }
}

/// Says the line, tells the others that it is said, and ends all ranks; should that fail, this one.
fn end_job(post: &Post, peers: &mut [Peer], line: Option<String>) -> ! {
    if post.rank > 1 && line.is_some() {
        std::thread::sleep(SECOND_SPEAKER);
    }
    if let Some(line) = line {
        (post.say)(&line);
    }
    peers.iter_mut().for_each(|peer| peer.say(LEAVING, 0));
    post.pulse.left.store(true, Ordering::Relaxed);
    let end = post.end;
    std::thread::spawn(move || end());
    std::thread::sleep(LAST_RESORT);
    end_process()
}

/// At once: what libraries do at the end of a process may wait for the thread that hangs.
fn end_process() -> ! {
    low_level::exit(EXIT_LOST)
}

#[cfg(test)]
mod tests;
