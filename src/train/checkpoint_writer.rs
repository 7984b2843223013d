//! Keeps a run: takes its state between two bars, writes it beside the running loop, and makes it
//! count when every rank's part is written. Ranks that do not see the results folder of rank 0 send
//! it their parts.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::checkpoint::{
    CheckpointError, CheckpointPart, Checkpoints, Manifest, decode_part, encode_part, write_part,
};
use super::checkpoint_transfer::{FolderAccess, RankParts, collect_parts, read_parts};
use super::snapshot::{RootState, Snapshot, StockState};
use crate::comm::comm::agree;
use crate::comm::{Comm, Ranks};
use crate::config::CheckpointConfig;
use crate::errors::message;

/// The part of rank 0.
const ROOT: &str = "root";

/// What rank 0 writes of itself: its state of the loop, and that of the callbacks.
#[derive(Serialize, Deserialize)]
pub(crate) struct RootPart {
    pub(crate) state: RootState,
    pub(crate) callbacks: Vec<u8>,
}

/// A checkpoint that is being written.
struct PendingCheckpoint {
    env_steps: u64,
    work: PendingWork,
}

/// How far this rank's parts are.
enum PendingWork {
    Running(JoinHandle<Result<RankParts, String>>),
    Ended(Result<RankParts, String>),
}

impl PendingWork {
    /// Takes what the thread returned, if it has ended or is to be waited for.
    fn advance(self, waits: bool) -> PendingWork {
        match self {
            PendingWork::Running(thread) if waits || thread.is_finished() => {
                let broke_off = || Err("the writer of the checkpoint broke off".into());
                PendingWork::Ended(thread.join().unwrap_or_else(|_| broke_off()))
            }
            work => work,
        }
    }

    fn status(&self) -> PartStatus {
        match self {
            PendingWork::Running(_) => PartStatus::Writing,
            PendingWork::Ended(Ok(parts)) if !parts.unsent.is_empty() => PartStatus::Unsent,
            PendingWork::Ended(Ok(parts)) => PartStatus::Done(parts.written.clone()),
            PendingWork::Ended(Err(message)) => PartStatus::Failed(message.clone()),
        }
    }
}

/// What a rank says of its parts.
#[derive(Serialize, Deserialize)]
enum PartStatus {
    Writing,
    /// They are ready to be sent to rank 0.
    Unsent,
    Done(Vec<CheckpointPart>),
    Failed(String),
}

/// What rank 0 makes of that.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Verdict {
    /// Some rank still writes.
    Wait,
    /// All are done but for the sending.
    Collect,
    /// The checkpoint counts.
    Committed,
}

pub(crate) struct CheckpointWriter<'a> {
    comm: &'a dyn Comm,
    access: FolderAccess,
    checkpoints: Checkpoints,
    /// See [`Manifest::settings`].
    settings: String,
    every: Duration,
    last: Instant,
    pending: Option<PendingCheckpoint>,
}

