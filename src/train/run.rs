//! The one place where a training run is assembled: data, network, workers, loop, evaluations and
//! checkpoints, from plain settings.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use thiserror::Error;

use super::attempts::ChosenWeights;
use super::callbacks::{Callbacks, Ending, TrainingStart};
use super::checkpoint::Checkpoints;
use super::checkpoint_transfer::FolderAccess;
use super::checkpoint_writer::{CheckpointWriter, read_checkpoint};
use super::dataset::{PanelNote, PreparedData};
use super::evaluation::{Evaluation, EvaluationResult, Policy, evaluate};
use super::explanation::Explanation;
use super::importance::MeasuredPolicy;
use super::initial::given_weights;
use super::model::{MODEL_FILE, Model, SETTINGS_FILE};
use super::modes::Training;
use super::peer_view::{PeerView, Sampling};
use super::resume::{Kept, ResumePoint, find_resume_point};
pub use super::run_data::{RunData, data_plan};
use super::selection::{RowSplit, ValidationScore};
use super::setup::{self, Setup, agent_terms, network_shape};
use super::worker::{Lanes, Worker};
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::config::RunConfig;
use crate::errors::message;
use crate::eval::metrics::Metrics;
use crate::eval::parts::{DataPart, PartResult};
use crate::market::Symbol;
use crate::market::calendar::market_date;
use crate::market::options::{BarLabel, LabelOrigin};
use crate::portfolio::mandate::Mandate;
use crate::portfolio::risk::Reason;
use crate::rl::networks::Networks;
use crate::source::DataSource;

/// What becomes of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpointing {
    /// None is written.
    Off,
    /// They are written into the results folder.
    On,
    /// They are written, and the run resumes from the newest of an earlier run with the same
    /// settings; where there is none it starts at the beginning.
    Resume,
}

/// There is nothing to resume: the run is finished, and its results are written.
#[derive(Clone, Debug, PartialEq, Error)]
#[error(
    "{}: this run is finished, after {episodes} episodes; with more --episodes it goes on",
    output.display()
)]
pub struct AlreadyFinished {
    output: PathBuf,
    episodes: u32,
}

/// A run that came to its end, or was stopped.
pub struct Trained {
    /// Whether all episodes were done.
    pub ending: Ending,
    /// The settings as the data completed them.
    pub config: RunConfig,
    /// What was traded in training and evaluations, and on which terms.
    pub mandate: Mandate,
    /// Panel and fit of the training period.
    pub train: PreparedData,
    /// Panel of the evaluation period.
    pub eval: PreparedData,
    /// The same on every rank, but for the expert weights, which rank 0 alone has.
    pub model: Model,
    /// How the weights did on the validation days, in the order of the passes.
    pub validation: Vec<ValidationScore>,
    /// Which weights validation chose and believed; None where it believed none.
    pub chosen: Option<ChosenWeights>,
    /// The last evaluation, on rank 0; None where the run was stopped before any.
    pub latest: Option<Evaluation>,
    /// Bars stepped, over all stocks and lanes.
    pub env_steps: u64,
    /// Empty in lockstep.
    pub env_steps_by_stock: BTreeMap<Symbol, u64>,
    /// Updates of the weights.
    pub gradient_steps: u64,
    /// How many orders the risk rules changed, by reason; on rank 0.
    pub orders_changed: BTreeMap<Reason, u64>,
    /// The rows that were learned from, and those on which weights were selected.
    split: RowSplit,
    /// See [`checkpoint_settings`].
    checkpoint_settings: String,
    /// This rank's.
    workers: Vec<Worker>,
    networks: Networks,
}

