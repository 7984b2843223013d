//! Damaged tables: an error or rows, never a panic or an abort. `FUZZ_SECONDS` makes it longer.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::market::parquet::decode_day;

const SECONDS: f64 = 12.0;

/// Small tables of every kind.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "05/12/2025,09:30,210.5,211,210,210.75,1000\n05/13/2025,09:35,210.75,212,210.5,211.5,2000\n",
        "Price,Close,Close,High,High,Low,Low,Open,Open\nTicker,A,B,A,B,A,B,A,B\nDate,,,,,,,,\n\
         2025-05-12,10,20,11,21,9,19,10,20\n",
        "\"datetime\";open;high;low;close;volume\n12.05.2025 09:30;210,5;1.211;210;210,75;1.000\n",
        "ticker,volume,open,close,high,low,window_start\nA,1,2,3,4,1,1747056600000000000\n",
        "{\"results\": [{\"v\": 1, \"o\": 2, \"c\": 2, \"h\": 3, \"l\": 1, \"t\": 1747056600000}]}",
        "{\"open\": {\"1747056600000\": 2}, \"high\": {\"1747056600000\": 3}, \"low\": \
         {\"1747056600000\": 1}, \"close\": {\"1747056600000\": 2}}",
        "[[1747056600000,\"2\",\"3\",\"1\",\"2\",\"5\",1747056659999,\"1\",9,\"1\",\"1\",\"0\"]]",
        "{\"candles\": [{\"complete\": true, \"time\": \"2025-05-12T13:30:00Z\", \"mid\": {\"o\": 2, \
         \"h\": 3, \"l\": 1, \"c\": 2}}]}",
        "date  open  high  low  close  tz\n2025-05-12 09:30  2  3  1  2  EST\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut names: Vec<_> =
        std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let is_table = |path: &&std::path::PathBuf| {
        path.extension().is_some_and(|e| e == "parquet" || e == "feather")
    };
    seeds.extend(names.iter().filter(is_table).map(|path| std::fs::read(path).unwrap()));
    seeds
}

/// A few changes of the kinds that damage and malice make.
fn mutated(seed: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = rng.random_range(0..bytes.len());
        let end = (at + rng.random_range(1..=16)).min(bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = [0, 0xff, b'9', b',', b'"', b'\n', b'-', 0x80][rng.random_range(0..8)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                let times = [1, 2, 500][rng.random_range(0..3)];
                bytes.splice(at..at, part.repeat(times));
            }
            4 => bytes.truncate(at),
            _ => bytes[at..end].fill(b'9'),
        }
    }
    bytes
}

#[test]
fn damaged_tables_are_errors() {
    let given = std::env::var("FUZZ_SECONDS").ok();
    let seconds = given.map_or(SECONDS, |text| text.parse().expect("FUZZ_SECONDS is a number"));
    let (seeds, mut rng) = (seeds(), ChaCha8Rng::seed_from_u64(16));
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let (mut runs, mut read) = (0_u64, 0_u64);
    while Instant::now() < until {
        let bytes = mutated(&seeds[rng.random_range(0..seeds.len())], &mut rng);
        let begun = Instant::now();
        let found = decode_table(&bytes, "f", &TableOptions::default());
        if let Err(error) = &found {
            assert!(error.to_string().len() <= 400, "{error}");
        }
        read += u64::from(found.is_ok());
        let _ = decode_day(&bytes, "f");
        let _ = unpacked(bytes, "f");
        assert!(begun.elapsed() < Duration::from_secs(5), "it has to end");
        runs += 1;
    }
    println!("{runs} damaged tables, of which {read} could be read");
    assert!(runs > 100 && read > 0, "{runs} {read}");
}
