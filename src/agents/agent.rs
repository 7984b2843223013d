//! Runs one agent from the end of its position file to the last day.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::bars::{Bars, Step};
use super::config::{AgentsConfig, Model, ModelKind};
use super::decide::{orders, wanted};
use super::desk::{Desk, Done};
use super::dqn;
use super::journal::{Journal, Positions};
use super::ledger::Ledger;
use super::llm;
use super::stamp::Stamp;
use super::standing::{Standing, benchmark, costs, figures, not_among};
use super::wanted::{Setting, Wanted};
use crate::report::{FolderLock, ReportError, ResultsFolder};
use crate::strategy::Cancel;

const METRICS: &str = "metrics.json";

/// What an agent needs besides its configuration.
pub struct Surroundings<'a> {
    pub bars: &'a Bars,
    /// Folder for files that can be made again.
    pub cache: &'a Path,
    /// Cancels the work.
    pub cancel: &'a Cancel,
    /// Receives lines for the user.
    pub say: &'a dyn Fn(&str),
}

/// The agent's folder.
pub fn folder(config: &AgentsConfig, model: &Model) -> PathBuf {
    config.log_path.join(&model.signature)
}

/// Runs `model` to the end of the period, from the start or from where an earlier run ended.
///
/// # Errors
/// If it fails; the position file keeps all complete steps.
pub fn run(config: &AgentsConfig, model: &Model, around: Surroundings<'_>) -> Result<Standing> {
    let folder = folder(config, model);
    let _lock = FolderLock::take(&folder).map_err(|error| with_advice(error, model))?;
    let Surroundings { bars, cache, cancel, say } = around;
    if bars.stocks() != config.stocks {
        bail!("the bars are not those of the configuration's stocks; start again without --bars");
    }
    let mut journal = Journal::open(&folder, say)?;
    if journal.records().is_empty() {
        let start = Positions::of(&config.stocks, |_| 0, config.initial_cash);
        journal.append(&config.init.to_string(), vec![(None, start)])?;
    }
    let last = journal.last_date()?.context("a record was just written")?;
    let since = journal.records()[0].date.parse::<Stamp>().map_err(|e| anyhow!("{e}"))?;
    let steps = bars.steps(config.by_bar, &last, &config.end);
    if steps.is_empty() {
        say(&format!("{}: nothing to do after {last}", model.signature));
    }
    let kept = RefCell::new(Vec::from_iter(bars.notice()));
    let notice = |line: &str| {
        say(line);
        kept.borrow_mut().push(line.to_string());
    };
    let now = &journal.records()[journal.records().len() - 1].positions;
    let shares = now.by_stock(&config.stocks).map_err(not_among)?;
    let ledger = Ledger::new(shares, now.cash, costs(config));
    let mut desk = Desk { config, bars, folder: &folder, journal, ledger };
    match &model.kind {
        ModelKind::Llm(endpoint) => {
            let mut session = llm::Session::new(config, model, endpoint, cancel, say)?;
            steps.iter().try_for_each(|step| session.trade(&mut desk, step))?;
        }
        kind => {
            let setting = Setting { config, bars, since, cache, cancel };
            // Also if no step is left: the figures cover all days.
            dqn::seen(kind, &setting)?.iter().for_each(|line| notice(line));
            if !steps.is_empty() {
                let wanted = wanted(kind, &setting)?.context("a kind that decides by itself")?;
                steps.iter().try_for_each(|step| desk.follow(step, &wanted, cancel))?;
            }
        }
    }
    let standing = desk.standing(model, kept.into_inner())?;
    let text = serde_json::to_string_pretty(&standing)? + "\n";
    ResultsFolder::open(&folder)
        .and_then(|folder| folder.write_whole(METRICS, text.as_bytes()))
        .map_err(|error| with_advice(error, model))?;
    Ok(standing)
}

/// Adds advice for a user of agents.
fn with_advice(mut error: ReportError, model: &Model) -> ReportError {
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
pub fn read_standing(config: &AgentsConfig, model: &Model) -> Option<Standing> {
    let text = std::fs::read(folder(config, model).join(METRICS)).ok()?;
    serde_json::from_slice(&text).ok()
}

impl Desk<'_> {
    /// Trades a step according to `wanted`: decided at the close of each bar, filled at the open of
    /// the next.
    fn follow(&mut self, step: &Step, wanted: &Wanted, cancel: &Cancel) -> Result<()> {
        let band = self.config.env().rebalance_band;
        let (mut done, mut told) = (Done::new(), Vec::new());
        // Before the first bar there is no decision.
        for t in step.rows.clone().filter(|&t| t > 0) {
            cancel.check()?;
            let view = self.bars.view(t - 1);
            let weights = wanted.at(t - 1);
            for order in orders(&self.ledger, &view, weights, band) {
                if let Some(fill) = self.fill(&order, t, &mut done) {
                    let weight = 100.0 * weights[fill.stock];
                    told.push(format!("{}, to hold {weight:.1}% of equity", self.in_words(&fill)));
                }
            }
        }
        if !told.is_empty() {
            let said = serde_json::json!({ "role": "assistant", "content": told.join("\n") });
            self.log(&step.stamp, &[said])?;
        }
        self.close(&step.stamp, done)
    }

    fn standing(&self, model: &Model, notices: Vec<String>) -> Result<Standing> {
        let (config, records) = (self.config, self.journal.records());
        let (first, last) = (&records[0].date, &records[records.len() - 1].date);
        let stamp = |text: &str| text.parse::<Stamp>().map_err(|e| anyhow!("{e}"));
        let tokens = match &model.kind {
            ModelKind::Llm(_) => Some(llm::tokens_of(&self.folder.join("log"))?),
            _ => None,
        };
        Ok(Standing {
            signature: model.signature.clone(),
            name: model.name.clone(),
            kind: model.kind.word().into(),
            first_date: first.clone(),
            last_date: last.clone(),
            figures: figures(config, self.bars, records)?,
            tokens,
            benchmark: benchmark(config, self.bars, &stamp(first)?, &stamp(last)?, false)?,
            notices,
        })
    }
}
