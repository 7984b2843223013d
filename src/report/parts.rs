//! The DQN alone in training, validation and evaluation, in the closing table and in the report.

use crate::eval::parts::{DataPart, PartResult};

use super::format::{aligned, growth, percent, ratio, wrapped};
use super::page::table as table_of;

const COLUMNS: [&str; 8] =
    ["", "to", "return", "Sharpe", "max DD", "turnover", "benchmark", "its Sharpe"];

/// What the rows are.
const EXPLAINED: &str = "training: the days that were learned from; validation: the days on which \
                         weights were selected; evaluation: days that were never seen. Without \
                         the meta-policy, after costs.";

/// Aligned, at most 80 columns wide; an undefined value is `-`.
pub(super) fn table(parts: &[PartResult]) -> String {
    let rows: Vec<[String; COLUMNS.len()]> =
        std::iter::once(COLUMNS.map(String::from)).chain(parts.iter().map(cells)).collect();
    aligned(&rows) + &format!("\n{}\n", wrapped(EXPLAINED, 80))
}

/// The report's section.
pub(super) fn section(parts: &[PartResult]) -> String {
    if parts.is_empty() {
        return String::new();
    }
    let head = COLUMNS.map(|name| match name {
        "max DD" => "max drawdown".into(),
        "its Sharpe" => "its Sharpe ratio".into(),
        name => name.to_string(),
    });
    let rows: Vec<Vec<String>> = parts.iter().map(|part| cells(part).into()).collect();
    let title = "The DQN alone, in and out of sample";
    format!(
        "<h2>{title}</h2>\n{}<p class=\"explained\">{EXPLAINED}</p>\n",
        table_of(title, &head, &rows)
    )
}

fn cells(part: &PartResult) -> [String; COLUMNS.len()] {
    let sharpe = |value: Option<f64>| value.map_or("-".into(), ratio);
    let name = match part.part {
        DataPart::Training => "training",
        DataPart::Validation => "validation",
        DataPart::Evaluation => "evaluation",
    };
    let PartResult { dqn, benchmark, .. } = part;
    [
        name.into(),
        part.end.to_string(),
        growth(dqn.portfolio_return),
        sharpe(dqn.sharpe),
        percent(dqn.max_drawdown),
        ratio(dqn.turnover),
        growth(benchmark.portfolio_return),
        sharpe(benchmark.sharpe),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn a_row_for_each_part_within_the_width_of_a_terminal() {
        let parts = example::run(2, 400).parts;
        let text = table(&parts);
        let lines: Vec<&str> = text.lines().collect();
        #[rustfmt::skip]
        let expected = [
            "                    to   return  Sharpe  max DD  turnover  benchmark  its Sharpe",
            "training    2019-09-13  +123.4%    6.17  -12.3%      4.31      +5.0%        0.25",
            "validation  2019-12-31   -12.3%       -    0.0%      0.00      +5.0%        0.25",
        ];
        assert_eq!(lines[..3], expected);
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        let page = section(&parts);
        assert_eq!(page.matches("<th scope=\"row\">").count(), parts.len());
        assert!(page.contains(">2019-12-31</td><td data-label=\"return\">−12.3%</td>"), "{page}");
        assert_eq!(section(&[]), "");
    }
}
