//! Checkpoints of a run: which one it resumes from, and how its callbacks come to write new ones.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::callbacks::{Callbacks, Ending, TrainingInterval, TrainingStart};
use super::checkpoint::Checkpoints;
use super::checkpoint_writer::{CheckpointWriter, RootPart, differences, read_root, read_stock};
use super::dataset::PreparedData;
use super::evaluation::Evaluation;
use super::snapshot::{Snapshot, StockState};
use super::worker::Worker;
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::config::CheckpointConfig;
use crate::errors::message;
use crate::market::{Period, Symbol};

/// The folder of the newest whole checkpoint, the same on every rank; None where there is none yet.
/// `settings` as in [`super::checkpoint::Manifest::settings`].
///
/// Errors: it is of a run with other settings.
pub(super) fn find_checkpoint(
    comm: &dyn Comm,
    output: &Path,
    config: &CheckpointConfig,
    settings: &str,
    callbacks: &mut dyn Callbacks,
) -> Result<Option<PathBuf>> {
    let checkpoints = Checkpoints::new(output, config.keep);
    let found = match comm.is_root() {
        true => usable_checkpoint(&checkpoints, settings, callbacks).map_err(|e| message(&e)),
        false => Ok(String::new()),
    };
    let mut name = agree(comm, found)?.into_bytes();
    comm.broadcast_bytes(&mut name);
    let name = String::from_utf8(name)?;
    Ok((!name.is_empty()).then(|| name.into()))
}

/// Its path; empty where there is none.
fn usable_checkpoint(
    checkpoints: &Checkpoints,
    settings: &str,
    callbacks: &mut dyn Callbacks,
) -> Result<String> {
    let found = checkpoints.latest(|folder, what| {
        callbacks.on_message(&format!("{}: {what}; skipped", folder.display()));
    });
    let Some((folder, manifest)) = found else {
        let line = "--resume: no checkpoint found; starting from the beginning";
        callbacks.on_message(line);
        return Ok(String::new());
    };
    let differing = differences(&manifest.settings, settings);
    if !differing.is_empty() {
        return Err(anyhow!(
            "--resume: {} belongs to a run with other settings ({}); \
             restore them, or omit --resume to start over",
            folder.display(),
            differing.join("; ")
        ));
    }
    let line = format!("resuming from the checkpoint at {} steps", manifest.env_steps);
    callbacks.on_message(&line);
    Ok(folder.to_string_lossy().into_owned())
}

/// Rank 0's part of a checkpoint, and those of a rank's own stocks. Every rank reads its own.
pub(super) fn read_checkpoint(
    comm: &dyn Comm,
    folder: &Path,
    own: &[usize],
) -> Result<(RootPart, Vec<StockState>)> {
    let read = || -> Result<_> {
        let root = read_root(folder)?;
        let stocks: Result<Vec<_>> = own.iter().map(|&stock| read_stock(folder, stock)).collect();
        Ok((root, stocks?))
    };
    Ok(agree(comm, read().map_err(|e| message(&e)))?)
}

/// Callbacks of a run that keeps checkpoints, where there is a keeper: it is told what it needs,
/// and the caller's callbacks the rest.
pub(super) struct Kept<'a> {
    pub(crate) checkpoint_writer: Option<CheckpointWriter<'a>>,
    pub(crate) callbacks: &'a mut dyn Callbacks,
}

impl Kept<'_> {
    /// Waits for the checkpoint that is being written, if one is.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.checkpoint_writer.as_mut().map_or(Ok(()), CheckpointWriter::finish)
    }
}

impl Callbacks for Kept<'_> {
    fn on_days(&mut self, symbol: &Symbol, done: usize, total: usize) {
        self.callbacks.on_days(symbol, done, total);
    }

    fn on_data(&mut self, period: Period, data: &PreparedData) {
        self.callbacks.on_data(period, data);
    }

    fn on_message(&mut self, line: &str) {
        self.callbacks.on_message(line);
    }

    fn on_training_start(&mut self, start: &TrainingStart<'_>) -> Result<()> {
        self.callbacks.on_training_start(start)
    }

    fn on_bar(&mut self, workers: &[Worker]) {
        self.callbacks.on_bar(workers);
    }

    fn on_interval(&mut self, interval: TrainingInterval) -> Result<()> {
        self.callbacks.on_interval(interval)
    }

    fn on_barrier(&mut self) -> Result<()> {
        self.callbacks.on_barrier()?;
        self.checkpoint_writer.as_mut().map_or(Ok(()), CheckpointWriter::poll)
    }

    fn on_evaluation_start(&mut self) {
        self.callbacks.on_evaluation_start();
    }

    fn on_evaluation(&mut self, done: &Evaluation) -> Result<()> {
        self.callbacks.on_evaluation(done)
    }

    fn on_evaluation_end(&mut self) {
        self.callbacks.on_evaluation_end();
    }

    fn wants_checkpoint(&mut self) -> bool {
        self.checkpoint_writer.as_ref().is_some_and(CheckpointWriter::is_due)
            || self.callbacks.wants_checkpoint()
    }

    fn on_checkpoint(&mut self, snapshot: Snapshot) -> Result<()> {
        let Some(checkpoint_writer) = &mut self.checkpoint_writer else {
            return self.callbacks.on_checkpoint(snapshot);
        };
        let is_root = snapshot.root.is_some();
        let state = if is_root { Some(self.callbacks.state()?) } else { None };
        checkpoint_writer.begin(snapshot, state)
    }

    fn is_writing(&self) -> bool {
        self.checkpoint_writer.as_ref().is_some_and(CheckpointWriter::is_writing)
    }

    fn state(&self) -> Result<Vec<u8>> {
        self.callbacks.state()
    }

    fn on_workers_stopped(&mut self) -> Result<()> {
        self.callbacks.on_workers_stopped()?;
        self.finish()
    }

    fn on_training_end(&mut self, ending: Ending) -> Result<()> {
        self.callbacks.on_training_end(ending)
    }
}
