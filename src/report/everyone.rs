//! All who might have traded the evaluation, in the closing table and in the report.

use std::fmt::Write;

use crate::eval::everyone::{Contender, Role};
use crate::eval::inference::CONFIDENCE;

use super::format::{count, percent, ratio, signed_percent};

const COLUMNS: [&str; 8] =
    ["", "return", "Sharpe", "interval", "max drawdown", "turnover/day", "costs", "trades"];

/// What the last columns mean, and who is treated differently.
const EXPLAINED: &str = "costs: fees and slippage as parts of the equity, added. All trade the \
                         capital that the desk deals them, within its limits; buy-and-hold buys \
                         equal parts once.";

/// Aligned, at most 100 columns wide; an undefined value is `-`, one who failed says why.
pub(super) fn table(everyone: &[Contender]) -> String {
    let rows: Vec<[String; COLUMNS.len()]> =
        std::iter::once(COLUMNS.map(String::from)).chain(everyone.iter().map(cells)).collect();
    let width: [usize; COLUMNS.len()] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    let mut before = None;
    for (i, row) in rows.iter().enumerate() {
        let contender = i.checked_sub(1).map(|i| &everyone[i]);
        let role = contender.map(|one| one.role);
        if role == Some(Role::Ensemble) && before != role {
            text += "ensembles of the first five\n";
        }
        before = role;
        // Writing to a String does not fail.
        let _ = write!(text, "{:<1$}", row[0], width[0]);
        match contender.and_then(|one| one.error.as_ref()) {
            Some(error) => text += &format!("  {error}"),
            None => {
                for (cell, width) in row.iter().zip(width).skip(1) {
                    let _ = write!(text, "  {cell:>width$}");
                }
            }
        }
        text.push('\n');
    }
    text + &format!("\ninterval: {}, of the Sharpe ratio; {}\n", level(), broken(EXPLAINED))
}

/// The report's section.
pub(super) fn section(everyone: &[Contender]) -> String {
    if everyone.is_empty() {
        return String::new();
    }
    let mut head: String = COLUMNS.iter().map(|name| format!("<th>{name}</th>")).collect();
    head = head.replace("interval", &format!("{} interval", level()));
    let mut text = format!(
        "<h2>Everyone on the same bars</h2>\n<div class=\"wide\"><table>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n"
    );
    for one in everyone {
        let ensemble = if one.role == Role::Ensemble { "ensemble, " } else { "" };
        let [_, values @ ..] = cells(one);
        let shown = match &one.error {
            Some(error) => format!("<td class=\"explained\" colspan=\"7\">{error}</td>"),
            None => values.iter().map(|value| format!("<td>{}</td>", minus(value))).collect(),
        };
        let _ = writeln!(text, "<tr><th scope=\"row\">{ensemble}{}</th>{shown}</tr>", one.name);
    }
    text + &format!(
        "</tbody>\n</table></div>\n<p class=\"explained\">Ensembles are of the first \
                     five; {EXPLAINED}</p>\n"
    )
}

fn cells(one: &Contender) -> [String; COLUMNS.len()] {
    let mut cells = std::array::from_fn(|_| String::new());
    cells[0] = match one.role {
        Role::Ensemble => format!("  {}", one.name),
        _ => one.name.clone(),
    };
    let (Some(metrics), Some(sharpe), Some(costs)) = (&one.metrics, &one.sharpe, one.costs) else {
        return cells;
    };
    let ends = sharpe.low.zip(sharpe.high);
    let interval = ends.map(|(low, high)| format!("{} to {}", ratio(low), ratio(high)));
    cells[1] = signed_percent(metrics.portfolio_return);
    cells[2] = sharpe.value.map_or("-".into(), ratio);
    cells[3] = interval.unwrap_or_else(|| "-".into());
    cells[4] = percent(metrics.max_drawdown);
    cells[5] = ratio(metrics.turnover);
    cells[6] = percent(costs);
    cells[7] = count(metrics.trades);
    cells
}

fn level() -> String {
    format!("{:.0}%", 100.0 * CONFIDENCE)
}

/// A minus sign for the eye.
fn minus(value: &str) -> String {
    if value == "-" { "–".into() } else { value.replace('-', "−") }
}

/// In lines that fit below the table.
fn broken(text: &str) -> String {
    let mut lines = String::new();
    // What stands before it on the first line.
    let mut length = 36;
    for word in text.split(' ') {
        if length + word.len() > 99 {
            lines.push('\n');
            length = 0;
        } else if !lines.is_empty() {
            lines.push(' ');
        }
        lines += word;
        length += word.len() + 1;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn columns_align_within_the_width_of_a_terminal() {
        let everyone = example::run(2, 400).everyone;
        let text = table(&everyone);
        #[rustfmt::skip]
        let expected = [
            "                    return  Sharpe       interval  max drawdown  turnover/day  costs  trades",
            "RSI                 +12.3%    1.26  -0.70 to 3.10        -12.3%         21.50  12.3%  12,345",
            "Pairs               one stock is no pair",
        ];
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], expected);
        assert_eq!(lines[3], "ensembles of the first five");
        assert!(lines[4].starts_with("  inverse variance"), "{text}");
        assert_eq!(lines[5].split_whitespace().collect::<Vec<_>>()[1..4], ["0.0%", "-", "-"]);
        assert!(text.contains("\ninterval: 95%, of the Sharpe ratio; costs: "), "{text}");
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }

    #[test]
    fn the_section_has_a_row_for_each() {
        let everyone = example::run(2, 400).everyone;
        let text = section(&everyone);
        assert_eq!(text.matches("<th scope=\"row\">").count(), everyone.len());
        assert!(text.contains(">ensemble, inverse variance</th><td>+12.3%</td>"), "{text}");
        assert!(text.contains("<td>−0.70 to 3.10</td>") && text.contains("one stock is no pair"));
        assert_eq!(section(&[]), "");
    }
}
