//! `report.html` of an account on paper: as for an evaluation, without a verdict.

use std::path::PathBuf;

use super::account::{Account, MAX_PRICES};
use super::folder::{ReportError, ResultsFolder};
use super::format::{minus, signed_percent};
use super::html::HtmlReport;
use super::page::{columns, escape, names, page};
use super::run_explanation::RunExplanation;
use super::trades::DecidedBy;
use super::{experts, figures, orders, settings};
use crate::config::RunConfig;
use crate::env::costs::Costs;
use crate::eval::metrics::BacktestRecord;
use crate::market::calendar::market_date;
use crate::train::evaluation::EvaluationResult;

/// All that the page shows.
pub(crate) struct PaperReport<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) result: &'a EvaluationResult,
    /// The account of the DQN alone.
    pub(crate) dqn: Option<&'a BacktestRecord>,
    pub(crate) explanation: &'a RunExplanation,
    /// What a reader must know before believing a figure.
    pub(crate) notices: &'a [&'a String],
}

impl PaperReport<'_> {
    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<PathBuf, ReportError> {
        folder.write_whole(HtmlReport::NAME, self.page().as_bytes())
    }

    fn page(&self) -> String {
        let PaperReport { config, result, .. } = self;
        let EvaluationResult { record, benchmark, allocations, contributions, .. } = result;
        let account = Account {
            id: "equity",
            record,
            benchmark,
            dqn: self.dqn,
            decided_by: DecidedBy::Experts(allocations),
            trips: None,
            costs: Costs::new(&config.env),
        };
        let sections = [
            self.header(),
            account.equity(),
            account.months(),
            orders::section(record, &result.next_orders),
            figures::section(&result.metrics, &result.benchmark_metrics, account.costs_paid()),
            experts::section(record, allocations, contributions, &config.env),
            account.activity(),
            columns([account.drawdowns(), account.trades()]),
            account.prices(MAX_PRICES),
            self.explanation.sections(&config.stocks),
            settings::section(config),
        ];
        page(&format!("{} on paper", names(&config.stocks)), &sections.concat())
    }

    fn header(&self) -> String {
        let EvaluationResult { record, benchmark, .. } = self.result;
        let [first, last] = [record.end_s.first(), record.end_s.last()]
            .map(|end_s| end_s.map_or("-".into(), |&end_s| market_date(end_s).to_string()));
        let growth = |equity: &[f64]| match equity {
            [first, .., last] => signed_percent(last / first - 1.0),
            _ => signed_percent(0.0),
        };
        let note = |notice: &&String| format!("<p class=\"note\">{}</p>\n", escape(notice));
        let notices: String = self.notices.iter().map(note).collect();
        let [account, held] = [&record.equity, &benchmark.equity].map(|equity| growth(equity));
        format!(
            "<header>\n<p class=\"over\">dqn-trader: {}, on paper from {first} to {last}</p>\n\
             <h1>{}, buy and hold {}</h1>\n<p>After costs. No order was sent anywhere. Whether this is more \
             than luck is not said here: dqn-trader evaluate counts the trials.</p>\n{notices}</header>\n",
            escape(&names(&self.config.stocks)),
            minus(&account),
            minus(&held),
        )
    }
}
