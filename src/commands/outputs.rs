//! What rank 0 writes in the course of a training run, and its clock.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::{comparison, is_in_sample, say};
use crate::config::RunConfig;
use crate::env::costs::Costs;
use crate::errors::message;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::eval::parts::PartResult;
use crate::market::Symbol;
use crate::report::folder::ResultsFolder;
use crate::report::format::wrapped;
use crate::report::html::HtmlReport;
use crate::report::ledger::Ledger;
use crate::report::metrics_log::{MetricsLine, MetricsLog};
use crate::report::previous::PreviousRun;
use crate::report::relationships::Relationships;
use crate::report::summary::{RunSummary, Summary, trials_before, trials_of};
use crate::report::tensorboard::EventWriter;
use crate::report::trades::{DecidedBy, Trades};
use crate::report::{ReportError, allocations_csv, importance, portfolio_csv, table};
use crate::rl::policy;
use crate::rl::rng::{Purpose, stream};
use crate::train::callbacks::{Ending, TrainingInterval};
use crate::train::dataset::PreparedData;
use crate::train::evaluation::{Evaluation, EvaluationResult};
use crate::train::explanation::Explanation;
use crate::train::model::Model;
use crate::train::run::Trained;
use crate::train::{feature_sheet, policy_check};

/// Wall time, with and without the evaluations.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    since: Instant,
    /// Up to `since`.
    state: ClockState,
    is_training: bool,
}

/// What a clock shows, in seconds, over all stretches of a run that was resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClockState {
    wall_s: f64,
    trained_s: f64,
    /// `trained_s` and environment steps at the last interval.
    interval_from: (f64, u64),
}

impl Clock {
    fn start(state: ClockState) -> Clock {
        Clock { since: Instant::now(), state, is_training: true }
    }

    fn state(&self) -> ClockState {
        let elapsed_s = self.since.elapsed().as_secs_f64();
        ClockState {
            wall_s: self.state.wall_s + elapsed_s,
            trained_s: self.state.trained_s + if self.is_training { elapsed_s } else { 0.0 },
            ..self.state
        }
    }

    /// What follows is no training, until [`Clock::resume`].
    pub(crate) fn pause(&mut self) {
        *self = Clock { is_training: false, ..Clock::start(self.state()) };
    }

    pub(crate) fn resume(&mut self) {
        *self = Clock::start(self.state());
    }

    pub(crate) fn wall_s(&self) -> f64 {
        self.state().wall_s
    }

    fn line(&mut self, interval: TrainingInterval) -> MetricsLine {
        let now_s = self.state().trained_s;
        let (then_s, steps) = self.state.interval_from;
        self.state.interval_from = (now_s, interval.env_steps);
        MetricsLine {
            episode: interval.episode,
            env_steps: interval.env_steps,
            gradient_steps: interval.gradient_steps,
            env_steps_per_s: (interval.env_steps - steps) as f64 / (now_s - then_s).max(1e-9),
            loss: interval.loss,
            mean_q: interval.mean_q,
            epsilon: interval.epsilon,
            reward: interval.reward,
            asynchronous: interval.asynchronous,
        }
    }

    /// Steps per second of training, evaluations left out.
    pub(crate) fn mean_rate(&self, env_steps: u64) -> f64 {
        env_steps as f64 / self.state.interval_from.0.max(1e-9)
    }
}

/// How far the files had come at a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutputsState {
    metrics_bytes: u64,
    events_name: String,
    events_bytes: u64,
    /// Names of the evaluations' files.
    evaluations: Vec<String>,
    trials: Vec<Trial>,
    reported: Vec<Trial>,
    clock: ClockState,
}

pub(crate) struct Outputs {
    folder: ResultsFolder,
    metrics: MetricsLog,
    events: EventWriter,
    lines: Vec<MetricsLine>,
    evaluations: Vec<String>,
    /// Every evaluation so far.
    trials: Vec<Trial>,
    /// Those with which the run was finished before it went on.
    reported: Vec<Trial>,
    clock: Clock,
}

impl Outputs {
    /// Moves an earlier run aside and writes what is known at the start.
    pub(crate) fn open(config: &RunConfig) -> Result<Outputs> {
        policy::can_export()?;
        let folder = ResultsFolder::create(&config.output)?;
        folder.write_whole("config.toml", toml::to_string(config)?.as_bytes())?;
        Ok(Outputs {
            metrics: MetricsLog::create(&folder)?,
            events: EventWriter::create(&folder)?,
            folder,
            lines: Vec::new(),
            evaluations: Vec::new(),
            trials: Vec::new(),
            reported: Vec::new(),
            clock: Clock::start(ClockState::default()),
        })
    }

