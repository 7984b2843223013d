//! Checkpoints of ranks that do not see the results folder of rank 0: their parts travel there over
//! MPI, and back when the run is resumed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};

use super::checkpoint::{CheckpointError, CheckpointPart, PartWriter, read_part};
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::errors::message;
use crate::files::WRITING;

/// A part travels in pieces of this size, so that rank 0 never holds a whole one.
const PIECE_BYTES: usize = 8 << 20;
/// Pieces that rank 0 holds while the disk is slower than the network.
const PIECES_AHEAD: usize = 8;

/// Which ranks see the folder that rank 0 writes into, at their own `--output`; the same on every
/// rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FolderAccess {
    /// By rank; true for rank 0.
    sees: Vec<bool>,
    rank: usize,
}

impl FolderAccess {
    /// Rank 0 leaves a file of a name that nobody can know before, and every rank looks for it.
    ///
    /// Errors: rank 0 cannot write into the folder.
    pub(crate) fn find(comm: &dyn Comm, output: &Path) -> Result<FolderAccess> {
        let (size, rank) = (comm.size(), comm.rank());
        if size == 1 {
            return Ok(FolderAccess { sees: vec![true], rank });
        }
        let left = match comm.is_root() {
            true => leave_mark(output).map(Some),
            false => Ok(None),
        };
        let mark = agree(comm, left)?;
        let name = mark.as_ref().and_then(|mark| mark.path().file_name());
        let mut name = name.map_or(Vec::new(), |name| name.to_string_lossy().into_owned().into());
        comm.broadcast_bytes(&mut name);
        let seen = output.join(String::from_utf8(name)?).exists();
        let mut sees: Vec<u8> = comm.gather_bytes(&[u8::from(seen)]).concat();
        comm.broadcast_bytes(&mut sees);
        Ok(FolderAccess { sees: sees.into_iter().map(|seen| seen == 1).collect(), rank })
    }

    /// Whether this rank sees it.
    pub(crate) fn is_here(&self) -> bool {
        self.sees[self.rank]
    }

    /// Whether all ranks do.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.sees.iter().all(|&sees| sees)
    }

    /// A line for the user, on rank 0, where not all ranks do.
    pub(crate) fn notice(&self) -> Option<String> {
        let others = self.sees.iter().filter(|&&sees| !sees).count();
        (self.rank == 0 && others > 0).then(|| {
            format!(
                "{others} of {} ranks do not see the results folder of rank 0: \
                 their parts of checkpoints go there over MPI",
                self.sees.len()
            )
        })
    }
}

fn leave_mark(output: &Path) -> Result<tempfile::NamedTempFile, String> {
    let made = fs::create_dir_all(output);
    let mark = made.and_then(|()| {
        // As a file that a killed run was writing, it is moved aside with that run's.
        tempfile::Builder::new().prefix(&format!("config{WRITING}")).tempfile_in(output)
    });
    mark.map_err(|e| format!("{}: {e}; choose another folder with --output", output.display()))
}

/// The parts of a rank: those that lie in rank 0's folder, and by name those that have to go there.
#[derive(Debug, Default)]
pub(crate) struct RankParts {
    pub(crate) written: Vec<CheckpointPart>,
    pub(crate) unsent: Vec<(String, Vec<u8>)>,
}

/// Sends all ranks' parts to rank 0, which writes them into `folder`. Called on every rank; returns
/// when all parts have arrived. On rank 0 the thread still writes the last ones; what it returns is
/// rank 0's own parts and those that came. On the other ranks there is nothing left.
pub(super) fn collect_parts(
    comm: &dyn Comm,
    folder: &Path,
    mine: RankParts,
) -> JoinHandle<Result<RankParts, String>> {
    let RankParts { written, unsent } = mine;
    let (sender, receiver) = sync_channel(PIECES_AHEAD);
    let (folder, is_root) = (folder.to_path_buf(), comm.is_root());
    let writer = std::thread::spawn(move || {
        if !is_root {
            return Ok(RankParts::default());
        }
        let arrived = write_arriving(&folder, &receiver).map_err(|e| message(&e))?;
        Ok(RankParts { written: [written, arrived].concat(), unsent: Vec::new() })
    });
    comm.stream_to_root(
        &mut |send| {
            for (name, bytes) in &unsent {
                pieces(name, bytes).for_each(|piece| send(&piece));
            }
        },
        // If the writer has ended, it has an error, and that is what is told.
        &mut |_, piece| drop(sender.send(piece)),
    );
    writer
}

/// The messages of a part: whether it is the last piece, the length of the name, name and piece.
fn pieces<'a>(name: &'a str, bytes: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let count = bytes.len().div_ceil(PIECE_BYTES).max(1);
    (0..count).map(move |index| {
        let start = index * PIECE_BYTES;
        let piece = &bytes[start..bytes.len().min(start + PIECE_BYTES)];
        let head = [u8::from(index + 1 == count), name.len() as u8];
        [&head, name.as_bytes(), piece].concat()
    })
}

/// The reverse of [`pieces`]; None where it is no such message.
fn read_piece(message: &[u8]) -> Option<(bool, &str, &[u8])> {
    let ([is_last, len], rest) = message.split_first_chunk()?;
    let (name, piece) = rest.split_at_checked(usize::from(*len))?;
    Some((*is_last == 1, std::str::from_utf8(name).ok()?, piece))
}

