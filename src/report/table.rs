//! The end of the program's output: the figures, the verdict and the paths of the files.

use std::fmt::Write;
use std::path::Path;

use crate::eval::comparison::Contender;
use crate::eval::contributions::Contributions;
use crate::eval::inference::Inference;
use crate::eval::metrics::Metrics;
use crate::eval::parts::PartResult;

use super::comparison;
use super::format::{aligned, count, growth, percent, ratio, wrapped};
use super::significance;

const COLUMNS: [&str; 9] =
    ["", "return", "Sharpe", "Sortino", "max DD", "vol", "turnover", "trades", "exposure"];

/// What the rows and columns mean.
const EXPLAINED: &str = "portfolio: what the desk traded, after costs; benchmark: buy and hold, \
                         equal parts of all stocks; max DD: maximum drawdown; vol: annualised \
                         volatility; turnover: value traded per day over equity.";

/// The portfolio and the benchmark, aligned, at most 80 columns wide; an undefined value is `-`.
/// Then the verdict, what each expert contributed to the profit of an account that began with
/// `capital`, the DQN in each part of the data, the comparison on the same bars, and the paths.
pub(crate) fn closing<P: AsRef<Path>>(
    (eval, benchmark): (&Metrics, &Metrics),
    inference: &Inference,
    (parts, everyone, contributions): (&[PartResult], &[Contender], Option<&Contributions>),
    capital: f64,
    written: &[P],
) -> String {
    let rows = [COLUMNS.map(String::from), row("portfolio", eval), row("benchmark", benchmark)];
    let mut text = aligned(&rows);
    text += &format!("\n{}\n\n", wrapped(EXPLAINED, 80));
    text += &significance::lines(inference);
    if let Some(contributions) = contributions.filter(|found| found.experts.len() > 1) {
        text += "\nWhat each expert contributed\n";
        text += &super::contributions::table(contributions, capital);
    }
    if !parts.is_empty() {
        text += "\nThe DQN alone, in and out of sample\n";
        text += &super::parts::table(parts);
    }
    if !everyone.is_empty() {
        text += "\nAll strategies on the same bars\n";
        text += &comparison::table(everyone);
    }
    if !written.is_empty() {
        text.push_str("\nwritten:\n");
    }
    for path in written {
        let _ = writeln!(text, "  {}", path.as_ref().display());
    }
    text
}

fn row(name: &str, metrics: &Metrics) -> [String; COLUMNS.len()] {
    let or_dash = |value: Option<f64>, show: fn(f64) -> String| value.map_or("-".into(), show);
    [
        name.into(),
        growth(metrics.portfolio_return),
        or_dash(metrics.sharpe, ratio),
        or_dash(metrics.sortino, ratio),
        percent(metrics.max_drawdown),
        or_dash(metrics.volatility, percent),
        ratio(metrics.turnover),
        count(metrics.trades),
        percent(metrics.exposure),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn columns_align_and_undefined_is_a_dash() {
        let agent = Metrics {
            total_reward: 0.1,
            portfolio_return: 0.1049,
            sharpe: Some(1.256),
            sortino: Some(-12.0),
            calmar: None,
            max_drawdown: -0.0821,
            volatility: Some(0.152),
            turnover: 2.314,
            trades: 123_456,
            exposure: 0.85,
        };
        let held = Metrics {
            portfolio_return: -0.02,
            sharpe: None,
            sortino: None,
            volatility: None,
            trades: 5,
            ..agent.clone()
        };
        let expected = "           \
           return  Sharpe  Sortino  max DD    vol  turnover   trades  exposure
portfolio  +10.5%    1.26   -12.00   -8.2%  15.2%      2.31  123,456     85.0%
benchmark   -2.0%       -        -   -8.2%      -      2.31        5     85.0%

portfolio: what the desk traded, after costs; benchmark: buy and hold, equal
parts of all stocks; max DD: maximum drawdown; vol: annualised volatility;
turnover: value traded per day over equity.

Sharpe ratio: undefined
information ratio over the benchmark: undefined
verdict: no evidence of an edge

written:
  results/summary.json
";
        let inference = example::run(1, 2).inference;
        let text =
            closing((&agent, &held), &inference, (&[], &[], None), 1e6, &["results/summary.json"]);
        assert_eq!(text, expected);
        let example = example::run(2, 400);
        let text = closing(
            (&agent, &held),
            &inference,
            (&example.parts, &example.everyone, Some(&example.contributions)),
            1e6,
            &[""; 0],
        );
        assert!(text.contains("\n\nAll strategies on the same bars\n") && text.contains("\nRSI "));
        assert!(text.contains("\n\nWhat each expert contributed\n"), "{text}");
        assert!(text.contains("\n\nThe DQN alone, in and out of sample\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
