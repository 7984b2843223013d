//! Runs side by side: a table, `comparison.json` and a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::folder::{ReportError, ResultsFolder};
use super::format::{aligned, growth, percent, ratio, wrapped, wrapped_at};
use super::page::{figure, page, table};
use super::plot::compared_svg;
use super::portfolio_csv::EquityRow;
use crate::eval::paired::PairedDifference;

const COLUMNS: [&str; 6] = ["", "return", "Sharpe", "interval", "max DD", "verdict"];
const DIFFERENCE_COLUMNS: [&str; 6] =
    ["over the first", "days", "per year", "Sharpe", "interval", "p"];

/// What the second table is.
const EXPLAINED: &str = "over the first: daily returns less those of the first run on the days \
                         that both have; p: how often a difference as large, either way, is luck \
                         (two-sided, not corrected for how many runs are compared).";

/// A finished run or study.
pub(crate) struct ComparedRun {
    /// Its folder.
    pub(crate) name: String,
    /// By key, as in `config.toml`.
    pub(crate) settings: BTreeMap<String, String>,
    /// Figures of its account, as in its `summary.json` or `study.json`.
    pub(crate) eval: Value,
    /// The Sharpe ratio with its interval.
    pub(crate) sharpe: Value,
    pub(crate) verdict: String,
    pub(crate) equity: Vec<EquityRow>,
}

/// Two runs or more.
pub(crate) struct RunComparison {
    pub(crate) runs: Vec<ComparedRun>,
    /// Of each run after the first, over the first.
    pub(crate) differences: Vec<PairedDifference>,
}

impl RunComparison {
    /// Settings that are not the same in all runs: key, then a value per run, `-` where it has none.
    fn differing(&self) -> Vec<(&str, Vec<&str>)> {
        let keys: BTreeSet<&str> =
            self.runs.iter().flat_map(|run| run.settings.keys()).map(String::as_str).collect();
        let values = |key: &'_ str| -> Vec<&str> {
            self.runs.iter().map(|run| run.settings.get(key).map_or("-", String::as_str)).collect()
        };
        let all = keys.into_iter().map(|key| (key, values(key)));
        all.filter(|(_, values)| values.iter().any(|value| value != &values[0])).collect()
    }

    fn figures(&self) -> Vec<[String; COLUMNS.len()]> {
        let number =
            |value: &Value, show: fn(f64) -> String| value.as_f64().map_or("-".to_string(), show);
        let row = |run: &ComparedRun| {
            let ends = [&run.sharpe["low"], &run.sharpe["high"]].map(Value::as_f64);
            let interval = match ends {
                [Some(low), Some(high)] => format!("{} to {}", ratio(low), ratio(high)),
                _ => "-".into(),
            };
            [
                run.name.clone(),
                number(&run.eval["portfolio_return"], growth),
                number(&run.eval["sharpe"], ratio),
                interval,
                number(&run.eval["max_drawdown"], percent),
                run.verdict.clone(),
            ]
        };
        self.runs.iter().map(row).collect()
    }

    fn paired(&self) -> Vec<[String; DIFFERENCE_COLUMNS.len()]> {
        let or_dash = |value: Option<f64>, show: fn(f64) -> String| value.map_or("-".into(), show);
        let row = |(run, found): (&ComparedRun, &PairedDifference)| {
            let interval = match (found.sharpe.low, found.sharpe.high) {
                (Some(low), Some(high)) => format!("{} to {}", ratio(low), ratio(high)),
                _ => "-".into(),
            };
            [
                run.name.clone(),
                found.days.to_string(),
                or_dash(found.per_year, growth),
                or_dash(found.sharpe.value, ratio),
                interval,
                or_dash(found.p_value, |p| format!("{p:.3}")),
            ]
        };
        self.runs[1..].iter().zip(&self.differences).map(row).collect()
    }

    /// Aligned text with the paths of the files.
    pub(crate) fn table(&self, written: &[PathBuf]) -> String {
        let with_head = |head: [&str; 6], rows: Vec<[String; 6]>| {
            aligned(&std::iter::once(head.map(String::from)).chain(rows).collect::<Vec<_>>())
        };
        let mut text = with_head(COLUMNS, self.figures());
        text += &format!("\n{}", with_head(DIFFERENCE_COLUMNS, self.paired()));
        text += &format!("\n{}\n\nsettings that differ\n", wrapped(EXPLAINED, 80));
        let differing = self.differing();
        if differing.is_empty() {
            text += "  none\n";
        }
        for (key, values) in differing {
            let line = wrapped_at(4, &format!("{key}: {}", values.join(" | ")), 80);
            let _ = writeln!(text, "  {line}");
        }
        if !written.is_empty() {
            text.push_str("\nwritten:\n");
        }
        for path in written {
            let _ = writeln!(text, "  {}", path.display());
        }
        text
    }

    /// Writes `comparison.json` and `report.html`.
    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<Vec<PathBuf>, ReportError> {
        let runs: Vec<Value> = self
            .runs
            .iter()
            .map(|run| {
                json!({
                    "run": run.name, "eval": run.eval, "sharpe": run.sharpe,
                    "verdict": run.verdict,
                })
            })
            .collect();
        let settings: BTreeMap<&str, Vec<&str>> = self.differing().into_iter().collect();
        let all = json!({
            "runs": runs, "settings": settings, "over_the_first": self.differences,
        });
        let text = serde_json::to_string_pretty(&all).map_err(|cause| {
            ReportError::new(folder.path("comparison.json"), "cannot write", io::Error::from(cause))
        })?;
        Ok(vec![
            folder.write_whole("comparison.json", format!("{text}\n").as_bytes())?,
            folder.write_whole("report.html", self.page().as_bytes())?,
        ])
    }

    fn page(&self) -> String {
        let curves: Vec<(&str, &[EquityRow])> =
            self.runs.iter().map(|run| (run.name.as_str(), &run.equity[..])).collect();
        let caption = "Each account and, thin, buy-and-hold over the bars of the first run.";
        let label = "Return of every run over time";
        let settings: Vec<Vec<String>> = self
            .differing()
            .into_iter()
            .map(|(key, values)| {
                std::iter::once(key).chain(values).map(String::from).collect::<Vec<_>>()
            })
            .collect();
        let names: Vec<String> = std::iter::once(String::new())
            .chain(self.runs.iter().map(|run| run.name.clone()))
            .collect();
        let rows = |rows: Vec<[String; 6]>| rows.into_iter().map(Vec::from).collect::<Vec<_>>();
        let heads = |head: [&str; 6]| head.map(String::from).to_vec();
        let content = format!(
            "<header>\n<h1>{} runs side by side</h1>\n</header>\n<h2>Figures</h2>\n{}\
             <h2>Accounts</h2>\n{}\
             <h2>Differences</h2>\n{}<p class=\"explained\">{EXPLAINED}</p>\n\
             <h2>Settings that differ</h2>\n{}",
            self.runs.len(),
            table("Figures", &heads(COLUMNS), &rows(self.figures())),
            figure("", label, caption, |screen| compared_svg(&curves, screen)),
            table("Differences", &heads(DIFFERENCE_COLUMNS), &rows(self.paired())),
            table("Settings that differ", &names, &settings),
        );
        page("comparison", &content)
    }
}
