//! What a run leaves behind and what it says while it runs. Values in, files and text out: nothing
//! here knows ranks, tensors or the market's store.
//!
//! ```text
//! ResultsFolder -- MetricsLog     metrics.jsonl, one line per interval
//!               |- EventWriter    TensorBoard events
//!               |- portfolio_csv  portfolio_ep{episode}.csv
//!               |- allocations_csv  allocations.csv
//!               |- summary        summary.json
//!               |- relationships  relationships.csv
//!               |- importance     importance.csv
//!               `- html           report.html, with the figures of `plot`
//! FolderLock                     one run at a time
//! Progress (standard error)      table, strategies (standard output)
//! ```

pub(crate) mod accounts;
pub(crate) mod allocations_csv;
pub(crate) mod folder;
pub(crate) mod html;
pub(crate) mod importance;
pub(crate) mod ledger;
pub(crate) mod live;
mod lock;
pub(crate) mod metrics_log;
pub(crate) mod orders;
pub(crate) mod paper;
pub(crate) mod plot;
pub(crate) mod portfolio_csv;
pub(crate) mod previous;
pub(crate) mod progress;
mod quarters;
pub(crate) mod relationships;
pub(crate) mod run_explanation;
pub(crate) mod strategies;
pub(crate) mod study;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod tensorboard;
pub(crate) mod trades;

mod account;
pub(crate) mod compare;
mod comparison;
mod contributions;
mod csv_text;
mod drawdowns;
mod experts;
mod figures;
pub(crate) mod format;
pub(crate) mod members;
mod months;
mod page;
mod parts;
mod profits;
mod relation_maps;
mod settings;
mod significance;
mod trade_marks;
mod verdict;

#[cfg(test)]
mod example;

pub(crate) use folder::{ReportError, ResultsFolder};
pub(crate) use lock::FolderLock;
pub(crate) use progress::{Progress, Verbosity};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::example::ExampleRun;
    use super::metrics_log::MetricsLog;
    use super::summary::Summary;
    use super::tensorboard::EventWriter;
    use super::*;

    /// Everything that this layer writes for one run.
    fn write_all(place: &Path) -> Result<ResultsFolder, ReportError> {
        let example = example::run(5, 1_764);
        let folder = ResultsFolder::create(place)?;
        let mut log = MetricsLog::create(&folder)?;
        let mut events = EventWriter::create(&folder)?;
        for line in &example.lines {
            log.append(line)?;
            events.scalar("train/reward", line.env_steps, line.reward)?;
            if let Some(loss) = line.loss {
                events.scalar("train/loss", line.env_steps, loss)?;
            }
        }
        portfolio_csv::write(
            &folder,
            &portfolio_csv::name(10),
            &example.record,
            &example.benchmark_equity,
        )?;
        example.relationships.write(&folder)?;
        example.report(&["These are made-up prices.".to_string()]).write(&folder)?;
        let equity = plot::equity_svg(example.curves(), plot::Scale::Linear, plot::Screen::Wide);
        folder.write_whole("equity.svg", equity.as_bytes())?;
        let ExampleRun { run, everyone, parts, .. } = example;
        let summary = Summary {
            run,
            eval: Some(example.eval),
            benchmark: Some(example.benchmark),
            inference: Some(example.inference),
            everyone,
            parts,
            contributions: Some(example.contributions),
        };
        summary.write(&folder)?;
        Ok(folder)
    }

    /// `REPORT_EXAMPLE=DIR` keeps the files, to be looked at and read by other programs.
    #[test]
    fn a_run_leaves_its_files_and_a_second_one_keeps_them() {
        let temporary = tempfile::tempdir().unwrap();
        let kept = std::env::var_os("REPORT_EXAMPLE").map(std::path::PathBuf::from);
        let place = kept.as_deref().unwrap_or(temporary.path());
        write_all(place).unwrap();
        let folder = write_all(place).unwrap();
        assert!(folder.notice().is_some());
        for name in [
            "metrics.jsonl",
            "portfolio_ep10.csv",
            "summary.json",
            "relationships.csv",
            "report.html",
        ] {
            let now = std::fs::read(folder.path(name)).unwrap();
            let earlier = std::fs::read(place.join("earlier/1").join(name)).unwrap();
            assert!(!now.is_empty() && now == earlier, "{name} does not depend on the clock");
        }
    }
}