/// Trains as `config` says, on every rank of `comm`, until all episodes are done or `stop` is set.
///
/// Errors: bars are missing or cannot be read; a strategy of the meta-policy or a device is
/// unknown; a checkpoint is of other settings; [`AlreadyFinished`], on every rank; whatever the
/// callbacks return.
pub fn run(
    comm: &dyn Comm,
    config: &RunConfig,
    data: RunData<'_>,
    checkpointing: Checkpointing,
    stop: &AtomicBool,
    callbacks: &mut dyn Callbacks,
) -> Result<Trained> {
    let device = agree(comm, setup::device(&config.device))?;
    let (config, train, eval) = prepare(comm, config, data, callbacks)?;
    let learner = config.learner.in_bars(train.note.bar_minutes);
    let share = learner.validation_share;
    let split = RowSplit::new(&train.panel, train.note.rows.clone(), share);
    let lanes = Lanes::cut(split.learned.clone(), learner.lanes, learner.window_bars)
        .context("the training period has fewer than three bars")?;
    let mandate = Mandate::new(&config.stocks, &config.env, &config.portfolio);
    let shape = network_shape(&config.network, &config.env, &train);
    let settings = checkpoint_settings(&config, [&train, &eval])?;
    let (output, keeping) = (&config.output, &config.checkpoint);
    let access = match checkpointing {
        Checkpointing::Off => None,
        Checkpointing::On | Checkpointing::Resume => Some(FolderAccess::find(comm, output)?),
    };
    if let Some(notice) = access.as_ref().and_then(FolderAccess::notice) {
        callbacks.on_message(&notice);
    }
    let found = match &access {
        Some(access) if checkpointing == Checkpointing::Resume => {
            find_resume_point(comm, access, output, keeping, &settings, callbacks)?
        }
        _ => ResumePoint::Start,
    };
    if found == ResumePoint::Finished {
        let RunConfig { output, episodes, .. } = config;
        return Err(AlreadyFinished { output, episodes }.into());
    }
    let given_weights = given_weights(comm, &config, &shape)?;
    let setup = Setup {
        comm,
        given_weights: given_weights.as_deref(),
        mandate: &mandate,
        learner: &learner,
        shape: &shape,
        train: &train,
        lanes,
        split: &split,
        episodes: config.episodes,
        every_episodes: config.evaluation.every_episodes,
        seed: config.seed,
        device,
        stop,
    };
    let mut training = Training::new(setup, config.sync, &config.asynchronous, &eval)?;
    let mut resumed = None;
    let goes_on = matches!(found, ResumePoint::GoOn(_));
    if let (ResumePoint::Checkpoint(name) | ResumePoint::GoOn(name), Some(access)) =
        (&found, &access)
    {
        let folder = Checkpoints::new(output, keeping.keep).named(name);
        let (root, stocks) = read_checkpoint(comm, access, &folder, setup.ranks())?;
        training.restore(root.state, stocks)?;
        resumed = Some(root.callbacks);
    }
    let start = TrainingStart {
        config: &config,
        train: &train,
        eval: &eval,
        lanes,
        parameters: shape.layout().len(),
        resumed: resumed.as_deref(),
        goes_on,
    };
    agree(comm, callbacks.on_training_start(&start).map_err(|e| message(&e)))?;
    let checkpoint_writer =
        access.map(|access| CheckpointWriter::new(comm, access, output, settings.clone(), keeping));
    let mut kept = Kept { checkpoint_writer, callbacks };
    let outcome = training.run(&setup, &eval, &mut kept)?;
    kept.callbacks.on_training_end(outcome.ending)?;
    kept.finish()?;
    let fit = train.note.fit.clone();
    Ok(Trained {
        ending: outcome.ending,
        model: Model {
            shape,
            weights: outcome.weights,
            belief: outcome.belief,
            fit,
            expert_weights: outcome.expert_weights,
        },
        validation: outcome.validation,
        chosen: outcome.chosen,
        config,
        mandate,
        train,
        eval,
        latest: outcome.latest,
        env_steps: outcome.env_steps,
        env_steps_by_stock: outcome.env_steps_by_stock,
        gradient_steps: outcome.gradient_steps,
        orders_changed: outcome.orders_changed,
        split,
        checkpoint_settings: settings,
        workers: outcome.workers,
        networks: outcome.networks,
    })
}

