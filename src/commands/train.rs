//! A training run from start to end: flags in, results out. What happens in between is
//! [`crate::train::run()`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;

use super::outputs::{FinishedRun, Outputs};
use super::{CommandContext, in_sample_notice, report_data, say};
use crate::cli::TrainArgs;
use crate::comm::Comm;
use crate::comm::comm::agree;
use crate::comm::heartbeat::PULSE;
use crate::compute::process::stop_signals;
use crate::config::RunConfig;
use crate::config::machine::{Machine, warning};
use crate::market::calendar::market_date;
use crate::market::options::doubts;
use crate::market::{Period, Symbol};
use crate::report::format::growth;
use crate::report::summary::{PeriodTests, RunSummary};
use crate::report::{FolderLock, Progress};
use crate::train;
use crate::train::attempts::ChosenWeights;
use crate::train::callbacks::{Callbacks, Ending, TrainingInterval, TrainingStart};
use crate::train::dataset::PreparedData;
use crate::train::evaluation::{Evaluation, EvaluationResult};
use crate::train::run::{AlreadyFinished, Checkpointing, Trained};
use crate::wording::counted;

/// Trading days of a month, about.
const SESSIONS_PER_MONTH: usize = 20;

/// Trains as `config` says. Returns whether the run came to its end, or was stopped by the user.
pub(crate) fn train(
    comm: &dyn Comm,
    config: RunConfig,
    args: &TrainArgs,
    progress: Progress,
) -> Result<Ending> {
    let setting = CommandContext::new(comm, config, &args.global, progress)?;
    // What cannot be written is said before hours of work, and nothing is moved before the data are
    // known to be good.
    let locked = match comm.is_root() {
        true => FolderLock::take(&setting.config.output).map(Some),
        false => Ok(None),
    };
    let _lock = agree(comm, locked)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut watch = TrainCallbacks {
        is_root: comm.is_root(),
        is_rank: comm.size() > 1,
        progress: &setting.progress,
        machine: setting.config.machine.clone(),
        notices: setting.notices.clone(),
        outputs: None,
        stop: stop.clone(),
    };
    let checkpointing = if args.resume { Checkpointing::Resume } else { Checkpointing::On };
    let (config, data) = (&setting.config, setting.data());
    let trained = train::run(comm, config, data, checkpointing, &stop, &mut watch);
    let mut trained = match trained {
        Err(error) if error.is::<AlreadyFinished>() => {
            setting.progress.finish();
            if comm.is_root() {
                say(&format!("{error}\n"));
            }
            return Ok(Ending::EpisodeDone);
        }
        trained => trained?,
    };
    let measured_from = Instant::now();
    let explanation = trained.explanation(comm)?;
    let milliseconds = measured_from.elapsed().as_millis() as u64;
    tracing::info!(milliseconds, "relations and importance of features measured");
    let parts = trained.parts(comm)?;
    setting.progress.finish();
    let TrainCallbacks { outputs, mut notices, machine, .. } = watch;
    let Some(outputs) = outputs else { return Ok(trained.ending) };
    notices.extend(doubts(trained.train.note.reports.iter().chain(&trained.eval.note.reports)));
    notices.extend(in_sample_notice(&trained.config));
    notices.extend(belief_notice(trained.model.belief.share));
    notices.extend(trained.chosen.and_then(choice_notice));
    notices.extend(holding_notice(&trained));
    trained.config.machine = machine;
    let run = RunSummary {
        seed: trained.config.seed,
        stocks: trained.config.stocks.clone(),
        env_steps: trained.env_steps,
        env_steps_by_stock: trained.env_steps_by_stock.clone(),
        gradient_steps: trained.gradient_steps,
        wall_s: outputs.clock().wall_s(),
        env_steps_per_s: outputs.clock().mean_rate(trained.env_steps),
        orders_changed: trained.orders_changed.clone(),
        pair_tests: PeriodTests {
            train: trained.train.note.pair_tests,
            eval: trained.eval.note.pair_tests,
        },
        notices,
    };
    let finished = FinishedRun { trained: &trained, run, explanation, parts };
    outputs.finish(&finished, &setting.ledger)?;
    match trained.ending {
        Ending::EpisodeDone => trained.mark_finished()?,
        Ending::Stopped => {
            let output = trained.config.output.display();
            say(&format!("\nto go on: dqn-trader --output {output} --resume\n"));
        }
    }
    Ok(trained.ending)
}

