//! The checksum that ends a panel file, after the Arrow footer:
//!
//! ```text
//! content | "DQNTSUM1" | bytes of the content, u64 | CRC-32C, u32      (little-endian)
//! ```
//!
//! The CRC covers the file's name, the content's length and the CRCs of the content's blocks, which
//! are computed in parallel. So every byte of the file counts, and an intact panel under another
//! panel's name is rejected. CRC-32C detects every single-bit error, and any other with probability
//! 1 - 2^-32.

use std::path::Path;

use rayon::prelude::*;

const MAGIC: &[u8; 8] = b"DQNTSUM1";
pub(crate) const TRAILER_BYTES: usize = 20;
/// Bytes per parallel task.
const BLOCK_BYTES: usize = 1 << 20;

/// The trailer of the file at `path` with this content.
pub(super) fn trailer(path: &Path, content: &[u8]) -> [u8; TRAILER_BYTES] {
    let length = (content.len() as u64).to_le_bytes();
    let blocks: Vec<u32> = content.par_chunks(BLOCK_BYTES).map(crc32c::crc32c).collect();
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let sum = crc32c::crc32c_append(crc32c::crc32c(name), &length);
    let sum = blocks.iter().fold(sum, |sum, crc| crc32c::crc32c_append(sum, &crc.to_le_bytes()));
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..8].copy_from_slice(MAGIC);
    trailer[8..16].copy_from_slice(&length);
    trailer[16..].copy_from_slice(&sum.to_le_bytes());
    trailer
}

/// The content of a file, unverified; None if the file is too short for a trailer.
pub(super) fn content(file: &[u8]) -> Option<&[u8]> {
    Some(&file[..file.len().checked_sub(TRAILER_BYTES)?])
}

/// Whether the file at `path` matches its checksum.
pub(super) fn is_intact(path: &Path, file: &[u8]) -> bool {
    content(file).is_some_and(|content| file[content.len()..] == trailer(path, content))
}
