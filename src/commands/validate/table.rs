//! The tables of a validation, at most 80 columns wide.

use std::path::Path;

use super::ablation::{AblatedRow, AblationResult};
use super::meta::ExpertRewards;
use super::outcome::{RowOutcome, SeedEstimate};
use crate::eval::inference::Verdict;
use crate::wording::counted;

/// Width of a terminal.
const WIDTH: usize = 80;

/// One line per row: rewards in basis points per bar, then how much of the oracle's was got. A
/// second table says which thresholds were met.
pub(super) fn rows(outcomes: &[RowOutcome]) -> String {
    let head = ["", "oracle", "trained", "hold", "rule", "of oracle", "2015"];
    let mut lines = vec![head.map(String::from).to_vec()];
    let mut thresholds = String::new();
    for outcome in outcomes {
        let bps = |value: f64| format!("{value:.2}");
        lines.push(vec![
            outcome.row.into(),
            bps(outcome.oracle_bps),
            bps(outcome.trained_bps),
            bps(outcome.buy_and_hold_bps),
            bps(outcome.best_rule_bps),
            outcome.fraction.map_or("-".into(), half_width),
            outcome.fraction_dqn_2015.map_or("".into(), |found| format!("{:.3}", found.mean)),
        ]);
        let reached = if outcome.reached { "met" } else { "MISSED" };
        thresholds += &format!("{:<24} {reached:<6}  {}\n", outcome.row, outcome.bar);
        if let Some(found) = found(outcome) {
            thresholds += &format!("        {found}\n");
        }
    }
    let text = "basis points per bar, after costs; rule: the best of five plain rules;\n\
                of oracle: fraction of what the oracle earned on the same bars, mean over\n\
                seeds, and half of its 95% interval; 2015: the same of the DQN of that year\n\n";
    format!("{text}{}\nthresholds\n\n{thresholds}", aligned(&lines, &[0]))
}

/// What a row was judged by, where it is not in the table.
fn found(outcome: &RowOutcome) -> Option<String> {
    let trials = outcome.trials.len();
    let experts: Vec<&ExpertRewards> =
        outcome.trials.iter().filter_map(|trial| trial.experts.as_ref()).collect();
    if !experts.is_empty() {
        let mean = |of: fn(&ExpertRewards) -> f64| {
            experts.iter().map(|e| of(e)).sum::<f64>() / trials as f64
        };
        return Some(format!(
            "{:.2}, hindsight {:.2}, best rule {:.2}, DQN {:.2}, paid {:.2}\n        \
             log growth {:.2}, best expert {:.2}",
            outcome.trained_bps,
            mean(|experts| experts.best_per_regime_bps),
            ExpertRewards::best_mean(&experts, false),
            mean(|experts| experts.alone.last().map_or(f64::NAN, |dqn| dqn.1)),
            mean(|experts| experts.paid_bps),
            mean(|experts| experts.growth_bps),
            ExpertRewards::best_growth(&experts),
        ));
    }
    if outcome.fraction.is_none() {
        let calm = outcome.trials.iter().filter(|t| t.verdict == Verdict::NoEvidence).count();
        let turnover = outcome.trained_turnover / outcome.random_turnover;
        return Some(format!(
            "turnover {turnover:.3} of random, no evidence in {calm} of {}",
            counted(trials, "seed")
        ));
    }
    let first: Vec<usize> = outcome.trials.iter().filter_map(|t| t.edges_before_last).collect();
    let all = first.iter().filter(|&&others| others == 0).count();
    (!first.is_empty()).then(|| format!("in {all} of {}", counted(trials, "seed")))
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
    format!("\n{}* turnover over the random policy's\n", folded(&lines))
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
    let (seeds, threads) = (counted(seeds as usize, "seed"), counted(cores, "thread"));
    let ending = format!("({seeds} each, {minutes:.1} minutes on {threads})");
    format!("{}\n\nwritten:\n  {path}\n", wrapped(&format!("{verdict} {ending}")))
}

fn half_width(estimate: SeedEstimate) -> String {
    let mean = estimate.mean;
    match estimate.interval {
        Some([_, high]) => format!("{mean:.3} ± {:.3}", high - mean),
        None => format!("{mean:.3}"),
    }
}

/// Words in lines of at most [`WIDTH`] characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines.join("\n")
}

/// A table in as many parts, one below the other, as it takes for each to be narrow enough. Every
/// part has the first column.
fn folded(lines: &[Vec<String>]) -> String {
    let mut parts: Vec<Vec<Vec<String>>> = Vec::new();
    for column in 1..lines.first().map_or(0, Vec::len) {
        let with = |part: &[Vec<String>]| -> Vec<Vec<String>> {
            let both = part.iter().zip(lines);
            both.map(|(part, line)| [part, &line[column..=column]].concat()).collect()
        };
        let first: Vec<Vec<String>> = lines.iter().map(|line| line[..1].to_vec()).collect();
        let fits = |wider: &Vec<Vec<String>>| {
            aligned(wider, &[0]).lines().all(|line| line.chars().count() <= WIDTH)
        };
        match parts.last_mut().map(|part| (with(part), part)) {
            Some((wider, part)) if fits(&wider) => *part = wider,
            _ => parts.push(with(&first)),
        }
    }
    parts.iter().map(|part| aligned(part, &[0])).collect::<Vec<String>>().join("\n")
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
    use super::super::ablation::PARTS;
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

    #[test]
    fn words_are_wrapped() {
        let word = "x".repeat(39);
        assert_eq!(wrapped(&format!("{word} {word}x {word}")), format!("{word} {word}x\n{word}"));
    }

    /// A column of 30, and two of which one fits beside it.
    #[test]
    fn a_wide_table_is_folded() {
        let [a, b, c] = ["a", "b", "c"].map(|letter| letter.repeat(30));
        let found = folded(&[vec![a.clone(), b.clone(), c.clone()]]);
        assert_eq!(found, format!("{a}  {b}\n\n{a}  {c}\n"));
    }

    #[test]
    fn every_row_fits_a_terminal() {
        let experts = ExpertRewards {
            alone: vec![("Autoregression".into(), -12.34), ("DQN".into(), -12.34)],
            best_per_regime_bps: 12.34,
            paid_bps: 12.34,
            growth_alone_bps: vec![-12.34; 2],
            growth_bps: 12.34,
        };
        let outcome = |row: &ValidationRow| {
            let judged = row.bar.judges_experts().then(|| experts.clone());
            let oracle_bps = if row.market == "random_walk" { 0.0 } else { 45.67 };
            let trials = [-0.045_67, 45.67].map(|bps| ValidationTrial {
                oracle_bps,
                random_bps: -18.95,
                rules: vec![("Bollinger Bands".into(), -12.34)],
                experts: judged.clone(),
                ..trial(bps)
            });
            RowOutcome::new(row, Vec::new(), trials.to_vec())
        };
        let outcomes: Vec<RowOutcome> = ROWS.iter().map(outcome).collect();
        let ablated: Vec<RowOutcome> =
            ROWS.iter().filter(|row| row.is_ablated()).map(outcome).collect();
        let without: Vec<AblationResult> =
            PARTS.iter().map(|part| AblationResult::new(part, &ablated)).collect();
        let table = rows(&outcomes);
        let closing = closing(&outcomes, 5, 2, 1_000.0, Path::new("results/validation.json"));
        let text = format!("{table}{}{closing}", ablation(&outcomes, &without));
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        for row in &ROWS {
            let of_row = |line: &&str| line.split(' ').next() == Some(row.name);
            assert_eq!(table.lines().filter(of_row).count(), 2, "{}", row.name);
        }
    }
}
