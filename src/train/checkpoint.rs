//! Checkpoints on disk: `checkpoints/{env_steps}/` with one part per stock, one of rank 0 and a
//! manifest that is written last. A checkpoint counts when its manifest is there and every part has
//! the length and digest that it names.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::errors::Cause;
use crate::files::{Durability, WholeFile, write_whole};

/// Raised when the parts of an older program cannot be read any more.
const VERSION: u32 = 7;
const MANIFEST: &str = "manifest.json";
const FINISHED: &str = "finished.json";

#[derive(Debug, Error)]
pub(crate) enum CheckpointError {
    #[error("{}: {cause}; free some disk space, then continue with --resume", path.display())]
    Io {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("{}: {what}; delete this folder to resume from the one before", path.display())]
    Damaged {
        path: PathBuf,
        what: String,
        #[source]
        cause: Cause,
    },
}

impl CheckpointError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
        move |cause| CheckpointError::Io { path: path.into(), cause: Cause::new(cause) }
    }
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointPart {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// What a checkpoint consists of and which run it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) env_steps: u64,
    /// The run's settings as TOML, but for those that cannot change a result.
    pub(crate) settings: String,
    pub(crate) parts: Vec<CheckpointPart>,
}

impl Manifest {
    pub(crate) fn new(env_steps: u64, settings: String, parts: Vec<CheckpointPart>) -> Manifest {
        Manifest { version: VERSION, env_steps, settings, parts }
    }
}

/// Stands beside the checkpoints of a run whose results are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinishedMark {
    /// As [`Manifest::settings`].
    pub(crate) settings: String,
}

/// The checkpoints of one results folder.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    root: PathBuf,
    /// Whole ones that are kept.
    keep: usize,
}

impl Checkpoints {
    pub(crate) fn new(output: &Path, keep: usize) -> Checkpoints {
        Checkpoints { root: output.join("checkpoints"), keep }
    }

    /// Where the parts of a checkpoint go. The name sorts by age.
    pub(crate) fn folder(&self, env_steps: u64) -> PathBuf {
        self.named(&format!("{env_steps:016}"))
    }

    /// The folder of that name, as [`Checkpoints::latest`] found it, or would find it on another
    /// machine that sees the same disk.
    pub(crate) fn named(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes the checkpoint at `env_steps` count, now that all its parts are written, and removes
    /// what is older than those to keep.
    pub(crate) fn commit(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        let folder = self.folder(manifest.env_steps);
        let path = folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| CheckpointError::io(&path)(io::Error::from(e)))?;
        write(&path, &text)?;
        let mut whole = 0;
        for older in self.folders().into_iter().rev() {
            let is_committed = older.join(MANIFEST).exists();
            // One without a manifest is the remainder of a run that was killed.
            if whole >= self.keep || !is_committed && older < folder {
                fs::remove_dir_all(&older).map_err(CheckpointError::io(&older))?;
            }
            whole += usize::from(is_committed);
        }
        Ok(())
    }

    /// Removes what was written of a checkpoint that cannot be finished: it may fill the disk.
    pub(crate) fn discard(&self, env_steps: u64) {
        // The run ends with an error already; what stays is passed over and removed later.
        let _ = fs::remove_dir_all(self.folder(env_steps));
    }

    /// The newest checkpoint that is whole. `passed_over` is told of every newer one that is not.
    pub(crate) fn latest(
        &self,
        mut passed_over: impl FnMut(&Path, &str),
    ) -> Option<(PathBuf, Manifest)> {
        for folder in self.folders().into_iter().rev() {
            match read_manifest(&folder) {
                Ok(manifest) => return Some((folder, manifest)),
                Err(what) => passed_over(&folder, &what),
            }
        }
        None
    }

    /// Notes that the run with these settings is finished.
    pub(crate) fn mark_finished(&self, settings: &str) -> Result<(), CheckpointError> {
        fs::create_dir_all(&self.root).map_err(CheckpointError::io(&self.root))?;
        let mark = FinishedMark { settings: settings.into() };
        let bytes = serde_json::to_vec(&mark).expect("a text becomes JSON");
        write(&self.root.join(FINISHED), &bytes)
    }

    /// The mark of the run that was finished here; None where none was.
    pub(crate) fn finished(&self) -> Option<FinishedMark> {
        serde_json::from_slice(&fs::read(self.root.join(FINISHED)).ok()?).ok()
    }

    /// Oldest first.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }
}

/// The bytes of a part.
pub(crate) fn encode_part(
    folder: &Path,
    name: &str,
    state: &impl Serialize,
) -> Result<Vec<u8>, CheckpointError> {
    postcard::to_stdvec(state).map_err(|e| CheckpointError::Damaged {
        path: folder.join(name),
        what: format!("the state cannot be written ({e})"),
        cause: Cause::new(e),
    })
}

/// The state in the bytes of a part; `folder` and `name` are for the message.
pub(crate) fn decode_part<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<T, CheckpointError> {
    postcard::from_bytes(bytes).map_err(|e| CheckpointError::Damaged {
        path: folder.join(name),
        what: format!("it cannot be read ({e})"),
        cause: Cause::new(e),
    })
}

/// The bytes of a part that [`Checkpoints::latest`] has found whole.
pub(crate) fn read_part(folder: &Path, name: &str) -> Result<Vec<u8>, CheckpointError> {
    let path = folder.join(name);
    fs::read(&path).map_err(CheckpointError::io(&path))
}

