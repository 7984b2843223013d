//! The files of an account. They follow from its journal, so what a kill left of them is written
//! anew at the next start.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::account::{Decided, PaperAccount};
use crate::config::RunConfig;
use crate::env::costs::Costs;
use crate::eval::metrics::BacktestRecord;
use crate::files::WRITING;
use crate::market::Symbol;
use crate::market::calendar::{self, market_date};
use crate::report::folder::ResultsFolder;
use crate::report::paper::PaperReport;
use crate::report::run_explanation::RunExplanation;
use crate::report::trades::{self, DecidedBy, Trades};
use crate::report::{allocations_csv, orders, portfolio_csv};
use crate::train::evaluation::EvaluationResult;

/// Bar by bar, as an evaluation writes it at its end.
const PORTFOLIO: &str = "portfolio.csv";
/// All orders since the first day.
pub(crate) const ORDER_LOG: &str = "order_log.csv";
const SUMMARY: &str = "summary.json";

/// Files that are moved to their place when they are whole.
const WHOLE: [&str; 7] = [
    PORTFOLIO,
    ORDER_LOG,
    orders::NAME,
    allocations_csv::NAME,
    trades::NAME,
    SUMMARY,
    "report.html",
];

/// Removes what a kill left of files that were being written. Whoever calls it holds the lock of
/// `folder`.
///
/// Errors: the folder cannot be listed, or a file not be removed.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    let failed = || format!("{}: cannot be listed", folder.display());
    for entry in std::fs::read_dir(folder).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let is_file = entry.file_type().with_context(failed)?.is_file();
        if is_file && entry.file_name().to_str().is_some_and(is_left) {
            let path = entry.path();
            let removed = std::fs::remove_file(&path);
            removed.with_context(|| format!("{}: cannot be removed", path.display()))?;
        }
    }
    Ok(())
}

/// Whether a file of this name was to become one of the account's.
fn is_left(name: &str) -> bool {
    let Some((stem, random)) = name.split_once(WRITING) else { return false };
    let is_its = |own: &&str| Path::new(own).file_stem() == Some(stem.as_ref());
    random.bytes().all(|byte| byte.is_ascii_alphanumeric()) && WHOLE.iter().any(is_its)
}

/// The files, and which of them grow with every bar.
pub(crate) struct Outputs {
    folder: ResultsFolder,
    stocks: Vec<Symbol>,
    explanation: RunExplanation,
    portfolio: File,
    order_log: File,
    /// Bars that are in the portfolio's file.
    bars: usize,
    /// End of the last bar when the other files were written last, UTC seconds.
    written_s: Option<i64>,
}

impl Outputs {
    /// Writes all that was `decided` so far. `explanation`: of the model, for the page.
    pub(crate) fn new(
        folder: ResultsFolder,
        explanation: RunExplanation,
        account: &PaperAccount,
        decided: &[Decided],
    ) -> Result<Outputs> {
        let stocks = account.desk().mandate().stocks.clone();
        let empty = BacktestRecord::new(stocks.clone());
        let [record, benchmark] = account.desk().records().unwrap_or([&empty, &empty]);
        let portfolio = portfolio_csv::csv(record, &benchmark.equity);
        folder.write_whole(PORTFOLIO, portfolio.as_bytes())?;
        let all: String = decided.iter().map(|one| orders::rows(&stocks, &one.0)).collect();
        folder.write_whole(ORDER_LOG, (String::from(orders::HEADER) + &all).as_bytes())?;
        let append = |name: &str| {
            let path = folder.path(name);
            let file = OpenOptions::new().append(true).open(&path);
            file.with_context(|| format!("{}: cannot be written", path.display()))
        };
        let (portfolio, order_log) = (append(PORTFOLIO)?, append(ORDER_LOG)?);
        let bars = record.end_s.len();
        let written_s = None;
        let outputs =
            Outputs { folder, stocks, explanation, portfolio, order_log, bars, written_s };
        outputs.next_orders(account)?;
        Ok(outputs)
    }