impl<'a> CheckpointWriter<'a> {
    /// `settings` as in [`Manifest::settings`].
    pub(crate) fn new(
        comm: &'a dyn Comm,
        access: FolderAccess,
        output: &Path,
        settings: String,
        config: &CheckpointConfig,
    ) -> CheckpointWriter<'a> {
        CheckpointWriter {
            comm,
            access,
            checkpoints: Checkpoints::new(output, config.keep),
            settings,
            every: Duration::try_from_secs_f64(config.every_s).unwrap_or(Duration::MAX),
            last: Instant::now(),
            pending: None,
        }
    }

    /// Whether it is time for the next one. Rank 0 decides by this; the others follow.
    pub(crate) fn is_due(&self) -> bool {
        self.pending.is_none() && self.last.elapsed() >= self.every
    }

    /// Whether there are any but those of a run that is stopped.
    pub(crate) fn is_timed(&self) -> bool {
        self.every < Duration::MAX
    }

    /// Whether one is being written; the same on every rank.
    pub(crate) fn is_writing(&self) -> bool {
        self.pending.is_some()
    }

    /// Begins to write a snapshot that all ranks took after the same bar, with the state of the
    /// `callbacks` on rank 0.
    pub(crate) fn begin(&mut self, snapshot: Snapshot, callbacks: Option<Vec<u8>>) -> Result<()> {
        if self.is_writing() {
            self.finish()?;
        }
        let began = Instant::now();
        self.last = began;
        let env_steps = snapshot.env_steps;
        let (folder, is_seen) = (self.checkpoints.folder(env_steps), self.access.is_here());
        let write = move || -> Result<RankParts, String> {
            let mut parts = RankParts::default();
            let mut bytes_written = 0;
            let mut keep = |name: &str, bytes: Result<Vec<u8>, CheckpointError>| {
                let bytes = bytes?;
                bytes_written += bytes.len();
                if is_seen {
                    parts.written.push(write_part(&folder, name, &bytes)?);
                } else {
                    parts.unsent.push((name.into(), bytes));
                }
                Ok::<(), CheckpointError>(())
            };
            for (stock, state) in snapshot.stocks {
                let name = part_of(stock);
                keep(&name, encode_part(&folder, &name, &state)).map_err(|e| e.to_string())?;
            }
            if let (Some(state), Some(callbacks)) = (snapshot.root, callbacks) {
                let bytes = encode_part(&folder, ROOT, &RootPart { state, callbacks });
                keep(ROOT, bytes).map_err(|e| e.to_string())?;
            }
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(env_steps, bytes = bytes_written, seconds, is_seen, "written");
            Ok(parts)
        };
        let work = PendingWork::Running(std::thread::spawn(write));
        self.pending = Some(PendingCheckpoint { env_steps, work });
        Ok(())
    }

    /// Asks all ranks whether they are done, and if so makes the checkpoint count. All ranks call
    /// it at the same bar.
    pub(crate) fn poll(&mut self) -> Result<()> {
        self.settle(false)
    }

    /// Waits for the checkpoint that is being written, if one is.
    pub(crate) fn finish(&mut self) -> Result<()> {
        while self.is_writing() {
            self.settle(true)?;
        }
        Ok(())
    }

    fn settle(&mut self, waits: bool) -> Result<()> {
        let Some(PendingCheckpoint { env_steps, work }) = self.pending.take() else {
            return Ok(());
        };
        let work = work.advance(waits);
        let gathered = self.comm.gather_bytes(&serde_json::to_vec(&work.status())?);
        let verdict = match self.comm.is_root() {
            true => self.judge(env_steps, &gathered),
            false => Ok(Verdict::Wait),
        };
        if verdict.is_err() {
            self.checkpoints.discard(env_steps);
        }
        let verdict = agree(self.comm, verdict.map_err(|e| message(&e)))?;
        let mut verdict = postcard::to_stdvec(&verdict)?;
        self.comm.broadcast_bytes(&mut verdict);
        let work = match postcard::from_bytes(&verdict)? {
            Verdict::Wait => work,
            Verdict::Collect => self.collect(env_steps, work)?,
            Verdict::Committed => return Ok(()),
        };
        self.pending = Some(PendingCheckpoint { env_steps, work });
        Ok(())
    }

    /// On rank 0: commits the checkpoint if all ranks are done.
    fn judge(&self, env_steps: u64, gathered: &[Vec<u8>]) -> Result<Verdict> {
        let (mut parts, mut verdict) = (Vec::new(), Verdict::Committed);
        for bytes in gathered {
            match serde_json::from_slice(bytes)? {
                PartStatus::Writing => return Ok(Verdict::Wait),
                PartStatus::Failed(message) => return Err(anyhow!(message)),
                PartStatus::Unsent => verdict = Verdict::Collect,
                PartStatus::Done(some) => parts.extend(some),
            }
        }
        if let Verdict::Committed = verdict {
            parts.sort_by(|a: &CheckpointPart, b| a.name.cmp(&b.name));
            self.checkpoints.commit(&Manifest::new(env_steps, self.settings.clone(), parts))?;
        }
        Ok(verdict)
    }

    /// Sends the parts of all ranks to rank 0. All ranks are done by now.
    fn collect(&self, env_steps: u64, work: PendingWork) -> Result<PendingWork> {
        let PendingWork::Ended(Ok(parts)) = work else {
            return Err(anyhow!("a rank was asked for parts that it does not have"));
        };
        let since = Instant::now();
        let folder = self.checkpoints.folder(env_steps);
        let thread = collect_parts(self.comm, &folder, parts);
        let seconds = since.elapsed().as_secs_f64();
        tracing::info!(env_steps, seconds, "training paused for parts over MPI");
        Ok(PendingWork::Running(thread))
    }
}

fn part_of(stock: usize) -> String {
    format!("stock-{stock:05}")
}

/// A checkpoint as a rank resumes from it: rank 0's part, which every rank needs for its counters
/// and the weights, and those of its own stocks. Called on every rank, with the stocks that each
/// rank owns; `folder` is where this rank would see it.
pub(super) fn read_checkpoint(
    comm: &dyn Comm,
    access: &FolderAccess,
    folder: &Path,
    ranks: Ranks,
) -> Result<(RootPart, Vec<StockState>)> {
    let names = |rank: usize| {
        let own = ranks.owned(rank).map(part_of);
        std::iter::once(ROOT.to_string()).chain(own).collect::<Vec<_>>()
    };
    let parts = read_parts(comm, access, folder, &names)?;
    let decode = || -> Result<_> {
        let names = names(comm.rank());
        let mut parts = names.iter().zip(&parts);
        let (name, bytes) = parts.next().context("a checkpoint without rank 0's part")?;
        let root = decode_part(folder, name, bytes)?;
        let stocks = parts.map(|(name, bytes)| Ok(decode_part(folder, name, bytes)?));
        Ok((root, stocks.collect::<Result<Vec<_>>>()?))
    };
    Ok(agree(comm, decode().map_err(|e| message(&e)))?)
}

/// The settings in which two runs differ, as `key: old, now new`; empty where a checkpoint of the
/// one can be gone on from by the other.
pub(crate) fn differences(old: &str, new: &str) -> Vec<String> {
    let (mut old_flat, mut new_flat) = (Vec::new(), Vec::new());
    for (text, flat) in [(old, &mut old_flat), (new, &mut new_flat)] {
        let table: toml::Table = toml::from_str(text).unwrap_or_default();
        flatten("", &toml::Value::Table(table), flat);
    }
    let find = |flat: &[(String, String)], key: &str| {
        flat.iter().find(|(k, _)| k == key).map_or("not set".to_string(), |(_, v)| v.clone())
    };
    let mut keys: Vec<&String> = old_flat.iter().chain(&new_flat).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| {
            let (was, is) = (find(&old_flat, key), find(&new_flat, key));
            (was != is).then(|| format!("{key}: {was}, now {is}"))
        })
        .collect()
}

fn flatten(prefix: &str, value: &toml::Value, flat: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, flat);
            }
        }
        _ => flat.push((prefix.into(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_settings_are_named_with_both_values() {
        let old = "seed = 1\n[learner]\ngamma = 0.9\nlanes = 4\n";
        let new = "seed = 2\n[learner]\ngamma = 0.9\n";
        let expected = ["learner.lanes: 4, now not set", "seed: 1, now 2"];
        assert_eq!(differences(old, new), expected);
        assert!(differences(old, old).is_empty());
    }
}
