//! A training run from start to end: data, loop, evaluations, results.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use tch::Device;

use super::{Setting, device};
use crate::cli::Surroundings;
use crate::config::RunConfig;
use crate::dist::comm::agree;
use crate::dist::worker::{Lanes, Worker};
use crate::dist::{Comm, Ranks, Stamp, Tag};
use crate::dist::ranks::to_stock_order;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::report::folder::ResultsFolder;
use crate::report::metrics_log::{MetricsLine, MetricsLog};
use crate::report::relationships::Relationships;
use crate::report::summary::{RunSummary, Summary, trials_before};
use crate::report::tensorboard::EventWriter;
use crate::report::html::Report;
use crate::report::{Progress, portfolio_csv, table};
use crate::interface::ActionSet;
use crate::rl::network::QNetwork;
use crate::rl::policy;
use crate::rl::rng::{Purpose, stream};
use crate::train::dataset::Prepared;
use crate::train::evaluation::{Evaluated, evaluate};
use crate::train::lockstep::{Ending, Interval, Trainer};
use crate::train::model::Model;
use crate::train::policy_check;

/// Rows over which attention is averaged at the end.
const ATTENTION_ROWS: usize = 1_024;

/// Trains as `config` says. Returns whether the run came to its end, or was stopped by the user.
pub fn train(
    comm: &dyn Comm,
    config: RunConfig,
    surroundings: &Surroundings,
    progress: Progress,
) -> Result<Ending> {
    let mut setting = Setting::new(comm, config, surroundings, progress)?;
    let device = agree(comm, device(&setting.config.device))?;
    // What cannot be written is said before hours of work, and nothing is moved before the data are known to be good.
    let writable = match comm.is_root() {
        true => ResultsFolder::check(&setting.config.output),
        false => Ok(()),
    };
    agree(comm, writable)?;
    let train = setting.with_plan(|plan, progress| {
        plan.train(&mut |symbol, done, total| progress.data(symbol.as_str(), done, total))
    })?;
    let (fit, bar_minutes) = (train.note.fit.clone(), train.note.bar_minutes);
    let eval = setting.with_plan(|plan, progress| {
        plan.eval(&fit, bar_minutes, &mut |symbol, done, total| progress.data(symbol.as_str(), done, total))
    })?;
    setting.config.data.bar_minutes = Some(bar_minutes);
    let rows = train.note.rows.clone();
    let lanes = Lanes::cut(rows, setting.config.learner.lanes)
        .context("the training period has no two bars to trade")?;

    let Setting { config, progress, notices, .. } = setting;
    let results = if comm.is_root() { Results::open(&config) } else { Ok(None) };
    let mut results = agree(comm, results)?;
    if let Some(notice) = results.as_ref().and_then(|results| results.folder.notice()) {
        progress.line(notice);
    }
    let stop = stop_on_signals()?;
    let mut trainer = Trainer::new(comm, &config, &train, lanes, device, &stop);
    progress.line(&format!(
        "training: {} stocks x {} lanes x {} bars, {} parameters, {} episodes",
        config.stocks.len(),
        lanes.count,
        lanes.steps,
        trainer.weights().len(),
        config.episodes,
    ));
    let per_episode = (config.stocks.len() * lanes.count * lanes.steps) as u64;
    progress.training_start(per_episode * u64::from(config.episodes));

    let mut clock = Clock::start();
    let mut latest = None;
    let mut ending = Ending::EpisodeDone;
    for episode in 1..=config.episodes {
        ending = trainer.episode(episode, &mut |interval| {
            let line = clock.line(interval);
            progress.training(&line);
            if let Some(results) = &mut results {
                results.interval(line);
            }
        })?;
        if ending == Ending::Stopped {
            progress.line("stopped as asked; writing the model as it is");
            break;
        }
        if episode % config.evaluation.every_episodes == 0 || episode == config.episodes {
            clock.pause();
            let agents = trainer.workers().iter_mut().map(Worker::agent).collect();
            let evaluated = evaluate(comm, &config, &eval, agents)?;
            if let (Some(results), Some(evaluated)) = (&mut results, evaluated) {
                results.evaluation(episode, trainer.env_steps(), &evaluated)?;
                progress.line(&told(episode, &evaluated));
                latest = Some(evaluated);
            }
            clock.resume();
        }
    }
    let attention = attention(comm, &config, &train, trainer.workers())?;
    progress.finish();
    let Some(mut results) = results else { return Ok(ending) };
    let model = Model {
        shape: trainer.shape().clone(),
        weights: trainer.weights().to_vec(),
        fit: train.note.fit.clone(),
    };
    let run = RunSummary {
        seed: config.seed,
        stocks: config.stocks.clone(),
        env_steps: trainer.env_steps(),
        gradient_steps: trainer.gradient_steps(),
        wall_s: clock.wall_s(),
        env_steps_per_s: clock.mean_rate(trainer.env_steps()),
    };
    results.finish(&Finished {
        config: &config,
        notices: &notices,
        model: &model,
        run,
        latest: latest.as_ref(),
        attention,
        eval: &eval,
    })?;
    Ok(ending)
}