    /// Writes what was decided. Returns the lines of the new orders, as `order_log.csv` has them.
    pub(crate) fn decided(
        &mut self,
        account: &PaperAccount,
        decided: &[Decided],
    ) -> Result<String> {
        let Some([record, benchmark]) = account.desk().records() else { return Ok(String::new()) };
        self.next_orders(account)?;
        let rows = portfolio_csv::rows(record, &benchmark.equity, self.bars);
        self.bars = record.end_s.len();
        let lines: String = decided.iter().map(|one| orders::rows(&self.stocks, &one.0)).collect();
        let written = self.portfolio.write_all(rows.as_bytes());
        let written = written.and_then(|()| self.order_log.write_all(lines.as_bytes()));
        written
            .with_context(|| format!("{}: cannot be written", self.folder.path("").display()))?;
        Ok(lines)
    }

    fn next_orders(&self, account: &PaperAccount) -> Result<()> {
        orders::write(&self.folder, &self.stocks, account.desk().next_orders())?;
        Ok(())
    }

    /// Whether a session is over of which not all is in the files that are written now and then.
    pub(crate) fn is_session_over(&self, account: &PaperAccount) -> bool {
        let Some([record, _]) = account.desk().records() else { return false };
        let Some(&last_s) = record.end_s.last() else { return false };
        let (date, market) = (market_date(last_s), calendar::market());
        let is_closed = last_s >= market.usual_session(date).close_s;
        // The last bar of an earlier day may never come.
        let day_s = market.extended_session(date).open_s;
        let earlier = record.end_s.partition_point(|&end_s| end_s <= day_s);
        let over_s = if is_closed { Some(&last_s) } else { record.end_s[..earlier].last() };
        over_s.is_some_and(|&over_s| self.written_s < Some(over_s))
    }

    /// Writes the files that are whole only now and then: at the end of a session, and of the
    /// command. `notices`: what a reader must know; `summary`: of what came of the account so far.
    pub(crate) fn close(
        &mut self,
        account: &PaperAccount,
        config: &RunConfig,
        notices: &[&String],
        summary: impl FnOnce(&EvaluationResult) -> Value,
    ) -> Result<()> {
        let Some(result) = account.desk().so_far() else { return Ok(()) };
        let mandate = account.desk().mandate();
        allocations_csv::write(&self.folder, &self.stocks, &result.allocations)?;
        let costs = Costs::new(&mandate.env);
        let decided_by = DecidedBy::Experts(&result.allocations);
        Trades::write(&[Trades::new(&result.record, decided_by, &costs)], &self.folder)?;
        let text = serde_json::to_string_pretty(&summary(&result))?;
        self.folder.write_whole(SUMMARY, text.as_bytes())?;
        let (explanation, dqn) = (&self.explanation, account.desk().dqn());
        let report = PaperReport { config, result: &result, dqn, explanation, notices };
        report.write(&self.folder)?;
        self.written_s = account.last_s();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_left_is_swept_and_the_rest_stays() {
        let place = tempfile::tempdir().unwrap();
        let left = ["allocations", "trades", "summary", "report", "orders", "order_log"];
        let left = left.map(|stem| format!("{stem}{WRITING}NWYyDQ"));
        let others = [
            "allocations.csv",
            "journal.jsonl",
            "notes.writing-NWYyDQ",
            "policy.writing-NWYyDQ",
            "summary.writing-tips.md",
        ];
        for name in left.iter().map(String::as_str).chain(others) {
            std::fs::write(place.path().join(name), "half").unwrap();
        }
        sweep(place.path()).unwrap();
        assert!(left.iter().all(|name| !place.path().join(name).exists()));
        assert!(others.iter().all(|name| place.path().join(name).exists()));
        assert!(sweep(&place.path().join("nowhere")).is_err());
    }

    #[test]
    fn a_file_that_is_being_written_has_a_name_that_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let whole = crate::files::WholeFile::begin(&place.path().join(PORTFOLIO)).unwrap();
        let name = whole.temporary().file_name().unwrap().to_str().unwrap();
        assert!(is_left(name), "{name}");
    }
}
