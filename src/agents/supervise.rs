//! Runs agents in parallel processes, with limits on number, time and memory.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::process::{Child, describe};
use crate::wording::counted;

/// Polling interval.
const PAUSE: Duration = Duration::from_millis(5);
/// Maximum number of forwarded lines per agent; further lines are only counted.
const LINES: usize = 40;
/// Maximum length of a line, bytes.
const WIDTH: usize = 1_000;
/// Maximum number of reads of the output that remains after an agent has ended.
const LAST_READS: usize = 16;
/// Prefix of the last line of an agent that fails.
const ERROR: &str = "error: ";
const NO_MEMORY: &str = "memory allocation of ";

/// Limits on the agents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SupervisorLimits {
    /// Maximum number of agents that run at the same time.
    pub(crate) max_concurrent: usize,
    /// Time limit per agent.
    pub(crate) timeout: Duration,
    /// Memory limit per agent.
    pub(crate) memory_bytes: u64,
}

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentExit {
    /// It came to its end without an error.
    Done,
    /// The reason, in one line.
    Failed(String),
    /// It was ended after this time limit.
    TimedOut(Duration),
    /// By the user, with all others.
    Stopped,
}

impl AgentExit {
    /// Why the agent failed; None if it succeeded.
    pub(crate) fn error(&self) -> Option<String> {
        match self {
            AgentExit::Done => None,
            AgentExit::Failed(why) => Some(why.clone()),
            AgentExit::TimedOut(limit) => {
                let seconds = limit.as_secs_f64();
                Some(format!("timed out after {seconds} s and was ended; raise timeout_s"))
            }
            AgentExit::Stopped => Some("stopped".into()),
        }
    }
}

/// Starts an agent for each of `names` and waits for all. Polls `stop` meanwhile; `say` receives
/// each agent's lines with its name.
pub(crate) fn supervise(
    names: &[&str],
    terms: &SupervisorLimits,
    start: &mut dyn FnMut(usize) -> io::Result<Child>,
    stop: &dyn Fn() -> bool,
    say: &dyn Fn(&str),
) -> Vec<AgentExit> {
    let mut ended: Vec<Option<AgentExit>> = vec![None; names.len()];
    let mut running: Vec<RunningAgent> = Vec::new();
    let mut next = 0;
    loop {
        if stop() {
            // Dropping them kills them.
            running.clear();
            return ended.into_iter().map(|one| one.unwrap_or(AgentExit::Stopped)).collect();
        }
        while next < names.len() && running.len() < terms.max_concurrent {
            match start(next) {
                Ok(child) => {
                    child.limit_memory(terms.memory_bytes);
                    running.push(RunningAgent::new(next, child));
                }
                Err(e) => {
                    ended[next] = Some(AgentExit::Failed(format!("it cannot be started: {e}")));
                }
            }
            next += 1;
        }
        running.retain_mut(|one| {
            let name = names[one.agent];
            let end = one.poll(name, terms.timeout, say);
            if let Some(end) = &end {
                let seconds = one.since.elapsed().as_secs_f64();
                match end.error() {
                    Some(why) => say(&format!("{name}: failed: {why}")),
                    None => say(&format!("{name}: done in {seconds:.2} s")),
                }
                ended[one.agent] = Some(end.clone());
            }
            end.is_none()
        });
        if running.is_empty() && next == names.len() {
            return ended.into_iter().map(|one| one.unwrap_or(AgentExit::Stopped)).collect();
        }
        std::thread::sleep(PAUSE);
    }
}

struct RunningAgent {
    agent: usize,
    child: Child,
    since: Instant,
    lines: OutputLines,
}

impl RunningAgent {
    fn new(agent: usize, child: Child) -> RunningAgent {
        RunningAgent { agent, child, since: Instant::now(), lines: OutputLines::default() }
    }

