//! A deadline for making sense of what was read: a damaged or hostile file may keep its reader busy
//! for hours without asking for memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, Once, OnceLock};
use std::time::Duration;

/// Seconds that any file may take.
const LEAST_S: u64 = 60;
/// Bytes per further second; a slow machine parses tens of megabytes.
const BYTES_PER_S: u64 = 1 << 20;

/// What is being parsed by all threads, by number.
static PARSED: Mutex<Parsed> = Mutex::new(Parsed { next: 0, files: BTreeMap::new() });

/// What is done about a file whose time is over; nothing where the program does not say.
static END: OnceLock<fn(&str)> = OnceLock::new();
static WATCH: Once = Once::new();

struct Parsed {
    next: u64,
    files: BTreeMap<u64, ParsedFile>,
}

struct ParsedFile {
    name: String,
    left_s: u64,
}

impl Parsed {
    /// A second has passed. The first file whose time is over.
    fn tick(&mut self) -> Option<String> {
        for file in self.files.values_mut() {
            file.left_s = file.left_s.saturating_sub(1);
        }
        self.files.values().find(|file| file.left_s == 0).map(|file| file.name.clone())
    }
}

fn parsed() -> MutexGuard<'static, Parsed> {
    PARSED.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A file that is being parsed, from now until this is dropped.
pub(crate) struct Parsing(u64);

impl Parsing {
    /// `name` is for the message, `bytes` the file's size: a minute, and a second per MB.
    pub(crate) fn begin(name: &str, bytes: usize) -> Parsing {
        let mut parsed = parsed();
        let number = parsed.next;
        parsed.next += 1;
        let left_s = LEAST_S + bytes as u64 / BYTES_PER_S;
        parsed.files.insert(number, ParsedFile { name: name.into(), left_s });
        drop(parsed);
        if let Some(&end) = END.get() {
            WATCH.call_once(|| watch(end));
        }
        Parsing(number)
    }
}

impl Drop for Parsing {
    fn drop(&mut self) {
        parsed().files.remove(&self.0);
    }
}

/// From now on `end` is called with the name of the first file whose parsing takes longer than its
/// time. A thread counts the seconds; those in which the process is stopped or the machine sleeps do
/// not count. It begins with the first file: a process that has threads cannot be forked.
pub(crate) fn end_when_over(end: fn(&str)) {
    // A second call would be of the same program.
    let _ = END.set(end);
}

fn watch(end: fn(&str)) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let over = parsed().tick();
            if let Some(name) = over {
                return end(&name);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_minute_and_a_second_per_megabyte() {
        let mut parsed = Parsed { next: 0, files: BTreeMap::new() };
        parsed.files.insert(0, ParsedFile { name: "slow".into(), left_s: 3 });
        parsed.files.insert(1, ParsedFile { name: "other".into(), left_s: 4 });
        assert_eq!([0; 3].map(|_| parsed.tick()), [None, None, Some("slow".into())]);
        parsed.files.remove(&0);
        assert_eq!(parsed.tick(), Some("other".into()));

        let parsing = Parsing::begin("a file of this test", 5 << 20);
        let number = parsing.0;
        assert!((60..=65).contains(&super::parsed().files[&number].left_s));
        drop(parsing);
        assert!(!super::parsed().files.contains_key(&number));
    }
}
