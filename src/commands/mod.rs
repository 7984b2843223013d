//! What the program can be told to do, put together from the layers below.

pub(crate) mod agents;
pub(crate) mod compare;
mod comparison;
pub(crate) mod data;
pub(crate) mod evaluate;
mod keys;
mod outputs;
pub(crate) mod program;
mod ranks;
pub(crate) mod shell;
pub(crate) mod strategies;
pub(crate) mod study;
pub(crate) mod synth;
pub(crate) mod trade;
pub(crate) mod train;
pub(crate) mod validate;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};
use chrono::Datelike;

use crate::cli::{ContainerArg, Destination, GlobalArgs};
use crate::comm::comm::agree;
use crate::comm::{Comm, Ranks};
use crate::config::RunConfig;
use crate::config::machine::{Machine, warning};
use crate::errors::{coloured, printable, shows_colour};
use crate::market::options::BarLabel;
use crate::market::options::{LoadReport, by_sentence, doubts};
use crate::market::store::{LocalStore, Store};
use crate::market::{Period, Symbol};
use crate::report::Progress;
use crate::report::ledger::Ledger;
use crate::source::DataSource;
use crate::source::{self, AZURE, CONTAINER, SYNTHETIC};
use crate::train::dataset::PreparedData;
use crate::train::run::RunData;
use crate::train::trained::fitted_until;
use crate::wording::counted;

/// What every command needs before it reads a bar.
pub(crate) struct CommandContext {
    pub(crate) config: RunConfig,
    pub(crate) progress: Progress,
    /// What a reader of the results must know before believing a figure.
    pub(crate) notices: Vec<String>,
    source: DataSource,
    cache: PathBuf,
    ledger: Ledger,
}

impl CommandContext {
    /// Opens the data on every rank.
    pub(crate) fn new(
        comm: &dyn Comm,
        mut config: RunConfig,
        global: &GlobalArgs,
        progress: Progress,
    ) -> Result<CommandContext> {
        agree(comm, config.data.calendar.adopt())?;
        // Rank 0's environment decides, should another's differ.
        let mut name = source::resolve(config.data.source.as_deref()).into_bytes();
        comm.broadcast_bytes(&mut name);
        let name = String::from_utf8(name)?;
        let source = agree(comm, source::open(&name, &config.data.container))?;
        let mut notices = Vec::new();
        let here = Machine::detect(&comm.library());
        let these = "The run with these settings";
        notices.extend(warning(these, config.machine.as_ref(), &here));
        notices.extend(unlike_ranks(comm, &config, &here)?);
        config.machine = Some(here);
        if name.starts_with(source::SYNTHETIC) {
            notices.push(format!(
                "These are the MADE-UP prices of {name}; name your own with --data."
            ));
        }
        if config.data.allow_overlap && overlaps(&config) {
            let warning = "Evaluation days were trained on (--allow-overlap): \
                           the figures say nothing about the future.";
            notices.push(warning.into());
        }
        progress.line(&format!("data: {name}"));
        notices.iter().for_each(|notice| progress.line(notice));
        config.data.source = Some(name);
        let cache = source::cache_folder(global.cache.as_deref());
        let ledger = agree(comm, Ledger::open(global.ledger.as_deref(), &cache))?;
        Ok(CommandContext { config, progress, notices, source, cache, ledger })
    }

    fn data(&self) -> RunData<'_> {
        RunData { source: &self.source, cache: &self.cache }
    }
}