/// Whether the run does not believe its learned values.
fn belief_notice(share: f32) -> Option<String> {
    let said = "Validation: the DQN did not beat holding beyond doubt, so it holds what rose.";
    (share == 0.0).then(|| said.into())
}

/// Which weights validation chose, where attempts differed.
fn choice_notice(chosen: ChosenWeights) -> Option<String> {
    let ChosenWeights { episode, weight_decay, is_choice } = chosen;
    is_choice.then(|| {
        format!(
            "Validation: chose the weights after pass {episode}, with weight decay {weight_decay}."
        )
    })
}

/// Names a DQN that hardly trades in the last evaluation: fewer than one change of position per
/// stock and month.
fn holding_notice(trained: &Trained) -> Option<String> {
    let EvaluationResult { record, dqn, .. } = &trained.latest.as_ref()?.evaluated;
    let stocks = record.stocks.len();
    let dates: BTreeSet<_> = record.end_s.iter().map(|&end_s| market_date(end_s)).collect();
    let (days, changes) = (dates.len(), position_changes(dqn, stocks));
    (changes * SESSIONS_PER_MONTH < stocks * days).then(|| {
        format!(
            "The DQN hardly trades: {} of position in {}, {}.",
            counted(changes, "change"),
            counted(days, "day"),
            counted(stocks, "stock"),
        )
    })
}

/// How often the positions in `dqn`, `[row, stock]`, change from row to row, beginning flat.
fn position_changes(dqn: &[(f32, f32)], stocks: usize) -> usize {
    let mut held = vec![0.0; stocks];
    let mut changes = 0;
    for row in dqn.chunks_exact(stocks) {
        for (held, &(position, _)) in held.iter_mut().zip(row) {
            changes += usize::from(*held != position);
            *held = position;
        }
    }
    changes
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

/// Progress and files during training.
struct TrainCallbacks<'a> {
    is_root: bool,
    /// Others compute the same run.
    is_rank: bool,
    progress: &'a Progress,
    /// On which kinds of machines the run was computed.
    machine: Option<Machine>,
    /// What a reader of the results must know before believing a figure.
    notices: Vec<String>,
    /// On rank 0, once training begins.
    outputs: Option<Outputs>,
    stop: Arc<AtomicBool>,
}

impl TrainCallbacks<'_> {
    /// The files of a new run, or those of the one that is resumed.
    fn open(&mut self, start: &TrainingStart<'_>) -> Result<Outputs> {
        let mut config = start.config.clone();
        let Some(state) = start.resumed else {
            let mut outputs = Outputs::open(&config)?;
            outputs.opportunities("train", start.train)?;
            outputs.opportunities("eval", start.eval)?;
            return Ok(outputs);
        };
        self.notices.extend(continue_machine(&mut config, self.progress));
        let outputs = Outputs::reopen(&config, postcard::from_bytes(state)?, start.goes_on)?;
        self.machine = config.machine;
        Ok(outputs)
    }
}