/// The panels of both periods, and the settings with what the bars of the first tell of all.
fn prepare(
    comm: &dyn Comm,
    config: &RunConfig,
    data: RunData<'_>,
    callbacks: &mut dyn Callbacks,
) -> Result<(RunConfig, PreparedData, PreparedData)> {
    let mut config = config.clone();
    let (trained, traded) = (config.train_period(), config.eval_period());
    let mut on_days = |symbol: &Symbol, done, total| callbacks.on_days(symbol, done, total);
    let train = data_plan(comm, &config, data).train(trained, &mut on_days)?;
    callbacks.on_data(trained, &train);
    let (fit, bar_minutes) = (&train.note.fit, train.note.bar_minutes);
    // The evaluation's bars are as long as those trained on, whatever its days would have by
    // themselves.
    config.data.bar_minutes = Some(bar_minutes);
    config.features = config.features.for_bars(bar_minutes);
    keep_bar_label(&mut config, &train, data.source);
    data_plan(comm, &config, data).adopt(&train, trained)?;
    let mut on_days = |symbol: &Symbol, done, total| callbacks.on_days(symbol, done, total);
    let eval = data_plan(comm, &config, data).eval(traded, fit, bar_minutes, &mut on_days)?;
    callbacks.on_data(traded, &eval);
    Ok((config, train, eval))
}

/// A label convention that was found in the training period holds from then on: a short evaluation
/// may not show it.
fn keep_bar_label(config: &mut RunConfig, train: &PreparedData, source: &DataSource) {
    let Some(first) = train.note.reports.first() else { return };
    let common = train.note.reports.iter().all(|report| report.bar_label == first.bar_label);
    if common && matches!(source, DataSource::Store(_)) {
        let data = &mut config.data;
        if data.bar_label == BarLabel::Auto {
            data.label_origin = LabelOrigin::Training;
        }
        data.bar_label = first.bar_label;
    }
}

/// The settings and data that decide a result, as TOML: equal in all runs that can resume from one
/// another's checkpoints.
fn checkpoint_settings(config: &RunConfig, panels: [&PreparedData; 2]) -> Result<String> {
    let mut table = toml::Table::try_from(config.deciding_results())?;
    let [train, eval] = panels.map(|panel| toml::Value::String(panel.origin.clone()));
    table.insert("training data".into(), train);
    table.insert("evaluation data".into(), eval);
    Ok(toml::to_string(&table)?)
}

impl Trained {
    /// What the network makes of each stock's peers in training; on rank 0, empty on the others.
    /// Called on every rank.
    pub fn peer_view(&mut self, comm: &dyn Comm) -> Result<PeerView> {
        let network = (&self.model.shape, &self.model.weights[..]);
        let sampling = Sampling::of_period(&self.train);
        let workers = self.workers.iter_mut();
        let mut agents: Vec<_> = workers.map(|worker| (worker.stock(), worker.agent())).collect();
        PeerView::gather(comm, &self.train, sampling, network, &mut agents)
    }

    /// What the network listens to; on rank 0, empty on the others. Where the run was stopped, only
    /// what it makes of each stock's peers. Called on every rank.
    pub fn explanation(&mut self, comm: &dyn Comm) -> Result<Explanation> {
        if self.ending == Ending::Stopped {
            return Ok(Explanation { peer_view: self.peer_view(comm)?, ..Explanation::default() });
        }
        let Model { shape, weights, belief, .. } = &self.model;
        let learner = self.config.learner.in_bars(self.eval.note.bar_minutes);
        let returns = &self.eval.note.fit.scaler.return_std;
        let terms = &agent_terms(&self.mandate.env, returns, belief, &learner);
        let policy = MeasuredPolicy { shape, weights, terms, seed: self.config.seed };
        let workers = self.workers.iter_mut();
        let mut agents: Vec<_> = workers.map(|worker| (worker.stock(), worker.agent())).collect();
        Explanation::gather(comm, &[&self.train, &self.eval], &policy, &mut agents)
    }

    /// Notes in the results folder that the run is finished, so that resuming it does nothing. Called
    /// on rank 0 when all of its results are written.
    ///
    /// Errors: the folder cannot be written.
    pub fn mark_finished(&self) -> Result<()> {
        let RunConfig { output, checkpoint, .. } = &self.config;
        Ok(Checkpoints::new(output, checkpoint.keep).mark_finished(&self.checkpoint_settings)?)
    }

