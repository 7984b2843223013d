//! A training run from start to end: data, loop, evaluations, results.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow};

use super::outputs::{Finished, Outputs, OutputsState};
use super::training::{Around, Training};
use super::{Setting, device};
use crate::cli::TrainArgs;
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::comm::heartbeat::PULSE;
use crate::config::RunConfig;
use crate::config::machine::warning;
use crate::report::format::{count, signed_percent};
use crate::report::summary::RunSummary;
use crate::report::{FolderLock, Progress};
use crate::train::asynchronous::Done;
use crate::train::checkpoint::Checkpoints;
use crate::train::evaluation::Evaluated;
use crate::train::keeper::{Keeper, RootPart, differences, read_root, read_stock};
use crate::train::model::Model;
use crate::train::peer_view::PeerView;
use crate::train::snapshot::Snapshot;
use crate::train::watcher::{Ending, Interval, Watcher};
use crate::train::worker::Lanes;

/// Trains as `config` says. Returns whether the run came to its end, or was stopped by the user.
pub fn train(
    comm: &dyn Comm,
    config: RunConfig,
    args: &TrainArgs,
    progress: Progress,
) -> Result<Ending> {
    let mut setting = Setting::new(comm, config, &args.global, progress)?;
    let device = agree(comm, device(&setting.config.device))?;
    // What cannot be written is said before hours of work, and nothing is moved before the data are
    // known to be good.
    let locked = match comm.is_root() {
        true => FolderLock::take(&setting.config.output).map(Some),
        false => Ok(None),
    };
    let _lock = agree(comm, locked)?;
    let train = setting.with_plan(|plan, progress| {
        plan.train(&mut |symbol, done, total| progress.data(symbol.as_str(), done, total))
    })?;
    let (fit, bar_minutes) = (train.note.fit.clone(), train.note.bar_minutes);
    // The evaluation's bars are as long as those trained on, whatever its days would have by
    // themselves.
    setting.config.data.bar_minutes = Some(bar_minutes);
    setting.keep_bar_label(&train);
    let eval = setting.with_plan(|plan, progress| {
        plan.eval(&fit, bar_minutes, &mut |symbol, done, total| {
            progress.data(symbol.as_str(), done, total)
        })
    })?;
    let rows = train.note.rows.clone();
    let lanes = Lanes::cut(rows, setting.config.learner.lanes)
        .context("the training period has fewer than two bars")?;

    let Setting { mut config, progress, mut notices, .. } = setting;
    let panels = [train.digest.as_str(), &eval.digest];
    let found = match args.resume {
        true => find_checkpoint(comm, &RunKeys { config: &config, panels }, &progress)?,
        false => None,
    };
    if found.is_some() {
        notices.extend(continue_machine(&mut config, &progress));
    }
    let stop = stop_on_signals()?;
    let panels_of = [&train, &eval];
    let mut training = Training::new(comm, &config, panels_of, lanes, device, &stop)?;
    let outputs = match &found {
        Some(folder) => restore(comm, &config, &mut training, folder)?,
        None => {
            let open = || -> Result<Outputs> {
                let mut outputs = Outputs::open(&config)?;
                outputs.opportunities("train", &train)?;
                outputs.opportunities("eval", &eval)?;
                Ok(outputs)
            };
            let opened = if comm.is_root() { open().map(Some) } else { Ok(None) };
            agree(comm, opened.map_err(|e| format!("{e:#}")))?
        }
    };
    if let Some(notice) = outputs.as_ref().and_then(Outputs::notice) {
        progress.line(notice);
    }
    progress.line(&format!(
        "training: {} stocks x {} lanes x {} bars, {} parameters, {} episodes",
        config.stocks.len(),
        lanes.count,
        lanes.steps,
        count(training.parameters() as u64),
        config.episodes,
    ));
    let per_episode = (config.stocks.len() * lanes.count * lanes.steps) as u64;
    progress.training_start(per_episode * u64::from(config.episodes));

    let settings = RunKeys { config: &config, panels }.settings()?;
    let keeper = Keeper::new(comm, &config.output, settings, &config.checkpoint);
    let mut watch = Watch { progress: &progress, outputs, keeper };
    let mut trained = training.run(comm, &config, &eval, &mut watch)?;
    if trained.ending == Ending::Stopped {
        progress.line("stopped; writing the current model");
    }
    watch.keeper.finish()?;
    let peer_view = PeerView::of(
        comm,
        &config,
        &train,
        (&trained.shape, &trained.weights),
        &mut trained.workers,
    )?;
    progress.finish();
    let Some(outputs) = watch.outputs else { return Ok(trained.ending) };
    let model = Model {
        shape: trained.shape,
        weights: trained.weights,
        fit: train.note.fit.clone(),
        standing: trained.rules,
    };
    let run = RunSummary {
        seed: config.seed,
        stocks: config.stocks.clone(),
        env_steps: trained.env_steps,
        env_steps_by_stock: trained.env_steps_by_stock,
        gradient_steps: trained.gradient_steps,
        wall_s: outputs.clock().wall_s(),
        env_steps_per_s: outputs.clock().mean_rate(trained.env_steps),
        orders_changed: trained.orders_changed,
        notices: notices.clone(),
    };
    outputs.finish(&Finished {
        config: &config,
        model: &model,
        run,
        latest: trained.latest.as_ref().map(|(_, _, evaluated)| evaluated),
        peer_view,
        eval: &eval,
    })?;
    Ok(trained.ending)
}

