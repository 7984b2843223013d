//! What a study leaves behind: `study.json`, `runs.csv`, `portfolio.csv`, `report.html`, and its
//! closing table.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use super::contributions::money;
use super::folder::{ReportError, ResultsFolder};
use super::format::{aligned, count, counted, growth, minus, percent, ratio, wrapped};
use super::page::{escape, figure, names, page, table};
use super::plot::seeds_svg;
use super::verdict::verdict;
use super::{drawdowns, months, portfolio_csv, significance};
use crate::config::RunConfig;
use crate::eval::metrics::Metrics;
use crate::eval::parts::DataPart;
use crate::market::Period;
use crate::study::outcome::{FoldSummary, ProfitPart, RunsSummary, StudyAccounts, StudyOutcome};
use crate::study::plan::{RunResult, StudyPlan};
use crate::study::statistics::RunsEstimate;

/// Settings that the closing table names; all are in `study.json` and in the report.
const MAX_SETTINGS: usize = 20;

const SETTING_COLUMNS: [&str; 6] = ["", "runs", "return", "interval", "Sharpe", "interval"];

/// What the rows and columns mean.
const EXPLAINED: &str = "Interquartile means over folds and seeds of a fold's test days, portfolio \
                         after costs, with 95% intervals (stratified bootstrap over seeds). chosen: \
                         in each fold the setting that was best on its own validation days.";

const FOLD_COLUMNS: [&str; 6] = ["", "test days", "setting", "return", "seeds", "buy and hold"];

/// All that is written of a finished study.
pub(crate) struct StudyReport<'a> {
    pub(crate) plan: &'a StudyPlan,
    pub(crate) outcome: &'a StudyOutcome,
    pub(crate) accounts: &'a StudyAccounts,
    pub(crate) runs: &'a [&'a RunResult],
}

