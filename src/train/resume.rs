//! Checkpoints of a run: which one it resumes from, and how its callbacks come to write new ones.

use std::path::Path;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::callbacks::{Callbacks, Ending, TrainingInterval, TrainingStart};
use super::checkpoint::Checkpoints;
use super::checkpoint_transfer::{FolderAccess, place_of};
use super::checkpoint_writer::{CheckpointWriter, differences};
use super::dataset::PreparedData;
use super::evaluation::Evaluation;
use super::snapshot::Snapshot;
use super::worker::Worker;
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::config::CheckpointConfig;
use crate::errors::message;
use crate::market::{Period, Symbol};
use crate::wording::counted;

/// From where a run resumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum ResumePoint {
    /// From the beginning.
    Start,
    /// The newest whole checkpoint, of a run with the same settings; the name of its folder.
    Checkpoint(String),
    /// The last checkpoint of a finished run with fewer episodes; the name of its folder.
    GoOn(String),
    /// Nowhere: it is finished.
    Finished,
}

/// From where a run with these `settings` resumes, the same on every rank. `settings` as in
/// [`super::checkpoint::Manifest::settings`].
///
/// Errors: the newest checkpoint is of a run with other settings; a machine that does not see rank
/// 0's results folder has a newer checkpoint of this run in its own.
pub(super) fn find_resume_point(
    comm: &dyn Comm,
    access: &FolderAccess,
    output: &Path,
    config: &CheckpointConfig,
    settings: &str,
    callbacks: &mut dyn Callbacks,
) -> Result<ResumePoint> {
    let checkpoints = Checkpoints::new(output, config.keep);
    let elsewhere = match access.is_here() {
        true => None,
        false => progress_kept(&checkpoints).map(|kept| (kept, place_of(output))),
    };
    let elsewhere = comm.gather_bytes(&postcard::to_stdvec(&elsewhere)?);
    let found = match comm.is_root() {
        true => newest_here(&checkpoints, settings, &elsewhere)
            .and_then(|()| resume_point(&checkpoints, settings, callbacks))
            .map_err(|e| message(&e)),
        false => Ok(ResumePoint::Start),
    };
    let mut bytes = postcard::to_stdvec(&agree(comm, found)?)?;
    comm.broadcast_bytes(&mut bytes);
    Ok(postcard::from_bytes(&bytes)?)
}

/// How far a run with these settings came, by what is kept of it; later is more.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
enum KeptProgress {
    /// Environment steps at the newest whole checkpoint.
    Checkpoint(u64),
    Finished,
}

/// What is kept in a results folder, and the settings of that run; a rank knows its own settings only
/// as far as they concern its stocks.
fn progress_kept(checkpoints: &Checkpoints) -> Option<(KeptProgress, String)> {
    if let Some(mark) = checkpoints.finished() {
        return Some((KeptProgress::Finished, mark.settings));
    }
    let (_, manifest) = checkpoints.latest(|_, _| {})?;
    Some((KeptProgress::Checkpoint(manifest.env_steps), manifest.settings))
}

/// Errors: one of `elsewhere`, what other machines have in folders of their own and where, is of the
/// run with these settings and newer than what rank 0 has.
fn newest_here(checkpoints: &Checkpoints, settings: &str, elsewhere: &[Vec<u8>]) -> Result<()> {
    let is_this_run = |(_, of): &(KeptProgress, String)| of == settings;
    let here = progress_kept(checkpoints).filter(is_this_run).map(|(at, _)| at);
    for bytes in elsewhere {
        let found: Option<((KeptProgress, String), String)> = postcard::from_bytes(bytes)?;
        let found = found.filter(|(kept, _)| is_this_run(kept) && Some(kept.0) > here);
        let Some(((there, _), place)) = found else { continue };
        let kept = |at: Option<KeptProgress>| match at {
            Some(KeptProgress::Finished) => "the finished run".to_string(),
            Some(KeptProgress::Checkpoint(steps)) => format!("a checkpoint at {steps} steps"),
            None => "none of it".into(),
        };
        return Err(anyhow!(
            "--resume: {place} has {} of this run, rank 0 has {}; run rank 0 on that machine, or \
             copy that folder to rank 0's",
            kept(Some(there)),
            kept(here)
        ));
    }
    Ok(())
}