/// What must be equal for a run to resume from a checkpoint.
struct RunKeys<'a> {
    config: &'a RunConfig,
    /// Digests of the training and the evaluation panel: the bars and what was made of them.
    panels: [&'a str; 2],
}

impl RunKeys<'_> {
    /// The settings that decide a result, as TOML.
    fn settings(&self) -> Result<String> {
        let standard = RunConfig::default();
        let config = RunConfig {
            // One process or many, and where it is written, change nothing.
            mode: standard.mode,
            output: standard.output,
            checkpoint: standard.checkpoint,
            ranks: standard.ranks,
            machine: None,
            ..self.config.clone()
        };
        let mut table = toml::Table::try_from(&config)?;
        let [train, eval] = self.panels.map(|digest| toml::Value::String(digest.into()));
        table.insert("training data".into(), train);
        table.insert("evaluation data".into(), eval);
        Ok(toml::to_string(&table)?)
    }
}

/// The folder of the newest whole checkpoint, the same on every rank; None where there is none yet.
fn find_checkpoint(
    comm: &dyn Comm,
    keys: &RunKeys<'_>,
    progress: &Progress,
) -> Result<Option<PathBuf>> {
    let found = match comm.is_root() {
        true => usable_checkpoint(keys, progress).map_err(|e| format!("{e:#}")),
        false => Ok(String::new()),
    };
    let mut name = agree(comm, found)?.into_bytes();
    comm.broadcast_bytes(&mut name);
    let name = String::from_utf8(name)?;
    Ok((!name.is_empty()).then(|| name.into()))
}

/// Its path; empty where there is none.
fn usable_checkpoint(keys: &RunKeys<'_>, progress: &Progress) -> Result<String> {
    let checkpoints = Checkpoints::of(&keys.config.output, keys.config.checkpoint.keep);
    let found = checkpoints.latest(|folder, what| {
        progress.line(&format!("{}: {what}; skipped", folder.display()));
    });
    let Some((folder, manifest)) = found else {
        progress.line("--resume: no checkpoint found; starting from the beginning");
        return Ok(String::new());
    };
    let differing = differences(&manifest.settings, &keys.settings()?);
    if !differing.is_empty() {
        return Err(anyhow!(
            "--resume: {} belongs to a run with other settings ({}); \
             restore them, or omit --resume to start over",
            folder.display(),
            differing.join("; ")
        ));
    }
    progress.line(&format!("resuming from the checkpoint at {} steps", manifest.env_steps));
    Ok(folder.to_string_lossy().into_owned())
}

