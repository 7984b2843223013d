//! The tables of a validation, at most 110 columns wide.

use std::fmt::Write;
use std::path::Path;

use super::ablation::{AblatedRow, AblationResult};
use super::meta::ExpertRewards;
use super::outcome::{RowOutcome, SeedEstimate};
use crate::eval::inference::Verdict;

/// One line per row: rewards in basis points per bar, then how much of the oracle's was got.
pub(crate) fn rows(outcomes: &[RowOutcome]) -> String {
    let head =
        ["", "oracle", "trained", "random", "flat", "hold", "best rule", "", "of oracle", ""];
    let mut lines = vec![head.map(String::from).to_vec()];
    for outcome in outcomes {
        let bps = |value: f64| format!("{value:.2}");
        lines.push(vec![
            outcome.row.into(),
            bps(outcome.oracle_bps),
            bps(outcome.trained_bps),
            bps(outcome.random_bps),
            bps(outcome.flat_bps),
            bps(outcome.buy_and_hold_bps),
            bps(outcome.best_rule_bps),
            outcome.best_rule.clone(),
            outcome.fraction.map_or("-".into(), estimate),
            if outcome.reached { "met".into() } else { "MISSED".into() },
        ]);
    }
    let mut text = String::from(
        "basis points per bar, after costs; last columns: fraction of the oracle, mean and 95%\n\
         interval over seeds, and whether the threshold was met\n\n",
    );
    text += &aligned(&lines, &[0, 7, 9]);
    let mut notes = String::new();
    for outcome in outcomes {
        // Writing to a String does not fail.
        let _ = writeln!(notes, "{:<24} {}{}", outcome.row, outcome.bar, found(outcome));
    }
    text + "\nthresholds\n\n" + &notes
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
    format!(
        "{verdict} ({seeds} {noun} each, {minutes:.1} minutes on {cores} threads)\n\n\
         written:\n  {path}\n"
    )
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
/// right.
fn aligned(lines: &[Vec<String>], left: &[usize]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let length = |cell: &String| cell.chars().count();
    let width = |column: usize| lines.iter().map(|line| length(&line[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cell = |(column, (cell, &width)): (usize, (&String, &usize))| {
            if left.contains(&column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        };
        let cells: Vec<String> = line.iter().zip(&widths).enumerate().map(cell).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let lines = [["a", "1 ± 2", "x"], ["bcd", "10", "yz"]];
        let lines: Vec<Vec<String>> =
            lines.iter().map(|line| line.map(String::from).to_vec()).collect();
        assert_eq!(aligned(&lines, &[0, 2]), "a    1 ± 2  x\nbcd     10  yz\n");
    }
}