/// Writes one part.
pub(crate) fn write_part(
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<CheckpointPart, CheckpointError> {
    let mut writer = PartWriter::begin(folder, name)?;
    writer.push(bytes)?;
    writer.finish()
}

/// A part that is written piece by piece, beside its place and then renamed.
pub(crate) struct PartWriter {
    path: PathBuf,
    whole: WholeFile,
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl PartWriter {
    pub(crate) fn begin(folder: &Path, name: &str) -> Result<PartWriter, CheckpointError> {
        let path = folder.join(name);
        fs::create_dir_all(folder).map_err(CheckpointError::io(folder))?;
        let whole = WholeFile::begin(&path).map_err(CheckpointError::io(&path))?;
        let file = File::options().write(true).open(whole.temporary());
        let file = file.map_err(CheckpointError::io(&path))?;
        Ok(PartWriter { path, whole, file, digest: Sha256::new(), bytes: 0 })
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(CheckpointError::io(&self.path))
    }

    /// All of it was written: it takes its place.
    pub(crate) fn finish(self) -> Result<CheckpointPart, CheckpointError> {
        let PartWriter { path, whole, file, digest, bytes } = self;
        drop(file);
        whole.finish(Durability::Synced).map_err(CheckpointError::io(&path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(CheckpointPart { name, bytes, sha256: hex(&digest.finalize()) })
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest, String> {
    let text = fs::read(folder.join(MANIFEST)).map_err(|_| "it has no manifest".to_string())?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|e| format!("its manifest is damaged ({e})"))?;
    if manifest.version != VERSION {
        return Err(format!("it is of version {}, not {VERSION}", manifest.version));
    }
    for part in &manifest.parts {
        let bytes = fs::read(folder.join(&part.name)).map_err(|e| format!("{}: {e}", part.name))?;
        if bytes.len() as u64 != part.bytes || digest(&bytes) != part.sha256 {
            return Err(format!("{} is damaged", part.name));
        }
    }
    Ok(manifest)
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    write_whole(path, Durability::Synced, |beside| fs::write(beside, bytes))
        .map_err(CheckpointError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(checkpoints: &Checkpoints, env_steps: u64) -> PathBuf {
        let folder = checkpoints.folder(env_steps);
        let parts = ["root", "AAPL"].map(|name| {
            let bytes = encode_part(&folder, name, &env_steps).unwrap();
            write_part(&folder, name, &bytes).unwrap()
        });
        let manifest = Manifest::new(env_steps, "seed = 1".into(), parts.to_vec());
        checkpoints.commit(&manifest).unwrap();
        folder
    }

    fn latest(checkpoints: &Checkpoints) -> (Option<u64>, Vec<String>) {
        let mut passed_over = Vec::new();
        let found = checkpoints.latest(|folder, what| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            passed_over.push(format!("{}: {what}", name.trim_start_matches('0')));
        });
        (found.map(|(_, manifest)| manifest.env_steps), passed_over)
    }

    #[test]
    fn the_newest_whole_checkpoint_is_found_and_damaged_ones_are_named() {
        let place = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(place.path(), 5);
        assert_eq!(latest(&checkpoints), (None, vec![]));
        let folders = [900, 1_000, 1_100, 1_200].map(|steps| written(&checkpoints, steps));
        assert_eq!(latest(&checkpoints), (Some(1_200), vec![]));
        let bytes = read_part(&folders[3], "AAPL").unwrap();
        assert_eq!(decode_part::<u64>(&folders[3], "AAPL", &bytes).unwrap(), 1_200);

        fs::write(folders[3].join("AAPL"), b"x").unwrap();
        fs::remove_file(folders[2].join("root")).unwrap();
        fs::remove_file(folders[1].join(MANIFEST)).unwrap();
        let (found, passed_over) = latest(&checkpoints);
        assert_eq!(found, Some(900));
        assert_eq!(passed_over.len(), 3);
        assert_eq!(passed_over[0], "1200: AAPL is damaged");
        assert!(passed_over[1].starts_with("1100: root: "), "{passed_over:?}");
        assert_eq!(passed_over[2], "1000: it has no manifest");
    }

    #[test]
    fn a_part_in_pieces_is_the_part_at_once_and_one_that_breaks_off_is_none() {
        let place = tempfile::tempdir().unwrap();
        let (folder, bytes) = (place.path(), b"0123456789");
        let whole = write_part(folder, "whole", bytes).unwrap();
        let mut writer = PartWriter::begin(folder, "pieces").unwrap();
        for piece in bytes.chunks(3) {
            writer.push(piece).unwrap();
        }
        let pieces = writer.finish().unwrap();
        // SHA-256 of "0123456789", from sha256sum.
        let sha256 = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
        assert_eq!((&whole.sha256[..], whole.bytes), (sha256, 10));
        assert_eq!(pieces, CheckpointPart { name: "pieces".into(), ..whole });
        assert_eq!(fs::read(folder.join("pieces")).unwrap(), bytes);

        let mut writer = PartWriter::begin(folder, "broken").unwrap();
        writer.push(b"0123").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "nothing is left of it");
    }

    #[test]
    fn the_last_ones_are_kept_and_remainders_removed() {
        let place = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(place.path(), 2);
        write_part(&checkpoints.folder(50), "AAPL", &[1]).unwrap();
        let folders = [100, 200, 300].map(|steps| written(&checkpoints, steps));
        assert!(!checkpoints.folder(50).exists() && !folders[0].exists());
        assert!(folders[1].exists() && folders[2].exists());
    }
}
