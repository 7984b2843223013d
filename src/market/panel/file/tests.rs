//! Damaged, foreign and replaced files; the cost of opening a large one.

use super::super::tests::random_panel;
use super::super::{Panel, PanelData};
use super::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

fn said(result: Result<Panel, MarketError>) -> String {
    match result {
        Ok(_) => panic!("the file was accepted"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_damaged_or_foreign_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    Panel::write(&path, &random_panel(200, 2, 3)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(7).chain(whole.len() - 12..whole.len()) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let message = said(Panel::open(&path));
        assert!(message.contains("panel.arrow") && message.contains("delete it"), "{message}");
    }
    std::fs::write(&path, "timestamp,open,high,low,close,volume\n".repeat(20)).unwrap();
    assert!(said(Panel::open(&path)).contains("not a usable panel file"));
    assert!(said(Panel::open(&folder.path().join("none"))).contains("cannot open"));
}

/// A wrong header is detected: another version, other columns, a wrong number of rows.
#[test]
fn an_arrow_file_that_is_no_panel_of_this_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    let data = random_panel(200, 2, 3);
    Panel::write(&path, &data).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let edits = [
        ("\"version\":2", "\"version\":9", "panel format 9"),
        ("\"rows\":200", "\"rows\":201", "wrong length"),
        ("\"batch_shift\":16", "\"batch_shift\": 6", "record batches are missing"),
        ("dqn_trader_panel", "dqn_trader_model", "no panel"),
        ("[\"S0\",\"S1\"]", "[\"S0---S1\"]", "not those of a panel"),
    ];
    for (from, to, expected) in edits {
        let edited = replaced(checksum::content(&whole).unwrap(), from, to);
        let trailer = checksum::trailer(&path, &edited);
        std::fs::write(&path, [&edited[..], &trailer].concat()).unwrap();
        let message = said(Panel::open(&path));
        assert!(message.contains(expected), "{from}: {message}");
    }
}

/// Any flipped bit is detected: in the numbers, the note, the footer or the checksum itself.
#[test]
fn every_flipped_bit_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    let data = PanelData { note: "the fit of this panel ".repeat(20), ..random_panel(30, 2, 3) };
    Panel::write(&path, &data).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let note = whole.windows(7).position(|bytes| bytes == b"the fit").unwrap() * 8;
    let mut random = ChaCha8Rng::seed_from_u64(12);
    for flip in 0..10_000 {
        let bits = if flip % 4 == 0 { note..note + 8 * 440 } else { 0..8 * whole.len() };
        let bit = random.random_range(bits);
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &damaged).unwrap();
        let message = said(Panel::open(&path));
        assert!(message.contains("its checksum is not that of its content"), "{bit}: {message}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(Panel::open(&path).unwrap().note(), data.note);
}

#[test]
fn cut_extended_and_swapped_files_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    Panel::write(&path("a.arrow"), &random_panel(200, 2, 3)).unwrap();
    Panel::write(&path("b.arrow"), &random_panel(100, 2, 3)).unwrap();
    let (a, b) = (std::fs::read(path("a.arrow")).unwrap(), std::fs::read(path("b.arrow")).unwrap());
    let refused = |bytes: &[u8]| {
        std::fs::write(path("a.arrow"), bytes).unwrap();
        said(Panel::open(&path("a.arrow")))
    };
    refused(&[]);
    for cut in [1, 2, 19, 20, 21, 22, a.len() / 2, a.len() - 1] {
        refused(&a[..a.len() - cut]);
        refused(&a[cut..]);
    }
    for length in [1, 20, 4096] {
        refused(&[&a[..], &vec![0; length]].concat());
        refused(&[&a[..], &a[a.len() - length..]].concat());
    }
    refused(&[&a[..], &a[..]].concat());
    refused(&b);
    std::fs::write(path("a.arrow"), &a).unwrap();
    Panel::open(&path("a.arrow")).unwrap();
}