/// One line about an evaluation.
fn told(episode: u32, evaluated: &Evaluated) -> String {
    format!(
        "evaluation after episode {episode}: return {:+.2} %, buy-and-hold {:+.2} %",
        100.0 * evaluated.metrics.portfolio_return,
        100.0 * evaluated.benchmark_metrics.portfolio_return,
    )
}

/// Set by the first Ctrl-C or SIGTERM; a second one ends the program at once.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
        signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    stop.store(false, Ordering::Relaxed);
    Ok(stop)
}

/// Every stock's mean attention to its peers, `[stock][stock]`, on rank 0; None where a stock does not look.
fn attention(
    comm: &dyn Comm,
    config: &RunConfig,
    train: &Prepared,
    workers: &mut [Worker],
) -> Result<Vec<Vec<Option<f64>>>> {
    let stocks = config.stocks.len();
    let peers = &train.note.fit.peers;
    let mut matrix = vec![vec![None; stocks]; stocks];
    let per_stock = peers.first().map_or(0, Vec::len);
    if per_stock == 0 || !config.network.attention {
        return Ok(matrix);
    }
    let rows = train.note.rows.clone();
    let stride = rows.len().div_ceil(ATTENTION_ROWS);
    let sampled: Vec<u32> = rows.step_by(stride).map(|row| row as u32).collect();
    let mut mine = Vec::new();
    for worker in workers {
        mine.extend(worker.agent().attention(&train.panel, &sampled).unwrap_or_default());
    }
    let ranks = Ranks { stocks, size: comm.size() };
    let all = if comm.is_root() { stocks * per_stock } else { 0 };
    let (mut gathered, mut by_stock) = (vec![0.0; all], vec![0.0; all]);
    let stamp = Stamp { tag: Tag::Attention, time: 0 };
    comm.gather(stamp, &mine, &ranks.counts(per_stock), &mut gathered)?;
    if comm.is_root() {
        to_stock_order(&gathered, &ranks.gathered_order(), per_stock, &mut by_stock);
        for (stock, weights) in by_stock.chunks_exact(per_stock).enumerate() {
            for (&peer, &weight) in peers[stock].iter().zip(weights) {
                matrix[stock][peer] = Some(f64::from(weight));
            }
        }
    }
    Ok(matrix)
}

/// Wall time, with and without the evaluations.
struct Clock {
    start: Instant,
    trained_s: f64,
    since: Instant,
    interval_from: (f64, u64),
}

impl Clock {
    fn start() -> Clock {
        let now = Instant::now();
        Clock { start: now, trained_s: 0.0, since: now, interval_from: (0.0, 0) }
    }

    fn pause(&mut self) {
        self.trained_s += self.since.elapsed().as_secs_f64();
    }

    fn resume(&mut self) {
        self.since = Instant::now();
    }

    fn wall_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn line(&mut self, interval: Interval) -> MetricsLine {
        let now = self.trained_s + self.since.elapsed().as_secs_f64();
        let (then, steps) = self.interval_from;
        self.interval_from = (now, interval.env_steps);
        MetricsLine {
            episode: interval.episode,
            env_steps: interval.env_steps,
            gradient_steps: interval.gradient_steps,
            env_steps_per_s: (interval.env_steps - steps) as f64 / (now - then).max(1e-9),
            loss: interval.loss,
            mean_q: interval.mean_q,
            epsilon: interval.epsilon,
            reward: interval.reward,
        }
    }

    /// Steps per second of training, evaluations left out.
    fn mean_rate(&self, env_steps: u64) -> f64 {
        env_steps as f64 / self.interval_from.0.max(1e-9)
    }
}

/// What rank 0 writes.
struct Results {
    folder: ResultsFolder,
    metrics: MetricsLog,
    events: EventWriter,
    lines: Vec<MetricsLine>,
    /// Every evaluation so far.
    trials: Vec<Trial>,
    written: Vec<PathBuf>,
    /// The first file that could not be written: training goes on, and the end says so.
    failed: Option<anyhow::Error>,
}

