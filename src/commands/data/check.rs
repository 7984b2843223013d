//! `dqn-trader data check`

use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use chrono::{NaiveDate, Utc};
use serde_json::json;

use crate::cli::{CheckArgs, Format, Surroundings};
use crate::commands::{check_wish, container_name, say};
use crate::market::Period;
use crate::market::check::{CheckOptions, Checked, Level, check as check_stock};
use crate::market::options::BarLabel;
use crate::report::Progress;
use crate::source;
use crate::source::DataSource;

/// Says what was found; whether all is right.
pub fn check(args: &CheckArgs, surroundings: &Surroundings, progress: &Progress) -> Result<bool> {
    let (start, end) = (args.start_date, args.end_date);
    let period =
        Period { start: start.unwrap_or(NaiveDate::MIN), end: end.unwrap_or(NaiveDate::MAX) };
    check_wish(&args.stocks, &period)?;
    if !(0.0..=1.0).contains(&args.min_coverage) {
        return Err(anyhow!("--min-coverage: must be from 0 to 1"));
    }
    let name = source::resolve(args.data.as_deref());
    let DataSource::Store(store) = source::open(&name, &container_name(&args.container))? else {
        return Err(anyhow!("{name} has no files to check; name a folder with --data"));
    };
    let stocks = if args.stocks.is_empty() { store.symbols()? } else { args.stocks.clone() };
    if stocks.is_empty() {
        return Err(anyhow!(
            "{}: has no stocks at all; name another place with --data",
            store.place()
        ));
    }
    let cache = cache_folder(surroundings.cache.as_deref());
    let now_s = Utc::now().timestamp();
    let options =
        CheckOptions { start, end, now_s, least_coverage: args.min_coverage, cache: Some(&cache) };
    let mut all = Vec::new();
    for symbol in &stocks {
        let store = Arc::clone(&store);
        all.push(check_stock(&store, symbol, &options, &mut |done, total| {
            progress.data(symbol.as_str(), done, total);
        })?);
    }
    progress.finish();
    let is_right = !all.iter().any(Checked::is_wrong);
    say(&match args.format {
        Format::Table => table(&all),
        Format::Json => {
            let value = json!({ "place": store.place(), "right": is_right, "stocks": all });
            format!("{}\n", serde_json::to_string_pretty(&value)?)
        }
    });
    Ok(is_right)
}

const HEAD: [&str; 12] = [
    "stock",
    "from",
    "to",
    "sessions",
    "missing",
    "bars",
    "min",
    "label",
    "missing bars",
    "bad rows",
    "splits",
    "prices",
];

/// A line per stock, then what was found of each.
fn table(all: &[Checked]) -> String {
    let rows: Vec<[String; HEAD.len()]> =
        std::iter::once(HEAD.map(String::from)).chain(all.iter().map(row)).collect();
    let width: [usize; HEAD.len()] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(width).enumerate() {
            // Writing to a String does not fail.
            let _ = match i {
                0..=2 | 7 | 11 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    for stock in all {
        let _ = writeln!(text, "\n{}: {}", stock.stock, verdict(stock));
        for finding in &stock.findings {
            let level = if finding.level == Level::Wrong { "wrong" } else { "note " };
            let _ = writeln!(text, "  {level}  {}: {}", finding.about, finding.text);
        }
    }
    text
}

fn row(stock: &Checked) -> [String; HEAD.len()] {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let label = stock.bar_label.map(|label| match label {
        BarLabel::End => "end".to_string(),
        BarLabel::Start | BarLabel::Auto => "start".into(),
    });
    [
        stock.stock.to_string(),
        or_dash(stock.period.map(|period| period.start.to_string())),
        or_dash(stock.period.map(|period| period.end.to_string())),
        stock.sessions.to_string(),
        stock.missing_sessions.len().to_string(),
        stock.bars.to_string(),
        or_dash(stock.bar_minutes.map(|minutes| minutes.to_string())),
        or_dash(label),
        stock.missing_bars.to_string(),
        stock.bad_rows.to_string(),
        stock.splits.len().to_string(),
        stock.origin.as_ref().map_or("unknown".into(), |origin| origin.kind.to_string()),
    ]
}

fn verdict(stock: &Checked) -> String {
    let wrong = stock.findings.iter().filter(|finding| finding.level == Level::Wrong).count();
    let label = stock.bar_label_reason.as_ref().map_or(String::new(), |why| format!(" ({why})"));
    match wrong {
        0 => format!("nothing wrong{label}"),
        1 => format!("1 thing is wrong{label}"),
        _ => format!("{wrong} things are wrong{label}"),
    }
}