    /// The files of a run that was stopped or killed, cut back to where they were at a checkpoint.
    /// `goes_on`: it was finished, and its results were seen.
    pub(crate) fn reopen(
        config: &RunConfig,
        state: OutputsState,
        goes_on: bool,
    ) -> Result<Outputs> {
        policy::can_export()?;
        let folder = ResultsFolder::open(&config.output)?;
        folder.write_whole("config.toml", toml::to_string(config)?.as_bytes())?;
        let (metrics, lines) = MetricsLog::reopen(&folder, state.metrics_bytes)?;
        let reported = if goes_on { trials_of(&config.output) } else { state.reported };
        Ok(Outputs {
            metrics,
            events: EventWriter::reopen(&folder, &state.events_name, state.events_bytes)?,
            folder,
            lines,
            evaluations: state.evaluations,
            trials: state.trials,
            reported,
            clock: Clock::start(state.clock),
        })
    }

    pub(crate) fn state(&self) -> OutputsState {
        OutputsState {
            metrics_bytes: self.metrics.bytes(),
            events_name: self.events.name(),
            events_bytes: self.events.bytes(),
            evaluations: self.evaluations.clone(),
            trials: self.trials.clone(),
            reported: self.reported.clone(),
            clock: self.clock.state(),
        }
    }

