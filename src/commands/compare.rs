//! Finished runs and studies side by side: what differs in their settings, and what came of it.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use chrono::NaiveDate;
use serde_json::Value;

use super::say;
use crate::cli::CompareArgs;
use crate::config::settings_by_key;
use crate::eval::paired::{DailyReturns, PairedDifference};
use crate::report::compare::{ComparedRun, RunComparison};
use crate::report::portfolio_csv;
use crate::report::{FolderLock, ResultsFolder};
use crate::rl::rng::{Purpose, stream};

pub(crate) fn compare(args: &CompareArgs) -> Result<()> {
    let runs = args.runs.iter().map(|folder| read(folder)).collect::<Result<Vec<_>>>()?;
    let mut rng = stream(1, Purpose::Inference, 3);
    let first = returns(&runs[0].equity);
    let differences = runs[1..]
        .iter()
        .map(|run| PairedDifference::new(&returns(&run.equity), &first, &mut rng))
        .collect();
    let comparison = RunComparison { runs, differences };
    let mut written = Vec::new();
    if let Some(output) = &args.output {
        let _lock = FolderLock::take(output)?;
        let folder = ResultsFolder::create(output)?;
        written = comparison.write(&folder)?;
    }
    say(&comparison.table(&written));
    Ok(())
}

fn read(folder: &Path) -> Result<ComparedRun> {
    let place = folder.display();
    let text = |name: &str| std::fs::read_to_string(folder.join(name));
    let json = |name: &str| -> Result<Option<Value>> {
        match text(name) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(anyhow!("{}: {cause}", folder.join(name).display())),
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .with_context(|| format!("{}: it is no JSON", folder.join(name).display())),
        }
    };
    let unfinished =
        || anyhow!("{place}: there is no finished run or study; name the folder of one that ended");
    let found = match json("study.json")? {
        Some(study) => study,
        None => json("summary.json")?.ok_or_else(unfinished)?,
    };
    if found["eval"].is_null() {
        return Err(unfinished());
    }
    let name = portfolio_name(folder, &found).ok_or_else(unfinished)?;
    let csv = text(&name).with_context(|| folder.join(&name).display().to_string())?;
    let wrong = || anyhow!("{}: it is no portfolio of a run", folder.join(&name).display());
    let columns = portfolio_csv::equities(&csv).ok_or_else(wrong)?;
    let settings = text("config.toml").unwrap_or_default();
    let settings: toml::Table = toml::from_str(&settings)
        .with_context(|| format!("{}: it is no TOML", folder.join("config.toml").display()))?;
    Ok(ComparedRun {
        name: place.to_string(),
        settings: settings_by_key(settings),
        eval: found["eval"].clone(),
        sharpe: found["inference"]["sharpe"].clone(),
        verdict: found["inference"]["verdict"].as_str().unwrap_or("-").into(),
        equity: columns,
    })
}

/// The account of a study or of an evaluation, or that of a run's last evaluation.
fn portfolio_name(folder: &Path, found: &Value) -> Option<String> {
    if folder.join("portfolio.csv").is_file() {
        return Some("portfolio.csv".into());
    }
    let last = found["inference"]["trials"]["own"].as_array()?.last()?["episode"].as_u64()?;
    Some(portfolio_csv::name(u32::try_from(last).ok()?))
}

/// By the market's date, of the account.
fn returns(equity: &[portfolio_csv::EquityRow]) -> DailyReturns {
    let Some(first) = equity.first() else { return Vec::new() };
    let mut closes: Vec<(NaiveDate, f64)> = Vec::new();
    for row in &equity[1..] {
        match closes.last_mut() {
            Some(last) if last.0 == row.date => last.1 = row.equity,
            _ => closes.push((row.date, row.equity)),
        }
    }
    let mut before = first.equity;
    let day_return = |(date, equity): (NaiveDate, f64)| {
        let found = if before > 0.0 { equity / before - 1.0 } else { 0.0 };
        before = equity;
        (date, found)
    };
    closes.into_iter().map(day_return).collect()
}
