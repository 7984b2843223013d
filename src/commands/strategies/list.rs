//! What strategies there are.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;

use crate::cli::{Format, ListArgs};
use crate::commands::say;
use crate::report::format::wrapped_at;
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

/// Each strategy with its description, below it a line per parameter in aligned columns, of which
/// the last is wrapped.
fn table(kinds: &[StrategyKind]) -> String {
    let rows: Vec<Vec<[String; 4]>> = kinds.iter().map(rows_of).collect();
    let width = |column: usize| {
        let head = HEAD[column].chars().count();
        let widths = rows.iter().flatten().map(|row| row[column].chars().count());
        widths.chain([head]).max().unwrap_or(0)
    };
    let widths: [usize; 3] = std::array::from_fn(width);
    let last = 2 + widths.iter().map(|width| width + 2).sum::<usize>();
    let mut text = String::new();
    let line = |cells: [&str; 4]| {
        let mut line = String::from("  ");
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        line += &wrapped_at(last, cells[3], WIDTH.max(last + LEAST_WIDTH));
        format!("{}\n", line.trim_end())
    };
    text += &line(HEAD);
    for (kind, rows) in kinds.iter().zip(&rows) {
        let about = format!("{}: {}", kind.name, kind.description);
        let _ = write!(text, "\n{}\n", wrapped_at(4, &about, WIDTH));
        for row in rows {
            text += &line(row.each_ref().map(String::as_str));
        }
    }
    text
}

/// The cells of a kind's parameters.
fn rows_of(kind: &StrategyKind) -> Vec<[String; 4]> {
    let numbers = kind.parameters.iter().map(|one| {
        let range = format!("{} to {}", one.low, one.high);
        let (name, default) = (one.name.to_string(), one.default.to_string());
        [name, default, range, meaning(&one.description, &one.unit)]
    });
    let texts = kind.texts.iter().map(|one| {
        let (name, meaning) = (one.name.to_string(), meaning(&one.description, &one.unit));
        // A default that is text may be long.
        let (default, meaning) = match &one.default {
            Some(default) => ("", format!("{meaning}: {default}")),
            None => ("needed", meaning),
        };
        [name, default.into(), String::new(), meaning]
    });
    numbers.chain(texts).collect()
}

/// A strategy of the user's may leave out either.
fn meaning(description: &str, unit: &str) -> String {
    match (description.is_empty(), unit.is_empty()) {
        (_, true) => description.into(),
        (true, _) => format!("({unit})"),
        _ => format!("{description} ({unit})"),
    }
}

const HEAD: [&str; 4] = ["parameter", "default", "range", "meaning (unit)"];
/// Columns of a terminal.
const WIDTH: usize = 80;
/// Columns that a meaning has at least, however long the user's names are.
const LEAST_WIDTH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{Parameter, Registry};

    #[test]
    fn lines_fit_80_columns_and_a_meaning_is_wrapped_in_its_column() {
        let kinds = Registry::standard();
        let text = table(kinds.kinds());
        let wide = text.lines().find(|line| line.chars().count() > WIDTH);
        assert_eq!(wide, None, "{text}");
        let first =
            "  threshold       2        0.1 to 10      entry beyond this z-score (standard\n";
        let second = format!("{:42}deviations)\n", "");
        assert!(text.contains(&(first.to_string() + &second)), "{text}");
        // A user's own names may be of any length.
        let mut long = kinds.find("Momentum").unwrap().clone();
        let name: &'static str = "how_far_the_price_has_to_move_before_anything_is_traded_at_all";
        long.parameters = vec![Parameter::real(name, 0.5, 0.0..=1.0, "", "a part of the mean")];
        let text = table(&[long]);
        assert!(text.contains("0 to 1  a part of the mean\n"), "{text}");
    }
}
