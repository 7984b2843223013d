//! Starts ranks with `mpirun` where no launcher did, and starts them again from the last checkpoint
//! when a rank, a machine or the network dies: on the machines that are left, and on all once they are
//! back.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGKILL, SIGTERM, SIGUSR1};

use super::error::CommError;
use super::hosts::{Host, answering, hosts_file};
use crate::compute::process::{die_with_parent, stop_signals};
use crate::errors::{Cause, tell};

/// Settings that let Open MPI start more ranks than cores, and run as root.
const OPEN_MPI: [(&str, &str); 3] = [
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
];

/// Variables that ranks of other machines get as well. No value stands in a command line.
const HANDED_ON: [&str; 3] =
    ["AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_CONTAINER", "RUST_LOG"];

/// Polling interval for a running `mpirun`.
const PAUSE: Duration = Duration::from_millis(20);
/// Before a restart: ranks whose `mpirun` was killed have ended by then.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// An `mpirun` whose ranks on this machine have ended waits for a machine that is gone if it has not
/// ended after so long.
const HANGS_AFTER: Duration = Duration::from_secs(6);
/// How often it is looked whether ranks are there.
const LOOK: Duration = Duration::from_millis(500);
/// How often machines that were left out are asked whether they are back.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Exit codes without a restart: success, a user error, stopped by SIGHUP, SIGINT, SIGQUIT or
/// SIGTERM.
const FINAL: [i32; 6] = [0, 2, 129, 130, 131, 143];
/// A rank or a machine is lost.
const LOST: i32 = 3;

/// Where ranks are started.
pub(crate) enum Place {
    /// So many on this machine.
    Here(usize),
    /// On these machines, the first of which is this one, at most so many.
    Hosts(Vec<Host>, usize),
}

/// How an `mpirun` ended.
enum End {
    Code(i32),
    /// By a signal to this process; the exit code that stands for it.
    Stopped(i32),
    /// A machine that was left out is back: the ranks were stopped with a checkpoint.
    HostBack,
}

/// Runs this program under `mpirun` with the same arguments. After a rank or a machine died, restarts
/// from the last checkpoint at most `max_restarts` times, on the machines that answer. Returns the exit
/// code of `mpirun`, or 128 + n after signal n. The first signal is forwarded as SIGUSR1, which
/// `mpirun` passes on unchanged: the ranks stop and write their results without a time limit. A
/// second signal makes `mpirun` end them.
///
/// Errors: `mpirun` cannot be started, or the machines that answer have room for one rank alone.
pub(crate) fn supervise(place: &Place, max_restarts: u32) -> Result<u8, CommError> {
    let signals = caught_signals().map_err(|e| broken(e.to_string(), e))?;
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (mut restarts, mut left_out) = (0, BTreeSet::new());
    loop {
        let attempt = Attempt::new(place, &mut left_out)?;
        let code = match attempt.run(&arguments, &signals)? {
            End::Stopped(code) => return Ok(exit_code(code)),
            End::Code(code) if FINAL.contains(&code) || restarts == max_restarts => {
                return Ok(exit_code(code));
            }
            End::Code(code) => Some(code),
            End::HostBack => None,
        };
        match code {
            Some(code) => {
                restarts += 1;
                tell(&format!(
                    "a rank died (exit code {code}); restarting from the last checkpoint, \
                     {restarts} of {max_restarts}"
                ));
                thread::sleep(RESTART_PAUSE);
            }
            None => tell("a machine is back; going on from the last checkpoint with it"),
        }
        if !arguments.iter().any(|argument| argument == "--resume") {
            arguments.push("--resume".into());
        }
    }
}

fn exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(1)
}

fn broken(what: String, error: io::Error) -> CommError {
    let hint = "install Open MPI (openmpi-bin), or use --mode single".into();
    CommError::Mpi { what, hint, cause: Some(Cause::new(error)) }
}

type CaughtSignals = Vec<(i32, Arc<AtomicBool>)>;

/// One start of the ranks.
struct Attempt<'a> {
    ranks: usize,
    /// The machines that answer; None: this one alone.
    hosts: Option<Vec<&'a Host>>,
    /// Those that do not.
    away: Vec<Host>,
}