/// On rank 0: a line about the first rank that computes on another kind of machine than it does.
fn unlike_ranks(comm: &dyn Comm, config: &RunConfig, here: &Machine) -> Result<Option<String>> {
    let ranks = Ranks { stocks: config.stocks.len(), size: comm.size() };
    for (rank, bytes) in comm.gather_bytes(&serde_json::to_vec(here)?).iter().enumerate() {
        let there: Machine = serde_json::from_slice(bytes)?;
        let name = ranks.name(rank, &config.stocks);
        let part = format!("The part of {name}");
        if let Some(line) = warning(&part, Some(&there), here) {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// Whether the evaluation's days, or later ones, were trained on.
fn is_in_sample(config: &RunConfig) -> bool {
    config.eval_start <= fitted_until(config)
}

/// A line for the user where that is so and [`CommandContext`] has not said it.
fn in_sample_notice(config: &RunConfig) -> Option<String> {
    (is_in_sample(config) && !overlaps(config)).then(|| {
        "Later days than those of the evaluation were trained on: \
         the figures say nothing about the future."
            .into()
    })
}

fn overlaps(config: &RunConfig) -> bool {
    config.eval_start <= config.end_date && config.start_date <= config.eval_end
}

fn report_data(prepared: &PreparedData, progress: &Progress) {
    report_loads(prepared.note.reports.iter(), progress);
    if prepared.from_cache {
        progress.line("bars and features are in the cached panel; nothing was read");
    }
}

/// What was found in the data, stated always; stocks of which the same is to be said share a line.
fn report_loads<'a>(reports: impl Iterator<Item = &'a LoadReport> + Clone, progress: &Progress) {
    let all = |report: &LoadReport| [vec![found(report)], report.notes.clone()].concat();
    by_sentence(reports.clone(), all).iter().for_each(|line| progress.line(line));
    doubts(reports).iter().for_each(|line| progress.line(line));
}

fn found(report: &LoadReport) -> String {
    let bars = counted(report.bars, &format!("{}-minute bar", report.bar_minutes));
    if report.day_files == 0 {
        return bars;
    }
    let label = if report.bar_label == BarLabel::End { "end" } else { "start" };
    let (days, reason) = (counted(report.day_files, "day"), &report.bar_label_reason);
    format!("{bars} from {days}; timestamps mark a bar's {label} ({reason})")
}

/// A place to which files can be written; a folder is made with the first of them.
fn file_store(into: &Destination) -> Result<Arc<dyn Store>> {
    let data = into.data.as_str();
    if data != AZURE && !data.starts_with(SYNTHETIC) {
        return Ok(Arc::new(LocalStore::for_writing(Path::new(data))?));
    }
    match source::open(data, &container_name(&into.container))? {
        DataSource::Store(store) => Ok(store),
        DataSource::Synthetic(_) => {
            Err(anyhow!("--data {data}: files cannot be written there; give a folder"))
        }
    }
}

/// Every stock once, and a period that does not end before it begins.
fn check_request(stocks: &[Symbol], period: &Period) -> Result<()> {
    let twice = stocks.iter().enumerate().find(|(i, symbol)| stocks[..*i].contains(symbol));
    if let Some((_, twice)) = twice {
        return Err(anyhow!("--stocks: {twice} is given twice; give each symbol once"));
    }
    if period.end < period.start {
        return Err(anyhow!(
            "--end_date: the period {period} ends before it begins; swap the dates"
        ));
    }
    Ok(())
}

/// Years of stock markets. Every day of others would be asked for, or made up.
fn check_years(period: &Period) -> Result<()> {
    let years = [period.start, period.end].map(|date| (1_900..=2_199).contains(&date.year()));
    if years == [true; 2] {
        return Ok(());
    }
    Err(anyhow!("--start_date, --end_date: {period} is not within 1900 to 2199; correct it"))
}

/// Of the flag, else of the environment, else the usual one.
fn container_name(flag: &ContainerArg) -> String {
    let of_environment = || std::env::var(CONTAINER).ok();
    flag.name.clone().or_else(of_environment).unwrap_or_else(|| RunConfig::default().data.container)
}

/// Why something that was said did not arrive.
static UNSAID: OnceLock<String> = OnceLock::new();

/// Says on standard output. Whoever closed it does not want to hear: the results are on disk.
fn say(text: &str) {
    let (text, mut stdout) = (printable(text), std::io::stdout());
    let written = match shows_colour(&stdout) {
        true => stdout.write_all(coloured(&text).as_bytes()),
        false => stdout.write_all(text.as_bytes()),
    };
    if let Err(error) = written.and_then(|()| stdout.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        UNSAID.get_or_init(|| error.to_string());
    }
}

/// Errors: something that was said did not arrive, as on a full disk.
fn all_was_said() -> Result<()> {
    let why = UNSAID.get();
    why.map_or(Ok(()), |why| {
        Err(anyhow!("standard output: {why}; the results are whole, only what was printed is lost"))
    })
}
