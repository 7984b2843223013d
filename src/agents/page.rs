//! The page of agents side by side.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::bars::AgentBars;
use super::config::AgentsConfig;
use super::{AgentReport, AgentsReport, agent, journal, leaderboard, metrics};
use crate::eval::metrics::BacktestRecord;
use crate::eval::trades::RoundTrip;
use crate::report::ResultsFolder;
use crate::report::accounts::{AccountOnPage, AccountsReport};
use crate::report::format::growth;
use crate::wording::counted;

/// Writes `report.html` and `trades.csv` into `folder` and returns their paths; none if no agent has
/// succeeded.
///
/// Errors: a position file or the folder cannot be read or written.
pub(crate) fn write(
    config: &AgentsConfig,
    bars: &AgentBars,
    report: &AgentsReport,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let ranked = leaderboard::ranked(report);
    let done: Vec<_> = ranked.iter().filter(|agent| agent.metrics.is_some()).collect();
    let mut accounts: Vec<DoneAgent<'_>> = Vec::new();
    for done in done {
        let records = journal::kept(&agent::folder(config, &done.model))?;
        let its_accounts = metrics::accounts(config, bars, &records)?;
        let trips = metrics::round_trips(config, bars, &records, &its_accounts[0])?;
        accounts.push((done, its_accounts, trips));
    }
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let (head, rows) = leaderboard::page_table(report);
    let notices: Vec<String> = leaderboard::notices(report).into_iter().map(String::from).collect();
    let page = AccountsReport {
        title: "agents".into(),
        over: format!(
            "dqn-trader: agents on {}, {} to {}",
            counted(config.stocks.len(), "stock"),
            config.init,
            config.end
        ),
        headline: headline(report),
        notices: &notices,
        head,
        rows,
        explained: leaderboard::explained(),
        accounts: accounts.iter().map(on_page).collect(),
        costs: metrics::costs(config),
        settings: String::new(),
    };
    Ok(page.write(&ResultsFolder::open(folder)?)?.into())
}

/// An agent that succeeded, its account and buy and hold, and its round trips.
type DoneAgent<'a> = (&'a AgentReport, [BacktestRecord; 2], Vec<RoundTrip>);

fn on_page<'a>((agent, accounts, trips): &'a DoneAgent<'_>) -> AccountOnPage<'a> {
    let said = leaderboard::unranked(agent).map(|why| format!("Not ranked: {why}."));
    let [record, benchmark] = accounts;
    let name = agent.model.signature.clone();
    let (said, trips) = (said.unwrap_or_default(), Some(trips.clone()));
    AccountOnPage { name, said, record, benchmark, trips, members: None }
}

/// Who earned most, beside buy and hold.
fn headline(report: &AgentsReport) -> String {
    let ranked = leaderboard::ranked(report);
    let best = ranked.iter().find_map(|agent| {
        let metrics = agent.metrics.as_ref().filter(|metrics| metrics.unranked.is_none())?;
        Some(format!("{} {}", agent.model.signature, growth(metrics.figures.total_return)))
    });
    let held = report.benchmark.as_ref().map(|held| growth(held.total_return));
    match (best, held) {
        (Some(best), Some(held)) => format!("{best}, buy and hold {held}"),
        (Some(best), None) => best,
        (None, _) => "No agent has a rank".into(),
    }
}