impl Callbacks for TrainCallbacks<'_> {
    fn on_days(&mut self, symbol: &Symbol, done: usize, total: usize) {
        self.progress.data(symbol.as_str(), done, total);
    }

    fn on_data(&mut self, _period: Period, data: &PreparedData) {
        report_data(data, self.progress);
    }

    fn on_message(&mut self, line: &str) {
        self.progress.line(line);
    }

    fn on_training_start(&mut self, start: &TrainingStart<'_>) -> Result<()> {
        heed_signals(&self.stop, self.is_rank)?;
        if self.is_root {
            self.outputs = Some(self.open(start)?);
        }
        if let Some(notice) = self.outputs.as_ref().and_then(Outputs::notice) {
            self.progress.line(notice);
        }
        let (stocks, lanes, episodes) =
            (start.config.stocks.len(), start.lanes, start.config.episodes);
        self.progress.line(&format!(
            "training: {} x {} x {}, {}, {}",
            counted(stocks, "stock"),
            counted(lanes.count, "lane"),
            counted(lanes.steps, "bar"),
            counted(start.parameters, "parameter"),
            counted(episodes as usize, "episode"),
        ));
        let per_episode = (stocks * lanes.count * lanes.steps) as u64;
        self.progress.training_start(per_episode * u64::from(episodes));
        Ok(())
    }

    fn on_interval(&mut self, interval: TrainingInterval) -> Result<()> {
        if let Some(outputs) = &mut self.outputs {
            self.progress.training(outputs.interval(interval)?);
        }
        Ok(())
    }

    fn on_evaluation_start(&mut self) {
        self.outputs.iter_mut().for_each(|outputs| outputs.clock_mut().pause());
    }

    fn on_evaluation(&mut self, done: &Evaluation) -> Result<()> {
        if let Some(outputs) = &mut self.outputs {
            outputs.evaluation(done)?;
            self.progress.line(&told(done));
        }
        Ok(())
    }

    fn on_evaluation_end(&mut self) {
        self.outputs.iter_mut().for_each(|outputs| outputs.clock_mut().resume());
    }

    fn state(&self) -> Result<Vec<u8>> {
        let state = self.outputs.as_ref().map(Outputs::state);
        Ok(state.map_or(Ok(Vec::new()), |state| postcard::to_stdvec(&state))?)
    }

    fn on_training_end(&mut self, ending: Ending) -> Result<()> {
        if ending == Ending::Stopped {
            self.progress.line("stopped; writing the current model");
        }
        Ok(())
    }
}

/// One line about an evaluation.
fn told(Evaluation { episode, evaluated, .. }: &Evaluation) -> String {
    format!(
        "evaluation after episode {episode}: return {}, benchmark {}",
        growth(evaluated.metrics.portfolio_return),
        growth(evaluated.benchmark_metrics.portfolio_return),
    )
}

/// A flag that [`heed_signals`] sets.
pub(crate) fn stop_on_signals(is_rank: bool) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    heed_signals(&stop, is_rank)?;
    Ok(stop)
}

/// `stop` is set by the first Ctrl-C, SIGTERM, SIGHUP, SIGQUIT or SIGUSR1 (which launchers hand on
/// to the ranks); a second of the others ends the program at once. SIGTERM does not where this is
/// one of several ranks: launchers and batch systems each send their own of it, and SIGKILL when
/// their patience is over.
fn heed_signals(stop: &Arc<AtomicBool>, is_rank: bool) -> Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, stop.clone())?;
    for (signal, code) in stop_signals() {
        if !is_rank || signal != signal_hook::consts::SIGTERM {
            signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone())?;
        }
        signal_hook::flag::register(signal, stop.clone())?;
    }
    PULSE.set_stop_flag(stop.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stocks: flat to long, kept, to short; flat, to long, to flat.
    #[test]
    fn changes_of_position_are_counted_by_stock() {
        let rows = [(1.0, 0.5), (0.0, 0.0), (1.0, 0.1), (1.0, 0.2), (-1.0, 0.3), (0.0, 0.0)];
        assert_eq!(position_changes(&rows, 2), 4);
        assert_eq!(position_changes(&[], 2), 0);
    }

    #[test]
    fn what_validation_concluded_is_a_line_of_the_terminal() {
        let line = belief_notice(0.0).unwrap();
        assert!(line.chars().count() <= 80 && line.contains("did not beat holding"), "{line}");
        assert_eq!(belief_notice(1.0), None);
        let chosen = ChosenWeights { episode: 60, weight_decay: 12.0, is_choice: true };
        let line = choice_notice(chosen).unwrap();
        assert_eq!(line, "Validation: chose the weights after pass 60, with weight decay 12.");
        assert_eq!(choice_notice(ChosenWeights { is_choice: false, ..chosen }), None);
    }
}