fn resume_point(
    checkpoints: &Checkpoints,
    settings: &str,
    callbacks: &mut dyn Callbacks,
) -> Result<ResumePoint> {
    let finished = checkpoints.finished().map(|mark| mark.settings);
    if finished.as_deref() == Some(settings) {
        return Ok(ResumePoint::Finished);
    }
    let found = checkpoints.latest(|folder, what| {
        callbacks.on_message(&format!("{}: {what}; skipped", folder.display()));
    });
    let Some((folder, manifest)) = found else {
        if finished.is_some() {
            return Err(anyhow!(
                "--resume: the finished run there has other settings and kept no checkpoint to go \
                 on from; omit --resume to start over, or begin with its weights (--init-from)"
            ));
        }
        let line = "--resume: no checkpoint found; starting from the beginning";
        callbacks.on_message(line);
        return Ok(ResumePoint::Start);
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let differing = differences(&manifest.settings, settings);
    if differing.is_empty() {
        let line = format!("resuming from the checkpoint at {} steps", manifest.env_steps);
        callbacks.on_message(&line);
        return Ok(ResumePoint::Checkpoint(name));
    }
    let is_finished = finished.as_deref() == Some(&manifest.settings);
    if is_finished && let Some((before, now)) = more_episodes(&manifest.settings, settings) {
        callbacks.on_message(&format!(
            "the run has {}; going on to {now}",
            counted(before as usize, "episode")
        ));
        return Ok(ResumePoint::GoOn(name));
    }
    Err(anyhow!(
        "--resume: {} belongs to a run with other settings ({}); \
         restore them, omit --resume to start over, or begin another run with these weights \
         (--init-from)",
        folder.display(),
        differing.join("; ")
    ))
}

/// The episodes of two settings in lockstep that differ in nothing but more of them.
fn more_episodes(before: &str, now: &str) -> Option<(u32, u32)> {
    let episodes = |settings: &str| {
        let mut table: toml::Table = toml::from_str(settings).ok()?;
        let lockstep = table.get("sync").is_none_or(|sync| sync.as_str() == Some("lockstep"));
        let episodes = table.remove("episodes")?.as_integer().filter(|_| lockstep)?;
        Some((u32::try_from(episodes).ok()?, table))
    };
    let ((before, others_before), (now, others)) = (episodes(before)?, episodes(now)?);
    (now > before && others_before == others).then_some((before, now))
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

    fn keeps(&self) -> bool {
        self.checkpoint_writer.as_ref().is_some_and(CheckpointWriter::is_timed)
            || self.callbacks.keeps()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::checkpoint::{Manifest, write_part};

    /// Rank 0 has 600 steps; another machine has less, as much, more, all, or another run.
    #[test]
    fn a_newer_checkpoint_on_another_machine_is_an_error_that_names_the_machine() {
        let place = tempfile::tempdir().unwrap();
        let of = |name: &str, env_steps: u64| {
            let checkpoints = Checkpoints::new(&place.path().join(name), 3);
            let part = write_part(&checkpoints.folder(env_steps), "root", b"state").unwrap();
            checkpoints.commit(&Manifest::new(env_steps, "seed = 1".into(), vec![part])).unwrap();
            checkpoints
        };
        let here = of("here", 600);
        let check = |here: &Checkpoints, there: &Checkpoints| {
            let there = progress_kept(there).map(|kept| (kept, "node2:/results".to_string()));
            let told = [None, there].map(|it| postcard::to_stdvec(&it).unwrap());
            newest_here(here, "seed = 1", &told).map_err(|e| e.to_string())
        };
        assert_eq!(check(&here, &of("300", 300)), Ok(()));
        assert_eq!(check(&here, &of("600", 600)), Ok(()));
        let error = check(&here, &of("900", 900)).unwrap_err();
        assert!(error.contains("900 steps") && error.contains("600 steps"), "{error}");
        let other = Checkpoints::new(&place.path().join("other"), 3);
        let part = write_part(&other.folder(900), "root", b"state").unwrap();
        other.commit(&Manifest::new(900, "seed = 2".into(), vec![part])).unwrap();
        assert_eq!(check(&here, &other), Ok(()));
        let finished = of("finished", 900);
        finished.mark_finished("seed = 1").unwrap();
        let nothing = Checkpoints::new(&place.path().join("nothing"), 3);
        let error = check(&nothing, &finished).unwrap_err();
        for part in ["node2:/results", "the finished run", "none of it"] {
            assert!(error.contains(part), "{part:?} is missing in: {error}");
        }
    }

    #[test]
    fn a_run_goes_on_with_more_episodes_and_nothing_else() {
        let settings = |episodes: u32, rest: &str| format!("episodes = {episodes}\n{rest}");
        let more = |before: &str, now: &str| more_episodes(before, now);
        let two = settings(2, "seed = 1");
        assert_eq!(more(&two, &settings(4, "seed = 1")), Some((2, 4)));
        assert_eq!(more(&two, &settings(1, "seed = 1")), None, "fewer");
        assert_eq!(more(&two, &settings(4, "seed = 2")), None, "another seed");
        let pace = "sync = \"async\"";
        assert_eq!(more(&settings(2, pace), &settings(4, pace)), None, "no common bar");
    }
}