/// A checksum combined from blocks depends on their order and covers the shorter last block.
#[test]
fn every_block_of_a_large_file_counts() {
    let path = Path::new("panel.arrow");
    let content: Vec<u8> =
        (0..(5 << 19) + 7).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole = [&content[..], &checksum::trailer(path, &content)].concat();
    assert!(checksum::is_intact(path, &whole));
    for place in [0, (1 << 20) - 1, 1 << 20, 2 << 20, content.len() - 1, content.len()] {
        let mut damaged = whole.clone();
        damaged[place] ^= 64;
        assert!(!checksum::is_intact(path, &damaged), "byte {place}");
    }
    let mut swapped = whole.clone();
    let (first, second) = swapped.split_at_mut(1 << 20);
    first.swap_with_slice(&mut second[..1 << 20]);
    assert!(swapped != whole && !checksum::is_intact(path, &swapped));
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|&i| &bytes[i..i + from.len()] == from.as_bytes())
        .collect();
    assert!(!places.is_empty(), "{from} is not in the file");
    for i in places {
        bytes[i..i + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// With any bit flipped, opening returns an error or a panel that can be read from end to end.
#[test]
fn no_flipped_bit_crashes_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    Panel::write(&path, &random_panel(4, 1, 1)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for i in 0..whole.len() * 8 {
        let mut map = memmap2::MmapMut::map_anon(whole.len()).unwrap();
        map.copy_from_slice(&whole);
        map[i / 8] ^= 1 << (i % 8);
        match MappedPanel::read(map.make_read_only().unwrap()) {
            Ok(mapped) => {
                let (batch, row) = mapped.locate(3);
                std::hint::black_box((batch.end_s[row], batch.features[row]));
            }
            Err(_) => refused += 1,
        }
    }
    // Lengths, types, names and offsets are a large part of such a small file. The checksum, which
    // would reject every case, is not verified here.
    assert!(refused > whole.len(), "{refused} of {}", 8 * whole.len());
}

#[test]
fn writing_replaces_the_file_whole_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    let first = random_panel(100, 2, 3);
    let second = random_panel(50, 2, 3);
    Panel::write(&path, &first).unwrap();
    let old = Panel::open(&path).unwrap();
    Panel::write(&path, &second).unwrap();
    assert_eq!(old.view(99).bar(1).close, first.close[199], "an open panel keeps its file");
    assert_eq!(Panel::open(&path).unwrap().rows(), 50);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let message = Panel::write(&folder.path().join("missing/panel.arrow"), &first).unwrap_err();
    let message = message.to_string();
    assert!(message.ends_with("missing exists, is writable and has 1 MB free"), "{message}");
}

#[test]
#[should_panic(expected = "a feature is not finite")]
fn a_feature_that_is_not_finite_is_not_written() {
    let mut data: PanelData = random_panel(2, 1, 1);
    data.features[1] = f32::NAN;
    let _ = Panel::write(Path::new("never-written.arrow"), &data);
}

/// Prints the cost of writing and opening; timings are not asserted.
#[test]
fn what_a_large_panel_costs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    let data = random_panel(130_000, 5, 32);
    let start = Instant::now();
    Panel::write(&path, &data).unwrap();
    let written = start.elapsed();
    let start = Instant::now();
    Panel::open(&path).unwrap();
    let opened = start.elapsed();
    let start = Instant::now();
    let panel = Panel::open_verified(&path).unwrap();
    let mapped = start.elapsed();
    let size = std::fs::metadata(&path).unwrap().len();
    let costs = format!("written in {written:?}, opened in {opened:?}, unverified in {mapped:?}");
    println!("{} MB: {costs}", size >> 20);
    let held = 130_000 * (8 + 5 * (5 * 8 + 1 + 4 * 32));
    assert!((held..held + held / 100).contains(&size), "{size} bytes for {held}");
    assert_eq!(panel.view(129_999).features(4), &data.features[data.features.len() - 32..]);
    let mut out = Vec::new();
    let rows: Vec<u32> = (0..4096u32).map(|i| i * 7919 % 130_000).collect();
    panel.gather_features(&rows, &[0, 1, 2, 3, 4], &mut out);
    let start = Instant::now();
    panel.gather_features(&rows, &[0, 1, 2, 3, 4], &mut out);
    println!("4096 rows of 5 x 32 features gathered in {:?}", start.elapsed());
}
