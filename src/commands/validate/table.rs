//! The tables of a validation, at most 80 columns wide.

use std::fmt::Write;
use std::path::Path;

use super::ablation::{AblatedRow, AblationResult};
use super::meta::ExpertRewards;
use super::outcome::{RowOutcome, SeedEstimate};
use crate::eval::inference::Verdict;
use crate::report::format::{wrapped, wrapped_at};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Where the thresholds begin: after the longest name of a row.
const NOTES: usize = 25;

/// One line per row and table: rewards in basis points per bar; how much of the oracle's was got;
/// what was asked for.
pub(crate) fn rows(outcomes: &[RowOutcome]) -> String {
    let head = ["", "oracle", "trained", "random", "flat", "hold", "best rule"];
    let mut rewards = vec![head.map(String::from).to_vec()];
    let head = ["", "of oracle", "threshold", "best rule"];
    let mut fractions = vec![head.map(String::from).to_vec()];
    let mut notes = String::new();
    for outcome in outcomes {
        let bps = |value: f64| format!("{value:.2}");
        rewards.push(vec![
            outcome.row.into(),
            bps(outcome.oracle_bps),
            bps(outcome.trained_bps),
            bps(outcome.random_bps),
            bps(outcome.flat_bps),
            bps(outcome.buy_and_hold_bps),
            bps(outcome.best_rule_bps),
        ]);
        fractions.push(vec![
            outcome.row.into(),
            outcome.fraction.map_or("-".into(), estimate),
            if outcome.reached { "met".into() } else { "MISSED".into() },
            outcome.best_rule.clone(),
        ]);
        let note = format!("{}{}", outcome.bar, found(outcome));
        // Writing to a String does not fail.
        let _ = writeln!(notes, "{:<NOTES$}{}", outcome.row, wrapped_at(NOTES, &note, WIDTH));
    }
    format!(
        "basis points per bar, after costs\n\n{}\n\
         fraction of the oracle's reward, mean and 95% interval over seeds\n\n{}\n\
         thresholds\n\n{notes}",
        aligned(&rewards, &[0]),
        aligned(&fractions, &[0, 2, 3])
    )
}

/// What a row was judged by, where it is not in the table.
fn found(outcome: &RowOutcome) -> String {
    let trials = outcome.trials.len();
    let experts: Vec<&ExpertRewards> =
        outcome.trials.iter().filter_map(|trial| trial.experts.as_ref()).collect();
    if !experts.is_empty() {
        let mean = |of: fn(&ExpertRewards) -> f64| {
            experts.iter().map(|e| of(e)).sum::<f64>() / trials as f64
        };
        return format!(
            ": {:.2}, hindsight {:.2}, best rule {:.2}, DQN {:.2}, paid {:.2}",
            outcome.trained_bps,
            mean(|experts| experts.best_per_regime_bps),
            ExpertRewards::best_mean(&experts, false),
            mean(|experts| experts.alone.last().map_or(f64::NAN, |dqn| dqn.1)),
            mean(|experts| experts.paid_bps),
        );
    }
    if outcome.fraction.is_none() {
        let calm = outcome.trials.iter().filter(|t| t.verdict == Verdict::NoEvidence).count();
        let turnover = outcome.trained_turnover / outcome.random_turnover;
        return format!(": {turnover:.3} of random, no evidence in {calm} of {trials}");
    }
    let first: Vec<usize> = outcome.trials.iter().filter_map(|t| t.edges_before_last).collect();
    if first.is_empty() {
        return String::new();
    }
    let all = first.iter().filter(|&&others| others == 0).count();
    format!(": in {all} of {trials}")
}

/// One line per part: how much of the oracle's reward is left without it, and for the market
/// without an edge the turnover over the random policy's.
pub(crate) fn ablation(outcomes: &[RowOutcome], ablation: &[AblationResult]) -> String {
    let whole: Vec<AblatedRow> = outcomes.iter().map(AblatedRow::from_outcome).collect();
    let names: Vec<&str> =
        ablation.first().map_or(Vec::new(), |part| part.rows.iter().map(|row| row.row).collect());
    let head = std::iter::once("without").chain(names.iter().copied()).map(String::from);
    let mut lines = vec![head.collect::<Vec<String>>()];
    let line = |name: &str, rows: &[AblatedRow]| {
        let mut cells = vec![String::from(name)];
        for name in &names {
            let row = rows.iter().find(|row| row.row == *name);
            cells.push(row.map_or("-".into(), |row| match row.fraction {
                Some(fraction) => half_width(fraction),
                None => format!("{:.3}*", row.turnover),
            }));
        }
        cells
    };
    lines.push(line("nothing", &whole));
    lines.extend(ablation.iter().map(|part| line(part.without, &part.rows)));
    format!("\n{}* turnover over the random policy's\n", aligned(&lines, &[0]))
}

