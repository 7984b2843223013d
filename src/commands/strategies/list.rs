//! What strategies there are.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;

use crate::cli::{Format, ListArgs};
use crate::commands::say;
use crate::strategy::StrategyKind;

pub(crate) fn list(args: &ListArgs) -> Result<()> {
    let (registry, _) = super::registry(args.params.as_deref(), args.model.as_deref())?;
    let text = match args.format {
        Format::Table => table(registry.kinds()),
        Format::Json => {
            let kinds: Vec<_> = registry.kinds().iter().map(kind_json).collect();
            format!("{}\n", serde_json::to_string_pretty(&kinds)?)
        }
    };
    say(&text);
    Ok(())
}

/// A parameter that is text has neither `low` nor `high`, and no `default` where it must be given.
fn kind_json(kind: &StrategyKind) -> serde_json::Value {
    let numbers = kind.parameters.iter().map(|one| json!(one));
    let parameters: Vec<_> = numbers.chain(kind.texts.iter().map(|one| json!(one))).collect();
    json!({
        "name": kind.name,
        "aliases": kind.aliases,
        "description": kind.description,
        "parameters": parameters,
    })
}

/// A line per strategy, below it one per parameter in aligned columns.
fn table(kinds: &[StrategyKind]) -> String {
    let rows: Vec<Vec<[String; 5]>> = kinds.iter().map(rows_of).collect();
    let width = |column: usize| {
        let head = HEAD[column].chars().count();
        let widths = rows.iter().flatten().map(|row| row[column].chars().count());
        widths.chain([head]).max().unwrap_or(0)
    };
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut text = String::new();
    let line = |cells: [&str; 5]| {
        let mut line = String::from("  ");
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        line += cells[4];
        format!("{}\n", line.trim_end())
    };
    text += &line(HEAD);
    for (kind, rows) in kinds.iter().zip(&rows) {
        let _ = write!(text, "\n{}: {}\n", kind.name, kind.description);
        for row in rows {
            text += &line(row.each_ref().map(String::as_str));
        }
    }
    text
}

/// The cells of a kind's parameters.
fn rows_of(kind: &StrategyKind) -> Vec<[String; 5]> {
    let numbers = kind.parameters.iter().map(|one| {
        let range = format!("{} to {}", one.low, one.high);
        let (name, default) = (one.name.to_string(), one.default.to_string());
        [name, default, range, one.unit.to_string(), one.description.to_string()]
    });
    let texts = kind.texts.iter().map(|one| {
        let (name, unit) = (one.name.to_string(), one.unit.to_string());
        // A default that is text may be long.
        let (default, meaning) = match &one.default {
            Some(default) => ("", format!("{}: {default}", one.description)),
            None => ("needed", one.description.to_string()),
        };
        [name, default.into(), String::new(), unit, meaning]
    });
    numbers.chain(texts).collect()
}

const HEAD: [&str; 5] = ["parameter", "default", "range", "unit", "meaning"];