/// Has `config.machine` tell on which kinds of machines the run was computed before this one.
/// Returns a line for the user where there were others.
fn continue_machine(config: &mut RunConfig, progress: &Progress) -> Option<String> {
    let text = std::fs::read_to_string(config.output.join("config.toml")).ok()?;
    let before = toml::from_str::<RunConfig>(&text).ok()?.machine?;
    let here = config.machine.as_mut()?;
    let line = warning("The resumed run", Some(&before), here);
    here.follow(&before);
    progress.line(line.as_deref()?);
    line
}

/// Every rank reads its part of a checkpoint. Returns rank 0's outputs as they were then.
fn restore(
    comm: &dyn Comm,
    config: &RunConfig,
    training: &mut Training<'_>,
    folder: &Path,
) -> Result<Option<Outputs>> {
    let read = || -> Result<_> {
        let root: RootPart<OutputsState> = read_root(folder)?;
        let own = training.stocks();
        let stocks: Result<Vec<_>> = own.iter().map(|&stock| read_stock(folder, stock)).collect();
        let outputs = match comm.is_root() {
            true => Some(Outputs::reopen(config, root.outputs)?),
            false => None,
        };
        Ok((root.state, stocks?, outputs))
    };
    let (state, stocks, outputs) = agree(comm, read().map_err(|e| format!("{e:#}")))?;
    training.restore(state, stocks)?;
    Ok(outputs)
}

/// Progress, files and checkpoints during training.
struct Watch<'a> {
    progress: &'a Progress,
    /// On rank 0 only.
    outputs: Option<Outputs>,
    keeper: Keeper<'a>,
}

impl Around for Watch<'_> {
    fn pause(&mut self) {
        self.outputs.iter_mut().for_each(|outputs| outputs.clock_mut().pause());
    }

    fn resume(&mut self) {
        self.outputs.iter_mut().for_each(|outputs| outputs.clock_mut().resume());
    }
}

impl Watcher for Watch<'_> {
    fn wants_checkpoint(&mut self) -> bool {
        self.keeper.is_due()
    }

    fn checkpoint(&mut self, snapshot: Snapshot) -> Result<()> {
        let state = self.outputs.as_ref().map(Outputs::state);
        self.keeper.begin(snapshot, state)
    }

    fn interval(&mut self, interval: Option<Interval>) -> Result<()> {
        if let Some(interval) = interval {
            self.interval_told(interval)?;
        }
        self.keeper.look()
    }

    fn interval_told(&mut self, interval: Interval) -> Result<()> {
        if let Some(outputs) = &mut self.outputs {
            self.progress.training(outputs.interval(interval)?);
        }
        Ok(())
    }

    fn evaluated(&mut self, (episode, env_steps, evaluated): &Done) -> Result<()> {
        if let Some(outputs) = &mut self.outputs {
            outputs.evaluation(*episode, *env_steps, evaluated)?;
            self.progress.line(&told(*episode, evaluated));
        }
        Ok(())
    }

    fn is_writing(&self) -> bool {
        self.keeper.is_writing()
    }

    fn settle(&mut self) -> Result<()> {
        self.keeper.finish()
    }
}

/// One line about an evaluation.
fn told(episode: u32, evaluated: &Evaluated) -> String {
    format!(
        "evaluation after episode {episode}: return {}, benchmark {}",
        signed_percent(evaluated.metrics.portfolio_return),
        signed_percent(evaluated.benchmark_metrics.portfolio_return),
    )
}

/// Set by the first Ctrl-C, SIGTERM or SIGUSR1 (which launchers hand on to the ranks); a second of
/// the former two ends the program at once.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR1, stop.clone())?;
    for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
        signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    PULSE.heed(stop.clone());
    Ok(stop)
}
