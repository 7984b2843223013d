//! `summary.json`: the run in numbers. Fields stand in the order of the structs; an undefined value
//! is null.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::eval::metrics::Metrics;
use crate::market::Symbol;
use crate::portfolio::risk::Reason;

use super::folder::{ReportError, ResultsFolder};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub seed: u64,
    pub stocks: Vec<Symbol>,
    pub env_steps: u64,
    pub gradient_steps: u64,
    /// From the first environment step to the last evaluation's end.
    pub wall_s: f64,
    /// Over the whole run, evaluations left out.
    pub env_steps_per_s: f64,
    /// Orders that the risk rules changed in training, by reason.
    pub orders_changed: BTreeMap<Reason, u64>,
    /// What a reader must know before believing a figure, such as that the prices are made up.
    pub notices: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub run: RunSummary,
    /// The last evaluation's greedy policy, after costs; None where the run was stopped before
    /// there was one.
    pub eval: Option<Metrics>,
    /// Equal-weight buy-and-hold over the same bars and costs.
    pub benchmark: Option<Metrics>,
}

impl Summary {
    pub const NAME: &str = "summary.json";

    pub fn write(&self, folder: &ResultsFolder) -> Result<PathBuf, ReportError> {
        let text = serde_json::to_string_pretty(self).map_err(|cause| {
            ReportError::new(folder.path(Summary::NAME), "cannot write", io::Error::from(cause))
        })?;
        folder.write_whole(Summary::NAME, format!("{text}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn fields_are_ordered_and_undefined_is_null() {
        let example = example::run(2, 50);
        let summary = Summary {
            run: example.run,
            eval: Some(Metrics { sharpe: None, ..example.eval }),
            benchmark: Some(example.benchmark.clone()),
        };
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(place.path()).unwrap();
        let text = std::fs::read_to_string(summary.write(&folder).unwrap()).unwrap();
        let keys: Vec<&str> = text.lines().filter_map(|line| line.split('"').nth(1)).collect();
        #[rustfmt::skip]
        let metrics = ["total_reward", "portfolio_return", "sharpe", "sortino", "calmar",
            "max_drawdown", "volatility", "turnover", "trades", "exposure"];
        #[rustfmt::skip]
        let run = ["run", "seed", "stocks", "AAPL", "MSFT", "env_steps", "gradient_steps", "wall_s",
            "env_steps_per_s", "orders_changed", "gross_limit", "notices"];
        let expected: Vec<&str> =
            [&run[..], &["eval"], &metrics, &["benchmark"], &metrics].concat();
        assert_eq!(keys, expected);
        assert!(text.contains("\"sharpe\": null"), "{text}");
        let shown = format!("\"portfolio_return\": {},", example.benchmark.portfolio_return);
        assert!(text.contains(&shown), "{shown} in {text}");
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap().run, summary.run);
    }
}
