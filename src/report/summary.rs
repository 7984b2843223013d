//! `summary.json`: the run in numbers. Fields stand in the order of the structs; an undefined value
//! is null.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::eval::comparison::Contender;
use crate::eval::contributions::Contributions;
use crate::eval::inference::{Inference, Trial};
use crate::eval::metrics::Metrics;
use crate::eval::parts::PartResult;
use crate::features::relations::opportunity::PairTests;
use crate::market::Symbol;
use crate::portfolio::risk::Reason;

use super::folder::{EARLIER, ReportError, ResultsFolder};
use super::format::count;

/// Tests of pairs in both periods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeriodTests {
    pub(crate) train: PairTests,
    pub(crate) eval: PairTests,
}

impl PeriodTests {
    /// What is said of them, also where nothing was found.
    pub(crate) fn sentence(&self) -> String {
        let of = |name: &str, PairTests { pairs, tests, passed }: PairTests| {
            let found = if passed == 0 { "none".into() } else { count(passed) };
            format!("{name} {} pairs in {} tests, {found} believed", count(pairs), count(tests))
        };
        let [train, eval] = [of("training:", self.train), of("evaluation:", self.eval)];
        format!("Cointegrated pairs: {train}; {eval}.")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunSummary {
    pub(crate) seed: u64,
    pub(crate) stocks: Vec<Symbol>,
    pub(crate) env_steps: u64,
    /// Of every stock, where each goes at its own pace; empty in lockstep.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env_steps_by_stock: BTreeMap<Symbol, u64>,
    pub(crate) gradient_steps: u64,
    /// From the first environment step to the last evaluation's end.
    pub(crate) wall_s: f64,
    /// Over the whole run, evaluations left out.
    pub(crate) env_steps_per_s: f64,
    /// Orders that the risk rules changed in training, by reason.
    pub(crate) orders_changed: BTreeMap<Reason, u64>,
    /// How often pairs were tested for cointegration.
    #[serde(default)]
    pub(crate) pair_tests: PeriodTests,
    /// What a reader must know before believing a figure, such as that the prices are made up.
    pub(crate) notices: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) run: RunSummary,
    /// The last evaluation's greedy policy, after costs; None where the run was stopped before
    /// there was one.
    pub(crate) eval: Option<Metrics>,
    /// Equal-weight buy-and-hold over the same bars and costs.
    pub(crate) benchmark: Option<Metrics>,
    /// Whether `eval` is more than luck.
    pub(crate) inference: Option<Inference>,
    /// All who might have traded the same bars, the portfolio and buy-and-hold among them.
    #[serde(default)]
    pub(crate) everyone: Vec<Contender>,
    /// The DQN alone where it learned, where it was selected, and in the evaluation.
    #[serde(default)]
    pub(crate) parts: Vec<PartResult>,
    /// What each expert contributed to the profit of `eval`, by stock.
    #[serde(default)]
    pub(crate) contributions: Option<Contributions>,
}

impl Summary {
    pub(crate) const NAME: &str = "summary.json";

    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<PathBuf, ReportError> {
        let text = serde_json::to_string_pretty(self).map_err(|cause| {
            ReportError::new(folder.path(Summary::NAME), "cannot write", io::Error::from(cause))
        })?;
        folder.write_whole(Summary::NAME, format!("{text}\n").as_bytes())
    }
}

/// The evaluations of the run whose files stand in `folder`: none where it has no summary, an
/// unknown one where that cannot be read, since some were made nevertheless.
pub(crate) fn trials_of(folder: &Path) -> Vec<Trial> {
    let text = match fs::read(folder.join(Summary::NAME)) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(_) => return vec![Trial::unknown()],
        Ok(text) => text,
    };
    let Ok(summary) = serde_json::from_slice::<serde_json::Value>(&text) else {
        return vec![Trial::unknown()];
    };
    let listed = &summary["inference"]["trials"]["own"];
    if summary["eval"].is_null() && listed.is_null() {
        return Vec::new();
    }
    let only = Trial { sharpe: summary["eval"]["sharpe"].as_f64(), ..Trial::unknown() };
    serde_json::from_value(listed.clone()).unwrap_or_else(|_| vec![only])
}