impl<'a> Attempt<'a> {
    /// Asks the machines whether they are there; says which are left out that were not before.
    fn new(place: &'a Place, left_out: &mut BTreeSet<String>) -> Result<Attempt<'a>, CommError> {
        let (hosts, most) = match place {
            Place::Here(ranks) => {
                return Ok(Attempt { ranks: *ranks, hosts: None, away: Vec::new() });
            }
            Place::Hosts(hosts, most) => (hosts, *most),
        };
        let answer = answering(hosts);
        let (mut there, mut away) = (Vec::new(), Vec::new());
        for (host, answers) in hosts.iter().zip(answer) {
            if answers {
                left_out.remove(&host.name);
                there.push(host);
            } else {
                if left_out.insert(host.name.clone()) {
                    tell(&format!("{} does not answer: the run goes on without it", host.name));
                }
                away.push(host.clone());
            }
        }
        let slots: usize = there.iter().map(|host| host.slots).sum();
        let ranks = most.min(slots);
        if ranks < 2 {
            return Err(CommError::Mpi {
                what: "the machines that answer have room for one rank, and two are needed".into(),
                hint: "raise slots in the hosts file, or start the other machines".into(),
                cause: None,
            });
        }
        Ok(Attempt { ranks, hosts: Some(there), away })
    }

    fn run(&self, arguments: &[OsString], signals: &CaughtSignals) -> Result<End, CommError> {
        let program = std::env::current_exe().map_err(|e| broken(e.to_string(), e))?;
        let (mut command, parent) = (Command::new("mpirun"), std::process::id());
        // SAFETY: between fork and exec it makes two system calls and allocates no memory. This is
        // the main thread, which ends with the process.
        unsafe { command.pre_exec(move || die_with_parent(parent, SIGTERM)) };
        command.args(["--quiet", "-n", &self.ranks.to_string()]);
        let file = self.hosts.as_ref().map(|hosts| hosts_file(hosts.iter().copied())).transpose();
        let file = file.map_err(|e| broken(e.to_string(), e))?;
        if let Some(file) = &file {
            command.arg("--hostfile").arg(file.path());
            for name in HANDED_ON.iter().filter(|name| std::env::var_os(name).is_some()) {
                command.args(["-x", name]);
            }
        }
        let mut mpirun = command
            .arg(&program)
            .args(arguments)
            .envs(OPEN_MPI)
            // In its own process group: with the terminal's Ctrl-C it would get the signal twice and
            // end the ranks at once.
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| broken(format!("mpirun could not be started ({e})"), e))?;
        let is_back = HostWatch::start(&self.away);
        let mut ranks = LocalRanks::new(&mpirun, &program);
        let (mut caught, mut takes_back) = (None, false);
        loop {
            if let Some(status) = mpirun.try_wait().map_err(|e| broken(e.to_string(), e))? {
                // Killed by a signal: the exit code that a shell reports.
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
                return Ok(match caught {
                    Some(code) => End::Stopped(code),
                    None if takes_back && code != 0 => End::HostBack,
                    None => End::Code(code),
                });
            }
            for (signal, came) in signals {
                if came.swap(false, Ordering::Relaxed) {
                    kill(mpirun.id() as i32, if caught.is_none() { SIGUSR1 } else { SIGTERM });
                    caught = Some(128 + signal);
                }
            }
            if !takes_back && caught.is_none() && is_back.is_so() {
                takes_back = true;
                kill(mpirun.id() as i32, SIGUSR1);
            }
            if self.hosts.is_some() && ranks.are_gone() {
                // With the ssh of machines that are off.
                kill(-(mpirun.id() as i32), SIGKILL);
                let _ = mpirun.wait();
                return Ok(caught.map_or(End::Code(LOST), End::Stopped));
            }
            thread::sleep(PAUSE);
        }
    }
}

/// The ranks of this machine, which are children of `mpirun`.
struct LocalRanks<'a> {
    mpirun: u32,
    program: &'a Path,
    looked: Instant,
    were_there: bool,
    /// Since when there is none.
    none_since: Option<Instant>,
}

impl<'a> LocalRanks<'a> {
    fn new(mpirun: &Child, program: &'a Path) -> LocalRanks<'a> {
        let looked = Instant::now();
        LocalRanks { mpirun: mpirun.id(), program, looked, were_there: false, none_since: None }
    }

    /// Whether they were there and have been gone for so long that `mpirun` would have ended if it
    /// could.
    fn are_gone(&mut self) -> bool {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            let is_there = children(self.mpirun).iter().any(|child| self.is_rank(*child));
            self.were_there |= is_there;
            self.none_since = match (self.were_there && !is_there, self.none_since) {
                (true, since) => since.or(Some(self.looked)),
                (false, _) => None,
            };
        }
        self.none_since.is_some_and(|since| since.elapsed() >= HANGS_AFTER)
    }

    /// One that has ended but was not waited for has no program any more.
    fn is_rank(&self, process: u32) -> bool {
        fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|exe| exe == self.program)
    }
}

/// Processes that a process started with any of its threads.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let of_list = |list: String| -> Vec<u32> {
        list.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    lists.flat_map(of_list).collect()
}

/// Asks machines that were left out, in a thread, until one answers or this is dropped.
struct HostWatch(Arc<AtomicBool>);

impl HostWatch {
    fn start(away: &[Host]) -> HostWatch {
        let answered = Arc::new(AtomicBool::new(false));
        if !away.is_empty() {
            let (away, told) = (away.to_vec(), Arc::downgrade(&answered));
            thread::spawn(move || {
                loop {
                    thread::sleep(ASK_AGAIN);
                    if told.strong_count() == 0 {
                        return;
                    }
                    if answering(&away).contains(&true) {
                        if let Some(answered) = told.upgrade() {
                            answered.store(true, Ordering::Relaxed);
                        }
                        return;
                    }
                }
            });
        }
        HostWatch(answered)
    }

    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Signals that set a flag from now on, instead of ending this process.
fn caught_signals() -> io::Result<CaughtSignals> {
    let flag = |(signal, _)| (signal, Arc::new(AtomicBool::new(false)));
    let signals: CaughtSignals = stop_signals().into_iter().map(flag).collect();
    for (signal, came) in &signals {
        signal_hook::flag::register(*signal, came.clone())?;
    }
    Ok(signals)
}

unsafe extern "C" {
    /// kill(2). Sound for any arguments.
    safe fn kill(pid: i32, signal: i32) -> i32;
}