impl StudyReport<'_> {
    /// Writes all files; returns their paths.
    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<Vec<PathBuf>, ReportError> {
        let json = serde_json::to_string_pretty(self.outcome).map_err(|cause| {
            ReportError::new(folder.path("study.json"), "cannot write", io::Error::from(cause))
        })?;
        let StudyAccounts { mean, benchmark, .. } = self.accounts;
        Ok(vec![
            folder.path("config.toml"),
            folder.write_whole("study.json", format!("{json}\n").as_bytes())?,
            folder.write_whole("runs.csv", self.runs_csv().as_bytes())?,
            portfolio_csv::write(folder, "portfolio.csv", mean, &benchmark.equity)?,
            folder.write_whole("report.html", self.page().as_bytes())?,
        ])
    }

    /// One row per run.
    fn runs_csv(&self) -> String {
        let mut text = String::from(
            "fold,seed,setting,train_start,train_end,test_start,test_end,is_chosen,is_believed,\
             validation_sharpe,portfolio_return,portfolio_sharpe,max_drawdown,turnover,\
             benchmark_return,benchmark_sharpe,dqn_training_return,dqn_validation_return,\
             dqn_test_return\n",
        );
        let shown = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        for run in self.runs {
            let fold = self.plan.folds[run.id.fold];
            let part = |part: DataPart| {
                let found = run.parts.iter().find(|found| found.part == part);
                shown(found.map(|found| found.dqn.portfolio_return))
            };
            let cells = [
                (run.id.fold + 1).to_string(),
                self.plan.base.seed.wrapping_add(run.id.seed as u64).to_string(),
                (run.id.setting + 1).to_string(),
                fold.train.start.to_string(),
                fold.train.end.to_string(),
                fold.test.start.to_string(),
                fold.test.end.to_string(),
                (self.outcome.folds[run.id.fold].chosen == run.id.setting).to_string(),
                run.is_believed.to_string(),
                shown(run.validation),
                run.metrics.portfolio_return.to_string(),
                shown(run.metrics.sharpe),
                run.metrics.max_drawdown.to_string(),
                run.metrics.turnover.to_string(),
                run.benchmark_metrics.portfolio_return.to_string(),
                shown(run.benchmark_metrics.sharpe),
                part(DataPart::Training),
                part(DataPart::Validation),
                part(DataPart::Evaluation),
            ];
            text += &cells.join(",");
            text.push('\n');
        }
        text
    }

    fn page(&self) -> String {
        let StudyReport { plan, outcome, accounts, .. } = self;
        let (first, last) = (&plan.folds[0], &plan.folds[plan.folds.len() - 1]);
        let period = Period { start: first.test.start, end: last.test.end };
        let said = verdict(period, &outcome.eval, &outcome.benchmark, &outcome.inference);
        let notices: String = outcome
            .notices
            .iter()
            .map(|notice| format!("<p class=\"note\">{}</p>\n", escape(notice)))
            .collect();
        let stocks = names(&outcome.stocks);
        let header = format!(
            "<header>\n<p class=\"over\">dqn-trader: a study of {}, {}, {}, {}</p>\n\
             <h1>{}</h1>\n<p>{}</p>\n{notices}</header>\n",
            escape(&stocks),
            counted(plan.folds.len(), "fold"),
            counted(plan.seeds(), "seed"),
            counted(plan.settings.len(), "setting"),
            escape(&said.headline),
            minus(&escape(&said.text)),
        );
        let seeds: Vec<&[f64]> = accounts.seeds.iter().map(|seed| &seed.equity[..]).collect();
        let StudyAccounts { mean, benchmark, .. } = accounts;
        let svg = |screen| seeds_svg(&mean.end_s, &seeds, &mean.equity, &benchmark.equity, screen);
        let caption = "Every fold trains anew and trades the days after; here they follow one \
                       another. The mean divides the capital equally among the seeds, and is \
                       what the verdict is about.";
        let label = "Return of every seed, of their mean and of buy-and-hold over time";
        let equity = format!("<h2>All seeds</h2>\n{}", figure("", label, caption, svg));
        let sections = [
            header,
            equity,
            months::heat_map(mean),
            drawdowns::section(mean),
            significance::section(&outcome.inference),
            table_section("Settings", &SETTING_COLUMNS, self.setting_rows(), EXPLAINED),
            table_section("Folds", &FOLD_COLUMNS, fold_rows(outcome), ""),
            self.parts(),
            profits("Profit by expert", &outcome.experts),
            profits("Profit by stock", &outcome.by_stock),
            self.settings(),
        ];
        page(&format!("{stocks}: study"), &sections.concat())
    }

    /// With what each of them sets.
    fn setting_rows(&self) -> Vec<[String; SETTING_COLUMNS.len()]> {
        let mut rows = setting_rows(self.outcome);
        for (row, summary) in rows[1..].iter_mut().zip(&self.outcome.settings) {
            row[0] += &format!(": {}", summary.setting.join(" "));
        }
        rows
    }

    fn parts(&self) -> String {
        let columns = ["", "training", "validation", "test"];
        let row = |name: String, summary: &RunsSummary| {
            let cell = |estimate: &Option<RunsEstimate>| {
                estimate.map_or("-".into(), |estimate| ratio(estimate.iqm))
            };
            let [training, validation, test] = &summary.dqn_bps_per_day;
            [name, cell(training), cell(validation), cell(test)]
        };
        let mut rows = vec![row("chosen".into(), &self.outcome.chosen)];
        if self.outcome.settings.len() > 1 {
            let all = self.outcome.settings.iter().enumerate();
            rows.extend(all.map(|(i, summary)| row((i + 1).to_string(), summary)));
        }
        let explained = "The DQN alone, in and out of sample: log growth in basis points per trading \
                         day, interquartile means over runs.";
        table_section("The DQN alone", &columns, rows, explained)
    }

    fn settings(&self) -> String {
        let saved = RunConfig { study: Some(self.plan.study.clone()), ..self.plan.base.clone() };
        let all = toml::to_string_pretty(&saved).unwrap_or_default();
        format!(
            "<h2>All settings</h2>\n<details><summary>config.toml</summary>\n<pre tabindex=\"0\">{}</pre></details>\n",
            escape(&all)
        )
    }
}

