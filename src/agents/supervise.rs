//! Agents side by side: so many at once, each within its time, none in the way of another.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::process::{Child, in_words};

/// Between two looks at the agents.
const PAUSE: Duration = Duration::from_millis(5);
/// Lines of an agent that are handed on; it may say more, which is counted.
const LINES: usize = 40;
/// Of a line.
const WIDTH: usize = 1_000;
/// Looks at what an agent that ended has left to read.
const LAST_LOOKS: usize = 16;
/// How the last line of an agent that fails begins.
const ERROR: &str = "error: ";
const NO_MEMORY: &str = "memory allocation of ";

/// How all agents are run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// At the same time, at most.
    pub max_concurrent: usize,
    /// For each.
    pub timeout: Duration,
    /// For each.
    pub memory_bytes: u64,
}

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    /// Why, in one line.
    Failed(String),
    TimedOut(Duration),
    /// With all others, by the user.
    Stopped,
}

impl Ended {
    /// None for one that did what it should.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Ended::Done => None,
            Ended::Failed(why) => Some(why.clone()),
            Ended::TimedOut(limit) => {
                let seconds = limit.as_secs_f64();
                Some(format!("timed out after {seconds} s and was ended; raise timeout_s"))
            }
            Ended::Stopped => Some("stopped".into()),
        }
    }
}

/// Starts an agent for each of `names` and waits for all. `stop` is looked at all the while; `say`
/// gets each agent's lines with its name.
pub fn supervise(
    names: &[&str],
    terms: &Terms,
    start: &mut dyn FnMut(usize) -> io::Result<Child>,
    stop: &dyn Fn() -> bool,
    say: &dyn Fn(&str),
) -> Vec<Ended> {
    let mut ended: Vec<Option<Ended>> = vec![None; names.len()];
    let mut running: Vec<Running> = Vec::new();
    let mut next = 0;
    loop {
        if stop() {
            // Dropped, they are killed.
            running.clear();
            return ended.into_iter().map(|one| one.unwrap_or(Ended::Stopped)).collect();
        }
        while next < names.len() && running.len() < terms.max_concurrent {
            match start(next) {
                Ok(child) => {
                    child.limit_memory(terms.memory_bytes);
                    running.push(Running::new(next, child));
                }
                Err(e) => {
                    ended[next] = Some(Ended::Failed(format!("it cannot be started: {e}")));
                }
            }
            next += 1;
        }
        running.retain_mut(|one| {
            let name = names[one.agent];
            let end = one.look(name, terms.timeout, say);
            if let Some(end) = &end {
                let seconds = one.since.elapsed().as_secs_f64();
                match end.trouble() {
                    Some(why) => say(&format!("{name}: failed: {why}")),
                    None => say(&format!("{name}: done in {seconds:.2} s")),
                }
                ended[one.agent] = Some(end.clone());
            }
            end.is_none()
        });
        if running.is_empty() && next == names.len() {
            return ended.into_iter().map(|one| one.unwrap_or(Ended::Stopped)).collect();
        }
        std::thread::sleep(PAUSE);
    }
}

struct Running {
    agent: usize,
    child: Child,
    since: Instant,
    lines: Lines,
}

impl Running {
    fn new(agent: usize, child: Child) -> Running {
        Running { agent, child, since: Instant::now(), lines: Lines::default() }
    }

    /// Hands on what it said. Some when it has ended, or was.
    fn look(&mut self, name: &str, timeout: Duration, say: &dyn Fn(&str)) -> Option<Ended> {
        let status = self.child.ended();
        // Looked at after its end, so that its last words are there.
        let looks = if status.is_some() { LAST_LOOKS } else { 1 };
        for _ in 0..looks {
            let said = self.child.said();
            if said.is_empty() {
                break;
            }
            self.lines.take(&said, &mut |line| say(&format!("{name}: {line}")));
        }
        match status {
            Some(status) => {
                if let Some(more) = self.lines.untold() {
                    say(&format!("{name}: {more} more lines not shown"));
                }
                Some(self.verdict(status))
            }
            None if self.since.elapsed() > timeout => {
                self.child.kill();
                Some(Ended::TimedOut(timeout))
            }
            None => None,
        }
    }

    fn verdict(&mut self, status: ExitStatus) -> Ended {
        if status.success() {
            return Ended::Done;
        }
        let last = self.lines.last_error();
        Ended::Failed(match last {
            Some(error) => format!("{error} ({})", in_words(status)),
            None => in_words(status),
        })
    }
}

/// What an agent says, cut to what a reader can bear.
#[derive(Default)]
struct Lines {
    /// Of a line that has not ended yet.
    begun: Vec<u8>,
    told: usize,
    more: usize,
    error: Option<String>,
    last: Option<String>,
}

impl Lines {
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
        // What is said of its end is said once.
        if let Some(error) = line.strip_prefix(ERROR) {
            self.error = Some(error.to_string());
            return;
        }
        // As Rust says it, before more that helps nobody.
        if line.starts_with(NO_MEMORY) {
            self.error = Some(format!("{line}; raise max_memory_mb"));
        }
        self.last = Some(line.to_string());
        if self.told < LINES {
            self.told += 1;
            say(line);
        } else {
            self.more += 1;
        }
    }

    fn untold(&self) -> Option<usize> {
        (self.more > 0).then_some(self.more)
    }

    /// Its own word for what went wrong, else the last thing that it said.
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
    fn lines_are_handed_on_whole_and_not_without_end() {
        let (mut lines, mut said) = (Lines::default(), Vec::new());
        for bytes in [&b"one\ntw"[..], b"o\n\nerror: it ", b"broke\n"] {
            lines.take(bytes, &mut |line| said.push(line.to_string()));
        }
        assert_eq!(said, ["one", "two"]);
        lines.take(&vec![b'x'; 3 * WIDTH], &mut |_| panic!("no line yet"));
        lines.take(b"\n", &mut |line| said.push(line.to_string()));
        assert_eq!(said[2].len(), WIDTH);
        for _ in 0..100 {
            lines.take(b"y\n", &mut |line| said.push(line.to_string()));
        }
        assert_eq!((said.len(), lines.untold()), (LINES, Some(100 + 3 - LINES)));
        assert_eq!(lines.last_error().as_deref(), Some("it broke"));
        lines.take(b"memory is out", &mut |_| {});
        assert_eq!(lines.last_error().as_deref(), Some("memory is out"));
    }
}
