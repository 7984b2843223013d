//! How this process is told to stop, how it ends with the one that started it, and what it may use.

use std::io;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// How often a process looks whether its parent is still there.
const ROUND: Duration = Duration::from_millis(200);

/// Signals that ask this process to stop, each with the exit code that shells report for it. A
/// closed terminal sends SIGHUP, its Ctrl-\\ SIGQUIT. One that this process was started to ignore,
/// as `nohup` does, is not among them.
pub(crate) fn stop_signals() -> Vec<(i32, i32)> {
    let signals = [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129), (SIGQUIT, 131)];
    let heeded =
        |&(signal, _): &(i32, i32)| matches!(signal, SIGINT | SIGTERM) || !is_ignored(signal);
    signals.into_iter().filter(heeded).collect()
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: all-zero bytes are a valid sigaction, which the call overwrites; no new one is passed.
    let (found, old) = unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal, std::ptr::null(), &mut old), old)
    };
    found == 0 && old.sa_sigaction == libc::SIG_IGN
}

/// Makes the kernel send this process `signal` when the thread that started it ends. For use
/// between fork and exec: two system calls, and no memory is allocated. Errors: `parent` has
/// already ended.
pub(crate) fn die_with_parent(parent: u32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let (set, now) =
        unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong), libc::getppid()) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_alive = u32::try_from(now) == Ok(parent);
    if is_alive { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Calls `end` once the process that started this one has ended. A thread watches it: launchers may
/// start processes from threads that end earlier, so the kernel's signal would come too soon.
pub(crate) fn when_parent_ends(end: impl FnOnce() + Send + 'static) {
    // SAFETY: no memory is passed.
    let parent = || unsafe { libc::getppid() };
    let first = parent();
    std::thread::spawn(move || {
        while parent() == first {
            std::thread::sleep(ROUND);
        }
        end();
    });
}

/// A crash writes no memory to the disk, which may hold keys. One byte rather than none: then the
/// kernel hands nothing to a program that collects dumps either; see core(5).
pub(crate) fn forbid_core_dumps() {
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: `limit` outlives the call. It fails only where less is allowed already.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) };
}

/// Bytes of memory that are free, or could be: of the machine, and of this container where there is
/// one with a limit. None where that is unknown.
pub(crate) fn free_memory() -> Option<u64> {
    let text = |path: &str| std::fs::read_to_string(path).ok();
    let about = text("/proc/meminfo")?;
    let line = about.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10;
    let number = |path: &str| text(path)?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    Some(limit.map_or(machine, |limit| machine.min(limit.saturating_sub(used))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_respected() {
        let signals = || stop_signals().iter().map(|(signal, _)| *signal).collect::<Vec<_>>();
        assert!(signals().contains(&SIGHUP));
        // SAFETY: no handler is passed; no other test needs this signal.
        unsafe { libc::signal(SIGHUP, libc::SIG_IGN) };
        assert_eq!(signals(), [SIGINT, SIGTERM, SIGQUIT]);
        // SAFETY: as above.
        unsafe { libc::signal(SIGHUP, libc::SIG_DFL) };
    }

    #[test]
    fn free_memory_is_known_here() {
        assert!(free_memory().is_some_and(|bytes| (1 << 20..1 << 50).contains(&bytes)));
    }
}