/// The verdict, and the path of the file.
pub(crate) fn closing(
    outcomes: &[RowOutcome],
    seeds: u64,
    cores: usize,
    wall_s: f64,
    path: &Path,
) -> String {
    let missed: Vec<&str> = outcomes.iter().filter(|o| !o.reached).map(|o| o.row).collect();
    let verdict = if missed.is_empty() {
        "every threshold was met".into()
    } else {
        format!("MISSED: {}", missed.join(", "))
    };
    let minutes = wall_s / 60.0;
    let path = path.display();
    let noun = if seeds == 1 { "seed" } else { "seeds" };
    let line = format!("{verdict} ({seeds} {noun} each, {minutes:.1} minutes on {cores} threads)");
    format!("{}\n\nwritten:\n  {path}\n", wrapped(&line, WIDTH))
}

fn estimate(estimate: SeedEstimate) -> String {
    let mean = format!("{:.3}", estimate.mean);
    match estimate.interval {
        Some([low, high]) => format!("{mean} [{low:.3}, {high:.3}]"),
        None => mean,
    }
}

fn half_width(estimate: SeedEstimate) -> String {
    let mean = estimate.mean;
    match estimate.interval {
        Some([_, high]) => format!("{mean:.3} ± {:.3}", high - mean),
        None => format!("{mean:.3}"),
    }
}

/// Columns as wide as they need to be; those in `left` begin at the left, the others end at the
/// right. What does not fit into a line follows below, with the first column again.
fn aligned(lines: &[Vec<String>], left: &[usize]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let length = |cell: &String| cell.chars().count();
    let width = |column: usize| lines.iter().map(|line| length(&line[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let (mut tables, mut table, mut used) = (Vec::new(), vec![0], widths[0]);
    for (column, width) in widths.iter().enumerate().skip(1) {
        if used + 2 + width > WIDTH && table.len() > 1 {
            tables.push(std::mem::replace(&mut table, vec![0]));
            used = widths[0];
        }
        table.push(column);
        used += 2 + width;
    }
    tables.push(table);
    let text_of = |columns: &Vec<usize>| {
        let mut text = String::new();
        for line in lines {
            let cell = |&column: &usize| {
                let (cell, width) = (&line[column], widths[column]);
                if left.contains(&column) {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            };
            text += columns.iter().map(cell).collect::<Vec<String>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    };
    tables.iter().map(text_of).collect::<Vec<String>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::ablation::{AblationPart, PARTS};
    use super::super::outcome::tests::trial;
    use super::super::rows::{ROWS, ValidationRow};
    use super::super::trial::ValidationTrial;
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let lines = [["a", "1 ± 2", "x"], ["bcd", "10", "yz"]];
        let lines: Vec<Vec<String>> =
            lines.iter().map(|line| line.map(String::from).to_vec()).collect();
        assert_eq!(aligned(&lines, &[0, 2]), "a    1 ± 2  x\nbcd     10  yz\n");
    }

    /// 30, 40 and 8 characters with two blanks between them fill a line of 82.
    #[test]
    fn columns_that_do_not_fit_follow_below() {
        let lines = [["r".repeat(30), "a".repeat(40), "b".repeat(8)].to_vec()];
        let [row, a, b] = &lines[0][..] else { panic!("three cells") };
        assert_eq!(aligned(&lines, &[0]), format!("{row}  {a}\n\n{row}  {b}\n"));
        let lines = [["r".repeat(30), "a".repeat(40), "b".repeat(6)].to_vec()];
        assert_eq!(aligned(&lines, &[0]).lines().next().unwrap().len(), 80);
    }

    #[test]
    fn all_rows_fit_80_columns() {
        let experts = |row: &ValidationRow| {
            let alone = vec![("Autoregression".into(), -16.63), ("DQN".into(), -17.56)];
            let experts = ExpertRewards { alone, best_per_regime_bps: -17.57, paid_bps: 0.01 };
            row.bar.judges_experts().then_some(experts)
        };
        let outcome = |row: &ValidationRow| {
            let trials = [1.0, -1.0].map(|sign| ValidationTrial {
                experts: experts(row),
                edges_before_last: (!row.edges.is_empty()).then_some(0),
                oracle_bps: if row.market == "random_walk" { 0.0 } else { 45.75 },
                ..trial(sign * 12.34)
            });
            RowOutcome::new(row, Vec::new(), trials.into())
        };
        let outcomes: Vec<RowOutcome> = ROWS.iter().map(outcome).collect();
        let part = |part: &AblationPart| AblationResult::new(part, &outcomes);
        let mut text = rows(&outcomes);
        text += &ablation(&outcomes, &PARTS.iter().map(part).collect::<Vec<AblationResult>>());
        text += &closing(&outcomes, 5, 128, 1_234.5, Path::new("results/validation.json"));
        let wide = text.lines().find(|line| line.chars().count() > WIDTH);
        assert_eq!(wide, None, "{text}");
        for word in ["lead_lag_attention_only", "best rule", "-17.57", "MISSED"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
