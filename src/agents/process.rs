//! Processes of agents: start, limits, output, end. The only user of libc's process functions.
//!
//! An agent's process is a fork of this one if that is safe, which requires a single thread; else
//! the program is executed again. The two differ only in cost (decision 19).

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use libc::pid_t;

use crate::compute::process::{die_with_parent, stop_signals};

/// Capacity of the output pipe's reads, bytes.
const AT_ONCE: usize = 64 << 10;
/// Polling interval.
const PAUSE: Duration = Duration::from_millis(2);
/// Exit code of a fork that panicked, as of any Rust program.
const PANICKED: i32 = 101;

/// A child process. Killed if it is dropped before its end.
pub(crate) struct Child {
    pid: pid_t,
    output: File,
    status: Option<ExitStatus>,
}

impl Child {
    /// Runs `command` and captures its output.
    pub(crate) fn execute(mut command: Command) -> io::Result<Child> {
        let (output, theirs) = pipe()?;
        let again = theirs.try_clone()?;
        let parent = std::process::id();
        // SAFETY: between fork and exec it makes two system calls and allocates no memory.
        unsafe { command.pre_exec(move || die_with_parent(parent, libc::SIGKILL)) };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::from(again))
            // In its own process group: the terminal's signals do not reach it, and this process
            // ends it.
            .process_group(0)
            .spawn()?;
        Ok(Child { pid: child.id() as pid_t, output, status: None })
    }

    /// Runs `work` in a fork of this process; its result is the exit code.
    pub(crate) fn fork(work: impl FnOnce() -> u8) -> io::Result<Child> {
        let (output, theirs) = pipe()?;
        // Buffered output must not be written twice.
        let _ = io::stdout().flush();
        let parent = std::process::id();
        // SAFETY: this process has a single thread (see `can_fork`), so no lock is held by a thread
        // that does not exist in the child.
        match check(unsafe { libc::fork() })? {
            0 => {
                drop(output);
                set_up_child(theirs);
                let bound = die_with_parent(parent, libc::SIGKILL);
                let code = bound.map_or(PANICKED, |()| run(work));
                // SAFETY: ends this process without the destructors of libraries, which the parent
                // still uses and which may take longer than the agent.
                unsafe { libc::_exit(code) }
            }
            pid => {
                // Done in parent and child, so that it is in effect whichever runs first.
                // SAFETY: no memory is passed; the child has not been waited for, so its id is
                // still valid, and a failure means that it has ended.
                unsafe { libc::setpgid(pid, pid) };
                Ok(Child { pid, output, status: None })
            }
        }
    }

    /// Limits private writable memory to `bytes`, and makes the child the OOM killer's preferred
    /// victim. Mapped files do not count, so a large panel is free.
    pub(crate) fn limit_memory(&self, bytes: u64) {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: `limit` outlives the call, and the old limit is not requested. A failure means
        // that the process has ended.
        unsafe { libc::prlimit(self.pid, libc::RLIMIT_DATA, &limit, std::ptr::null_mut()) };
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", self.pid), "500");
    }

    /// Its output since the last call, at most one buffer; the pipe blocks a child that writes too
    /// much.
    pub(crate) fn read_output(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; AT_ONCE];
        let read = self.output.read(&mut bytes).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    /// Its exit status; None while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            let found = unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) };
            if found == self.pid {
                self.status = Some(ExitStatus::from_raw(status));
            }
        }
        self.status
    }

    /// Kills it and its process group.
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            // SAFETY: no memory is passed; the process has not been waited for, so its id is still
            // valid.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            if unsafe { libc::waitpid(self.pid, &mut status, 0) } == self.pid {
                self.status = Some(ExitStatus::from_raw(status));
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether this process has a single thread, so that it can be forked.
pub(crate) fn can_fork() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// As in "exit code 2" or "killed by signal 9".
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(PANICKED), _) => "a bug in the program".into(),
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}

/// A pipe whose read end does not block; neither end is inherited by executed programs.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both ends, which have no other owner.
    let (read, write) = unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(read.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok((File::from(read), write))
}

/// Moves a fork to its own process group, its output to the pipe, and its signals to their
/// defaults.
fn set_up_child(output: OwnedFd) {
    let null = File::open("/dev/null").ok();
    // SAFETY: no memory is passed but the name of a device.
    unsafe {
        libc::setpgid(0, 0);
        libc::dup2(output.as_raw_fd(), libc::STDOUT_FILENO);
        libc::dup2(output.as_raw_fd(), libc::STDERR_FILENO);
        if let Some(null) = &null {
            libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO);
        }
    }
    end_on_signals();
}

/// The signals that ask this process to stop end it.
fn end_on_signals() {
    for (signal, _) in stop_signals() {
        // SAFETY: no handler is passed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// The exit code of `work`. A panic has already been reported.
fn run(work: impl FnOnce() -> u8) -> i32 {
    let work = std::panic::AssertUnwindSafe(work);
    let code = std::panic::catch_unwind(work).map_or(PANICKED, i32::from);
    let _ = io::stdout().flush();
    code
}

/// Runs `work` in a fork, which ends with all its threads, and returns its result: for work that
/// needs threads before other forks. The fork stays in this process group, so Ctrl-C ends it too.
/// None if it was ended by `stop` or from outside.
pub(crate) fn run_in_child(
    work: impl FnOnce() -> Vec<u8>,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let (mut read, write) = pipe()?;
    let parent = std::process::id();
    // SAFETY: as in `Child::fork`.
    match check(unsafe { libc::fork() })? {
        0 => {
            drop(read);
            end_on_signals();
            let mut write = ManuallyDrop::new(File::from(write));
            let write_result = || run(|| u8::from(write.write_all(&work()).is_err()));
            let bound = die_with_parent(parent, libc::SIGKILL);
            let code = bound.map_or(PANICKED, |()| write_result());
            // SAFETY: as in `Child::fork`.
            unsafe { libc::_exit(code) }
        }
        pid => {
            drop(write);
            let result_bytes = read_unless(&mut read, stop);
            if !matches!(result_bytes, Ok(Some(_))) {
                // SAFETY: no memory is passed; the process has not been waited for.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            let mut status = 0;
            // SAFETY: `status` outlives the call. The wait is repeated after a signal.
            while unsafe { libc::waitpid(pid, &mut status, 0) } < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
            Ok(result_bytes?.filter(|_| ExitStatus::from_raw(status).success()))
        }
    }
}

/// Everything up to the end of the file; None if `stop` returns true first.
fn read_unless(from: &mut File, stop: &dyn Fn() -> bool) -> io::Result<Option<Vec<u8>>> {
    let (mut result_bytes, mut bytes) = (Vec::new(), vec![0; AT_ONCE]);
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(Some(result_bytes)),
            Ok(count) => result_bytes.extend_from_slice(&bytes[..count]),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
            {
                if stop() {
                    return Ok(None);
                }
                std::thread::sleep(PAUSE);
            }
            Err(e) => return Err(e),
        }
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
