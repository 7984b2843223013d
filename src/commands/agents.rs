//! Agents side by side.

use std::sync::Arc;

use anyhow::Result;

use super::{report_loads, say};
use crate::agents::{AgentsReport, Runner, leaderboard};
use crate::cli::{AgentsArgs, Format, GlobalArgs};
use crate::compute::process::stop_signals;
use crate::errors::tell;
use crate::report::Progress;
use crate::source;

/// What the whole came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentsOutcome {
    Done,
    /// An agent, or several; the others are done.
    Failed,
    Stopped,
}

/// Runs the agents, and prints how they stand. Called with a single thread, agents can be forked.
pub(crate) fn agents(
    args: &AgentsArgs,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<AgentsOutcome> {
    let is_child = args.bars.is_some();
    let mut runner = Runner::default();
    if !is_child {
        for (signal, _) in stop_signals() {
            signal_hook::flag::register(signal, Arc::clone(&runner.stop))?;
        }
    }
    let progress = Arc::new(progress);
    let of = || Arc::clone(&progress);
    let (of_lines, of_days, of_data) = (of(), of(), of());
    runner.bars.clone_from(&args.bars);
    runner.cache = source::cache_folder(global.cache.as_deref());
    runner.say = Box::new(move |line| match is_child {
        // To the process that started this one, which knows what to hand on.
        true => tell(line),
        false => of_lines.line(line),
    });
    runner.on_days =
        Box::new(move |symbol, done, total| of_days.data(symbol.as_str(), done, total));
    runner.on_data = Box::new(move |source, reports| {
        of_data.line(&format!("data: {source}"));
        report_loads(reports.iter(), &of_data);
    });
    let report = runner.run(&args.path(), args.signature.as_deref())?;
    progress.finish();
    if !is_child {
        print_report(&report, args.format)?;
    }
    Ok(match (report.stopped, report.is_success()) {
        (true, _) => AgentsOutcome::Stopped,
        (false, true) => AgentsOutcome::Done,
        (false, false) => AgentsOutcome::Failed,
    })
}

fn print_report(report: &AgentsReport, format: Format) -> Result<()> {
    say(&match format {
        Format::Table => {
            let paths = report.written.iter().map(|path| format!("  {}\n", path.display()));
            let paths: String = paths.collect();
            let head = if paths.is_empty() { "" } else { "\nwritten:\n" };
            leaderboard::table(report) + head + &paths
        }
        Format::Json => {
            format!("{}\n", serde_json::to_string_pretty(&leaderboard::in_json(report))?)
        }
    });
    Ok(())
}
