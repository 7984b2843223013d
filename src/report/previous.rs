//! The run before this one, and what is not as it was then, in the report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::folder::EARLIER;
use super::format::{growth, percent, ratio};
use super::page::table;
use super::summary::Summary;
use crate::config::{RunConfig, settings_by_key};
use crate::eval::inference::Inference;
use crate::eval::metrics::Metrics;

/// Settings that are shown, at most.
const MAX_SETTINGS: usize = 40;

/// A finished run that was moved aside when this one began.
pub(crate) struct PreviousRun {
    /// Its folder, below that of this run.
    place: String,
    settings: BTreeMap<String, String>,
    eval: Value,
    verdict: String,
}

impl PreviousRun {
    /// The last run that was moved aside in `output`; None if there is none with an evaluation that
    /// can be read.
    pub(crate) fn of(output: &Path) -> Option<PreviousRun> {
        let entries = fs::read_dir(output.join(EARLIER)).ok()?.flatten();
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
        let last = entries.filter_map(number).max()?;
        let place = format!("{EARLIER}/{last}");
        let folder = output.join(&place);
        let summary = fs::read(folder.join(Summary::NAME)).ok()?;
        let summary: Value = serde_json::from_slice(&summary).ok()?;
        let config = fs::read_to_string(folder.join("config.toml")).ok()?;
        Some(PreviousRun {
            place,
            settings: settings_by_key(toml::from_str(&config).ok()?),
            eval: Some(&summary["eval"]).filter(|eval| eval.is_object())?.clone(),
            verdict: summary["inference"]["verdict"].as_str().unwrap_or("-").into(),
        })
    }

    /// The report's section, beside what this run has.
    pub(super) fn section(
        &self,
        config: &RunConfig,
        eval: &Metrics,
        inference: &Inference,
    ) -> String {
        let then = |key: &str, show: fn(f64) -> String| {
            self.eval[key].as_f64().map_or("-".to_string(), show)
        };
        let row = |name: &str, then: String, now: String| vec![name.to_string(), then, now];
        let mut rows = vec![
            row("Return", then("portfolio_return", growth), growth(eval.portfolio_return)),
            row("Sharpe ratio", then("sharpe", ratio), eval.sharpe.map_or("-".into(), ratio)),
            row("Maximum drawdown", then("max_drawdown", percent), percent(eval.max_drawdown)),
            row("Verdict", self.verdict.clone(), inference.verdict.words().into()),
        ];
        let now = toml::Table::try_from(config).map(settings_by_key).unwrap_or_default();
        let keys: BTreeSet<&String> = self.settings.keys().chain(now.keys()).collect();
        let of = |of: &BTreeMap<String, String>, key: &String| {
            of.get(key).cloned().unwrap_or_else(|| "-".into())
        };
        let all = keys.into_iter().map(|key| (key, of(&self.settings, key), of(&now, key)));
        let differing: Vec<_> = all.filter(|(_, then, now)| then != now).collect();
        let count = differing.len();
        rows.extend(
            differing.into_iter().take(MAX_SETTINGS).map(|(key, then, now)| row(key, then, now)),
        );
        let said = match count {
            0 => "The settings are the same.".to_string(),
            1..=MAX_SETTINGS => "Below the figures: the settings that differ.".to_string(),
            _ => format!("Below the figures: {MAX_SETTINGS} of {count} settings that differ."),
        };
        let head = ["", "last run", "this run"].map(String::from);
        format!(
            "<h2>Since the last run</h2>\n{}<p class=\"explained\">The last run is in {}. {said} \
             <code>dqn-trader compare</code> tells whether the difference is luck.</p>\n",
            table("Since the last run", &head, &rows),
            self.place
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn figures_and_settings_stand_beside_those_of_the_newest_run() {
        let place = tempfile::tempdir().unwrap();
        assert!(PreviousRun::of(place.path()).is_none());
        let mut example = example::run(2, 400);
        let save = |number: &str, fee_bps: f64, sharpe: f64| {
            let folder = place.path().join(EARLIER).join(number);
            fs::create_dir_all(&folder).unwrap();
            let mut config = example.config.clone();
            config.env.fee_bps = fee_bps;
            fs::write(folder.join("config.toml"), toml::to_string(&config).unwrap()).unwrap();
            let summary = serde_json::json!({
                "eval": { "portfolio_return": 0.05, "sharpe": sharpe, "max_drawdown": -0.2 },
                "inference": { "verdict": "evidence of an edge" },
            });
            fs::write(folder.join("summary.json"), summary.to_string()).unwrap();
        };
        save("9", 7.0, 9.0);
        save("10", 1.5, 1.25);
        example.eval.sharpe = Some(-0.5);
        let previous = PreviousRun::of(place.path()).unwrap();
        let page = previous.section(&example.config, &example.eval, &example.inference);
        let now = growth(example.eval.portfolio_return);
        let rows = example::body_cells(&page);
        assert_eq!(rows[0][..2], ["Return", "+5.0%"]);
        assert_eq!(rows[0][2], super::super::format::minus(&now));
        assert_eq!(rows[1], ["Sharpe ratio", "1.25", "−0.50"]);
        assert_eq!(rows[3], ["Verdict", "evidence of an edge", "no evidence of an edge"]);
        assert_eq!(rows[4..], [["env.fee_bps", "1.5", "1.0"]]);
        fs::write(place.path().join("earlier/10/summary.json"), "{ damaged").unwrap();
        assert!(PreviousRun::of(place.path()).is_none());
    }
}
