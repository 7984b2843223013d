//! Keeps a run: takes its state between two bars, writes it beside the running loop, and makes it
//! count when every rank has written its part.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::checkpoint::{CheckpointPart, Checkpoints, Manifest, read_part, write_part};
use super::snapshot::{RootState, Snapshot, StockState};
use crate::comm::Comm;
use crate::comm::comm::agree;
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
    thread: JoinHandle<Result<Vec<CheckpointPart>, String>>,
}

/// What a rank says of its part: still writing, or done, or failed.
#[derive(Serialize, Deserialize)]
enum PartStatus {
    Writing,
    Done(Vec<CheckpointPart>),
    Failed(String),
}

pub(crate) struct CheckpointWriter<'a> {
    comm: &'a dyn Comm,
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
        output: &Path,
        settings: String,
        config: &CheckpointConfig,
    ) -> CheckpointWriter<'a> {
        CheckpointWriter {
            comm,
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
        let folder = self.checkpoints.folder(env_steps);
        let write = move || -> Result<Vec<CheckpointPart>, String> {
            let mut parts = Vec::new();
            for (stock, state) in &snapshot.stocks {
                let part = write_part(&folder, &part_of(*stock), state);
                parts.push(part.map_err(|e| e.to_string())?);
            }
            if let (Some(state), Some(callbacks)) = (snapshot.root, callbacks) {
                let part = write_part(&folder, ROOT, &RootPart { state, callbacks });
                parts.push(part.map_err(|e| e.to_string())?);
            }
            let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
            tracing::info!(env_steps, bytes, seconds = began.elapsed().as_secs_f64(), "written");
            Ok(parts)
        };
        self.pending = Some(PendingCheckpoint { env_steps, thread: std::thread::spawn(write) });
        Ok(())
    }

    /// Asks all ranks whether they are done, and if so makes the checkpoint count. All ranks call
    /// it at the same bar.
    pub(crate) fn poll(&mut self) -> Result<()> {
        let is_done = self.pending.as_ref().is_some_and(|pending| pending.thread.is_finished());
        if self.is_writing() { self.settle(is_done) } else { Ok(()) }
    }

    /// Waits for the checkpoint that is being written, if one is.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.is_writing() { self.settle(true) } else { Ok(()) }
    }

    fn settle(&mut self, is_done: bool) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let env_steps = pending.env_steps;
        let said = if is_done {
            match pending.thread.join() {
                Ok(Ok(parts)) => PartStatus::Done(parts),
                Ok(Err(message)) => PartStatus::Failed(message),
                Err(_) => PartStatus::Failed("the writer of the checkpoint broke off".into()),
            }
        } else {
            self.pending = Some(pending);
            PartStatus::Writing
        };
        let gathered = self.comm.gather_bytes(&serde_json::to_vec(&said)?);
        let outcome =
            if self.comm.is_root() { self.commit(env_steps, &gathered) } else { Ok(true) };
        if outcome.is_err() {
            self.checkpoints.discard(env_steps);
        }
        let committed = agree(self.comm, outcome.map_err(|e| message(&e)))?;
        let mut committed = vec![u8::from(committed)];
        self.comm.broadcast_bytes(&mut committed);
        if committed == [0] && self.pending.is_none() {
            // This rank was done before others; its parts are named again when they are.
            self.pending = Some(PendingCheckpoint { env_steps, thread: done(said) });
        }
        Ok(())
    }

    /// On rank 0: whether all ranks were done and the checkpoint now counts.
    fn commit(&self, env_steps: u64, gathered: &[Vec<u8>]) -> Result<bool> {
        let mut parts = Vec::new();
        for bytes in gathered {
            match serde_json::from_slice(bytes)? {
                PartStatus::Writing => return Ok(false),
                PartStatus::Failed(message) => return Err(anyhow!(message)),
                PartStatus::Done(some) => parts.extend(some),
            }
        }
        parts.sort_by(|a: &CheckpointPart, b| a.name.cmp(&b.name));
        self.checkpoints.commit(&Manifest::new(env_steps, self.settings.clone(), parts))?;
        Ok(true)
    }
}

fn part_of(stock: usize) -> String {
    format!("stock-{stock:05}")
}

fn done(said: PartStatus) -> JoinHandle<Result<Vec<CheckpointPart>, String>> {
    std::thread::spawn(move || match said {
        PartStatus::Done(parts) => Ok(parts),
        PartStatus::Failed(message) => Err(message),
        PartStatus::Writing => unreachable!("a rank that still writes keeps its own thread"),
    })
}

/// The state of a stock's worker in a checkpoint.
pub(crate) fn read_stock(folder: &Path, stock: usize) -> Result<StockState> {
    Ok(read_part(folder, &part_of(stock))?)
}

/// Rank 0's part of a checkpoint, which every rank needs for its counters and the weights.
pub(crate) fn read_root(folder: &Path) -> Result<RootPart> {
    Ok(read_part(folder, ROOT)?)
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
