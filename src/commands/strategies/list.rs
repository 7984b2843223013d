//! What strategies there are.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;

use crate::cli::{Format, ListArgs};
use crate::commands::say;
use crate::strategy::Kind;

pub fn list(args: &ListArgs) -> Result<()> {
    let (registry, _) = super::registry(args.params.as_deref())?;
    let text = match args.format {
        Format::Table => table(registry.kinds()),
        Format::Json => {
            let kinds: Vec<_> = registry.kinds().iter().map(of_kind).collect();
            format!("{}\n", serde_json::to_string_pretty(&kinds)?)
        }
    };
    say(&text);
    Ok(())
}

fn of_kind(kind: &Kind) -> serde_json::Value {
    json!({
        "name": kind.name,
        "aliases": kind.aliases,
        "description": kind.description,
        "parameters": kind.parameters,
    })
}

/// A line per strategy, below it one per parameter in aligned columns.
fn table(kinds: &[Kind]) -> String {
    let rows: Vec<[String; 5]> = kinds
        .iter()
        .flat_map(|kind| &kind.parameters)
        .map(|one| {
            let range = format!("{} to {}", one.low, one.high);
            let unit = one.unit.to_string();
            [
                one.name.to_string(),
                one.default.to_string(),
                range,
                unit,
                one.description.to_string(),
            ]
        })
        .collect();
    let width = |column: usize| {
        let head = HEAD[column].chars().count();
        rows.iter().map(|row| row[column].chars().count()).chain([head]).max().unwrap_or(0)
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
    let mut rows = rows.iter();
    for kind in kinds {
        let _ = write!(text, "\n{}: {}\n", kind.name, kind.description);
        for row in rows.by_ref().take(kind.parameters.len()) {
            text += &line(row.each_ref().map(String::as_str));
        }
    }
    text
}

const HEAD: [&str; 5] = ["parameter", "default", "range", "unit", "meaning"];