    /// Forwards the agent's output. Some if it has ended or was ended.
    fn poll(&mut self, name: &str, timeout: Duration, say: &dyn Fn(&str)) -> Option<AgentExit> {
        let status = self.child.ended();
        // Read after the end, so that no output is lost.
        let reads = if status.is_some() { LAST_READS } else { 1 };
        for _ in 0..reads {
            let output = self.child.read_output();
            if output.is_empty() {
                break;
            }
            self.lines.take(&output, &mut |line| say(&format!("{name}: {line}")));
        }
        match status {
            Some(status) => {
                if let Some(hidden_count) = self.lines.hidden_lines() {
                    let hidden = counted(hidden_count, "more line");
                    say(&format!("{name}: {hidden} not shown"));
                }
                Some(self.verdict(status))
            }
            None if self.since.elapsed() > timeout => {
                self.child.kill();
                Some(AgentExit::TimedOut(timeout))
            }
            None => None,
        }
    }

    fn verdict(&mut self, status: ExitStatus) -> AgentExit {
        if status.success() {
            return AgentExit::Done;
        }
        let last = self.lines.last_error();
        AgentExit::Failed(match last {
            Some(error) => format!("{error} ({})", describe(status)),
            None => describe(status),
        })
    }
}

/// An agent's output, cut to a readable length.
#[derive(Default)]
struct OutputLines {
    /// An incomplete line.
    begun: Vec<u8>,
    shown_count: usize,
    hidden_count: usize,
    error: Option<String>,
    last: Option<String>,
}

impl OutputLines {
    fn take(&mut self, bytes: &[u8], say: &mut dyn FnMut(&str)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let room = WIDTH.saturating_sub(self.begun.len()).min(piece.len());
            self.begun.extend_from_slice(&piece[..room]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.begun);
                let line = String::from_utf8_lossy(&line);
                self.line(line.trim(), say);
            }
        }
    }

    fn line(&mut self, line: &str, say: &mut dyn FnMut(&str)) {
        if line.is_empty() {
            return;
        }
        // The error is reported once, with the exit code.
        if let Some(error) = line.strip_prefix(ERROR) {
            self.error = Some(error.to_string());
            return;
        }
        // Rust's message about a failed allocation; the lines after it do not help the user.
        if line.starts_with(NO_MEMORY) {
            self.error = Some(format!("{line}; raise max_memory_mb"));
        }
        self.last = Some(line.to_string());
        if self.shown_count < LINES {
            self.shown_count += 1;
            say(line);
        } else {
            self.hidden_count += 1;
        }
    }

    fn hidden_lines(&self) -> Option<usize> {
        (self.hidden_count > 0).then_some(self.hidden_count)
    }

    /// The agent's own error line, or else its last line.
    fn last_error(&mut self) -> Option<String> {
        let begun = std::mem::take(&mut self.begun);
        let begun = String::from_utf8_lossy(&begun).trim().to_string();
        if !begun.is_empty() {
            self.line(&begun, &mut |_| {});
        }
        self.error.take().or(self.last.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_forwarded_whole_and_limited_in_number() {
        let (mut lines, mut forwarded) = (OutputLines::default(), Vec::new());
        for bytes in [&b"one\ntw"[..], b"o\n\nerror: it ", b"broke\n"] {
            lines.take(bytes, &mut |line| forwarded.push(line.to_string()));
        }
        assert_eq!(forwarded, ["one", "two"]);
        lines.take(&vec![b'x'; 3 * WIDTH], &mut |_| panic!("no line yet"));
        lines.take(b"\n", &mut |line| forwarded.push(line.to_string()));
        assert_eq!(forwarded[2].len(), WIDTH);
        for _ in 0..100 {
            lines.take(b"y\n", &mut |line| forwarded.push(line.to_string()));
        }
        assert_eq!((forwarded.len(), lines.hidden_lines()), (LINES, Some(100 + 3 - LINES)));
        assert_eq!(lines.last_error().as_deref(), Some("it broke"));
        lines.take(b"memory is out", &mut |_| {});
        assert_eq!(lines.last_error().as_deref(), Some("memory is out"));
    }
}
