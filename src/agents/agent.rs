//! Runs one agent from the end of its position file to the last day.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::affordability::{self, largest_part, too_dear};
use super::bars::{AgentBars, TradingStep};
use super::config::{AgentKind, AgentSpec, AgentsConfig};
use super::decide::{orders, target_weights};
use super::dqn;
use super::journal::{Journal, Positions};
use super::ledger::Ledger;
use super::llm;
use super::metrics::{AgentMetrics, benchmark, costs, figures, unknown_symbol};
use super::paper_broker::{PaperBroker, StepTrades};
use super::step_time::StepTime;
use super::target_weights::{DecisionContext, TargetWeights};
use crate::report::{FolderLock, ReportError, ResultsFolder};
use crate::strategy::Cancel;

const METRICS: &str = "metrics.json";

/// What an agent needs besides its configuration.
pub(crate) struct AgentContext<'a> {
    pub(crate) bars: &'a AgentBars,
    /// Folder for files that can be made again.
    pub(crate) cache: &'a Path,
    /// Cancels the work.
    pub(crate) cancel: &'a Cancel,
    /// Receives lines for the user.
    pub(crate) say: &'a dyn Fn(&str),
}

/// The agent's folder.
pub(crate) fn folder(config: &AgentsConfig, model: &AgentSpec) -> PathBuf {
    config.log_path.join(&model.signature)
}

/// Runs `model` to the end of the period, from the start or from where an earlier run ended.
///
/// # Errors
/// If it fails; the position file keeps all complete steps.
pub(crate) fn run(
    config: &AgentsConfig,
    model: &AgentSpec,
    context: AgentContext<'_>,
) -> Result<AgentMetrics> {
    let folder = folder(config, model);
    let _lock = FolderLock::take(&folder).map_err(|error| with_advice(error, model))?;
    let AgentContext { bars, cache, cancel, say } = context;
    if bars.stocks() != config.stocks {
        bail!("the bars are not those of the configuration's stocks; start again without --bars");
    }
    let mut journal = Journal::open(&folder, say)?;
    if journal.records().is_empty() {
        let start = Positions::new(&config.stocks, |_| 0, config.initial_cash);
        journal.append(&config.init.to_string(), vec![(None, start)])?;
    }
    let last = journal.last_date()?.context("a record was just written")?;
    let since = journal.records()[0].date.parse::<StepTime>().map_err(|e| anyhow!("{e}"))?;
    let steps = bars.steps(config.sessions, &last, &config.end);
    if steps.is_empty() {
        say(&format!("{}: nothing to do after {last}", model.signature));
    }
    let kept = RefCell::new(bars.notices());
    let notice = |line: &str| {
        say(line);
        kept.borrow_mut().push(line.to_string());
    };
    let now = &journal.records()[journal.records().len() - 1].positions;
    let shares = now.by_stock(&config.stocks).map_err(unknown_symbol)?;
    let ledger = Ledger::new(shares, now.cash, costs(config));
    let mut broker = PaperBroker { config, bars, folder: &folder, journal, ledger };
    match &model.kind {
        AgentKind::Llm(endpoint) => {
            let mut session = llm::LlmSession::new(config, model, endpoint, &folder, cancel, say)?;
            steps.iter().try_for_each(|step| session.trade(&mut broker, step))?;
        }
        kind => {
            let setting = DecisionContext { config, bars, since, cache, cancel };
            // Also if no step is left: the figures cover all days.
            dqn::training_overlap(kind, &setting)?.iter().for_each(|line| notice(line));
            if !steps.is_empty() {
                let wanted =
                    target_weights(kind, &setting)?.context("a kind that decides by itself")?;
                steps.iter().try_for_each(|step| broker.follow(step, &wanted, cancel))?;
            }
        }
    }
    let metrics = broker.metrics(model, kept.into_inner())?;
    let text = serde_json::to_string_pretty(&metrics)? + "\n";
    ResultsFolder::open(&folder)
        .and_then(|folder| folder.write_whole(METRICS, text.as_bytes()))
        .map_err(|error| with_advice(error, model))?;
    Ok(metrics)
}

/// Adds advice for a user of agents.
fn with_advice(mut error: ReportError, model: &AgentSpec) -> ReportError {
    error.hint = match error.kind() {
        ErrorKind::ResourceBusy => {
            error.what = format!("another process runs the agent {}", model.signature);
            "wait for it, stop it, or give one of them another signature".into()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some disk space, then start again: the agent resumes where it stopped".into()
        }
        _ => "look at that folder, or name another as log_config.log_path".into(),
    };
    error
}

/// The result of an agent that has run; None if there is none that can be read.
pub(crate) fn read_metrics(config: &AgentsConfig, model: &AgentSpec) -> Option<AgentMetrics> {
    let text = std::fs::read(folder(config, model).join(METRICS)).ok()?;
    serde_json::from_slice(&text).ok()
}

impl PaperBroker<'_> {
    /// Trades a step according to `wanted`: decided at the close of each bar, filled at the open of
    /// the next.
    fn follow(
        &mut self,
        step: &TradingStep,
        wanted: &TargetWeights,
        cancel: &Cancel,
    ) -> Result<()> {
        let band = self.config.env().rebalance_band;
        let (mut done, mut told) = (StepTrades::new(), Vec::new());
        // Before the first bar there is no decision.
        for t in step.rows.clone().filter(|&t| t > 0) {
            cancel.check()?;
            let view = self.bars.view(t - 1);
            let weights = wanted.at(t - 1);
            for order in orders(&self.ledger, &view, weights, band) {
                if let Some(fill) = self.fill(&order, t, &mut done) {
                    let weight = 100.0 * weights[fill.stock];
                    told.push(format!("{}, to hold {weight:.1}% of equity", self.describe(&fill)));
                }
            }
        }
        if !told.is_empty() {
            let said = serde_json::json!({ "role": "assistant", "content": told.join("\n") });
            self.log(&step.stamp, &[said])?;
        }
        self.close(&step.stamp, done)
    }

    fn metrics(&self, model: &AgentSpec, mut notices: Vec<String>) -> Result<AgentMetrics> {
        let (config, records) = (self.config, self.journal.records());
        let (first, last) = (&records[0].date, &records[records.len() - 1].date);
        let stamp = |text: &str| text.parse::<StepTime>().map_err(|e| anyhow!("{e}"));
        let (figures, most_equity) = figures(config, self.bars, records)?;
        let steps = self.bars.recorded_steps(config.sessions, &stamp(first)?, &stamp(last)?);
        let dear = too_dear(config, self.bars, &steps, most_equity * largest_part(config, model));
        let is_nothing = figures.trades == 0 && records.iter().all(|one| one.positions.is_flat());
        let mut unranked = (is_nothing && dear.len() == config.stocks.len())
            .then(|| "no share of any stock could be afforded".to_string());
        notices
            .extend(affordability::told(&dear).map(|told| format!("{}: {told}", model.signature)));
        let mut tokens = None;
        if let AgentKind::Llm(endpoint) = &model.kind {
            let signature = &model.signature;
            let outcome = llm::LlmOutcome::read(config, endpoint, signature, self.folder, records)?;
            notices.extend(outcome.notices);
            unranked = outcome.unranked.filter(|_| figures.trades == 0).or(unranked);
            tokens = Some(outcome.used);
        }
        Ok(AgentMetrics {
            signature: model.signature.clone(),
            name: model.name.clone(),
            kind: model.kind.word().into(),
            first_date: first.clone(),
            last_date: last.clone(),
            figures,
            unranked,
            tokens,
            benchmark: benchmark(config, self.bars, &steps, false)?,
            notices,
        })
    }
}