    /// Evaluates once more, on other terms than those of the run. Called on every rank; Some on
    /// rank 0.
    ///
    /// Errors: a strategy of the meta-policy is unknown.
    pub fn evaluate(
        &mut self,
        comm: &dyn Comm,
        mandate: &Mandate,
    ) -> Result<Option<EvaluationResult>> {
        let eval = self.eval.clone();
        self.evaluate_on(comm, mandate, &eval)
    }

    /// What the DQN alone earns where it learned, where it was selected, and in the evaluation, beside
    /// buy-and-hold; empty where the run was stopped before its first evaluation. Called on every
    /// rank; empty on all but rank 0.
    pub fn parts(&mut self, comm: &dyn Comm) -> Result<Vec<PartResult>> {
        if self.ending == Ending::Stopped {
            return Ok(Vec::new());
        }
        let mut mandate = self.mandate.clone();
        mandate.portfolio.meta_policy.enabled = false;
        let RowSplit { learned, validation } = self.split.clone();
        let parts = [
            (DataPart::Training, self.part_of_training(learned)),
            (DataPart::Validation, self.part_of_training(validation)),
            (DataPart::Evaluation, self.eval.clone()),
        ];
        let mut results = Vec::new();
        for (part, data) in parts {
            let rows = data.note.rows.clone();
            // One bar to decide at and one to be filled at.
            if rows.len() < 2 {
                continue;
            }
            let day = |row: usize| market_date(data.panel.view(row).end_s());
            let (start, end) = (day(rows.start), day(rows.end - 1));
            let found = self.evaluate_on(comm, &mandate, &data)?;
            results.extend(found.map(|found| PartResult {
                part,
                start,
                end,
                dqn: found.metrics,
                benchmark: found.benchmark_metrics,
            }));
        }
        Ok(results)
    }

    /// What the portfolio earns on the validation days if its experts begin at their priors; None on
    /// all ranks but 0, and where no days are held back. Called on every rank.
    pub fn portfolio_on_validation(&mut self, comm: &dyn Comm) -> Result<Option<Metrics>> {
        let validation = self.split.validation.clone();
        if validation.len() < 2 {
            return Ok(None);
        }
        let (mandate, data) = (self.mandate.clone(), self.part_of_training(validation));
        // The weights at the end of training have seen these days.
        let weights = self.model.expert_weights.take();
        let found = self.evaluate_on(comm, &mandate, &data);
        self.model.expert_weights = weights;
        Ok(found?.map(|found| found.metrics))
    }

    fn part_of_training(&self, rows: Range<usize>) -> PreparedData {
        let note = PanelNote { rows, ..self.train.note.clone() };
        PreparedData { note, ..self.train.clone() }
    }

    fn evaluate_on(
        &mut self,
        comm: &dyn Comm,
        mandate: &Mandate,
        data: &PreparedData,
    ) -> Result<Option<EvaluationResult>> {
        let Model { shape, belief, expert_weights, .. } = &self.model;
        let (networks, expert_weights) = (&self.networks, expert_weights.as_ref());
        let returns = &data.note.fit.scaler.return_std;
        let learner = self.config.learner.in_bars(data.note.bar_minutes);
        let terms = &agent_terms(&mandate.env, returns, belief, &learner);
        let policy = Policy { shape, networks, terms, expert_weights };
        let agents = self.workers.iter_mut().map(Worker::agent).collect();
        evaluate(comm, mandate, data, policy, agents)
    }

    /// Writes the settings and the model into a folder, from which
    /// [`SavedRun::read`](super::trained::SavedRun::read) reads them.
    ///
    /// Errors: the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let place = || folder.display().to_string();
        std::fs::create_dir_all(folder).with_context(place)?;
        let settings = toml::to_string(&self.config)?;
        std::fs::write(folder.join(SETTINGS_FILE), settings).with_context(place)?;
        self.model.write(&folder.join(MODEL_FILE))
    }
}
