//! Copies a file from rank 0's node to all others.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use mpi::collective::Root;
use mpi::topology::{Communicator, SimpleCommunicator};

use super::PIECE_BYTES;
use crate::comm::heartbeat::PULSE;
use crate::files::{Durability, WholeFile};

/// Path of a simulated node's copy.
pub(crate) fn beside(path: &Path, node: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.with_file_name(format!("node-{node}")).join(name)
}

/// Rank 0 of `leaders` reads `path`, and the others write it to `here`, completely or not at all,
/// in chunks. Every leader takes part in all chunks, also after an error of its own, so that none
/// waits for another. Errors: reading on rank 0 or writing on this rank failed.
pub(crate) fn between_nodes(
    leaders: &SimpleCommunicator,
    path: &Path,
    here: &Path,
) -> std::io::Result<()> {
    let root = leaders.process_at_rank(0);
    let is_root = leaders.rank() == 0;
    let mut source = is_root.then(|| File::open(path)).transpose();
    let mut sink = (!is_root).then(|| Sink::begin(here)).transpose();
    let mut len = match &source {
        Ok(Some(file)) => file.metadata().map_or(0, |data| data.len()),
        _ => 0,
    };
    root.broadcast_into(&mut len);
    let mut piece = Vec::new();
    let mut at = 0;
    while at < len {
        piece.resize((len - at).min(PIECE_BYTES as u64) as usize, 0);
        if let Ok(Some(file)) = &mut source
            && let Err(error) = file.read_exact(&mut piece)
        {
            source = Err(error);
        }
        root.broadcast_into(&mut piece[..]);
        PULSE.work();
        if let Ok(Some(file)) = &mut sink
            && let Err(error) = file.bytes.write_all(&piece)
        {
            sink = Err(error);
        }
        at += piece.len() as u64;
    }
    let mut whole = source.is_ok() && len > 0;
    root.broadcast_into(&mut whole);
    source?;
    match sink? {
        // What is copied is made anew where it is damaged, so that nobody waits for the disk.
        Some(sink) if whole => sink.file.finish(Durability::Unsynced),
        _ => Ok(()),
    }
}

/// The copy while it arrives.
struct Sink {
    file: WholeFile,
    bytes: File,
}

impl Sink {
    fn begin(path: &Path) -> std::io::Result<Sink> {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let file = WholeFile::begin(path)?;
        let bytes = File::create(file.temporary())?;
        Ok(Sink { file, bytes })
    }
}
