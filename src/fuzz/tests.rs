//! Fuzzing of everything that is read, in this process: valid inputs are changed at random, and no
//! change may panic or make the reader ask for much more memory than it was given bytes.
//!
//! The same inputs come in every run. `FUZZ_SECONDS` is the time of each fuzzer, 5 by default.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::agents::config::AgentsConfig;
use crate::config::RunConfig;
use crate::strategy::{Registry, StrategyFile};
use crate::train::dataset::PanelNote;

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator; the cell has no destructor and needs no
// memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One allocation may be so many times the input, and this much besides: a zip archive may claim
/// 65,535 entries, for which its reader makes room of 6 MB.
const TIMES: usize = 64;
const BESIDES: usize = 16 << 20;

/// Numbers at the ends of types, in text and in bytes.
const WORDS: [&[u8]; 24] = [
    b"0",
    b"-1",
    b"-0.0",
    b"1e308",
    b"1e-310",
    b"1e400",
    b"inf",
    b"nan",
    b"9223372036854775807",
    b"18446744073709551615",
    b"18446744073709551616",
    b"4294967295",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"\n",
    b"\0",
    b"\x1b[2J",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\x7f",
    "\u{202e}é".as_bytes(),
];

/// Feeds `read` with the seeds and then with changed ones, until the time is over.
pub(crate) fn fuzz(name: &str, seeds: &[Vec<u8>], read: impl Fn(&[u8])) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(5.0));
    let seed = name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (start, mut runs) = (Instant::now(), 0u64);
    while start.elapsed() < time {
        let input = match seeds.get(runs as usize) {
            Some(seed) => seed.clone(),
            None => changed(seeds, &mut rng),
        };
        LARGEST.set(0);
        let done = catch_unwind(AssertUnwindSafe(|| read(&input)));
        let largest = LARGEST.get();
        let shown = || String::from_utf8_lossy(&input).escape_debug().to_string();
        assert!(done.is_ok(), "{name}, input {runs} panics: {}", shown());
        let most = BESIDES + TIMES * input.len();
        assert!(largest <= most, "{name}, input {runs} takes {largest} bytes: {}", shown());
        runs += 1;
    }
    println!("{name}: {runs} inputs");
    assert!(runs > seeds.len() as u64, "{name}: no time");
}

fn changed(seeds: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = seeds.choose(rng).cloned().unwrap_or_default();
    for _ in 0..1 << rng.random_range(0..4) {
        let at = rng.random_range(0..=input.len());
        let end = (at + rng.random_range(0..=16)).min(input.len());
        match rng.random_range(0..9) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => input[at] = rng.random(),
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => {
                let word = WORDS.choose(rng).expect("there are words");
                input.splice(at..end, word.iter().copied());
            }
            // A number is replaced whole.
            5 => {
                let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
                let from = input[at..].iter().position(is_part).map(|before| at + before);
                let Some(from) = from else { continue };
                let count = input[from..].iter().take_while(|byte| is_part(byte)).count();
                let word = WORDS.choose(rng).expect("there are words");
                input.splice(from..from + count, word.iter().copied());
            }
            6 => {
                let part = input[at..end].to_vec();
                let times = rng.random_range(1..=64);
                input.splice(at..at, part.repeat(times));
            }
            7 => {
                let other = seeds.choose(rng).expect("there are seeds");
                let from = rng.random_range(0..=other.len());
                let to = (from + rng.random_range(0..=64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                let to = rng.random_range(0..=input.len());
                let part = input[at..end].to_vec();
                input.splice(to..to, part);
            }
        }
    }
    input
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).into()
}

#[test]
fn settings() {
    let whole = toml::to_string(&RunConfig::default()).unwrap();
    let pairs = "stocks = [\"A\", \"B\"]\n[portfolio]\npairs = [[\"A\", \"B\"]]\nname_limit = 2\n\
                 [learner]\nweight_decay = [1, 2.5]\n[network]\nheads = 2\nembedding = 0x10\n";
    fuzz("settings", &texts([&whole, pairs]), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(config) = RunConfig::from_toml(text, "settings") {
            let _ = config.validate();
        }
        if let Some(line) = text.lines().next() {
            let _ = RunConfig::default().with_setting(line);
        }
    });
}

#[test]
fn strategies() {
    let examples = include_str!("../../docs/strategies.toml");
    let rule = "[strategies.X]\nlong = \"index < 1e3 && !(close > abs(average) * -2)\"\n\
                exit = \"ln(index) >= 50 || volume == 0\"\n\
                parameters = { slow = { default = 100, low = 2, high = 500 } }\n\
                indicators.index = { kind = \"rsi\", period = 14 }\n\
                indicators.average = { kind = \"sma\", period = \"slow\" }\n\
                [parameters.RSI]\nperiod = 7\n";
    fuzz("strategies", &texts([examples, rule]), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(file) = toml::from_str::<StrategyFile>(text) else { return };
        let mut registry = Registry::standard();
        if file.register(&mut registry).is_err() {
            return;
        }
        for (name, given) in &file.parameters {
            let _ = registry.find(name).and_then(|kind| kind.resolve(given));
        }
    });
}

#[test]
fn agents() {
    let example = include_str!("../../configs/default_config.json");
    let small = r#"{"date_range":{"init_date":"2020-01-02","end_date":"2020-01-06 10:00:00"},
        "stocks":["AAPL"],"bar_minutes":60,"models":[{"signature":"x","kind":"ensemble",
        "strategies":["RSI",{"strategy":"MACD","parameters":{"fast":5}}],"weights":[1,2.5],
        "window_bars":50}],"agent_config":{"max_steps":3,"base_delay":0.5}}"#;
    fuzz("agents", &texts([example, small]), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let _ = AgentsConfig::parse(text, &|_| None);
    });
}

#[test]
fn panel_notes() {
    let note = r#"{"reports":[],"bar_minutes":30,"rows":{"start":3,"end":9},"fit":{"scaler":
        {"mean":[0.5,1.0],"std":[1.0,2.0],"return_std":[0.01]},"relations":{"correlation":[[null]],
        "lead_lag":[[0.25]]},"peers":[[]]},"opportunities":[]}"#;
    assert!(serde_json::from_str::<PanelNote>(note).is_ok());
    fuzz("panel notes", &texts([note]), |bytes| {
        let Ok(note) = serde_json::from_slice::<PanelNote>(bytes) else { return };
        let _ = note.fits(9, 1, 2);
    });
}
