//! TensorBoard event files: TFRecord framing around three small protocol buffer messages, written
//! by hand.
//!
//! Sources: tensorflow/tensorboard `compat/proto/event.proto` and `summary.proto`;
//! tensorflow/tensorflow `core/lib/io/record_writer.cc` for the framing and
//! `core/lib/hash/crc32c.h` for the mask.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::folder::{ReportError, ResultsFolder};

/// Writes `events.out.tfevents.<unix time>.<host>`. Each value reaches the operating system in one
/// write, so TensorBoard follows a run while it trains.
#[derive(Debug)]
pub(crate) struct EventWriter {
    path: PathBuf,
    file: File,
    /// Of whole events.
    bytes: u64,
}

impl EventWriter {
    pub(crate) fn create(folder: &ResultsFolder) -> Result<EventWriter, ReportError> {
        let now_s = wall_time_s();
        let path = folder.path(&format!("events.out.tfevents.{}.{}", now_s as u64, host_name()));
        match File::create(&path) {
            Ok(file) => {
                let mut writer = EventWriter { path, file, bytes: 0 };
                writer.write(&version_event(now_s))?;
                Ok(writer)
            }
            Err(cause) => Err(ReportError::new(path, "cannot make", cause)),
        }
    }

    /// The events of a run that is resumed, cut back to their first `bytes`.
    pub(crate) fn reopen(
        folder: &ResultsFolder,
        name: &str,
        bytes: u64,
    ) -> Result<EventWriter, ReportError> {
        let path = folder.path(name);
        let file = File::options().append(true).open(&path).and_then(|file| {
            file.set_len(bytes)?;
            Ok(file)
        });
        match file {
            Ok(file) => Ok(EventWriter { path, file, bytes }),
            Err(cause) => Err(ReportError::new(path, "cannot continue", cause)),
        }
    }

    /// Of its file, without the folder.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `step` is what TensorBoard draws along its horizontal axis: environment steps here.
    pub(crate) fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), ReportError> {
        self.write(&scalar_event(wall_time_s(), tag, step, value as f32))
    }

    fn write(&mut self, event: &[u8]) -> Result<(), ReportError> {
        let record = record(event);
        if let Err(cause) = self.file.write_all(&record) {
            let _ = self.file.set_len(self.bytes);
            return Err(ReportError::new(&self.path, "cannot append", cause));
        }
        self.bytes += record.len() as u64;
        Ok(())
    }
}

fn wall_time_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The machine's name as far as it may stand in a file name.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let allowed = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '.';
    let name: String = name.trim().chars().filter(allowed).collect();
    if name.is_empty() { "localhost".into() } else { name }
}

/// length u64, its masked CRC, the data, its masked CRC; little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Event { wall_time = 1: double, file_version = 3: string }
fn version_event(wall_time_s: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time_s);
    event.bytes(3, b"brain.Event:2");
    event.0
}

/// Event { wall_time = 1: double, step = 2: int64, summary = 5: Summary }, where
/// Summary { value = 1: Value } and Value { tag = 1: string, simple_value = 2: float }
fn scalar_event(wall_time_s: f64, tag: &str, step: u64, value: f32) -> Vec<u8> {
    let mut entry = Message::default();
    entry.bytes(1, tag.as_bytes());
    entry.float(2, value);
    let mut summary = Message::default();
    summary.bytes(1, &entry.0);
    let mut event = Message::default();
    event.double(1, wall_time_s);
    event.integer(2, step);
    event.bytes(5, &summary.0);
    event.0
}

/// A protocol buffer message under construction. A field is a key (number << 3 | wire type) and a
/// value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn integer(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The check value of CRC-32C is 0xe3069283; the mask is TensorBoard's `masked_crc32c`.
    #[test]
    fn masks_the_castagnoli_checksum() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5_u32.to_le_bytes());
    }

    /// Bytes as TensorBoard 2's `RecordWriter` writes them for the same two events.
    #[test]
    fn records_equal_those_of_tensorboard() {
        let version = record(&version_event(1_700_000_000.5));
        let expected = "1800000000000000a37f4b22\
            0900002040fc54d9411a0d627261696e2e4576656e743a32\
            2b353110";
        assert_eq!(hex(&version), expected);
        let scalar = record(&scalar_event(1_700_000_000.5, "loss", 300, 0.25));
        let expected = "1b000000000000001a0d9e13\
            0900002040fc54d94110ac022a0d0a0b0a046c6f7373150000803e\
            c5f6859b";
        assert_eq!(hex(&scalar), expected);
    }

    #[test]
    fn the_file_is_a_run_of_whole_records() {
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(place.path()).unwrap();
        let mut writer = EventWriter::create(&folder).unwrap();
        for step in 0..3 {
            writer.scalar("reward", step, 0.5).unwrap();
        }
        let name = writer.path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents.1"), "{name}");
        let bytes = std::fs::read(&writer.path).unwrap();
        let mut rest = &bytes[..];
        let mut records = 0;
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[..length + 16], record(&rest[12..12 + length]));
            rest = &rest[length + 16..];
            records += 1;
        }
        assert_eq!(records, 4);
    }
}
