//! The page of strategies side by side.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::bars::StrategyMarket;
use crate::env::costs::Costs;
use crate::eval::inference::{Inference, Verdict};
use crate::eval::metrics::BacktestRecord;
use crate::report::accounts::{AccountOnPage, AccountsReport};
use crate::report::members::EnsembleMembers;
use crate::report::strategies::{StrategyRow, page_table};
use crate::report::{ReportError, ResultsFolder, strategies};
use crate::runner::{EnsembleResult, RunResults, StrategyResult};
use crate::strategy::ensemble::EnsembleMethod;
use crate::wording::counted;

/// Writes `report.html` and `trades.csv` and returns their paths. `records` are of those that succeeded.
pub(super) fn write(
    folder: &ResultsFolder,
    market: &StrategyMarket,
    rows: &[StrategyRow],
    records: &[(String, &BacktestRecord)],
    (benchmark, notices): (&BacktestRecord, &[String]),
    results: &RunResults,
) -> Result<[PathBuf; 2], ReportError> {
    let judged = |name: &str| {
        rows.iter().find(|row| row.name == name).and_then(|row| row.inference.as_ref())
    };
    let accounts = records.iter().map(|(name, record)| AccountOnPage {
        name: name.clone(),
        said: judged(name).map(strategies::said).unwrap_or_default(),
        record,
        benchmark,
        trips: None,
        members: None,
    });
    let mut accounts: Vec<_> = accounts.collect();
    // The ensemble comes last; a strategy of the user may have its name.
    if let (Some(ensemble), Some(account)) = (&results.ensemble_result, accounts.last_mut()) {
        account.members = members(ensemble, results);
    }
    let (described, stocks) = (&market.described, market.data.stocks().len());
    let text = |value: &Value| value.as_str().map(String::from).unwrap_or(value.to_string());
    let (head, rows) = page_table(rows);
    let mut parameters = serde_json::Map::new();
    for (name, result) in results.individual_results.iter() {
        parameters.insert(name.into(), result.parameters_used.clone());
    }
    let settings = json!({ "data": described, "parameters": parameters });
    let report = AccountsReport {
        title: "strategies".into(),
        over: format!(
            "dqn-trader: strategies on {}, {}-minute bars of {}, {} to {}",
            counted(stocks, "stock"),
            text(&described["bar_minutes"]),
            text(&described["source"]),
            text(&described["period"]["start"]),
            text(&described["period"]["end"]),
        ),
        headline: headline(records, &judged),
        notices,
        head,
        rows,
        explained: strategies::explained(),
        accounts,
        costs: Costs::new(&market.env),
        settings: serde_json::to_string_pretty(&settings).unwrap_or_default(),
    };
    report.write(folder)
}

/// None where the members vote: a vote has no weights.
fn members<'a>(
    ensemble: &'a EnsembleResult,
    results: &'a RunResults,
) -> Option<EnsembleMembers<'a>> {
    let EnsembleResult { ensemble_config, member_weights, .. } = ensemble;
    if ensemble_config.method == EnsembleMethod::Voting {
        return None;
    }
    let rewards = |(name, result): (&str, &'a StrategyResult)| {
        Some((name.to_string(), &result.record.as_ref()?.reward[..]))
    };
    let members = results.individual_results.iter().filter_map(rewards).collect();
    Some(EnsembleMembers { members, weights: member_weights })
}

fn headline<'a>(
    records: &[(String, &BacktestRecord)],
    judged: &dyn Fn(&str) -> Option<&'a Inference>,
) -> String {
    let names = records.iter().map(|(name, _)| name.as_str());
    let with_edge = |name: &&str| judged(name).is_some_and(|i| i.verdict == Verdict::Evidence);
    let found: Vec<&str> = names.filter(with_edge).collect();
    match found.as_slice() {
        [] => "No evidence of an edge".into(),
        found => format!("Evidence of an edge: {}", found.join(", ")),
    }
}