    /// A sentence for the user when an earlier run's files were moved.
    pub(crate) fn notice(&self) -> Option<&str> {
        self.folder.notice()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Writes the arbitrage opportunities of a period, `train` or `eval`.
    pub(crate) fn opportunities(
        &mut self,
        period: &'static str,
        data: &PreparedData,
    ) -> Result<(), ReportError> {
        let stocks = data.panel.stocks();
        let mut found = data.note.opportunities.iter();
        found.try_for_each(|found| self.metrics.append_opportunity(period, stocks, found))
    }

    /// Writes the line of an interval, and returns it. A file that cannot be written ends the run:
    /// what it has learned is in the last checkpoint, and hours without a record are in none.
    pub(crate) fn interval(
        &mut self,
        interval: TrainingInterval,
    ) -> Result<&MetricsLine, ReportError> {
        let line = self.clock.line(interval);
        let scalars = [
            ("train/reward", Some(line.reward)),
            ("train/loss", line.loss),
            ("train/mean_q", line.mean_q),
            ("train/epsilon", Some(line.epsilon)),
            ("train/env_steps_per_s", Some(line.env_steps_per_s)),
        ];
        self.metrics.append(&line)?;
        for (tag, value) in scalars {
            if let Some(value) = value {
                self.events.scalar(tag, line.env_steps, value)?;
            }
        }
        self.lines.push(line);
        Ok(&self.lines[self.lines.len() - 1])
    }

    pub(crate) fn evaluation(
        &mut self,
        &Evaluation { episode, env_steps, ref evaluated }: &Evaluation,
    ) -> Result<()> {
        let benchmark = &evaluated.benchmark.equity;
        let name = portfolio_csv::name(episode);
        portfolio_csv::write(&self.folder, &name, &evaluated.record, benchmark)?;
        allocations_csv::write(&self.folder, &evaluated.record.stocks, &evaluated.allocations)?;
        self.evaluations.push(name);
        self.trials.push(Trial::new(Some(episode), &evaluated.record));
        let metrics = &evaluated.metrics;
        self.events.scalar("eval/return", env_steps, metrics.portfolio_return)?;
        self.events.scalar("eval/max_drawdown", env_steps, metrics.max_drawdown)?;
        if let Some(sharpe) = metrics.sharpe {
            self.events.scalar("eval/sharpe", env_steps, sharpe)?;
        }
        Ok(())
    }

    /// The model and what is said of the whole run.
    pub(crate) fn finish(&self, finished: &FinishedRun<'_>, ledger: &Ledger) -> Result<()> {
        let Trained { config, mandate, model, eval, latest, .. } = finished.trained;
        let latest = latest.as_ref().map(|evaluation| &evaluation.evaluated);
        let folder = &self.folder;
        let model_path = folder.path("trained_model.pth");
        model.write(&model_path).map_err(unwritten)?;
        let sheet_path = folder.path(feature_sheet::NAME);
        feature_sheet::write(&sheet_path, config, model, eval).map_err(unwritten)?;
        let policies = self.policy(model, eval)?;
        let explanation = &finished.explanation;
        let relationships = relationships(&config.stocks, model, explanation);
        let relationships_paths = relationships.write(folder)?;
        let importance_path = importance::write(folder, &config.stocks, &explanation.importance)?;
        let inference = latest.map(|evaluated| self.inference(finished.trained, evaluated, ledger));
        if let (Some(evaluated), Some(inference)) = (latest, &inference) {
            let what = format!("train {}", config.output.display());
            ledger.note([(&evaluated.record, &inference.trials.own[..], what)])?;
        }
        let beside = latest.zip(inference.as_ref()).map(|(evaluated, inference)| {
            comparison::beside(mandate, config, eval, evaluated, inference)
        });
        let everyone = beside.as_ref().map_or(Vec::new(), |beside| beside.contenders.clone());
        let summary = Summary {
            run: finished.run.clone(),
            eval: latest.map(|evaluated| evaluated.metrics.clone()),
            benchmark: latest.map(|evaluated| evaluated.benchmark_metrics.clone()),
            inference,
            everyone,
            parts: finished.parts.clone(),
            contributions: latest.map(|evaluated| evaluated.contributions.clone()),
        };
        let summary_path = summary.write(folder)?;
        let mut written: Vec<PathBuf> = vec![folder.path("config.toml")];
        written.extend(self.evaluations.iter().map(|name| folder.path(name)));
        written.extend([model_path, sheet_path]);
        written.extend(policies);
        written.extend(relationships_paths);
        written.push(importance_path);
        written.push(summary_path);
        written.extend([folder.path(MetricsLog::NAME), self.events.path().to_path_buf()]);
        if let (Some(evaluated), Some(inference), Some(beside)) =
            (latest, &summary.inference, &beside)
        {
            let notices = &summary.run.notices;
            let costs = Costs::new(&config.env);
            let decided_by = DecidedBy::Experts(&evaluated.allocations);
            let trades = Trades::new(&evaluated.record, decided_by, &costs);
            let trades = Trades::write(&[trades], folder)?;
            written.extend([folder.path(allocations_csv::NAME), trades]);
            let previous = PreviousRun::of(&config.output);
            let report = HtmlReport {
                run: Some(&summary.run),
                lines: &self.lines,
                relationships: Some(&relationships),
                importance: &explanation.importance,
                belief: Some(model.belief.share),
                previous: previous.as_ref(),
                parts: &summary.parts,
                ..HtmlReport::of_evaluation(config, evaluated, beside, inference, notices)
            };
            written.push(report.write(folder)?);
            let metrics = (&evaluated.metrics, &evaluated.benchmark_metrics);
            let tables =
                (&summary.parts[..], &summary.everyone[..], summary.contributions.as_ref());
            let capital = config.env.initial_cash;
            say(&table::closing(metrics, inference, tables, capital, &written));
            say(&format!("\n{}\n", wrapped(&summary.run.pair_tests.sentence(), 80)));
            summary.run.notices.iter().for_each(|notice| say(&format!("\n{notice}\n")));
        } else {
            let place = config.output.display();
            say(&format!("stopped before the first evaluation; results are in {place}\n"));
        }
        Ok(())
    }

    /// The policy for other programs and what it answers; nothing in a build without libtorch.
    fn policy(&self, model: &Model, eval: &PreparedData) -> Result<Vec<PathBuf>> {
        if !policy::can_export()? {
            say("policy.pt is not written: this program was built without libtorch\n");
            return Ok(Vec::new());
        }
        let path = self.folder.path("policy.pt");
        policy::export(&model.shape, &model.weights, &path).map_err(unwritten)?;
        let check = self.folder.path("policy_check.json");
        policy_check::write(&check, model, eval).map_err(unwritten)?;
        Ok(vec![path, check])
    }

    /// Whether the last evaluation is more than luck. Those before it were not chosen among, so they
    /// are no trials, unless the run was stopped, or was finished and goes on: perhaps because of
    /// what they showed.
    fn inference(&self, trained: &Trained, last: &EvaluationResult, ledger: &Ledger) -> Inference {
        let config = &trained.config;
        let passed_over = match trained.ending {
            Ending::EpisodeDone => self.trials.len().saturating_sub(1),
            Ending::Stopped => 0,
        };
        let own = [&self.reported, &self.trials[passed_over..]].concat();
        let earlier = [trials_before(&config.output), ledger.trials(&last.record)].concat();
        let trials = Trials { own, earlier };
        let mut rng = stream(config.seed, Purpose::Inference, 0);
        Inference::new(&last.record, &last.benchmark, &trials, &mut rng)
            .in_sample_if(is_in_sample(config))
    }
}

/// What the network makes of the stocks' relations, beside those that were measured in training.
pub(super) fn relationships(
    stocks: &[Symbol],
    model: &Model,
    explanation: &Explanation,
) -> Relationships {
    let Explanation { peer_view, quarters, .. } = explanation;
    Relationships {
        stocks: stocks.to_vec(),
        influence: peer_view.influence.clone(),
        attention: peer_view.attention.clone(),
        correlation: model.fit.relations.correlation.clone(),
        lead_lag: model.fit.relations.lead_lag.clone(),
        quarters: quarters.clone(),
    }
}

/// Of the files that are not this layer's own.
fn unwritten(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow!("{}; free some disk space, then continue with --resume", message(&error.into()))
}

/// A run that has come to its end, or was stopped.
pub(crate) struct FinishedRun<'a> {
    pub(crate) trained: &'a Trained,
    pub(crate) run: RunSummary,
    pub(crate) explanation: Explanation,
    /// The DQN alone in each part of the data.
    pub(crate) parts: Vec<PartResult>,
}
