//! Results of strategies without training: the table on standard output, and `signals.csv`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::csv_text::csv_cell;
use super::format::{count, counted, growth, percent, ratio, wrapped};
use super::portfolio_csv::time_and_date;
use super::significance;
use crate::eval::inference::{CONFIDENCE, Inference, THRESHOLD};
use crate::market::MarketData;
use crate::market::calendar::iso_market_time;
use crate::runner::optimize::OptimizationResult;
use crate::runner::{ExecutionStats, PerformanceMetrics};
use crate::strategy::{Parameters, Signals};

/// One strategy.
pub(crate) struct StrategyRow {
    pub(crate) name: String,
    /// Or why it failed.
    pub(crate) outcome: Result<PerformanceMetrics, String>,
    /// None for the benchmark.
    pub(crate) inference: Option<Inference>,
}

const COLUMNS: [&str; 8] = ["", "return", "Sharpe", "interval", "max DD", "wins", "fills", "p"];

/// Aligned, 80 columns wide with the built-in names; an undefined value is `-`, a strategy that
/// failed says why.
pub(crate) fn table<P: AsRef<Path>>(
    rows: &[StrategyRow],
    stats: &ExecutionStats,
    written: &[P],
) -> String {
    let cells: Vec<[String; COLUMNS.len()]> =
        std::iter::once(COLUMNS.map(String::from)).chain(rows.iter().map(cells)).collect();
    let width: [usize; COLUMNS.len()] =
        std::array::from_fn(|i| cells.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    for (i, row) in cells.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(text, "{:<1$}", row[0], width[0]);
        match i.checked_sub(1).and_then(|i| rows[i].outcome.as_ref().err()) {
            Some(error) => text += &format!("  failed: {error}"),
            None => {
                for (cell, width) in row.iter().zip(width).skip(1) {
                    let _ = write!(text, "  {cell:>width$}");
                }
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "\n{}\n\n{} of {} succeeded in {:.2} s (parallel efficiency {})",
        wrapped(&explained(), 80),
        stats.successful_strategies,
        counted(stats.total_strategies, "strategy"),
        stats.execution_time,
        percent(stats.parallel_efficiency),
    );
    if !written.is_empty() {
        text += "\nwritten:\n";
    }
    for path in written {
        let _ = writeln!(text, "  {}", path.as_ref().display());
    }
    text
}

/// What the columns of the table are.
pub(crate) fn explained() -> String {
    format!(
        "interval: {:.0}%, of the Sharpe ratio; max DD: maximum drawdown; wins: share of closed \
         trades with a profit; p: evidence of an edge needs at most {THRESHOLD}, with all rows \
         counted as trials; benchmark: buy and hold, equal parts of all stocks.",
        100.0 * CONFIDENCE,
    )
}

/// What is to be thought of a strategy, for its page.
pub(crate) fn said(inference: &Inference) -> String {
    format!("Verdict: {}. {}", inference.verdict.words(), significance::reason(inference))
}

/// The table's head and rows for a page; one that failed says why.
pub(crate) fn page_table(rows: &[StrategyRow]) -> (Vec<String>, Vec<Vec<String>>) {
    let row = |row: &StrategyRow| {
        let mut cells = Vec::from(cells(row));
        if let Err(error) = &row.outcome {
            cells[1] = format!("failed: {error}");
        }
        cells
    };
    (COLUMNS.map(String::from).into(), rows.iter().map(row).collect())
}

fn cells(row: &StrategyRow) -> [String; COLUMNS.len()] {
    let mut cells = std::array::from_fn(|_| String::new());
    cells[0].clone_from(&row.name);
    let Ok(metrics) = &row.outcome else { return cells };
    let or_dash = |value: Option<f64>, show: fn(f64) -> String| value.map_or("-".into(), show);
    let ends = row.inference.as_ref().and_then(|i| i.sharpe.low.zip(i.sharpe.high));
    let interval = ends.map(|(low, high)| format!("{} to {}", ratio(low), ratio(high)));
    cells[1] = growth(metrics.total_return);
    cells[2] = or_dash(metrics.sharpe_ratio, ratio);
    cells[3] = interval.unwrap_or_else(|| "-".into());
    cells[4] = percent(metrics.max_drawdown);
    cells[5] = or_dash(metrics.win_rate, percent);
    cells[6] = count(metrics.trades);
    cells[7] = or_dash(row.inference.as_ref().and_then(|i| i.p_value), |p| format!("{p:.3}"));
    cells
}

/// One row per bar and stock: the target and the confidence of every strategy. A cell is empty
/// before the stock's first bar.
pub(crate) fn signals_csv(
    path: &Path,
    data: &MarketData,
    all: &[(&str, &Signals)],
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write!(file, "timestamp,date,stock,close")?;
    for (name, _) in all {
        write!(file, ",{},{}", csv_cell(name), csv_cell(&format!("{name} confidence")))?;
    }
    writeln!(file)?;
    for t in 0..data.rows() {
        let row = data.row(t);
        let time = time_and_date(row.end_s());
        for (stock, symbol) in data.stocks().iter().enumerate() {
            let close = row.bar(stock).close;
            let close = if close.is_nan() { String::new() } else { close.to_string() };
            write!(file, "{time},{symbol},{close}")?;
            for (_, signals) in all {
                let decision = signals.at(t)[stock];
                for number in [decision.target, decision.confidence] {
                    // What most are is written without a search for its shortest digits. Adding zero
                    // turns -0 into 0.
                    match number {
                        0.0 => file.write_all(b",0")?,
                        1.0 => file.write_all(b",1")?,
                        -1.0 => file.write_all(b",-1")?,
                        number => write!(file, ",{}", number + 0.0)?,
                    }
                }
            }
            writeln!(file)?;
        }
    }
    file.flush()
}

/// The result of a search: a line per fold, then the walk-forward result and the best set in
/// hindsight.
pub(crate) fn optimized<P: AsRef<Path>>(found: &OptimizationResult, written: &[P]) -> String {
    let or_dash = |value: Option<f64>| value.map_or("-".into(), ratio);
    let head = ["from", "IS Sharpe", "OOS Sharpe", "return", "parameters"];
    let mut cells = vec![head.map(String::from)];
    for fold in &found.folds {
        cells.push([
            iso_market_time(fold.first_end_s)[..10].to_string(),
            or_dash(fold.in_sample_sharpe),
            or_dash(fold.out_of_sample_sharpe),
            growth(fold.out_of_sample_return),
            describe(&fold.chosen),
        ]);
    }
    let width: [usize; 5] =
        std::array::from_fn(|i| cells.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let sets = counted(found.sets.len(), "parameter set");
    let mut text = format!("{}: {sets}", found.strategy);
    if found.left_out > 0 {
        text += &format!(
            ", {} skipped because their parameters conflict",
            count(found.left_out as u64)
        );
    }
    text += "\n\n";
    for [from, figures @ .., parameters] in &cells {
        text += &format!("{from:<0$}", width[0]);
        for (figure, width) in figures.iter().zip(&width[1..]) {
            text += &format!("  {figure:>width$}");
        }
        text += &format!("  {parameters}\n");
    }
    text += &format!(
        "\n{}\n\n",
        wrapped(
            "A row per fold. IS: in sample, on the bars before the fold, by which the parameters \
             were chosen; OOS and return: out of sample, in the fold.",
            80
        )
    );
    let (walked, best) = (&found.walk_forward, &found.best_in_hindsight);
    let figures = |performance: &PerformanceMetrics, inference: &Inference| {
        let interval = match inference.sharpe.low.zip(inference.sharpe.high) {
            Some((low, high)) => format!("{} to {}", ratio(low), ratio(high)),
            None => "-".into(),
        };
        let sharpe = or_dash(performance.sharpe_ratio);
        format!("return {}, Sharpe {sharpe} ({interval})", growth(performance.total_return))
    };
    let chance = |value: Option<f64>| value.map_or("-".into(), percent);
    let _ = writeln!(
        text,
        "walk-forward, out of sample: {}\n  {}",
        figures(&walked.performance_metrics, &walked.inference),
        walked.inference.verdict.words(),
    );
    let doubt = format!(
        "probability that its true Sharpe ratio is above 0: {}; above what luck gives the best of \
         {}: {}",
        chance(best.inference.probabilistic_sharpe),
        counted(found.sets.len(), "set"),
        chance(best.inference.deflated_sharpe),
    );
    let _ = writeln!(
        text,
        "best in hindsight, in sample: {}\n  {}\n  {}",
        figures(&best.performance_metrics, &best.inference),
        describe(&found.best.parameters),
        wrapped(&doubt, 78).replace('\n', "\n  "),
    );
    if !written.is_empty() {
        text += "\nwritten:\n";
    }
    for path in written {
        let _ = writeln!(text, "  {}", path.as_ref().display());
    }
    text
}

fn describe(parameters: &Parameters) -> String {
    let one = |(name, number)| format!("{name} {number}");
    parameters.iter().map(one).collect::<Vec<String>>().join(", ")
}
