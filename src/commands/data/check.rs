//! `dqn-trader data check`

use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use chrono::{NaiveDate, Utc};
use serde_json::json;

use crate::cli::{CheckArgs, Format, GlobalArgs};
use crate::commands::{check_request, container_name, say};
use crate::market::Period;
use crate::market::check::{CheckOptions, Checked, Severity, check as check_stock, compare};
use crate::market::options::BarLabel;
use crate::report::Progress;
use crate::report::format::{count, wrapped};
use crate::source;
use crate::source::DataSource;
use crate::wording::counted;

/// Prints the findings. Returns whether there is no problem.
pub(crate) fn check(args: &CheckArgs, global: &GlobalArgs, progress: &Progress) -> Result<bool> {
    let (start, end) = (args.start_date, args.end_date);
    let period =
        Period { start: start.unwrap_or(NaiveDate::MIN), end: end.unwrap_or(NaiveDate::MAX) };
    check_request(&args.stocks, &period)?;
    if !(0.0..=1.0).contains(&args.min_coverage) {
        return Err(anyhow!("--min-coverage: must be a fraction from 0 to 1"));
    }
    args.calendar.adopt()?;
    let name = source::resolve(args.data.as_deref());
    let DataSource::Store(store) = source::open(&name, &container_name(&args.container))? else {
        return Err(anyhow!("{name} has no files to check; give a folder with --data"));
    };
    let stocks = if args.stocks.is_empty() { store.symbols()? } else { args.stocks.clone() };
    if stocks.is_empty() {
        return Err(anyhow!(
            "{}: contains no stocks; give another location with --data",
            store.place()
        ));
    }
    let cache = source::cache_folder(global.cache.as_deref());
    let now_s = Utc::now().timestamp();
    let options = CheckOptions {
        start,
        end,
        now_s,
        calendar: args.calendar,
        least_coverage: args.min_coverage,
        cache: Some(&cache),
    };
    let mut all = Vec::new();
    for symbol in &stocks {
        let store = Arc::clone(&store);
        all.push(check_stock(&store, symbol, &options, &mut |done, total| {
            progress.data(symbol.as_str(), done, total);
        })?);
    }
    progress.finish();
    compare(&mut all, args.calendar);
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

const HEAD: [&str; 9] = ["stock", "from", "to", "days", "absent", "bars", "gaps", "bad", "splits"];

/// Bad rows that the sentence about them names.
const MAX_IN_SENTENCE: usize = 3;

const EXPLAINED: &str = "absent: trading days without bars; gaps: bars missing on days that have \
                         some; bad: rows that were skipped; splits: overnight moves near a split \
                         factor.";

/// A line per stock, at most 80 columns wide, then the findings about each.
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
                0..=2 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text += &format!("\n{}\n", wrapped(EXPLAINED, 80));
    for stock in all {
        let kind = wrapped(&kind(stock), 78).replace('\n', "\n  ");
        let _ = writeln!(text, "\n{}: {}\n  {kind}", stock.stock, verdict(stock));
        for finding in &stock.findings {
            let level = if finding.level == Severity::Wrong { "problem" } else { "note   " };
            let _ = writeln!(text, "  {level}  {}: {}", finding.about, finding.text);
        }
        for row in stock.named_rows.iter().skip(MAX_IN_SENTENCE) {
            let _ = writeln!(text, "  bad row  {row}");
        }
    }
    text
}

fn row(stock: &Checked) -> [String; HEAD.len()] {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    [
        stock.stock.to_string(),
        or_dash(stock.period.map(|period| period.start.to_string())),
        or_dash(stock.period.map(|period| period.end.to_string())),
        count(stock.sessions as u64),
        count(stock.missing_sessions.len() as u64),
        count(stock.bars as u64),
        count(stock.missing_bars as u64),
        count(stock.bad_rows as u64),
        count(stock.splits.len() as u64),
    ]
}

fn verdict(stock: &Checked) -> String {
    let wrong = stock.findings.iter().filter(|finding| finding.level == Severity::Wrong).count();
    match wrong {
        0 => "no problems".into(),
        _ => counted(wrong, "problem"),
    }
}

/// Length, prices and labels of the bars, as far as they are known.
fn kind(stock: &Checked) -> String {
    let prices = stock.origin.as_ref().map_or("unknown".into(), |origin| origin.kind.to_string());
    let mut text = format!("prices: {prices}");
    if let Some(minutes) = stock.bar_minutes {
        text = format!("{minutes}-minute bars; {text}");
    }
    if let Some(label) = stock.bar_label {
        let end = if label == BarLabel::End { "end" } else { "start" };
        let reason = stock.bar_label_reason.as_deref().unwrap_or("no reason known");
        text += &format!("; timestamps mark a bar's {end} ({reason})");
    }
    text
}
