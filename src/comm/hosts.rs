//! The machines of a parallel run that starts its own ranks: a hosts file as `mpirun` reads it, and
//! which of them answer.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::error::CommError;

/// A machine, and the maximum number of ranks on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) slots: usize,
}

/// A machine that does not answer for so long is left out.
const ANSWER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Reads a hosts file: a line per machine, `NAME` or `NAME slots=N`; # begins a comment. The first is
/// this machine, where rank 0 runs and the results are.
///
/// Errors: the file cannot be read, a line is none of these, a machine is named twice, or the first is
/// another machine.
pub(crate) fn read_hosts(path: &Path) -> Result<Vec<Host>, CommError> {
    let place = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| wrong(format!("{place}: {e}"), "give a hosts file, as mpirun reads it"))?;
    let mut hosts: Vec<Host> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let at = format!("{place}, line {}", number + 1);
        let hint = "write NAME slots=N for each machine";
        let mut slots = 1;
        for word in words {
            let count = word.strip_prefix("slots=").and_then(|count| count.parse().ok());
            let count = count.filter(|count| (1..=100_000).contains(count));
            slots = count.ok_or_else(|| wrong(format!("{at}: {word:?} is not slots=N"), hint))?;
        }
        if name.starts_with('-') || hosts.iter().any(|host| host.name == name) {
            return Err(wrong(format!("{at}: {name} is no machine, or stands there twice"), hint));
        }
        hosts.push(Host { name: name.into(), slots });
    }
    match hosts.first() {
        Some(first) if is_here(&first.name) => Ok(hosts),
        Some(first) => Err(wrong(
            format!("{place}: its first machine is {}, not this one", first.name),
            "put this machine first: rank 0 runs here, and the results are here",
        )),
        None => Err(wrong(format!("{place}: it names no machine"), "write NAME slots=N")),
    }
}

fn wrong(what: String, hint: &str) -> CommError {
    CommError::Mpi { what, hint: hint.into(), cause: None }
}

/// Whether a name is that of this machine.
fn is_here(name: &str) -> bool {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
    matches!(name, "localhost" | "127.0.0.1" | "::1")
        || (!own.trim().is_empty() && short(name) == short(own.trim()))
}

/// By host: whether it answers. All are asked at once, which takes five seconds at most.
pub(crate) fn answering(hosts: &[Host]) -> Vec<bool> {
    thread::scope(|scope| {
        let asked: Vec<_> =
            hosts.iter().map(|host| scope.spawn(|| is_here(&host.name) || answers(host))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap_or(false)).collect()
    })
}

/// Whether a command can be run there, by the same ssh with which `mpirun` starts ranks.
fn answers(host: &Host) -> bool {
    let options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=4", "--"];
    let mut ssh = Command::new("ssh");
    ssh.args(options).args([&host.name, "true"]);
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut asked) = ssh.spawn() else { return false };
    let since = Instant::now();
    while since.elapsed() < ANSWER {
        match asked.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => thread::sleep(PAUSE),
            Err(_) => break,
        }
    }
    // It is not needed any more.
    let _ = asked.kill().and_then(|()| asked.wait());
    false
}

/// A hosts file of these machines, which goes with the value.
///
/// Errors: there is no room for temporary files.
pub(crate) fn hosts_file<'a>(
    hosts: impl Iterator<Item = &'a Host>,
) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix("dqn-trader-hosts-")?;
    for Host { name, slots } in hosts {
        writeln!(file, "{name} slots={slots}")?;
    }
    file.flush()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Host>, String> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read_hosts(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_hosts_file_is_read_as_mpirun_reads_it() {
        let host = |name: &str, slots| Host { name: name.into(), slots };
        let text = "# mine\n\nlocalhost slots=4   # here\nnode2 slots=8\nnode3\n";
        let hosts = read(text).unwrap();
        assert_eq!(hosts, [host("localhost", 4), host("node2", 8), host("node3", 1)]);
        let written = hosts_file(hosts.iter()).unwrap();
        assert_eq!(read_hosts(written.path()).unwrap(), hosts);
    }

    #[test]
    fn what_is_wrong_with_a_hosts_file_is_said() {
        for (text, expected) in [
            ("", "names no machine"),
            ("node-of-nobody slots=2\n", "node-of-nobody, not this one"),
            ("localhost slots=0\n", "line 1: \"slots=0\" is not slots=N"),
            ("localhost max=3\n", "line 1: \"max=3\" is not slots=N"),
            ("localhost\nlocalhost\n", "line 2: localhost is no machine, or stands there twice"),
            ("localhost\n-oProxyCommand=x\n", "line 2: -oProxyCommand=x is no machine"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let missing = read_hosts(Path::new("/no/such/hosts")).unwrap_err().to_string();
        assert!(missing.contains("/no/such/hosts"), "{missing}");
    }
}
