//! The table of all agents and the benchmark.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{AgentExit, AgentReport, AgentsReport, PerformanceFigures};
use crate::eval::inference::CONFIDENCE;
use crate::report::format::{count, growth, percent, ratio, wrapped};
use crate::wording::counted;

const COLUMNS: [&str; 8] = ["", "kind", "return", "Sharpe", "interval", "max DD", "trades", "cost"];
/// In JSON.
const BENCHMARK: &str = "buy-and-hold";

/// Sorted by return, then agents without a rank, failed agents last; columns are aligned, an
/// undefined value is `-`.
pub(crate) fn table(report: &AgentsReport) -> String {
    let ranked = ranked(report);
    let mut cells = vec![COLUMNS.map(String::from)];
    for agent in &ranked {
        let figures = agent.metrics.as_ref().map(|metrics| &metrics.figures);
        cells.push(row(&agent.model.signature, agent.model.kind.word(), figures));
    }
    cells.push(row("benchmark", "", report.benchmark.as_ref()));
    let width: [usize; COLUMNS.len()] =
        std::array::from_fn(|i| cells.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for (i, row) in cells.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(text, "{:<2$}  {:<3$}", row[0], row[1], width[0], width[1]);
        let agent = i.checked_sub(1).and_then(|i| ranked.get(i));
        let ended = agent.map(|agent| &agent.ended);
        match (ended.and_then(AgentExit::error), agent.and_then(|agent| unranked(agent))) {
            (Some(why), _) if ended == Some(&AgentExit::Stopped) => text += &format!("  {why}"),
            (Some(why), _) => text += &format!("  failed: {why}"),
            (None, Some(why)) => text += &format!("  not ranked: {why}"),
            (None, None) => {
                for (cell, width) in row.iter().zip(width).skip(2) {
                    let _ = write!(text, "  {cell:>width$}");
                }
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let _ = writeln!(text, "\n{}", wrapped(&explained(), 80));
    for agent in &ranked {
        let metrics = agent.metrics.as_ref();
        if let Some((metrics, tokens)) = metrics.and_then(|one| Some((one, one.tokens?))) {
            let cost = tokens.cost.map(|cost| format!(", a cost of {cost:.4}"));
            let _ = writeln!(
                text,
                "{}: {}, {}, {}{}",
                metrics.signature,
                counted(tokens.requests as usize, "request"),
                counted(tokens.prompt_tokens as usize, "prompt token"),
                counted(tokens.completion_tokens as usize, "completion token"),
                cost.unwrap_or_default()
            );
        }
    }
    for notice in notices(report) {
        let _ = writeln!(text, "\n{notice}");
    }
    text
}

/// The leaderboard as JSON.
pub(crate) fn in_json(report: &AgentsReport) -> Value {
    let one = |agent: &&AgentReport| {
        json!({
            "signature": agent.model.signature,
            "kind": agent.model.kind.word(),
            "success": agent.ended.error().is_none(),
            "error": agent.ended.error(),
            "ranked": agent.metrics.is_some() && unranked(agent).is_none(),
            "metrics": agent.metrics,
        })
    };
    json!({
        "agents": ranked(report).iter().map(one).collect::<Vec<_>>(),
        "benchmark": { "name": BENCHMARK, "metrics": report.benchmark },
        "notices": notices(report),
    })
}

/// Why an agent's figures say nothing about it.
pub(crate) fn unranked(agent: &AgentReport) -> Option<&str> {
    agent.metrics.as_ref()?.unranked.as_deref()
}

/// Sorted by return, those without a rank behind the others. An agent that stopped early is ranked
/// by its return so far.
/// What the columns are.
pub(crate) fn explained() -> String {
    format!(
        "interval: {:.0}%, of the Sharpe ratio of one agent by itself: the best of several is \
         also the luckiest; max DD: maximum drawdown; cost: fees and slippage, in the currency of \
         the prices; benchmark: buy and hold, equal parts of all stocks.",
        100.0 * CONFIDENCE
    )
}

/// Head and rows for a page; one that failed or has no rank says why.
pub(crate) fn page_table(report: &AgentsReport) -> (Vec<String>, Vec<Vec<String>>) {
    let one = |agent: &&AgentReport| {
        let figures = agent.metrics.as_ref().map(|metrics| &metrics.figures);
        let mut cells = row(&agent.model.signature, agent.model.kind.word(), figures);
        match (agent.ended.error(), unranked(agent)) {
            (Some(why), _) => cells[2] = format!("failed: {why}"),
            (None, Some(why)) => cells[2] = format!("not ranked: {why}"),
            (None, None) => {}
        }
        Vec::from(cells)
    };
    let mut rows: Vec<Vec<String>> = ranked(report).iter().map(one).collect();
    rows.push(row("benchmark", "", report.benchmark.as_ref()).into());
    (COLUMNS.map(String::from).into(), rows)
}

pub(crate) fn ranked(report: &AgentsReport) -> Vec<&AgentReport> {
    let mut agents: Vec<&AgentReport> = report.agents.iter().collect();
    let earned = |agent: &AgentReport| {
        let figures = agent.metrics.as_ref().map(|metrics| &metrics.figures);
        figures.map_or(f64::NEG_INFINITY, |figures| figures.total_return)
    };
    let group = |agent: &AgentReport| match &agent.metrics {
        Some(metrics) if metrics.unranked.is_none() => 0,
        Some(_) => 1,
        None => 2,
    };
    agents.sort_by(|one, other| {
        group(one).cmp(&group(other)).then(earned(other).total_cmp(&earned(one)))
    });
    agents
}

/// All notices without duplicates.
pub(crate) fn notices(report: &AgentsReport) -> Vec<&str> {
    let mut notices: Vec<&str> = Vec::new();
    let metrics = report.agents.iter().filter_map(|agent| agent.metrics.as_ref());
    for notice in metrics.flat_map(|metrics| &metrics.notices) {
        if !notices.contains(&notice.as_str()) {
            notices.push(notice);
        }
    }
    notices
}

fn row(name: &str, kind: &str, figures: Option<&PerformanceFigures>) -> [String; COLUMNS.len()] {
    let mut cells = std::array::from_fn(|_| String::new());
    cells[0] = name.into();
    cells[1] = kind.into();
    let Some(figures) = figures else { return cells };
    let sharpe = &figures.sharpe;
    let interval = sharpe.low.zip(sharpe.high);
    let interval = interval.map(|(low, high)| format!("{} to {}", ratio(low), ratio(high)));
    cells[2] = growth(figures.total_return);
    cells[3] = sharpe.value.map_or("-".into(), ratio);
    cells[4] = interval.unwrap_or_else(|| "-".into());
    cells[5] = percent(figures.max_drawdown);
    cells[6] = count(figures.trades);
    cells[7] = ratio(figures.cost);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::{AgentMetrics, tests};
    use crate::eval::inference::SharpeEstimate;

    #[test]
    fn the_best_comes_first_and_what_failed_says_why() {
        let figures = |total_return: f64, value| PerformanceFigures {
            initial_equity: 10_000.0,
            final_equity: 10_000.0 * (1.0 + total_return),
            total_return,
            sharpe: SharpeEstimate { value, low: Some(-0.5), high: Some(2.0), block_days: None },
            max_drawdown: -0.123,
            volatility: None,
            trades: 1_234,
            cost: 56.789,
            days: 250,
        };
        let agent = |signature: &str, ended: AgentExit, total_return: f64| {
            let mut model = tests::config().models[0].clone();
            model.signature = signature.into();
            let metrics = (ended == AgentExit::Done).then(|| AgentMetrics {
                signature: signature.into(),
                name: signature.into(),
                kind: "strategy".into(),
                first_date: "2020-01-02".into(),
                last_date: "2020-12-31".into(),
                figures: figures(total_return, Some(1.0)),
                unranked: (signature == "mute").then(|| "it called no tool".into()),
                tokens: None,
                benchmark: figures(0.0, None),
                notices: vec!["These are MADE-UP.".into()],
            });
            AgentReport { model, ended, metrics }
        };
        let failed = AgentExit::Failed("it broke (exit code 2)".into());
        let agents = vec![
            agent("second", AgentExit::Done, 0.05),
            agent("third", failed, 0.0),
            agent("mute", AgentExit::Done, 0.9),
            agent("first", AgentExit::Done, 0.1),
        ];
        let benchmark = Some(figures(0.2, None));
        let report = AgentsReport { agents, benchmark, stopped: false, written: Vec::new() };
        #[rustfmt::skip]
        let expected = "           \
            kind      return  Sharpe       interval  max DD  trades   cost
first      strategy  +10.0%    1.00  -0.50 to 2.00  -12.3%   1,234  56.79
second     strategy   +5.0%    1.00  -0.50 to 2.00  -12.3%   1,234  56.79
mute       strategy  not ranked: it called no tool
third      strategy  failed: it broke (exit code 2)
benchmark            +20.0%       -  -0.50 to 2.00  -12.3%   1,234  56.79
";
        let text = table(&report);
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\nThese are MADE-UP.\n"), "{text}");
        let json = in_json(&report);
        assert_eq!(json["agents"][3]["error"], "it broke (exit code 2)");
        let ranks: Vec<&Value> =
            json["agents"].as_array().unwrap().iter().map(|agent| &agent["ranked"]).collect();
        assert_eq!(ranks, [true, true, false, false]);
        assert_eq!(json["agents"][0]["metrics"]["total_return"], 0.1);
    }
}
