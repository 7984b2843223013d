//! Processes of agents: started, limited, listened to, ended. The one place that knows libc.
//!
//! An agent's process is a fork of this one where that is safe, which it is as long as this one has
//! a single thread; else the program is executed again. The two differ in cost only (decision 19).

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use libc::pid_t;

/// What is kept of an agent's output at a time, and read of it at a look.
const AT_ONCE: usize = 64 << 10;
/// Between two looks at what a process aside has to say.
const PAUSE: Duration = Duration::from_millis(2);
/// Exit code of a fork that panicked, as of any Rust program.
const PANICKED: i32 = 101;

/// A process that was started here. Dropped before its end, it is killed.
pub struct Child {
    pid: pid_t,
    output: File,
    status: Option<ExitStatus>,
}

impl Child {
    /// Runs `command`, its output to be had here.
    pub fn execute(mut command: Command) -> io::Result<Child> {
        let (output, theirs) = pipe()?;
        let again = theirs.try_clone()?;
        let parent = std::process::id();
        // SAFETY: between fork and exec it makes two system calls and takes no memory.
        unsafe { command.pre_exec(move || end_with(parent)) };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::from(again))
            // Out of the terminal's reach: the children are ended here.
            .process_group(0)
            .spawn()?;
        Ok(Child { pid: child.id() as pid_t, output, status: None })
    }

    /// Runs `work` in a fork of this process, whose exit code it gives.
    pub fn fork(work: impl FnOnce() -> u8) -> io::Result<Child> {
        let (output, theirs) = pipe()?;
        // What waits to be written is not to be written twice.
        let _ = io::stdout().flush();
        let parent = std::process::id();
        // SAFETY: there is one thread (see `can_fork`), so that no lock is held by one that is not
        // there in the child.
        match check(unsafe { libc::fork() })? {
            0 => {
                drop(output);
                in_the_child(theirs);
                let code = end_with(parent).map_or(PANICKED, |()| run(work));
                // SAFETY: ends this process, without destructors of libraries that the parent
                // still needs and that take longer than many an agent.
                unsafe { libc::_exit(code) }
            }
            pid => {
                // Both do it, so that it is done whoever is first.
                // SAFETY: no memory is passed.
                unsafe { libc::setpgid(pid, pid) };
                Ok(Child { pid, output, status: None })
            }
        }
    }

    /// At most so much private writable memory, and the first to go where the machine has none
    /// left. Mapped files are not counted, so that a large panel is no burden.
    pub fn limit_memory(&self, bytes: u64) {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: `limit` outlives the call, and the old one is not asked for. A process that has
        // ended already needs no limit.
        unsafe { libc::prlimit(self.pid, libc::RLIMIT_DATA, &limit, std::ptr::null_mut()) };
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", self.pid), "500");
    }

    /// What it has said since the last look; never more than fits, so that one that says too much
    /// waits.
    pub fn said(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; AT_ONCE];
        let read = self.output.read(&mut bytes).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    /// How it ended; None while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
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

    /// Ends it and what it started.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            // SAFETY: no memory is passed; the process was not waited for, so the number is its.
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

/// Whether this process has one thread, and may be forked.
pub fn can_fork() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Lets this process end when its parent ends, however that ends. Err where it has ended already.
fn end_with(parent: u32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let now = unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        libc::getppid()
    };
    let is_there = u32::try_from(now) == Ok(parent);
    if is_there { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// "exit code 2", "killed by signal 9".
pub fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(PANICKED), _) => "a defect of the program".into(),
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}

/// Its reading end does not block; neither is inherited by what others execute.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both ends, which nobody else owns.
    let (read, write) = unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(read.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok((File::from(read), write))
}

/// A process group of its own, its output into the pipe, signals as they come to a new program.
fn in_the_child(output: OwnedFd) {
    let null = File::open("/dev/null").ok();
    // SAFETY: no memory is passed but the name of a device.
    unsafe {
        libc::setpgid(0, 0);
        libc::dup2(output.as_raw_fd(), libc::STDOUT_FILENO);
        libc::dup2(output.as_raw_fd(), libc::STDERR_FILENO);
        if let Some(null) = &null {
            libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO);
        }
        libc::signal(libc::SIGINT, libc::SIG_DFL);
        libc::signal(libc::SIGTERM, libc::SIG_DFL);
    }
}

/// The exit code of `work`. A panic has said what there is to say.
fn run(work: impl FnOnce() -> u8) -> i32 {
    let work = std::panic::AssertUnwindSafe(work);
    let code = std::panic::catch_unwind(work).map_or(PANICKED, i32::from);
    let _ = io::stdout().flush();
    code
}

/// Does `work` in a fork, which is over afterwards with all threads that it started, and hands on
/// what it says: for work that needs threads before other forks. It belongs to this process's
/// group: a Ctrl-C ends it as well. None where it was ended: by `stop`, or from outside.
pub fn aside(
    work: impl FnOnce() -> Vec<u8>,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let (mut read, write) = pipe()?;
    let parent = std::process::id();
    // SAFETY: as in `Child::fork`.
    match check(unsafe { libc::fork() })? {
        0 => {
            drop(read);
            // SAFETY: no memory is passed.
            unsafe {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                libc::signal(libc::SIGTERM, libc::SIG_DFL);
            }
            let mut write = ManuallyDrop::new(File::from(write));
            let told = || run(|| u8::from(write.write_all(&work()).is_err()));
            let code = end_with(parent).map_or(PANICKED, |()| told());
            // SAFETY: as in `Child::fork`.
            unsafe { libc::_exit(code) }
        }
        pid => {
            drop(write);
            let said = all_unless(&mut read, stop);
            if !matches!(said, Ok(Some(_))) {
                // SAFETY: no memory is passed; the process was not waited for.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            let mut status = 0;
            // SAFETY: `status` outlives the call. Interrupted by a signal, it waits on.
            while unsafe { libc::waitpid(pid, &mut status, 0) } < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
            Ok(said?.filter(|_| ExitStatus::from_raw(status).success()))
        }
    }
}

/// What comes until its end; None where `stop` says so before.
fn all_unless(from: &mut File, stop: &dyn Fn() -> bool) -> io::Result<Option<Vec<u8>>> {
    let (mut said, mut bytes) = (Vec::new(), vec![0; AT_ONCE]);
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(Some(said)),
            Ok(count) => said.extend_from_slice(&bytes[..count]),
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