/// The evaluations of all runs that were moved aside in `output`. A folder that cannot be listed
/// has none.
pub(crate) fn trials_before(output: &Path) -> Vec<Trial> {
    let entries = fs::read_dir(output.join(EARLIER)).into_iter().flatten().flatten();
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    runs.sort();
    runs.iter().flat_map(|run| trials_of(run)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn trials_of_runs_moved_aside_are_found() {
        let place = tempfile::tempdir().unwrap();
        let example = example::run(2, 400);
        let own = example.inference.trials.own.clone();
        for _ in 0..3 {
            let folder = ResultsFolder::create(place.path()).unwrap();
            let summary = Summary {
                run: example.run.clone(),
                eval: Some(example.eval.clone()),
                benchmark: None,
                inference: Some(example.inference.clone()),
                everyone: Vec::new(),
                parts: Vec::new(),
                contributions: None,
            };
            summary.write(&folder).unwrap();
        }
        assert_eq!(trials_of(place.path()).len(), 1);
        let found = trials_before(place.path());
        assert_eq!(found.len(), 2);
        assert!((found[0].sharpe.unwrap() - own[0].sharpe.unwrap()).abs() < 1e-12);
        assert!(found[0].timing_score.is_some() && found[0].episode == Some(10));

        let first = place.path().join("earlier/1/summary.json");
        let trials_with = |text: &str| {
            fs::write(&first, text).unwrap();
            trials_before(place.path())[..1].to_vec()
        };
        assert_eq!(trials_with("{ damaged"), [Trial::unknown()]);
        let without_inference = trials_with(r#"{"eval": {"sharpe": 1.5}}"#);
        assert_eq!(without_inference, [Trial { sharpe: Some(1.5), ..Trial::unknown() }]);
        fs::write(&first, r#"{"eval": null, "inference": null}"#).unwrap();
        assert_eq!(trials_before(place.path()).len(), 1, "a run without an evaluation");
        assert_eq!(trials_before(&place.path().join("nowhere")), []);
    }

    #[test]
    fn fields_are_ordered_and_undefined_is_null() {
        let example = example::run(2, 50);
        let summary = Summary {
            run: example.run,
            eval: Some(Metrics { sharpe: None, ..example.eval }),
            benchmark: Some(example.benchmark.clone()),
            inference: Some(example.inference),
            everyone: example.everyone[..2].to_vec(),
            parts: example.parts[..1].to_vec(),
            contributions: Some(example.contributions),
        };
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(place.path()).unwrap();
        let text = std::fs::read_to_string(summary.write(&folder).unwrap()).unwrap();
        let keys: Vec<&str> = text.lines().filter_map(|line| line.split('"').nth(1)).collect();
        #[rustfmt::skip]
        let metrics = ["total_reward", "portfolio_return", "sharpe", "sortino", "calmar",
            "max_drawdown", "volatility", "turnover", "trades", "exposure"];
        let estimate = ["value", "low", "high", "block_days"];
        let inference = [
            &["inference", "verdict", "p_value", "days", "sharpe"][..],
            &estimate,
            &["excess_sharpe"],
            &estimate,
            &[
                "probabilistic_sharpe",
                "deflated_sharpe",
                "timing",
                "clock",
                "trials",
                "count",
                "earlier",
            ],
            &["sharpe_hurdle", "timing_hurdle", "own", "episode", "sharpe", "timing_score"],
        ]
        .concat();
        #[rustfmt::skip]
        let run = ["run", "seed", "stocks", "AAPL", "MSFT", "env_steps", "gradient_steps", "wall_s",
            "env_steps_per_s", "orders_changed", "gross_limit", "pair_tests", "train", "pairs", "tests",
            "passed", "eval", "pairs", "tests", "passed", "notices"];
        let contender = ["name", "role", "metrics"];
        let everyone = [
            &["everyone"],
            &contender[..],
            &metrics,
            &["costs", "sharpe"],
            &estimate,
            &contender,
            &["costs", "sharpe", "error"],
        ]
        .concat();
        let parts =
            [&["parts", "part", "start", "end", "dqn"][..], &metrics, &["benchmark"], &metrics]
                .concat();
        #[rustfmt::skip]
        let expert = ["name", "mean_weight", "profit"];
        let stock = ["stock", "profit", "by_expert", "other"];
        let contributions = [
            &["contributions", "experts"],
            &expert[..],
            &expert,
            &expert,
            &["stocks"],
            &stock,
            &stock,
            &["regret", "best_expert", "regret", "bound", "periods"],
        ]
        .concat();
        let expected: Vec<&str> = [
            &run[..],
            &["eval"],
            &metrics,
            &["benchmark"],
            &metrics,
            &inference,
            &everyone,
            &parts,
            &contributions,
        ]
        .concat();
        assert_eq!(keys, expected);
        assert!(text.contains("\"sharpe\": null"), "{text}");
        let shown = format!("\"portfolio_return\": {},", example.benchmark.portfolio_return);
        assert!(text.contains(&shown), "{shown} in {text}");
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap().run, summary.run);
    }
}