/// The end of the program's output: settings, folds, the verdict and the files.
pub(crate) fn closing(outcome: &StudyOutcome, written: &[impl AsRef<Path>]) -> String {
    let head = |columns: [&str; 6]| columns.map(String::from);
    let mut rows = vec![head(SETTING_COLUMNS)];
    rows.extend(setting_rows(outcome).into_iter().take(1 + MAX_SETTINGS));
    let mut text = aligned(&rows);
    if outcome.settings.len() > 1 {
        for (i, summary) in outcome.settings.iter().take(MAX_SETTINGS).enumerate() {
            let _ = writeln!(text, "{}: {}", i + 1, summary.setting.join(" "));
        }
    }
    text += &format!("\n{}\n\n", wrapped(EXPLAINED, 80));
    let mut rows = vec![head(FOLD_COLUMNS)];
    rows.extend(fold_rows(outcome));
    text += &aligned(&rows);
    let whole = |name: &str, metrics: &Metrics| {
        let sharpe = metrics.sharpe.map_or("-".into(), ratio);
        let drawdown = percent(metrics.max_drawdown);
        [name.into(), growth(metrics.portfolio_return), sharpe, drawdown]
    };
    let rows = [
        ["all folds", "return", "Sharpe", "max DD"].map(String::from),
        whole("mean of the seeds", &outcome.eval),
        whole("buy and hold", &outcome.benchmark),
    ];
    text += &format!("\n{}\n", aligned(&rows));
    text += &significance::lines(&outcome.inference);
    text.push_str("\nwritten:\n");
    for path in written {
        let _ = writeln!(text, "  {}", path.as_ref().display());
    }
    text
}

/// The chosen ones first; then each, where there are several.
fn setting_rows(outcome: &StudyOutcome) -> Vec<[String; SETTING_COLUMNS.len()]> {
    let row = |name: String, summary: &RunsSummary| {
        let cells = |estimate: Option<RunsEstimate>, show: fn(f64) -> String| {
            let Some(RunsEstimate { iqm, interval, .. }) = estimate else {
                return ["-".to_string(), "-".to_string()];
            };
            let interval = interval
                .map_or("-".into(), |[low, high]| format!("{} to {}", show(low), show(high)));
            [show(iqm), interval]
        };
        let [test_return, return_interval] = cells(summary.test_return, growth);
        let [sharpe, sharpe_interval] = cells(summary.sharpe, ratio);
        let runs = count(summary.runs as u64);
        [name, runs, test_return, return_interval, sharpe, sharpe_interval]
    };
    let mut rows = vec![row("chosen".into(), &outcome.chosen)];
    if outcome.settings.len() > 1 {
        let all = outcome.settings.iter().enumerate();
        rows.extend(all.map(|(i, summary)| row((i + 1).to_string(), summary)));
    }
    rows
}

fn fold_rows(outcome: &StudyOutcome) -> Vec<[String; FOLD_COLUMNS.len()]> {
    let row = |(i, fold): (usize, &FoldSummary)| {
        let [low, high] = fold.range;
        [
            (i + 1).to_string(),
            fold.fold.test.to_string(),
            (fold.chosen + 1).to_string(),
            growth(fold.test_return),
            format!("{} to {}", growth(low), growth(high)),
            growth(fold.benchmark_return),
        ]
    };
    outcome.folds.iter().enumerate().map(row).collect()
}

fn profits(title: &str, parts: &[ProfitPart]) -> String {
    let rows = parts.iter().map(|part| [part.name.clone(), money(part.profit)]);
    let explained = "Over all folds, mean over seeds, in currency; every fold begins with the \
                     initial cash.";
    table_section(title, &["", "profit"], rows.collect(), explained)
}

fn table_section<const N: usize>(
    title: &str,
    columns: &[&str; N],
    rows: Vec<[String; N]>,
    explained: &str,
) -> String {
    let head = columns.map(String::from);
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    let shown = table(title, &head, &rows);
    format!("<h2>{title}</h2>\n{shown}<p class=\"explained\">{explained}</p>\n")
}