/// Writes the parts whose pieces come, each sender's in order, until there are no more.
fn write_arriving(folder: &Path, messages: &Receiver<Vec<u8>>) -> Result<Vec<CheckpointPart>> {
    let mut open: BTreeMap<String, PartWriter> = BTreeMap::new();
    let mut parts = Vec::new();
    for message in messages {
        let (is_last, name, piece) =
            read_piece(&message).context("a damaged piece of a checkpoint came over MPI")?;
        let mut writer = match open.remove(name) {
            Some(writer) => writer,
            None => PartWriter::begin(folder, name)?,
        };
        writer.push(piece)?;
        if is_last {
            parts.push(writer.finish()?);
        } else {
            open.insert(name.into(), writer);
        }
    }
    match open.keys().next() {
        Some(name) => Err(anyhow!("{name}: only a part of it came over MPI")),
        None => Ok(parts),
    }
}

/// The bytes of the parts in `folder` that `wanted` names for this rank: read here, or sent by rank
/// 0 where this rank does not see its folder. Called on every rank, with the same `wanted`; `folder`
/// is where this rank would see it.
pub(super) fn read_parts(
    comm: &dyn Comm,
    access: &FolderAccess,
    folder: &Path,
    wanted: &dyn Fn(usize) -> Vec<String>,
) -> Result<Vec<Vec<u8>>> {
    let read = |rank: usize| -> Result<Vec<Vec<u8>>, CheckpointError> {
        wanted(rank).iter().map(|name| read_part(folder, name)).collect()
    };
    let mut parts = match access.is_here() {
        true => read(comm.rank()).map_err(|e| e.to_string()),
        false => Ok(Vec::new()),
    };
    if !access.is_everywhere() {
        let bytes = comm.scatter_bytes(&mut |rank| match access.sees[rank] {
            true => Vec::new(),
            false => pack(read(rank).map_err(|e| e.to_string())),
        });
        if !access.is_here() {
            parts = unpack(&bytes);
        }
    }
    Ok(agree(comm, parts)?)
}

/// A message of parts, or of the error: 1 or 0, then each part's length and the part.
fn pack(parts: Result<Vec<Vec<u8>>, String>) -> Vec<u8> {
    match parts {
        Err(error) => [&[0], error.as_bytes()].concat(),
        Ok(parts) => {
            let mut message = vec![1];
            for part in parts {
                message.extend((part.len() as u64).to_le_bytes());
                message.extend(part);
            }
            message
        }
    }
}

fn unpack(message: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let damaged = || "a damaged checkpoint came over MPI".to_string();
    let (is_good, mut rest) = message.split_first().ok_or_else(damaged)?;
    if *is_good == 0 {
        return Err(String::from_utf8_lossy(rest).into_owned());
    }
    let mut parts = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| damaged())?;
        let (part, after) = after.split_at_checked(len).ok_or_else(damaged)?;
        parts.push(part.to_vec());
        rest = after;
    }
    if rest.is_empty() { Ok(parts) } else { Err(damaged()) }
}

/// Where a folder lies, for a user of several machines.
pub(super) fn place_of(folder: &Path) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let whole: PathBuf = folder.canonicalize().unwrap_or_else(|_| folder.into());
    format!("{}:{}", host.trim(), whole.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_arrive_interleaved_in_pieces_are_written_whole() {
        let place = tempfile::tempdir().unwrap();
        let long: Vec<u8> = (0..2 * PIECE_BYTES + 3).map(|i| (i % 251) as u8).collect();
        let (sender, receiver) = sync_channel(9);
        let [a, b] = ["stock-00001", "stock-00002"];
        let (mut of_a, mut of_b) = (pieces(a, &long), pieces(b, &long[1..]));
        for _ in 0..3 {
            sender.send(of_a.next().unwrap()).unwrap();
            sender.send(of_b.next().unwrap()).unwrap();
        }
        assert!(of_a.next().is_none() && of_b.next().is_none());
        pieces("stock-00003", b"").for_each(|piece| sender.send(piece).unwrap());
        drop(sender);
        let parts = write_arriving(place.path(), &receiver).unwrap();
        let lens: Vec<(&str, u64)> =
            parts.iter().map(|part| (&part.name[..], part.bytes)).collect();
        let len = long.len() as u64;
        assert_eq!(lens, [(a, len), (b, len - 1), ("stock-00003", 0)]);
        assert!(read_part(place.path(), a).unwrap() == long);
        assert!(read_part(place.path(), b).unwrap() == long[1..]);
    }

    #[test]
    fn a_part_that_breaks_off_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let long = vec![7; PIECE_BYTES + 1];
        let (sender, receiver) = sync_channel(9);
        sender.send(pieces("stock-00001", &long).next().unwrap()).unwrap();
        drop(sender);
        let error = write_arriving(place.path(), &receiver).unwrap_err().to_string();
        assert!(error.contains("stock-00001"), "{error}");
        assert!(read_piece(&[1, 9, b'x']).is_none() && read_piece(&[1]).is_none());
    }

    #[test]
    fn a_message_of_parts_is_read_as_it_was_written_or_refused() {
        let parts = vec![vec![1, 2, 3], Vec::new(), vec![9; 70]];
        let message = pack(Ok(parts.clone()));
        assert_eq!(unpack(&message).unwrap(), parts);
        assert_eq!(unpack(&pack(Ok(Vec::new()))).unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(unpack(&pack(Err("no such part".into()))).unwrap_err(), "no such part");
        for end in [0, 5, message.len() - 1] {
            assert!(unpack(&message[..end]).unwrap_err().contains("damaged"), "{end}");
        }
    }
}