impl Results {
    /// Moves an earlier run aside and writes what is known at the start.
    fn open(config: &RunConfig) -> Result<Option<Results>> {
        let folder = ResultsFolder::create(&config.output)?;
        let text = toml::to_string(config)?;
        let written = vec![folder.write_whole("config.toml", text.as_bytes())?];
        let metrics = MetricsLog::create(&folder)?;
        let events = EventWriter::create(&folder)?;
        let (lines, trials) = (Vec::new(), Vec::new());
        Ok(Some(Results { folder, metrics, events, lines, trials, written, failed: None }))
    }

    fn interval(&mut self, line: MetricsLine) {
        let logged = self.metrics.append(&line);
        let scalars = [
            ("train/reward", Some(line.reward)),
            ("train/loss", line.loss),
            ("train/mean_q", line.mean_q),
            ("train/epsilon", Some(line.epsilon)),
            ("train/env_steps_per_s", Some(line.env_steps_per_s)),
        ];
        let mut outcome = logged;
        for (tag, value) in scalars {
            if let (Some(value), true) = (value, outcome.is_ok()) {
                outcome = self.events.scalar(tag, line.env_steps, value);
            }
        }
        self.lines.push(line);
        if let (Err(error), None) = (outcome, &self.failed) {
            self.failed = Some(error.into());
        }
    }

    fn evaluation(&mut self, episode: u32, env_steps: u64, evaluated: &Evaluated) -> Result<()> {
        let benchmark = &evaluated.benchmark.equity;
        let path = portfolio_csv::write(&self.folder, episode, &evaluated.course, benchmark)?;
        self.written.push(path);
        self.trials.push(Trial::of(Some(episode), &evaluated.course));
        let metrics = &evaluated.metrics;
        self.events.scalar("eval/return", env_steps, metrics.portfolio_return)?;
        self.events.scalar("eval/max_drawdown", env_steps, metrics.max_drawdown)?;
        if let Some(sharpe) = metrics.sharpe {
            self.events.scalar("eval/sharpe", env_steps, sharpe)?;
        }
        Ok(())
    }

    /// The model and what is said of the whole run.
    fn finish(&mut self, finished: &Finished<'_>) -> Result<()> {
        let Finished { config, model, eval, latest, .. } = finished;
        let folder = &self.folder;
        let model_path = folder.path("trained_model.pth");
        model.write(&model_path)?;
        let network = QNetwork::new(model.shape.clone(), &model.weights, Device::Cpu);
        let policy_path = folder.path("policy.pt");
        policy::export(&network, &policy_path)?;
        let check = folder.path("policy_check.json");
        policy_check::write(&check, &network, ActionSet::new(config.env.long_only), eval)?;
        let relationships = Relationships {
            stocks: config.stocks.clone(),
            attention: finished.attention.clone(),
            correlation: model.fit.relations.correlation.clone(),
        };
        let relationships_path = relationships.write(folder)?;
        let inference = latest.map(|evaluated| self.inference(config, evaluated));
        let summary = Summary {
            run: finished.run.clone(),
            eval: latest.map(|evaluated| evaluated.metrics.clone()),
            benchmark: latest.map(|evaluated| evaluated.benchmark_metrics.clone()),
            inference,
        };
        let summary_path = summary.write(folder)?;
        self.written.extend([model_path, policy_path, check, relationships_path, summary_path]);
        self.written.extend([folder.path(MetricsLog::NAME), self.events.path().to_path_buf()]);
        if let (Some(evaluated), Some(inference)) = (latest, &summary.inference) {
            let report = Report {
                config,
                run: &summary.run,
                eval: &evaluated.metrics,
                benchmark: &evaluated.benchmark_metrics,
                inference,
                course: &evaluated.course,
                benchmark_equity: &evaluated.benchmark.equity,
                lines: &self.lines,
                relationships: &relationships,
                notices: finished.notices,
            };
            self.written.push(report.write(folder)?);
            let (ours, theirs) = (&evaluated.metrics, &evaluated.benchmark_metrics);
            print!("{}", table::closing(ours, theirs, inference, &self.written));
        }
        match self.failed.take() {
            Some(error) => Err(anyhow!("{error:#}; the other results are whole")),
            None => Ok(()),
        }
    }

    /// Whether the last evaluation is more than luck, given all that were made.
    fn inference(&self, config: &RunConfig, last: &Evaluated) -> Inference {
        let trials = Trials { own: self.trials.clone(), earlier: trials_before(&config.output) };
        let mut rng = stream(config.seed, Purpose::Inference, 0);
        Inference::of(&last.course, &last.benchmark, &trials, &mut rng)
    }
}

/// A run that has come to its end, or was stopped.
struct Finished<'a> {
    config: &'a RunConfig,
    notices: &'a [String],
    model: &'a Model,
    run: RunSummary,
    latest: Option<&'a Evaluated>,
    attention: Vec<Vec<Option<f64>>>,
    eval: &'a Prepared,
}
